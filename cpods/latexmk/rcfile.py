"""Reads an rc file of latexmk: what it assigns, calls and defines, each with its line.

Knows no project; what the settings mean is for translate to say.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cpods.latexmk import perl
from cpods.latexmk.perl import Statement, Sub
from cpods.latexmk.perltokens import PerlError, Token, tokens

#: What latexmk itself starts with, as far as rc files build on it.
DEFAULTS = {
    "$latex": "latex %O %S",
    "$pdflatex": "pdflatex %O %S",
    "$xelatex": "xelatex %O %S",
    "$lualatex": "lualatex %O %S",
    "$bibtex": "bibtex %O %S",
    "$biber": "biber %O %S",
    "$makeindex": "makeindex %O -o %D %S",
    "$search_path_separator": ":",
    "$clean_ext": "",
    "$clean_full_ext": "",
}
_DECLARATORS = frozenset({"my", "our", "local"})
_QUIET = frozenset({"use", "no", "package", "require", "print", "warn", "printf", "return", "chomp"})


class Setting(NamedTuple):
    """One assignment, by its name with sigil and subscript. ``value`` None: only Perl can tell it."""

    line: int
    name: str
    value: str | list[str] | None


class Call(NamedTuple):
    """One call of a subroutine. ``arguments`` None: only Perl can tell them."""

    line: int
    name: str
    arguments: list[str] | None


class Conditional(NamedTuple):
    """A statement that is carried out only if Perl decides so; ``name``: what it would set or call."""

    line: int
    name: str


class Unread(NamedTuple):
    """What could not be understood from a line on."""

    line: int
    what: str


Entry = Setting | Call | Conditional | Unread


class RcFile(NamedTuple):
    """All that a file says, in its order; and its subroutines."""

    entries: tuple[Entry, ...]
    subs: dict[str, Sub]


def read(text: str) -> RcFile:
    """The content of an rc file. Never raises: what cannot be read is an entry, too."""
    reader = _Reader()
    try:
        for item in perl.statements(tokens(text)):
            if isinstance(item, Statement):
                reader.take(item)
            else:
                reader.subs[item[0]] = item[1]
    except PerlError as error:
        reader.entries.append(Unread(error.line, str(error)))
    return RcFile(tuple(reader.entries), reader.subs)


class _Reader:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.subs: dict[str, Sub] = {}
        self._known: dict[str, str] = dict(DEFAULTS)
        self._lists: dict[str, list[str]] = {}

    def take(self, statement: Statement) -> None:
        """Adds what a statement says."""
        pieces = statement.tokens
        while pieces and pieces[0].kind == "word" and pieces[0].text in _DECLARATORS:
            pieces = pieces[1:]
        if not pieces:
            return
        entry = self._understood(pieces, statement.line)
        if entry is None:
            return
        if statement.conditional:
            self.entries += [Conditional(one.line, getattr(one, "name", "a computed variable")) for one in entry]
            for one in entry:
                if isinstance(one, Setting):
                    self._known.pop(one.name, None)
            return
        self.entries += entry
        for one in entry:
            if isinstance(one, Setting):
                self._remember(one)

    def _remember(self, setting: Setting) -> None:
        if isinstance(setting.value, list):
            self._lists[setting.name] = setting.value
        elif setting.value is not None:
            self._known[setting.name] = setting.value
        else:
            self._known.pop(setting.name, None)

    def _scope(self, name: str) -> str | None:
        """A variable's value; one of the environment that the file has not set stays a reference to it."""
        if name.startswith("$ENV{") and name not in self._known:
            return "$" + name[len("$ENV{") : -1]
        return self._known.get(name)

    def _understood(self, pieces: Sequence[Token], line: int) -> list[Entry] | None:
        if pieces[0].kind == "var" and pieces[0].text[0] in "$@%":
            return self._assignment(pieces, line)
        name = pieces[0].text.lstrip("&")
        if pieces[0].kind == "number" or name in _QUIET:
            return None
        if name in ("push", "unshift"):
            return self._pushed(pieces[1:], line)
        if pieces[0].kind in ("word", "var"):
            return [Call(line, name, self._arguments(pieces[1:]))]
        return [Unread(line, f"a statement that begins with {pieces[0].text!r}")]

    def _arguments(self, pieces: Sequence[Token]) -> list[str] | None:
        return perl.values(self._before_modifier(pieces), self._scope)

    @staticmethod
    def _before_modifier(pieces: Sequence[Token]) -> Sequence[Token]:
        ends = [at for at, token in enumerate(pieces) if token.kind == "word" and token.text in ("if", "unless", "and", "or")]
        return pieces[: ends[0]] if ends else pieces

    def _assignment(self, pieces: Sequence[Token], line: int) -> list[Entry] | None:
        """``$a = $b = value``, ``.=`` and their like; other expressions do nothing that matters here."""
        targets: list[str] = []
        rest = self._before_modifier(pieces)
        operator = ""
        while len(rest) > 1 and rest[0].kind == "var" and rest[1].kind == "op" and rest[1].text in ("=", ".=", "||=", "//="):
            targets.append(rest[0].text)
            operator, rest = rest[1].text, rest[2:]
        if not targets:
            return None
        if targets[-1].startswith("@"):
            return [Setting(line, name, self._list(rest)) for name in targets]
        if targets[-1].startswith("%"):
            return self._hash(targets[-1], rest, line)
        value = perl.scalar(rest, self._scope)
        return [Setting(line, name, self._combined(name, operator, value)) for name in reversed(targets)]

    def _list(self, pieces: Sequence[Token]) -> list[str] | None:
        return perl.values(pieces, self._scope)

    def _combined(self, name: str, operator: str, value: str | None) -> str | None:
        known = self._known.get(name)
        if operator == ".=":
            return None if value is None or known is None else known + value
        return known if operator in ("||=", "//=") and known else value

    def _hash(self, name: str, pieces: Sequence[Token], line: int) -> list[Entry]:
        found = self._list(pieces)
        if found is None or len(found) % 2:
            return [Setting(line, name, None)]
        return [Setting(line, f"${name[1:]}{{{key}}}", value) for key, value in zip(found[::2], found[1::2], strict=True)]

    def _pushed(self, pieces: Sequence[Token], line: int) -> list[Entry]:
        if pieces and pieces[0].text == "(" and pieces[-1].text == ")":
            pieces = pieces[1:-1]
        if not pieces or pieces[0].kind != "var":
            return [Unread(line, "a push onto something computed")]
        name = pieces[0].text
        added = self._list(pieces[2:])
        return [Setting(line, name, None if added is None else [*self._lists.get(name, []), *added])]
