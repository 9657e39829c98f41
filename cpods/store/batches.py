"""Manifest batches: what one commit brought of results of many keys, in one file of manifest lines.

Knows no result: lines go in and come out by the key that they name.
"""

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


class Batches:
    """The batches of one store, read when first asked for; new ones, of other processes too, are seen at once."""

    def __init__(self, root: str) -> None:
        self._folder = os.path.join(root, MANIFESTS, BATCHES)
        self._seen_ns = -1
        self._names: set[str] = set()
        self._lines: dict[str, list[bytes]] = {}

    def lines(self, key: str) -> list[bytes]:
        """All lines of a key, oldest batch first; they are to be checked."""
        self._look()
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
        self._names.add(name)
        for key, lines in added.items():
            self._lines.setdefault(key, []).extend(line[:-1] for line in lines)

    def _look(self) -> None:
        try:
            changed_ns = os.stat(self._folder).st_mtime_ns
        except FileNotFoundError:
            return
        if changed_ns == self._seen_ns:
            return
        self._seen_ns = changed_ns if changed_ns < time.time_ns() - _RACY_NS else -1
        for name in sorted(set(os.listdir(self._folder)) - self._names):
            self._names.add(name)
            with suppress(FileNotFoundError), open(os.path.join(self._folder, name), "rb") as file:
                for line in file.read().split(b"\n"):
                    self._take(line)

    def _take(self, line: bytes) -> None:
        for start in _KEY_START:
            if line.startswith(start, _BODY_AT):
                first = _BODY_AT + len(start)
                key = line[first : line.find(b'"', first)]
                self._lines.setdefault(key.decode("utf-8", "replace"), []).append(line)
