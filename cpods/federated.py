"""Joins a build to a federation: the bus, the own store served to pods, pulling from theirs, and a kitchen made of all pods.

The only place that knows which parts stand behind a far kitchen; wiring does the same for this machine alone.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec

from cpods.errors import Unavailable
from cpods.ids import FilePath
from cpods.majordomo.account import Account
from cpods.majordomo.context import Build, Choice, Parts
from cpods.majordomo.far.dispatch import Dispatcher
from cpods.majordomo.far.estate import Estate
from cpods.majordomo.far.fleet import Fleet
from cpods.majordomo.far.history import History
from cpods.majordomo.far.jobs import Job
from cpods.majordomo.far.kitchen import FarKitchen
from cpods.majordomo.far.landscape import Landscape
from cpods.majordomo.far.placing import PLACEMENT_LOG, Placer
from cpods.majordomo.far.sharing import Sharing, SharingResults
from cpods.model import Artefact
from cpods.net import bus as nats
from cpods.net import subjects, wire
from cpods.net.addresses import serving_place
from cpods.net.identity import Home, home_of
from cpods.net.membership import RosterNews
from cpods.net.messages import Ack, Edited, Owned, StepDone, StepRequest
from cpods.net.pull import Peer, SftpTransfer
from cpods.net.questions import Forget, Happened, Okay, Resume, Resumed
from cpods.net.rollcall import catch_up
from cpods.net.roster import POD as POD_ROLE
from cpods.net.roster import Roster
from cpods.net.stewardship import AskHandovers, Handovers, OwnerEntry, TookHandovers, mirror_key
from cpods.net.storeserver import StoreServer
from cpods.ports import Message
from cpods.store.catalogue import SqlCatalogue
from cpods.store.farfolder import FarFolder, FarObjects
from cpods.wiring import POD, Site, project_id

#: So many units of a build may be under way at once: the pods' slots are the limit that counts.
UNITS_MAX = 4096
#: Results that came while no MajorDomo was there are waited for so long before the build looks anything up.
_RESUME_SECONDS = 5.0
_STEWARD_SECONDS = 2.0
_MIRRORED_AT_ONCE = 64
#: Characters of a log that a pod sends whole with a result.
_LOG_MAX = 30_000


class Far:
    """A build's federation while it lasts. Made by :func:`joined`."""

    def __init__(
        self,
        home: Home,
        bus: nats.NatsBus,
        fleet: Fleet,
        server: StoreServer,
        serving: "asyncio.Future[tuple[str, int]]",
        site: Site,
        catalogue: SqlCatalogue,
        choice: Choice,
    ) -> None:
        self.home = home
        self.choice = choice
        self.fleet = fleet
        self._bus = bus
        self._server = server
        self._site = site
        self.project = project_id(site.where.state)
        self.majordomo = home.identity.name
        self.sftp = ("", 0)
        self._serving = serving
        self._account: Account | None = None
        self._learning: asyncio.Future[None] | None = None
        self._telling: set[asyncio.Future[None]] = set()
        self._roster = home.roster
        self.objects = FarObjects(site.where.store, site.settings.algorithm, lambda digest: self.estate.held_size(digest))
        self.folder = FarFolder(site.where.root, self.objects, site.memory.files, site.clock, skip=(site.where.state, site.where.store))
        self.transfer = SftpTransfer(
            self.majordomo, self.objects, self._peer, home.identity.ssh_key, self._bad_holder, self.objects.has_here
        )
        self.estate = Estate(POD, self.project, fleet, catalogue.ownership, self.objects, self.transfer)
        self.history = History(site.memory, catalogue.save)
        self.results = SharingResults(site.results)
        self.sharing = Sharing(bus, fleet.federation, self.results)
        self.placer = Placer(choice.placement, self.estate, fleet, self.history, self._keep_decisions)
        self.kitchen: FarKitchen
        self.dispatcher: Dispatcher
        self._came: dict[str, asyncio.Event] = {}
        self._logged: set[str] = set()
        self._has_decided = False

    # -- before the build ------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Takes over the catalogue, and puts far products where the plan looks for them."""
        await self.estate.load()
        self._site.objects.close()
        await asyncio.to_thread(self.objects.unpack)  # what others pull from here are files
        self._site.objects, self._site.folder = self.objects, self.folder
        for path, owner in self.estate.owners.items():
            written = self._site.memory.written.get(path)
            if owner.pod != POD and written is not None and written.digest == owner.digest:
                self.folder.far[path] = Artefact(owner.digest, self.estate.holdings.size(owner.digest) or 0)

    async def start(self, parts: Parts) -> Parts:
        """The parts of a build whose kitchen is the federation. Results that pods still had for this project count first."""
        self.kitchen = FarKitchen(
            self.project, self.folder, self.objects, self._site.memory, self.results, parts.eyes, parts.keys, self.estate
        )
        self.kitchen.ready = self._served
        self.kitchen.on_end = self.history.note_end
        self.dispatcher = Dispatcher(self._bus, self.fleet, self, self.placer, self._accept)
        self.dispatcher.on_log = self._log
        self.dispatcher.on_edited = self._edited
        await self.dispatcher.start()
        await self._take_handovers()
        await self._resume()
        return msgspec.structs.replace(parts, kitchen=self.kitchen, results=self.results, federation=self)

    async def _served(self) -> None:
        """The own store can be pulled from: only now may a step be sent away. Raises Unavailable, UsageError."""
        self.sftp = await asyncio.shield(self._serving)

    def attach(self, build: Build) -> None:
        """The build is planned: from now on its steps can be shown to pods."""
        self._account = build.account
        tree = self._site.folder.tree
        landscape = Landscape(self.folder, self.objects, self._site.memory, build.planned, build.scene, lambda: tree().folders)
        self.kitchen.attach(self.dispatcher, landscape, build.planned)
        self.history.attach(
            [*build.planned.steps.values(), *(helper for known in build.planned.remembered.values() for helper in known.helpers)]
        )
        self.placer.attach(build.planned, build.core.finished_steps)
        keys = build.parts.keys
        steps = {keys.fit_name(step): step for step in build.planned.steps.values() if step.tool_match == "same"}
        self._learning = asyncio.ensure_future(self.fleet.learn(steps))

    async def _take_handovers(self) -> None:
        """What was handed on when a pod was drained while nobody built this project."""
        subject = subjects.steward(self.fleet.federation)
        with suppress(Unavailable, TimeoutError):
            data = await self._bus.request(subject, wire.encode(AskHandovers(self.project)), _STEWARD_SECONDS)
            handovers = wire.decode(data, Handovers)
            if handovers.count:
                await self.estate.take_over(handovers.notes)
                for path, owner in self.estate.owners.items():
                    if path in self.folder.far:
                        self.folder.far[path] = Artefact(owner.digest, self.folder.far[path].size)
                await self._bus.request(subject, wire.encode(TookHandovers(self.project, handovers.count)), _STEWARD_SECONDS)

    async def _resume(self) -> None:
        """Asks every pod what it still has for this project, and lets it come in."""
        answers = await asyncio.gather(*(self._resumed(pod) for pod in self.fleet.present()))
        expected = [step_id for answer in answers if answer is not None for step_id in answer.done]
        for step_id in expected:
            self._came.setdefault(step_id, asyncio.Event())
        with suppress(TimeoutError):
            async with asyncio.timeout(_RESUME_SECONDS):
                for step_id in expected:
                    await self._came[step_id].wait()

    async def _resumed(self, pod: str) -> Resumed | None:
        try:
            answer = await self.fleet.ask(pod, Resume(self.project, self.majordomo), Resumed)
        except (Unavailable, TimeoutError):
            return None
        for step_id in answer.running:
            self.placer.prefer(step_id, pod)
        self._note_edited(answer.owned, pod)
        self.estate.reconcile(pod, answer.owned)
        return answer

    # -- the federation as a build sees it (majordomo.context.Federation) ------------------------------------------

    async def recollect(self, steps: Iterable[str] = (), knots: Iterable[str] = ()) -> None:
        """Takes over what others stored under these keys, and learns who holds the artefacts."""
        digests = await self.sharing.ask(steps, knots)
        unknown = [digest for digest in digests if not self.objects.has(digest)]
        if unknown:
            await self.estate.confirm(unknown)
        if self.sharing.trouble and self._account is not None:
            self._account.note(self.sharing.trouble)

    async def bring(self, artefacts: Iterable[Artefact]) -> None:
        """Brings artefacts that only others hold into the own store, as far as they can be had; the others count as gone."""
        self.estate.give_up(await self.estate.bring(artefacts))

    def own(self, path: FilePath, digest: str) -> None:
        """``path`` stands in the project now, here or on a pod, which owns it from then on."""
        self.estate.own(path, digest, self.folder.is_far(path))

    async def flush(self) -> None:
        """Writes down and gives on what came since the last time."""
        await self.estate.flush()
        await self.sharing.give()

    # -- after the build -------------------------------------------------------------------------------------------

    async def deliver(self, goals: Iterable[FilePath]) -> int:
        """Brings goals back from the pods that made them; how many. Raises Unavailable for one that nobody delivers."""
        far = [path for path in goals if self.folder.is_far(path) and path not in self.folder.edited]
        if self.choice.leave_remote or not far:
            return 0
        failed = await self.estate.bring(self.folder.far[path] for path in far)
        for path in far:
            reason = failed.get(self.folder.far[path])
            if reason is not None:
                owner = self.estate.owners.get(path)
                where = owner.pod if owner else "its pod"
                raise Unavailable(f"{path} was built but cannot be brought here from {where}: {reason}; call cpods again")
            try:
                self.folder.deliver(path)
            except KeyError:
                raise Unavailable(f"{path} was brought here but is damaged in the store; call cpods again") from None
        return len(far)

    async def close(self) -> None:
        """Ends what still runs, tells pods what they own. Idempotent."""
        if hasattr(self, "dispatcher"):
            await self.kitchen.close()
            await self.dispatcher.close()
        for task in (*self._telling, *((self._learning,) if self._learning is not None else ())):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if hasattr(self, "dispatcher") and not self.sharing.trouble:
            await self._take_handovers()
        with suppress(Unavailable, TimeoutError):
            await self.estate.settle(self.folder.restored)
            await self.sharing.give()
            await self._mirror_owners()
        await self.transfer.close()
        self.placer.close()
        await self.history.save()

    async def _mirror_owners(self) -> None:
        """Tells the broker's memory who owns what changed hands: a mirror, for whoever looks on. Without it nothing is lost."""
        entries = [
            OwnerEntry(self.project, path, owner.epoch, self.majordomo if owner.pod == POD else owner.pod, owner.digest)
            for path, owner in self.estate.changed().items()
        ]
        for start in range(0, len(entries), _MIRRORED_AT_ONCE):
            page = entries[start : start + _MIRRORED_AT_ONCE]
            keys = [mirror_key(entry.project, entry.path) for entry in page]
            puts = (self._bus.kept.put_owner(key, wire.encode(entry)) for key, entry in zip(keys, page, strict=True))
            done = await asyncio.gather(*puts, return_exceptions=True)
            if any(isinstance(error, BaseException) for error in done):
                return

    def moved_bytes(self) -> dict[str, dict[str, int]]:
        """Bytes pulled, by receiver and holder; this member as ``here``."""
        found = {pod: dict(by) for pod, by in sorted(self.kitchen.fetched.items())}
        if self.transfer.moved:
            found[POD] = dict(sorted(self.transfer.moved.items()))
        return found

    # -- what dispatch asks (majordomo.far.dispatch.Sender) --------------------------------------------------------

    def prepared(self, job: Job, pods: list[str]) -> StepRequest:
        """The request with its holders as indexes into ``pods``; what is in the own store need not be named."""
        holders = {}
        for digest, _ in job.inputs:
            names = self.estate.holders(digest)
            if self.objects.has_here(digest):
                if not names:
                    continue
                names = [*names, self.majordomo]
            for name in names:
                if name not in pods:
                    pods.append(name)
            holders[digest] = tuple(pods.index(name) for name in names)
        return msgspec.structs.replace(job.request, holders=holders)

    def keep(self, data: bytes) -> Artefact:
        """Puts a long message into the own store, durable."""
        artefact = self.objects.put_bytes(data)
        self.objects.commit()
        return artefact

    async def fetched(self, artefact: Artefact, pod: str) -> bytes:
        """A long message that a pod keeps in its store. Raises Unavailable."""
        await self.transfer.pull(artefact, [pod])
        self.objects.commit()
        try:
            return self.objects.read(artefact.digest)
        except KeyError:
            raise Unavailable(f"a long message from {pod} was damaged on the way; it will send it again") from None

    # -- what pods tell --------------------------------------------------------------------------------------------

    async def _accept(self, pod: str, steps: Sequence[StepDone]) -> list[Ack]:
        acks = await self.kitchen.accept(pod, steps)
        for one in steps:
            self._came.setdefault(one.id, asyncio.Event()).set()
            self._keep_log(one)
        return acks

    def _keep_log(self, done: StepDone) -> None:
        """What the tool said, in full if it is not long; else what came while it ran, which may have more."""
        name = self.kitchen.logs.get(done.id)
        if name is not None and done.cooked.execution is not None and (len(done.log) < _LOG_MAX or done.id not in self._logged):
            with open(self._log_path(name), "w", encoding="utf-8") as file:
                file.write(done.log)

    def _log_path(self, name: str) -> str:
        return os.path.join(self._site.where.state, "log", name)

    def _keep_decisions(self, lines: bytes) -> None:
        """The log of placement: the last build's that had something to place."""
        with open(self._log_path(PLACEMENT_LOG), "ab" if self._has_decided else "wb") as file:
            file.write(lines)
        self._has_decided = True

    def _log(self, step_id: str, text: str) -> None:
        name = self.kitchen.logs.get(step_id)
        if name is not None:
            with open(self._log_path(name), "a" if step_id in self._logged else "w", encoding="utf-8") as file:
                file.write(text)
            self._logged.add(step_id)
            if self._account is not None:
                self._account.listener.said(self.kitchen.step_name(step_id), text)

    def _edited(self, edited: Edited) -> None:
        self._note_edited(edited.paths, edited.pod)

    def _note_edited(self, rows: Iterable[Owned], pod: str) -> None:
        """Edits on a pod count where that pod owns the path at that epoch."""
        for row in rows:
            owner = self.estate.owners.get(row.path)
            if owner is not None and owner.pod == pod and owner.epoch == row.epoch and row.now != owner.digest:
                self.folder.note_edited(row.path, row.now)

    def _bad_holder(self, pod: str, artefact: Artefact) -> None:
        if self._account is not None:
            self._account.note(f"{pod} delivered other bytes for {artefact.digest}; another holder was asked")
        task = asyncio.ensure_future(self._complain(pod, artefact.digest))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _complain(self, pod: str, digest: str) -> None:
        """Tells a holder to look at its copy; if it cannot be reached, whoever gets bad bytes next does so."""
        with suppress(Unavailable, TimeoutError):
            await self.fleet.ask(pod, Forget((digest,)), Okay)

    async def on_event(self, message: Message) -> None:
        """A pod got bad bytes from another: pods do not command each other, so it is told from here."""
        news = wire.decode(message.payload, Happened)
        if news.what == "lied" and self.estate.is_held(news.text):
            await self.estate.doubt({news.text: f"{news.pod} sent other bytes"})

    def _peer(self, pod: str) -> Peer | None:
        address = self.fleet.address(pod)
        member = self._bus.roster.active().get(pod)
        return Peer(*address, member.host_public) if address is not None and member is not None else None

    async def admit(self, roster: Roster) -> None:
        """The roster has changed: who counts as there, and who may read the own store, changes with it."""
        for pod in self.fleet.present():
            if pod not in roster.active():
                self.fleet.lost(pod)
        await self._serving
        await self._server.admit(keys_of(roster))

    def ended(self, why: str) -> None:
        """The connection is gone for good, say because this member was revoked: the build cannot go on."""
        if hasattr(self, "dispatcher"):
            self.dispatcher.give_up(Unavailable(why))


def keys_of(roster: Roster) -> dict[str, str]:
    """The SSH keys of all present members."""
    return {name: member.ssh_public for name, member in roster.active().items()}


@asynccontextmanager
async def joined(name: str, site: Site, choice: Choice, environment: Mapping[str, str]) -> AsyncIterator[Far]:
    """A build's membership: connected, served, listening. Raises Unavailable, UsageError in one sentence."""
    home = home_of(name, environment)
    async with AsyncExitStack() as stack:
        ends: list[str] = []
        builds: list[Far] = []

        def on_end(why: str) -> None:
            ends.append(why)
            for far in builds:
                far.ended(why)

        async def on_roster(message: Message) -> None:
            bus.update_roster(home.save_roster(wire.decode(message.payload, RosterNews).roster))
            for far in builds:
                await far.admit(bus.roster)

        bus = await nats.connect(home, on_end)
        stack.push_async_callback(bus.close)
        # First listening, then asking: who joins in between is told or found.
        stack.push_async_callback(await bus.subscribe(subjects.roster(home.federation.name), on_roster))
        await catch_up(home, bus)
        roster = bus.roster
        host, port = serving_place(environment, home.federation.broker)
        server = StoreServer(site.where.store, home.identity.host_key, host=host, port=port)
        stack.push_async_callback(server.stop)
        serving = asyncio.ensure_future(server.start(keys_of(roster)))  # takes half a second, in a process of its own
        stack.push_async_callback(_given_up, serving)
        fleet = Fleet(bus, home.federation.name)
        stack.push_async_callback(fleet.close)
        await fleet.start([member.name for member in roster.active().values() if member.role == POD_ROLE])
        far = Far(home, bus, fleet, server, serving, site, await site.full(), choice)
        builds.append(far)
        stack.push_async_callback(far.close)
        stack.push_async_callback(await bus.subscribe(subjects.events(fleet.federation), far.on_event))
        if bus.roster.version != roster.version:
            await far.admit(bus.roster)
        if ends:
            raise Unavailable(ends[0])
        yield far


async def _given_up(task: "asyncio.Future[tuple[str, int]]") -> None:
    """Ends a task that nobody waits for any more, whatever comes of it."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
