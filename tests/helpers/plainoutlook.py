"""An outlook as plain as its docstrings: nothing is kept but what was told, and each question is answered from all of that.

Knows no strategy; for tests that compare the real one with it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from cpods.scheduler.outlook import BANDWIDTH

_AGAIN = 0.1


@dataclass
class PlainPod:
    """``as_of``: when its slots were looked at last; None: something changed there since."""

    slots: int = 0
    bandwidth: float = BANDWIDTH
    others: float = 0.0
    link: float = 0.0
    served: float = 0.0
    given: float = 0.0
    idle_since: list[float] = field(default_factory=list)
    as_of: float | None = None


@dataclass
class PlainStep:
    """``state``: "" (with no pod), "waits" or "runs"; ``turn``: its place among all gifts and starts."""

    estimate: float
    inputs: Sequence[int]
    outputs: Sequence[int]
    pod: int = -1
    state: str = ""
    done: bool = False
    given_at: float = 0.0
    ready: float = 0.0
    begun: float = 0.0
    turn: int = 0
    brought: list[int] = field(default_factory=list)


class PlainOutlook:
    """The same methods as Outlook, slow."""

    def __init__(self, egress: bool = True, arrivals: bool = True) -> None:
        self.egress = egress
        self.arrivals = arrivals
        self.names: list[str] = []
        self.pods: list[PlainPod] = []
        self.steps: list[PlainStep] = []
        self.size: list[int] = []
        self.copies: dict[tuple[int, int], float] = {}
        self.readers: list[list[int]] = []
        self.turn = 0

    @property
    def alive(self) -> list[int]:
        return [pod for pod, seen in enumerate(self.pods) if seen.slots > 0]

    def pod_is(self, name: str, slots: int, bandwidth: float, now: float, busy: int = 0) -> int:
        if name not in self.names:
            self.names.append(name)
            self.pods.append(PlainPod(link=now, served=now))
        number = self.names.index(name)
        pod = self.pods[number]
        pod.slots, pod.bandwidth, pod.as_of = slots, bandwidth or BANDWIDTH, None
        mean = sum(step.estimate for step in self.steps) / max(1, len(self.steps))
        pod.others = mean * busy / slots if slots else 0.0
        pod.idle_since = [now] * max(0, slots - len(self.at(number, "runs")))
        return number

    def pod_gone(self, pod: int, now: float) -> list[int]:
        lost = self.at(pod, "runs") + self.at(pod, "waits")
        for number in lost:
            step = self.steps[number]
            step.pod, step.state, step.brought = -1, "", []
        self.copies = {(file, there): when for (file, there), when in self.copies.items() if there != pod}
        self.pods[pod].link = self.pods[pod].served = now
        self.pods[pod].slots = 0
        return lost

    def add_files(self, sizes: Iterable[int]) -> None:
        self.size += sizes
        self.readers += [[] for _ in range(len(self.size) - len(self.readers))]

    def resize(self, file: int, size: int) -> None:
        self.size[file] = size

    def add_steps(self, estimates: Sequence[float], inputs: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]) -> None:
        for estimate, reads, makes in zip(estimates, inputs, outputs, strict=True):
            self.steps.append(PlainStep(estimate, (), makes))
            self.reads(len(self.steps) - 1, reads)

    def reads(self, number: int, inputs: Sequence[int]) -> None:
        for file, readers in enumerate(self.readers):
            if file in inputs and number not in readers:
                readers.append(number)
            elif file not in inputs and number in readers:
                readers.remove(number)
        self.steps[number].inputs = inputs

    def expect(self, numbers: Sequence[int], seconds: float) -> None:
        for number in numbers:
            self.steps[number].estimate = seconds

    def hold(self, pod: int, files: Iterable[int]) -> None:
        self.copies.update({(file, pod): 0.0 for file in files})

    def drop(self, pod: int, files: Iterable[int]) -> None:
        for file in files:
            self.copies.pop((file, pod), None)

    # -- questions -------------------------------------------------------------------------------------------------

    def at(self, pod: int, state: str) -> list[int]:
        """The pod's steps in this state, in the order in which they came to it."""
        found = [number for number, step in enumerate(self.steps) if step.pod == pod and step.state == state]
        return sorted(found, key=lambda number: self.steps[number].turn)

    def left(self, now: float) -> float:
        undone = sum(step.estimate for step in self.steps if not step.done)
        return max(0.0, undone - sum(now - step.begun for step in self.steps if step.state == "runs"))

    def lacking(self, step: int, pod: int) -> list[int]:
        return [file for file in self.steps[step].inputs if (file, pod) not in self.copies]

    def missing(self, step: int, pod: int) -> int:
        return sum(self.size[file] for file in self.lacking(step, pod))

    def brought(self, step: int) -> int:
        return sum(self.size[file] for file in self.steps[step].brought)

    def slots(self, pod: int, at: float) -> tuple[list[float], dict[int, float]]:
        """When each slot will be free behind all that waits, and when each step that waits will begin; expected at a time."""
        seen = self.pods[pod]
        ends = []
        for step in (self.steps[number] for number in self.at(pod, "runs")):
            end = step.begun + step.estimate
            ends.append(end if end >= at else at + _AGAIN * step.estimate)
        idle = max(0, seen.slots - len(ends))
        ends += (sorted(seen.idle_since) + [at] * idle)[:idle]
        if seen.others:
            ends = [max(end, at) + seen.others for end in ends]
        begins = {}
        for number in self.at(pod, "waits"):
            step = self.steps[number]
            first = min(ends)
            ends.remove(first)
            begins[number] = max(first, step.ready, at, step.given_at)
            ends.append(begins[number] + step.estimate)
        return ends, begins

    def begins(self, pod: int) -> dict[int, float]:
        at = self.pods[pod].as_of
        return {} if at is None else self.slots(pod, at)[1]

    def ends(self, pod: int, now: float) -> list[float]:
        """Looks at the slots if something has changed there since they were looked at."""
        seen = self.pods[pod]
        if seen.as_of is None:
            seen.as_of = now
        return self.slots(pod, seen.as_of)[0]

    def free(self, pod: int, now: float) -> float:
        return min(self.ends(pod, now), default=float("inf"))

    def expected(self, pod: int, now: float) -> dict[int, float]:
        self.pods[pod].as_of = now
        return {step: begin + self.steps[step].estimate for step, begin in self.begins(pod).items()}

    def occupancy(self, pod: int, now: float) -> float:
        return sum(max(0.0, end - now) for end in self.ends(pod, now)) / self.pods[pod].slots

    def least(self, now: float, allowed: Collection[int] | None = None) -> int:
        pods = [pod for pod in self.alive if allowed is None or pod in allowed]
        return min(pods, key=lambda pod: (max(self.free(pod, now), now), pod))

    def source(self, file: int) -> int:
        return min((pod for held, pod in self.copies if held == file), key=lambda pod: (self.pods[pod].served, pod), default=-1)

    def arrival(self, step: int, pod: int, now: float) -> float:
        lacking = self.lacking(step, pod)
        link = self.pods[pod].link
        missing = self.missing(step, pod)
        if not missing:
            coming = [self.copies[file, pod] for file in self.steps[step].inputs if file not in lacking]
            return max([now, *coming]) if self.arrivals and link > now else now
        ready = max(link, now) + missing / self.pods[pod].bandwidth
        if self.egress:
            until: dict[int, float] = {}
            for file in lacking:
                source = self.source(file)
                if source >= 0:
                    until[source] = until.get(source, max(self.pods[source].served, now)) + self.size[file] / self.pods[source].bandwidth
            ready = max([ready, *until.values()])
        return ready

    def finish(self, step: int, pod: int, now: float) -> float:
        return max(self.free(pod, now), self.arrival(step, pod, now)) + self.steps[step].estimate

    # -- what is done ----------------------------------------------------------------------------------------------

    def give(self, number: int, pod: int, now: float) -> int:
        step, seen = self.steps[number], self.pods[pod]
        lacking, missing = self.lacking(number, pod), self.missing(number, pod)
        step.ready = self.arrival(number, pod, now)
        if missing:
            seen.link = max(seen.link, now) + missing / seen.bandwidth
            for file in lacking if self.egress else ():
                if (source := self.source(file)) >= 0:
                    self.pods[source].served = max(self.pods[source].served, now) + self.size[file] / self.pods[source].bandwidth
        self.copies.update({(file, pod): step.ready if self.arrivals else now for file in lacking})
        seen.given += step.estimate
        self.turn += 1
        step.pod, step.state, step.given_at, step.turn, step.brought = pod, "waits", now, self.turn, lacking
        return missing

    def take_back(self, number: int, now: float) -> int:
        step = self.steps[number]
        self._stop(step, now)
        self.pods[step.pod].as_of = None
        spared = 0
        for file in step.brought:
            heirs = [
                other for other in self.readers[file] if other != number and self.steps[other].pod == step.pod and self.steps[other].state
            ]
            if not self.copies.get((file, step.pod)):
                continue
            if heirs:
                self.steps[heirs[0]].brought.append(file)
            else:
                del self.copies[file, step.pod]
                spared += self.size[file]
        if spared:
            seen = self.pods[step.pod]
            seen.link = max(now, seen.link - spared / seen.bandwidth)
        step.pod, step.brought = -1, []
        return spared

    def started(self, number: int, now: float) -> None:
        step = self.steps[number]
        seen = self.pods[step.pod]
        begun = max(step.ready, now)
        first = self.at(step.pod, "waits")[0] == number
        crowded = len(self.at(step.pod, "runs")) >= seen.slots
        if seen.others or not first or crowded or (seen.as_of is not None and self.begins(step.pod)[number] != begun):
            seen.as_of = None
        self.turn += 1
        step.state, step.begun, step.turn = "runs", begun, self.turn
        seen.idle_since = sorted(seen.idle_since)[1:]

    def finished(self, number: int, now: float) -> None:
        step = self.steps[number]
        if step.pod >= 0:
            self.hold(step.pod, [*step.inputs, *step.outputs])
            self._stop(step, now)
        step.brought, step.done = [], True

    def undone(self, number: int) -> None:
        self.steps[number].done = False

    def _stop(self, step: PlainStep, now: float) -> None:
        seen = self.pods[step.pod]
        crowded = len(self.at(step.pod, "runs")) > seen.slots
        if step.state == "runs":
            seen.idle_since.append(now)
        if step.state != "runs" or step.begun + step.estimate != now or crowded:
            seen.as_of = None
        step.state = ""
