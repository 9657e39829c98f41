"""One simulated build: the events of a federation, in order of simulated time.

Knows no real pod and no clock but to say what decisions cost. Who decides is the scheduler's own code, which is told what a
MajorDomo would be told; the rest here is what is true.
"""

import heapq
import math
import random
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable

from benchmarks.simmodel import Config, Deadlock, Outcome
from benchmarks.simready import ByCore, Counting, Driver
from benchmarks.workload import Workload, edge_bytes, lower_bound
from cpods.scheduler.allotment import Allotment
from cpods.scheduler.decisions import Chronicle
from cpods.scheduler.outlook import Outlook
from cpods.scheduler.placement import Strategy

_DONE, _INPUTS, _DEATH = 0, 1, 2


class World:
    """One simulated build: what is true, beside what the scheduler believes."""

    def __init__(self, workload: Workload, strategy: Strategy, config: Config, keep: Callable[[bytes], None] | None) -> None:
        self.began = time.perf_counter()
        self.load = workload
        self.config = config
        steps = len(workload.runtime)
        self.rng = random.Random(config.seed)
        self.inputs = workload.inputs
        self.driver: Driver = ByCore(workload) if config.driver == "core" else Counting(workload)
        self.look = Outlook(egress=config.egress, arrivals=not config.held)
        allotment = Allotment(strategy, self.look, ahead=None if config.held else config.ahead, steals=config.steals)
        self.chronicle = Chronicle(allotment, keep)
        self.held, self.shared, self.bandwidth, self.latency = config.held, config.egress, config.bandwidth, config.latency
        # What is true.
        self.runtime = self._straggling()
        self.speeds = [config.speeds[pod % len(config.speeds)] for pod in range(config.pods)]
        self.there: list[dict[int, float]] = [{} for _ in range(config.pods)]
        self.holders = [0] * len(workload.size)
        self.link = [0.0] * config.pods
        self.served = [0.0] * config.pods
        self.slot_times = [[0.0] * config.slots for _ in range(config.pods)]
        self.idle = [config.slots] * config.pods
        self.startable: list[deque[int]] = [deque() for _ in range(config.pods)]
        self.life = [0] * config.pods
        self.done = bytearray(steps)
        self.ever = bytearray(steps)
        #: Steps that were decided and are not on their pod yet; only known if pods die.
        self.planned: set[int] = set()
        #: Files that were read before the step that makes them came: as good as external.
        self.early: set[int] = set()
        #: Files that are made again, each with the steps that wait for it.
        self.awaited: dict[int, set[int]] = {}
        self.lacking: dict[int, int] = {}
        self.events: list[tuple[float, int, int, int, int]] = []
        self.now = 0.0
        self.moved = self.fetches = self.runs = self.decisions = 0
        self.decision_seconds = self.handing_seconds = 0.0

    def _straggling(self) -> list[float]:
        config = self.config
        if not config.stragglers:
            return self.load.runtime
        draw = random.Random(config.seed * 7 + 3)
        return [seconds * (config.straggling if draw.random() < config.stragglers else 1.0) for seconds in self.load.runtime]

    def _estimates(self) -> list[float]:
        sigma = self.config.sigma
        if not sigma:
            return self.load.runtime
        draw = random.Random(self.config.seed * 11 + 5)
        return [seconds * math.exp(draw.gauss(0.0, sigma)) for seconds in self.load.runtime]

    def run(self) -> Outcome:
        """To the end."""
        self._tell()
        config, load = self.config, self.load
        bound = max(self.look.critical, sum(load.runtime) / (config.pods * config.slots))
        if config.sigma:  # what the scheduler believes is no bound
            bound = lower_bound(load, config.pods * config.slots)
        for number in range(config.deaths):
            at = bound * (number + self.rng.random()) / config.deaths
            self._at(at, _DEATH, self.rng.randrange(config.pods), 0)
        self._decide(self.driver.first())
        left = len(load.runtime)
        makespan = 0.0
        events, life, pop = self.events, self.life, heapq.heappop
        while left:
            if not events:
                raise Deadlock(f"{load.name}: {left} steps never started")
            self.now = now = events[0][0]
            ready: list[int] = []
            ended = False
            while events and events[0][0] == now:
                _, kind, step, pod, born = pop(events)
                if kind == _INPUTS:
                    if born == life[pod]:
                        self._put(step, pod)
                    continue
                ended = True
                if kind == _DEATH:
                    ready += self._die(step)
                elif born == life[pod]:
                    if not self.ever[step]:
                        left -= 1
                        makespan = now
                    ready += self._finish(step, pod)
            if ended:
                self._decide(self._ready(ready) if self.awaited else ready)
        chronicle = self.chronicle
        chronicle.close()
        return Outcome(
            makespan=makespan,
            moved_bytes=self.moved,
            edge_bytes=edge_bytes(load),
            fetches=self.fetches,
            steps=len(load.runtime),
            runs=self.runs,
            decisions=self.decisions,
            decision_seconds=self.decision_seconds,
            handing_seconds=self.handing_seconds,
            lower_bound=bound,
            stolen=chronicle.stolen,
            seconds=time.perf_counter() - self.began,
            log_bytes=chronicle.size,
        )

    def _tell(self) -> None:
        """What the scheduler is told before the build: pods, files, steps, who holds what."""
        load, config, told = self.load, self.config, self.chronicle
        told.add_files(load.size)
        for pod in range(config.pods):
            told.pod_is(f"p{pod:04}", config.slots, config.bandwidth, 0.0)
        told.add_steps(self._estimates(), self.inputs, load.outputs)
        told.rank_steps(load.followers)
        held: dict[int, list[int]] = {}
        makers = load.makers
        for file in range(len(load.size)):
            if makers[file] < 0:
                held.setdefault(self._origin(file), []).append(file)
        for pod, files in sorted(held.items()):
            self._hold(pod, files)

    def _origin(self, file: int) -> int:
        return zlib.crc32(b"%d" % file) % self.config.pods if self.config.origin == "hash" else 0

    def _hold(self, pod: int, files: list[int]) -> None:
        self.chronicle.hold(pod, files)
        there = self.there[pod]
        for file in files:
            if file not in there:
                self.holders[file] += 1
            there[file] = 0.0

    def _at(self, when: float, kind: int, step: int, pod: int) -> None:
        heapq.heappush(self.events, (when, kind, step, pod, self.life[pod]))

    # -- the scheduler's turn --------------------------------------------------------------------------------------

    def _decide(self, ready: list[int]) -> None:
        told = self.chronicle
        clock = time.perf_counter
        if ready:
            if not self.held and len(ready) > 1:
                ready.sort()
            holders, inputs = self.holders, self.inputs
            for step in ready:
                for file in inputs[step]:
                    if not holders[file]:  # made by a step that comes later: external to this one
                        self.early.add(file)
                        self._hold(self._origin(file), [file])
            begun = clock()
            told.ready(ready, self.now)
            if self.config.deaths:
                self.planned.update(ready)
            self.decision_seconds += clock() - begun
            self.decisions += len(ready)
        begun = clock()
        sent = told.hand_out(self.now)
        self.handing_seconds += clock() - begun
        if self.config.deaths:
            self.planned.difference_update([step for step, _ in sent])
        for step, pod in sent:
            self._arrive(step, pod)

    def _arrive(self, step: int, pod: int) -> None:
        """A step comes to its pod: what it lacks is pulled."""
        there, size, now, holders = self.there[pod], self.load.size, self.now, self.holders
        ready = now
        pulled = 0
        for file in self.inputs[step]:
            when = there.get(file)
            if when is None:
                there[file] = when = self._pull(file, pod) if self.shared else self._pull_alone(size[file], pod)
                holders[file] += 1
                pulled += size[file]
                self.fetches += 1
            if when > ready:
                ready = when
        self.moved += pulled
        if self.held:
            self._run(step, pod, max(self.slot_times[pod][0], now, self.link[pod] if pulled else now))
        elif ready > now:
            heapq.heappush(self.events, (ready, _INPUTS, step, pod, self.life[pod]))
        else:
            self._put(step, pod)

    def _pull_alone(self, length: int, pod: int) -> float:
        """When a file is in that nobody else's link is needed for."""
        begin = self.link[pod]
        self.link[pod] = end = (begin if begin > self.now else self.now) + length / self.bandwidth
        return end + self.latency

    def _pull(self, file: int, pod: int) -> float:
        """The same, while its holder's link is shared by all who pull from it."""
        length = self.load.size[file]
        begin = max(self.link[pod], self.now)
        seconds = length / self.bandwidth
        if length:
            source = self._source(file, pod)
            begin = max(begin, self.served[source])
            self.served[source] = begin + seconds
        self.link[pod] = begin + seconds
        return begin + seconds + self.latency

    def _source(self, file: int, pod: int) -> int:
        """The holder that is through with serving first; only pods that have the file whole are asked, if there is one."""
        now = self.now
        have = [(self.served[other], other) for other, there in enumerate(self.there) if other != pod and there.get(file, math.inf) <= now]
        return min(have)[1] if have else pod

    def _put(self, step: int, pod: int) -> None:
        """All inputs are in: it starts on a free slot, else it waits for one."""
        if self.idle[pod]:
            self.idle[pod] -= 1
            self._run(step, pod, self.now)
        else:
            self.startable[pod].append(step)

    def _run(self, step: int, pod: int, begin: float) -> None:
        self.runs += 1
        end = begin + self.runtime[step] / self.speeds[pod]
        if self.held:
            heapq.heapreplace(self.slot_times[pod], end)
        heapq.heappush(self.events, (end, _DONE, step, pod, self.life[pod]))

    def _finish(self, step: int, pod: int) -> list[int]:
        self.chronicle.finished(step, self.now)
        self._hold_made(step, pod)
        if not self.held:
            self.idle[pod] += 1
            if self.startable[pod]:
                self.idle[pod] -= 1
                self._run(self.startable[pod].popleft(), pod, self.now)
        ready = [] if self.ever[step] else self.driver.done(step)
        self.done[step] = self.ever[step] = 1
        if self.awaited:
            ready = self._ready([*self._woken(step), *ready])
        return ready

    def _hold_made(self, step: int, pod: int) -> None:
        there = self.there[pod]
        for file in self.load.outputs[step]:
            if file not in there:
                self.holders[file] += 1
            there[file] = 0.0

    # -- deaths ----------------------------------------------------------------------------------------------------

    def _die(self, pod: int) -> list[int]:
        """A pod loses all it has and comes back empty. What is needed and nobody has any more is made again first; the steps
        that are ready now.
        """
        self.life[pod] += 1
        self.idle[pod] = self.config.slots
        self.startable[pod].clear()
        self.slot_times[pod] = [self.now] * self.config.slots
        self.link[pod] = self.served[pod] = self.now
        gone, self.there[pod] = self.there[pod], {}
        for file in gone:
            self.holders[file] -= 1
        lost = self.chronicle.pod_gone(pod, self.now)
        self.chronicle.pod_is(self.look.pods[pod], self.config.slots, self.config.bandwidth, self.now)
        again: set[int] = set()
        for file in gone:
            if not self.holders[file] and any(not self.done[reader] for reader in self.look.readers[file]):
                self._restore(file, again)
        for step in sorted(again):
            self.done[step] = 0
            self.chronicle.undone(step)
        ready = [*lost, *sorted(again)]
        for file in sorted(self.awaited):  # who waits for a pod of its own must wait for the file first
            for reader in self.look.readers[file]:
                if reader in self.planned and not self._is_there(reader):
                    self.chronicle.came_back(reader, self.now)
                    ready.append(reader)
        return self._ready(dict.fromkeys(ready))

    def _is_there(self, step: int) -> bool:
        """Whether all that a step reads is somewhere."""
        return all(self.holders[file] for file in self.inputs[step])

    def _restore(self, file: int, again: set[int]) -> None:
        """A file that nobody has: an external one is brought once more, else its maker runs again."""
        todo = [file]
        while todo:
            file = todo.pop()
            maker = self.load.makers[file]
            if maker < 0 or file in self.early:
                self._hold(self._origin(file), [file])
                continue
            self.awaited.setdefault(file, set())
            if self.done[maker] and maker not in again:
                again.add(maker)
                todo += [other for other in self.inputs[maker] if not self.holders[other]]

    def _ready(self, steps: Iterable[int]) -> list[int]:
        """Those of the steps that need not wait for a file that is made again."""
        if not self.awaited:
            return list(steps)
        ready = []
        for step in steps:
            files = [file for file in self.inputs[step] if file in self.awaited]
            if files:
                self.lacking[step] = len(files)
                for file in files:
                    self.awaited[file].add(step)
            else:
                ready.append(step)
        return ready

    def _woken(self, step: int) -> list[int]:
        """Steps that waited for nothing but what this one has made again."""
        ready = []
        for file in self.load.outputs[step]:
            for reader in sorted(self.awaited.pop(file, ())):
                self.lacking[reader] -= 1
                if not self.lacking[reader]:
                    ready.append(reader)
        return ready
