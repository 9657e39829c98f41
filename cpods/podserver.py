"""Joins a pod's real parts: its home, the bus, its store with the server that serves it, the transfer, chefs and processes.

Knows no step and no message: module service does the work.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from functools import partial

import msgspec

from cpods.chefs.registry import chefs
from cpods.digest import of_file
from cpods.errors import CpodsError, Interrupted, Locked, Unavailable, UsageError
from cpods.model import Artefact
from cpods.net import subjects
from cpods.net.addresses import facing
from cpods.net.bus import NatsBus, connect
from cpods.net.identity import Home
from cpods.net.membership import RosterNews
from cpods.net.messages import StepDone
from cpods.net.pull import Peer, SftpTransfer
from cpods.net.questions import Happened, PodStatus
from cpods.net.rollcall import catch_up
from cpods.net.roster import Roster
from cpods.net.storeserver import StoreServer
from cpods.net.wire import BadMessage, decode, encode
from cpods.pod.service import LEASE_SECONDS, Ports, Service, Settings
from cpods.ports import Message
from cpods.scheduler.executor import ProcessExecutor
from cpods.scheduler.groups import end_group, end_strays
from cpods.scheduler.watcher import FolderWatcher
from cpods.store.collect import collect, held
from cpods.store.journal import Journal
from cpods.store.layout import object_path
from cpods.store.lock import ProjectLock, make_state_folder
from cpods.store.objects import ObjectStore
from cpods.store.outbox import Outbox
from cpods.wiring import WallClock

#: How often the server of the store is looked at; one that has ended is started again.
_SERVER_LOOK_SECONDS = 2.0
#: At its end a pod waits so long to hear how many bytes its server has served.
_COUNT_SECONDS = 2.0
_ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})


class PodOptions(msgspec.Struct, frozen=True):
    """How a pod is to run. ``store``, ``work``: folders, '' for below its home; ``slots`` 0: one for each core.

    ``host``, ``port``: where its store is served; 0.0.0.0 means on all addresses. ``algorithm``: of the store's digests.
    ``fixed_path``: programs see their workspace at one path, the same on all pods (bubblewrap; some milliseconds a program).
    ``max_bytes``: down to this the store is collected at the start, least recently used first.
    """

    store: str = ""
    work: str = ""
    slots: int = 0
    tags: Mapping[str, str] = {}
    sftp_kind: str = "embedded"
    host: str = "127.0.0.1"
    port: int = 0
    algorithm: str = "xxh3"
    fixed_path: bool = False
    max_bytes: int = 10 << 30


async def serve(home: Home, options: PodOptions, ended: asyncio.Event | None = None) -> int:
    """Runs a pod until it is told to stop, revoked, ended by a signal, or ``ended`` is set. Returns the exit code.

    Prints one line when it is ready, and one sentence on standard error when it ends. Raises CpodsError, OSError if it cannot
    start.
    """
    place = _Place(home, options)
    async with place.locked(), AsyncExitStack() as stack:
        yard = await stack.enter_async_context(_yard(home, options, place))
        service = yard.service
        stack.enter_context(_signals(service, yard))
        tasks = [asyncio.create_task(yard.keep_serving())]
        if ended is not None:
            tasks.append(asyncio.create_task(_stop_when(ended, service)))
        try:
            await service.run(lambda: _ready(home, service, yard.place))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        served = await yard.served_bytes()
        _say(f"pod {home.identity.name} of {home.federation.name}: {yard.sentence or service.why}; its store has served {served} bytes")
        return yard.exit_code


class _Place:
    """The folders of one pod, used by one process at a time."""

    def __init__(self, home: Home, options: PodOptions) -> None:
        self.name = home.identity.name
        self.store = os.path.abspath(options.store or os.path.join(home.folder, "store"))
        self.work = os.path.abspath(options.work or os.path.join(home.folder, "work"))

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Holds the work folder, after what a killed pod left running has been ended. Raises Locked."""
        make_state_folder(self.work)
        lock = ProjectLock(self.work)
        try:
            lock.acquire(wait=False)
        except Locked:
            raise Locked(f"{self.work} is in use by another process of a pod; stop that one, or give this one another --work") from None
        try:
            await asyncio.to_thread(self._tidy)
            yield
        finally:
            lock.release()

    def _tidy(self) -> None:
        with closing(Journal(self.work)) as journal:
            for left in journal.unfinished():
                if left.pid:
                    end_group(left.pid, left.start_ticks)
            journal.clear()
        end_strays(self.work)


class _Yard:
    """The joined parts of a running pod."""

    def __init__(self, home: Home, options: PodOptions, place: _Place, objects: ObjectStore) -> None:
        self.sentence = ""
        self.exit_code = 0
        self.place = ("", 0)
        self.bus: NatsBus | None = None
        self._home = home
        self._options = options
        self._addresses: dict[str, tuple[str, int]] = {}
        self._objects = objects
        self._server = StoreServer(place.store, home.identity.host_key, options.sftp_kind, options.host, options.port)
        self.transfer = SftpTransfer(home.identity.name, objects, self._peer, home.identity.ssh_key, self._bad_holder)
        self.service: Service = None  # type: ignore[assignment]
        self._background: set[asyncio.Task[None]] = set()

    def end(self, sentence: str, exit_code: int) -> None:
        """Something from outside ends this pod; the first reason counts."""
        if not self.sentence:
            self.sentence, self.exit_code = sentence, exit_code
            if self.service is not None:
                self.service.stop(sentence)

    def lost(self, sentence: str) -> None:
        """The bus has ended for good."""
        name = self._home.federation.name
        if sentence.startswith("revoked"):
            self.end(f"this pod was revoked from federation {name}: {sentence.partition(': ')[2]}", Unavailable.exit_code)
        else:
            self.end(sentence, Unavailable.exit_code)

    @property
    def roster(self) -> Roster:
        """Who is a member now."""
        return self.bus.roster if self.bus is not None else self._home.roster

    def role_of(self, member: str) -> str:
        """founder, majordomo, pod, or '' for who is none."""
        found = self.roster.active().get(member)
        return "" if found is None else found.role

    def address(self, member: str, place: tuple[str, int]) -> None:
        """A member serves its store there."""
        if place[0] and place[1]:
            self._addresses[member] = place

    async def open_server(self) -> None:
        """Starts the server of the store. Raises Unavailable, UsageError."""
        host, port = await self._server.start(self._keys())
        self.place = (_reachable(host, self._home.federation.broker), port)
        # The same again after an end, as others have this address.
        self._options = msgspec.structs.replace(self._options, port=port)

    async def keep_serving(self) -> None:
        """Starts the server again whenever it has ended by itself. Until cancelled."""
        while True:
            await asyncio.sleep(_SERVER_LOOK_SECONDS)
            if not self._server.error:
                continue
            _say(f"the server of this pod's store has ended ({self._server.error}); it is started again")
            await self._server.stop()
            old = self._server
            self._server = StoreServer(
                self._objects.root, self._home.identity.host_key, self._options.sftp_kind, self._options.host, self._options.port
            )
            self._server.served.update(old.served)
            try:
                await self.open_server()
            except CpodsError as error:
                self._server.error = str(error)
            self.service.status.changed()

    async def served_bytes(self) -> int:
        """What members were sent from the store, as its server has counted; a server that does not answer keeps no pod from its end."""
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_COUNT_SECONDS):
                await self._server.count()
        return self._server.served.total()

    async def close(self) -> None:
        """Ends transfer, server and bus."""
        await self.transfer.close()
        await self._server.stop()
        if self.bus is not None:
            await self.bus.close()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def on_roster(self, message: Message) -> None:
        """Members have changed: whom to believe, and whom the store's server lets in."""
        try:
            data = decode(message.payload, RosterNews).roster
            roster = self._home.save_roster(data)
        except (BadMessage, OSError) as error:
            _say(f"a roster that came is not used: {error}")
            return
        assert self.bus is not None
        self.bus.update_roster(roster)
        with suppress(Unavailable):  # keep_serving starts it again, with the new keys
            await self._server.admit(self._keys())

    async def catch_up(self) -> None:
        """Asks who is a member now, and lets those in."""
        assert self.bus is not None
        await catch_up(self._home, self.bus)
        with suppress(Unavailable):  # keep_serving starts it again, with the new keys
            await self._server.admit(self._keys())

    async def on_status(self, message: Message) -> None:
        """Where other pods serve their stores."""
        status = decode(message.payload, PodStatus)
        if status.pod == message.sender:
            self.address(status.pod, status.sftp)

    def _keys(self) -> dict[str, str]:
        return {name: member.ssh_public for name, member in self.roster.active().items()}

    def _peer(self, member: str) -> Peer | None:
        known, place = self.roster.active().get(member), self._addresses.get(member)
        return None if known is None or place is None else Peer(place[0], place[1], known.host_public)

    def _bad_holder(self, holder: str, artefact: Artefact) -> None:
        """Pods do not command each other: a MajorDomo that hears it tells the holder."""
        _say(f"{holder} sent other bytes for {artefact.digest}; it is asked no more for them")
        assert self.bus is not None
        name = self._home.identity.name
        news = Happened("lied", pod=holder, text=artefact.digest)
        task = asyncio.get_running_loop().create_task(self._publish(subjects.event(self._home.federation.name, name), encode(news)))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _publish(self, subject: str, payload: bytes) -> None:
        assert self.bus is not None
        with suppress(Unavailable):
            await self.bus.publish(subject, payload)


@asynccontextmanager
async def _yard(home: Home, options: PodOptions, place: _Place) -> AsyncIterator[_Yard]:
    """Everything opened and joined; all of it is closed at the end."""
    objects = ObjectStore(place.store, options.algorithm)
    with closing(objects), closing(Outbox(os.path.join(place.work, "notes.db"))) as notes, closing(Journal(place.work)) as journal:
        yard = _Yard(home, options, place, objects)
        await asyncio.to_thread(_collect, place.store, options.max_bytes, notes)
        await asyncio.to_thread(objects.unpack)  # what others pull from here are files
        try:
            yard.bus = await connect(home, yard.lost, _say)
            await yard.open_server()
            yard.service = Service(_settings(home, options, place), _ports(yard, objects, notes, journal, place))
            federation = home.federation.name
            await yard.bus.subscribe(subjects.roster(federation), yard.on_roster)
            await yard.catch_up()  # only now: who joins between the answer and the subscription would stay a stranger
            await yard.bus.subscribe(subjects.statuses(federation), yard.on_status)
            if yard.sentence:
                raise Unavailable(yard.sentence)
            yield yard
        finally:
            await yard.close()


def _collect(store: str, max_bytes: int, notes: Outbox) -> None:
    """Evicts what was used longest ago, save what this pod owns, has pinned, or has made for somebody who does not know yet.

    At the start, since later everything counts as in use by this very process.
    """
    waiting = (msgspec.json.decode(end.data, type=StepDone) for end in notes.ends())
    done = collect(store, max_bytes, notes.kept().union(*(end.cooked.artefacts for end in waiting)))
    if done.evicted:
        _say(f"{done.evicted} artefacts ({done.evicted_bytes >> 20} MiB), used longest ago, have left the store to keep it at its size")


def _settings(home: Home, options: PodOptions, place: _Place) -> Settings:
    slots = options.slots or os.cpu_count() or 1
    lease = _lease_seconds(os.environ.get("CPODS_LEASE_SECONDS", ""))
    return Settings(
        home.federation.name, home.identity.name, place.work, slots, options.tags, dict(os.environ), options.fixed_path, lease_seconds=lease
    )


def _lease_seconds(said: str) -> float:
    """How long this pod's leases hold, the default for ''. Raises UsageError."""
    if not said:
        return LEASE_SECONDS
    with suppress(ValueError):
        if 1 <= float(said) <= 3600:
            return float(said)
    raise UsageError(f"CPODS_LEASE_SECONDS={said}: expected seconds, from 1 to 3600")


def _ports(yard: _Yard, objects: ObjectStore, notes: Outbox, journal: Journal, place: _Place) -> Ports:
    assert yard.bus is not None
    return Ports(
        bus=yard.bus,
        transfer=yard.transfer,
        objects=objects,
        notes=notes,
        diary=journal,
        chefs=chefs(),
        clock=WallClock(),
        executor=lambda heard: ProcessExecutor(heard=heard),
        role_of=yard.role_of,
        here=lambda: yard.place,
        address=yard.address,
        held=lambda: held(place.store),
        verify=lambda digest: _verify(objects, digest),
        watch=FolderWatcher,
        say=_say,
    )


def _verify(objects: ObjectStore, digest: str) -> bool:
    """Whether an intact copy is in the store; a damaged one is quarantined."""
    try:
        if of_file(object_path(objects.root, digest), digest.partition(":")[0])[0] == digest:
            return True
    except (OSError, ValueError):
        return False
    objects.quarantine(digest)
    return False


def _reachable(host: str, broker: str) -> str:
    """The address under which others reach this machine, if it listens on all: the one that it reaches the broker from."""
    if host not in _ANY_ADDRESS:
        return host
    return facing(broker)


class _signals:
    """SIGTERM, SIGINT and SIGHUP end the pod in good order; a second one is not needed and changes nothing."""

    def __init__(self, service: Service, yard: _Yard) -> None:
        self._yard = yard
        self._codes = {signal.SIGTERM: 0, signal.SIGHUP: 0, signal.SIGINT: Interrupted.exit_code}

    def __enter__(self) -> None:
        for number, code in self._codes.items():
            with suppress(ValueError, RuntimeError):  # not in the main thread: whoever runs it there ends it by the event
                asyncio.get_running_loop().add_signal_handler(number, partial(self._yard.end, f"ended by {number.name}", code))

    def __exit__(self, *_: object) -> None:
        for number in self._codes:
            with suppress(ValueError, RuntimeError):
                asyncio.get_running_loop().remove_signal_handler(number)


async def _stop_when(ended: asyncio.Event, service: Service) -> None:
    await ended.wait()
    service.stop("it was ended")


def _ready(home: Home, service: Service, place: tuple[str, int]) -> None:
    name, federation, slots = home.identity.name, home.federation.name, service.settings.slots
    print(f"pod {name} of {federation}: ready, {slots} slot{'s' * (slots != 1)}, sftp {place[0]}:{place[1]}", flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
