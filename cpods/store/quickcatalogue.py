"""The catalogue of a build on this machine alone, by the standard library's sqlite3: the Catalogue port, without SQLAlchemy.

Knows no pod but its own, and does its work at once, in the event loop's thread: a few milliseconds a batch. Who asks for
owners and holders, or writes beside others of the same process, uses catalogue.py, which is the same for everything else.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from cpods.errors import StoreDamaged
from cpods.ids import FilePath
from cpods.model import Result
from cpods.ports import Changes, FileState, Fingerprint, KnotMemory, Memory, Written
from cpods.store.connecting import PRAGMAS, connected
from cpods.store.holding import hold
from cpods.store.migrate import HEAD_REVISION, prepare_catalogue
from cpods.store.partial import read_part
from cpods.store.sqlerrors import REBUILD_HINT, is_busy, translated

_T = TypeVar("_T")
_encode = msgspec.msgpack.Encoder().encode

#: Another process may hold the file for so long, as with every other of our connections …
_BUSY_SECONDS_MAX = 30.0
#: … but SQLite itself waits for no longer than this at a time: meanwhile the event loop hears signals.
_BUSY_MS = 50

_COLUMNS = {
    "files": ("path", *FileState.__struct_fields__),
    "written": ("path", *Written.__struct_fields__),
    "facts": ("name", "value"),
    "results": ("name", "body"),
    "knots": ("name", "body"),
    "fingerprints": ("name", "body"),
}
_REVISION = "SELECT version_num FROM alembic_version"
_OWN = (
    "INSERT INTO owners (path, epoch, pod, digest) VALUES (?, 1, ?, ?) "
    "ON CONFLICT (path) DO UPDATE SET epoch = owners.epoch + 1, pod = excluded.pod, digest = excluded.digest"
)


class QuickCatalogue:
    """What one pod knows, in one database file; the connection is opened with the first call."""

    def __init__(self, path: str, pod: str) -> None:
        self.path = path
        self.pod = pod
        self._connection: sqlite3.Connection | None = None

    def is_present(self) -> bool:
        """Whether the file is there with the present schema. Any doubt is False: who prepares it then says what is wrong."""
        try:
            if os.path.exists(self.path) and self._open().execute(_REVISION).fetchone() == (HEAD_REVISION,):
                return True
        except sqlite3.Error:
            pass
        self._close()
        return False

    async def load(self) -> Memory:
        """Everything at once. Raises StoreDamaged, Locked, OSError."""
        return await self._loaded(_read)

    async def load_part(self, steps: Iterable[str], paths: Iterable[FilePath]) -> Memory:
        """As :meth:`load`, but only what is known of these steps (with their helpers) and paths."""
        return await self._loaded(lambda connection: read_part(connection, list(steps), sorted(paths)))

    async def save(self, changes: Changes) -> None:
        """One transaction: all or nothing. Raises StoreDamaged, Locked, OSError (disk full)."""
        connection = await self._patiently(self._begun)
        try:
            _write(connection, changes)
            hold(connection, self.pod, changes.artefacts, {})
            elsewhere = changes.owners
            connection.executemany(_OWN, [(path, elsewhere.get(path, self.pod), digest) for path, digest in changes.owned.items()])
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.DatabaseError):
                raise translated(error, self.path) from error
            raise

    async def strangers(self) -> frozenset[FilePath]:
        """Paths that other pods own. Raises StoreDamaged, Locked, OSError."""
        asked = "SELECT path FROM owners WHERE pod <> ?"
        return frozenset(path for (path,) in await self._patiently(lambda: self._open().execute(asked, (self.pod,)).fetchall()))

    async def close(self) -> None:
        """Releases the database. Idempotent; a later call opens it again."""
        self._close()

    async def _loaded(self, read: Callable[[sqlite3.Connection], Memory]) -> Memory:
        try:
            return await self._patiently(lambda: self._reading(read))
        except msgspec.MsgspecError as error:
            raise StoreDamaged(f"{self.path}: an entry of the catalogue cannot be read ({error}); {REBUILD_HINT}") from error

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _patiently(self, work: Callable[[], _T]) -> _T:
        """What ``work`` gives, tried again while another process holds the file."""
        deadline = time.monotonic() + _BUSY_SECONDS_MAX
        while True:
            try:
                return work()
            except sqlite3.DatabaseError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise translated(error, self.path) from error
            await asyncio.sleep(0)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connected(self.path, (f"busy_timeout = {_BUSY_MS}", *(p for p in PRAGMAS if "busy" not in p)))
        return self._connection

    def _begun(self) -> sqlite3.Connection:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        return connection

    def _reading(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """What ``read`` gives, of one consistent state."""
        connection = self._open()
        connection.execute("BEGIN")
        try:
            return read(connection)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def open_quickly(path: str, pod: str) -> QuickCatalogue:
    """The catalogue at ``path``, made or brought to the present schema first. Raises StoreDamaged, Locked, OSError."""
    catalogue = QuickCatalogue(path, pod)
    if not catalogue.is_present():
        prepare_catalogue(path)
    return catalogue


def _read(connection: sqlite3.Connection) -> Memory:
    rows: dict[str, list[Any]] = {
        table: connection.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall() for table, names in _COLUMNS.items()
    }
    return Memory(
        files={path: FileState(*state) for path, *state in rows["files"]},
        written={path: Written(step, digest) for path, step, digest in rows["written"]},
        results=_decoded(rows["results"], Result),
        knots=_decoded(rows["knots"], KnotMemory),
        fingerprints=_decoded(rows["fingerprints"], Fingerprint),
        facts=dict(rows["facts"]),
    )


def _decoded(rows: Iterable[tuple[str, bytes]], kind: type[_T]) -> dict[str, _T]:
    decode = msgspec.msgpack.Decoder(kind).decode
    return {name: decode(body) for name, body in rows}


def _write(connection: sqlite3.Connection, changes: Changes) -> None:
    astuple = msgspec.structs.astuple
    _store(connection, "files", [(path, *astuple(state)) for path, state in changes.files.items() if state is not None], changes.files)
    _store(connection, "written", [(path, *astuple(by)) for path, by in changes.written.items() if by is not None], changes.written)
    _store(connection, "facts", [(name, value) for name, value in changes.facts.items() if value is not None], changes.facts)
    bodies: Mapping[str, Mapping[str, object | None]] = {
        "results": changes.results,
        "knots": changes.knots,
        "fingerprints": changes.fingerprints,
    }
    for table, entries in bodies.items():
        _store(connection, table, [(name, _encode(value)) for name, value in entries.items() if value is not None], entries)


def _store(connection: sqlite3.Connection, table: str, rows: list[tuple[Any, ...]], entries: Mapping[str, object | None]) -> None:
    """Upserts ``rows`` by their key, the first column; deletes those of ``entries`` that are None."""
    key, *columns = _COLUMNS[table]
    if len(rows) < len(entries):
        connection.executemany(f"DELETE FROM {table} WHERE {key} = ?", [(name,) for name, value in entries.items() if value is None])
    if rows:
        marks = ", ".join("?" * (1 + len(columns)))
        changed = ", ".join(f"{column} = excluded.{column}" for column in columns)
        statement = f"INSERT INTO {table} ({', '.join(_COLUMNS[table])}) VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {changed}"
        connection.executemany(statement, rows)
