"""Keeps a build's records for good, in the order that a crash at any instant leaves right.

Knows no step's meaning: objects first, then manifests, then the catalogue, then the journal forgets.
"""

from collections.abc import Mapping
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

    def end(self, step: str) -> None:
        """It is recorded, or undone."""

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
        self._open: set[str] = set()

    def begin(self, step: str, outputs: Mapping[FilePath, str]) -> None:
        """A plain step is about to run."""
        self._journal.begin(step, outputs)
        self._open.add(step)

    def started(self, step: str, pid: int, start_ticks: int) -> None:
        """The plain step's process is there."""
        self._journal.started(step, pid, start_ticks)

    def end(self, step: str) -> None:
        """The plain step's outputs are restored."""
        self._journal.end(step)
        self._open.discard(step)

    def intend(self, knot: str, files: dict[FilePath, str]) -> None:
        """These files are about to be published; a crash in between is made good by publishing all of them."""
        self._results.commit()
        self._journal.begin(PUBLISHING + knot, files)
        self._open.add(PUBLISHING + knot)

    async def save(self, changes: Changes) -> None:
        """One batch, durable when it returns. Raises OSError, StoreDamaged."""
        recorded = {name for name in self._open if name in changes.results or name.startswith(PUBLISHING)}
        self._objects.commit()
        self._results.record(self._project, changes)
        self._results.commit()
        if any(getattr(changes, field) for field in changes.__struct_fields__):
            await self._catalogue.save(changes)
        for name in recorded:
            self.end(name)
        if not self._open:
            self._journal.clear()
