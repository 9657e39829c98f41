"""Files as they were, in columns: a folder's names, four numbers a file, a digest a file, and names that were absent.

Knows no step. A file has a number: those that were there come first, by folder, then those that were absent.
"""

from __future__ import annotations

import os
import stat
import time
from bisect import bisect_left
from struct import error as PackError
from struct import pack

from cpods.store.columns import TYPE_CHECKING, packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cpods.ids import FilePath
    from cpods.store.columns import Columns

#: A file as it was: (path, size, mtime_ns, ctime_ns, inode, digest, checked_ns). Size -1: it was absent.
Row = tuple[str, int, int, int, int, str, int]

ABSENT_SIZE = -1
#: A file whose ctime is nearer than this to the moment it was hashed may have changed since within one clock tick.
RACY_NS = 20_000_000
_INODE_MASK = (1 << 63) - 1
_NUMBERS = 4
_ROW_BYTES = _NUMBERS * 8
_GONE = (ABSENT_SIZE, 0, 0, 0)
#: After so many files that are gone a folder is read: a look at what is not there costs twice a look at what is.
_MISSED_MAX = 8
#: For so many files a folder is opened, so that their names need no way to it: a fifth less for each.
_OPENED_MIN = 16
_GONE_SIZE = pack("q", ABSENT_SIZE)


class FileColumns:
    """What is known of many files. ``racy``: numbers of files whose times prove nothing yet."""

    def __init__(
        self, folders: list[str], names: list[list[str]], states: bytes, digests: tuple[str, int, bytes], absent: list[str]
    ) -> None:
        self.folders = folders
        self.names = names
        self._states = bytearray(states)
        self._numbers = memoryview(self._states).cast("q")  # not array: loading it costs as much as a thousand files
        self.absent = absent
        self.racy: set[int] = set()
        self._prefix, self._width, blob = digests
        self._digests = bytearray(blob)
        self.starts = [0]
        for here in names:
            self.starts.append(self.starts[-1] + len(here))
        self._places = {folder: place for place, folder in enumerate(folders)}

    def __len__(self) -> int:
        return self.starts[-1] + len(self.absent)

    # -- paths and numbers -----------------------------------------------------------------------------------------

    def path(self, number: int) -> FilePath:
        """The path of a file."""
        if number >= self.starts[-1]:
            return self.absent[number - self.starts[-1]]
        place = bisect_left(self.starts, number + 1) - 1
        return _joined(self.folders[place], self.names[place][number - self.starts[place]])

    def number(self, path: FilePath) -> int | None:
        """The number of a file, None if it is not among these."""
        folder, _, name = path.rpartition("/")
        place = self._places.get(folder if folder or not path.startswith("/") else "/")
        if place is not None:
            here = self.names[place]
            index = bisect_left(here, name)
            if index < len(here) and here[index] == name:
                return self.starts[place] + index
        index = bisect_left(self.absent, path)
        return self.starts[-1] + index if index < len(self.absent) and self.absent[index] == path else None

    def digest(self, number: int) -> str:
        """The digest that a file had; '' for one that was absent."""
        if number >= self.starts[-1]:
            return ""
        return self._prefix + self._digests[number * self._width : (number + 1) * self._width].hex()

    def state(self, number: int) -> tuple[int, int, int, int] | None:
        """Size, mtime_ns, ctime_ns and inode that a file had; None for one that was absent."""
        if number >= self.starts[-1]:
            return None
        size, mtime_ns, ctime_ns, inode = self._numbers[number * _NUMBERS : (number + 1) * _NUMBERS]
        return size, mtime_ns, ctime_ns, inode

    # -- comparing with what is there ------------------------------------------------------------------------------

    def differing(self, root: str) -> list[int]:
        """Files whose state is another one now, or proves nothing; their content may still be the same."""
        gone, doubtful = self.survey(root)
        return gone + doubtful

    def survey(self, root: str) -> tuple[list[int], list[int]]:
        """Files that are gone, in order; and others whose state is another one now, or proves nothing."""
        found: list[int] = []
        gone: list[int] = []
        recorded = self._states
        for place, here in enumerate(self.names):
            start = self.starts[place]
            now = _states(_prefix_of(root, self.folders[place]), here)
            if now != recorded[start * _ROW_BYTES : (start + len(here)) * _ROW_BYTES]:
                for number in self._rows_differing(start, now):
                    at = (number - start) * _ROW_BYTES
                    (gone if now[at : at + len(_GONE_SIZE)] == _GONE_SIZE else found).append(number)
        found += self.racy.difference(found, gone)
        base = self.starts[-1]
        for index, path in enumerate(self.absent):
            if os.access(path if path[0] == "/" else f"{root}/{path}", os.F_OK):
                found.append(base + index)
        return gone, found

    def listed(self, numbers: Sequence[int]) -> list[tuple[FilePath, bytes, int]]:
        """Path, digest without its algorithm, and size of files that were there, given in order."""
        found: list[tuple[FilePath, bytes, int]] = []
        place, start, end, width = -1, 0, 0, self._width
        prefix, names = "", list[str]()
        for number in numbers:
            while number >= end:
                place += 1
                start, end = self.starts[place], self.starts[place + 1]
                prefix, names = _joined(self.folders[place], ""), self.names[place]
            digest = bytes(self._digests[number * width : (number + 1) * width])
            found.append((prefix + names[number - start], digest, self._numbers[number * _NUMBERS]))
        return found

    @property
    def algorithm(self) -> str:
        """The name of the digests' algorithm."""
        return self._prefix[:-1]

    def differs(self, root: str, number: int) -> bool:
        """As :meth:`differing`, of one file."""
        path = self.path(number)
        absolute = path if path[0] == "/" else f"{root}/{path}"
        if number >= self.starts[-1]:
            return os.access(absolute, os.F_OK)
        now = _state(absolute)
        return number in self.racy or now != self.state(number)

    def unlike(self, other: FileColumns) -> list[int]:
        """Files that other columns over the same files know with another state."""
        found: list[int] = []
        for place, here in enumerate(self.names):
            start = self.starts[place] * _ROW_BYTES
            theirs = bytes(other._states[start : start + len(here) * _ROW_BYTES])
            if theirs != self._states[start : start + len(here) * _ROW_BYTES]:
                found += self._rows_differing(self.starts[place], theirs)
        return found

    def changed(self, root: str, numbers: Iterable[int]) -> tuple[list[int], bool]:
        """Of files whose state differs, those whose content does; and whether others have newer states to be written down."""
        changed, renewed = [], False
        for number in numbers:
            path = self.path(number)
            same = self._is_same(number, path if path[0] == "/" else f"{root}/{path}")
            if same is None:
                changed.append(number)
            renewed = renewed or bool(same)
        return changed, renewed

    def take(self, number: int, row: Row) -> None:
        """A file that was there is as this row says now."""
        _, *numbers, digest, checked_ns = row
        self._put(number, (numbers[0], numbers[1], numbers[2], numbers[3]), checked_ns)
        self._digests[number * self._width : (number + 1) * self._width] = bytes.fromhex(digest[len(self._prefix) :])

    def fits(self, number: int | None, row: Row) -> bool:
        """Whether :meth:`take` may be called: the file keeps its number only if it is still there, or still absent."""
        if number is None:
            return False
        absent = number >= self.starts[-1]
        return absent == (row[1] == ABSENT_SIZE) and (absent or _split(row[5])[0] == self._prefix)

    def _put(self, number: int, state: tuple[int, int, int, int], checked_ns: int) -> None:
        self._states[number * _ROW_BYTES : (number + 1) * _ROW_BYTES] = pack("4q", *state)
        if state[2] >= checked_ns - RACY_NS:
            self.racy.add(number)
        else:
            self.racy.discard(number)

    def _rows_differing(self, start: int, now: bytes) -> list[int]:
        recorded = self._states[start * _ROW_BYTES : start * _ROW_BYTES + len(now)]
        steps = range(0, len(now), _ROW_BYTES)
        return [start + at // _ROW_BYTES for at in steps if now[at : at + _ROW_BYTES] != recorded[at : at + _ROW_BYTES]]

    def _is_same(self, number: int, absolute: str) -> bool | None:
        """None if the content is another one; True if it is the same and its new state was taken, False if nothing is to be noted."""
        try:
            now = os.stat(absolute)
        except OSError:
            return False if number >= self.starts[-1] else None
        regular = stat.S_ISREG(now.st_mode)
        if number >= self.starts[-1]:
            return None if regular else False
        if not regular or now.st_size != self._numbers[number * _NUMBERS]:
            return None
        from cpods.digest import algorithm_of, of_file

        checked_ns = time.time_ns()
        was = self.digest(number)
        try:
            if of_file(absolute, algorithm_of(was))[0] != was:
                return None
        except OSError:
            return None
        self._put(number, (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino & _INODE_MASK), checked_ns)
        return True

    # -- as parts of a file ----------------------------------------------------------------------------------------

    def parts(self) -> dict[str, bytes]:
        """The parts to write."""
        return {
            "names": packed((self.folders, self.names, self.absent)),
            "states": bytes(self._states),
            "racy": packed(sorted(self.racy)),
            "digests": packed((self._prefix, self._width, bytes(self._digests))),
        }

    @classmethod
    def of_parts(cls, columns: Columns) -> FileColumns:
        """What :meth:`parts` wrote. Raises ValueError, KeyError, OSError, EOFError, TypeError."""
        folders, names, absent = columns.load("names")
        states = columns.raw("states")
        found = cls(folders, names, states, columns.load("digests"), absent)
        if len(states) != found.starts[-1] * _ROW_BYTES:
            raise ValueError("columns of different lengths")
        found.racy = set(columns.load("racy"))
        return found


def of_rows(rows: Iterable[Row]) -> FileColumns:
    """Columns of these rows. Raises ValueError if their digests are not all of one algorithm."""
    by_folder: dict[str, list[Row]] = {}
    absent = []
    for row in rows:
        if row[1] == ABSENT_SIZE:
            absent.append(row[0])
        else:
            folder = row[0].rpartition("/")[0] or ("/" if row[0].startswith("/") else "")
            by_folder.setdefault(folder, []).append(row)
    folders = sorted(by_folder)
    states, racy, digests = bytearray(), set(), bytearray()
    prefix, width = "", 0
    for folder in folders:
        by_folder[folder].sort()
        for _, size, mtime_ns, ctime_ns, inode, digest, checked_ns in by_folder[folder]:
            if ctime_ns >= checked_ns - RACY_NS:
                racy.add(len(states) // _ROW_BYTES)
            states += pack("4q", size, mtime_ns, ctime_ns, inode)
            this_prefix, raw = _split(digest)
            if (this_prefix, len(raw)) != (prefix, width) and digests:
                raise ValueError("digests of two algorithms")
            prefix, width = this_prefix, len(raw)
            digests += raw
    names = [[row[0].rpartition("/")[2] for row in by_folder[folder]] for folder in folders]
    found = FileColumns(folders, names, bytes(states), (prefix, width, bytes(digests)), sorted(absent))
    found.racy = racy
    return found


def _split(digest: str) -> tuple[str, bytes]:
    """The algorithm's name with its colon, and the digest proper."""
    name, colon, value = digest.partition(":")
    return name + colon, bytes.fromhex(value)


def _joined(folder: str, name: str) -> FilePath:
    return f"{folder}/{name}" if folder and folder != "/" else folder + name


def _prefix_of(root: str, folder: str) -> str:
    if folder.startswith("/"):
        return folder if folder == "/" else folder + "/"
    return f"{root}/{folder}/" if folder else f"{root}/"


def _states(prefix: str, names: Sequence[str]) -> bytes:
    """Four numbers a file, as the columns have them."""
    folder, start = _opened(prefix, len(names))
    try:
        numbers = _numbers(folder, start, prefix, names)
    finally:
        if folder is not None:
            os.close(folder)
    try:
        return pack(f"{len(numbers)}q", *numbers)
    except PackError:  # an inode beyond 63 bits
        return b"".join(pack("4q", *_state(prefix + name)) for name in names)


def _opened(prefix: str, count: int) -> tuple[int | None, str]:
    """How so many files of a folder are looked for: a descriptor of it, and what comes before their names."""
    if count < _OPENED_MIN:
        return None, prefix
    try:
        return os.open(prefix, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), ""
    except OSError:  # it is gone, say
        return None, prefix


def _numbers(folder: int | None, start: str, prefix: str, names: Sequence[str]) -> list[int]:
    numbers: list[int] = []
    look = os.stat
    missed = 0
    for name in names:
        try:
            now = look(start + name, dir_fd=folder)
        except OSError:
            numbers += _GONE
            missed += 1
            if missed == _MISSED_MAX:
                return numbers + _numbers_of_listed(prefix, names[len(numbers) // _NUMBERS :])
        else:
            numbers += (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino)
    return numbers


def _numbers_of_listed(prefix: str, names: Sequence[str]) -> list[int]:
    """As :func:`_numbers`, for a folder from which many files are gone: only what it lists is looked at."""
    try:
        listed = set(os.listdir(prefix))
    except FileNotFoundError:
        listed = set()
    except OSError:
        listed = set(names)
    numbers: list[int] = []
    for name in names:
        numbers += _state(prefix + name) if name in listed else _GONE
    return numbers


def _state(absolute: str) -> tuple[int, int, int, int]:
    try:
        now = os.stat(absolute)
    except OSError:
        return _GONE
    return now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino & _INODE_MASK
