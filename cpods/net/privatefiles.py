"""Files with secrets: only their owner can read them, and they are there whole or not at all.

Knows nothing of what they hold.
"""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from cpods.errors import UsageError


def write_private(path: str, data: bytes) -> None:
    """Writes a file of mode 0600 beside its place, makes it durable and renames it. Folders are made, mode 0700.

    Raises OSError; then what was there before is untouched.
    """
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, mode=0o700, exist_ok=True)
    temporary = f"{path}.{secrets.token_hex(4)}.new"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def read_private(path: str) -> bytes:
    """The bytes of a secret file. Raises UsageError if others can read or write it, OSError if it cannot be read."""
    with open(path, "rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise UsageError(f"{path} holds secrets and is open to others; `chmod 600 {path}` closes it")
        return file.read()


@contextmanager
def locked_folder(path: str) -> Iterator[None]:
    """Keeps other processes that ask for the same folder waiting. Makes the folder. Raises OSError."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
