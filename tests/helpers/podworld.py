"""A federation in one event loop: a MajorDomo's side with its store, and pods with real folders, real steps, twins between.

Knows no test.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec

from cpods.chefs.registry import chefs
from cpods.digest import of_bytes
from cpods.model import Artefact, Step
from cpods.net import subjects
from cpods.net.memory import MemoryBroker, MemoryBus, MemoryTransfer
from cpods.net.messages import (
    Ack,
    Acks,
    Cancel,
    Done,
    Edited,
    Input,
    Lease,
    Leases,
    Listing,
    LogChunk,
    Renewal,
    StepDone,
    StepRequest,
    Steps,
)
from cpods.net.wire import Wire, decode, encode
from cpods.orders import Order
from cpods.pod.service import Ports, Service, Settings
from cpods.ports import Message
from cpods.scheduler.executor import ProcessExecutor
from cpods.scheduler.watcher import FolderWatcher
from cpods.store.collect import held
from cpods.store.journal import Journal
from cpods.store.memory import MemoryObjects
from cpods.store.objects import ObjectStore
from cpods.store.outbox import Outbox
from cpods.wiring import WallClock

FEDERATION = "lab"
BOSS = "boss"
DATE = 1_700_000_000
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/", "USER": "nobody", "LANG": "C.UTF-8"}
ROLES = {BOSS: "majordomo", "second": "majordomo", "founder": "founder", "other-pod": "pod"}


def shell_step(name: str, run: str, outputs: Sequence[str] = (), inputs: Sequence[str] = (), **more: object) -> Step:
    """A step of the shell chef."""
    step = Step(name, "shell", "sh", ("sh", "-c", run), (0,), inputs=tuple(inputs), outputs=tuple(outputs), tools=("sh",))
    return msgspec.structs.replace(step, **more)


class Boss:
    """A MajorDomo's side: sends orders, takes results, acknowledges them unless ``deaf``."""

    def __init__(self, broker: MemoryBroker, name: str = BOSS) -> None:
        self.name = name
        self.bus = MemoryBus(broker, name)
        self.store = MemoryObjects()
        self.ends: dict[str, StepDone] = {}
        self.deliveries: list[str] = []
        self.renewed: list[Renewal] = []
        self.said: dict[str, str] = {}
        self.edited: asyncio.Queue[Edited] = asyncio.Queue()
        self.deaf = False
        self.owning: dict[str, int] = {}
        self.detour: Callable[[bytes], bytes | None] | None = None
        self._news = asyncio.Condition()

    async def listen(self) -> None:
        """Takes what pods tell."""
        await self.bus.subscribe(subjects.results(FEDERATION, self.name), self._hear)

    async def _hear(self, message: Message) -> bytes | None:
        kind = message.subject.rpartition(".")[2]
        answer = None
        if kind == "done":
            answer = (self.detour or self.take_done)(message.payload)
        elif kind == "renewal":
            self.renewed.append(decode(message.payload, Renewal))
        elif kind == "log":
            chunk = decode(message.payload, LogChunk)
            self.said[chunk.id] = self.said.get(chunk.id, "") + chunk.text
        elif kind == "edited":
            self.edited.put_nowait(decode(message.payload, Edited))
        async with self._news:
            self._news.notify_all()
        return answer

    def take_done(self, payload: bytes) -> bytes | None:
        """Notes ends of orders; the answer, None if this MajorDomo is deaf."""
        found = decode(payload, Done)
        self.deliveries += [done.id for done in found.steps]
        if self.deaf:
            return None
        self.ends.update((done.id, done) for done in found.steps)
        return encode(Acks(tuple(Ack(done.id, self.owning) for done in found.steps)))

    async def until(self, fulfilled: Callable[[], bool]) -> None:
        """Waits until something told makes ``fulfilled()`` true."""
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(fulfilled)

    async def end_of(self, id: str) -> StepDone:
        """The end of an order."""
        await self.until(lambda: id in self.ends)
        return self.ends[id]

    def put(self, data: bytes) -> Artefact:
        """Into this side's store."""
        return self.store.put_bytes(data)

    def request(
        self,
        id: str,
        step: Step,
        files: Mapping[str, bytes] | None = None,
        wanted: Sequence[str] | None = None,
        executable: Sequence[str] = (),
        order: Order | None = None,
        **more: object,
    ) -> StepRequest:
        """An order with a listing of ``files``."""
        inputs = []
        for path, data in sorted((files or {}).items()):
            artefact = self.put(data)
            inputs.append(Input(path, artefact.digest, artefact.size, path in executable))
        tree = self.put(msgspec.msgpack.encode(Listing(tuple(inputs))))
        env = (("HOME", "/elsewhere"), ("PATH", "/nowhere"), ("SOURCE_DATE_EPOCH", str(DATE)), ("FORCE_SOURCE_DATE", "1"))
        order = order or Order(step, f"key:{step.name}", env, DATE, "some.log")
        return StepRequest(id, order, tree, wanted=None if wanted is None else tuple(wanted), **more)  # type: ignore[arg-type]

    async def send(self, pod: str, *requests: StepRequest, project: str = "paper") -> dict[str, Lease]:
        """Leases by id."""
        steps = Steps(project, self.name, requests)
        answer = await self.bus.request(subjects.step(FEDERATION, pod), encode(steps), 30)
        return {lease.id: lease for lease in decode(answer, Leases).leases}

    async def cook(self, pod: str, request: StepRequest) -> StepDone:
        """One order to its end."""
        lease = (await self.send(pod, request))[request.id]
        assert not lease.refused, lease.refused
        return await self.end_of(request.id)

    async def cancel(self, pod: str, *ids: str) -> None:
        """Gives orders up."""
        await self.bus.publish(subjects.cancel(FEDERATION, pod), encode(Cancel(self.name, ids)))

    async def ask(self, pod: str, question: Wire, *answers: type[Wire]) -> Wire:
        """A question's answer."""
        return decode(await self.bus.request(subjects.ask(FEDERATION, pod), encode(question), 30), *answers)


class SlowTransfer(MemoryTransfer):
    """Brings what is in ``held_back`` only when its event is set; counts bytes by holder, as the real one does."""

    def __init__(self, pod: str, stores: Mapping[str, Any], held_back: Mapping[str, asyncio.Event]) -> None:
        super().__init__(pod, stores)
        self.moved: Counter[str] = Counter()
        self._own = stores[pod]
        self._held_back = held_back

    async def pull(self, artefact: Artefact, holders: Sequence[str]) -> None:
        """As in the port."""
        if artefact.digest in self._held_back:
            await self._held_back[artefact.digest].wait()
        if not self._own.has(artefact.digest):
            await super().pull(artefact, holders)
            self.moved[holders[0]] += artefact.size


class Yard:
    """The machines: a broker, and the stores of all members by name. ``held_back``: digests that no pod gets before its event."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held_back: dict[str, asyncio.Event] = {}
        self.broker = MemoryBroker()
        self.stores: dict[str, object] = {}
        self.lines: list[str] = []

    async def boss(self, name: str = BOSS) -> Boss:
        """A MajorDomo that listens."""
        boss = Boss(self.broker, name)
        self.stores[name] = boss.store
        await boss.listen()
        return boss

    @asynccontextmanager
    async def pod(self, name: str = "east", **settings: object) -> AsyncIterator[Service]:
        """A pod at work; with the same name again it is that pod restarted."""
        work = self.folder / name / "work"
        work.mkdir(parents=True, exist_ok=True)
        objects = ObjectStore(str(self.folder / name / "store"))
        self.stores[name] = objects
        bus = MemoryBus(self.broker, name)
        with closing(objects), closing(Outbox(str(work.parent / "notes.db"))) as notes, closing(Journal(str(work.parent))) as journal:
            ports = Ports(
                bus=bus,
                transfer=SlowTransfer(name, self.stores, self.held_back),
                objects=objects,
                notes=notes,
                diary=journal,
                chefs=chefs(),
                clock=WallClock(),
                executor=lambda heard: ProcessExecutor(grace_seconds=0.2, heard=heard),
                role_of=lambda member: ROLES.get(member, ""),
                here=lambda: ("127.0.0.1", 1),
                address=lambda member, place: None,
                held=lambda: held(objects.root),
                verify=lambda digest: _intact(objects, digest),
                watch=FolderWatcher,
                say=self.lines.append,
            )
            given = {"slots": 2, "environment": ENVIRONMENT, **settings}
            service = Service(Settings(FEDERATION, name, str(work), **given), ports)  # type: ignore[arg-type]
            ready = asyncio.Event()
            task = asyncio.create_task(service.run(ready.set))
            await asyncio.wait((task, asyncio.create_task(ready.wait())), return_when=asyncio.FIRST_COMPLETED)
            try:
                yield service
            finally:
                service.stop("the test is over")
                await task
                await bus.close()


def _intact(objects: ObjectStore, digest: str) -> bool:
    try:
        return of_bytes(objects.read(digest)) == digest
    except KeyError:
        return False
