"""Keeping a store in order: its size, eviction of what was used longest ago, verification.

Knows no project: what must be kept is for the caller to say.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, nullcontext, suppress
from typing import NamedTuple

from cpods.digest import ALGORITHMS, algorithm_of, of_bytes, of_file
from cpods.store import manifests, packs
from cpods.store.files import replace_file, temporary_beside
from cpods.store.layout import BATCHES, LOCK, MANIFESTS, OBJECTS, PROJECTS, QUARANTINE, TEMPORARY, object_path, open_root, quarantine_path
from cpods.store.sessions import busy_since_ns

#: A manifest longer than this loses its older half when the store is collected: a key that changes at each build.
MANIFEST_BYTES_MAX = 4 << 20

#: File times come from the kernel's coarse clock, which lags behind the wall clock by up to a tick.
_CLOCK_SLACK_NS = 100_000_000


class Usage(NamedTuple):
    """What a store holds; sizes in bytes."""

    objects: int
    object_bytes: int
    manifests: int
    manifest_bytes: int
    quarantined: int


class Collected(NamedTuple):
    """What was evicted and what is left; sizes in bytes. ``digests``: of what was evicted."""

    evicted: int
    evicted_bytes: int
    left: int
    left_bytes: int
    digests: tuple[str, ...] = ()


class Checked(NamedTuple):
    """What a verification found. ``damaged``: digests that were quarantined; ``dropped``: unreadable lines of manifests."""

    objects: int
    damaged: tuple[str, ...]
    lines: int
    dropped: int


class _Object(NamedTuple):
    """``pack``: the pack that it lies in (its name), '' for a file of its own. A pack's members are used when it is."""

    digest: str
    path: str
    size: int
    used_ns: int
    pack: str = ""


def stat(root: str) -> Usage:
    """What a store holds. Raises OSError."""
    objects = list(_objects(root))
    logs = [os.path.getsize(path) for path in _line_files(root)]
    return Usage(len(objects), sum(entry.size for entry in objects), len(logs), sum(logs), _count(os.path.join(root, QUARANTINE)))


def collect(root: str, max_bytes: int, keep: AbstractSet[str] = frozenset(), down_to: int | None = None) -> Collected:
    """Evicts objects, least recently used first, until at most ``max_bytes`` are left. Under the store's lock.

    ``down_to``: a store beyond ``max_bytes`` is emptied down to so many bytes, so that it need not be looked at again soon.
    Never evicted: digests in ``keep``, and what was put or used since the oldest running session began. Raises OSError.
    """
    with store_lock(root):
        objects = sorted(_objects(root), key=lambda entry: (entry.used_ns, entry.digest))
        total, count = sum(entry.size for entry in objects), len(objects)
        if total <= max_bytes:
            return Collected(0, 0, count, total)
        busy_ns = busy_since_ns(root)
        evicted: list[str] = []
        evicted_bytes = 0
        expelled: dict[str, set[str]] = {}
        for entry in objects:
            if total - evicted_bytes <= (max_bytes if down_to is None else down_to):
                break
            if entry.digest not in keep and not (busy_ns is not None and entry.used_ns >= busy_ns - _CLOCK_SLACK_NS):
                if entry.pack:
                    expelled.setdefault(entry.pack, set()).add(entry.digest)
                else:
                    with suppress(FileNotFoundError):
                        os.unlink(entry.path)
                evicted.append(entry.digest)
                evicted_bytes += entry.size
        _expel(root, expelled)
        _shorten_manifests(root)
        return Collected(len(evicted), evicted_bytes, count - len(evicted), total - evicted_bytes, tuple(evicted))


def fsck(root: str) -> Checked:
    """Verifies every object and every line: bad objects are quarantined, unreadable lines dropped. Under the store's lock.

    Raises StoreDamaged for a store of a newer format, OSError.
    """
    open_root(root)
    with store_lock(root):
        count, damaged = 0, []
        for entry in _files(root):
            count += 1
            if of_file(entry.path, algorithm_of(entry.digest))[0] != entry.digest:
                os.makedirs(os.path.join(root, QUARANTINE), exist_ok=True)
                os.rename(entry.path, quarantine_path(root, entry.digest))
                damaged.append(entry.digest)
        packed, spoilt = _verify_packs(root)
        count += packed
        damaged += spoilt
        lines = [_drop_unusable(path) for path in _line_files(root)]
        return Checked(count, tuple(sorted(damaged)), sum(kept for kept, _ in lines), sum(dropped for _, dropped in lines))


def held(root: str) -> dict[str, int]:
    """digest -> size in bytes of every object in a store. Raises OSError."""
    return {entry.digest: entry.size for entry in _objects(root)}


@contextmanager
def store_lock(root: str) -> Iterator[None]:
    """Holds the store's lock: one eviction or verification at a time. Raises OSError."""
    descriptor = os.open(os.path.join(root, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _objects(root: str) -> Iterator[_Object]:
    """Every object, each once: a file, or a member of a pack."""
    seen = set()
    for entry in (*_files(root), *_packed(root)):
        if entry.digest not in seen:
            seen.add(entry.digest)
            yield entry


def _packed(root: str) -> Iterator[_Object]:
    for name in packs.names(root):
        path = os.path.join(packs.pack_folder(root), name)
        with suppress(FileNotFoundError):
            used_ns = os.stat(path).st_mtime_ns
            for member in packs.members(path):
                yield _Object(member.digest, path, member.size, used_ns, name)


def _expel(root: str, expelled: Mapping[str, set[str]]) -> None:
    """Takes members out of their packs."""
    for name, digests in expelled.items():
        packs.rewrite(root, name, temporary_beside(os.path.join(root, TEMPORARY, name)), digests)


def _verify_packs(root: str) -> tuple[int, list[str]]:
    """(members, damaged ones): those are taken out; a pack without a readable index goes into the quarantine as it is."""
    count = 0
    damaged: list[str] = []
    quarantine = os.path.join(root, QUARANTINE)
    for name in packs.names(root):
        path = os.path.join(packs.pack_folder(root), name)
        found = packs.members(path)
        if not found:
            os.makedirs(quarantine, exist_ok=True)
            os.rename(path, os.path.join(quarantine, name))
        count += len(found)
        with open(path, "rb") if found else nullcontext() as file:
            bad = {member.digest: data for member in found if file and (data := _damaged(file.fileno(), member)) is not None}
        for digest, data in bad.items():
            os.makedirs(quarantine, exist_ok=True)
            replace_file(quarantine_path(root, digest), data)
        if bad:
            _expel(root, {name: set(bad)})
        damaged += bad
    return count, damaged


def _damaged(pack: int, member: packs.Member) -> bytes | None:
    """The bytes of a member that are not what its digest says, None if they are."""
    data = os.pread(pack, member.size, member.offset)
    return data if of_bytes(data, algorithm_of(member.digest)) != member.digest else None


def _files(root: str) -> Iterator[_Object]:
    """Every file below ``objects/`` whose path is that of a digest; what vanishes meanwhile is left out."""
    for algorithm in ALGORITHMS:
        for folder in _names(os.path.join(root, OBJECTS, algorithm)):
            for rest in _names(os.path.join(root, OBJECTS, algorithm, folder)):
                digest = f"{algorithm}:{folder}{rest}"
                with suppress(FileNotFoundError, ValueError):
                    path = object_path(root, digest)
                    status = os.stat(path)
                    yield _Object(digest, path, status.st_size, status.st_mtime_ns)


def _line_files(root: str) -> Iterator[str]:
    """Every manifest and every project's path records."""
    for folder in _names(os.path.join(root, MANIFESTS)):
        for name in _names(os.path.join(root, MANIFESTS, folder)):
            yield os.path.join(root, MANIFESTS, folder, name)
    for name in _names(os.path.join(root, PROJECTS)):
        yield os.path.join(root, PROJECTS, name)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _count(folder: str) -> int:
    return len(_names(folder))


def _drop_unusable(path: str) -> tuple[int, int]:
    """(lines kept, lines dropped) of one file; an untouched file is not rewritten."""
    kept = dropped = 0

    def usable_only(data: bytes) -> bytes:
        nonlocal kept, dropped
        lines = [manifests.encode_line(line) for line in manifests.parse(data) if manifests.usable(line)]
        kept = len(lines)
        dropped = sum(1 for line in data.split(b"\n") if line) - kept
        return b"".join(lines)

    manifests.rewrite(path, usable_only)
    return kept, dropped


def _shorten_manifests(root: str) -> None:
    def newer_half(data: bytes) -> bytes:
        lines = list(manifests.parse(data))
        return b"".join(manifests.encode_line(line) for line in lines[len(lines) // 2 :])

    for folder in _names(os.path.join(root, MANIFESTS)):
        for name in _names(os.path.join(root, MANIFESTS, folder)) if folder != BATCHES else ():
            path = os.path.join(root, MANIFESTS, folder, name)
            if os.path.getsize(path) > MANIFEST_BYTES_MAX:
                manifests.rewrite(path, newer_half)
