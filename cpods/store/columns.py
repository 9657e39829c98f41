"""A file of named parts that is read in a blink: each part is one block of bytes, read and checked when it is asked for.

Knows no meaning of a part. A head that does not fit this version, or a checksum that does not fit, is a ValueError: the
caller then goes the long way. Standard library and xxhash only, since imports are a good part of a null build's time.
"""

from __future__ import annotations

import marshal
import os
import sys

from xxhash import xxh3_64_intdigest

#: Stands for typing's constant of that name: typing, collections and contextlib cost more than a small null build.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: Columns are marshalled, so a file holds for one Python only; any difference and the catalogue is read instead.
_FORMAT = f"cpods columns 3, Python {sys.version_info[0]}.{sys.version_info[1]}\n".encode()
_HEAD_BYTES = 16  # length and checksum of the table of parts


class Columns:
    """One open file of parts. Raises OSError, ValueError."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._descriptor).st_size
        try:
            start = os.pread(self._descriptor, len(_FORMAT) + _HEAD_BYTES, 0)
            if not start.startswith(_FORMAT) or len(start) != len(_FORMAT) + _HEAD_BYTES:
                raise ValueError(f"{path}: written by another version")
            length, checksum = int.from_bytes(start[-16:-8], "little"), int.from_bytes(start[-8:], "little")
            self._table: dict[str, tuple[int, int, int]] = marshal.loads(self._checked(len(start), length, checksum))
            self._base = len(start) + length
        except BaseException:
            os.close(self._descriptor)
            raise

    def raw(self, name: str) -> bytes:
        """A part's bytes. Raises KeyError, ValueError, OSError."""
        offset, length, checksum = self._table[name]
        return self._checked(self._base + offset, length, checksum)

    def load(self, name: str) -> Any:
        """A part that is one marshalled value. Raises as :meth:`raw`, EOFError and TypeError too."""
        return marshal.loads(self.raw(name))

    def names(self) -> list[str]:
        """Which parts there are."""
        return list(self._table)

    def is_current(self) -> bool:
        """Whether nobody wrote the file again since it was opened."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self.path))
        except OSError:
            return False

    def close(self) -> None:
        """Releases the file. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _checked(self, offset: int, length: int, checksum: int) -> bytes:
        data = os.pread(self._descriptor, min(length, self._size), offset)
        if len(data) != length or xxh3_64_intdigest(data) != checksum:
            raise ValueError(f"{self.path}: damaged")
        return data


def write(path: str, parts: Mapping[str, bytes]) -> None:
    """Writes all parts beside the place, then by rename. Raises OSError.

    Not made durable: what a crash leaves is either the old file, or one that its checksums give away.
    """
    table: dict[str, tuple[int, int, int]] = {}
    offset = 0
    for name, data in parts.items():
        table[name] = (offset, len(data), xxh3_64_intdigest(data))
        offset += len(data)
    head = marshal.dumps(table)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(_FORMAT + len(head).to_bytes(8, "little") + xxh3_64_intdigest(head).to_bytes(8, "little") + head)
            for data in parts.values():
                file.write(data)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def packed(value: Any) -> bytes:
    """A value as a part that :meth:`Columns.load` gives back: plain containers, numbers, texts and bytes."""
    return marshal.dumps(value)
