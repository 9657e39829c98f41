"""An object that arrives in pieces, in any order: a temporary file that becomes a put object once it is whole.

Knows no holder, no connection and no digest's computation: who writes it says that it is right.
"""

import os
from collections.abc import Callable
from contextlib import suppress


class FileIncoming:
    """A new temporary file. ``settle`` is called once, by :meth:`accept`, with its path. Raises OSError."""

    def __init__(self, path: str, executable: bool, settle: Callable[[str], None]) -> None:
        self._path = path
        self._settle = settle
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o555 if executable else 0o444)

    def write_at(self, data: bytes, offset: int) -> None:
        """Writes all of ``data`` at ``offset`` (bytes). Raises OSError (a full disk); what was written before stays."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._descriptor, rest, offset)
            rest, offset = rest[written:], offset + written

    def read_at(self, size: int, offset: int) -> bytes:
        """What lies there now: up to ``size`` bytes, fewer at the end, zeros where nothing was written yet. Raises OSError."""
        blocks = []
        while size > 0 and (block := os.pread(self._descriptor, size, offset)):
            blocks.append(block)
            size, offset = size - len(block), offset + len(block)
        return b"".join(blocks)

    def set_executable(self) -> None:
        """It was found out meanwhile that the file is executable where it comes from. Raises OSError."""
        os.fchmod(self._descriptor, 0o555)

    def accept(self) -> None:
        """Its digest matched: from now on it is a put object, durable and visible to others after the store's commit."""
        self._close()
        self._settle(self._path)

    def discard(self) -> None:
        """Deletes it. Idempotent, and nothing after :meth:`accept`."""
        if self._descriptor >= 0:
            self._close()
            with suppress(FileNotFoundError):
                os.unlink(self._path)

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1
