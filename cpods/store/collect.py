"""Keeping a store in order: its size, eviction of what was used longest ago, verification.

Knows no project: what must be kept is for the caller to say.
"""

import fcntl
import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from typing import NamedTuple

from cpods.digest import ALGORITHMS, algorithm_of, of_file
from cpods.store import manifests
from cpods.store.layout import LOCK, MANIFESTS, OBJECTS, PROJECTS, QUARANTINE, object_path, open_root, quarantine_path
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
    digest: str
    path: str
    size: int
    used_ns: int


def stat(root: str) -> Usage:
    """What a store holds. Raises OSError."""
    objects = list(_objects(root))
    logs = [os.path.getsize(path) for path in _line_files(root)]
    return Usage(len(objects), sum(entry.size for entry in objects), len(logs), sum(logs), _count(os.path.join(root, QUARANTINE)))


def collect(root: str, max_bytes: int, keep: AbstractSet[str] = frozenset()) -> Collected:
    """Evicts objects, least recently used first, until at most ``max_bytes`` are left. Under the store's lock.

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
        for entry in objects:
            if total - evicted_bytes <= max_bytes:
                break
            if entry.digest not in keep and not (busy_ns is not None and entry.used_ns >= busy_ns - _CLOCK_SLACK_NS):
                with suppress(FileNotFoundError):
                    os.unlink(entry.path)
                evicted.append(entry.digest)
                evicted_bytes += entry.size
        _shorten_manifests(root)
        return Collected(len(evicted), evicted_bytes, count - len(evicted), total - evicted_bytes, tuple(evicted))


def fsck(root: str) -> Checked:
    """Verifies every object and every line: bad objects are quarantined, unreadable lines dropped. Under the store's lock.

    Raises StoreDamaged for a store of a newer format, OSError.
    """
    open_root(root)
    with store_lock(root):
        count, damaged = 0, []
        for entry in _objects(root):
            count += 1
            if of_file(entry.path, algorithm_of(entry.digest))[0] != entry.digest:
                os.makedirs(os.path.join(root, QUARANTINE), exist_ok=True)
                os.rename(entry.path, quarantine_path(root, entry.digest))
                damaged.append(entry.digest)
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
        for name in _names(os.path.join(root, MANIFESTS, folder)):
            path = os.path.join(root, MANIFESTS, folder, name)
            if os.path.getsize(path) > MANIFEST_BYTES_MAX:
                manifests.rewrite(path, newer_half)
