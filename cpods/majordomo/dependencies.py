"""Gathers what `cpods deps` tells: the steps that a goal stands for, and what their last runs read, missed and wrote.

Knows no format, runs nothing and looks into no file but the package trees' listings.
"""

import os
import posixpath
from collections.abc import Iterable, Sequence

from cpods.chefs.texsystem import tree_names
from cpods.digest import ABSENT
from cpods.errors import UsageError
from cpods.graph.condense import components
from cpods.graph.dependencies import Dependencies, File, Missed, Tool
from cpods.graph.order import pass_order
from cpods.ids import GLOB_FACT, FilePath, is_fact, is_outside
from cpods.majordomo.context import Build
from cpods.majordomo.picture import helpers
from cpods.majordomo.publish import is_published
from cpods.model import Read, Result, Solution, Step

#: Looked for wherever a font is used; few fonts are one.
_FONT_KINDS = (".vf", ".ofm", ".ovf")
#: Looked for before ``.lua``.
_LUA_KINDS = (".luatex", ".luc", ".luctex", ".texlua", ".texluc", ".tlu")


class Gathering:
    """Questions to a build's memory. ``steps``: all that are known, helpers included."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._results = build.parts.memory.results
        self.steps: dict[str, Step] = {}
        self._solutions: dict[str, Solution | None] = {}
        for name, step in build.planned.steps.items():
            self.steps[name] = step
            self._add_helpers(name)
        self._maker = self._makers()
        self._installed: frozenset[bytes] | None = None

    def _add_helpers(self, name: str) -> None:
        for helper in helpers(self._build, name):
            if helper.name not in self.steps:
                self.steps[helper.name] = helper
                self._add_helpers(helper.name)

    def _makers(self) -> dict[FilePath, str]:
        """Who wrote each path last: by the states of knots (a pass before the last one may have), then by the last results.

        A helper comes before its engine, since the file is the helper's own.
        """
        memory = self._build.parts.memory
        found = {path: written.step for path, written in memory.written.items() if written.step in self.steps}
        states = [state for knot in memory.knots.values() for state in (knot.good, knot.unstable) if state is not None]
        found.update((output.path, writer) for state in states for writer, output in state.outputs if writer in self.steps)
        for name in sorted(self.steps, key=lambda name: self.steps[name].planner is not None):
            result = self._results.get(name)
            found.update((path, name) for path in self.steps[name].outputs)
            found.update((output.path, name) for output in (result.outputs if result is not None else ()))
        return found

    def of(self, goal: str, named: str) -> Dependencies:
        """All of the goal that the user named, which means this step. Raises UsageError if it never ran here."""
        group = self._group(named, whole=goal != named)
        if named not in self._results:
            raise UsageError(f"{goal} was never built here: `cpods rebuild {goal}`, then ask again")
        names = [name for name in group if name in self._results]
        solution = self._solution(names[0])
        return Dependencies(
            goal=goal,
            targets=self._targets(goal, named, group),
            tools=tuple(self._tool(name) for name in names),
            sources=self._sources(names),
            verdict=solution.verdict if solution is not None else None,
            passes=solution.passes if solution is not None else None,
        )

    def _group(self, named: str, whole: bool) -> list[str]:
        """The step with its helpers; of a document named by a file (``whole``) all steps of its declaration."""
        step = self.steps[named]
        beside = [other for other in self._build.planned.steps.values() if other.position[0] == step.position[0]]
        if whole and any(other.main for other in beside):
            return [name for name in self.steps if self.steps[name].position[0] == step.position[0]]
        if named not in self._build.planned.steps:
            return [named]
        return [name for name in self.steps if name == named or self._engine_of(name) == named]

    def _engine_of(self, name: str) -> str:
        """The declared step behind a helper (of a helper)."""
        while name not in self._build.planned.steps and (planner := self.steps[name].planner) in self.steps:
            name = planner
        return name

    def _targets(self, goal: str, named: str, group: Sequence[str]) -> tuple[FilePath, ...]:
        """The file that was named, if a step makes it; else what the step declares (of a document: its product)."""
        if goal in self._maker:
            return (goal,)
        declared = [name for name in group if name in self._build.planned.steps]
        outputs = self.steps[declared[-1] if goal != named and declared else named].outputs
        result = self._results[named]
        return outputs or tuple(output.path for output in result.outputs)

    def _tool(self, name: str) -> Tool:
        step, result, solution = self.steps[name], self._results[name], self._solution(name)
        passes = dict(solution.settled).get(name, ()) if solution is not None else ()
        now = {read.path for read in result.reads}
        before = [read for read in _on_the_way(name, solution) if read.path not in now]
        seen = [(read, False) for read in result.reads] + [(read, True) for read in before]
        reads = [self._file(read, earlier) for read, earlier in seen if not read.absent and _is_told(read.path)]
        names = frozenset(read.path for read, _ in seen)
        missed = [Missed(read.path, self._is_aside(read.path, names), earlier) for read, earlier in seen if read.absent]
        return Tool(
            step=name,
            tool=step.tool,
            helper_of=step.planner,
            passes=passes,
            total=solution.passes if solution is not None else None,
            reads=tuple(sorted(reads, key=_place)),
            missed=tuple(sorted(missed, key=lambda missed: missed.path)),
            writes=tuple(sorted({output.path for output in result.outputs})),
        )

    def _file(self, read: Read, earlier: bool) -> File:
        path = read.path
        if path.startswith(GLOB_FACT):
            return File(path[len(GLOB_FACT) :], "listing", earlier=earlier)
        there = self._build.parts.folder.digest(path) != ABSENT or not is_published(path)
        if path in self._maker:
            return File(path, "generated", self._maker[path], earlier, there)
        return File(path, "outside" if is_outside(path) else "source", earlier=earlier, there=there)

    def _is_aside(self, path: FilePath, names: frozenset[FilePath]) -> bool:
        """Whether a missed name was only tried on the way to another one. ``names``: all that the step read or missed."""
        stem, ending = posixpath.splitext(path)
        if ending in _FONT_KINDS or (ending in _LUA_KINDS and self._is_installed(stem + ".lua")):
            return True
        if posixpath.basename(stem) == "lua" and self._is_installed(posixpath.dirname(stem) + ".lua"):
            return True  # of a module X, X/lua.lua is looked for, too
        if any(map(self._is_installed, (path, path.lower(), *(path + added for added in (".tex", ".otf"))))):
            return True
        return "." in posixpath.basename(stem).lstrip(".") and (stem in names or self._is_installed(stem))

    def _is_installed(self, path: FilePath) -> bool:
        """Whether a TeX tree has a file of this name."""
        if self._installed is None:
            self._installed = tree_names(self._build.parts.folder.read)
        return os.fsencode(posixpath.basename(path)) in self._installed

    # -- where it stands -------------------------------------------------------------------------------------------

    def _solution(self, name: str) -> Solution | None:
        """The iteration that the last result of a step (of a helper's engine) is from, if it is known."""
        engine = self._engine_of(name)
        if engine not in self._solutions:
            self._solutions[engine] = self._find_solution(engine)
        return self._solutions[engine]

    def _find_solution(self, engine: str) -> Solution | None:
        result = self._results.get(engine)
        for memory in self._build.parts.memory.knots.values():
            for solution in (memory.unstable, memory.good):
                if solution is not None and _is_of(solution, engine, result):
                    return solution
        members = self._members(engine)
        stored = self._build.parts.results.solutions(self._build.lookup.knot_key(pass_order(members))) if members else ()
        return next((solution for solution in reversed(stored) if _is_of(solution, engine, result)), None)

    def _members(self, engine: str) -> list[Step]:
        """The declared steps of the knot that a step belongs to, none if it runs in the project folder."""
        knowledge = self._build.core.knowledge
        declared = knowledge.regraph(self._build.planned.goals)
        if engine not in declared:
            return []
        parts = components(knowledge.graph.joined(), {name: knowledge.rank[name] for name in declared})
        return [self.steps[name] for name in next(part for part in parts if engine in part)]

    def _sources(self, names: Iterable[str]) -> tuple[FilePath, ...]:
        """What these steps rest on, through all steps that make what they read: files that no step makes and that are there.

        Main files come first.
        """
        waiting, seen = list(names), set(names)
        found: set[FilePath] = set()
        while waiting:
            reads = self._all_reads(waiting.pop(0))
            found |= {read.path for read in reads if self._is_source(read)}
            makers = {self._maker[read.path] for read in reads if not read.absent and read.path in self._maker}
            waiting += sorted(makers - seen)
            seen |= makers
        mains = {main for name in seen if (main := self.steps[name].main) in found}
        return (*sorted(mains), *sorted(found - mains))

    def _all_reads(self, name: str) -> list[Read]:
        """What a step read in its last run and on the way there; with what helpers read that were dropped on that way."""
        result, solution = self._results.get(name), self._solution(name)
        reads = [*(result.reads if result is not None else ()), *_on_the_way(name, solution)]
        dropped = solution.reads if solution is not None and name in solution.members else ()
        return [*reads, *(read for other, its_reads in dropped if other not in self.steps for read in its_reads)]

    def _is_source(self, read: Read) -> bool:
        """Whether a read is of a file that no step makes and that is there now."""
        if read.absent or is_fact(read.path) or read.path in self._maker:
            return False
        return self._build.parts.folder.digest(read.path) != ABSENT


def _on_the_way(name: str, solution: Solution | None) -> tuple[Read, ...]:
    """What a step read from outside of its knot, over all passes."""
    return dict(solution.reads).get(name, ()) if solution is not None else ()


def _is_of(solution: Solution, step: str, result: Result | None) -> bool:
    """Whether a step's result is the one that an iteration ended in."""
    last = dict(solution.last).get(step)
    return last is not None and result is not None and last.static_key == result.static_key and _made(last) == _made(result)


def _made(result: Result) -> list[tuple[FilePath, str]]:
    return [(output.path, output.version.digest) for output in result.outputs]


def _is_told(path: FilePath) -> bool:
    """Whether a read is a file, or the listing of a pattern."""
    return not is_fact(path) or path.startswith(GLOB_FACT)


def _place(file: File) -> tuple[int, FilePath]:
    """Sources first, then what steps made, then the rest; by path."""
    return ("source", "generated", "outside", "listing").index(file.kind), file.path
