"""Tells of changed files below a folder: the real part of the Watcher port, and its in-memory twin.

Knows no project and no digest: what a change means is for the caller to find out.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable

from cpods.ids import FilePath

#: A burst of changes within this time is told at once.
BURST_MS = 50


class FolderWatcher:
    """Watches a folder with all below it (inotify, through watchfiles). The folder must be there.

    :meth:`changes` first tells, by an empty set, that everything may have changed: then it listens. ``every``: seconds
    after which it says so again, as the kernel may have dropped something.
    """

    def __init__(self, folder: str, every: float = 300.0) -> None:
        self._folder = os.path.realpath(folder)
        self._every = every

    async def changes(self) -> AsyncIterator[frozenset[FilePath]]:
        """Sets of paths that may have changed, relative to the folder; an empty set: everything may have."""
        from watchfiles import awatch

        loop = asyncio.get_running_loop()
        due = loop.time()
        ended = asyncio.Event()
        # Times out now and then: what happened before the watch stood is told by the first of these.
        watch = awatch(
            self._folder, debounce=BURST_MS, step=10, stop_event=ended, rust_timeout=500, yield_on_timeout=True, watch_filter=None
        )
        try:
            async for found in watch:
                if not found:
                    if loop.time() >= due:
                        due = loop.time() + self._every
                        yield frozenset()
                    continue
                yield frozenset(os.path.relpath(path, self._folder) for _, path in found)
        finally:
            ended.set()


class MemoryWatcher:
    """The twin: what :meth:`tell` is told."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[frozenset[FilePath]] = asyncio.Queue()
        self._told.put_nowait(frozenset())

    def tell(self, paths: Iterable[FilePath]) -> None:
        """These files changed; none: everything may have."""
        self._told.put_nowait(frozenset(paths))

    async def changes(self) -> AsyncIterator[frozenset[FilePath]]:
        """As in the port; an empty set comes first."""
        while True:
            yield await self._told.get()
