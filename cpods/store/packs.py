"""Object packs: many small objects that one commit brought, in one file. Making a file costs many times what its bytes do.

Knows no session and no pending object; docs/on-disk.md tells the format.
"""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from typing import NamedTuple

import msgspec
import xxhash

from cpods.store.files import new_file, write_all
from cpods.store.layout import PACKS
from cpods.store.packindex import END, TAIL, index_bytes

#: Objects up to this many bytes may be packed.
MEMBER_BYTES_MAX = 16 << 10
#: A commit of fewer small objects makes a file of each: packs are for crowds.
MEMBERS_MIN = 64

_MAGIC = b"cpods pack 1\n"
_ENDING = ".pack"
_OPEN_MAX = 32
_RACY_NS = 20_000_000
_LATELY_SECONDS = 0.02
#: For so many objects indexes are searched as they are; then they are taken apart, which takes as long as many searches.
_SEARCHES_MAX = 64


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One object of a pack: where its bytes lie in the file, and whether it is executable."""

    digest: str
    offset: int
    size: int
    executable: bool = False


class Stored(NamedTuple):
    """An object's bytes and whether it is executable."""

    data: bytes
    executable: bool


class Place(NamedTuple):
    """Where a packed object lies."""

    pack: str
    member: Member


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Member]).decode


def pack_folder(root: str) -> str:
    """Where a store's packs lie."""
    return os.path.join(root, PACKS)


def write_pack(temporary: str, objects: Mapping[str, Stored]) -> list[Member]:
    """Makes a pack at ``temporary``; the caller syncs and renames it. Raises OSError; then nothing is left."""
    members = []
    offset = len(_MAGIC)
    for digest, stored in objects.items():
        members.append(Member(digest, offset, len(stored.data), stored.executable))
        offset += len(stored.data)
    index = _encode(members)
    tail = TAIL.pack(len(index), xxhash.xxh3_64_hexdigest(index).encode(), END)
    with new_file(temporary, 0o444) as target:
        write_all(target, b"".join([_MAGIC, *(stored.data for stored in objects.values()), index, tail]))
    return members


def read_index(descriptor: int) -> list[Member]:
    """The members of an open pack; none if it is damaged: what it held is missed, and made again."""
    try:
        return _members_of(index_bytes(descriptor) or b"")
    except OSError:
        return []


def _members_of(index: bytes) -> list[Member]:
    try:
        return _decode(index) if index else []
    except msgspec.MsgspecError:
        return []


def _index_of(path: str) -> bytes:
    """The index of a pack as it was written; b"" if it is gone or damaged."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return index_bytes(descriptor) or b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def members(path: str) -> list[Member]:
    """The members of a pack; none if it is gone or damaged."""
    return _members_of(_index_of(path))


def names(root: str) -> list[str]:
    """The file names of a store's packs, sorted."""
    with suppress(FileNotFoundError):
        return sorted(name for name in os.listdir(pack_folder(root)) if name.endswith(_ENDING))
    return []


def name_for(session: str, number: int) -> str:
    """A file name that no other process gives, for a pack made in this session's folder."""
    return f"{os.path.basename(session)}-{number}{_ENDING}"


@contextmanager
def rewriting(root: str) -> Iterator[None]:
    """Packs are replaced by one process at a time."""
    descriptor = os.open(pack_folder(root), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def rewrite(root: str, name: str, temporary: str, drop: AbstractSet[str], executable: AbstractSet[str] = frozenset()) -> None:
    """Replaces a pack by one without ``drop``, where ``executable`` ones are executable; deletes it if nothing is left."""
    path = os.path.join(pack_folder(root), name)
    with rewriting(root):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            used_ns = os.fstat(descriptor).st_mtime_ns
            left = {
                member.digest: Stored(os.pread(descriptor, member.size, member.offset), member.executable or member.digest in executable)
                for member in read_index(descriptor)
                if member.digest not in drop
            }
        finally:
            os.close(descriptor)
        if not left:
            os.unlink(path)
            return
        write_pack(temporary, left)
        os.utime(temporary, ns=(used_ns, used_ns))
        os.rename(temporary, path)


class Packs:
    """The packs of one store, as far as they are known: looked through again when there are new ones."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._folder = pack_folder(root)
        self._seen_ns = -1
        self._asked = -1.0
        self._places: dict[str, Place] = {}
        self._whole: dict[str, bytes] = {}  # indexes of packs that are not in _places yet
        self._searches = 0
        self._loaded: dict[str, tuple[int, int]] = {}
        self._open: dict[str, int] = {}

    def find(self, digest: str) -> Place | None:
        """Where an object lies, None if no pack has it. What other processes added or evicted is seen at once."""
        if self._is_news():
            self._load()
        return self._place(digest)

    def find_lately(self, digest: str) -> Place | None:
        """As :meth:`find`, but news may be some milliseconds old: for who would at worst store an object twice."""
        now = time.monotonic()
        if now - self._asked > _LATELY_SECONDS:
            self._asked = now
            return self.find(digest)
        return self._place(digest)

    def _place(self, digest: str) -> Place | None:
        found = self._places.get(digest)
        if found is not None or not self._whole:
            return found
        self._searches += 1
        wanted = digest.encode("utf-8", "surrogateescape")
        for name in [name for name, index in self._whole.items() if self._searches > _SEARCHES_MAX or wanted in index]:
            self._places.update((member.digest, Place(name, member)) for member in _members_of(self._whole.pop(name)))
        return self._places.get(digest)

    def read(self, place: Place) -> bytes | None:
        """A packed object's bytes, unverified; None if its pack is gone or was replaced: look for it again."""
        descriptor = self._open.get(place.pack)
        if descriptor is None:
            descriptor = self._opened(place.pack)
            if descriptor is None:
                return None
        return os.pread(descriptor, place.member.size, place.member.offset)

    def add(self, name: str, added: Iterable[Member], path: str) -> None:
        """A pack of our own is in place now."""
        status = os.stat(path)
        self._loaded[name] = (status.st_ino, status.st_size)
        self._places.update((member.digest, Place(name, member)) for member in added)

    def forget(self, name: str) -> None:
        """A pack was replaced: it is read anew."""
        self._drop(name)
        self._seen_ns = -1

    def path(self, name: str) -> str:
        """The absolute path of a pack."""
        return f"{self._folder}/{name}"

    def close(self) -> None:
        """Releases descriptors. Idempotent, and nothing is forgotten."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def _is_news(self) -> bool:
        try:
            return os.stat(self._folder).st_mtime_ns != self._seen_ns
        except FileNotFoundError:
            return False

    def _load(self) -> None:
        # The moment is read before the names are, and proves nothing while another pack may come within the clock's tick.
        changed_ns = os.stat(self._folder).st_mtime_ns
        self._seen_ns = changed_ns if changed_ns < time.time_ns() - _RACY_NS else -1
        found = set(names(self._root))
        for name in [name for name in self._loaded if name not in found]:
            self._drop(name)
        for name in sorted(found):
            self._load_one(name)

    def _load_one(self, name: str) -> None:
        with suppress(FileNotFoundError):
            status = os.stat(self.path(name))
            known = (status.st_ino, status.st_size)
            if self._loaded.get(name) != known:
                self._drop(name)
                self._loaded[name] = known
                self._whole[name] = _index_of(self.path(name))

    def _drop(self, name: str) -> None:
        if self._loaded.pop(name, None) is not None and self._whole.pop(name, None) is None:
            self._places = {digest: place for digest, place in self._places.items() if place.pack != name}
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)

    def _opened(self, name: str) -> int | None:
        """A descriptor of the pack whose index is known; None if another file has its name now."""
        try:
            descriptor = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self.forget(name)
            return None
        status = os.fstat(descriptor)
        if self._loaded.get(name) != (status.st_ino, status.st_size):
            os.close(descriptor)
            self.forget(name)
            return None
        while len(self._open) >= _OPEN_MAX:
            os.close(self._open.pop(next(iter(self._open))))
        self._open[name] = descriptor
        return descriptor
