"""A connection to the catalogue by the standard library's sqlite3, in a thread of its own: one hop for a whole piece of work.

Knows no table and no query. SQLAlchemy's asynchronous way hops between threads for each statement.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cpods.store.connecting import connected
from cpods.store.sqlerrors import translated

_T = TypeVar("_T")


class OwnConnection:
    """The file at ``path``, opened with the first piece of work. ``name``: of the thread."""

    def __init__(self, path: str, name: str, pragmas: Sequence[str]) -> None:
        self.path = path
        self._name = name
        self._pragmas = pragmas
        self._connection: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """What ``work`` gives, one piece after the other. Raises StoreDamaged, Locked, OSError for what SQLite says."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, self._name)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    async def close(self) -> None:
        """Releases the file. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._disconnect)
            thread.shutdown()

    def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            if self._connection is None:
                self._connection = connected(self.path, self._pragmas)
            return work(self._connection)
        except sqlite3.DatabaseError as error:
            raise translated(error, self.path) from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
