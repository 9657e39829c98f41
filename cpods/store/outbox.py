"""A pod's own notes in SQLite: ends of orders that nobody has acknowledged yet, the paths that it owns, what it must keep.

Knows no message and no bus: an end is bytes under a name.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cpods.errors import StoreDamaged
from cpods.ids import FilePath

_SCHEMA = """
create table if not exists ends (
    number integer primary key, majordomo text not null, id text not null, project text not null, data blob not null,
    unique (majordomo, id)
);
create table if not exists owned (
    project text not null, path text not null, epoch integer not null, digest text not null, now text not null,
    majordomo text not null, primary key (project, path)
) without rowid;
create table if not exists pins (digest text primary key) without rowid;
"""
_PRAGMAS = ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 10000")


class End(NamedTuple):
    """The end of an order for a MajorDomo, encoded."""

    majordomo: str
    id: str
    project: str
    data: bytes


class OwnedPath(NamedTuple):
    """A path that this pod owns: what it should hold, what was found there last, and the MajorDomo that gave it."""

    project: str
    path: FilePath
    epoch: int
    digest: str
    now: str
    majordomo: str


class Outbox:
    """The file of one pod. Every call is one transaction, there when the process is killed right after it.

    Raises StoreDamaged if the file cannot be used, OSError for a full disk.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise self._translated(error) from error

    # -- ends of orders --------------------------------------------------------------------------------------------

    def add(self, ends: Iterable[End]) -> None:
        """Keeps ends until they are removed; one of the same MajorDomo and id is replaced."""
        self._many("insert or replace into ends (majordomo, id, project, data) values (?, ?, ?, ?)", ends)

    def remove(self, majordomo: str, ids: Iterable[str]) -> None:
        """Forgets ends that were acknowledged. An unknown one is no error."""
        self._many("delete from ends where majordomo = ? and id = ?", ((majordomo, id) for id in ids))

    def ends(self) -> Sequence[End]:
        """Everything kept, oldest first."""
        return [End(*row) for row in self._rows("select majordomo, id, project, data from ends order by number")]

    # -- owned paths -----------------------------------------------------------------------------------------------

    def own(self, paths: Iterable[OwnedPath]) -> None:
        """Keeps paths; an older entry of the same path is replaced."""
        self._many("insert or replace into owned values (?, ?, ?, ?, ?, ?)", paths)

    def disown(self, project: str, paths: Iterable[FilePath]) -> None:
        """Forgets paths. An unknown one is no error."""
        self._many("delete from owned where project = ? and path = ?", ((project, path) for path in paths))

    def owned(self) -> Mapping[str, Mapping[FilePath, OwnedPath]]:
        """All owned paths by project."""
        found: dict[str, dict[FilePath, OwnedPath]] = {}
        for row in self._rows("select project, path, epoch, digest, now, majordomo from owned order by project, path"):
            entry = OwnedPath(*row)
            found.setdefault(entry.project, {})[entry.path] = entry
        return found

    def pin(self, digests: Iterable[str]) -> None:
        """These artefacts are never to be evicted. Idempotent."""
        self._many("insert or ignore into pins values (?)", ((digest,) for digest in digests))

    def kept(self) -> set[str]:
        """Digests that are not to be evicted: pinned ones, and what owned paths should hold."""
        return {row[0] for row in self._rows("select digest from pins union select digest from owned")}

    def close(self) -> None:
        """Releases the file. Idempotent."""
        self._connection.close()

    def _many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        try:
            self._connection.execute("begin immediate")
            try:
                self._connection.executemany(statement, rows)
                self._connection.execute("commit")
            except BaseException:
                self._connection.execute("rollback")
                raise
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def _rows(self, statement: str) -> Sequence[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement).fetchall()
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def _translated(self, error: sqlite3.Error) -> Exception:
        if "full" in str(error):
            return OSError(28, "No space left on device", self.path)
        return StoreDamaged(f"{self.path}: the pod's notes cannot be used ({error}); move the file away, unsent results in it are lost")
