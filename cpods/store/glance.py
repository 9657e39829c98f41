"""The null-build check: whether everything that a finished build stood on is still as it was.

Knows no graph and no step; standard library only, since its imports are a good part of a null build's time.
"""

import gc
import json
import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, NamedTuple

from cpods.ids import FilePath

#: A file as it was: (path, size, mtime_ns, ctime_ns, inode, digest, checked_ns). Size -1: it was absent.
Row = tuple[FilePath, int, int, int, int, str, int]

#: A tool's file as it was: (path, size, mtime_ns, inode).
ToolStamp = tuple[str, int, int, int]

#: The newest revision in migrations/versions: what is said here holds for this schema only.
SCHEMA = "0001"

ABSENT_SIZE = -1
_RACY_NS = 20_000_000
_INODE_MASK = (1 << 63) - 1
_COLUMNS = "path, size, mtime_ns, ctime_ns, inode, digest, checked_ns"


class Ground(NamedTuple):
    """What a finished build stood on. ``globs``: patterns whose matches count. All of it must hold for a null build."""

    rows: Iterable[Row]
    stamps: Sequence[ToolStamp] = ()
    globs: Sequence[str] = ()


#: Variables that say nothing about a build: they differ between two calls from one shell.
_VOLATILE = ("_", "SHLVL", "PWD", "OLDPWD", "COLUMNS", "LINES", "WINDOWID", "TERM", "DISPLAY", "SSH_TTY", "SSH_CLIENT", "SSH_CONNECTION")


def environment_digest(environment: Mapping[str, str]) -> str:
    """A text that is the same for two environments in which a build would do the same."""
    import hashlib

    text = "\0".join(f"{name}={value}" for name, value in sorted(environment.items()) if name not in _VOLATILE)
    return hashlib.sha1(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


def is_current(catalogue_path: str, project_root: str, key: str, environment_digest: str, version: str) -> str | None:
    """The summary of the last build with this key (goals and flags), if all that it stood on still holds; else None.

    Any doubt, an unreadable catalogue included, is None: the long way then tells what is wrong. Changes nothing, save that
    files which had to be hashed, because their times proved nothing, are noted with their present times.
    """
    try:
        with closing(_connect(catalogue_path)) as connection, _no_collection():
            if connection.execute("SELECT version_num FROM alembic_version").fetchone() != (SCHEMA,):
                return None
            found = connection.execute("SELECT id, header, summary FROM glances WHERE key = ?", (key,)).fetchone()
            if found is None:
                return None
            glance, header, summary = found[0], json.loads(found[1]), str(found[2])
            if header["version"] != version or header["environment"] != environment_digest:
                return None
            if not (_tools_hold(header["stamps"]) and _globs_hold(project_root, header["globs"])):
                return None
            rows = connection.execute(f"SELECT {_COLUMNS} FROM glance_files WHERE glance = ?", (glance,)).fetchall()
            renewed = _renewed(os.path.join(project_root, ""), rows)
            if renewed is None:
                return None
            _note(connection, glance, renewed)
            return summary
    except (sqlite3.Error, OSError, ValueError, KeyError, TypeError):
        return None


def remember(catalogue_path: str, project_root: str, key: str, environment_digest: str, version: str, ground: Ground, summary: str) -> None:
    """Notes at the end of a build what it stood on, in one transaction. Raises OSError, sqlite3.Error."""
    header = {
        "version": version,
        "environment": environment_digest,
        "stamps": ground.stamps,
        "globs": _glob_digests(project_root, ground.globs),
    }
    with closing(_connect(catalogue_path)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO glances (key, header, summary) VALUES (?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET header = excluded.header, summary = excluded.summary",
            (key, json.dumps(header), summary),
        )
        (glance,) = connection.execute("SELECT id FROM glances WHERE key = ?", (key,)).fetchone()
        _replace_rows(connection, glance, ground.rows)


def forget(catalogue_path: str) -> None:
    """Drops all that was remembered: the next build looks at everything. Raises sqlite3.Error."""
    with closing(_connect(catalogue_path)) as connection, connection:
        connection.execute("DELETE FROM glance_files")
        connection.execute("DELETE FROM glances")


def _connect(path: str) -> sqlite3.Connection:
    """An existing catalogue; one that is not there is an error, not an empty file."""
    if not os.path.exists(path):
        raise sqlite3.OperationalError(f"{path}: no catalogue")
    connection = sqlite3.connect(path, timeout=30)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _replace_rows(connection: sqlite3.Connection, glance: int, rows: Iterable[Row]) -> None:
    """Writes only what differs: a build of one step among thousands changes a few rows."""
    new = {row[0]: row for row in rows}
    old = {row[0]: row for row in connection.execute(f"SELECT {_COLUMNS} FROM glance_files WHERE glance = ?", (glance,))}
    gone = [(glance, path) for path in old.keys() - new.keys()]
    connection.executemany("DELETE FROM glance_files WHERE glance = ? AND path = ?", gone)
    changed = [(glance, *row) for path, row in new.items() if old.get(path) != row]
    connection.executemany(f"INSERT OR REPLACE INTO glance_files (glance, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", changed)


def _note(connection: sqlite3.Connection, glance: int, renewed: list[Row]) -> None:
    if renewed:
        with suppress(sqlite3.Error), connection:  # only saves the next call some hashing
            values = [(*row[1:], glance, row[0]) for row in renewed]
            connection.executemany(
                "UPDATE glance_files SET size = ?, mtime_ns = ?, ctime_ns = ?, inode = ?, digest = ?, checked_ns = ? "
                "WHERE glance = ? AND path = ?",
                values,
            )


def _renewed(prefix: str, rows: list[Row]) -> list[Row] | None:
    """Rows whose file had to be hashed and has its old content, with its present times; None if any file differs."""
    look = os.stat
    doubtful = []
    for row in rows:
        path, size, mtime_ns, ctime_ns, inode, _, checked_ns = row
        try:
            now = look(path if path[0] == "/" else prefix + path)
        except OSError:
            if size >= 0:
                return None
            continue
        if (
            now.st_mtime_ns != mtime_ns
            or now.st_size != size
            or now.st_ctime_ns != ctime_ns
            or now.st_ino & _INODE_MASK != inode
            or ctime_ns >= checked_ns - _RACY_NS
        ):
            doubtful.append((row, now))
    renewed = []
    for row, now in doubtful:
        again = _again(prefix, row, now)
        if again is None:
            return None
        renewed += again
    return renewed


def _again(prefix: str, row: Row, now: os.stat_result) -> list[Row] | None:
    """The row with present times if the file's content is still the recorded one, nothing to note if it is still absent."""
    path, size, *_, digest, _ = row
    regular = stat.S_ISREG(now.st_mode)
    if size == ABSENT_SIZE or not regular:
        return [] if size == ABSENT_SIZE and not regular else None
    if now.st_size != size:
        return None
    from cpods.digest import algorithm_of, of_file

    checked_ns = time.time_ns()
    if of_file(os.path.join(prefix, path), algorithm_of(digest))[0] != digest:
        return None
    return [(path, size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino & _INODE_MASK, digest, checked_ns)]


def _tools_hold(stamps: Iterable[Sequence[Any]]) -> bool:
    for path, size, mtime_ns, inode in stamps:
        try:
            now = os.stat(path)
        except OSError:
            if size != ABSENT_SIZE:
                return False
            continue
        if (now.st_size, now.st_mtime_ns, now.st_ino & _INODE_MASK) != (size, mtime_ns, inode & _INODE_MASK):
            return False
    return True


def _globs_hold(root: str, globs: dict[str, str]) -> bool:
    return not globs or _glob_digests(root, list(globs)) == globs


def _glob_digests(root: str, patterns: Sequence[str]) -> dict[str, str]:
    """pattern -> digest of its sorted matches; only the folders that a pattern names literally are walked."""
    if not patterns:
        return {}
    from cpods.digest import of_parts
    from cpods.globs import expand
    from cpods.store.tree import is_text, walk

    listings: dict[str, list[FilePath]] = {}
    digests = {}
    for pattern in patterns:
        below = _literal_folder(pattern)
        if below not in listings:
            listings[below] = [path for path in walk(root, below=below).files if is_text(path)]
        digests[pattern] = of_parts(expand(pattern, listings[below]))
    return digests


def _literal_folder(pattern: str) -> str:
    """The folders at a pattern's start that have no special characters."""
    literal = []
    for part in pattern.split("/")[:-1]:
        if part in ("", "..") or any(char in part for char in "*?["):
            break
        if part != ".":
            literal.append(part)
    return "/".join(literal)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Rows are many and hold no circles: looking for some would cost as much as reading them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
