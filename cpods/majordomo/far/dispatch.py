"""Dispatch: each step goes to a pod as a signed order, lives there under a lease, and comes back as a result, once.

Knows no project folder and no ownership: what a step sees, and what becomes of its result, is for the callers to say.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from cpods.chefs import debian
from cpods.errors import Unavailable
from cpods.majordomo.far.fleet import Fleet
from cpods.model import Artefact, Problem, Step
from cpods.net import subjects, wire
from cpods.net.messages import Ack, Acks, Cancel, Detour, Done, Edited, Lease, Leases, LogChunk, Renewal, StepDone, StepRequest, Steps
from cpods.orders import Cooked
from cpods.ports import Bus, Message
from cpods.scheduler.leases import LeaseTable

#: How long an order may take to be answered with a lease; then it is sent again, by the same id.
LEASE_ANSWER_SECONDS = 1.0
_ANSWERS_MAX = 5
#: A step waits so long for all pods to say whether their tools fit; then those that did must do.
ANSWER_GRACE_SECONDS = 2.0
PATIENCE_SECONDS = 20.0
OUTAGE_SECONDS = 120.0
#: Rounds of unanswered orders after which a pod that is there all the same is not given this step again.
_SILENCES_MAX = 3
#: Ends of a step that say nothing but that a pod could not carry it out; the last one is believed.
_TROUBLES_MAX = 3
_BATCH_MAX = 16
#: Steps that take less than this on the average queue at a pod up to so many, since the way to it takes longer than they do.
_SHORT_SECONDS, _SHORT_QUEUE = 0.05, 16
#: While nobody can renew, leases are kept alive for so long at a time.
_EXTENSION_SECONDS = 10.0
_DONE: tuple[type[wire.Wire], ...] = (Done, Detour)
_SAID: tuple[type[wire.Wire], ...] = (Renewal, LogChunk, Edited)


class Limits(msgspec.Struct, frozen=True):
    """The durations of dispatch, in seconds. ``patience``: how long a build waits for a pod before it gives up, ``outage``: for
    the broker. ``stall``: if the loop itself stood still for so long, renewals may lie in it unread.
    """

    answer: float = LEASE_ANSWER_SECONDS
    grace: float = ANSWER_GRACE_SECONDS
    patience: float = PATIENCE_SECONDS
    outage: float = OUTAGE_SECONDS
    tick: float = 0.5
    stall: float = 3.0


LIMITS = Limits()


class Job:
    """One step on its way: waiting here, or leased to ``pod``."""

    def __init__(self, request: StepRequest, step: Step, inputs: Sequence[tuple[str, int]], fit: str) -> None:
        self.request = request
        self.step = step
        self.inputs = inputs
        self.fit = fit
        self.pod = ""
        self.refused: dict[str, str] = {}
        self.lost: list[str] = []
        self.avoided: set[str] = set()
        self.troubles = 0
        self.silences: Counter[str] = Counter()
        self.unanswered = 0
        self.asked = 0
        self.since = asyncio.get_running_loop().time()
        self.done: asyncio.Future[StepDone] = asyncio.get_running_loop().create_future()

    @property
    def id(self) -> str:
        """The id of the request."""
        return self.request.id

    def why_not(self, pod: str) -> str:
        """Why a pod does not get it, as far as it is the pod that says so; ''."""
        if self.silences[pod] >= _SILENCES_MAX:
            return f"{pod} does not answer this order, although it says that it is ready"
        return self.refused.get(pod, "")


class Choice(Protocol):
    """Where a step goes: placement, with what it needs to know of the pods."""

    def __call__(self, job: Job, pods: Sequence[str], running: Callable[[str], int]) -> str:
        """One of ``pods``."""


class Sender(Protocol):
    """How orders are put: who asks, for which project, where the own store is served, and which pods hold what."""

    project: str
    majordomo: str
    sftp: tuple[str, int]

    def prepared(self, job: Job, pods: list[str]) -> StepRequest:
        """The request with its holders as indexes into ``pods``, which grows."""

    def keep(self, data: bytes) -> Artefact:
        """Puts a long message into the own store, durable."""

    async def fetched(self, artefact: Artefact, pod: str) -> bytes:
        """A long message that a pod keeps in its store. Raises Unavailable."""


class Dispatcher:
    """The steps of one build that are under way. ``accept`` makes a pod's results count and says what to acknowledge."""

    def __init__(
        self,
        bus: Bus,
        fleet: Fleet,
        sender: Sender,
        choose: Choice,
        accept: Callable[[str, Sequence[StepDone]], Awaitable[list[Ack]]],
        limits: Limits = LIMITS,
    ) -> None:
        self._bus = bus
        self._fleet = fleet
        self._sender = sender
        self._choose = choose
        self._accept = accept
        self._limits = limits
        self._waiting: dict[str, Job] = {}
        self._leased: dict[str, Job] = {}
        self._slots: dict[str, int] = {}
        self._leases = LeaseTable(self._slots)
        self._step_seconds = 1.0
        self._wake = fleet.changed
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[Callable[[], Awaitable[None]]] = []
        self._learning: set[tuple[str, str]] = set()
        self._fetching: set[tuple[str, str]] = set()
        self._ended = False
        self._broken: BaseException | None = None
        self._alone_since: float | None = None
        self._away_since: float | None = None
        self.on_log: Callable[[str, str], None] = lambda step_id, text: None
        self.on_edited: Callable[[Edited], None] = lambda edited: None
        self.on_assigned: Callable[[Job], None] = lambda job: None

    async def start(self) -> None:
        """Listens to results and begins to hand out steps."""
        pattern = subjects.results(self._fleet.federation, self._sender.majordomo)
        self._ends.append(await self._bus.subscribe(pattern, self._on_result))
        self._fleet.on_gone(self._pod_gone)
        self._spawn(self._loop())

    async def close(self) -> None:
        """Cancels what still runs there, and listens no more. Idempotent."""
        self._ended = True
        for job in [*self._leased.values()]:
            await self._cancel(job.id, job.pod)
        for job in [*self._leased.values(), *self._waiting.values()]:
            job.done.cancel()
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._ends:
            await self._ends.pop()()

    async def run(self, job: Job) -> StepDone:
        """Has a step run on some pod, to its end. Cancelled: it is given up there too. Raises Unavailable if no pod fits.

        Who asks for what is under way already gets the same end.
        """
        if self._broken is not None:
            raise self._broken
        twin = self._waiting.get(job.id) or self._leased.get(job.id)
        if twin is not None:
            job = twin
        else:
            self._waiting[job.id] = job
            self._wake.set()
        job.asked += 1
        try:
            return await asyncio.shield(job.done)
        finally:
            job.asked -= 1
            if not job.asked:
                await self._leave(job)

    async def _leave(self, job: Job) -> None:
        """Nobody waits for a job any more: with or without an end it is no business of ours."""
        for jobs in (self._waiting, self._leased):
            if jobs.get(job.id) is job:
                del jobs[job.id]
                self._leases.end(job.id)
        if not job.done.done():
            job.done.cancel()
            await asyncio.shield(self._cancel(job.id, job.pod))

    def give_up(self, error: BaseException) -> None:
        """It cannot go on: all steps that wait end with ``error``, and so does each that comes."""
        self._broken = self._broken or error
        for job in [*self._waiting.values(), *self._leased.values()]:
            if job.pod and not self._ended:
                self._spawn(self._cancel(job.id, job.pod))
            self._fail(job, error)

    def running_on(self, pod: str) -> int:
        """How many steps of this build are leased to a pod."""
        return sum(1 for job in self._leased.values() if job.pod == pod)

    # -- handing out -----------------------------------------------------------------------------------------------

    async def _loop(self) -> None:
        clock = asyncio.get_running_loop().time
        while not self._ended:
            began = clock()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.tick):
                    await self._wake.wait()
            self._wake.clear()
            if not self._fleet.is_connected:  # nothing can be heard, so no silence counts
                self._extend(clock() - began)
                self._away(clock())
                continue
            self._away_since = None
            if clock() - began > self._limits.stall:  # busy elsewhere: what was said meanwhile is heard now
                self._extend(clock() - began)
                self._wake.set()
                continue
            self._expire()
            self._hand_out()

    def _away(self, now: float) -> None:
        self._alone_since = None
        self._away_since = self._away_since or now
        if now - self._away_since > self._limits.outage:
            text = f"the broker of federation {self._fleet.federation} has been away for {now - self._away_since:.0f} s"
            self.give_up(Unavailable(f"{text}; see `cpods federation status`, then build again: what is done already is not lost"))

    def _hand_out(self) -> None:
        ready = self._fleet.ready()
        batches: dict[str, list[Job]] = {}
        self._slots.update((pod, status.slots) for pod, status in self._fleet.statuses.items())
        room = {pod: self._fleet.statuses[pod].slots - self.running_on(pod) for pod in ready}
        crowded = len(self._waiting) > sum(max(0, free) for free in room.values())
        for job in list(self._waiting.values()):
            if ready and all(free <= -self._depth(pod) for pod, free in room.items()):
                break  # thousands may wait
            if job.done.done():
                continue
            fitting = self._fitting(job, ready)
            if fitting is None:
                continue
            # With more steps than slots a second one may queue at a pod, so that a short step does not wait for the wire.
            free = [pod for pod in fitting if room[pod] > 0] or [pod for pod in fitting if crowded and room[pod] > -self._depth(pod)]
            if not free:
                continue
            pod = self._choose(job, free, self.running_on)
            room[pod] -= 1
            del self._waiting[job.id]
            job.pod = pod
            self._leased[job.id] = job
            batches.setdefault(pod, []).append(job)
        for pod, jobs in batches.items():
            for start in range(0, len(jobs), _BATCH_MAX):
                self._spawn(self._send(pod, jobs[start : start + _BATCH_MAX]))

    def _depth(self, pod: str) -> int:
        """How many steps may queue at a pod beyond its slots: more where they are so short that the way there is what counts."""
        return max(1, self._slots[pod], _SHORT_QUEUE if self._step_seconds < _SHORT_SECONDS else 0)

    def _fitting(self, job: Job, ready: Sequence[str]) -> list[str] | None:
        """Pods that can run a step, those it was lost on last; None while that is not known, or if none can (then it ends)."""
        for pod in [pod for pod in job.refused if pod not in ready]:
            del job.refused[pod]  # gone or draining: if it comes back, it is another matter
        if not ready:
            self._alone(job)
            return None
        self._alone_since = None
        now = asyncio.get_running_loop().time()
        wanted = "" if job.step.tool_match == "any" else job.request.fingerprint
        found, unknown = [], False
        for pod in ready:
            known = self._fleet.known_fingerprint(pod, job.fit) if wanted else wanted
            if known is None:
                unknown = True
                if (pod, job.fit) not in self._learning:
                    self._learning.add((pod, job.fit))
                    self._spawn(self._learn(pod, job))
            elif known == wanted and not job.why_not(pod):
                found.append(pod)
        is_early = now - job.since < self._limits.grace
        if unknown and (not found or is_early):
            return None
        if not found:
            if job.refused and is_early:  # a pod that drains or stops says so to all a moment later
                return None
            self._fail(job, Unavailable(self._why_none(job, ready)))
            return None
        return [pod for pod in found if pod not in job.avoided] or found

    def _why_none(self, job: Job, ready: Sequence[str]) -> str:
        reasons = []
        for pod in ready:
            known = self._fleet.known_fingerprint(pod, job.fit)
            why = "has another version of the tools" if known else "lacks a program"
            reasons.append(job.why_not(pod) or self._fleet.misfit(pod, job.fit) or f"{pod} {why}")
        tools = ", ".join(dict.fromkeys((job.step.tool, *job.step.tools)))
        lacking = job.step.argv[:1] if any(not self._fleet.known_fingerprint(pod, job.fit) for pod in ready) else ()
        return (
            f"no pod fits step {job.step.name} (tools: {tools}): {'; '.join(reasons)}; install the same packages there"
            f'{"".join(map(debian.hint, lacking))}, or set tool_match = "any" for this step'
        )

    def _alone(self, job: Job) -> None:
        now = asyncio.get_running_loop().time()
        self._alone_since = self._alone_since or now
        if now - self._alone_since > self._limits.patience:
            self._fail(job, Unavailable(f"no pod of federation {self._fleet.federation} is there; start one with `cpods pod start`"))

    async def _learn(self, pod: str, job: Job) -> None:
        try:
            await self._fleet.fingerprint(pod, job.fit, job.step)
        finally:
            self._learning.discard((pod, job.fit))
            self._wake.set()

    async def _send(self, pod: str, jobs: list[Job]) -> None:
        """Sends orders and takes the leases; what cannot be sent goes back to the waiting ones."""
        jobs = [job for job in jobs if self._is_at(job, pod)]  # not what was given up meanwhile
        if not jobs:
            return
        try:
            data = self._order(jobs)
        except Exception as error:  # our own affair (a full disk, a name that no message can hold): no pod is to blame
            for job in jobs:
                self._fail(job, error)
            return
        try:
            answer = await self._bus.request(subjects.step(self._fleet.federation, pod), data, self._limits.answer)
            leases = wire.decode(answer, Leases)
        except wire.BadMessage as error:
            for job in jobs:
                self._take_lease(pod, Lease(job.id, refused=f"{pod} answers orders with something else ({error})"))
        except TimeoutError:
            self._unanswered(pod, jobs)
        except Unavailable:
            if self._fleet.is_connected:
                self._fleet.lost(pod)  # which puts the jobs back
            self._put_back(pod, jobs)
        else:
            for lease in leases.leases:
                self._take_lease(pod, lease)

    def _order(self, jobs: Sequence[Job]) -> bytes:
        pods: list[str] = []
        requests = tuple(self._sender.prepared(job, pods) for job in jobs)
        data = wire.encode(Steps(self._sender.project, self._sender.majordomo, requests, tuple(pods), self._sender.sftp))
        if len(data) > wire.MESSAGE_BYTES_MAX:
            data = wire.encode(Detour(self._sender.keep(data), self._sender.majordomo, self._sender.sftp))
        return data

    def _is_at(self, job: Job, pod: str) -> bool:
        return self._leased.get(job.id) is job and job.pod == pod and not job.done.done()

    def _take_lease(self, pod: str, lease: Lease) -> None:
        job = self._leased.get(lease.id)
        if job is None or not self._is_at(job, pod):
            return
        if lease.refused:
            job.refused[pod] = lease.refused
            job.since = asyncio.get_running_loop().time()
            self._wait_again(job)
        else:
            job.unanswered = 0
            self._leases.grant(job.id, pod, asyncio.get_running_loop().time(), lease.seconds, job.step.name)
            self.on_assigned(job)

    def _unanswered(self, pod: str, jobs: Iterable[Job]) -> None:
        """An order without an answer may still have arrived: the same pod is asked again, until it counts as gone."""
        again = [job for job in jobs if self._is_at(job, pod)]
        for job in again:
            job.unanswered += 1
        if any(job.unanswered >= _ANSWERS_MAX for job in again):
            for job in again:
                job.silences[pod] += 1
            self._fleet.lost(pod)
            self._put_back(pod, again)
        elif again:
            self._spawn(self._send(pod, again))

    def _put_back(self, pod: str, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if self._is_at(job, pod):
                self._wait_again(job)

    def _wait_again(self, job: Job) -> None:
        self._leased.pop(job.id, None)
        self._leases.end(job.id)
        job.pod, job.unanswered = "", 0
        if not job.done.done():
            self._waiting[job.id] = job
            self._wake.set()

    def _fail(self, job: Job, error: BaseException) -> None:
        self._waiting.pop(job.id, None)
        if not job.done.done():
            job.done.set_exception(error)

    async def _cancel(self, step_id: str, pod: str) -> None:
        if pod:
            message = wire.encode(Cancel(self._sender.majordomo, (step_id,)))
            with suppress(Unavailable):
                await self._bus.publish(subjects.cancel(self._fleet.federation, pod), message)

    # -- leases ----------------------------------------------------------------------------------------------------

    def _extend(self, seconds: float) -> None:
        """For so long nobody could renew: the leases wait with us."""
        now = asyncio.get_running_loop().time()
        self._fleet.excuse(seconds)
        for pod in {job.pod for job in self._leased.values()}:
            for held in self._leases.of_pod(pod):
                self._leases.grant(held.id, pod, now, _EXTENSION_SECONDS, held.step)

    def _expire(self) -> None:
        for step_id in self._leases.expired(asyncio.get_running_loop().time()):
            self._died(step_id)

    def _pod_gone(self, pod: str) -> None:
        status = self._fleet.statuses.get(pod)
        if status is None or status.state != "stopped":  # whoever stops in order was not killed by a step
            for step_id in self._leases.pod_lost(pod):
                self._died(step_id)
        self._put_back(pod, [*self._leased.values()])  # and what was not answered with a lease yet

    def _died(self, step_id: str) -> None:
        """The pod that had a step is gone, or silent past its lease: another one gets it, unless it has cost too many."""
        job = self._leased.get(step_id)
        if job is None or job.done.done():
            return
        job.lost.append(job.pod)
        job.avoided.add(job.pod)
        if not self._leases.is_deadly(job.step.name):
            self._wait_again(job)
            return
        text = (
            f"step {job.step.name} was stopped: the pods that ran it were lost each time ({', '.join(job.lost)}); "
            "look at what it does to the machine, then build again"
        )
        self._leased.pop(job.id, None)
        job.done.set_result(StepDone(job.id, self._sender.project, Cooked(None, None, problems=(Problem(text),), exit_code=1)))

    # -- what pods tell --------------------------------------------------------------------------------------------

    async def _on_result(self, message: Message) -> bytes | None:
        *_, pod, kind = message.subject.split(".")
        if message.sender not in ("", pod):
            return None
        if kind == "done":
            ends: wire.Wire = wire.decode(message.payload, *_DONE)
            if isinstance(ends, Detour):  # by the way: it may take long, and leases are renewed behind it
                self._spawn(self._on_detour(pod, ends, message.reply))
                return None
            assert isinstance(ends, Done)
            return await self._on_done(pod, ends)
        said: wire.Wire = wire.decode(message.payload, *_SAID)
        if isinstance(said, Renewal):
            self._leases.renew(said.ids, pod, asyncio.get_running_loop().time(), said.seconds)
        elif isinstance(said, LogChunk):
            self.on_log(said.id, said.text)
        elif isinstance(said, Edited) and said.project == self._sender.project:
            self.on_edited(said)
        return None

    async def _on_detour(self, pod: str, detour: Detour, reply: str) -> None:
        """Ends of steps that were too long for a message. If they cannot be had, the pod tells of them again."""
        key = (pod, detour.artefact.digest)
        if key in self._fetching:
            return
        self._fetching.add(key)
        try:
            answer = await self._on_done(pod, wire.decode(await self._sender.fetched(detour.artefact, pod), Done))
            if answer is not None and reply:
                await self._bus.publish(reply, answer)
        except Unavailable as error:
            self._tell(f"the results of {pod} cannot be had yet: {error}", error)
        finally:
            self._fetching.discard(key)

    async def _on_done(self, pod: str, done: Done) -> bytes | None:
        """Ends of steps: first made to count, then told to whoever waits, then acknowledged."""
        own = [one for one in done.steps if one.project == self._sender.project]
        if not own:  # another build of the same member answers
            return None
        try:
            acks = await self._accept(pod, own)
        except Exception as error:  # a full disk, a damaged catalogue: the build cannot know what it has
            self.give_up(error)
            raise
        for one in own:
            job = self._leased.get(one.id) or self._waiting.get(one.id)
            if job is not None and not job.done.done():
                self._finish(job, pod, one)
        return wire.encode(Acks(tuple(acks)))

    def _finish(self, job: Job, pod: str, end: StepDone) -> None:
        """A job has an end, unless it is only that this pod could not carry it out: then others are asked first."""
        if end.trouble and not end.missing:
            if job.pod not in ("", pod):  # it runs elsewhere already
                return
            job.troubles += 1
            if job.troubles < _TROUBLES_MAX:
                job.avoided.add(pod)
                self._wait_again(job)
                return
        if job.pod not in ("", pod):  # it was given to another pod meanwhile, in vain
            self._spawn(self._cancel(job.id, job.pod))
        job.pod = pod
        if end.cooked.execution is not None:
            self._step_seconds += (end.cooked.execution.seconds - self._step_seconds) / 8
        job.done.set_result(end)
        self._wake.set()

    def _spawn(self, work: "Awaitable[None]") -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended_task)

    def _ended_task(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a mistake of ours: without this task the build would wait for ever
            self._tell("dispatch failed", error)
            self.give_up(error)

    @staticmethod
    def _tell(text: str, error: BaseException) -> None:
        asyncio.get_running_loop().call_exception_handler({"message": text, "exception": error})
