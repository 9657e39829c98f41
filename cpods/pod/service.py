"""A pod at work: takes orders and questions from the bus, keeps leases alive, and sends what was cooked.

Knows ports alone: what stands behind bus, transfer, store and executor is joined in podserver.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import msgspec

from cpods.errors import Unavailable
from cpods.ids import FilePath
from cpods.model import Artefact
from cpods.net import subjects
from cpods.net.messages import (
    Ack,
    Cancel,
    Detour,
    Edited,
    Lease,
    Leases,
    LogChunk,
    Owned,
    Renewal,
    StepDone,
    StepRequest,
    Steps,
)
from cpods.net.wire import BadMessage, Wire, decode, encode
from cpods.orders import Cooked
from cpods.pod import answers
from cpods.pod.board import Board, Ticket, Turn
from cpods.pod.bubble import FIXED, works
from cpods.pod.cook import Diary
from cpods.pod.delivery import Delivery
from cpods.pod.errand import Errand
from cpods.pod.kitchen import Kitchen, fits_store
from cpods.pod.owned import OwnedPaths
from cpods.pod.slots import Slots
from cpods.pod.status import Held, Status
from cpods.pod.tools import Tools
from cpods.pod.voices import Voices
from cpods.ports import Bus, Chef, Clock, Command, Executor, Message, Objects, Transfer, Watcher
from cpods.store.outbox import Outbox

#: How long a lease holds. A third of it passes between two renewals.
LEASE_SECONDS = 10.0
#: So many orders, or as many as there are slots, may pull at once while they have none.
FETCHES_MIN = 8


class Settings(msgspec.Struct, frozen=True):
    """What a pod is told at its start. ``work``: absolute path of the folder that it works in.

    ``fixed_path``: all programs are to see their slot at one path, the same on all pods, if bubblewrap works here.
    """

    federation: str
    pod: str
    work: str
    slots: int = 1
    tags: Mapping[str, str] = {}
    environment: Mapping[str, str] = {}
    fixed_path: bool = False
    lease_seconds: float = LEASE_SECONDS


class Ports(msgspec.Struct):
    """What stands behind a pod. ``executor(heard)`` makes the executor, which tells what programs say while they run.

    ``role_of(member)``: founder, majordomo, pod, or '' for a stranger. ``here()``: where this pod serves its store.
    ``address(member, host_port)``: notes where a member serves its. ``held()``: digest -> bytes of the whole store.
    ``watch(folder)`` gives a watcher; ``say(text)`` writes a line for the machine's owner.
    """

    bus: Bus
    transfer: Transfer
    objects: Objects
    notes: Outbox
    diary: Diary
    chefs: Mapping[str, Chef]
    clock: Clock
    executor: Callable[[Callable[[Command, bytes], None]], Executor]
    role_of: Callable[[str], str]
    here: Callable[[], tuple[str, int]]
    address: Callable[[str, tuple[str, int]], None]
    held: Callable[[], Mapping[str, int]]
    verify: Callable[[str], bool]
    watch: Callable[[str], Watcher]
    say: Callable[[str], None] = lambda _: None


class Service:
    """One pod. :meth:`run` works until :attr:`ended` is set, by a Stop or from outside; :attr:`why` tells who asked."""

    def __init__(self, settings: Settings, ports: Ports) -> None:
        self.settings = settings
        self.ended = asyncio.Event()
        self.why = ""
        self.draining = False
        self._ports = ports
        federation, pod = settings.federation, settings.pod
        self._slots = Slots(settings.work, ports.objects)
        self._voices = Voices(self._tell_log)
        self._tools = Tools(ports.chefs, settings.environment, ports.clock.monotonic)
        self._held = Held(ports.held)
        self.kitchen = Kitchen(
            pod,
            ports.objects,
            ports.transfer,
            ports.chefs,
            ports.executor,
            ports.clock,
            ports.diary,
            settings.environment,
            self._held.add,
            max(FETCHES_MIN, settings.slots),
        )
        self.board = Board(settings.slots, self._carry_out, self._changed)
        self.delivery = Delivery(federation, pod, ports.bus, ports.objects, ports.notes, ports.here, self._taken, self._committed)
        self.owned = OwnedPaths(settings.work, ports.objects, ports.notes, ports.watch, self._tell_edited)
        self.status = Status(
            federation,
            pod,
            ports.bus,
            ports.clock,
            self._held,
            ports.chefs,
            settings.slots,
            settings.tags,
            ports.objects.algorithm,
            settings.work,
            settings.environment,
            ports.executor(lambda *_: None),
            ports.here,
            lambda: self.board.free,
            self._state,
        )
        self._answers = answers.Answers(self._answering())
        self._questions: set[asyncio.Task[None]] = set()

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serves until ended, then gives up what runs and says that it has stopped.

        ``ready`` is called when orders are taken. Raises Unavailable if the bus refuses its subscriptions, and what
        stops a pod from working at all: OSError, StoreDamaged.
        """
        if self.settings.fixed_path:
            await self._fix_path()
        unsubscribe = [await self._ports.bus.subscribe(subject, handler) for subject, handler in self._subscriptions()]
        work = [self.delivery.run(), self.owned.run(), self.status.run(), self.status.look_around(), self._voices.run(), self._renew()]
        tasks = [asyncio.create_task(one) for one in work]
        ended = asyncio.create_task(self.ended.wait())
        try:
            ready()
            done, _ = await asyncio.wait((ended, *tasks), return_when=asyncio.FIRST_COMPLETED)
            for task in done - {ended}:
                task.result()
        finally:
            self.ended.set()
            ended.cancel()
            for stop in unsubscribe:
                await stop()
            await self._close(tasks)

    async def _fix_path(self) -> None:
        why_not = await works(self._ports.executor(lambda *_: None), self.settings.work, self.settings.environment)
        self._slots.fixed = not why_not
        if why_not:
            self._ports.say(f"steps run each in its own folder, not at {FIXED}: {why_not}")

    async def _close(self, tasks: "list[asyncio.Task[None]]") -> None:
        await self.board.close()
        if self._questions:  # the answer to a Stop is on its way
            await asyncio.wait(self._questions, timeout=1)
        for task in (*tasks, *self._questions):
            task.cancel()
        await asyncio.wait(tasks)
        with suppress(OSError):
            await self.delivery.settle()
        await self.status.tell()
        self._slots.wipe()

    def stop(self, why: str) -> None:
        """Ends :meth:`run`; what runs is given up."""
        self.why = self.why or why
        self.ended.set()

    def _subscriptions(self) -> tuple[tuple[str, Callable[[Message], "asyncio.Future[bytes | None]"]], ...]:
        federation, pod = self.settings.federation, self.settings.pod
        found = (
            (subjects.step(federation, pod), self._on_steps),
            (subjects.cancel(federation, pod), self._on_cancel),
            (subjects.ask(federation, pod), self._on_question),
        )
        return found  # type: ignore[return-value]

    def _state(self) -> str:
        if self.ended.is_set():
            return "stopped"
        return "draining" if self.draining else "ready"

    def _changed(self) -> None:
        self.status.changed()

    # -- orders ----------------------------------------------------------------------------------------------------

    async def _on_steps(self, message: Message) -> bytes | None:
        """Answers orders with leases, at once."""
        if self._ports.role_of(message.sender) not in answers.COMMANDING:
            self._ports.say(f"orders from {message.sender or 'somebody unknown'} are not taken: it is no MajorDomo here")
            return None
        try:
            steps = await self._steps(message)
        except (BadMessage, Unavailable, KeyError) as error:
            self._ports.say(f"orders from {message.sender} cannot be read: {error}")
            return None
        leases = [await self._lease(request, steps, message.sender) for request in steps.requests]
        return encode(Leases(self.settings.pod, tuple(leases)))

    async def _steps(self, message: Message) -> Steps:
        """The orders of a message, fetched from its sender's store if they are too long for one."""
        found: Wire = decode(message.payload, Steps, Detour)
        assert isinstance(found, Steps | Detour)
        if isinstance(found, Steps):
            self._ports.address(message.sender, found.sftp)
            return found
        self._ports.address(message.sender, found.sftp)
        await self._ports.transfer.pull(found.artefact, (message.sender,))
        return decode(self._ports.objects.read(found.artefact.digest), Steps)

    async def _lease(self, request: StepRequest, steps: Steps, sender: str) -> Lease:
        lease = Lease(request.id, self.settings.lease_seconds)
        key = (steps.majordomo, request.id)
        if steps.majordomo != sender:
            return Lease(request.id, refused=f"{sender} cannot order for {steps.majordomo}")
        if self.delivery.has(*key):
            self.delivery.kick(sender)
            return lease
        if key in self.board:
            return lease
        refused = await self._refused(request)
        if refused:
            return Lease(request.id, refused=f"pod {self.settings.pod}: {refused}")
        if key not in self.board:
            self.board.take(Ticket(request, steps))
        return lease

    async def _refused(self, request: StepRequest) -> str:
        """Why this order is not taken, '' if it is."""
        step = request.order.step
        if self.draining or self.ended.is_set():
            return "it is draining and takes no more steps" if self.draining else "it is stopping"
        if step.chef not in self._ports.chefs:
            return f"it has no chef {step.chef}"
        if misfit := fits_store(request, self._ports.objects.algorithm):
            return misfit
        (own,) = await self._tools.fingerprints((step,))
        if own and (request.fingerprint in ("", own) or step.tool_match == "any"):
            return ""
        missing = self._tools.missing(step)
        if missing:
            return f"it has no {', '.join(missing)}"
        return f"its {step.tool} is another one (fingerprint {own[-8:]}, wanted {request.fingerprint[-8:]})"

    async def _carry_out(self, ticket: Ticket, turn: Turn) -> None:
        """One order from its inputs to the outbox. A cancelled one leaves nothing."""
        errand = Errand(self.kitchen, ticket.request, ticket.steps)
        try:
            done = await errand.fetch()
            if done is None:
                async with turn:
                    done = await self._run(ticket, errand)
        except asyncio.CancelledError:
            errand.give_up()
            return
        except Exception as error:  # a mistake of ours costs one order, not the pod
            self._ports.say(f"order {ticket.request.id} could not be carried out: {type(error).__name__}: {error}")
            trouble = f"pod {self.settings.pod} failed in an unforeseen way ({type(error).__name__}: {error})"
            done = StepDone(ticket.request.id, ticket.steps.project, Cooked(None, None), ticket.request.epochs, trouble=trouble)
        if ticket.request.order.step.tool_match == "any":
            done = await self._with_tools_told(ticket.request, done)
        self.delivery.hand_in(ticket.steps.majordomo, done)

    async def _run(self, ticket: Ticket, errand: Errand) -> StepDone:
        """The end of an order that has a slot now."""
        places = self._slots.take(ticket.steps.project)
        voice = self._voices.begin(*ticket.key)
        try:
            done = await errand.carry_out(places, voice.hear)
        finally:
            self._slots.give_back(ticket.steps.project, places)
        await self._voices.end(voice)
        return done

    async def _with_tools_told(self, request: StepRequest, done: StepDone) -> StepDone:
        """An end that says whether other tools made it than those that the MajorDomo has."""
        (own,) = await self._tools.fingerprints((request.order.step,))
        return msgspec.structs.replace(done, cooked=msgspec.structs.replace(done.cooked, loosened=own != request.fingerprint))

    async def _on_cancel(self, message: Message) -> bytes | None:
        """Gives orders up, each only for the MajorDomo that gave it."""
        if self._ports.role_of(message.sender) not in answers.COMMANDING:
            return None
        try:
            ids = decode(message.payload, Cancel).ids
        except BadMessage as error:
            self._ports.say(f"a cancel from {message.sender} cannot be read: {error}")
            return None
        for id in ids:
            self.board.cancel((message.sender, id))
        return None

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.settings.lease_seconds / 3)
            running: dict[str, list[str]] = {}
            for ticket in self.board:
                running.setdefault(ticket.steps.majordomo, []).append(ticket.request.id)
            for majordomo, ids in running.items():
                await self._tell(majordomo, "renewal", Renewal(self.settings.pod, tuple(ids), self.settings.lease_seconds))

    # -- what is told ----------------------------------------------------------------------------------------------

    async def _tell(self, majordomo: str, kind: str, message: Wire) -> None:
        """Once; if nobody can be reached, it is lost: the next renewal, log line or question makes up for it."""
        with suppress(Unavailable, OSError):
            await self._ports.bus.publish(subjects.result(self.settings.federation, majordomo, self.settings.pod, kind), encode(message))

    async def _tell_log(self, majordomo: str, id: str, text: str) -> None:
        await self._tell(majordomo, "log", LogChunk(id, text))

    async def _tell_edited(self, majordomo: str, project: str, paths: tuple[Owned, ...]) -> None:
        await self._tell(majordomo, "edited", Edited(self.settings.pod, project, paths))

    def _committed(self, ends: Iterable[StepDone]) -> None:
        for done in ends:
            self._held.add(Artefact(digest, size) for digest, size in done.cooked.artefacts.items())

    def _taken(self, majordomo: str, done: StepDone, ack: Ack) -> None:
        """The MajorDomo has it; paths that it gives to this pod are put into place."""
        result = done.cooked.result
        if ack.owned and result is not None:
            made = {output.path: output.version.digest for output in result.outputs}
            given: dict[FilePath, tuple[int, str]] = {path: (epoch, made[path]) for path, epoch in ack.owned.items() if path in made}
            self.owned.give(done.project, majordomo, given)

    # -- questions -------------------------------------------------------------------------------------------------

    async def _on_question(self, message: Message) -> bytes | None:
        """Answers by and by: while one pulls gigabytes for a Fetch, others may ask how this pod is."""
        if self._ports.role_of(message.sender):
            task = asyncio.create_task(self._answer(message), name=f"a question of {message.sender}")
            self._questions.add(task)
            task.add_done_callback(self._questions.discard)
        return None

    async def _answer(self, message: Message) -> None:
        try:
            answer = await self._answers.answer(message)
        except BadMessage as error:
            self._ports.say(f"a question from {message.sender} cannot be read: {error}")
            return
        if message.reply:
            with suppress(Unavailable, OSError):
                await self._ports.bus.publish(message.reply, answer)

    def _drain(self, on: bool) -> None:
        self.draining = on
        self._changed()

    def _answering(self) -> answers.Parts:
        ports = self._ports
        return answers.Parts(
            board=self.board,
            delivery=self.delivery,
            owned=self.owned,
            held=self._held,
            status=self.status,
            tools=self._tools,
            objects=ports.objects,
            transfer=ports.transfer,
            role_of=ports.role_of,
            address=ports.address,
            verify=ports.verify,
            forget=self.kitchen.forget,
            drain=self._drain,
            stop=lambda who: self.stop(f"{who} asked it to stop"),
            pin=lambda artefacts: ports.notes.pin(one.digest for one in artefacts),
        )
