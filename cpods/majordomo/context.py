"""What one build works with: the ports, the plan, the core, and what is to be written down at the next save.

Knows no procedure: settling, knots and drive share it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from cpods.digest import of_parts
from cpods.eyes import Eyes
from cpods.graph.fixpoint import KnotRun
from cpods.ids import FilePath
from cpods.majordomo.account import Account
from cpods.majordomo.keys import Calendar, Keys
from cpods.majordomo.lookup import Lookup
from cpods.majordomo.planning import Planned
from cpods.majordomo.scene import Scene
from cpods.model import Artefact, Output, Result, Step
from cpods.orders import Cooked, Order
from cpods.ports import Changes, Chef, Memory, Objects, Results, Workspace, Written
from cpods.scheduler.core import Core, Options, Plan


class Kitchen(Protocol):
    """Where steps are run: a pod, near or far."""

    async def cook(self, order: Order) -> Cooked:
        """Carries out an order."""


class Federation(Protocol):
    """What a build in a federation needs besides a kitchen: others have results and artefacts too, and own paths."""

    async def recollect(self, steps: Iterable[str] = (), knots: Iterable[str] = ()) -> None:
        """Takes over what others stored under these static keys of steps and of knots."""

    async def bring(self, artefacts: Iterable[Artefact]) -> None:
        """Brings artefacts that only others hold into the own store, as far as they can be had."""

    def own(self, path: FilePath, digest: str) -> None:
        """``path`` stands in the project now, here or on a pod, which owns it from then on."""

    async def flush(self) -> None:
        """Writes down and gives on what came since the last time."""


class Ledger(Protocol):
    """Where a build's records are kept for good: one batch at a time, objects before records."""

    @property
    def added_bytes(self) -> int:
        """Sizes of the artefacts that were saved."""

    async def save(self, changes: Changes) -> None:
        """Makes objects and manifests durable, then writes one transaction."""

    def intend(self, knot: str, files: dict[FilePath, str]) -> None:
        """Notes which files are about to be published, so that a crash in between is understood."""


class Parts(msgspec.Struct):
    """The ports and tools that a MajorDomo works with; joined in wiring."""

    folder: Workspace
    objects: Objects
    results: Results
    memory: Memory
    chefs: Mapping[str, Chef]
    kitchen: Kitchen
    ledger: Ledger
    keys: Keys
    calendar: Calendar
    eyes: Eyes
    state: str
    federation: Federation | None = None


class Request(msgspec.Struct, frozen=True):
    """How a build is to be done, beyond the core's options. ``seed``: warm, clean, a folder, or '' for the default."""

    options: Options
    seed: str = ""
    force: bool = False
    publish: bool = True


class Choice(msgspec.Struct, frozen=True):
    """What the user said of a federation: its name ('' = the project's, else none), the strategy, where goals are to be.

    ``leave_remote``: goals stay on the pods that made them.
    """

    name: str = ""
    placement: str = ""
    leave_remote: bool = False


class Build:
    """The state of one build. ``seeds`` and ``dates`` by knot; ``before``: last results as they were before this build.

    ``incomplete``: knots that need an object which is gone: only results whose outputs are all stored count there.
    """

    def __init__(self, parts: Parts, planned: Planned, request: Request, account: Account) -> None:
        self.parts = parts
        self.planned = planned
        self.request = request
        self.account = account
        self.changes = Changes()
        self.core = Core(self._plan())
        self.scene = Scene(parts.folder, parts.memory, planned, self.core.finished_steps)
        self.lookup = Lookup(parts.eyes, parts.keys, parts.calendar, parts.memory, parts.results, parts.objects, parts.folder)
        self.seeds: dict[str, str] = {}
        self.dates: dict[str, int | None] = {}
        self.before: dict[str, Result] = {}
        self.last_folders: dict[str, str] = {}
        self.incomplete: set[str] = set()
        self.settled = 0

    def _plan(self) -> Plan:
        return Plan(
            steps=self.planned.steps,
            goals=self.planned.goals,
            remembered=self.planned.remembered,
            present=lambda path: self.scene.present(path),
            filter_for=self.parts.eyes.filter_for,
            options=self.request.options,
            mentions=self.planned.mentions,
        )

    def run_of(self, knot: str) -> KnotRun | None:
        """The way that a knot is on, if it is being iterated."""
        unit = self.core.units.by_name.get(knot)
        return unit.run if unit is not None else None

    def remember(self, step: str, result: Result) -> None:
        """This is now the step's last result."""
        known = self.parts.memory.results.get(step)
        if known is not None:
            self.before.setdefault(step, known)
        if known != result:
            self.parts.memory.results[step] = self.changes.results[step] = result

    def own(self, path: FilePath, step: str, digest: str) -> None:
        """``path`` in the folder is now a product of ``step`` with these bytes."""
        written = Written(step, digest)
        if self.parts.memory.written.get(path) != written:
            self.parts.memory.written[path] = self.changes.written[path] = written
            if self.parts.federation is not None:
                self.parts.federation.own(path, digest)
            else:
                self.changes.owned[path] = digest
        self.parts.eyes.appeared(path)

    def disown(self, path: FilePath) -> None:
        """``path`` is no product any more."""
        if self.parts.memory.written.pop(path, None) is not None:
            self.changes.written[path] = None
            self.parts.eyes.vanished(path)

    def viewed(self, output: Output, readers: list[Step]) -> Output:
        """An output with what each of the readers that have a filter sees of it."""
        version = output.version
        return Output(output.path, self.parts.eyes.version(output.path, Artefact(version.digest, version.size), readers))


_UNREADABLE = re.compile(r"[^\w.-]")


def log_name(step: str) -> str:
    """The file name of a step's log: readable, and different for different steps."""
    readable = _UNREADABLE.sub("_", step[:100])
    return f"{readable}-{of_parts([step])[5:13]}.log"
