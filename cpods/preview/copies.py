"""Copies of published files that stay as they are, whatever happens to the file: it may be written again, or deleted.

Knows no PDF. A copy has no name in any folder, so that a crash leaves nothing behind; who needs a path gets that of the descriptor.
"""

import contextlib
import os
import tempfile
from typing import BinaryIO

import xxhash

_CHUNK_BYTES = 1 << 20

#: A file that changes while it is copied is copied again, so often.
_ATTEMPTS_MAX = 3


class Copy:
    """A file's bytes at one moment. ``digest`` tells equal ones."""

    def __init__(self, file: BinaryIO, size: int, digest: str) -> None:
        self._file = file
        self.size = size
        self.digest = digest

    @property
    def path(self) -> str:
        """Opens as a file of its own, also in another process of this user, until :meth:`close`."""
        return f"/proc/{os.getpid()}/fd/{self._file.fileno()}"

    @property
    def closed(self) -> bool:
        """Whether the bytes are gone."""
        return self._file.closed

    def open(self) -> BinaryIO:
        """The bytes from the start; stays readable when the copy is closed."""
        return open(self.path, "rb")

    def close(self) -> None:
        """Gives the bytes back."""
        self._file.close()


def take(path: str) -> Copy | None:
    """A copy of the file; None if it is not there, or will not hold still. Blocks: for a thread."""
    for _ in range(_ATTEMPTS_MAX):
        with contextlib.ExitStack() as undo:
            try:
                source = undo.enter_context(open(path, "rb"))
            except OSError:
                return None
            target = undo.enter_context(tempfile.TemporaryFile(prefix="cpods-preview-"))
            before = _stamp(source.fileno())
            digest = xxhash.xxh3_128()
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                target.write(chunk)
            target.flush()
            size = target.tell()
            if _stamp(source.fileno()) == before and size == before[0]:
                source.close()
                undo.pop_all()
                return Copy(target, size, digest.hexdigest())
    return None


def _stamp(descriptor: int) -> tuple[int, int, int]:
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns, found.st_ino
