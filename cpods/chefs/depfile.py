"""Make's dependency files as compilers write them (``-MD``): targets, a colon, prerequisites.

Knows neither compilers nor recipes, variables or patterns; a line that is no rule is an error.
"""

from collections.abc import Sequence

import msgspec

from cpods.chefs.packages import is_covered
from cpods.ids import FilePath, normalise, within


class Rule(msgspec.Struct, frozen=True):
    """One rule: file names as the compiler wrote them, unescaped."""

    targets: tuple[str, ...]
    prerequisites: tuple[str, ...]


def parse(data: bytes) -> tuple[Rule, ...]:
    r"""All rules of a depfile. Raises ValueError, with the line, for text that is none.

    ``\`` before a newline continues a line; before a blank or ``#`` it escapes it (2n+1 backslashes before a blank are n
    and a blank, as in GNU make and gcc); ``$$`` is ``$``.
    """
    rules: list[Rule] = []
    for number, line in _logical_lines(data.decode("utf-8", "surrogateescape")):
        words = _words(line)
        if not words:
            continue
        colon = next((at for at, (text, literal) in enumerate(words) if text == ":" and not literal), None)
        if colon is None or colon == 0:
            raise ValueError(f"line {number}: expected targets, a colon and prerequisites")
        names = [text for text, _ in words]
        rules.append(Rule(tuple(names[:colon]), tuple(name for name in names[colon + 1 :] if name not in (":", "|"))))
    return tuple(rules)


def project_paths(rules: Sequence[Rule], cwd: FilePath, root: str) -> tuple[FilePath, ...]:
    """The prerequisites as project paths, each once, without files of packages. ``cwd``: where the compiler ran."""
    paths: dict[FilePath, None] = {}
    for rule in rules:
        for name in rule.prerequisites:
            path = project_path(name, cwd, root)
            if not is_covered(path):
                paths[path] = None
    return tuple(paths)


def project_path(name: str, cwd: FilePath, root: str) -> FilePath:
    """The project path of a file that a tool running in ``cwd`` (a project path) calls ``name``; outside ones absolute."""
    clean = normalise(name, cwd)
    if clean == ".." or clean.startswith("../"):
        clean = normalise(clean, root)
    return within(clean, root) if clean.startswith("/") else clean


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """(number of the first physical line, text) with continuations joined by a blank."""
    lines: list[tuple[int, str]] = []
    parts: list[str] = []
    first = 1
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.removesuffix("\r")
        if not parts:
            first = number
        continued = (len(line) - len(line.rstrip("\\"))) % 2 == 1
        parts.append(line[:-1] if continued else line)
        if not continued:
            lines.append((first, " ".join(parts)))
            parts = []
    return [*lines, (first, " ".join(parts))] if parts else lines


def _words(line: str) -> list[tuple[str, bool]]:
    """(word, whether it came from a name) up to a comment; a separating colon is the word ``:`` that came from none."""
    words: list[tuple[str, bool]] = []
    current = ""
    at = 0
    while at < len(line):
        char = line[at]
        if char == "\\":
            piece, at = _backslashes(line, at)
            current += piece
            continue
        if char == "$" and line.startswith("$$", at):
            current, at = current + "$", at + 2
            continue
        if char == "#":
            break
        if char in " \t" or _separates(line, at, words):
            words += [(current, True)] if current else []
            words += [(":", False)] if char == ":" else []
            current = ""
        else:
            current += char
        at += 1
    return [*words, (current, True)] if current else words


def _separates(line: str, at: int, words: list[tuple[str, bool]]) -> bool:
    """Whether the colon at ``at`` ends the targets: the first one with a blank or the end (or ``::``) behind it."""
    return line[at] == ":" and (":", False) not in words and line[at + 1 : at + 2] in ("", " ", "\t", ":")


def _backslashes(line: str, at: int) -> tuple[str, int]:
    """What a run of backslashes means, by what stands behind it, and where the text goes on."""
    end = at
    while end < len(line) and line[end] == "\\":
        end += 1
    count = end - at
    behind = line[end : end + 1]
    if behind in (" ", "\t", "#") and behind and count % 2:
        return "\\" * (count // 2) + behind, end + 1
    if behind in (" ", "\t") and behind:
        return "\\" * (count // 2), end
    if behind == ":" and count % 2:
        return "\\" * (count // 2) + ":", end + 1
    return "\\" * count, end
