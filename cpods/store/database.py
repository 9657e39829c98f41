"""The connection to the catalogue's SQLite file: settings and transactions, with errors translated.

Knows no table.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from sqlalchemy import URL, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from cpods.errors import StoreDamaged
from cpods.store.connecting import PRAGMAS
from cpods.store.sqlerrors import REBUILD_HINT, translated

#: An interrupt may hit the closing of a connection; SQLAlchemy would print a traceback of that, and nothing is lost by it.
logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL + 1)


class Database:
    """One SQLite file in WAL mode. Readers never wait; a writer waits up to 30 s for another."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._engine = create_async_engine(URL.create("sqlite+aiosqlite", database=path))
        event.listen(self._engine.sync_engine, "connect", _set_pragmas)
        #: Whose turn it is to write, among those of this process.
        self.turn = asyncio.Lock()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection on one consistent state. Raises StoreDamaged, Locked, OSError."""
        with _Translation(self.path):
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: all or nothing. Raises StoreDamaged, Locked, OSError (disk full)."""
        with _Translation(self.path):
            # SQLite has its writers try again after a pause: of a hundred here some would wait for long, or in vain
            async with self.turn, self._engine.begin() as connection:
                yield connection

    async def close(self) -> None:
        """Releases the file. Idempotent."""
        await self._engine.dispose()


class _Translation:
    """Turns database errors into ours."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, DatabaseError):
            raise translated(error.orig, self._path) from error
        if isinstance(error, msgspec.MsgspecError):
            raise StoreDamaged(f"{self._path}: an entry of the catalogue cannot be read ({error}); {REBUILD_HINT}") from error


def _set_pragmas(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
