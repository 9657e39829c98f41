"""Finds stored results and solutions that fit what is there now, and says why others do not.

Knows no process; files are seen through Eyes alone.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

import msgspec

from cpods.chefs.debian import NOT_FOUND
from cpods.eyes import NOTHING, Eyes
from cpods.ids import FilePath, is_fact
from cpods.majordomo.keys import Calendar, Keys
from cpods.model import Read, Result, Solution, Step, Version
from cpods.ports import KnotMemory, Memory, Objects, Results, Workspace

Overlay = Mapping[FilePath, Version | None]


class Difference(msgspec.Struct, frozen=True):
    """One read that is not as it was: path, edge digest at the last run, edge digest now."""

    path: FilePath
    was: str
    now: str


class Found(msgspec.Struct, frozen=True):
    """A stored result that fits. ``last``: it is the one that the step had before."""

    result: Result
    last: bool


class Lookup:
    """Look-ups for one build."""

    def __init__(
        self, eyes: Eyes, keys: Keys, calendar: Calendar, memory: Memory, results: Results, objects: Objects, folder: Workspace
    ) -> None:
        self._eyes = eyes
        self._keys = keys
        self._calendar = calendar
        self._memory = memory
        self._results = results
        self._objects = objects
        self._folder = folder

    # -- results of steps ------------------------------------------------------------------------------------------

    def result(
        self, step: Step, overlay: Overlay, hidden: AbstractSet[FilePath], date: int | None, needed: AbstractSet[FilePath] | None
    ) -> Found | None:
        """A stored result of ``step`` whose reads all match. Its outputs must be in the store: all, or those in ``needed``.

        ``date`` None: a result of any day counts where the project's date is today's.
        """
        key = self._keys.static(step)
        last = self._memory.results.get(step.name)
        if last is not None and last.static_key == key and self._fits(step, last, overlay, hidden, date, needed):
            return Found(last, True)
        for result in reversed(self._results.results(key)):
            if self._fits(step, result, overlay, hidden, date, needed):
                return Found(msgspec.structs.replace(result, step=step.name), False)
        return None

    def _fits(
        self,
        step: Step,
        result: Result,
        overlay: Overlay,
        hidden: AbstractSet[FilePath],
        date: int | None,
        needed: AbstractSet[FilePath] | None,
    ) -> bool:
        if result.exit_code == NOT_FOUND or not self._calendar.fits(result.date, date):
            return False
        if any(True for _ in self.differences(step, result.reads, overlay, hidden)):
            return False
        wanted = None if needed is None else {read.path for read in result.reads} | needed
        return all(self._objects.has(output.version.digest) for output in result.outputs if wanted is None or output.path in wanted)

    def differences(
        self, step: Step, reads: Iterable[Read], overlay: Overlay = NOTHING, hidden: AbstractSet[FilePath] = frozenset()
    ) -> Iterable[Difference]:
        """The reads that are not as recorded."""
        for read in reads:
            now = self._eyes.edge(step, read.path, overlay, hidden)
            if now != read.digest:
                yield Difference(read.path, read.digest, now)

    def stands(self, result: Result) -> bool:
        """Whether all outputs of a result stand in the project folder."""
        return all(self._folder.digest(output.path) == output.version.digest for output in result.outputs)

    # -- solutions of knots ----------------------------------------------------------------------------------------

    def knot_key(self, members: Iterable[Step]) -> str:
        """The static key of a knot."""
        return self._keys.solution(list(members))

    def good(
        self, members: Iterable[Step], memory: KnotMemory | None, hidden: AbstractSet[FilePath], overlay: Overlay = NOTHING
    ) -> Solution | None:
        """The last good solution if no member is stale in the present state."""
        steps = list(members)
        good = memory.good if memory is not None else None
        if good is None or good.key != self.knot_key(steps) or not self.fits(steps, good, hidden, overlay):
            return None
        return good

    def solution(
        self, members: Iterable[Step], hidden: AbstractSet[FilePath], only_clean: bool, cap: int, overlay: Overlay = NOTHING
    ) -> Solution | None:
        """A stored solution that fits; those from a clean seed first. One that diverged under a smaller cap is no answer."""
        steps = list(members)
        stored = list(reversed(self._results.solutions(self.knot_key(steps))))
        clean = [solution for solution in stored if solution.seed == "clean"]
        for solution in clean if only_clean else [*clean, *(s for s in stored if s.seed != "clean" and s.verdict == "FIXED")]:
            if solution.verdict == "DIVERGES" and solution.cap < cap:
                continue
            if solution.verdict != "DIVERGES" and solution.passes > cap:
                continue
            if self.fits(steps, solution, hidden, overlay):
                return solution
        return None

    def fits(self, members: list[Step], solution: Solution, hidden: AbstractSet[FilePath], overlay: Overlay = NOTHING) -> bool:
        """Whether all that a solution read from outside is there now, its tools are the same, and its files are stored."""
        if not self._calendar.fits(solution.date, None):
            return False
        steps = {step.name: step for step in members}
        for result in dict(solution.last).values():
            steps.update((helper.name, helper) for helper in result.helpers if helper.name not in steps)
        for name, result in solution.last:
            if name not in steps or self._keys.static(steps[name]) != result.static_key or result.exit_code == NOT_FOUND:
                return False
        if not writers_of(members, solution).issuperset(writer for writer, _ in solution.outputs):
            return False  # what a step made that is no member now is no part of it
        if any(True for _ in self.moved(solution, steps, hidden, overlay)):
            return False
        return all(self._objects.has(output.version.digest) for _, output in solution.outputs)

    def moved(
        self, solution: Solution, steps: Mapping[str, Step], hidden: AbstractSet[FilePath], overlay: Overlay = NOTHING
    ) -> Iterable[Difference]:
        """Reads from outside that are not as a solution recorded them.

        A helper that was dropped on the way is no step any more: what it read must be the same to the byte.
        """
        for name, reads in solution.reads:
            if name in steps:
                yield from self.differences(steps[name], reads, overlay, hidden)
            else:
                for read in reads:
                    now = read.digest if is_fact(read.path) else self._eyes.raw(read.path, overlay, hidden)
                    if now != read.digest:
                        yield Difference(read.path, read.digest, now)


def writers_of(members: Iterable[Step], solution: Solution) -> set[str]:
    """Names of the steps whose outputs belong to a knot's state: its members, what runs ahead of them, and their helpers."""
    names = {name for step in members for name in (step.name, *(ahead.name for ahead in step.ahead))}
    return names | {helper.name for _, result in solution.last for helper in result.helpers}
