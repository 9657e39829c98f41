"""Keeps a build's records for good, in the order that a crash at any instant leaves right.

Knows no step's meaning: objects first, then manifests, then the catalogue, then the journal forgets.
"""

import asyncio
import itertools
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from cpods.ids import FilePath
from cpods.ports import Catalogue, Changes, Objects, Results

#: Journal entries of files about to be published, not of a step, start with this.
PUBLISHING = "publish:"


class JournalLike(Protocol):
    """What the ledger needs of a journal."""

    def begin(self, step: str, outputs: Mapping[FilePath, str], pid: int = 0, start_ticks: int = 0) -> None:
        """Something is about to touch these files."""

    def started(self, step: str, pid: int, start_ticks: int) -> None:
        """A step's process is there."""

    def end(self, *steps: str) -> None:
        """They are recorded, or undone."""

    def clear(self) -> None:
        """Nothing is under way: forget everything."""


class BuildLedger:
    """The ledger of one build; also the diary that pods write plain steps into."""

    def __init__(self, project: str, objects: Objects, results: Results, catalogue: Catalogue, journal: JournalLike) -> None:
        self._project = project
        self._objects = objects
        self._results = results
        self._catalogue = catalogue
        self._journal = journal
        #: What is under way, each with a number of its own: a step may run again while its first run is being saved.
        self._open: dict[str, int] = {}
        self._begun = itertools.count()
        self.added_bytes = 0

    def begin(self, step: str, outputs: Mapping[FilePath, str]) -> None:
        """A plain step is about to run."""
        self._journal.begin(step, outputs)
        self._open[step] = next(self._begun)

    def started(self, step: str, pid: int, start_ticks: int) -> None:
        """The plain step's process is there."""
        self._journal.started(step, pid, start_ticks)

    def end(self, step: str) -> None:
        """The plain step's outputs are restored."""
        self._journal.end(step)
        self._open.pop(step, None)

    def intend(self, knot: str, files: dict[FilePath, str]) -> None:
        """These files are about to be published; a crash in between is made good by publishing all of them."""
        self._results.commit()
        self._journal.begin(PUBLISHING + knot, files)
        self._open[PUBLISHING + knot] = next(self._begun)

    async def save(self, changes: Changes) -> None:
        """One batch, durable when it returns; steps may go on meanwhile. Raises OSError, StoreDamaged."""
        recorded = {name: number for name, number in self._open.items() if name in changes.results or name.startswith(PUBLISHING)}
        self.added_bytes += sum(changes.artefacts.values())
        if len(self._open) > len(recorded):
            await _beside(self._objects.commit)  # most of it is waiting for the disk, and steps run
        else:
            self._objects.commit()
        self._results.record(self._project, changes)
        self._results.commit()
        if any(getattr(changes, field) for field in changes.__struct_fields__):
            await self._catalogue.save(changes)
        ended = [name for name, number in recorded.items() if self._open.get(name) == number]
        for name in ended:
            del self._open[name]
        if ended:
            self._journal.end(*ended)
        if not self._open:
            self._journal.clear()


async def _beside(call: Callable[[], None]) -> None:
    """Calls in a thread of its own while the loop goes on. asyncio.to_thread would load a module for it, and leave its thread."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if not done.done():
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

    def run() -> None:
        failure: BaseException | None = None
        try:
            call()
        except BaseException as error:
            failure = error
        with suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(tell, failure)

    threading.Thread(target=run, name="commit").start()
    await done
