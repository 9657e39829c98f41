"""Iterates one knot to a fixed point, or proves that it has none on its way: DESIGN.md section 5.

Knows no file and no process: it names the step to settle next and takes that step's result. Every step is keyed by
exactly what it reads, so that one pass is a pure function of the state, and a state that comes back proves a period.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from cpods.digest import ABSENT
from cpods.graph.order import pass_order
from cpods.ids import FilePath
from cpods.model import Output, Read, Result, Step, Verdict, Version

FilterFor = Callable[[Step, FilePath], str]
Overlay = dict[FilePath, Version | None]


class Outcome(msgspec.Struct, frozen=True):
    """How a knot ended. ``verdict`` None: one pass was asked for and it is not at rest.

    ``at`` is the number of the snapshot to publish; ``tail``, ``period`` in passes; ``waiting`` names steps whose
    required inputs never came; ``failed`` the steps whose last run (at rest, or in the cycle) failed.
    """

    verdict: Verdict | None
    passes: int
    tail: int | None = None
    period: int | None = None
    waiting: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class Snapshot(msgspec.Struct, frozen=True):
    """All files written by members, after a pass, with the steps whose last run failed."""

    files: Mapping[FilePath, Version | None]
    failing: tuple[str, ...]


class KnotRun:
    """One way from a seed to an outcome. Call :meth:`next`, settle that step, :meth:`accept` its result; repeat.

    ``seed``: files that members wrote before, with their writers. ``external``: whether a file is there that no member
    writes. ``limit``: passes after which a state that is still new counts as divergence. ``once``: one pass only.
    """

    def __init__(
        self,
        members: Sequence[Step],
        filter_for: FilterFor,
        external: Callable[[FilePath], bool],
        seed: Sequence[tuple[str, Output]] = (),
        helpers: Mapping[str, Collection[str]] | None = None,
        limit: int = 100,
        once: bool = False,
    ) -> None:
        self._declared = list(members)
        self._filter_for = filter_for
        self._external = external
        self.limit = limit
        self._once = once
        self.overlay: Overlay = {output.path: output.version for _, output in seed}
        self.writer: dict[FilePath, str] = {output.path: name for name, output in seed}
        self._planned: dict[str, set[str]] = {name: set(names) for name, names in (helpers or {}).items()}
        self.steps: dict[str, Step] = {step.name: step for step in members}
        self.last: dict[str, Result] = {}
        self.reads: dict[str, dict[FilePath, str]] = {}
        self._made: dict[FilePath, set[str]] = {}
        self.snapshots: list[Snapshot] = [Snapshot(dict(self.overlay), ())]
        self._order: list[str] = []
        self._handled: set[str] = set()
        self._ran_now = False
        #: A file from outside changed between two runs of a step: this way is a function of no one state of the sources.
        self.torn = False
        self.outcome: Outcome | None = None
        self._begin_pass()

    # -- what to do next -------------------------------------------------------------------------------------------

    @property
    def pass_number(self) -> int:
        """The pass under way, counted from 1."""
        return len(self.snapshots)

    def next(self) -> Step | None:
        """The step to settle now; None when the knot has an :attr:`outcome`. The same answer until it is accepted."""
        while self.outcome is None:
            step = self._next_in_pass()
            if step is not None:
                return step
            self._end_pass()
        return None

    def _next_in_pass(self) -> Step | None:
        for name in self._order:
            if name in self._handled or name not in self.steps:
                continue
            step = self.steps[name]
            if not self._is_startable(step):
                continue
            if self.is_stale(name):
                return step
            self._handled.add(name)
        return None

    def _is_startable(self, step: Step) -> bool:
        return all(self._is_there(path) for path in step.inputs)

    def _is_there(self, path: FilePath) -> bool:
        return self.overlay[path] is not None if path in self.overlay else self._external(path)

    def missing(self, name: str) -> list[FilePath]:
        """Required inputs of a member that are not there."""
        return [path for path in self.steps[name].inputs if not self._is_there(path)]

    def is_stale(self, name: str) -> bool:
        """Whether an edge digest that the step read differs from what is there now (or it has not been settled yet)."""
        result = self.last.get(name)
        if result is None:
            return True
        return any(read.path in self.overlay and self._seen(name, read.path) != read.digest for read in result.reads)

    def _seen(self, reader: str, path: FilePath) -> str:
        version = self.overlay.get(path)
        return ABSENT if version is None else version.seen(self._filter_for(self.steps[reader], path))

    # -- what happened ---------------------------------------------------------------------------------------------

    def accept(self, name: str, result: Result) -> None:
        """Takes the result of the step that :meth:`next` named."""
        self._handled.add(name)
        self._ran_now = True
        self.last[name] = result
        seen = self.reads.setdefault(name, {})
        for read in result.reads:
            if seen.get(read.path, read.digest) != read.digest and read.path not in self.writer:
                self.torn = True
            seen[read.path] = read.digest
        for output in result.outputs:
            if self.overlay.get(output.path) is None:
                self._appeared(output.path, name)
            self.overlay[output.path] = output.version
            self.writer[output.path] = name
            self._made.setdefault(output.path, set()).add(output.version.digest)
        if self.steps[name].open_reads:
            self._plan_helpers(name, result)

    def _appeared(self, path: FilePath, writer: str) -> None:
        """A file that was not there: steps whose look-ups nobody sees (LuaTeX's own) count as having looked for it."""
        for name, result in self.last.items():
            blind = name != writer and name in self.steps and ("unseen_lookups", "yes") in self.steps[name].options
            if blind and not any(read.path == path for read in result.reads):
                self.last[name] = msgspec.structs.replace(result, reads=(*result.reads, Read(path, ABSENT)))
                self.reads[name][path] = ABSENT

    def fail(self, name: str) -> None:
        """The step gave no usable result: the knot stops at once."""
        self.outcome = Outcome("FAILED", self.pass_number, failed=(name,))

    def _plan_helpers(self, engine: str, result: Result) -> None:
        """Helpers are a function of the engine's last run; what a dropped helper made goes with it."""
        wanted = {step.name: step for step in result.helpers}
        for name in self._planned.get(engine, set()) - wanted.keys():
            self.steps.pop(name, None)
            self.last.pop(name, None)
            for path in [p for p, writer in self.writer.items() if writer == name]:
                self.overlay[path] = None
        self._planned[engine] = set(wanted)
        self.steps.update(wanted)
        self._sort()

    def _sort(self) -> None:
        """Helpers come right behind their engine, in the order of their positions."""
        order: list[str] = []
        for step in pass_order(self._declared):
            order.append(step.name)
            helpers = [self.steps[name] for name in self._planned.get(step.name, ()) if name in self.steps]
            order.extend(helper.name for helper in sorted(helpers, key=lambda h: (h.position, h.name)))
        self._order = order

    # -- passes and verdicts ---------------------------------------------------------------------------------------

    def _begin_pass(self) -> None:
        self._handled = set()
        self._ran_now = False
        self._sort()

    def _end_pass(self) -> None:
        failing = tuple(name for name in self._order if name in self.last and self.last[name].exit_code != 0)
        ran = self._ran_now
        self.snapshots.append(Snapshot(dict(self.overlay), failing))
        self.outcome = self._judge(failing, ran)
        if self.outcome is None:
            self._begin_pass()

    def _judge(self, failing: tuple[str, ...], ran: bool) -> Outcome | None:
        passes = len(self.snapshots) - 1
        waiting = tuple(name for name in self._order if name in self.steps and self._is_waiting(name))
        if not any(self.is_stale(name) for name in self._order if name in self.last and name not in waiting):
            if waiting and not failing:
                return Outcome("NOSTART", passes if self.last else 0, waiting=waiting)
            states = self.states()
            return Outcome("FAILED" if failing else "FIXED", passes, states.index(states[-1]), 1, waiting, failing)
        states = self.states()
        earlier = states.index(states[-1])
        if earlier < passes and ran:
            cycle = {name for snapshot in self.snapshots[earlier + 1 :] for name in snapshot.failing}
            return Outcome("FAILED" if cycle else "PERIOD", passes, earlier, passes - earlier, waiting, tuple(sorted(cycle)))
        if self._once:
            return Outcome(None, passes)
        if passes >= self.limit:
            return Outcome("DIVERGES", passes, failed=failing)
        return None

    def _is_waiting(self, name: str) -> bool:
        """Whether a step never ran, or would have to run again while a required input is gone (with the helper that made it)."""
        return name not in self.last or (self.is_stale(name) and not self._is_startable(self.steps[name]))

    def feedback(self) -> tuple[FilePath, ...]:
        """Paths written by a member and read by a member, over the whole way so far, sorted."""
        read = {path for seen in self.reads.values() for path in seen}
        return tuple(sorted(path for path in self.writer if path in read))

    def states(self) -> list[tuple[tuple[FilePath, str, str], ...]]:
        """The state after each pass (the seed first): (path, filter, edge digest) of what is fed back and present."""
        views = self._reader_filters()
        return [
            tuple(
                (path, name, version.seen(name))
                for path, names in views
                if (version := snapshot.files.get(path)) is not None
                for name in names
            )
            for snapshot in self.snapshots
        ]

    def _reader_filters(self) -> list[tuple[FilePath, tuple[str, ...]]]:
        names: dict[FilePath, set[str]] = {path: set() for path in self.feedback()}
        for reader, seen in self.reads.items():
            step = self.steps.get(reader)
            for path in seen:
                if path in names:
                    names[path].add("" if step is None else self._filter_for(step, path))
        return [(path, tuple(sorted(filters))) for path, filters in sorted(names.items())]

    def is_knot(self) -> bool:
        """Whether what members write is read by members at all (an engine without feedback is no knot)."""
        return len(self._declared) > 1 or bool(self.feedback())

    def order(self) -> tuple[str, ...]:
        """Names in pass order, helpers included."""
        return tuple(name for name in self._order if name in self.steps)

    def superseded(self) -> set[str]:
        """Digests of files that members wrote on the way, that nobody read and that are not there at the end (PDFs of passes)."""
        state = set(self.feedback())
        kept = {version.digest for version in self.overlay.values() if version is not None}
        return {digest for path, digests in self._made.items() if path not in state for digest in digests} - kept

    def external_reads(self) -> tuple[tuple[str, tuple[Read, ...]], ...]:
        """Reads from outside the knot over the whole way, by member: what the outcome is a function of."""
        return tuple(
            (name, tuple(Read(path, digest) for path, digest in sorted(seen.items()) if path not in self.writer))
            for name, seen in sorted(self.reads.items())
        )

    def outputs(self, at: int = -1) -> tuple[tuple[str, Output], ...]:
        """All files written by members and present in snapshot ``at``, with their writers; without remains of the seed."""
        files = self.snapshots[at].files
        remains = self._remains()
        kept = [(path, version) for path, version in sorted(files.items()) if version is not None and path not in remains]
        return tuple((self.writer[path], Output(path, version)) for path, version in kept)

    def _remains(self) -> set[FilePath]:
        """Files of the seed that their writers, having run, made no more and nobody read: a clean run would not have them."""
        read = {path for seen in self.reads.values() for path in seen}
        return {path for path, name in self.writer.items() if name in self.last and path not in self._made and path not in read}
