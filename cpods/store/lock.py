"""The state folder and its lock: one build of a project at a time.

Knows no catalogue. Status, why, graph and log never take the lock.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from cpods.errors import Locked, UsageError

_NETWORK_TYPES = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "beegfs", "gpfs", "glusterfs", "coda", "ncpfs", "davfs")
)
_OF_HOSTS = frozenset(("fuse", "fuseblk", "virtiofs", "vboxsf", "drvfs", "prl_fs", "vmhgfs"))
_NETWORK_FUSE = frozenset(f"fuse.{name}" for name in ("sshfs", "glusterfs", "ceph", "ceph-fuse", "s3fs", "rclone", "davfs", "gcsfuse"))


def make_state_folder(folder: str, mounts: str = "/proc/self/mountinfo") -> None:
    """Makes a project's state folder, ignored by git. Raises UsageError on a network mount (SQLite's WAL breaks there), OSError.

    ``mounts``: where the mount table is read from, as proc(5) describes it.
    """
    kind = filesystem_type(folder, mounts)
    if kind in _NETWORK_TYPES or kind in _NETWORK_FUSE:
        raise UsageError(f"{folder} is on a network mount ({kind}): set CPODS_STATE to a folder on a local disk")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise UsageError(f"{folder} is a file, but cpods keeps its state in a folder of that name: move it away")
    os.makedirs(folder, exist_ok=True)
    ignore = os.path.join(folder, ".gitignore")
    if not os.path.exists(ignore):
        with open(ignore, "w") as file:
            file.write("*\n")


def filesystem_type(path: str, mounts: str = "/proc/self/mountinfo") -> str:
    """The type of the file system that holds ``path`` (which may not exist yet); '' if the mount table does not tell."""
    wanted = os.path.realpath(path) + "/"
    best, kind = "", ""
    with suppress(FileNotFoundError), open(mounts, encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            fields = line.split()
            point = _unescaped(fields[4]).rstrip("/") + "/"
            if wanted.startswith(point) and len(point) >= len(best):  # of two mounts at one point the later one counts
                best, kind = point, fields[fields.index("-") + 1]
    return kind


def is_remote_type(kind: str) -> bool:
    """Whether others than this kernel may change files on such a file system, of which inotify says nothing."""
    return kind in _NETWORK_TYPES or kind.startswith("fuse.") or kind in _OF_HOSTS


class ProjectLock:
    """The lock of one project, held until :meth:`release` or the end of the process, however it ends."""

    def __init__(self, state_folder: str) -> None:
        self.path = os.path.join(state_folder, "lock")
        self._descriptor = -1

    def acquire(self, wait: bool = True, on_wait: Callable[[str], None] | None = None) -> None:
        """Takes the lock. If another process holds it: calls ``on_wait`` once with a sentence that names it, and waits.

        Raises Locked with that sentence instead if ``wait`` is false. A signal's exception ends the wait.
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._lock(descriptor, wait, on_wait)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, _own_name(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Gives the lock up. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def holder(self) -> str:
        """A sentence that names who holds the lock, or held it last."""
        with suppress(OSError, ValueError, KeyError, TypeError), open(self.path, "rb") as file:
            found = json.load(file)
            return f"this project is being built by process {found['pid']} on {found['host']} since {found['start']}"
        return "this project is being built by another process"

    def _lock(self, descriptor: int, wait: bool, on_wait: Callable[[str], None] | None) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise Locked(f"{self.holder()}; try again when it is done, or leave out --no-wait") from None
            if on_wait is not None:
                on_wait(self.holder())
            fcntl.flock(descriptor, fcntl.LOCK_EX)

    def __enter__(self) -> "ProjectLock":
        if self._descriptor < 0:
            self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _own_name() -> bytes:
    start = time.strftime("%Y-%m-%d %H:%M:%S")
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "start": start}).encode() + b"\n"


def _unescaped(field: str) -> str:
    """A mount point as proc(5) writes it: blanks, tabs, newlines and backslashes in octal."""
    for code in ("\\040", "\\011", "\\012", "\\134"):
        field = field.replace(code, chr(int(code[1:], 8)))
    return field
