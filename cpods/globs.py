"""Patterns over a listing of project files: ``*``, ``?``, ``[...]`` within a folder, ``**`` over folders.

Knows no file system: a listing is a sequence of paths.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from cpods.ids import FilePath

_SPECIAL = frozenset("*?[")


def is_pattern(path: str) -> bool:
    """Whether a path in a project file is a pattern. A literal ``*`` is written ``[*]``, a literal ``[`` is ``[[]``."""
    return not _SPECIAL.isdisjoint(path)


def expand(pattern: str, listing: Iterable[FilePath]) -> tuple[FilePath, ...]:
    """All files of the listing that match, sorted. As in a shell, ``*`` and ``?`` do not match a leading dot."""
    matches = matcher(pattern).fullmatch
    return tuple(sorted(path for path in listing if matches(path)))


def literal_folder(pattern: str) -> str:
    """The folders at a pattern's start that have no special characters."""
    literal = []
    for part in pattern.split("/")[:-1]:
        if part in ("", "..") or any(char in part for char in "*?["):
            break
        if part != ".":
            literal.append(part)
    return "/".join(literal)


@lru_cache(maxsize=4096)
def matcher(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression for whole project paths. Raises ValueError for an unclosed ``[``."""
    parts = [part for part in pattern.split("/") if part != "."]
    whole = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            whole += r"(?:(?!\.)[^/]+/)*" + (r"(?!\.)[^/]+" if last else "")
        else:
            whole += _segment(part) + ("" if last else "/")
    return re.compile(whole, re.DOTALL)


def _segment(part: str) -> str:
    """One folder's or file's name as a regular expression."""
    said = r"(?!\.)" if part[:1] in ("*", "?", "[") else ""
    at = 0
    while at < len(part):
        if part[at] == "[":
            piece, at = _bracket(part, at)
            said += piece
            continue
        said += {"*": "[^/]*", "?": "[^/]"}.get(part[at], re.escape(part[at]))
        at += 1
    return said


def _bracket(part: str, at: int) -> tuple[str, int]:
    """A character class that opens at ``at``: (regular expression, where it goes on)."""
    inverted = part[at + 1 : at + 2] in ("!", "^")
    start = at + 2 if inverted else at + 1
    end = part.find("]", start + 1)  # a ] right behind the opening is a member
    if end < 0:
        raise ValueError(f"{part!r} opens a [ that nothing closes; a literal [ is written [[]")
    members = re.sub(r"([\\\[\]^&~|])", r"\\\1", part[start:end])
    try:
        re.compile(f"[{members}]")
    except re.error as error:
        raise ValueError(f"{part[at : end + 1]!r} is no set of characters: {error.msg}") from None
    return (f"(?!/)[^{members}]" if inverted else f"(?!/)[{members}]"), end + 1
