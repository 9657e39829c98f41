"""The index at the end of a pack, read without msgspec, which takes as long to load as hundreds of files take to make.

Knows no store; docs/on-disk.md tells the format, packs.py writes it. Standard library and xxhash only.
"""

from __future__ import annotations

import os
from struct import Struct
from struct import error as StructError

from xxhash import xxh3_64_hexdigest

TAIL = Struct(">Q16s8s")  # bytes of the index, its checksum, an end mark
END = b"packend\n"

#: How an entry begins, msgpack: a list of four, whose first is a text of 37 bytes, an XXH3-128 with its name.
_ENTRY = b"\x94\xd9\x25xxh3:"
_HEX_BYTES = 32
#: How many bytes follow the mark of a number.
_WIDTHS = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_FALSE, _TRUE = 0xC2, 0xC3


def index_bytes(descriptor: int) -> bytes | None:
    """The index of an open pack as it was written; None if it is damaged. Raises OSError."""
    size = os.fstat(descriptor).st_size
    try:
        length, checksum, end = TAIL.unpack(os.pread(descriptor, TAIL.size, max(0, size - TAIL.size)))
    except StructError:
        return None
    start = size - TAIL.size - length
    if end != END or start < 0:
        return None
    index = os.pread(descriptor, length, start)
    return index if len(index) == length and xxh3_64_hexdigest(index).encode() == checksum else None


def entries(index: bytes) -> dict[bytes, bytes]:
    """What an index says of each object, by its XXH3-128 in hex; for :func:`place`. Objects with other digests are left out."""
    return {entry[:_HEX_BYTES]: entry[_HEX_BYTES:] for entry in index.split(_ENTRY)[1:]}


def place(entry: bytes) -> tuple[int, int, bool]:
    """Offset and size in bytes of an object in its pack, and whether it is executable. Raises ValueError."""
    try:
        offset, at = _number(entry, 0)
        size, at = _number(entry, at)
        mark = entry[at]
    except IndexError:
        raise ValueError("an entry of a pack that ends early") from None
    if mark not in (_FALSE, _TRUE):
        raise ValueError("an entry of a pack that is none")
    return offset, size, mark == _TRUE


def _number(entry: bytes, at: int) -> tuple[int, int]:
    """A number of msgpack's, and where the next value begins."""
    mark = entry[at]
    if mark < 0x80:
        return mark, at + 1
    width = _WIDTHS.get(mark, 0)
    if not width:
        raise ValueError("an entry of a pack that is none")
    return int.from_bytes(entry[at + 1 : at + 1 + width], "big"), at + 1 + width
