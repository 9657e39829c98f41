"""Looks at every step as a build would, but runs nothing and touches nothing: what is current, what would run and why.

Knows no terminal; which step waits for which is the walk's of graph/stale.py.
"""

from collections.abc import Mapping

from cpods.digest import ABSENT
from cpods.graph.condense import components
from cpods.graph.order import pass_order
from cpods.graph.stale import Change, Finding, Look, Part, stuck, walk
from cpods.ids import FilePath, is_fact
from cpods.majordomo.context import Build
from cpods.majordomo.lookup import Difference
from cpods.majordomo.publish import Publisher, is_published
from cpods.majordomo.scene import Scene
from cpods.model import Result, Solution, Step, Version
from cpods.ports import KnotMemory
from cpods.scheduler.conclusion import pass_limit
from cpods.synctex import ENDINGS as SYNCTEX_ENDINGS

#: So many members of a circle that cannot start are named, unless they are all that wait for each other.
_WAITING_SHOWN = 3


def examine(build: Build) -> dict[str, Finding]:
    """By step (helpers too): what a build of ``build``'s goals would do with it now. The build must not have been started."""
    knowledge = build.core.knowledge
    steps = knowledge.regraph(build.planned.goals)
    rank = {name: knowledge.rank[name] for name in steps}
    parts = components(knowledge.graph.joined(), rank)
    needs: dict[str, set[str]] = {name: set() for name in steps}
    for maker, readers in knowledge.graph.hard.items():
        for reader in readers:
            needs[reader].add(maker)
    return walk(parts, needs, Inspector(build).look)


class Inspector:
    """Looks at the components of one build, in order. ``_overlay``: what would come from the store by then."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._parts = build.parts
        self._done: set[str] = set()
        self._overlay: dict[FilePath, Version | None] = {}
        self._scene = Scene(build.parts.folder, build.parts.memory, build.planned, lambda: self._done)
        self._publisher = Publisher(build.parts.folder, build.parts.objects, build.parts.memory, lambda knot, files: None)

    def look(self, part: Part) -> Mapping[str, Look]:
        """What the steps of a component find by themselves; those of a knot with their helpers."""
        steps = [self._build.planned.steps[name] for name in part]
        lacking = self._lacking(steps)
        if lacking:
            found: Mapping[str, Look] = {step.name: Look("lacking", text=lacking) for step in steps}
        elif len(steps) > 1 or steps[0].always_mirror or self._build.core.knowledge.reads_own_writes(part[0]):
            found = self._knot(steps)
        else:
            found = {part[0]: self._plain(steps[0])}
        self._done.update(part)
        return found

    def _lacking(self, steps: list[Step]) -> str:
        for step in steps:
            for path in step.inputs:
                if (
                    path not in self._overlay
                    and self._parts.folder.digest(path) == ABSENT
                    and not self._build.core.knowledge.graph.maker.get(path)
                ):
                    return f"{step.name} needs {path}, which is not there and which no step makes"
        return ""

    # -- plain steps -----------------------------------------------------------------------------------------------

    def _plain(self, step: Step) -> Look:
        if self._build.request.force:
            return Look("stale", text="--force")
        found = self._build.lookup.result(step, self._overlay, frozenset(), None, None)
        if found is None:
            return self._stale(step, self._parts.memory.results.get(step.name), self._overlay, frozenset())
        result = found.result
        if not result.usable:
            return Look("failed", text="it failed before with the same inputs")
        unseen = self._unseen(step, result, self._overlay, frozenset())
        if self._build.lookup.stands(result):
            return Look("current", insignificant=unseen)
        self._overlay.update((output.path, output.version) for output in result.outputs)
        return Look("from_store", insignificant=unseen, text=self._not_standing({o.path: o.version.digest for o in result.outputs}))

    def _stale(self, step: Step, last: Result | None, overlay: Mapping[FilePath, Version | None], hidden: frozenset[FilePath]) -> Look:
        """Why no stored result fits a plain step."""
        if last is None:
            return Look("stale", text="it has no result here yet")
        if last.static_key != self._parts.keys.static(step):
            return Look("stale", self._changes(step, last, overlay, hidden), text="its command, tools or environment changed")
        changes = self._changes(step, last, overlay, hidden)
        if changes:
            return Look("stale", changes)
        if not self._parts.calendar.fits(last.date, None):
            return Look("stale", text="the date that tools are told is another one")
        return Look("stale", text="what it made is no longer in the store")

    def _not_standing(self, wanted: Mapping[FilePath, str]) -> str:
        """Which of the wanted outputs are not what stands in the folder, in words."""
        gone = [path for path, digest in wanted.items() if self._parts.folder.digest(path) == ABSENT]
        other = [path for path, digest in wanted.items() if path not in gone and self._parts.folder.digest(path) != digest]
        parts = [f"{_few(gone)} {'is' if len(gone) == 1 else 'are'} not there"] if gone else []
        return "; ".join([*parts, f"another {_few(other)} stands there"] if other else parts)

    # -- knots -----------------------------------------------------------------------------------------------------

    def _circle(self, steps: list[Step]) -> dict[str, FilePath]:
        """Members that wait for each other and can never start."""
        part = {step.name for step in steps}
        maker = self._build.core.knowledge.graph.maker

        def is_there(path: FilePath) -> bool:
            made = maker.get(path, ())
            return any(name not in part for name in made) if made else self._scene.present(path)

        return stuck(steps, is_there)

    def _told(self, steps: list[Step], circle: dict[str, FilePath]) -> list[tuple[str, FilePath]]:
        """Of members that can never start a few that wait for each other, each with the input that it waits for."""
        if len(circle) <= _WAITING_SHOWN:
            return list(circle.items())
        from cpods.graph.shortest import in_circle

        maker = self._build.core.knowledge.graph.maker
        waiting = [step for step in steps if step.name in circle]
        needs = [(step.name, path, [name for name in maker.get(path, ()) if name in circle]) for step in waiting for path in step.inputs]
        return [(name, path) for name, path, _ in in_circle([need for need in needs if need[2]])]

    def _knot(self, steps: list[Step]) -> dict[str, Look]:
        members = pass_order(steps)
        memory = self._parts.memory.knots.get(steps[0].name) or KnotMemory()
        circle = self._circle(steps) if memory == KnotMemory() else {}
        if circle:
            text = "a circle that cannot start: " + "; ".join(f"{name} needs {path}" for name, path in self._told(steps, circle))
            return {step.name: Look("lacking", text=text) for step in steps}
        hidden = self._scene.hidden()
        if self._build.request.force:
            return {step.name: Look("stale", text="--force") for step in self._with_helpers(members, memory.good)}
        solution = self._stored(members, memory, hidden)
        if solution is None:
            return self._moved(members, memory, hidden)
        present = self._with_helpers(members, solution)
        if solution.verdict != "FIXED":
            text = _no_rest(solution)
            return {step.name: Look("failed", text=text) for step in present}
        own = {output.path: output.version for _, output in solution.outputs}
        overlay = {**self._overlay, **own}
        last = dict(solution.last)
        unseen = {step.name: self._unseen(step, last[step.name], overlay, hidden) for step in present if step.name in last}
        if self._publisher.stands(solution):
            return {step.name: Look("current", insignificant=unseen.get(step.name, ())) for step in present}
        self._overlay.update(own)
        text = self._not_standing(published(solution))
        return {step.name: Look("from_store", insignificant=unseen.get(step.name, ()), text=text) for step in present}

    def _stored(self, members: list[Step], memory: KnotMemory, hidden: frozenset[FilePath]) -> Solution | None:
        """The solution that a build would recall, as Knots.recall finds it."""
        seed = self._build.request.seed or ("warm" if memory.good or memory.unstable else "clean")
        solution = self._build.lookup.good(members, memory, hidden, self._overlay) if seed == "warm" else None
        if solution is None and seed in ("warm", "clean"):
            cap = pass_limit(members, self._build.request.options.passes_max)
            solution = self._build.lookup.solution(members, hidden, seed == "clean", cap, self._overlay)
        return solution

    def _moved(self, members: list[Step], memory: KnotMemory, hidden: frozenset[FilePath]) -> dict[str, Look]:
        """No solution fits: which members are stale in the last known state."""
        start = memory.unstable or memory.good
        state = {output.path: output.version for _, output in start.outputs} if start is not None else {}
        overlay = {**self._overlay, **state}
        last = {**self._parts.memory.results, **(dict(start.last) if start is not None else {})}
        looks = {}
        for step in self._with_helpers(members, start):
            result = last.get(step.name)
            seen = self._stale(step, result, overlay, hidden)
            is_moved = bool(seen.changes) or result is None or result.static_key != self._parts.keys.static(step)
            looks[step.name] = (
                seen if is_moved else Look("current", insignificant=self._unseen(step, result, overlay, hidden) if result else ())
            )
        if all(seen.state == "current" for seen in looks.values()):
            text = "its last state cannot be used: the date, a policy or a limit is another one, or the store lacks a file of it"
            looks = {name: Look("stale", text=text) for name in looks}
        return looks

    def _with_helpers(self, members: list[Step], solution: Solution | None) -> list[Step]:
        """Members, each with the helpers that its last run asked for right behind it."""
        last = dict(solution.last) if solution is not None else {}
        found = []
        for step in members:
            result = last.get(step.name) or self._parts.memory.results.get(step.name)
            found += [step, *(sorted(result.helpers, key=lambda helper: (helper.position, helper.name)) if result is not None else ())]
        return found

    # -- both ------------------------------------------------------------------------------------------------------

    def _changes(
        self, step: Step, last: Result, overlay: Mapping[FilePath, Version | None], hidden: frozenset[FilePath]
    ) -> tuple[Change, ...]:
        return tuple(as_change(found) for found in self._build.lookup.differences(step, last.reads, overlay, hidden))

    def _unseen(
        self, step: Step, result: Result, overlay: Mapping[FilePath, Version | None], hidden: frozenset[FilePath]
    ) -> tuple[Change, ...]:
        """Inputs whose bytes changed since the last build, but not in what the step reads. Settling writes the old ones down."""
        changed = []
        for read in result.reads:
            if is_fact(read.path) or not self._parts.eyes.filter_for(step, read.path):
                continue
            now = self._parts.eyes.raw(read.path, overlay, hidden)
            was = self._parts.memory.facts.get(f"raw:{step.name}:{read.path}")
            if was is not None and was != now:
                changed.append(Change(read.path, was, now))
        return tuple(changed)


def published(solution: Solution) -> dict[FilePath, str]:
    """Digests by path of what a solution brings into the folder, but for SyncTeX files, which differ from folder to folder."""
    return {o.path: o.version.digest for _, o in solution.outputs if is_published(o.path) and not o.path.endswith(SYNCTEX_ENDINGS)}


def as_change(difference: Difference) -> Change:
    """A difference that the look-up found, as the walk has it."""
    return Change(difference.path, difference.was, difference.now)


def _no_rest(solution: Solution) -> str:
    """Why a build recalls an answer that is no fixed point."""
    if solution.verdict == "PERIOD":
        return f"it is proven that this knot does not come to rest (PERIOD), period {solution.period}, so a build runs nothing"
    if solution.verdict == "DIVERGES":
        return f"this knot did not settle within {solution.passes} passes (DIVERGES), so a build runs nothing"
    return f"{', '.join(solution.failed) or 'a step of its knot'} failed before with the same inputs"


def _few(paths: list[FilePath]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
