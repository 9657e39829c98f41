"""The kernel's inotify: which entries of which folders were touched, as the kernel queued it.

Knows no project and no path below a watched folder. Used directly and not through watchfiles, which drops the kernel's word that its
queue overflowed: of 20,000 files made while its process was stopped it told 4,097, and then a later one, as if nothing were missing.
"""

import ctypes
import errno
import os
import struct
from typing import NamedTuple

_HEADER = struct.Struct("iIII")
#: One read takes at most this many bytes off the queue.
_READ_BYTES = 1 << 16

MODIFY, ATTRIB, CLOSE_WRITE = 0x2, 0x4, 0x8
MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF = 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
UNMOUNT, OVERFLOW, IGNORED = 0x2000, 0x4000, 0x8000
_ONLYDIR, _MASK_ADD = 0x01000000, 0x20000000

#: What may change how an entry stands in a folder: its bytes, its times, its name.
ENTRIES = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF
#: What may change which entries there are.
NAMES = MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF
#: What may change one file, under whatever name it is reached.
CONTENT = MODIFY | ATTRIB | CLOSE_WRITE

_libc = ctypes.CDLL(None, use_errno=True)


class Told(NamedTuple):
    """One entry of the queue. ``watch`` -1: the queue overflowed. ``name`` '': the watched folder itself."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One instance with its queue. Raises OSError (EMFILE: the user has too many instances, ENOSYS: none in this kernel)."""

    def __init__(self) -> None:
        self._descriptor = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "inotify")

    def fileno(self) -> int:
        """The descriptor; readable when something is queued."""
        return self._descriptor

    def add(self, folder: str, mask: int) -> int:
        """Watches a folder's own entries; of one that is watched already the masks are joined. Its number.

        Raises OSError: ENOSPC (the user's watches are used up), ENOENT, ENOTDIR, EACCES.
        """
        return self._add(folder, mask | _ONLYDIR)

    def add_file(self, path: str) -> int:
        """Watches one file's content, whichever of its names it is changed by. Raises OSError as :meth:`add`."""
        return self._add(path, CONTENT)

    def _add(self, path: str, mask: int) -> int:
        return _checked(_libc.inotify_add_watch(self._descriptor, os.fsencode(path), ctypes.c_uint32(mask | _MASK_ADD)), path)

    def remove(self, watch: int) -> None:
        """Ends a watch; one that has ended already is no error."""
        _libc.inotify_rm_watch(self._descriptor, watch)

    def read(self) -> list[Told]:
        """All that is queued now, in order; does not wait."""
        found: list[Told] = []
        while True:
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                return found
            found += _parsed(data)

    def close(self) -> None:
        """Ends all watches. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _parsed(data: bytes) -> list[Told]:
    found = []
    at = 0
    while at < len(data):
        watch, mask, _, length = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        name = data[at : at + length].rstrip(b"\0") if length else b""
        at += length
        found.append(Told(watch, mask, os.fsdecode(name)))
    return found


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        text = "no more folders can be watched" if code == errno.ENOSPC else os.strerror(code)
        raise OSError(code, text, what)
    return result
