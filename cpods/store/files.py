"""Moving bytes between files: copies that hash on the way, reflinks, temporary names, one sync for many files.

Knows no digest's meaning and no layout of a store.
"""

import ctypes
import errno
import fcntl
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cpods.digest import finish, new_hasher, of_bytes, of_descriptor
from cpods.store.tree import TEMPORARY_PREFIX

#: Files up to this many bytes are read in one piece; a reflink would cost more than it saves.
SMALL_BYTES = 256 << 10

Stamp = tuple[int, int, int, int]

_BLOCK_BYTES = 1 << 20
#: A larger buffer would be mapped and unmapped at each read.
_FIRST_BYTES = 64 << 10
_FICLONE = 0x40049409
_INODE_MASK = (1 << 63) - 1  # SQLite integers are signed; a few file systems use all 64 bits.
_counter = itertools.count()
_without_reflink: set[int] = set()
_ABSENT_ERRORS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


def stamp_of(status: os.stat_result) -> Stamp:
    """(size in bytes, mtime_ns, ctime_ns, inode): equal stamps mean an untouched file, within the clock's granularity."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & _INODE_MASK


def stat_regular(path: str) -> os.stat_result | None:
    """Status of a regular file, links followed; None if there is none. Raises OSError for anything but absence."""
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno in _ABSENT_ERRORS:
            return None
        raise
    except ValueError:  # a NUL in the name
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def open_regular(path: str) -> int:
    """A descriptor for reading a regular file; never waits for a FIFO's writer. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", path)


def read_or_none(path: str) -> bytes | None:
    """The bytes of a regular file, None if there is none. Raises OSError for anything but absence."""
    if stat_regular(path) is None:
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        if error.errno in _ABSENT_ERRORS:
            return None
        raise


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Writes all bytes. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_all(descriptor: int) -> bytes:
    """All bytes from the current position on."""
    blocks = []
    wanted = _FIRST_BYTES
    while block := os.read(descriptor, wanted):
        blocks.append(block)
        if len(block) == wanted:
            wanted = _BLOCK_BYTES
    return b"".join(blocks)


def temporary_beside(path: str) -> str:
    """A name in the same folder that no other process or call uses."""
    return os.path.join(os.path.dirname(path), f"{TEMPORARY_PREFIX}{os.getpid()}-{next(_counter)}")


@contextmanager
def new_file(path: str, mode: int) -> Iterator[int]:
    """A descriptor of a file made just now (``mode`` less the umask); if the body fails, the file is removed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        yield descriptor
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def replace_file(path: str, data: bytes, mode: int = 0o644) -> None:
    """Writes a file beside and renames it into place. Raises OSError; then the old one is untouched."""
    temporary = temporary_beside(path)
    with new_file(temporary, mode) as descriptor:
        write_all(descriptor, data)
        os.rename(temporary, path)


def copy_hashed(source: int, target: int, algorithm: str) -> tuple[str, int]:
    """Copies from the source's position on and returns (digest, size) of what was really written. Raises OSError."""
    size = os.fstat(source).st_size
    if size > SMALL_BYTES and _clone(source, target):
        os.lseek(target, 0, os.SEEK_SET)
        return of_descriptor(target, algorithm)
    if size <= SMALL_BYTES:
        data = read_all(source)
        write_all(target, data)
        return of_bytes(data, algorithm), len(data)
    return _copy_blocks(source, target, algorithm)


def copy(source: int, target: int) -> None:
    """Copies all bytes, by reflink where the file system can. Raises OSError."""
    if os.fstat(source).st_size > SMALL_BYTES and _clone(source, target):
        return
    while block := os.read(source, _BLOCK_BYTES):
        write_all(target, block)


def sync_filesystem(path: str) -> None:
    """Makes everything written to the file system of ``path`` durable: one call for a whole batch. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(descriptor)


_libc = ctypes.CDLL(None, use_errno=True)


def _copy_blocks(source: int, target: int, algorithm: str) -> tuple[str, int]:
    hasher = new_hasher(algorithm)
    size = 0
    while block := os.read(source, _BLOCK_BYTES):
        hasher.update(block)
        write_all(target, block)
        size += len(block)
    return finish(hasher, algorithm), size


def _clone(source: int, target: int) -> bool:
    """Whether the target now shares the source's blocks, copy on write."""
    device = os.fstat(target).st_dev
    if device in _without_reflink:
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS):
            _without_reflink.add(device)
        return False
    return True
