"""Placement as dispatch asks for it: what the fleet, the estate and earlier builds know, told to an allotment; where each step goes.

Knows no wire. All that is told and decided is in the chronicle, from which it can be decided again.
"""

import asyncio
import difflib
from collections.abc import Callable, Collection, Iterable, Sequence

from cpods.errors import UsageError
from cpods.majordomo.far.estimates import Estimates, Experience
from cpods.majordomo.far.fleet import Fleet
from cpods.majordomo.far.jobs import Job
from cpods.majordomo.far.numbers import HERE, Copies, FileNumbers
from cpods.majordomo.far.podnews import PodNews
from cpods.majordomo.far.prospect import Prospect
from cpods.majordomo.planning import Planned
from cpods.model import Step
from cpods.net.messages import StepDone
from cpods.scheduler.allotment import AHEAD, Allotment
from cpods.scheduler.decisions import Chronicle
from cpods.scheduler.outlook import Outlook
from cpods.scheduler.placement import DEFAULT_STRATEGY, STRATEGIES

#: The log of the last build that placed steps, in the state folder's ``log/``.
PLACEMENT_LOG = "placement.jsonl"
#: The way to a pod and back, seconds: steps that do not take much longer queue there, up to so many beyond its slots.
_WAY_SECONDS, _QUEUE_MAX = 0.05, 16
#: So often it is asked which steps are done.
_ASKED_SECONDS = 2.0
#: Ranks are computed anew when so large a part of all steps came since the last time.
_RANKED_ANEW = 1 / 8


def checked(strategy: str) -> str:
    """The strategy's name; '' is the default. Raises UsageError for one that does not exist."""
    name = strategy or DEFAULT_STRATEGY
    if name not in STRATEGIES:
        near = difflib.get_close_matches(name, STRATEGIES, 1)
        hint = f"did you mean {near[0]}? Known are" if near else "choose one of"
        raise UsageError(f"placement {name!r} is not known; {hint} {', '.join(STRATEGIES)}")
    return name


class Placer:
    """Chooses pods for the steps of one build. ``keep`` takes the log, in portions; seconds in it count from the first step.

    :meth:`attach` tells it the plan. A step that runs again keeps its number; steps are told when they, or what they wait for,
    are asked for: what need not run does not make the end of the build seem far.
    """

    def __init__(
        self, strategy: str, copies: Copies, fleet: Fleet, history: Experience, keep: Callable[[bytes], None] | None = None
    ) -> None:
        self.strategy = checked(strategy)
        self._keep = keep
        self._files = FileNumbers(copies, history.size)
        self._estimates = Estimates(history)
        self._prospect = Prospect()
        self._told: Chronicle | None = None
        self._finished: Callable[[], Collection[str]] = tuple
        self._asked = 0.0
        self._began = 0.0
        self._ready: Sequence[str] = ()
        self._pods = PodNews(fleet, history, self._files.held_by)
        self._steps: dict[str, int] = {}
        self._names: list[str] = []
        self._ranked = 0
        self._is_flat = True
        self._jobs: dict[int, Job] = {}
        self._numbers: dict[str, int] = {}
        self._ended: set[int] = set()
        self._preferred: dict[str, str] = {}
        self._assigned: list[tuple[Job, str]] = []
        self._step_seconds = 1.0

    def attach(self, planned: Planned, finished: Callable[[], Collection[str]] = tuple) -> None:
        """The steps that there are. ``finished``: those that need not run any more, be it that they never had to."""
        self._prospect = Prospect(planned)
        self._finished = finished

    def prefer(self, step_id: str, pod: str) -> None:
        """This pod runs the order of this id already, for a MajorDomo that was there before this one."""
        self._preferred[step_id] = pod

    def close(self) -> None:
        """Gives away what is left of the log."""
        if self._told is not None:
            self._told.close()

    # -- what dispatch tells and asks ------------------------------------------------------------------------------

    def ready(self, jobs: Sequence[Job], pods: Sequence[str] | None) -> None:
        """These may go to any of ``pods``; None: to any pod there is."""
        told = self._chronicle()
        self._add([job.step for job in jobs])
        if not [*self._pods]:  # after the first steps: how busy a pod is counts in mean steps
            self.look_at(self._ready)
        numbers = [self._number(job) for job in jobs]
        inputs = [self._inputs(job) for job in jobs]
        self._files.tell(told, told.look.number)
        now = self._now()
        self._settle(told, now)
        allowed = None if pods is None else [number for number in map(told.look.number, pods) if number is not None]
        waiting = []
        for job, number, files in zip(jobs, numbers, inputs, strict=True):
            if number in self._ended:
                self._ended.discard(number)
                told.undone(number)
                better = self._estimates.again(job.step, told.look.estimate[number])
                if better is not None:
                    told.expect([number], better)
            if files != told.look.inputs[number]:
                told.reads(number, files)
            preferred = self._preferred.pop(job.id, HERE)
            if preferred in (self._pods if pods is None else pods):
                pod = told.look.number(preferred)
                assert pod is not None
                told.assigned(number, pod, now)
                self._assigned.append((job, preferred))
            else:
                waiting.append(number)
        if waiting:
            told.ready(waiting, now, allowed)

    def look_at(self, ready: Sequence[str]) -> None:
        """These pods take steps now: what changed of pods since the last time counts from here on."""
        self._ready = ready
        if self._told is None or not self._names:
            return
        is_more = self._pods.tell(self._told, ready, self._now())
        if is_more and not self._told.allotment.steals:
            self._told.reconsider(self._now())

    def hand_out(self) -> list[tuple[Job, str]]:
        """The jobs that go to their pods now."""
        if self._told is None:
            return []
        sent, self._assigned = self._assigned, []
        names = self._told.look.pods
        sent += [(self._jobs[step], names[pod]) for step, pod in self._told.hand_out(self._now())]
        return sent

    def came_back(self, job: Job) -> None:
        """The job is not where it was put, or not wanted any more; unknown ones are no error."""
        number = self._numbers.pop(job.id, None)
        if number is not None and self._told is not None:
            self._told.came_back(number, self._now())
            del self._jobs[number]
            self._assigned = [entry for entry in self._assigned if entry[0] is not job]

    def finished(self, job: Job, pod: str, end: StepDone) -> None:
        """The job has an end, which ``pod`` told."""
        number = self._numbers.pop(job.id, None)
        if number is None or self._told is None:
            return
        told, look = self._told, self._told.look
        del self._jobs[number]
        if end.missing:  # whoever asked for it makes them, and asks again
            told.came_back(number, self._now())
            self._lost(end.missing)
            return
        result = end.cooked.result
        where = look.number(pod)
        outputs = result.outputs if result is not None else ()
        made = [self._files.known(one.path, one.version.digest, one.version.size, is_new=True) for one in outputs]
        if look.placed[number] != where or not made:
            told.came_back(number, self._now())
        if made and made != list(look.outputs[number]):
            self._files.tell(told, look.number)
            told.makes(number, made)
        self._files.tell(told, look.number)
        if where is not None and made and look.placed[number] != where:
            told.hold(where, made)
        self._ended.add(number)
        told.finished(number, self._now())
        self._measure(told, number, job.step, end)

    def gone(self, pod: str) -> None:
        """Nobody hears of the pod any more."""
        if self._told is not None:
            self._pods.gone(self._told, pod, self._now())

    # -- steps and files -------------------------------------------------------------------------------------------

    def _chronicle(self) -> Chronicle:
        if self._told is None:
            self._began = asyncio.get_running_loop().time()
            self._told = Chronicle(Allotment(STRATEGIES[self.strategy](), Outlook(egress=True)), self._keep)
            self._told.pod_is(HERE, 0, 0.0, 0.0)
        return self._told

    def _now(self) -> float:
        return round(asyncio.get_running_loop().time() - self._began, 6)

    def _add(self, steps: Iterable[Step]) -> None:
        """Numbers for these and for all that may run because they do."""
        told, prospect = self._chronicle(), self._prospect
        wanted = {step.name: step for step in steps if step.name not in self._steps}
        if not wanted:
            return
        found = {name: prospect.steps[name] for name in prospect.behind(wanted, self._steps)}
        self._enter([*({**wanted, **found}).values()])
        count = len(self._names)
        self._is_flat = self._is_flat and not any(map(prospect.followers.__getitem__, found))
        if count - self._ranked > _RANKED_ANEW * count:
            self._rank(told)

    def _rank(self, told: Chronicle) -> None:
        """Steps for which none waits have their estimates as ranks without it."""
        if not self._is_flat:
            self._ranked = len(self._names)
            told.rank_steps([self._followers(name) for name in self._names])

    def _enter(self, steps: Sequence[Step]) -> None:
        told, files, prospect = self._chronicle(), self._files, self._prospect
        first = len(self._names)
        estimates = [self._estimates.of(step, number, prospect.has_run(step)) for number, step in enumerate(steps, first)]
        inputs = [sorted({*map(files.planned, prospect.reads(step))}) for step in steps]
        outputs = [[*dict.fromkeys(map(files.planned, prospect.writes(step)))] for step in steps]
        files.tell(told, told.look.number)
        told.add_steps(estimates, inputs, outputs)
        self._names += [step.name for step in steps]
        told.name_steps(first, self._names[first:])
        for number, step in enumerate(steps, first):
            self._steps.setdefault(step.name, number)

    def _settle(self, told: Chronicle, now: float) -> None:
        """Steps that turned out not to have to run are no work any more."""
        if now - self._asked < _ASKED_SECONDS:
            return
        self._asked = now
        for name in self._finished():
            number = self._steps.get(name)
            if number is not None and number not in self._ended and number not in self._jobs:
                self._ended.add(number)
                told.finished(number, now)

    def _followers(self, name: str) -> list[int]:
        return [self._steps[other] for other in self._prospect.followers.get(name, ()) if other in self._steps]

    def _number(self, job: Job) -> int:
        """The step's number; a second run beside one that is still under way gets one of its own."""
        number = self._steps[job.step.name]
        if number in self._jobs and self._jobs[number] is not job:
            number = len(self._names)
            self._enter([job.step])
        self._jobs[number] = job
        self._numbers[job.id] = number
        return number

    def _inputs(self, job: Job) -> list[int]:
        numbers = {self._files.known(row.path, row.digest, row.size) for row in job.rows}
        for path, version in job.request.order.overlay.items():
            if version is not None:
                numbers.add(self._files.known(path, version.digest, version.size))
        if job.tree is not None:
            numbers.update(self._files.tree(job.tree.artefact.digest, job.tree.files))
        return sorted(numbers)

    def _lost(self, digests: Iterable[str]) -> None:
        """It turned out that whoever was believed to have these has not: who does is asked anew when they are met again."""
        for digest in digests:
            number = self._files.forget(digest)
            if number is not None and self._told is not None and number < len(self._told.look.where):
                for pod in sorted(self._told.look.where[number]):
                    self._told.drop(pod, [number])

    def _measure(self, told: Chronicle, number: int, step: Step, end: StepDone) -> None:
        """What a run tells of others. Short steps queue at their pods."""
        if end.cooked.execution is None:
            return
        self._step_seconds += (end.cooked.execution.seconds - self._step_seconds) / 8
        ahead = self._queue(max(told.look.slots), told.allotment.ahead or AHEAD)
        if ahead != told.allotment.ahead:
            told.set_ahead(ahead)
        self._estimates.ran(step, number)
        look = told.look
        correction = self._estimates.correction(step.tool, lambda other: look.placed[other] < 0 and other not in self._ended)
        if correction is not None:
            told.expect(*correction)
            self._rank(told)

    def _queue(self, slots: int, ahead: int) -> int:
        """How many steps are to be at a pod beyond its slots, so that these need not wait for the wire; it wavers less than steps do."""
        wanted = slots * _WAY_SECONDS / max(self._step_seconds, 1e-3)
        while ahead < min(wanted, _QUEUE_MAX):
            ahead *= 2
        while ahead > AHEAD and wanted < ahead / 4:
            ahead //= 2
        return ahead
