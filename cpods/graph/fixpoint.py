"""Iterates one knot to a fixed point, or proves that it has none on its way: DESIGN.md section 5.

Knows no file and no process: it names the steps to settle next and takes their results. Every step is keyed by exactly
what it reads, so that one pass is a pure function of the state, and a state that comes back proves a period. Parallel
neighbours in pass order are a group: all see the state before the group, and their results are taken over in pass order
once all have come, so that the pass is the same function of the state whatever the order in which they come.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from cpods.digest import ABSENT
from cpods.graph.order import pass_order, rows
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
    """One way from a seed to an outcome. Call :meth:`due`, settle those steps, :meth:`accept` each result; repeat.

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
        self._ahead = frozenset(ahead.name for step in members for ahead in step.ahead)
        for step in members:
            self.steps.update((ahead.name, ahead) for ahead in step.ahead)
            self._planned.setdefault(step.name, set()).update(ahead.name for ahead in step.ahead)
        self.last: dict[str, Result] = {}
        self.reads: dict[str, dict[FilePath, str]] = {}
        #: By step, the passes in which it got a result.
        self.settled: dict[str, list[int]] = {}
        self._made: dict[FilePath, set[str]] = {}
        self.snapshots: list[Snapshot] = [Snapshot(dict(self.overlay), ())]
        self._rows: list[list[str]] = []
        self._order: list[str] = []
        self._group: tuple[Step, ...] = ()
        self._came: dict[str, Result | None] = {}
        self._failing: set[str] = set()
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

    def due(self) -> tuple[Step, ...]:
        """The steps to settle now, in pass order: one, or what has not come yet of a group; none when there is an :attr:`outcome`."""
        while self.outcome is None and not self._group:
            self._group = self._next_in_pass()
            if not self._group:
                self._end_pass()
        return tuple(step for step in self._group if step.name not in self._came)

    def next(self) -> Step | None:
        """The first step that is due, for a caller that settles one after the other."""
        return next(iter(self.due()), None)

    def _next_in_pass(self) -> tuple[Step, ...]:
        """The first stale step that can start, with its parallel neighbours of which the same is true."""
        for row in self._rows:
            ready = [self.steps[name] for name in row if name not in self._handled and name in self.steps]
            ready = [step for step in ready if self._is_startable(step)]
            stale = tuple(step for step in ready if self.is_stale(step.name))
            self._handled.update({step.name for step in ready} - {step.name for step in stale})
            if stale:
                return stale
        return ()

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
        """Takes the result of a step that is due. It counts for others when all of its group have come."""
        self._came[name] = result
        self._take_over()

    def fail(self, name: str) -> None:
        """The step gave no usable result: the knot fails, when all of the step's group have come."""
        self._failing.add(name)
        if self._group:
            self._came.setdefault(name, None)
        self._take_over()

    def stop(self) -> None:
        """Nothing more will come of a group of which a step failed."""
        if self.outcome is None:
            self._group = tuple(step for step in self._group if step.name in self._came)
            self._take_over()

    @property
    def is_failing(self) -> bool:
        """Whether a step failed for good, be it that others of its group are still to come."""
        return bool(self._failing)

    def _take_over(self) -> None:
        if len(self._came) < len(self._group):
            return
        results = [(step.name, result) for step in self._group if (result := self._came[step.name]) is not None]
        failed = tuple(step.name for step in self._group if step.name in self._failing) or tuple(sorted(self._failing))
        self._group, self._came = (), {}
        # First what all read, then what they wrote: none of a group saw what another made.
        for name, result in results:
            self._note_reads(name, result)
        for name, result in results:
            self._note_writes(name, result)
        if failed:
            self.outcome = Outcome("FAILED", self.pass_number, failed=failed)

    def _note_reads(self, name: str, result: Result) -> None:
        self._handled.add(name)
        self._ran_now = True
        self.last[name] = result
        self.settled.setdefault(name, []).append(self.pass_number)
        seen = self.reads.setdefault(name, {})
        for read in result.reads:
            if seen.get(read.path, read.digest) != read.digest and read.path not in self.writer:
                self.torn = True
            seen[read.path] = read.digest

    def _note_writes(self, name: str, result: Result) -> None:
        if name in self._ahead:  # what it does not make any more, another run must not find
            for path in self.steps[name].outputs:
                if path in self.overlay:
                    self.overlay[path] = None
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

    def _plan_helpers(self, engine: str, result: Result) -> None:
        """Helpers are a function of the engine's last run; what a dropped helper made goes with it."""
        wanted = {step.name: step for step in (*self.taken(engine, result), *self.steps[engine].ahead)}
        if len(wanted) < len(result.helpers):
            self.last[engine] = msgspec.structs.replace(result, helpers=tuple(wanted.values()))
        before = self._planned.get(engine, set())
        self._planned[engine] = set(wanted)
        for name in before - wanted.keys():
            self._drop_unless_wanted(name)
        for name, step in wanted.items():
            if not _is_same_work(self.steps.get(name), step):
                self.last.pop(name, None)
        self.steps.update(wanted)
        self._sort()

    def taken(self, engine: str, result: Result) -> tuple[Step, ...]:
        """Of the helpers that a run asks for, those whose work nobody else does."""
        return tuple(helper for helper in result.helpers if not self._is_made_otherwise(helper, engine))

    def _is_made_otherwise(self, helper: Step, engine: str) -> bool:
        """Whether others do a helper's work: a declared step, another document's helper, or somebody who made the file that it
        would make only if there were none.
        """
        documents = {step.name for step in self._declared}
        if helper.name in documents:
            return True
        if engine in documents and any(helper.name in self._planned.get(other, ()) for other in documents - {engine}):
            return _is_same_work(self.steps.get(helper.name), helper)
        if ("if_missing", "yes") not in helper.options:
            return False
        declared = {path for step in self._declared for path in step.outputs}
        return any(path in declared or (self._is_there(path) and self.writer.get(path) != helper.name) for path in helper.outputs)

    def _drop_unless_wanted(self, name: str) -> None:
        """A helper goes when nobody asks for it any more; with it its own helpers."""
        if any(name in names for names in self._planned.values()):
            return
        for helper in self._planned.pop(name, set()):
            self._drop_unless_wanted(helper)
        self.steps.pop(name, None)
        self.last.pop(name, None)
        for path in [p for p, writer in self.writer.items() if writer == name]:
            self.overlay[path] = None

    def _sort(self) -> None:
        """Helpers come right behind their engine, in the order of their positions; those that it has ahead, before it."""
        order: list[str] = []
        for step in pass_order(self._declared):
            order += [*(ahead.name for ahead in step.ahead), step.name, *self._behind(step.name)]
        self._order = list(dict.fromkeys(order))  # two may ask for the same helper
        self._rows = rows(self._order, self.steps)

    def _behind(self, planner: str) -> list[str]:
        """A step's helpers in order, then theirs: a picture that is a document may have a bibliography."""
        steps = [self.steps[name] for name in self._planned.get(planner, ()) if name in self.steps]
        helpers = [helper.name for helper in sorted(steps, key=lambda h: (h.position, h.name))]
        return helpers + [nested for helper in helpers for nested in self._behind(helper)]

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
        """Whether what members write is read by members at all (an engine without feedback is no knot, nor one that reads a format)."""
        formats = {path for name in self._ahead if name in self.steps for path in self.steps[name].outputs}
        return len(self._declared) > 1 or not formats.issuperset(self.feedback())

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


def _is_same_work(known: Step | None, step: Step) -> bool:
    """Whether a helper that is asked for again is still the same command; its place, and who asks, do not count."""
    return known is None or msgspec.structs.replace(known, position=step.position, planner=step.planner) == step
