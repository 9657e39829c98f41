"""From a custom dependency of latexmk to a rule of cpods: the one command in its subroutine, with the file names replaced.

Knows no project; says why where there is no such rule.
"""

import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from cpods.latexmk import perl
from cpods.latexmk.perl import Statement, Sub
from cpods.latexmk.perltokens import PerlError, Token

#: Stand for the file names while a command is put together: they are in no rc file.
_STEM, _FROM, _TO = "\1", "\2", "\3"
_PLACES = {
    "$_[0]": _STEM,
    "$$Pbase": _STEM,
    "$$Psource": _FROM,
    "$$Pdest": _TO,
}
_PLACEHOLDERS = {"%S": _FROM, "%D": _TO, "%B": _STEM, "%R": _STEM, "%%": "%"}
_CALLS = frozenset({"system", "exec", "Run", "Run_msg"})
#: Words of a subroutine that change nothing about the files: cpods shows what a command says, and runs it in the engine's folder.
_HARMLESS = frozenset({"print", "warn", "printf", "return", "die"})
_DECLARATORS = frozenset({"my", "our", "local"})
_PLAIN = re.compile(r"[\w./=:+,@%-]*")


class Rule(NamedTuple):
    """A rule of cpods: the endings with their dots, and a command line with {from}, {to} and {stem}."""

    source: str
    to: str
    run: str


class CannotTake(Exception):
    """Why a subroutine is no rule; a clause that goes on behind a name."""


def programs(sub: Sub) -> tuple[str, ...]:
    """The first words of all commands that a subroutine names in a text."""
    texts = [token.text for token in sub.body if token.kind in ("single", "double", "command")]
    words = (text.split(None, 1)[0].strip("'\"") for text in texts if text.strip())
    return tuple(dict.fromkeys(word.rpartition("/")[2] for word in words))


def rule(source: str, to: str, sub: Sub) -> Rule:
    """The rule that does what a subroutine does. Raises CannotTake."""
    try:
        command = _command(sub)
    except PerlError as error:
        raise CannotTake(f"cannot be read ({error})") from None
    for place, ending in ((_FROM, source), (_TO, to)):
        command = re.sub(rf"{_STEM}\.{re.escape(ending)}(?![\w.-])", place, command)
    command = _unquoted(command)
    if _TO not in command and _FROM not in command and _STEM not in command:
        raise CannotTake("has a command that names neither of the two files")
    for place, name in ((_FROM, "{from}"), (_TO, "{to}"), (_STEM, "{stem}")):
        command = command.replace(place, name)
    return Rule("." + source, "." + to, command.strip())


def _command(sub: Sub) -> str:
    """The only command of a subroutine, with the places of file names marked."""
    known = dict(_PLACES)
    commands: list[str] = []
    for item in perl.statements(sub.body):
        if not isinstance(item, Statement):
            raise CannotTake("defines another subroutine")
        commands += _commands(item, known)
    if len(commands) != 1:
        raise CannotTake("runs no command that can be read off it" if not commands else f"runs {len(commands)} commands")
    return commands[0]


def _commands(statement: Statement, known: dict[str, str]) -> list[str]:
    """The command that a statement runs, if it does; what it assigns is noted."""
    pieces = statement.tokens
    if at := _call(pieces):
        if statement.conditional:
            raise CannotTake("runs its command only under a condition")
        return [_called(pieces[at - 1 :], known)]
    if _assigns(pieces, known):
        return []
    while pieces[0].text in _DECLARATORS and len(pieces) > 1:
        pieces = pieces[1:]
    if pieces[0].text in _HARMLESS or pieces[0].kind in ("number", "var"):
        return []
    raise CannotTake(f"does more than run a command ({pieces[0].text} in line {statement.line})")


def _call(pieces: Sequence[Token]) -> int:
    """One more than the place of the word that starts a command, 0 if there is none."""
    words = _CALLS | {"Run_subst"}
    return next((at + 1 for at, token in enumerate(pieces) if token.kind == "command" or (token.kind == "word" and token.text in words)), 0)


def _called(pieces: Sequence[Token], known: dict[str, str]) -> str:
    if pieces[0].kind == "command":
        found = perl.interpolated(pieces[0].text, known.get)
        arguments = None if found is None else [found]
    else:
        arguments = perl.values(_before(pieces[1:]), known.get)
    if not arguments:
        raise CannotTake("has a command that only Perl can put together")
    if pieces[0].text == "Run_subst":
        return re.sub(r"%[SDBR%]|%O\s*", lambda match: _PLACEHOLDERS.get(match[0], ""), arguments[0])
    return arguments[0] if len(arguments) == 1 else " ".join(map(_shell_word, arguments))


def _before(pieces: Sequence[Token]) -> Sequence[Token]:
    """An expression without what is done with its value."""
    ends = [at for at, token in enumerate(pieces) if token.kind == "word" and token.text in ("or", "and", "if", "unless")]
    return pieces[: ends[0]] if ends else pieces


def _shell_word(word: str) -> str:
    bare = re.sub(f"[{_STEM}{_FROM}{_TO}]", "", word)
    return word if _PLAIN.fullmatch(bare) and word else shlex.quote(word)


def _assigns(pieces: Sequence[Token], known: dict[str, str]) -> bool:
    """Notes ``my $x = …``, ``my ($x) = @_`` and the like; a value that is not known makes no command with it."""
    while pieces and pieces[0].text in _DECLARATORS:
        pieces = pieces[1:]
    equals = next((at for at, token in enumerate(pieces) if token.kind == "op" and token.text == "="), 0)
    if not equals:
        return False
    names = [token.text for token in pieces[:equals] if token.kind == "var"]
    value = pieces[equals + 1 :]
    for name in names:
        known.pop(name, None)
    if not names:
        return True
    text = value[0].text if value else ""
    if text in ("shift", "@_") and len(value) <= 2:
        known[names[0]] = _STEM
    elif len(names) == 1 and (found := perl.scalar(value, known.get)) is not None:
        known[names[0]] = found
    return True


def _unquoted(command: str) -> str:
    """Quotes around file names go: cpods quotes what it puts there. Raises CannotTake where they stand among special signs."""

    def bare(found: "re.Match[str]") -> str:
        inner = found[1] or found[2] or ""
        if not any(place in inner for place in (_STEM, _FROM, _TO)):
            return found[0]
        if not _PLAIN.fullmatch(re.sub(f"[{_STEM}{_FROM}{_TO}]", "", inner)):
            raise CannotTake("puts a file name between quotes with other signs")
        return inner

    return re.sub(r"""\\.|'([^']*)'|"((?:[^"\\]|\\.)*)\"""", bare, command)
