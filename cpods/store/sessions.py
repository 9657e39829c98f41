"""Sessions: one locked folder below ``tmp/`` per process that uses a store, so that others know who is at work since when.

Knows no object; what lies in a session's folder is for its process to say.
"""

import fcntl
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import suppress

from cpods.store.layout import TEMPORARY
from cpods.store.removal import remove_folder


def open_session(root: str) -> tuple[str, int]:
    """(folder, descriptor): locked as long as the descriptor is open, so until the process ends, however it ends.

    Folders of processes that are gone are deleted first. Raises OSError.
    """
    folder = os.path.join(root, TEMPORARY)
    for path in _orphans(folder):
        remove_folder(path)
    for number in itertools.count():
        path = f"{folder}/{time.time_ns()}-{os.getpid()}-{number}"
        try:
            os.mkdir(path, 0o700)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileExistsError, FileNotFoundError):  # taken, or cleared away by a neighbour before it was locked
            if not os.path.isdir(folder):
                raise
            continue
        if _lock(descriptor) and os.path.exists(path):
            return path, descriptor
        os.close(descriptor)
    raise AssertionError("unreachable")


def busy_since_ns(root: str) -> int | None:
    """When the oldest session that still runs began (wall clock, ns); None if nobody uses the store."""
    folder = os.path.join(root, TEMPORARY)
    gone = set(_orphans(folder))
    starts = [name.partition("-")[0] for name in os.listdir(folder) if os.path.join(folder, name) not in gone]
    return min((int(start) for start in starts if start.isdigit()), default=None)


def _orphans(folder: str) -> Iterator[str]:
    """Session folders that nobody holds; each stays locked until the caller goes on, so that it may be deleted."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with suppress(FileNotFoundError, NotADirectoryError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if _lock(descriptor):
                    yield path
            finally:
                os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
