"""Which units there are and which of them may start now.

Knows the graph and the units' states; does not know what settling a step means.
"""

import heapq
from collections.abc import Mapping, Sequence

from cpods.graph.build import StepGraph
from cpods.graph.condense import components
from cpods.model import Step
from cpods.scheduler.knowledge import Knowledge
from cpods.scheduler.states import Status, Unit


class Units:
    """The units of a build, regrouped whenever the graph changes. A unit whose members stay the same stays the same."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self.by_name: dict[str, Unit] = {}
        self._of_step: dict[str, Unit] = {}
        self._idle: dict[str, Unit] = {}
        self._hard: dict[str, set[str]] = {}
        self._waits: dict[str, int] = {}
        self._followers: dict[str, set[str]] = {}
        self._heap: list[tuple[int, str]] = []
        #: Steps that came to a bad end in this build: nothing is presumed of what only they could pass on.
        self._barren: set[str] = set()

    def of_step(self, step: str) -> Unit | None:
        """The unit of a declared step; None if no goal needs it."""
        return self._of_step.get(step)

    def all(self) -> list[Unit]:
        """All units, by their first step's place in the project file."""
        return sorted(self.by_name.values(), key=lambda unit: self._knowledge.rank[unit.name])

    def standing(self) -> list[Unit]:
        """Units that are done, with those that no goal is known to need at present: a helper may yet ask for what they made."""
        return [unit for unit in (*self.by_name.values(), *self._idle.values()) if unit.status is Status.DONE]

    def regroup(self, steps: Mapping[str, Step]) -> None:
        """Groups the needed steps anew; units that may have seen something unfinished start again."""
        graph = self._knowledge.graph
        rank = {name: self._knowledge.rank[name] for name in steps}
        graph = self._without_barren(graph)
        parts = components(graph.joined(), rank)
        old = self._idle | self.by_name
        self.by_name = {}
        self._of_step = {}
        for part in parts:
            unit = self._unit(part, steps, old.get(part[0]))
            self.by_name[unit.name] = unit
            self._of_step.update(dict.fromkeys(part, unit))
        self._idle = {
            name: unit for name, unit in old.items() if unit.status is Status.DONE and self._of_step.keys().isdisjoint(unit.members)
        }
        self._link(graph, parts)
        self._reset_early_starters(parts)
        self._count_waits(parts)

    def give_up(self, unit: Unit) -> None:
        """The unit came to a bad end: from now on a presumption neither groups its steps nor those that need them."""
        self._barren.update(unit.members)

    def _without_barren(self, graph: StepGraph) -> StepGraph:
        """The graph without presumptions that start at a barren step, or at one that needs a barren step and so cannot run.

        A presumption groups an engine that never ran with its surroundings; it must not hold it back with what failed there.
        """
        if not graph.soft or not self._barren:
            return graph
        blocked: set[str] = set()
        todo = [name for name in graph.hard if name in self._barren]
        while todo:
            name = todo.pop()
            if name not in blocked:
                blocked.add(name)
                todo.extend(graph.hard.get(name, ()))
        soft = {maker: readers for maker, readers in graph.soft.items() if maker not in blocked}
        return StepGraph(hard=graph.hard, soft=soft, maker=graph.maker)

    def _unit(self, part: tuple[str, ...], steps: Mapping[str, Step], old: Unit | None) -> Unit:
        mirrored = len(part) > 1 or steps[part[0]].always_mirror or self._knowledge.reads_own_writes(part[0])
        if old is not None and old.members == part and old.mirrored == mirrored:
            return old
        return Unit(part, mirrored)

    def _link(self, graph: StepGraph, parts: Sequence[tuple[str, ...]]) -> None:
        self._hard = {part[0]: set() for part in parts}
        self._followers = {part[0]: set() for part in parts}
        for edges, is_hard in ((graph.hard, True), (graph.soft, False)):
            for maker, readers in edges.items():
                for reader in readers:
                    a, b = self._of_step[maker].name, self._of_step[reader].name
                    if a != b:
                        self._followers[a].add(b)
                        if is_hard:
                            self._hard[b].add(a)

    def _reset_early_starters(self, parts: Sequence[tuple[str, ...]]) -> None:
        """A unit that started before one that it depends on had finished may have seen old files."""
        for part in parts:
            unit = self.by_name[part[0]]
            if unit.status is Status.BLOCKED:
                unit.status = Status.WAITING
            if unit.status is Status.WAITING:
                continue
            before = [self.by_name[name] for name in self._hard[unit.name]]
            if any(other.status is not Status.DONE or other.finished > unit.started for other in before):
                unit.reset()

    def _count_waits(self, parts: Sequence[tuple[str, ...]]) -> None:
        self._waits = dict.fromkeys(self.by_name, 0)
        self._heap = []
        for part in parts:  # in topological order, so that what is blocked is known before its followers are looked at
            unit = self.by_name[part[0]]
            if unit.status is Status.WAITING and any(self.by_name[name].status.is_dead_end for name in self._hard[unit.name]):
                unit.status = Status.BLOCKED
            if unit.status.is_open:
                for follower in self._followers[unit.name]:
                    self._waits[follower] += 1
            self._offer(unit)

    def _offer(self, unit: Unit) -> None:
        if unit.status is Status.WAITING and not self._waits[unit.name]:
            heapq.heappush(self._heap, (self._knowledge.rank[unit.name], unit.name))

    def offer_again(self, unit: Unit) -> None:
        """A unit that was popped could not start after all; it stays ready."""
        self._offer(unit)

    def release(self, unit: Unit) -> None:
        """The unit is open no more: those that waited for it become ready, or blocked if they need what it did not make."""
        todo = [unit]
        while todo:
            gone = todo.pop()
            for name in sorted(self._followers.get(gone.name, ()), key=self._knowledge.rank.__getitem__):
                follower = self.by_name[name]
                self._waits[name] -= 1
                if follower.status is Status.WAITING and gone.name in self._hard[name] and gone.status.is_dead_end:
                    follower.status = Status.BLOCKED
                    todo.append(follower)
                else:
                    self._offer(follower)

    def pop_ready(self) -> Unit | None:
        """The ready unit that comes first in the project file, if any."""
        while self._heap:
            unit = self.by_name[heapq.heappop(self._heap)[1]]
            if unit.status is Status.WAITING:
                return unit
        return None

    def blockers(self, unit: Unit) -> list[Unit]:
        """Units that this one depends on and that are not done."""
        names = sorted(self._hard[unit.name], key=self._knowledge.rank.__getitem__)
        return [self.by_name[name] for name in names if self.by_name[name].status is not Status.DONE]
