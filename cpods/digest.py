"""Streaming content digests: ``xxh3:`` + 32 hex (XXH3-128) or ``blake3:`` + 64 hex.

Knows bytes and open files; knows no store.
"""

import os
from collections.abc import Iterable
from typing import Protocol

import xxhash

#: Stands where a digest would, for a file that was looked for and not found.
ABSENT = "absent"

DEFAULT_ALGORITHM = "xxh3"
ALGORITHMS = ("xxh3", "blake3")
_HEX_LENGTH = {"xxh3": 32, "blake3": 64}
_BLOCK_BYTES = 1 << 20
#: A buffer of more than this would be mapped and unmapped at each read: that costs more than a small file's hash.
_FIRST_BYTES = 64 << 10


class Hasher(Protocol):
    """What both hash libraries offer."""

    def update(self, data: bytes, /) -> object:
        """Takes more bytes."""

    def hexdigest(self) -> str:
        """The digest of all bytes so far, in hex."""


def new_hasher(algorithm: str = DEFAULT_ALGORITHM) -> Hasher:
    """A fresh hasher. Raises ValueError for an algorithm that is not in ALGORITHMS."""
    if algorithm == "xxh3":
        return xxhash.xxh3_128()
    if algorithm == "blake3":
        from blake3 import blake3

        hasher: Hasher = blake3()
        return hasher
    raise ValueError(f"unknown digest algorithm {algorithm!r}; known: {', '.join(ALGORITHMS)}")


def finish(hasher: Hasher, algorithm: str) -> str:
    """The full digest text of a hasher made by :func:`new_hasher`."""
    return f"{algorithm}:{hasher.hexdigest()}"


def of_bytes(data: bytes, algorithm: str = DEFAULT_ALGORITHM) -> str:
    """Digest of a byte string."""
    if algorithm == "xxh3":
        return "xxh3:" + xxhash.xxh3_128_hexdigest(data)
    hasher = new_hasher(algorithm)
    hasher.update(data)
    return finish(hasher, algorithm)


def of_parts(parts: Iterable[str], algorithm: str = DEFAULT_ALGORITHM) -> str:
    """Digest of a sequence of texts; each is length-prefixed, so that no two sequences collide by concatenation."""
    known = list(parts)
    text = "".join([f"{len(part)}:{part}" for part in known])
    if text.isascii():  # nearly always; then lengths in bytes are those in characters
        return of_bytes(text.encode(), algorithm)
    pieces: list[bytes] = []
    for part in known:
        data = part.encode("utf-8", "surrogateescape")
        pieces += (b"%d:" % len(data), data)
    return of_bytes(b"".join(pieces), algorithm)


def of_descriptor(descriptor: int, algorithm: str = DEFAULT_ALGORITHM) -> tuple[str, int]:
    """(digest, size in bytes) of an open file from its current position, read in blocks. Raises OSError."""
    hasher = new_hasher(algorithm)
    size = 0
    wanted = _FIRST_BYTES
    while block := os.read(descriptor, wanted):
        hasher.update(block)
        size += len(block)
        if len(block) == wanted:
            wanted = _BLOCK_BYTES
    return finish(hasher, algorithm), size


def of_file(path: str, algorithm: str = DEFAULT_ALGORITHM) -> tuple[str, int]:
    """(digest, size in bytes) of a file. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return of_descriptor(descriptor, algorithm)
    finally:
        os.close(descriptor)


def algorithm_of(digest: str) -> str:
    """The algorithm named in a digest. Raises ValueError if the text is no digest."""
    algorithm, _, hexes = digest.partition(":")
    if _HEX_LENGTH.get(algorithm) != len(hexes) or hexes.strip("0123456789abcdef"):
        raise ValueError(f"not a digest: {digest!r}")
    return algorithm
