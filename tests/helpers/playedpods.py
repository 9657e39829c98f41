"""Pods played by hand: they take orders, keep leases and send ends as real ones do, but a test decides what comes of each order.

Knows no process and no file: a step's output is a function of its name and of the bytes that it was given.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from cpods.digest import of_bytes
from cpods.errors import Unavailable
from cpods.ids import FilePath
from cpods.model import Artefact, Output, Read, Result, Version
from cpods.net import questions as q
from cpods.net import subjects
from cpods.net.memory import MemoryBroker, MemoryBus, MemoryTransfer
from cpods.net.messages import Acks, Cancel, Detour, Done, Lease, Leases, Listing, Renewal, StepDone, StepRequest, Steps
from cpods.net.wire import Wire, decode, encode
from cpods.orders import Cooked, Execution
from cpods.ports import Message
from cpods.store.memory import MemoryObjects

FEDERATION = "lab"
BOSS = "boss"
STATUS_SECONDS = 5.0
LEASE_SECONDS = 10.0

#: What every tool here is known by.
FINGERPRINT = "tool/1"
_QUESTIONS = (q.AskStatus, q.AskFits, q.AskHeld, q.Own, q.Disown, q.Resume, q.Forget)
_ANSWER_SECONDS = 1.0


class BreakableBus(MemoryBus):
    """A member's bus whose broker can be away: nothing goes out, as with the real one."""

    def __init__(self, broker: MemoryBroker, member: str) -> None:
        super().__init__(broker, member)
        self.is_connected = True

    async def publish(self, subject: str, payload: bytes) -> None:
        """As in the port."""
        self._check_connection()
        await super().publish(subject, payload)

    async def request(self, subject: str, payload: bytes, timeout: float) -> bytes:
        """As in the port."""
        self._check_connection()
        return await super().request(subject, payload, timeout)

    def _check_connection(self) -> None:
        if not self.is_connected:
            raise Unavailable("the broker is away")


class Town:
    """What all members share: the broker, and stores by member."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.stores: dict[str, Any] = {}
        self.pods: dict[str, PlayedPod] = {}

    async def pod(self, name: str, slots: int = 2, **more: Any) -> "PlayedPod":
        """A pod at work."""
        pod = self.pods[name] = PlayedPod(self, name, slots, **more)
        await pod.begin()
        return pod

    async def close(self) -> None:
        """Ends all pods."""
        for pod in self.pods.values():
            await pod.die()


class PlayedPod:
    """``orders``: ids in the order of their coming; ``running``: those without an end; ``acks``: by id, each that came.

    ``work(pod, request)`` plays what becomes of an order; without it a test calls :meth:`end`. ``refuses``: the reason, if it
    takes no orders. ``fits``: what it answers about tools, by the step's tool.
    """

    def __init__(
        self,
        town: Town,
        name: str,
        slots: int = 2,
        work: "Callable[[PlayedPod, StepRequest], Awaitable[None]] | None" = None,
        fits: Mapping[str, str] | None = None,
    ) -> None:
        self.town = town
        self.name = name
        self.slots = slots
        self.work = work
        self.fits = dict(fits or {})
        self.store = MemoryObjects()
        self.state = "ready"
        self.port = 1
        self.refuses = ""
        self.orders: list[str] = []
        self.running: dict[str, StepRequest] = {}
        self.given: dict[str, Steps] = {}
        self.ends: dict[str, StepDone] = {}
        self.acks: dict[str, list[Any]] = {}
        self.cancelled: list[str] = []
        self.asked: list[Wire] = []
        self.awake = asyncio.Event()
        self.awake.set()
        self.is_alive = False
        self._seen: dict[str, dict[FilePath, str]] = {}
        self._slots = asyncio.Semaphore(slots)
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Condition()
        town.stores[name] = self.store

    # -- coming and going ------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Comes, or comes back: what it had been doing is forgotten, its store and its ends are as they were."""
        self.bus = BreakableBus(self.town.broker, self.name)
        self.is_alive, self.state = True, "ready"
        self.port += 1
        self.running.clear()
        self.town.stores[self.name] = self.store
        for subject, handler in (
            (subjects.step(FEDERATION, self.name), self._on_steps),
            (subjects.cancel(FEDERATION, self.name), self._on_cancel),
            (subjects.ask(FEDERATION, self.name), self._on_question),
        ):
            await self.bus.subscribe(subject, handler)
        for work in (self._tell(), self._renew(), *map(self._deliver, self.ends)):
            self._spawn(work)

    async def die(self) -> None:
        """Is gone from one moment to the next, with its store."""
        self.is_alive = False
        self.town.stores.pop(self.name, None)
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.bus.close()
        self.awake.set()

    async def stop(self, state: str = "stopped") -> None:
        """Says that it stops (or drains), as a pod does that is asked to."""
        self.state = state
        await self._status()
        if state == "stopped":
            await self.die()

    def stall(self) -> None:
        """Stands still with all that it does, like a process under SIGSTOP, until ``awake`` is set."""
        self.awake.clear()

    # -- orders ----------------------------------------------------------------------------------------------------

    async def until(self, fulfilled: Callable[[], bool]) -> None:
        """Waits until something that happens here makes it true."""
        async with self._news:
            await self._news.wait_for(fulfilled)

    async def end(self, id: str, **changes: Any) -> StepDone:
        """Sends an order's end; by default the good one. Comes back when it was acknowledged."""
        done = self.hand_in(id, **changes)
        await self.until(lambda: id not in self.ends)
        return done

    def hand_in(self, id: str, **changes: Any) -> StepDone:
        """As :meth:`end`, without waiting."""
        request = self.running.pop(id)
        if "missing" in changes or "trouble" in changes:
            changes.setdefault("cooked", Cooked(None, None))
        done = StepDone(id, self.given[id].project, changes.pop("cooked", None) or self.cooked(request), request.epochs)
        self.ends[id] = done = msgspec.structs.replace(done, **changes)
        self._spawn(self._deliver(id))
        return done

    def cooked(self, request: StepRequest, salt: str = "") -> Cooked:
        """The good end of an order: its outputs, which are in this pod's store then."""
        step = request.order.step
        seen = self.seen(request)
        reads = {path: seen[path] for path in (*step.inputs, *step.optional) if path in seen}
        outputs = []
        for path in step.outputs:
            artefact = self.store.put_bytes(content(step.name + salt, path, reads))
            outputs.append(Output(path, Version(artefact.digest, artefact.size)))
        result = Result(
            request.order.static_key,
            step.name,
            tuple(Read(*item) for item in sorted(reads.items())),
            tuple(outputs),
            date=request.order.date,
        )
        artefacts = {output.version.digest: output.version.size for output in outputs}
        execution = Execution(step.name, step.chef, step.tool, step.argv, "run", request.order.pass_number, self.name, 0.0, 0)
        return Cooked(execution, result, reads=tuple(reads), artefacts=artefacts, pod=self.name, exit_code=0)

    def seen(self, request: StepRequest) -> dict[FilePath, str]:
        """Digest by path of all that the order shows, as far as this pod can know it."""
        if request.id in self._seen:
            return self._seen[request.id]
        tree = request.tree.digest
        listing = msgspec.msgpack.decode(self.store.read(tree), type=Listing) if self.store.has(tree) else Listing(())
        found = {row.path: row.digest for row in (*listing.files, *request.inputs)}
        found.update((path, version.digest) for path, version in request.order.overlay.items() if version is not None)
        return found

    async def pull(self, request: StepRequest) -> dict[str, str]:
        """Brings what an order needs; what nobody delivers, with reasons."""
        steps, transfer = self.given[request.id], MemoryTransfer(self.name, self.town.stores)

        def holders(digest: str) -> list[str]:
            return [steps.pods[index] for index in request.holders[digest]] if digest in request.holders else [steps.majordomo]

        failed = await transfer.pull_many({request.tree: holders(request.tree.digest)})
        wanted = {row.digest: Artefact(row.digest, row.size) for row in request.inputs}
        if not failed:
            listing = msgspec.msgpack.decode(self.store.read(request.tree.digest), type=Listing)
            wanted |= {row.digest: Artefact(row.digest, row.size) for row in listing.files if row.path in request.order.step.inputs}
            self._seen.pop(request.id, None)
            self._seen[request.id] = self.seen(request)  # from now on it is in its workspace, whatever the store loses
        failed = {**failed, **await transfer.pull_many({one: holders(one.digest) for one in wanted.values()})}
        return {artefact.digest: reason for artefact, reason in failed.items()}

    async def _on_steps(self, message: Message) -> bytes | None:
        await self.awake.wait()
        found: Wire = decode(message.payload, Steps, Detour)
        if isinstance(found, Detour):
            await MemoryTransfer(self.name, self.town.stores).pull(found.artefact, [message.sender])
            found = decode(self.store.read(found.artefact.digest), Steps)
        assert isinstance(found, Steps)
        leases = [self._lease(request, found) for request in found.requests]
        async with self._news:
            self._news.notify_all()
        return encode(Leases(self.name, tuple(leases)))

    def _lease(self, request: StepRequest, steps: Steps) -> Lease:
        lease = Lease(request.id, LEASE_SECONDS)
        if request.id in self.running or request.id in self.ends:
            return lease
        if self.refuses:
            return Lease(request.id, refused=f"pod {self.name}: {self.refuses}")
        self.orders.append(request.id)
        self.running[request.id] = request
        self.given[request.id] = steps
        if self.work is not None:
            self._spawn(self._in_slot(request))
        return lease

    async def _in_slot(self, request: StepRequest) -> None:
        assert self.work is not None
        async with self._slots:
            await self.awake.wait()
            if request.id in self.running:
                await self.work(self, request)

    async def _on_cancel(self, message: Message) -> None:
        await self.awake.wait()
        for id in decode(message.payload, Cancel).ids:
            self.cancelled.append(id)
            self.running.pop(id, None)
        async with self._news:
            self._news.notify_all()

    # -- what it tells ---------------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        while True:
            await self.awake.wait()
            await self._status()
            await asyncio.sleep(STATUS_SECONDS)

    async def _status(self) -> None:
        with suppress(Unavailable):
            await self.bus.publish(subjects.status(FEDERATION, self.name), encode(self._now()))

    def _now(self) -> q.PodStatus:
        return q.PodStatus(self.name, 0, self.state, self.slots, max(0, self.slots - len(self.running)), (self.name, self.port))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            await self.awake.wait()
            with suppress(Unavailable):
                message = Renewal(self.name, tuple(self.running), LEASE_SECONDS)
                await self.bus.publish(subjects.result(FEDERATION, BOSS, self.name, "renewal"), encode(message))

    async def _deliver(self, id: str) -> None:
        """Sends an end again and again until it is acknowledged."""
        while id in self.ends:
            await self.awake.wait()
            try:
                answer = await self.bus.request(self._done_subject(), encode(Done(self.name, (self.ends[id],))), _ANSWER_SECONDS)
            except (Unavailable, TimeoutError):
                await asyncio.sleep(0.3)
                continue
            for ack in decode(answer, Acks).acks:
                self.acks.setdefault(ack.id, []).append(ack)
                self.ends.pop(ack.id, None)
            async with self._news:
                self._news.notify_all()

    def _done_subject(self) -> str:
        return subjects.result(FEDERATION, BOSS, self.name, "done")

    async def _on_question(self, message: Message) -> bytes | None:
        await self.awake.wait()
        question: Wire = decode(message.payload, *_QUESTIONS)
        self.asked.append(question)
        return encode(self._answer(question))

    def _answer(self, question: Wire) -> Wire:
        if isinstance(question, q.AskStatus):
            return self._now()
        if isinstance(question, q.AskFits):
            return q.Fits(tuple(self.fits.get(step.tool, FINGERPRINT) for step in question.steps))
        if isinstance(question, q.AskHeld):
            held = [digest for digest in question.digests or () if self.store.has(digest)]
            return q.Held({digest: len(self.store.read(digest)) for digest in held})
        if isinstance(question, q.Resume):
            return q.Resumed(tuple(self.running), tuple(self.ends))
        return q.Okay()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def content(step: str, path: FilePath, reads: Mapping[FilePath, str]) -> bytes:
    """What a step writes to a path, having read files of these digests."""
    return f"{step} {path} {sorted(reads.items())}\n".encode()


def digest_of(step: str, path: FilePath, reads: Mapping[FilePath, str]) -> str:
    """The digest of that."""
    return of_bytes(content(step, path, reads))
