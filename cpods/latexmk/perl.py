"""The part of Perl that rc files are written in: tokens to statements, and the values of constant expressions.

Knows no latexmk. Nothing is carried out: what only a running Perl could tell (a condition, a call) has no value here.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from cpods.latexmk.perltokens import PerlError, Token

_CONTROL = frozenset({"if", "unless", "while", "until", "for", "foreach", "else", "elsif", "eval", "do", "END"})
_MODIFIERS = frozenset({"if", "unless", "while", "until", "for", "foreach", "and", "or"})


class Statement(NamedTuple):
    """A statement. ``conditional``: whether it is reached, or how often, is for Perl to decide."""

    line: int
    tokens: tuple[Token, ...]
    conditional: bool = False


class Sub(NamedTuple):
    """A subroutine of the file."""

    line: int
    body: tuple[Token, ...]


# -- statements ------------------------------------------------------------------------------------------------------


def _closing(pieces: Sequence[Token], at: int) -> int:
    """Where the bracket at ``at`` is closed. Raises PerlError."""
    depth = 0
    for index in range(at, len(pieces)):
        if pieces[index].kind == "op":
            depth += (pieces[index].text in "([{") - (pieces[index].text in ")]}")
            if depth == 0:
                return index
    raise PerlError(pieces[at].line, f"the bracket {pieces[at].text} is not closed")


def statements(pieces: Sequence[Token], conditional: bool = False) -> Iterator[Statement | tuple[str, Sub]]:
    """Statements and subroutines (by name) in order; those of blocks too, one by one. Raises PerlError."""
    at = start = 0
    while at < len(pieces):
        token = pieces[at]
        if token.kind == "op" and token.text in "([{":
            end = _closing(pieces, at)
            head = pieces[start:at]
            if token.text == "{" and _opens_block(head):
                yield from _block(head, pieces[at + 1 : end], conditional)
                start = end + 1
            at = end + 1
            continue
        if token.kind == "op" and token.text == ";":
            yield from _statement(pieces[start:at], conditional)
            start = at + 1
        at += 1
    yield from _statement(pieces[start:], conditional)


def _opens_block(head: Sequence[Token]) -> bool:
    return not head or (head[0].kind == "word" and (head[0].text in _CONTROL or head[0].text in ("sub", "BEGIN")))


def _block(head: Sequence[Token], body: Sequence[Token], conditional: bool) -> Iterator[Statement | tuple[str, Sub]]:
    if head and head[0].text == "sub":
        if len(head) > 1:
            yield head[1].text, Sub(head[0].line, tuple(body))
        return
    yield from statements(body, conditional or bool(head and head[0].text in _CONTROL))


def _statement(pieces: Sequence[Token], conditional: bool) -> Iterator[Statement]:
    if pieces:
        modified = any(token.kind == "word" and token.text in _MODIFIERS for token in pieces[1:])
        yield Statement(pieces[0].line, tuple(pieces), conditional or modified)


# -- values ----------------------------------------------------------------------------------------------------------

#: What a variable's name (with its sigil and subscript) stands for, None if that is not known.
Scope = Callable[[str], str | None]
_INTERPOLATED = re.compile(
    r"\\(.)|\$(\$?)(?:\{(\w+)\}|(\w+(?:::\w+)*))(?:\{['\"]?(\w+)['\"]?\}|\[(\d+)\])?|@(?:\{\w+\}|[A-Za-z_]\w*)", re.DOTALL
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "e": "\x1b"}


class _Unknown(Exception):
    pass


def interpolated(text: str, scope: Scope) -> str | None:
    """A double-quoted text with its escapes and variables; None if one has no value."""

    def replaced(found: "re.Match[str]") -> str:
        if found[1] is not None:
            return _ESCAPES.get(found[1], found[1])
        if found[0].startswith("@"):
            raise _Unknown
        index = f"{{{found[5]}}}" if found[5] is not None else f"[{found[6]}]" if found[6] is not None else ""
        value = scope(f"${found[2]}{found[3] or found[4]}{index}")
        if value is None:
            raise _Unknown
        return value

    try:
        return _INTERPOLATED.sub(replaced, text)
    except _Unknown:
        return None


def single_quoted(text: str) -> str:
    """A single-quoted text: only a backslash and the quote are escaped there."""
    return re.sub(r"\\([\\'])", r"\1", text)


def split(pieces: Sequence[Token], separators: frozenset[str]) -> list[Sequence[Token]]:
    """Parts between separators outside of brackets. Raises PerlError."""
    parts: list[Sequence[Token]] = []
    at = start = 0
    while at < len(pieces):
        token = pieces[at]
        if token.kind == "op" and token.text in "([{":
            at = _closing(pieces, at)
        elif token.kind == "op" and token.text in separators:
            parts.append(pieces[start:at])
            start = at + 1
        at += 1
    return [*parts, pieces[start:]]


def scalar(pieces: Sequence[Token], scope: Scope) -> str | None:
    """The value of a constant expression: texts, numbers and variables, joined by ``.``; of ``a || b`` that of a."""
    alternatives = split(pieces, frozenset({"||", "//"}))
    values = [_operand(part, scope) for part in split(alternatives[0], frozenset({"."}))]
    return None if not values or any(value is None for value in values) else "".join(value or "" for value in values)


def _operand(pieces: Sequence[Token], scope: Scope) -> str | None:
    if len(pieces) > 2 and pieces[0].text == "(" and pieces[0].kind == "op" and _closing(pieces, 0) == len(pieces) - 1:
        return scalar(pieces[1:-1], scope)
    if len(pieces) == 2 and pieces[0].text == "-" and pieces[1].kind == "number":
        return "-" + pieces[1].text
    if len(pieces) != 1:
        return None
    kind, text, _ = pieces[0]
    if kind == "single":
        return single_quoted(text)
    if kind == "double":
        return interpolated(text, scope)
    if kind == "var":
        return scope(text)
    return "" if (kind, text) == ("word", "undef") else text if kind == "number" else None


def values(pieces: Sequence[Token], scope: Scope) -> list[str] | None:
    """A list's values, brackets around it or not; None if one is not known."""
    if pieces and pieces[0] == ("op", "(", pieces[0].line) and _closing(pieces, 0) == len(pieces) - 1:
        pieces = pieces[1:-1]
    found: list[str] = []
    for part in split(pieces, frozenset({",", "=>"})):
        if not part:
            continue
        if len(part) == 1 and part[0].kind == "words":
            found += part[0].text.split()
            continue
        value = part[0].text if len(part) == 1 and part[0].kind == "word" else scalar(part, scope)
        if value is None:
            return None
        found.append(value)
    return found
