"""Packs: many small artefacts as one stream, what a holder's server makes of its files and what a receiver takes apart.

Knows no connection and no store, and imports the standard library alone: a confined process on the holder's side uses it too.

A pack (version 1) is its members in the order they were asked for, each a head of 9 bytes (kind, size as 8 bytes, big-endian)
and its bytes. It lies nowhere: the embedded server shows it as a file whose name lists the members, see :func:`pack_path`.
"""

import os
import re
import stat
import struct
from collections.abc import Callable, Iterator, Sequence

#: Kinds of members: not there (size 0), a file, an executable file.
MISSING, PLAIN, EXECUTABLE = 0, 1, 2

#: What a pack may be asked to hold. A longer name would not fit into one message of every server.
MEMBERS_MAX = 2000

#: Where objects and packs are served, below the root that a member sees.
OBJECTS, PACKS = "objects", "pack"

_HEAD = struct.Struct(">BQ")
_OBJECT = re.compile(rb"/*objects/(xxh3|blake3)/([0-9a-f]{2})/([0-9a-f]{30}|[0-9a-f]{62})")
_PACK = re.compile(rb"/*pack/1/(xxh3|blake3)/((?:[0-9a-f]{32})+)")
_HEX_LENGTH = {"xxh3": 32, "blake3": 64}

#: An object as it is named on the way: algorithm and hex.
Name = tuple[str, str]


class NotServed(Exception):
    """A path that is no object and no pack."""


class BadPack(Exception):
    """Bytes that cannot be the pack that was asked for; one sentence."""


def name_of(digest: str) -> Name:
    """The two parts of a digest."""
    algorithm, _, hexes = digest.partition(":")
    return algorithm, hexes


def object_path(digest: str) -> str:
    """Where a holder's server shows an object: as it lies in a store."""
    algorithm, hexes = name_of(digest)
    return f"{OBJECTS}/{algorithm}/{hexes[:2]}/{hexes[2:]}"


def pack_path(digests: Sequence[str]) -> str:
    """Where the embedded server shows a pack of these objects, which are all of one algorithm."""
    return f"{PACKS}/1/{name_of(digests[0])[0]}/" + "".join(name_of(digest)[1] for digest in digests)


def parse_object(path: bytes) -> Name:
    """The object of a path as a client sends it. Raises NotServed."""
    found = _OBJECT.fullmatch(path)
    name = (found[1].decode(), (found[2] + found[3]).decode()) if found else ("", "")
    if _HEX_LENGTH.get(name[0]) != len(name[1]):
        raise NotServed(path)
    return name


def parse_pack(path: bytes) -> list[Name] | None:
    """The members of a pack's path, None if it is no pack's. Raises NotServed for a pack that nobody may ask for."""
    found = _PACK.fullmatch(path)
    if found is None:
        return None
    algorithm, hexes = found[1].decode(), found[2].decode()
    length = _HEX_LENGTH[algorithm]
    if len(hexes) % length or len(hexes) > length * MEMBERS_MAX:
        raise NotServed(path)
    return [(algorithm, hexes[start : start + length]) for start in range(0, len(hexes), length)]


def open_object(folder: int, name: Name) -> int:
    """A descriptor of an object below the open folder ``objects``; no link is followed. Raises OSError, for a link ELOOP."""
    algorithm, hexes = name
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = folder
    for part in (algorithm, hexes[:2]):
        deeper = os.open(part, flags | os.O_DIRECTORY, dir_fd=descriptor)
        if descriptor != folder:
            os.close(descriptor)
        descriptor = deeper
    try:
        return os.open(hexes[2:], flags | os.O_NONBLOCK, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def members(folder: int, names: Sequence[Name]) -> Iterator[bytes]:
    """The pack, member by member. Raises OSError if a file shrinks while it is read."""
    for name in names:
        try:
            descriptor = open_object(folder, name)
        except OSError:
            yield _HEAD.pack(MISSING, 0)
            continue
        try:
            yield from _member(descriptor)
        finally:
            os.close(descriptor)


def _member(descriptor: int) -> Iterator[bytes]:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        yield _HEAD.pack(MISSING, 0)
        return
    kind = EXECUTABLE if status.st_mode & 0o111 else PLAIN
    left = status.st_size
    block = os.read(descriptor, min(left, 1 << 20))
    yield _HEAD.pack(kind, left) + block
    while left := left - len(block):
        block = os.read(descriptor, min(left, 1 << 20))
        if not block:
            raise OSError("an object became shorter while it was read")
        yield block


class Pack:
    """A pack as a file that is read from its beginning: it is made as far as it is asked for.

    The last ``kept`` bytes stay readable, for requests that overtook each other. ``folder``: the open folder ``objects``.
    """

    def __init__(self, folder: int, names: Sequence[Name], kept: int = 4 << 20) -> None:
        self._pieces = members(folder, names)
        self._kept = kept
        self._start = 0
        self._data = bytearray()

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes at ``offset``, none behind the end. Raises OSError for what was let go already or lies far ahead."""
        if offset < self._start or offset > self._start + len(self._data) + self._kept:
            raise OSError(f"a pack is read in order: not at {offset}")
        while self._start + len(self._data) < offset + size and (piece := next(self._pieces, None)) is not None:
            self._data += piece
        first = offset - self._start
        found = bytes(self._data[first : first + size])
        surplus = first + len(found) - self._kept
        if surplus > 0:
            del self._data[:surplus]
            self._start += surplus
        return found


class Unpacker:
    """Takes a pack apart while it arrives: ``wanted`` are the sizes in order, ``take(index, data, executable)`` gets each member.

    ``data`` is None for a member that is not there. ``at`` is the index of the member that comes next.
    """

    def __init__(self, wanted: Sequence[int], take: Callable[[int, bytes | None, bool], None]) -> None:
        self._wanted = wanted
        self._take = take
        self._data = bytearray()
        self.at = 0

    @property
    def complete(self) -> bool:
        """Whether all members have come."""
        return self.at == len(self._wanted)

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises BadPack for a size that is not that of the member or for bytes behind the last."""
        self._data += data
        start = 0
        while not self.complete and len(self._data) - start >= _HEAD.size:
            kind, size = _HEAD.unpack_from(self._data, start)
            if kind not in (MISSING, PLAIN, EXECUTABLE) or (kind != MISSING and size != self._wanted[self.at]):
                raise BadPack(f"a file of {size} bytes came where one of {self._wanted[self.at]} was wanted")
            end = start + _HEAD.size + (size if kind != MISSING else 0)
            if end > len(self._data):
                break
            content = None if kind == MISSING else bytes(self._data[start + _HEAD.size : end])
            self._take(self.at, content, kind == EXECUTABLE)
            self.at += 1
            start = end
        del self._data[:start]
        if self.complete and self._data:
            raise BadPack("more came than was wanted")
