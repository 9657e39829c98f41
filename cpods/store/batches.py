"""Manifest batches: what one commit brought of results of many keys, in one file of manifest lines.

Knows no result: lines go in and come out by the key that they name.
"""

import mmap
import os
import time
from contextlib import suppress

from cpods.store.files import new_file, write_all
from cpods.store.layout import BATCHES, MANIFESTS

#: A commit of results of fewer keys appends to a file of each: batches are for crowds.
KEYS_MIN = 64

_KEY_START = (b'{"static_key":"', b'{"key":"')
_BODY_AT = 19  # kind, blank, 16 hex, blank
_RACY_NS = 20_000_000
#: So many keys are searched for; who asks for more has all lines sorted by key, which takes as long as some fifty searches.
_SEARCHES_MAX = 32


class Batches:
    """The batches of one store, read when first asked for; new ones, of other processes too, are seen at once.

    A build of a few steps among many asks for a few keys: these are searched for.
    """

    def __init__(self, root: str) -> None:
        self._folder = os.path.join(root, MANIFESTS, BATCHES)
        self._seen_ns = -1
        self._names: list[str] = []  # that are there, oldest first …
        self._read = 0  # … and how many of them are sorted by key
        self._lines: dict[str, list[bytes]] = {}
        self._found: dict[str, list[bytes]] = {}  # by key, where it was searched for

    def lines(self, key: str) -> list[bytes]:
        """All lines of a key, oldest batch first; they are to be checked."""
        self._look()
        if not self._read and len(self._found) < _SEARCHES_MAX:
            if key not in self._found:
                self._found[key] = [line for name in self._names for line in self._search(name, key)]
            return self._found[key]
        self._sort()
        return self._lines.get(key, [])

    def write(self, added: dict[str, list[bytes]]) -> None:
        """Makes a batch of these lines by key. Raises OSError; then there is none."""
        os.makedirs(self._folder, exist_ok=True)
        self._look()
        name = f"{time.time_ns():020d}-{os.getpid()}"
        path = os.path.join(self._folder, name)
        temporary = os.path.join(os.path.dirname(self._folder), f".{name}")
        with new_file(temporary, 0o644) as target:
            write_all(target, b"".join(line for lines in added.values() for line in lines))
            os.rename(temporary, path)
        if self._read == len(self._names):
            self._read += 1
            for key, lines in added.items():
                self._lines.setdefault(key, []).extend(line[:-1] for line in lines)
        self._names.append(name)
        self._found.clear()

    def _look(self) -> None:
        try:
            changed_ns = os.stat(self._folder).st_mtime_ns
        except FileNotFoundError:
            return
        if changed_ns == self._seen_ns:
            return
        self._seen_ns = changed_ns if changed_ns < time.time_ns() - _RACY_NS else -1
        new = sorted(set(os.listdir(self._folder)).difference(self._names))
        if new:
            self._names += new
            self._found.clear()

    def _sort(self) -> None:
        """Sorts the lines of new batches by their keys."""
        for name in self._names[self._read :]:
            with suppress(FileNotFoundError), open(os.path.join(self._folder, name), "rb") as file:
                for line in file.read().split(b"\n"):
                    self._take(line)
        self._read = len(self._names)
        self._found.clear()

    def _search(self, name: str, key: str) -> list[bytes]:
        """A key's lines in one batch."""
        wanted = b'"%s"' % key.encode("utf-8", "surrogateescape")
        found = []
        # Empty files cannot be mapped; one that another process collects meanwhile is no error.
        with (
            suppress(FileNotFoundError, ValueError),
            open(os.path.join(self._folder, name), "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            at = data.find(wanted)
            while at >= 0:
                start = data.rfind(b"\n", 0, at) + 1
                end = data.find(b"\n", at)
                line = data[start : end if end >= 0 else len(data)]
                if any(line.startswith(opening, _BODY_AT) and at - start == _BODY_AT + len(opening) - 1 for opening in _KEY_START):
                    found.append(line)
                at = data.find(wanted, at + 1)
        return found

    def _take(self, line: bytes) -> None:
        for start in _KEY_START:
            if line.startswith(start, _BODY_AT):
                first = _BODY_AT + len(start)
                key = line[first : line.find(b'"', first)]
                self._lines.setdefault(key.decode("utf-8", "replace"), []).append(line)
