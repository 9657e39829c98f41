"""What TeX tools say of their searches with KPATHSEA_DEBUG=36: files found and opened, and names that were not found.

Knows no project: paths are as the tool named them, relative to the folder it ran in.

The format is kpathsea's own (6.3.4 of TeX Live 2022, read from its output): ``start generic search(files=[A B], ..., path=P)``,
``casefold_readable_file(A) in DIR => (nil)`` for every folder that was tried in vain, ``returning from generic search([A B]) => F``,
``fopen(F, rb) => 0x...`` or ``(nil)``. Bit 4 is file opening, bit 32 searching.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from cpods.chefs.packages import is_covered, is_tool_cache

#: The value of KPATHSEA_DEBUG that makes tools print all that this module reads.
DEBUG_LEVEL = "36"

_MARK = b"kdebug:"
_MISS_LINE = re.compile(rb"   casefold_readable_file\((.*)\) in (.*) => \(nil\)$")
_START_LINE = re.compile(rb"start (?:generic )?search\((?:files=\[(.*)\]|(?:xname|file)=(.*)), must_exist=\d, find_all=\d, path=(.*)\)\.?$")
_NAME_LINE = re.compile(rb"kpse_find_file: searching for (.*) of type .*$")
_ABSOLUTE_LINE = re.compile(rb" absolute_search\((.*)\) => \(nil\)$")
_OPEN_LINE = re.compile(rb"fopen\((.*), ([rwa][bt+]*)\) => (\S+)")
_FAILED_HANDLES = (b"(nil)", b"0x0", b"0")


class Trace(msgspec.Struct, frozen=True):
    """A run's searches. ``events``: (``INPUT`` or ``OUTPUT``, path) in time order; ``missed``: candidates not found."""

    events: tuple[tuple[str, str], ...]
    missed: tuple[str, ...]


_Start = tuple[bytes, bytes]


class _Search(NamedTuple):
    files: bytes
    path: bytes
    name: bytes
    found: bytes | None


def split_candidates(files: bytes, name: bytes) -> list[bytes]:
    """The candidate names in ``files=[...]`` of a search for ``name``, which blanks separate and may also contain.

    >>> split_candidates(b"chapter one.tex chapter one", b"chapter one")
    [b'chapter one.tex', b'chapter one']
    """
    if name and b" " in name:
        pieces = files.replace(name, b"\0")
        return [part.replace(b"\0", name) for part in pieces.split(b" ") if part]
    return files.split(b" ")


class _Reader:
    """Folds the lines of one trace. Most lines are said many times over, so each text is parsed once."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, bytes], None] = {}
        self.missed: dict[bytes, None] = {}
        self.searches: dict[_Search, None] = {}
        self._name = b""
        self._start: _Start | None = None
        self._seen: set[bytes] = set()
        self._starts: dict[bytes, _Start | None] = {}
        #: By the first three letters behind the mark; all other lines tell nothing.
        self.takers: dict[bytes, Callable[[bytes], None]] = {
            b"   ": self._take_miss,
            b"sta": self._take_start,
            b"ret": self._take_end,
            b"kps": self._take_name,
            b" ab": self._take_absolute,
            b"fop": self._take_open,
        }

    def _take_miss(self, line: bytes) -> None:
        if line not in self._seen:
            self._seen.add(line)
            if found := _MISS_LINE.match(line):
                self._miss(found[2], found[1])

    def _take_start(self, line: bytes) -> None:
        if line not in self._starts:
            found = _START_LINE.match(line)
            self._starts[line] = (found[1] if found[1] is not None else found[2], found[3]) if found else None
        self._start = self._starts[line]

    def _take_name(self, line: bytes) -> None:
        if found := _NAME_LINE.match(line):
            self._name = found[1]

    def _take_absolute(self, line: bytes) -> None:
        if found := _ABSOLUTE_LINE.match(line):
            self.missed[found[1]] = None

    def _miss(self, folder: bytes, name: bytes) -> None:
        self.missed[name if folder == b"." else folder.rstrip(b"/") + b"/" + name] = None

    def _take_end(self, line: bytes) -> None:
        found = line.rpartition(b" =>")[2].strip() or None
        if self._start is not None:
            self.searches[_Search(*self._start, self._name, found)] = None
        self._start = None
        if found:
            self.events[("INPUT", found)] = None

    def _take_open(self, line: bytes) -> None:
        match = _OPEN_LINE.match(line)
        if match is None:
            return
        failed, reading = match[3] in _FAILED_HANDLES, match[2].startswith(b"r")
        if failed and reading:
            self.missed[match[1]] = None
        elif not failed:
            self.events[("INPUT" if reading else "OUTPUT", match[1])] = None


def _is_local(folder: bytes) -> bool:
    return not folder.startswith((b"/", b"!!", b"~", b"$"))


def _earlier(search: _Search) -> Iterator[bytes]:
    """Candidates of a search that come before what was found, in the local folders of its path."""
    names = split_candidates(search.files, search.name)
    found = search.found or b""
    for element in search.path.split(b":"):
        folder = element.rstrip(b"/") or element
        if not _is_local(element):
            continue
        for name in names:
            candidate = name if folder == b"." else folder + b"/" + name
            if found in (candidate, b"./" + candidate):
                return
            if not name.startswith((b"/", b"./", b"../")):
                yield candidate


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _is_useful(path: bytes) -> bool:
    text = _text(path)
    return bool(text) and not is_covered(text) and not is_tool_cache(text)


def read_trace(stderr: bytes) -> Trace:
    """Reads the standard error of a tool that ran with KPATHSEA_DEBUG=36. Foreign lines are skipped."""
    reader = _Reader()
    takers, length = reader.takers, len(_MARK)
    for line in stderr.split(b"\n"):
        # A font run's own chatter may stand before the mark on the same line.
        at = 0 if line.startswith(_MARK) else line.find(_MARK)
        taker = takers.get(line[at + length : at + length + 3]) if at >= 0 else None
        if taker is not None:
            taker(line[at + length :])
    for search in reader.searches:
        for candidate in _earlier(search):
            reader.missed[candidate] = None
    events = tuple((kind, _text(path)) for kind, path in reader.events if _is_useful(path))
    return Trace(events, tuple(_text(path) for path in reader.missed if _is_useful(path)))
