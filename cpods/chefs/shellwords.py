"""Words of a shell command line: which programs it starts, and whether it needs a shell at all.

Knows POSIX sh syntax well enough to find command words; knows no variables' values and runs nothing.
"""

import posixpath
from collections.abc import Iterable, Sequence
from functools import lru_cache

from cpods.chefs.shelllexer import Word, scan

#: Commands that sh carries out itself, or that its fingerprint covers.
BUILTINS = frozenset((
    ".", ":", "[", "alias", "bg", "break", "cd", "command", "continue", "echo", "eval", "exec", "exit", "export", "false", "fg",
    "getopts", "hash", "jobs", "kill", "local", "printf", "pwd", "read", "readonly", "return", "set", "shift", "source", "test",
    "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "wait",
))  # fmt: skip
KEYWORDS = frozenset((
    "!", "{", "}", "case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in", "select", "then", "until", "while",
    "[[", "]]", "function", "time", "coproc",
))  # fmt: skip
#: Programs whose first plain argument is a program again, with those of their options that take a value.
WRAPPERS = {
    "ccache": (),
    "distcc": (),
    "env": ("-u", "-C", "--unset", "--chdir"),
    "exec": ("-a",),
    "command": (),
    "time": ("-f", "-o"),
    "nohup": (),
    "nice": ("-n",),
    "ionice": ("-c", "-n"),
    "setsid": (),
    "stdbuf": ("-i", "-o", "-e"),
    "timeout": ("-k", "-s"),
    "xargs": ("-I", "-n", "-P", "-L", "-d", "-E", "-s"),
}
_SHELLS = frozenset(("sh", "bash", "dash"))
_DEPTH_MAX = 50
_REDIRECTIONS = frozenset((">>", "<<", "<<-", "<&", ">&", "<>", ">|", "<", ">"))


def programs(run: str) -> tuple[str, ...]:
    """The programs that a command line starts, each once, in order of appearance, without builtins and functions.

    Looks into ``$(...)``, backticks, subshells, ``sh -c '...'`` and behind ``env``, ``exec``, ``nohup`` and their like.
    A command word that holds an expansion cannot be known and is left out.
    """
    return tuple(dict.fromkeys(word for command in commands(run) for word in _started(command)))


def commands(run: str) -> list[list[str | None]]:
    """All simple commands in order of appearance, nested ones too, without redirections and assignments in front.

    An argument with an expansion is None.
    """
    return _commands(run, 0)


def local_programs(run: str) -> tuple[str, ...]:
    """Programs named by a relative path (``./gen``) that no command before them names: files of the project.

    Empty if the command line changes its folder, because the paths then have another meaning.
    """
    found: list[str] = []
    named: set[str] = set()
    for command in commands(run):
        if command[0] == "cd":
            return ()
        for word in _started(command):
            if "/" in word and not word.startswith("/") and posixpath.normpath(word) not in named:
                found.append(word)
        named |= {posixpath.normpath(word) for word in command if word}
    return tuple(dict.fromkeys(found))


def direct(run: str) -> tuple[str, ...] | None:
    """The argument vector if ``run`` is one program with literal arguments, so that it means the same without a shell.

    None for builtins, keywords, and programs with a path: a script without ``#!`` runs only from a shell.
    """
    found = scan(run)
    if not found.plain or not found.words or any(word.operator for word in found.words):
        return None
    argv = tuple(word.text for word in found.words if word.text is not None)
    first = argv[0]
    if not first or "/" in first or first in BUILTINS or first in KEYWORDS or found.words[0].assignment:
        return None
    return argv


def _started(command: list[str | None]) -> Iterable[str]:
    """The programs of one simple command: its word, and those behind wrappers."""
    rest = list(command)
    while rest:
        word = rest.pop(0)
        if not word:
            return
        if word not in BUILTINS and not (word in KEYWORDS and word != "time"):
            yield word
        name = posixpath.basename(word)
        if name in _SHELLS and "-c" in rest[:2]:
            script = rest[rest.index("-c") + 1 :][:1]
            yield from programs(script[0]) if script and script[0] else ()
            return
        if name not in WRAPPERS:
            return
        rest = _behind_wrapper(name, rest)


def _behind_wrapper(name: str, rest: list[str | None]) -> list[str | None]:
    """What a wrapper starts: the words behind its options, assignments and (timeout) its duration."""
    at = 0
    while at < len(rest):
        word = rest[at]
        if word is not None and word.startswith("-"):
            at += 2 if word in WRAPPERS[name] else 1
        elif name == "env" and (word is None or "=" in word):
            at += 1
        else:
            break
    if name == "command" and any(word in ("-v", "-V") for word in rest[:at]):
        return []
    return rest[at + 1 :] if name == "timeout" else rest[at:]


@lru_cache(maxsize=64)  # asked for all programs and for local ones; the caller changes no list
def _commands(run: str, depth: int) -> list[list[str | None]]:
    if depth > _DEPTH_MAX:
        return []
    text = scan(run)
    functions: set[str] = set()
    found = _Splitter(text.words, functions).commands()
    for inner in text.nested:
        found += _commands(inner, depth + 1)
    return [command for command in found if command and command[0] not in functions]


class _Splitter:
    """Cuts words into simple commands, over keywords, ``for`` lists and ``case`` patterns."""

    def __init__(self, words: Sequence[Word], functions: set[str]) -> None:
        self.words = words
        self.functions = functions
        self.at = 0
        self.found: list[list[str | None]] = []
        self.current: list[str | None] = []
        self.cases = 0

    def commands(self) -> list[list[str | None]]:
        while self.at < len(self.words):
            word = self.words[self.at]
            self.at += 1
            if word.operator:
                self._operator(word.text or "")
            elif not self.current and not word.quoted and word.text in KEYWORDS:
                self._keyword(word.text or "")
            elif self.current or not word.assignment:
                self.current.append(word.text)
        self._end()
        return self.found

    def _operator(self, operator: str) -> None:
        if operator in _REDIRECTIONS:
            self.at += 1  # its file
        elif operator == "(" and len(self.current) == 1 and self._peek() == ")":
            self.functions.add(self.current.pop() or "")
            self.at += 1
        else:
            self._end()
            if operator == ";;" and self.cases:
                self._pattern()

    def _keyword(self, keyword: str) -> None:
        if keyword in ("for", "select"):
            self._until(";", "\n")
        elif keyword == "function":
            self.functions.add(self._peek() or "")
            self.at += 1
        elif keyword == "case":
            self.cases += 1
            self.at += 2  # the word and `in`
            self._pattern()
        elif keyword == "esac":
            self.cases = max(0, self.cases - 1)
        elif keyword == "time":
            self.current.append(keyword)
        elif keyword == "[[":
            self._until("]]")

    def _pattern(self) -> None:
        """Steps over ``a | b)`` of a case, or to the closing ``esac``."""
        while self._peek() == "\n":
            self.at += 1
        if self._peek() != "esac":
            self._until(")")

    def _until(self, *ends: str) -> None:
        while self.at < len(self.words) and self.words[self.at].text not in ends:
            self.at += 1
        self.at += 1

    def _peek(self) -> str | None:
        return self.words[self.at].text if self.at < len(self.words) else None

    def _end(self) -> None:
        if self.current:
            self.found.append(self.current)
        self.current = []
