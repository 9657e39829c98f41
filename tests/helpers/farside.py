"""A MajorDomo's side of a federation without a network: real folder and store, twins of bus and transfer, a build's plan by hand.

Knows no test; pods are played (tests.helpers.playedpods).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from cpods.chefs.registry import chefs
from cpods.chefs.toolbox import MachineToolbox
from cpods.declaration import ProjectSettings
from cpods.errors import Unavailable
from cpods.eyes import Eyes
from cpods.ids import FilePath
from cpods.majordomo.far.dispatch import Dispatcher
from cpods.majordomo.far.estate import Estate
from cpods.majordomo.far.fleet import Fleet
from cpods.majordomo.far.history import History
from cpods.majordomo.far.jobs import Job
from cpods.majordomo.far.kitchen import FarKitchen
from cpods.majordomo.far.landscape import Landscape
from cpods.majordomo.far.placing import Placer
from cpods.majordomo.keys import Keys
from cpods.majordomo.planning import Planned
from cpods.majordomo.scene import Scene
from cpods.model import Artefact, Remembered, Step
from cpods.net.memory import MemoryTransfer
from cpods.net.messages import StepRequest
from cpods.orders import Cooked, Order
from cpods.ports import Claim, Memory, Owner, Written
from cpods.store.farfolder import FarFolder, FarObjects
from cpods.store.memory import MemoryCatalogue, MemoryOwnership, MemoryResults
from cpods.wiring import WallClock
from tests.helpers.playedpods import BOSS, FEDERATION, BreakableBus, Town

HERE = "here"
PROJECT = "paper"


class Here:
    """The own store as others see it: only what really lies in it."""

    def __init__(self, objects: FarObjects) -> None:
        self._objects = objects

    def has(self, digest: str) -> bool:
        """As Objects.has."""
        return self._objects.has_here(digest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)


class WatchedOwnership(MemoryOwnership):
    """Ownership that keeps every change: (path, epoch, pod, digest) in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[Owner] = []

    async def claim(self, path: FilePath, epoch: int, pod: str, digest: str) -> Owner:
        """As in the port."""
        before = self._owners.get(path)
        after = await super().claim(path, epoch, pod, digest)
        if before != after and after.epoch:
            self.changes.append(after)
        return after

    async def claim_many(self, claims: Sequence[Claim]) -> list[Owner]:
        """As in the port; it takes a moment, as a transaction does."""
        await asyncio.sleep(0.01)
        return await super().claim_many(claims)


class FarSide:
    """One build. ``steps`` in project order; ``remembered`` by step, what earlier builds knew."""

    def __init__(
        self,
        root: Path,
        town: Town,
        steps: Sequence[Step] = (),
        remembered: dict[str, Remembered] | None = None,
        leftovers: dict[FilePath, str] | None = None,
        strategy: str = "least-loaded",
    ) -> None:
        self.town = town
        self.project, self.majordomo, self.sftp = PROJECT, BOSS, (BOSS, 1)
        self.root = root / "project"
        self.root.mkdir(parents=True, exist_ok=True)
        self.objects = FarObjects(str(root / "store"), "xxh3", lambda digest: self.estate.held_size(digest))
        self.memory = Memory()
        self.folder = FarFolder(str(self.root), self.objects, self.memory.files, WallClock())
        self.bus = BreakableBus(town.broker, BOSS)
        self.fleet = Fleet(self.bus, FEDERATION)
        town.stores[BOSS] = Here(self.objects)
        town.stores[HERE] = town.stores[BOSS]
        self.transfer = MemoryTransfer(BOSS, town.stores)
        self.records = WatchedOwnership()
        self.estate = Estate(HERE, PROJECT, self.fleet, self.records, self.objects, self.transfer)
        self.results = MemoryResults()
        registry = chefs()
        self.eyes = Eyes(self.folder, self.objects, registry, {path: step for step in steps if step.insignificant for path in step.outputs})
        self.keys = Keys(ProjectSettings(), os.environ, registry, MachineToolbox(os.environ), {})
        self.planned = Planned({step.name: step for step in steps}, (), dict(remembered or {}), dict(leftovers or {}), (), {})
        self.scene = Scene(self.folder, self.memory, self.planned, lambda: self.planned.steps.keys())
        self.landscape = Landscape(self.folder, self.objects, self.memory, self.planned, self.scene, lambda: ())
        self.history = History(self.memory, MemoryCatalogue().save)
        self.decisions = bytearray()
        self.placer = Placer(strategy, self.estate, self.fleet, self.history, self.decisions.extend)
        self.kitchen = FarKitchen(PROJECT, self.folder, self.objects, self.memory, self.results, self.eyes, self.keys, self.estate)
        self.dispatcher = Dispatcher(self.bus, self.fleet, self, self.placer, self.kitchen.accept)
        self.kitchen.attach(self.dispatcher, self.landscape, self.planned)
        self.placer.attach(self.planned)

    # -- the project -----------------------------------------------------------------------------------------------

    def write(self, path: FilePath, text: str) -> str:
        """A file of the user's, looked at; its digest."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)
        return self.folder.refresh(path)

    def order(self, name: str, **more: Any) -> Order:
        """The order of a step as settling gives it."""
        step = self.planned.steps[name]
        return Order(step, self.keys.static(step), self.keys.environment(step, 0), 0, f"{name}.log", **more)

    async def cook(self, name: str, **more: Any) -> Cooked:
        """Has a step carried out, and remembers what it made, as settling does."""
        cooked = await self.kitchen.cook(self.order(name, **more))
        if cooked.result is not None and cooked.result.exit_code == 0 and "knot" not in more:
            self.memory.results[name] = cooked.result
            for output in cooked.result.outputs:
                self.memory.written[output.path] = Written(name, output.version.digest)
                self.estate.own(output.path, output.version.digest, self.folder.is_far(output.path))
        return cooked

    # -- what dispatch asks ----------------------------------------------------------------------------------------

    def prepared(self, job: Job, pods: list[str]) -> StepRequest:
        """As cpods.federated.Far does it."""
        holders = {}
        for digest, _ in job.inputs:
            names = [*self.estate.holders(digest), *([BOSS] if self.objects.has_here(digest) else [])]
            for name in names:
                if name not in pods:
                    pods.append(name)
            holders[digest] = tuple(map(pods.index, names))
        return msgspec.structs.replace(job.request, holders=holders)

    def keep(self, data: bytes) -> Artefact:
        """A long message, into the own store."""
        artefact = self.objects.put_bytes(data)
        self.objects.commit()
        return artefact

    async def fetched(self, artefact: Artefact, pod: str) -> bytes:
        """A long message of a pod's."""
        await self.transfer.pull(artefact, [pod])
        try:
            return self.objects.read(artefact.digest)
        except KeyError:
            raise Unavailable("damaged") from None


def shell(name: str, inputs: Sequence[FilePath] = (), outputs: Sequence[FilePath] = (), **more: Any) -> Step:
    """A step that some pod plays."""
    return Step(name, "shell", "sh", ("sh", "-c", name), (0,), inputs=tuple(inputs), outputs=tuple(outputs), tools=("sh",), **more)


@asynccontextmanager
async def farside(root: Path, town: Town, steps: Sequence[Step] = (), pods: Sequence[str] = (), **more: Any) -> AsyncIterator[FarSide]:
    """A build with these pods, from its beginning to its end."""
    side = FarSide(root, town, steps, **more)
    for name in pods:
        pod = await town.pod(name)
        pod.fits["sh"] = side.keys.fingerprint(shell("any"))
    await side.fleet.start(pods)
    await side.estate.load()
    await side.dispatcher.start()
    try:
        yield side
    finally:
        await side.kitchen.close()
        await side.dispatcher.close()
        side.placer.close()
        await side.estate.settle()
        await side.fleet.close()
        await town.close()
        await side.bus.close()
        side.objects.close()
