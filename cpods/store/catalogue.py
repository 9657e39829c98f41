"""The catalogue in SQLite: queries only. The real part of the Catalogue port.

Knows no file system and no step's meaning; tables are in schema.py.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Table, bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cpods.model import Result
from cpods.ports import Changes, FileState, Fingerprint, KnotMemory, Memory, Written
from cpods.store import schema
from cpods.store.database import Database
from cpods.store.migrate import prepare_catalogue
from cpods.store.ownership import SqlOwnership

_T = TypeVar("_T")
_encode = msgspec.msgpack.Encoder().encode


class SqlCatalogue:
    """What one pod knows, in one database file. ``ownership`` is the Ownership port on the same file."""

    def __init__(self, path: str, pod: str) -> None:
        self.path = path
        self.pod = pod
        self._database = Database(path)
        self.ownership = SqlOwnership(self._database)

    async def load(self) -> Memory:
        """Everything at once. Raises StoreDamaged."""
        async with self._database.reading() as connection:
            memory = Memory(
                files={path: FileState(*state) for path, *state in await _rows(connection, schema.files)},
                written={path: Written(step, digest) for path, step, digest in await _rows(connection, schema.written)},
                facts={name: value for name, value in await _rows(connection, schema.facts)},
            )
            memory.results = _decoded(await _rows(connection, schema.results), Result)
            memory.knots = _decoded(await _rows(connection, schema.knots), KnotMemory)
            memory.fingerprints = _decoded(await _rows(connection, schema.fingerprints), Fingerprint)
            return memory

    async def save(self, changes: Changes) -> None:
        """One transaction: all or nothing. Raises StoreDamaged, Locked, OSError (disk full)."""
        async with self._database.writing() as connection:
            await _store(connection, schema.files, {path: _columns(state) for path, state in changes.files.items()})
            await _store(connection, schema.written, {path: _columns(entry) for path, entry in changes.written.items()})
            await _store(connection, schema.facts, {name: _column(value) for name, value in changes.facts.items()})
            await _store(connection, schema.results, _bodies(changes.results))
            await _store(connection, schema.knots, _bodies(changes.knots))
            await _store(connection, schema.fingerprints, _bodies(changes.fingerprints))
            if changes.artefacts:
                await self.ownership.hold_within(connection, self.pod, changes.artefacts)
            if changes.owned:
                await self.ownership.own_within(connection, self.pod, changes.owned, changes.owners)

    async def close(self) -> None:
        """Releases the database. Idempotent."""
        await self.ownership.close()
        await self._database.close()


def open_catalogue(path: str, pod: str) -> SqlCatalogue:
    """The catalogue at ``path``, made or brought to the present schema first. Raises StoreDamaged, Locked, OSError."""
    prepare_catalogue(path)
    return SqlCatalogue(path, pod)


async def _rows(connection: AsyncConnection, table: Table) -> Iterable[Any]:
    return (await connection.execute(select(table))).all()


def _decoded(rows: Iterable[Any], kind: type[_T]) -> dict[str, _T]:
    decode = msgspec.msgpack.Decoder(kind).decode
    return {name: decode(body) for name, body in rows}


def _bodies(changes: Mapping[str, object | None]) -> dict[str, tuple[object, ...] | None]:
    return {name: None if value is None else (_encode(value),) for name, value in changes.items()}


def _columns(value: FileState | Written | None) -> tuple[object, ...] | None:
    return None if value is None else msgspec.structs.astuple(value)


def _column(value: str | None) -> tuple[object, ...] | None:
    return None if value is None else (value,)


async def _store(connection: AsyncConnection, table: Table, rows: Mapping[str, tuple[object, ...] | None]) -> None:
    """Upserts the given rows by primary key (the first column); None deletes."""
    key, *columns = table.columns
    gone = [{"gone": name} for name, values in rows.items() if values is None]
    if gone:
        await connection.execute(delete(table).where(key == bindparam("gone")), gone)
    there = [dict(zip(table.columns.keys(), (name, *values), strict=True)) for name, values in rows.items() if values is not None]
    if there:
        statement = insert(table)
        changed = {column.name: statement.excluded[column.name] for column in columns}
        await connection.execute(statement.on_conflict_do_update(index_elements=[key], set_=changed), there)
