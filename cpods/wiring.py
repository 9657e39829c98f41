"""Joins real parts to ports: opens a project's state, its store and its catalogue, and builds a MajorDomo over them.

The only place that knows which part stands behind which port.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from cpods.chefs.registry import chefs
from cpods.chefs.toolbox import MachineToolbox
from cpods.declaration import Project, StoreSettings
from cpods.errors import Locked
from cpods.eyes import Eyes
from cpods.ids import STATE_FOLDER, FilePath
from cpods.ledger import PUBLISHING, BuildLedger
from cpods.majordomo.context import Parts
from cpods.majordomo.keys import Calendar, Keys
from cpods.model import Artefact, Step
from cpods.pod.cook import MirrorLike, Pod
from cpods.ports import Changes, Memory, Written
from cpods.scheduler.executor import ProcessExecutor
from cpods.scheduler.groups import end_group, end_strays
from cpods.store.farfolder import FarFolder, FarObjects
from cpods.store.journal import Journal
from cpods.store.lock import ProjectLock, make_state_folder
from cpods.store.manifests import ManifestStore
from cpods.store.mirror import Mirror
from cpods.store.objects import ObjectStore
from cpods.store.packing import PackingStore
from cpods.store.quickcatalogue import QuickCatalogue, open_quickly
from cpods.store.views import folder_view
from cpods.store.workspace import Folder

if TYPE_CHECKING:
    from cpods.store.catalogue import SqlCatalogue

#: The name of this machine's worker while there is no federation.
POD = "here"

#: Steps and paths: all that a build of a slice has to know of.
Part = tuple[Collection[str], Collection[FilePath]]

#: How often a waiting call asks for the lock again.
_LOCK_LOOK_SECONDS = 0.05


class WallClock:
    """The machine's clocks."""

    _second = -1
    _today = ""

    def now_ns(self) -> int:
        """Wall clock in nanoseconds since the epoch."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def today(self) -> str:
        """The local calendar date, YYYY-MM-DD."""
        now = int(time.time())
        if now != self._second:
            self._second, self._today = now, time.strftime("%Y-%m-%d", time.localtime(now))
        return self._today


class Places(msgspec.Struct, frozen=True):
    """Where a project's things lie; absolute paths."""

    root: str
    state: str
    store: str

    @property
    def catalogue(self) -> str:
        """The catalogue's file."""
        return os.path.join(self.state, "catalogue.db")


def places(root: str, store: StoreSettings, environment: Mapping[str, str]) -> Places:
    """CPODS_STATE and CPODS_STORE win over the project file's ``[store] path``, which is relative to the project."""
    top = os.path.abspath(root)
    state = os.path.abspath(environment.get("CPODS_STATE") or os.path.join(top, STATE_FOLDER))
    said = environment.get("CPODS_STORE") or (os.path.join(top, store.path) if store.path else os.path.join(state, "objects"))
    return Places(top, state, os.path.abspath(os.path.expanduser(said)))


def project_id(state: str) -> str:
    """The project's name in the store's path records: random, kept in the state folder."""
    path = os.path.join(state, "project")
    with suppress(FileNotFoundError), open(path) as file:
        return file.read().strip()
    made = os.urandom(16).hex()
    with open(path + ".new", "w") as file:
        file.write(made + "\n")
    os.rename(path + ".new", path)
    return made


class Site:
    """A project's open state. Made by :func:`opened`; ``catalogue`` is there only while it is open."""

    def __init__(self, where: Places, settings: StoreSettings, environment: Mapping[str, str]) -> None:
        self.where = where
        self.environment = environment
        self.clock = WallClock()
        self.objects: ObjectStore = PackingStore(where.store, settings.algorithm)
        self.results = ManifestStore(where.store)
        self.settings = settings
        self.memory = Memory()
        self.catalogue: QuickCatalogue | SqlCatalogue | None = None
        self.folder: Folder = Folder(where.root, self.objects, self.memory.files, self.clock, skip=(where.state, where.store))

    async def load(self, catalogue: QuickCatalogue, part: Part | None = None) -> None:
        """Takes over what the catalogue knows, or only what it knows of some steps and paths."""
        self.catalogue = catalogue
        self.memory = await catalogue.load() if part is None else await catalogue.load_part(*part)
        self.folder = Folder(self.where.root, self.objects, self.memory.files, self.clock, skip=(self.where.state, self.where.store))

    async def full(self) -> "SqlCatalogue":
        """The catalogue with its owners and holders, from now on the only one; loads SQLAlchemy, which a build here alone never needs.

        Also after :meth:`close`. Raises StoreDamaged, Locked, OSError.
        """
        from cpods.store.catalogue import SqlCatalogue

        assert self.catalogue is not None
        if not isinstance(self.catalogue, SqlCatalogue):
            await self.catalogue.close()
            self.catalogue = SqlCatalogue(self.where.catalogue, POD)
        return self.catalogue

    async def assume_far(self) -> None:
        """Products that other pods own, by the catalogue, count as standing there: for looking only, no pod is asked."""
        if isinstance(self.catalogue, QuickCatalogue) and not await self.catalogue.strangers():
            return
        ownership = (await self.full()).ownership
        far = {path: owner for path, owner in (await ownership.owners()).items() if owner.pod != POD}
        if not far:
            return
        held = {digest: size for pod, own in (await ownership.held()).items() if pod != POD for digest, size in own.items()}
        objects = FarObjects(self.where.store, self.settings.algorithm, held.get)
        folder = FarFolder(self.where.root, objects, self.memory.files, self.clock, skip=(self.where.state, self.where.store))
        for path, owner in far.items():
            written = self.memory.written.get(path)
            if written is not None and written.digest == owner.digest and owner.digest in held:
                folder.far[path] = Artefact(owner.digest, held[owner.digest])
        self.objects.close()
        self.objects, self.folder = objects, folder

    async def close(self) -> None:
        """Releases catalogue and store; what is in memory stays. Idempotent."""
        if self.catalogue is not None:
            await self.catalogue.close()
        self.objects.close()

    def parts(self, project: Project, producers: Mapping[str, Step], journal: Journal) -> Parts:
        """The ports of a build, joined."""
        assert self.catalogue is not None
        registry = chefs()
        toolbox = MachineToolbox(self.environment)
        eyes = Eyes(self.folder, self.objects, registry, producers, lambda name: self.memory.results.get(name))
        ledger = BuildLedger(project_id(self.where.state), self.objects, self.results, self.catalogue, journal)
        mirrors: dict[tuple[str, int], MirrorLike] = {}

        def mirror(knot: str, lane: int) -> MirrorLike:
            if (knot, lane) not in mirrors:
                folder = os.path.join(self.where.state, "work", folder_name(knot) + (f".{lane}" if lane else ""))
                mirrors[knot, lane] = Mirror(folder, self.folder, self.objects)
            return mirrors[knot, lane]

        kitchen = Pod(
            name=POD,
            folder=self.folder,
            objects=self.objects,
            chefs=registry,
            executor=ProcessExecutor(),
            clock=self.clock,
            eyes=eyes,
            mirror=mirror,
            plain_view=lambda paths: folder_view(self.folder, paths),
            diary=ledger,
            state=self.where.state,
        )
        return Parts(
            folder=self.folder,
            objects=self.objects,
            results=self.results,
            memory=self.memory,
            chefs=registry,
            kitchen=kitchen,
            ledger=ledger,
            keys=Keys(project.settings, self.environment, registry, toolbox, self.memory.fingerprints),
            calendar=Calendar(project.settings, self.environment, self.clock),
            eyes=eyes,
            state=self.where.state,
        )


def folder_name(knot: str) -> str:
    """A knot's name as the name of its mirror's folder: readable, and different for different knots."""
    from cpods.digest import of_parts

    readable = "".join(char if char.isalnum() or char in "._-" else "_" for char in knot)[:60]
    return f"{readable}-{of_parts([knot])[5:13]}"


@asynccontextmanager
async def opened(where: Places, settings: StoreSettings, environment: Mapping[str, str], part: Part | None = None) -> AsyncIterator[Site]:
    """A project's state for reading and writing, without the lock; ``part``: only what is known of these steps and paths.

    Raises StoreDamaged, UsageError, OSError.
    """
    make_state_folder(where.state)
    site = Site(where, settings, environment)
    try:
        await site.load(open_quickly(where.catalogue, POD), part)
        yield site
    finally:
        await site.close()


@asynccontextmanager
async def locked(
    where: Places,
    settings: StoreSettings,
    environment: Mapping[str, str],
    wait: bool,
    on_wait: Callable[[str], None],
    part: Part | None = None,
) -> AsyncIterator[tuple[Site, Journal]]:
    """As :func:`opened`, under the project's lock, after what an interrupted build left has been put right."""
    make_state_folder(where.state)
    for name in ("log", "work"):
        os.makedirs(os.path.join(where.state, name), exist_ok=True)
    lock = ProjectLock(where.state)
    await _acquire(lock, wait, on_wait)
    try:
        async with opened(where, settings, environment, part) as site:
            journal = Journal(where.state)
            try:
                await _recover(site, journal)
                yield site, journal
            finally:
                journal.close()
    finally:
        lock.release()


async def _acquire(lock: ProjectLock, wait: bool, on_wait: Callable[[str], None]) -> None:
    """Takes the lock; waits for it in the event loop, where a signal can end the wait. Raises Locked."""
    try:
        lock.acquire(wait=False)
        return
    except Locked:
        if not wait:
            raise
    on_wait(lock.holder())
    while True:
        await asyncio.sleep(_LOCK_LOOK_SECONDS)
        with suppress(Locked):
            lock.acquire(wait=False)
            return


async def _recover(site: Site, journal: Journal) -> None:
    """After a kill: ends orphans, restores the outputs of plain steps, completes what was being published."""
    left = journal.unfinished()
    if not left:
        return
    assert site.catalogue is not None
    if any(not entry.pid and not entry.step.startswith(PUBLISHING) for entry in left):
        end_strays(site.where.root)  # killed between the start of a process and its note
    published = Changes()
    for entry in left:
        if entry.step.startswith(PUBLISHING):
            step = entry.step[len(PUBLISHING) :]
            published.written.update((path, Written(step, digest)) for path, digest in entry.outputs.items())
    site.memory.written.update({path: written for path, written in published.written.items() if written is not None})
    if published.written:
        await site.catalogue.save(published)  # before the journal forgets: else a second kill would make strangers of these files
    journal.recover(site.folder, end_group)
