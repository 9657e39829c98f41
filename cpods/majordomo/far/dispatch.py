"""Dispatch: each step goes to a pod as a signed order, lives there under a lease, and comes back as a result, once.

Knows no project folder and no ownership: what a step sees, and what becomes of its result, is for the callers to say.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from cpods.errors import Unavailable
from cpods.majordomo.far.fitting import Fitting
from cpods.majordomo.far.fleet import Fleet
from cpods.majordomo.far.hearing import Hearing
from cpods.majordomo.far.jobs import LIMITS, Job, Limits, Placement, Sender
from cpods.model import Problem
from cpods.net import subjects, wire
from cpods.net.messages import Ack, Cancel, Detour, Edited, Lease, Leases, Renewal, StepDone, Steps
from cpods.orders import Cooked
from cpods.ports import Bus
from cpods.scheduler.leases import LeaseTable

_ANSWERS_MAX = 5
#: Ends of a step that say nothing but that a pod could not carry it out; the last one is believed.
_TROUBLES_MAX = 3
_BATCH_MAX = 16
#: While nobody can renew, leases are kept alive for so long at a time.
_EXTENSION_SECONDS = 10.0


class Dispatcher:
    """The steps of one build that are under way. ``accept`` makes a pod's results count and says what to acknowledge."""

    def __init__(
        self,
        bus: Bus,
        fleet: Fleet,
        sender: Sender,
        placement: Placement,
        accept: Callable[[str, Sequence[StepDone]], Awaitable[list[Ack]]],
        limits: Limits = LIMITS,
    ) -> None:
        self._bus = bus
        self._fleet = fleet
        self._sender = sender
        self._placement = placement
        self._accept = accept
        self._limits = limits
        self._waiting: dict[str, Job] = {}
        self._unplaced: dict[str, Job] = {}
        self._known: tuple[list[str], int] = [], 0
        self._leased: dict[str, Job] = {}
        self._slots: dict[str, int] = {}
        self._leases = LeaseTable(self._slots)
        self._wake = fleet.changed
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[Callable[[], Awaitable[None]]] = []
        self._fitting = Fitting(fleet, limits.grace, self._spawn)
        self._hearing = Hearing(bus, sender, self, self._spawn)
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
        self._ends.append(await self._bus.subscribe(pattern, self._hearing.on_result))
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
            self._waiting[job.id] = self._unplaced[job.id] = job
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
                self._unplaced.pop(job.id, None)
                self._placement.came_back(job)
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
        self._slots.update((pod, status.slots) for pod, status in self._fleet.statuses.items())
        self._placement.look_at(ready)
        if (ready, self._fitting.answers) != self._known:
            self._known = ready, self._fitting.answers
            for job in [job for job in self._waiting.values() if job.is_picky]:  # there may be others for them now, or none
                self._place_again(job)
        self._place(ready)
        batches: dict[str, list[Job]] = {}
        there = set(ready)
        for job, pod in self._placement.hand_out():
            if job.id not in self._waiting or job.done.done():
                self._placement.came_back(job)
            elif pod not in there or not self._fitting.is_fit(job, pod):  # say one that came after it was placed
                self._place_again(job)
                self._wake.set()
            else:
                del self._waiting[job.id]
                job.pod = pod
                self._leased[job.id] = job
                batches.setdefault(pod, []).append(job)
        for pod, jobs in batches.items():
            for start in range(0, len(jobs), _BATCH_MAX):
                self._spawn(self._send(pod, jobs[start : start + _BATCH_MAX]))

    def _place(self, ready: Sequence[str]) -> None:
        """Gives jobs to placement, as soon as it is known which pods can run them."""
        if not ready:
            for job in list(self._waiting.values()):
                job.refused.clear()
                self._alone(job)
            return
        self._alone_since = None
        groups: dict[tuple[str, ...], list[Job]] = {}
        for job in list(self._unplaced.values()):
            try:
                fitting = None if job.done.done() else self._fitting.pods(job, ready)
            except Unavailable as error:
                self._fail(job, error)
                continue
            if fitting is not None:
                groups.setdefault(tuple(fitting), []).append(job)
        for pods, jobs in groups.items():
            for job in jobs:
                del self._unplaced[job.id]
                job.is_picky = len(pods) < len(ready)
            self._placement.ready(jobs, pods if len(pods) < len(ready) else None)

    def _place_again(self, job: Job) -> None:
        self._placement.came_back(job)
        job.is_picky = False
        self._unplaced[job.id] = job

    def _alone(self, job: Job) -> None:
        now = asyncio.get_running_loop().time()
        self._alone_since = self._alone_since or now
        if now - self._alone_since > self._limits.patience:
            self._fail(job, Unavailable(f"no pod of federation {self._fleet.federation} is there; start one with `cpods pod start`"))

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
        self._placement.came_back(job)
        if not job.done.done():
            self._waiting[job.id] = job
            self._place_again(job)
            self._wake.set()

    def _fail(self, job: Job, error: BaseException) -> None:
        self._waiting.pop(job.id, None)
        self._unplaced.pop(job.id, None)
        self._placement.came_back(job)
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
        self._placement.gone(pod)

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
        end = StepDone(job.id, self._sender.project, Cooked(None, None, problems=(Problem(text),), exit_code=1))
        self._placement.finished(job, job.pod, end)
        job.done.set_result(end)

    # -- what pods tell (hearing.Listener) ------------------------------------------------------------------------

    async def ended(self, pod: str, steps: Sequence[StepDone]) -> list[Ack]:
        """Ends of steps: first made to count, then told to whoever waits, then acknowledged."""
        try:
            acks = await self._accept(pod, steps)
        except Exception as error:  # a full disk, a damaged catalogue: the build cannot know what it has
            self.give_up(error)
            raise
        for one in steps:
            job = self._leased.get(one.id) or self._waiting.get(one.id)
            if job is not None and not job.done.done():
                self._finish(job, pod, one)
        return acks

    def renewed(self, pod: str, renewal: Renewal) -> None:
        """These steps still run there."""
        self._leases.renew(renewal.ids, pod, asyncio.get_running_loop().time(), renewal.seconds)

    def said(self, step_id: str, text: str) -> None:
        """What a tool said."""
        self.on_log(step_id, text)

    def edited(self, edited: Edited) -> None:
        """Files of this project were changed on a pod."""
        self.on_edited(edited)

    @staticmethod
    def troubled(text: str, error: BaseException) -> None:
        """Something went wrong that nobody waits for."""
        asyncio.get_running_loop().call_exception_handler({"message": text, "exception": error})

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
        self._placement.finished(job, pod, end)
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
            self.troubled("dispatch failed", error)
            self.give_up(error)
