"""What placement knows of pods, files and steps, and when it expects slots, links and copies to be there.

Knows no strategy, no clock and no I/O: times are told, in seconds that never go back. Pods, files and steps are numbers
from 0, in the order in which they were told; so the same news in the same order give the same outlook, to the last bit.
"""

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence

#: Bytes a second that a pod is taken to pull and serve while nothing is known: a 1 Gbit/s link.
BANDWIDTH = 125e6
#: A running step that is past its estimate is expected to need this part of it again.
_OVERTIME = 0.1


class Outlook:
    """The lists are by number and meant to be read by strategies; only the methods change them.

    ``egress``: a holder's link is shared by all who pull from it, so what it has to serve counts. ``arrivals``: a copy on its
    way can be read only once it is in (False: as if it were there at once).
    """

    def __init__(self, egress: bool = True, arrivals: bool = True) -> None:
        self.egress = egress
        self.arrivals = arrivals
        self.pods: list[str] = []
        #: Steps that a pod runs at once; 0: it takes none. ``alive``: those that take some, ascending.
        self.slots: list[int] = []
        self.alive: list[int] = []
        self.bandwidth: list[float] = []
        #: When what a pod pulls, and what it serves, is all through.
        self.link: list[float] = []
        self.served: list[float] = []
        #: When a pod has a slot for one more step behind all that waits there; only if it is not ``stale``: see :meth:`free`.
        self.free_at: list[float] = []
        self.stale: list[bool] = []
        #: By pod, when each of its slots is through with all that waits there: a heap; as true as ``free_at``.
        self.ends: list[list[float]] = []
        #: Seconds of all steps that a pod was ever given.
        self.given: list[float] = []
        #: Bytes by file; and the pods that have it or will: when it is there.
        self.size: list[int] = []
        self.where: list[dict[int, float]] = []
        self.maker: list[int] = []
        self.readers: list[list[int]] = []
        self.estimate: list[float] = []
        self.inputs: list[Sequence[int]] = []
        self.outputs: list[Sequence[int]] = []
        #: Seconds from a step's start to the end of the longest chain behind it.
        self.rank: list[float] = []
        #: The pod that a step is given to or was run by; -1: none.
        self.placed: list[int] = []
        self.slots_total = 0
        #: Seconds of all steps that have no end yet, and the longest chain of all.
        self.remaining = 0.0
        self.critical = 0.0
        self._seconds = 0.0
        self._bytes = 0
        self.seconds_mean = 0.0
        self.bytes_mean = 0.0
        self.bandwidth_mean = BANDWIDTH
        self._numbers: dict[str, int] = {}
        self._done: list[bool] = []
        self._others: list[float] = []
        #: Steps that run with their beginnings, and steps that wait for a slot with when their inputs are in, in their order.
        self._running: list[dict[int, float]] = []
        self._queue: list[dict[int, float]] = []
        self._since: list[list[float]] = []
        #: Expected beginnings of steps that wait, as far as they were told when they came.
        self._begins: dict[int, float] = {}
        self._brought: dict[int, list[int]] = {}
        self._runs = 0
        self._begun = 0.0
        #: Pods by a time before which no slot of theirs is free (``_key``, the one that counts), and by number those with a free one.
        self._soon: list[tuple[float, int]] = []
        self._key: list[float] = []
        self._idle: list[int] = []

    # -- pods ------------------------------------------------------------------------------------------------------

    def pod_is(self, name: str, slots: int, bandwidth: float, now: float, busy: int = 0) -> int:
        """A pod that is new, back or changed; its number. ``busy``: steps of others there, taken to be as long as ours."""
        number = self._numbers.get(name)
        if number is None:
            number = self._add_pod(name, now)
        self.slots_total += slots - self.slots[number]
        self.slots[number] = slots
        self.alive = [pod for pod, count in enumerate(self.slots) if count > 0]
        self.bandwidth[number] = bandwidth or BANDWIDTH
        self._others[number] = self.seconds_mean * busy / slots if slots else 0.0
        self._since[number] = [now] * max(0, slots - len(self._running[number]))
        self.stale[number] = True
        self._key[number] = float("inf")  # while it took no steps its entries were thrown away
        self._look_again(number, now)
        speeds = [self.bandwidth[pod] for pod in self.alive]
        self.bandwidth_mean = sum(speeds) / len(speeds) if speeds else BANDWIDTH
        return number

    def _add_pod(self, name: str, now: float) -> int:
        number = self._numbers[name] = len(self.pods)
        self.pods.append(name)
        self.slots.append(0)
        self.bandwidth.append(BANDWIDTH)
        self.link.append(now)
        self.served.append(now)
        self.given.append(0.0)
        self.free_at.append(now)
        self.stale.append(True)
        self._others.append(0.0)
        self._key.append(float("inf"))
        for kept in (self.ends, self._since):
            kept.append([])
        for steps in (self._running, self._queue):
            steps.append({})
        return number

    def number(self, name: str) -> int | None:
        """A pod's number; None: it was never told of."""
        return self._numbers.get(name)

    def pod_gone(self, pod: int, now: float) -> list[int]:
        """The pod and its copies are lost; the steps that it had, in the order in which they were given to it."""
        running, queue = self._running[pod], self._queue[pod]
        lost = [*running, *queue]
        self._runs -= len(running)
        self._begun -= sum(running.values())
        for step in lost:
            self._brought.pop(step, None)
            self._begins.pop(step, None)
            self.placed[step] = -1
        running.clear()
        queue.clear()
        for holders in self.where:
            holders.pop(pod, None)
        self.link[pod] = self.served[pod] = now
        self.slots_total -= self.slots[pod]
        self.slots[pod] = 0
        self.alive = [other for other in self.alive if other != pod]
        return lost

    # -- files and steps -------------------------------------------------------------------------------------------

    def add_files(self, sizes: Iterable[int]) -> None:
        """More files that nobody holds yet."""
        before = len(self.size)
        self.size.extend(sizes)
        added = len(self.size) - before
        self.where.extend({} for _ in range(added))
        self.maker.extend([-1] * added)
        self.readers.extend([] for _ in range(added))

    def resize(self, file: int, size: int) -> None:
        """A file turned out to be of another size."""
        self._read_more((size - self.size[file]) * len(self.readers[file]))
        self.size[file] = size

    def add_steps(self, estimates: Sequence[float], inputs: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]) -> None:
        """More steps, each with its estimate in seconds and its files; :meth:`rank_steps` when all are told."""
        first = len(self.estimate)
        self.estimate.extend(estimates)
        self.inputs.extend(inputs)
        self.outputs.extend(outputs)
        self.placed.extend([-1] * len(estimates))
        self._done.extend([False] * len(estimates))
        self.rank.extend(estimates)
        for step in range(first, len(self.estimate)):
            for file in inputs[step - first]:
                self.readers[file].append(step)
            for file in outputs[step - first]:
                self.maker[file] = step
        self.remaining += sum(estimates)
        size = self.size
        self._seconds += sum(estimates)
        self._bytes += sum([size[file] for files in inputs for file in files])
        self.seconds_mean = self._seconds / max(1, len(self.estimate))
        self.bytes_mean = self._bytes / max(1, len(self.estimate))

    def reads(self, step: int, inputs: Sequence[int]) -> None:
        """What a step is about to read, now that it is known."""
        before, now = set(self.inputs[step]), set(inputs)
        for file in inputs:
            if file not in before:
                self.readers[file].append(step)
        for file in sorted(before - now):
            self.readers[file].remove(step)
        size = self.size
        self._read_more(sum([size[file] for file in inputs]) - sum([size[file] for file in self.inputs[step]]))
        self.inputs[step] = inputs

    def _read_more(self, size: int) -> None:
        """The steps are known to read so many bytes more than was known."""
        self._bytes += size
        self.bytes_mean = self._bytes / max(1, len(self.estimate))

    def makes(self, step: int, outputs: Sequence[int]) -> None:
        """What a step makes, now that it is known."""
        for file in outputs:
            self.maker[file] = step
        self.outputs[step] = outputs

    def expect(self, steps: Sequence[int], seconds: float) -> None:
        """Each of these steps turns out to take so long; none of them has a pod."""
        for step in steps:
            longer = seconds - self.estimate[step]
            self.estimate[step] = seconds
            self.rank[step] += longer
            self._seconds += longer
            if not self._done[step]:
                self.remaining = max(0.0, self.remaining + longer)
        self.seconds_mean = self._seconds / max(1, len(self.estimate))

    def rank_steps(self, followers: Sequence[Sequence[int]]) -> None:
        """Upward ranks (Topcuoglu, Hariri and Wu, 2002) without transfers; on a circle the way back does not count."""
        rank, estimate = self.rank, self.estimate
        for step in _last_first(followers):
            rank[step] = estimate[step] + max([rank[other] for other in followers[step]], default=0.0)
        self.critical = max(rank, default=0.0)

    def hold(self, pod: int, files: Iterable[int]) -> None:
        """The pod has these files now."""
        for file in files:
            self.where[file][pod] = 0.0

    def drop(self, pod: int, files: Iterable[int]) -> None:
        """The pod has these files no longer."""
        for file in files:
            self.where[file].pop(pod, None)

    # -- what is expected ------------------------------------------------------------------------------------------

    def left(self, now: float) -> float:
        """Seconds of work that are not done yet: of steps that run, what is expected to be left."""
        return max(0.0, self.remaining - self._runs * now + self._begun)

    def missing(self, step: int, pod: int) -> int:
        """Bytes of a step's inputs that are neither on the pod nor on their way to it."""
        size, where = self.size, self.where
        return sum([size[file] for file in self.inputs[step] if pod not in where[file]])

    def brought(self, step: int) -> int:
        """Bytes that are on their way, or will be, to a pod for the sake of this step."""
        size = self.size
        return sum([size[file] for file in self._brought.get(step, ())])

    def free(self, pod: int, now: float) -> float:
        """When the pod has a slot for one more step behind all that waits there; for an idle slot: since when it is free."""
        if self.stale[pod]:
            self.project(pod, now)
        return self.free_at[pod]

    def occupancy(self, pod: int, now: float) -> float:
        """Seconds of work that the pod has before it, evened out over its slots."""
        if self.stale[pod]:
            self.project(pod, now)
        return sum([end - now for end in self.ends[pod] if end > now]) / self.slots[pod]

    def arrival(self, step: int, pod: int, now: float, missing: int) -> float:
        """When the last of a step's inputs would be on the pod; ``missing``: as :meth:`missing` says."""
        ready = self.link[pod]
        if not missing:
            if not self.arrivals or ready <= now:
                return now
            where = self.where
            return max(now, max([where[file].get(pod, now) for file in self.inputs[step]], default=now))
        ready = (ready if ready > now else now) + missing / self.bandwidth[pod]
        return max(ready, self._served_until(step, pod, now)) if self.egress else ready

    def finish(self, step: int, pod: int, now: float, missing: int) -> float:
        """When a step would be done on the pod, behind all that waits there: a slot is free, its inputs are in, it has run."""
        begin = self.free(pod, now)
        ready = self.arrival(step, pod, now, missing)
        return (begin if begin > ready else ready) + self.estimate[step]

    def _served_until(self, step: int, pod: int, now: float) -> float:
        """When the holders will have served what the pod lacks, each file from the one that is through first."""
        load: dict[int, float] = {}
        for file in self.inputs[step]:
            holders = self.where[file]
            if pod not in holders and holders:
                source = self._source(holders)
                load[source] = load.get(source, max(self.served[source], now)) + self.size[file] / self.bandwidth[source]
        return max(load.values(), default=now)

    def _source(self, holders: Mapping[int, float]) -> int:
        served = self.served
        return next(iter(holders)) if len(holders) == 1 else min(holders, key=lambda pod: (served[pod], pod))

    def expected(self, pod: int, now: float) -> dict[int, float]:
        """The steps that wait for the pod's slots, each with its expected end."""
        return self.project(pod, now)

    def project(self, pod: int, now: float) -> dict[int, float]:
        """Expects anew when the pod's slots become free: from what runs and what waits, in order; see :meth:`expected`."""
        estimate = self.estimate
        ends = []
        for step, begun in self._running[pod].items():
            end = begun + estimate[step]
            ends.append(end if end >= now else now + _OVERTIME * estimate[step])
        idle = self.slots[pod] - len(ends)
        if idle > 0:
            since = self._since[pod]
            ends += since[:idle] if len(since) >= idle else since + [now] * (idle - len(since))
        if self._others[pod]:
            ends = [max(end, now) + self._others[pod] for end in ends]
        heapq.heapify(ends)
        expected = {}
        for step, ready in self._queue[pod].items():
            begin = ends[0]
            if ready > begin:
                begin = ready
            if now > begin:
                begin = now
            self._begins[step] = begin
            expected[step] = end = begin + estimate[step]
            heapq.heapreplace(ends, end)
        self.ends[pod] = ends
        self.free_at[pod] = ends[0] if ends else float("inf")
        self.stale[pod] = False
        return expected

    # -- the least loaded ------------------------------------------------------------------------------------------

    def least(self, now: float, allowed: Collection[int] | None = None) -> int:
        """The pod whose slot is free first; of those with a free one, the lowest number. ``allowed`` None: any.

        Raises ValueError if there is none.
        """
        if allowed is not None:
            return min([pod for pod in self.alive if pod in allowed], key=lambda pod: (max(self.free(pod, now), now), pod))
        idle, free_at, stale = self._idle, self.free_at, self.stale
        self._wake(now)
        while idle:
            pod = idle[0]
            if stale[pod] and self.slots[pod]:
                self.project(pod, now)
            if self.slots[pod] and free_at[pod] <= now:
                return pod
            heapq.heappop(idle)
            if self.slots[pod]:
                self._look_again(pod, free_at[pod])
        soon, key = self._soon, self._key
        while soon:
            value, pod = soon[0]
            if value != key[pod] or not self.slots[pod]:
                heapq.heappop(soon)
                continue
            if stale[pod]:
                self.project(pod, now)
            if free_at[pod] <= value:
                return pod
            key[pod] = free_at[pod]
            heapq.heapreplace(soon, (free_at[pod], pod))
        raise ValueError("there is no pod")

    def _wake(self, now: float) -> None:
        """Sorts out those of the pods whose time has come: which have a free slot."""
        soon, key = self._soon, self._key
        while soon and soon[0][0] <= now:
            value, pod = heapq.heappop(soon)
            if value == key[pod] and self.slots[pod]:
                if self.stale[pod]:
                    self.project(pod, now)
                if self.free_at[pod] <= now:
                    key[pod] = float("inf")
                    heapq.heappush(self._idle, pod)
                else:
                    key[pod] = self.free_at[pod]
                    heapq.heappush(soon, (key[pod], pod))

    def _look_again(self, pod: int, when: float) -> None:
        """From ``when`` on the pod may have a free slot."""
        if when < self._key[pod]:
            self._key[pod] = when
            heapq.heappush(self._soon, (when, pod))

    def _spoil(self, pod: int, now: float) -> None:
        self.stale[pod] = True
        if now < self._key[pod]:
            self._key[pod] = now
            heapq.heappush(self._soon, (now, pod))

    # -- what is done ----------------------------------------------------------------------------------------------

    def give(self, step: int, pod: int, now: float) -> int:
        """The step waits for the pod now, and what it lacks there is on its way; the bytes of that."""
        where, size, link = self.where, self.size, self.link[pod]
        lacking: list[int] = []
        missing = 0
        for file in self.inputs[step]:
            if pod not in where[file]:
                lacking.append(file)
                missing += size[file]
        if self.egress or (not missing and link > now):
            ready = self.arrival(step, pod, now, missing)
        elif missing:
            ready = (link if link > now else now) + missing / self.bandwidth[pod]
        else:
            ready = now
        if lacking:
            if missing:
                self.link[pod] = (link if link > now else now) + missing / self.bandwidth[pod]
                if self.egress:
                    self._serve(lacking, now)
            present = ready if self.arrivals else now
            for file in lacking:
                where[file][pod] = present
        self._brought[step] = lacking
        self.placed[step] = pod
        estimate = self.estimate[step]
        self.given[pod] += estimate
        self._queue[pod][step] = ready
        if not self.stale[pod]:
            ends = self.ends[pod]
            begin = ends[0]
            if ready > begin:
                begin = ready
            if now > begin:
                begin = now
            self._begins[step] = begin
            heapq.heapreplace(ends, begin + estimate)
            self.free_at[pod] = ends[0]
        return missing

    def _serve(self, files: Iterable[int], now: float) -> None:
        for file in files:
            if self.where[file]:
                source = self._source(self.where[file])
                self.served[source] = max(self.served[source], now) + self.size[file] / self.bandwidth[source]

    def take_back(self, step: int, now: float) -> int:
        """The step does not wait for its pod any more, nor do the copies that nobody else there needs; their bytes."""
        pod = self.placed[step]
        if not self._halt(step, pod, now):
            self._queue[pod].pop(step, None)
            self._begins.pop(step, None)
        spared = 0
        for file in self._brought.pop(step, ()):
            heir = self._heir(file, pod, step)
            if not self.where[file].get(pod):  # it is there by now
                continue
            if heir is None:
                self.where[file].pop(pod, None)
                spared += self.size[file]
            else:
                self._brought[heir].append(file)
        if spared:
            self.link[pod] = max(now, self.link[pod] - spared / self.bandwidth[pod])
        self.placed[step] = -1
        self._spoil(pod, now)
        return spared

    def _heir(self, file: int, pod: int, step: int) -> int | None:
        """Another step that waits for the same copy."""
        waiting = (other for other in self.readers[file] if other != step and other in self._brought and self.placed[other] == pod)
        return next(waiting, None)

    def started(self, step: int, now: float) -> None:
        """The step's pod was told to run it: it has a slot, or is next."""
        pod = self.placed[step]
        queue = self._queue[pod]
        in_order = next(iter(queue), -1) == step
        ready = queue.pop(step, None)
        if ready is not None:
            self._running[pod][step] = begun = ready if ready > now else now
            self._runs += 1
            self._begun += begun
            if self._since[pod]:
                heapq.heappop(self._since[pod])
            is_crowded = len(self._running[pod]) > self.slots[pod]  # the one before it in its slot has no end yet
            as_expected = begun == self._begins.pop(step, -1.0) and in_order and not self._others[pod] and not is_crowded
            if not as_expected:
                self._spoil(pod, now)

    def _halt(self, step: int, pod: int, now: float) -> bool:
        """The step runs no more, if it did; what else is expected there stays, if it ends when it was expected to."""
        is_crowded = len(self._running[pod]) > self.slots[pod]
        begun = self._running[pod].pop(step, None)
        if begun is None:
            return False
        self._runs -= 1
        self._begun -= begun
        heapq.heappush(self._since[pod], now)
        if begun + self.estimate[step] != now or is_crowded:
            self._spoil(pod, now)
        return True

    def finished(self, step: int, now: float) -> None:
        """The step has an end: its slot is free, and its inputs and outputs are on its pod."""
        pod = self.placed[step]
        self._brought.pop(step, None)
        if pod >= 0:
            if not self._halt(step, pod, now):
                self._queue[pod].pop(step, None)
                self._begins.pop(step, None)
                self._spoil(pod, now)
            where = self.where
            for file in self.inputs[step]:
                where[file][pod] = 0.0
            for file in self.outputs[step]:
                where[file][pod] = 0.0
        if not self._done[step]:
            self._done[step] = True
            self.remaining = max(0.0, self.remaining - self.estimate[step])

    def undone(self, step: int) -> None:
        """What the step made is lost: it will run again."""
        if self._done[step]:
            self._done[step] = False
            self.remaining += self.estimate[step]


def _last_first(followers: Sequence[Sequence[int]]) -> list[int]:
    """All steps, each behind those that wait for it; steps of circles, and what is behind those, come by number."""
    waits = [0] * len(followers)
    for others in followers:
        for other in others:
            waits[other] += 1
    order = [step for step, count in enumerate(waits) if not count]
    for step in order:
        for other in followers[step]:
            waits[other] -= 1
            if not waits[other]:
                order.append(other)
    if len(order) < len(followers):
        seen = set(order)
        order += [step for step in range(len(followers)) if step not in seen]
    order.reverse()
    return order
