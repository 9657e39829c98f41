"""What an error of SQLite means to the user: a full disk, a busy file, or damage.

Knows no table and no library but the standard one.
"""

import errno
import sqlite3

from cpods.errors import CpodsError, Locked, StoreDamaged

REBUILD_HINT = "run `cpods store fsck --rebuild`"


def is_busy(cause: BaseException | None) -> bool:
    """Whether the error only says that another connection holds the file."""
    return _code(cause) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translated(cause: BaseException | None, path: str) -> CpodsError | OSError:
    """The error to raise instead of ``cause`` (from sqlite3, on the catalogue at ``path``)."""
    code = _code(cause)
    if code == sqlite3.SQLITE_FULL:
        return OSError(errno.ENOSPC, "no space left for the catalogue", path)
    if is_busy(cause):
        return Locked(f"{path}: another process holds the catalogue; try again when it is done")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return OSError(errno.EACCES, f"the catalogue cannot be opened for writing ({cause})", path)
    if code == sqlite3.SQLITE_IOERR:
        return OSError(errno.EIO, f"the catalogue cannot be read or written ({cause})", path)
    return StoreDamaged(f"{path}: the catalogue is damaged ({cause}); {REBUILD_HINT}")


def _code(cause: BaseException | None) -> int:
    return int(getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF
