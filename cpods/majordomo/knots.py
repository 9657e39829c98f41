"""Recalls, seeds and concludes knots: the solve cache, the state to start from, and what comes of an outcome.

Knows no pass: iterating is the core's.
"""

import os
from collections.abc import Mapping

import msgspec

from cpods.chefs.leftovers import is_feedback
from cpods.digest import ABSENT
from cpods.errors import UsageError
from cpods.events import Conclude, Concluded, Event, Recall, Settle, Solved
from cpods.graph.diagnose import diagnose
from cpods.graph.order import pass_order
from cpods.ids import FilePath, is_fact, is_outside
from cpods.majordomo.account import Reason
from cpods.majordomo.context import Build
from cpods.majordomo.lookup import writers_of
from cpods.majordomo.publish import Publisher, is_published, keep_last
from cpods.majordomo.settling import Settling
from cpods.model import Artefact, Moving, Output, Solution
from cpods.ports import KnotMemory

_SOURCE_BYTES_MAX = 1 << 20
_SOURCE_ENDINGS = (".tex", ".ltx", ".sty", ".cls")


class Knots:
    """The knots of one build."""

    def __init__(self, build: Build, settling: Settling) -> None:
        self._build = build
        self._parts = build.parts
        self._settling = settling
        self._publisher = Publisher(build.parts.folder, build.parts.objects, build.parts.memory, build.parts.ledger.intend)

    # -- in a federation -------------------------------------------------------------------------------------------

    async def far_recall(self, order: Recall) -> Event:
        """As :meth:`recall`, after asking what others know of this knot."""
        federation = self._parts.federation
        if federation is not None and not self._build.request.force:
            members = list(order.members)
            await federation.recollect([self._parts.keys.static(step) for step in members], [self._build.lookup.knot_key(members)])
        return self.recall(order)

    async def far_conclude(self, order: Conclude) -> Event:
        """As :meth:`conclude`, after bringing here what is published and what the diagnosis reads."""
        federation = self._parts.federation
        if federation is not None:
            solution = order.solution
            outputs = [output for _, output in solution.outputs if is_published(output.path)]
            if solution.verdict != "FIXED":
                outputs = [*(output for _, output in solution.outputs), *(output for state in solution.cycle for output in state)]
            await federation.bring(Artefact(output.version.digest, output.version.size) for output in outputs)
        return self.conclude(order)

    # -- recalling and seeding -------------------------------------------------------------------------------------

    def recall(self, order: Recall) -> Event:
        """A stored solution that fits, in the order of DESIGN.md section 5; else the state to start from."""
        build = self._build
        memory = self._parts.memory.knots.get(order.knot) or KnotMemory()
        seed = build.seeds[order.knot] = build.request.seed or ("warm" if memory.good or memory.unstable else "clean")
        if not build.request.force and build.request.publish:
            solution = self._stored(order, memory, seed)
            if solution is not None:
                return self._recalled(order, solution)
        recorded = memory.good.date if memory.good is not None and self._parts.calendar.fixed is None else None
        build.dates.setdefault(order.knot, recorded or self._parts.calendar.today())
        return self._seeded(order, memory, seed)

    def _stored(self, order: Recall, memory: KnotMemory, seed: str) -> Solution | None:
        hidden = self._build.scene.hidden()
        solution = self._build.lookup.good(order.members, memory, hidden) if seed == "warm" else None
        if solution is None and seed in ("warm", "clean"):
            solution = self._build.lookup.solution(order.members, hidden, seed == "clean", order.cap)
        return solution

    def _recalled(self, order: Recall, solution: Solution) -> Solved:
        untouched = solution.verdict != "FIXED" or self._publisher.stands(solution)
        steps = {step.name: step for step in (*order.members, *(helper for _, result in solution.last for helper in result.helpers))}
        overlay = {output.path: output.version for _, output in solution.outputs}
        for name, result in solution.last:
            insignificant = self._settling.insignificant(steps[name], result, Settle(steps[name], order.knot, overlay))
            self._build.account.settled(name, Reason("up_to_date" if untouched else "cached", (), insignificant))
            self._build.remember(name, result)
        return Solved(order.knot, solution, untouched=untouched)

    def _seeded(self, order: Recall, memory: KnotMemory, seed: str) -> Solved:
        """No solution fits: the state to iterate from."""
        if seed == "clean":
            return Solved(order.knot, None)
        if seed != "warm":
            return Solved(order.knot, None, seed=self._from_folder(order, seed))
        start = memory.unstable or memory.good
        if start is not None and all(self._parts.objects.has(output.version.digest) for _, output in start.outputs):
            return self._from_solution(order, start)
        return Solved(order.knot, None, seed=self._from_leftovers(order))

    def _from_solution(self, order: Recall, start: Solution) -> Solved:
        helpers = tuple((name, tuple(helper.name for helper in result.helpers)) for name, result in start.last if result.helpers)
        readers = [*order.members, *(helper for _, result in start.last for helper in result.helpers)]
        # What a step declared as its output then and does not now is no part of the state any more: a clean build lacks it too.
        closed = {step.name: step.outputs for step in order.members if not step.open_reads}
        # Nor is what a step made that was a member then and stands on its own now: it would hide what that step makes.
        writers = writers_of(order.members, start)
        kept = [(name, output) for name, output in start.outputs if name in writers and (name not in closed or output.path in closed[name])]
        seed = tuple((name, self._build.viewed(output, readers)) for name, output in kept)
        return Solved(order.knot, None, seed=seed, helpers=helpers)

    def _from_leftovers(self, order: Recall) -> tuple[tuple[str, Output], ...]:
        """The first time, a warm state is what an earlier tool left in the folder, or a file that a step starts from."""
        members = {step.name for step in order.members}
        wanted = {path: name for path, name in self._build.planned.leftovers.items() if name in members and is_feedback(path)}
        for step in order.members:
            wanted.update((path, step.name) for path in step.outputs if path in step.optional)
        return self._taken(order, self._parts.folder.root, wanted)

    def _from_folder(self, order: Recall, folder: str) -> tuple[tuple[str, Output], ...]:
        """All files below a folder that the user gave as seed."""
        found = (os.path.relpath(os.path.join(base, name), folder) for base, _, files in os.walk(folder) for name in files)
        return self._taken(order, folder, dict.fromkeys(found, order.members[0].name))

    def _taken(self, order: Recall, root: str, wanted: Mapping[FilePath, str]) -> tuple[tuple[str, Output], ...]:
        seed = []
        for path, name in sorted(wanted.items()):
            absolute = os.path.join(root, path)
            if os.path.isfile(absolute):
                artefact = self._parts.objects.put_file(absolute)
                seed.append((name, Output(path, self._parts.eyes.version(path, artefact, order.members))))
        return tuple(seed)

    # -- conclusions -----------------------------------------------------------------------------------------------

    def conclude(self, order: Conclude) -> Event:
        """Remembers an outcome and brings its files into the folder; sources that moved on meanwhile start it again."""
        solution = order.solution
        if not order.recalled:
            if self._moved(solution):
                return Concluded(order.knot, moved_on=True)
            solution = self._completed(order.knot, solution)
            if self._is_worth_storing(solution, order.knot):
                self._parts.results.add_solution(solution)
            self._forget_passes(order.knot, solution)
            self._note_seen(order.knot, solution)
            self._note_helpers(solution)
        self._build.core.solutions[order.knot] = solution
        if self._build.request.publish:
            try:
                self._publish(order, solution)
            except KeyError:
                self._build.incomplete.add(order.knot)
                return Concluded(order.knot, moved_on=True)
        return Concluded(order.knot)

    def _forget_passes(self, knot: str, solution: Solution) -> None:
        """Of a fixed point, what passes before the last made and nobody read (their PDFs) is not kept."""
        run = self._build.run_of(knot)
        if run is not None and solution.verdict == "FIXED":
            for digest in self._parts.objects.discard(run.superseded()):
                self._build.changes.artefacts.pop(digest, None)

    def _note_seen(self, knot: str, solution: Solution) -> None:
        """Notes what the filtered inputs of members are at the end: a later build compares with these, not with a pass's."""
        run = self._build.run_of(knot)
        overlay = {output.path: output.version for _, output in solution.outputs}
        for name, result in solution.last:
            if run is not None and name in run.steps:
                self._settling.insignificant(run.steps[name], result, Settle(run.steps[name], knot, overlay))

    def _note_helpers(self, solution: Solution) -> None:
        """Remembers of the helpers that a run asked for those that were taken: what others make is no work of theirs."""
        for name, result in solution.last:
            known = self._parts.memory.results.get(name)
            if known is not None and known.helpers != result.helpers:
                self._build.remember(name, msgspec.structs.replace(known, helpers=result.helpers))

    def _completed(self, knot: str, solution: Solution) -> Solution:
        """The outcome with its key, its seed, its date and its diagnosis."""
        members = [self._build.planned.steps[name] for name in solution.members]
        return msgspec.structs.replace(
            solution,
            key=self._build.lookup.knot_key(pass_order(members)),
            seed=self._build.seeds.get(knot, "clean"),
            date=self._build.dates.get(knot) or self._parts.calendar.today(),
            moving=self._moving(solution),
        )

    def _moved(self, solution: Solution) -> bool:
        """Whether a source was changed while the knot was iterated. Looks at every file again."""
        run = self._build.run_of(solution.members[0])
        if run is None:
            return False
        refresh = getattr(self._parts.folder, "refresh", self._parts.folder.digest)
        for path in {read.path for _, reads in solution.reads for read in reads if not is_fact(read.path)}:
            refresh(path)
        return any(True for _ in self._build.lookup.moved(solution, run.steps, self._build.scene.hidden()))

    def _is_worth_storing(self, solution: Solution, knot: str) -> bool:
        """Whether the outcome answers later builds: proofs from a clean seed, fixed points from a warm one (under that seed).

        A failure counts only if every tool that failed calls itself pure; one pass alone is no answer.
        """
        run = self._build.run_of(knot)
        if run is None or solution.verdict in (None, "NOSTART") or not solution.passes:
            return False
        if solution.verdict == "FAILED":
            results = dict(solution.last)
            if solution.tail is None or not all(name in results and run.steps[name].pure for name in solution.failed):
                return False
        return solution.seed == "clean" or (solution.seed == "warm" and solution.verdict == "FIXED")

    def _moving(self, solution: Solution) -> tuple[Moving, ...]:
        if solution.verdict == "FIXED":
            return ()
        try:
            cycle = [{output.path: self._parts.objects.read(output.version.digest) for output in state} for state in solution.cycle]
        except KeyError:
            return ()
        return diagnose(cycle, lambda: self._sources(solution))

    def _sources(self, solution: Solution) -> dict[FilePath, bytes]:
        found = {}
        for path in sorted({read.path for _, reads in solution.reads for read in reads if not read.absent}):
            if path.endswith(_SOURCE_ENDINGS) and not is_fact(path) and not is_outside(path):
                data = self._parts.folder.read(path)
                if data is not None and len(data) <= _SOURCE_BYTES_MAX:
                    found[path] = data
        return found

    def _publish(self, order: Conclude, solution: Solution) -> None:
        build = self._build
        memory = self._parts.memory.knots.get(order.knot) or KnotMemory()
        if order.publish:
            self._refuse_sources(solution)
            published, notes = self._publisher.publish(self._owners(solution), solution)
            for note in notes:
                build.account.note(note)
            for path, owned in published.items():
                if owned is None:
                    build.disown(path)
                else:
                    build.own(path, *owned)
        elif solution.outputs:
            build.last_folders[order.knot] = keep_last(self._parts.state, solution, self._parts.objects, self._parts.folder.root)
        if order.stable:
            memory = KnotMemory(good=solution)
        elif order.publish and solution.verdict is None:
            memory = KnotMemory(good=memory.good, unstable=solution)
        if self._parts.memory.knots.get(order.knot) != memory:
            self._parts.memory.knots[order.knot] = build.changes.knots[order.knot] = memory

    def _refuse_sources(self, solution: Solution) -> None:
        """Raises UsageError if a member wrote, unasked, over a file that cpods did not make."""
        planned, folder = self._build.planned, self._parts.folder
        members = [planned.steps[name] for name in solution.members]
        own = {path for step in members for path in step.outputs} | planned.leftovers.keys() | self._parts.memory.written.keys()
        for writer, output in () if self._build.request.force else solution.outputs:
            path = output.path
            if path in own or not is_published(path) or any(path.startswith(p) for step in members for p in step.may_write):
                continue
            if folder.digest(path) not in (ABSENT, output.version.digest):
                raise UsageError(
                    f"{path}: {writer} writes this file, but one that cpods did not make is there already; move it away, or call "
                    "`cpods rebuild --force`, which replaces it and keeps its content in the store"
                )

    def _owners(self, solution: Solution) -> dict[FilePath, str]:
        """The declared step that stands for the writer of each published file: of a helper, its engine."""
        planner = {helper.name: name for name, result in solution.last for helper in result.helpers}
        first = solution.members[0]

        def owner(name: str) -> str:
            for _ in range(len(planner)):  # a helper's own helpers belong to the same engine
                if name not in solution.members:
                    name = planner.get(name, first)
            return name if name in solution.members else first

        return {output.path: owner(writer) for writer, output in solution.outputs if is_published(output.path)}
