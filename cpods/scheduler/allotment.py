"""Who waits for whom: steps that are ready get a pod at once, and go there when it has room for them.

Knows no wire and no clock: it is told what happened, and says which step goes where. What is told and what was decided is
noted, in an order from which :mod:`cpods.scheduler.decisions` can decide everything again.
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from cpods.scheduler.outlook import Outlook
from cpods.scheduler.placement import Decision, Strategy

#: Steps that a pod has beyond its slots: their inputs are on their way while others run.
AHEAD = 2
#: A pod that has nothing to do looks at so many others, and at so many of the steps that wait for each.
_VICTIMS, _LOOT = 8, 4
#: Of pods that found nothing so many look again, after this part of a mean step.
_HUNGRY, _PATIENCE = 4, 0.02


class Decided(msgspec.Struct, frozen=True, array_like=True, tag="decided"):
    """A step was given to a pod; ``values``: see Decision."""

    step: int
    pod: int
    values: tuple[float, ...]


class Stolen(msgspec.Struct, frozen=True, array_like=True, tag="stolen"):
    """A pod without work took a step that waited for another; what that costs now, and would have cost there."""

    step: int
    pod: int
    cost: float
    cost_there: float


class Sent(msgspec.Struct, frozen=True, array_like=True, tag="sent"):
    """The step goes to the pod that it waited for."""

    step: int
    pod: int


Note = Decided | Stolen | Sent


class Allotment:
    """The steps of a build that are ready, between the decision and the way to their pod. ``ahead``: see AHEAD."""

    def __init__(
        self, strategy: Strategy, look: Outlook, note: Callable[[Note], None] | None = None, ahead: int | None = AHEAD, steals: bool = True
    ) -> None:
        self.strategy = strategy
        self.look = look
        self.ahead = ahead
        self.note = note
        self.steals = steals and strategy.steals
        self._waiting: dict[int, list[tuple[float, int, int]]] = {}
        self._count: dict[int, int] = {}
        #: Steps that a pod has: those that are taken to run, and the others in the order in which they were sent.
        self._begun: dict[int, set[int]] = {}
        self._queued: dict[int, dict[int, None]] = {}
        self._allowed: dict[int, Collection[int]] = {}
        self._unplaced: dict[int, Collection[int] | None] = {}
        self._touched: set[int] = set()
        #: Pods with an idle slot that found nothing to take; from ``_again`` on they look again.
        self._hungry: set[int] = set()
        self._again = 0.0
        self._order = 0
        #: Steps that a pod took which waited for another.
        self.stolen = 0

    # -- what happens ----------------------------------------------------------------------------------------------

    def ready(self, steps: Sequence[int], now: float, allowed: Collection[int] | None = None) -> list[Decision]:
        """These may run now, on any pod or on the ``allowed`` ones. The longest chains are decided first."""
        if len(steps) == 1:
            return [self._decide(steps[0], now, allowed)]
        rank = self.look.rank
        return [self._decide(step, now, allowed) for step in sorted(steps, key=lambda step: -rank[step])]

    def _decide(self, step: int, now: float, allowed: Collection[int] | None) -> Decision:
        decision = self.strategy.choose(step, self.look, now, allowed)
        if decision.pod < 0:
            self._unplaced[step] = allowed
            return decision
        if allowed is not None:
            self._allowed[step] = allowed
        if self.note is not None:
            self.note(Decided(step, decision.pod, decision.values))
        self._give(step, decision.pod, now)
        return decision

    def _give(self, step: int, pod: int, now: float) -> None:
        look = self.look
        look.give(step, pod, now)
        self._order += 1
        entry = (-look.rank[step], self._order, step)
        if pod in self._count:
            heapq.heappush(self._waiting[pod], entry)
            self._count[pod] += 1
        else:
            self._waiting[pod] = [entry]
            self._count[pod] = 1
        self._touched.add(pod)

    def finished(self, step: int, now: float) -> None:
        """The step has an end, for good."""
        pod = self._leave(step)
        self.look.finished(step, now)
        self._unplaced.pop(step, None)
        self._allowed.pop(step, None)
        if pod >= 0:
            self._begin(pod, now)

    def came_back(self, step: int, now: float) -> None:
        """The pod does not do it (it refused, or could not): whoever asks for the step says :meth:`ready` again."""
        if self.look.placed[step] >= 0:
            pod = self._leave(step)
            self.look.take_back(step, now)
            self._begin(pod, now)
        self._unplaced.pop(step, None)
        self._allowed.pop(step, None)

    def assigned(self, step: int, pod: int, now: float) -> None:
        """A pod has the step already, say from a MajorDomo before this one: nothing is decided."""
        self.look.give(step, pod, now)
        self._queued[pod][step] = None
        self._begin(pod, now)

    def _leave(self, step: int) -> int:
        pod = self.look.placed[step]
        if pod < 0:
            return pod
        if step in self._begun.get(pod, ()):
            self._begun[pod].remove(step)
        elif step in self._queued.get(pod, ()):
            del self._queued[pod][step]
        elif pod in self._waiting:
            self._forget(step, pod)
        self._touched.add(pod)
        return pod

    def _forget(self, step: int, pod: int) -> None:
        before = len(self._waiting[pod])
        self._waiting[pod] = [entry for entry in self._waiting[pod] if entry[2] != step]
        heapq.heapify(self._waiting[pod])
        self._less(pod, before - len(self._waiting[pod]))

    def _less(self, pod: int, by: int) -> None:
        left = self._count.get(pod, 0) - by
        if left > 0:
            self._count[pod] = left
        else:
            self._count.pop(pod, None)

    def pod_is(self, name: str, slots: int, bandwidth: float, now: float, busy: int = 0) -> int:
        """A pod is new, back or changed; its number. Steps that no pod could have are decided now."""
        pod = self.look.pod_is(name, slots, bandwidth, now, busy)
        self._queued.setdefault(pod, {})
        self._begun.setdefault(pod, set())
        self._touched.add(pod)
        if slots <= 0:
            self._move_on(pod, now)
        elif self._unplaced:
            unplaced, self._unplaced = self._unplaced, {}
            for step, allowed in unplaced.items():
                self._decide(step, now, allowed)
        return pod

    def _move_on(self, pod: int, now: float) -> None:
        """Steps that wait for a pod that takes none any more are decided anew."""
        self._count.pop(pod, None)
        for _, _, step in sorted(self._waiting.pop(pod, ())):
            self.look.take_back(step, now)
            self._decide(step, now, self._allowed.pop(step, None))

    def reconsider(self, now: float) -> None:
        """All that waits for a pod is decided anew: there is one more, and nobody steals."""
        waiting = sorted(entry for pod in list(self._count) for entry in self._waiting.pop(pod, ()))
        self._count.clear()
        for _, _, step in waiting:
            self.look.take_back(step, now)
        for _, _, step in waiting:
            self._decide(step, now, self._allowed.pop(step, None))

    def set_ahead(self, ahead: int | None) -> None:
        """So many steps may be at a pod beyond its slots from now on."""
        self.ahead = ahead
        self._touched.update(self._begun)

    def pod_gone(self, pod: int, now: float) -> list[int]:
        """The pod is lost with all that it has. Steps that waited for it are decided anew; those that it had are returned: it is
        for the caller to say :meth:`ready` again.
        """
        lost = self.look.pod_gone(pod, now)
        sent = self._begun.get(pod, set()) | self._queued.get(pod, {}).keys()
        self._queued[pod] = {}
        self._begun[pod] = set()
        self._waiting.pop(pod, None)
        self._count.pop(pod, None)
        for step in lost:
            if step not in sent:
                self._decide(step, now, self._allowed.pop(step, None))
        for step in sent:
            self._allowed.pop(step, None)
        return [step for step in lost if step in sent]

    # -- what to do ------------------------------------------------------------------------------------------------

    def hand_out(self, now: float) -> list[tuple[int, int]]:
        """Steps that go to their pods now: (step, pod), for each pod the longest chains first."""
        sent: list[tuple[int, int]] = []
        touched = sorted(self._touched)
        self._touched.clear()
        for pod in touched:
            if pod in self._count:
                self._fill(pod, now, sent)
        if self.steals:
            self._rob_all(touched, now, sent)
        return sent

    def _fill(self, pod: int, now: float, sent: list[tuple[int, int]]) -> None:
        waiting = self._waiting[pod]
        room = len(waiting)
        if self.ahead is not None:
            room = min(room, self.look.slots[pod] + self.ahead - len(self._begun[pod]) - len(self._queued[pod]))
        if room > 0:
            for _ in range(room):
                self._send(heapq.heappop(waiting)[2], pod, now, sent)
            self._less(pod, room)

    def _send(self, step: int, pod: int, now: float, sent: list[tuple[int, int]]) -> None:
        if self.note is not None:
            self.note(Sent(step, pod))
        sent.append((step, pod))
        self._queued[pod][step] = None
        self._begin(pod, now)

    def _begin(self, pod: int, now: float) -> None:
        """Of the steps that a pod has, so many as it has slots are taken to run."""
        begun, queued = self._begun[pod], self._queued[pod]
        while queued and len(begun) < self.look.slots[pod]:
            step = next(iter(queued))
            del queued[step]
            begun.add(step)
            self.look.started(step, now)

    # -- stealing --------------------------------------------------------------------------------------------------

    def _rob_all(self, touched: Iterable[int], now: float, sent: list[tuple[int, int]]) -> None:
        """Pods with an idle slot and nothing that waits for them look at what waits for others.

        Who found nothing looks again after a part of a mean step: estimates may have been wrong.
        """
        if self._hungry and now >= self._again:
            touched = sorted({*touched, *self._hungry})
            self._hungry.clear()
        begun, slots, count = self._begun, self.look.slots, self._count
        for pod in touched:
            if len(begun[pod]) < slots[pod] and not self._queued[pod]:
                if count:
                    self._rob(pod, now, sent)
                if len(begun[pod]) < slots[pod] and len(self._hungry) < _HUNGRY:
                    if not self._hungry:
                        self._again = now + _PATIENCE * self.look.seconds_mean
                    self._hungry.add(pod)

    def _rob(self, pod: int, now: float, sent: list[tuple[int, int]]) -> None:
        """A pod takes what waits for another, as long as that is better for the strategy's own objective."""
        while len(self._begun[pod]) < self.look.slots[pod] and pod not in self._count:
            found = self._loot(pod, now)
            if found is None:
                return
            _, step, cost, cost_there = found
            self._forget(step, self.look.placed[step])
            self.look.take_back(step, now)
            self.stolen += 1
            if self.note is not None:
                self.note(Stolen(step, pod, cost, cost_there))
            self.look.give(step, pod, now)
            self._send(step, pod, now, sent)

    def _loot(self, thief: int, now: float) -> tuple[float, int, float, float] | None:
        look, cost_of = self.look, self.strategy.cost
        best: tuple[float, int, float, float] | None = None
        for victim in self._victims(thief):
            expected = look.expected(victim, now)
            for _, _, step in heapq.nsmallest(_LOOT, self._waiting[victim]):
                allowed = self._allowed.get(step)
                if allowed is None or thief in allowed:
                    missing = look.missing(step, thief)
                    cost = cost_of(step, thief, look, look.finish(step, thief, now, missing), missing)
                    cost_there = cost_of(step, victim, look, expected[step], look.brought(step))
                    if cost < cost_there and (best is None or cost - cost_there < best[0]):
                        best = (cost - cost_there, step, cost, cost_there)
        return best

    def _victims(self, thief: int) -> list[int]:
        """Pods for which steps wait; of many, some that follow the thief's number."""
        pods = list(self._count)
        if len(pods) <= _VICTIMS:
            return pods
        start = (thief * 7919 + self._order) % len(pods)
        return [pods[(start + place) % len(pods)] for place in range(_VICTIMS)]
