"""The worker of one machine: runs a step in its workspace, observes it, and stores what it made.

Knows no graph and no build: an order comes in, what was cooked goes out.
"""

import asyncio
import math
import os
import signal
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Protocol

import msgspec

from cpods.chefs import debian
from cpods.digest import ABSENT, of_parts
from cpods.eyes import Eyes
from cpods.ids import GLOB_FACT, TEX_INPUTS, TOOL_CACHE, UNPACKED_FORMATS, FilePath, is_outside
from cpods.model import Artefact, Exit, Observation, Output, Problem, Read, Result, Step, Version
from cpods.orders import Cooked, Execution, Order
from cpods.ports import Chef, Clock, Command, Executor, Objects, View, Withdrawn, Workspace
from cpods.synctex import ENDINGS as SYNCTEX_ENDINGS
from cpods.synctex import portable_synctex

#: A file whose ctime is this near to the start of a run may have been written during it.
_RACY_NS = 20_000_000

#: Outputs of more than this are stored in a thread: a pod that is silent for seconds counts as dead.
_BYTES_IN_LOOP_MAX = 64 << 20

#: Diary entries of steps in a mirror start with this: a knot's step may be recorded and run again in one batch.
IN_MIRROR = "in a mirror: "

#: Chefs whose logs may hold lines that only look like errors: there the exit code decides.
_BY_EXIT = ("latex", "tex")
#: What a chef that says nothing of it tidies before it is stored.
_TIDIED = (".log",)

#: Signals that a program brings upon itself, so that the same inputs bring them again. Not SIGABRT and SIGBUS: a full disk
#: brings them too (seen: pdfTeX aborts; who writes through a mapping gets SIGBUS).
_OWN_FAULTS = frozenset({signal.SIGSEGV, signal.SIGFPE, signal.SIGILL})


class MirrorLike(Workspace, Protocol):
    """What a pod needs of a knot's mirror."""

    def prepare(self, overlay: Mapping[FilePath, Version | None], hidden: frozenset[FilePath]) -> None:
        """Makes the mirror equal to the project with the overlay on top."""

    def view(self) -> View:
        """The view around the run that follows."""


class Diary(Protocol):
    """Where a pod notes plain steps under way, so that a crash leaves nothing half-written."""

    def begin(self, step: str, outputs: Mapping[FilePath, str]) -> None:
        """A step is about to run; ``outputs``: what stands there now, by digest."""

    def started(self, step: str, pid: int, start_ticks: int) -> None:
        """The step's process is there."""

    def end(self, step: str) -> None:
        """What stood at the outputs before stands there again."""


class Cancelled(Protocol):
    """Something under way."""

    def cancel(self) -> None:
        """Brings its end about; asked again, at once."""


Variables = tuple[tuple[str, str], ...]
_Begin = Callable[[Command, Callable[[int, int], None], Callable[[Exit | Exception], None]], Cancelled]


class _Ground(NamedTuple):
    """The folder as a plain step finds it: digests of inputs and of the outputs that were cleared away, and the view.

    ``is_listed``: patterns match what they matched when they were last looked at.
    """

    started_ns: int
    before: Mapping[FilePath, str]
    previous: Mapping[FilePath, str]
    view: View
    is_listed: bool


class Pod:
    """One machine's worker. ``mirror(knot, lane)`` gives one of a knot's mirrors; ``plain_view(paths)`` the view around a plain step.

    Steps of one knot that run beside each other have a lane each, the lowest that is free; all others run in lane 0.
    """

    def __init__(
        self,
        name: str,
        folder: Workspace,
        objects: Objects,
        chefs: Mapping[str, Chef],
        executor: Executor,
        clock: Clock,
        eyes: Eyes,
        mirror: Callable[[str, int], MirrorLike],
        plain_view: Callable[[Iterable[FilePath]], View],
        diary: Diary,
        state: str,
    ) -> None:
        self.name = name
        self._folder = folder
        self._objects = objects
        self._chefs = chefs
        self._executor = executor
        self._clock = clock
        self._eyes = eyes
        self._mirror = mirror
        self._plain_view = plain_view
        self._diary = diary
        self._state = state
        self._lanes: dict[str, set[int]] = {}
        self._laid: dict[str, tuple[Mapping[FilePath, Version], frozenset[FilePath]]] = {}
        self._last_environment: tuple[Variables, Variables] = ((), ())

    async def cook(self, order: Order) -> Cooked:
        """Carries out an order. Raises OSError (disk full, unwritable folder), KeyError (an object of the overlay is gone)."""
        return await (self._in_mirror(order) if order.knot else self._in_folder(order))

    async def cook_apart(self, order: Order) -> Cooked:
        """As :meth:`cook`, in the mirror also for a plain step: so an order is carried out that came from afar."""
        return await self._in_mirror(order)

    # -- knots and engines: in a mirror ----------------------------------------------------------------------------

    async def _in_mirror(self, order: Order) -> Cooked:
        with self._lane(order.knot) as lane:
            return await self._in_lane(order, self._mirror(order.knot, lane))

    @contextmanager
    def _lane(self, knot: str) -> Iterator[int]:
        """A lane that nobody is in."""
        taken = self._lanes.setdefault(knot, set())
        lane = next(number for number in range(len(taken) + 1) if number not in taken)
        taken.add(lane)
        try:
            yield lane
        finally:
            taken.discard(lane)

    async def _in_lane(self, order: Order, mirror: MirrorLike) -> Cooked:
        """Without the figures that the step is not likely to look for; if it does look for one, again with all of them."""
        withheld = self._eyes.withheld(order.step, order.overlay, order.hidden)
        cooked = await self._in_prepared(order, mirror, withheld)
        if withheld.isdisjoint(cooked.reads):
            return cooked
        again = await self._in_prepared(order, mirror, frozenset())
        earlier = (cooked.execution,) if cooked.execution is not None else ()
        return msgspec.structs.replace(again, earlier=(*earlier, *again.earlier))

    def _figures(self, order: Order, withheld: frozenset[FilePath]) -> tuple[Mapping[FilePath, Version], frozenset[FilePath]]:
        """(what a step gets as its filter leaves it, what it does not get); for a step that opens no figures as the one before it."""
        if getattr(self._chefs[order.step.chef], "ignores_figures", False):
            return self._laid.get(order.knot, ({}, frozenset()))
        given = self._eyes.substituted(order.step, order.overlay, order.hidden, withheld)
        self._laid[order.knot] = given, withheld
        return given, withheld

    async def _in_prepared(self, order: Order, mirror: MirrorLike, withheld: frozenset[FilePath]) -> Cooked:
        given, without = self._figures(order, withheld)
        mirror.prepare({**order.overlay, **given, **dict.fromkeys(without)}, order.hidden)
        for path in order.step.outputs:  # a tool finds the folders of its outputs, as in the project folder
            os.makedirs(os.path.dirname(os.path.join(mirror.root, path)), exist_ok=True)
        view = mirror.view()
        self._see_matches(order)
        exit = await self._execute_noted(order, mirror.root)
        observed = debian.named(self._chefs[order.step.chef].observe(order.step, view, exit), exit)
        seen = {*observed.reads, *observed.absent}
        if not withheld.isdisjoint(seen):
            return Cooked(self._execution(order, exit), None, reads=tuple(sorted(seen)))
        untouched = [path for path in observed.reads if path not in order.overlay and not is_outside(path) and path not in observed.writes]
        moved = [path for path in untouched if path not in given and mirror.digest(path) != self._folder.digest(path)]
        moved += [path for path in untouched if path in given and self._refresh_differs(path)]
        if moved:
            for path in moved:
                self._refresh(path)
            return Cooked(self._execution(order, exit), None, stale=True, problems=_moved(order.step, moved), reads=tuple(sorted(seen)))
        reads = self._reads(order, observed)
        if not self._is_usable(order, exit, observed):
            return self._failed(order, exit, observed)
        if sum(map(_size, (os.path.join(mirror.root, path) for path in observed.writes))) > _BYTES_IN_LOOP_MAX:
            return await _whole(asyncio.to_thread(self._store, order, exit, observed, reads, mirror))
        return self._store(order, exit, observed, reads, mirror)

    def _refresh_differs(self, path: FilePath) -> bool:
        before = self._folder.digest(path)
        return self._refresh(path) != before

    def _refresh(self, path: FilePath) -> str:
        refresh: Callable[[FilePath], str] = getattr(self._folder, "refresh", self._folder.digest)
        return refresh(path)

    # -- plain steps: in the project folder ------------------------------------------------------------------------

    def begin(self, order: Order, ended: Callable[[Cooked | BaseException], None]) -> Cancelled | None:
        """Carries a plain order out without a task: ``ended`` is called once, later. None: it has to be cooked.

        What is returned can be cancelled: then ``ended`` gets a CancelledError, after everything is as it was. Raises OSError.
        """
        start: _Begin | None = getattr(self._executor, "begin", None)
        if order.knot or start is None:
            return None
        return _Plain(self, order, ended).start(start)

    def expect(self, slots: int) -> None:
        """Many plain orders will be begun, ``slots`` of them at once and :meth:`ahead` more. Call :meth:`rest` at the end."""
        self._to_executor("expect", slots)

    def ahead(self) -> int:
        """So many plain orders more than can be carried out at once may be begun now."""
        return self._to_executor("ahead") or 0

    def withdraw(self) -> None:
        """Plain orders that were begun but wait end as stale, without a run."""
        self._to_executor("withdraw")

    def rest(self) -> None:
        """No more orders come for now."""
        self._to_executor("rest")

    def _to_executor(self, name: str, *said: int) -> int | None:
        """Executors that only run one program after the other need not know of this."""
        call: Callable[..., int | None] | None = getattr(self._executor, name, None)
        return None if call is None else call(*said)

    async def _in_folder(self, order: Order) -> Cooked:
        ground = self._clear(order)
        try:
            exit = await self._executor.run(self._command(order, self._folder.root), self._noting(order.step.name))
            return self._judged(order, ground, exit)
        except BaseException:
            self._undo(order.step, ground)
            raise

    def _noting(self, name: str) -> Callable[[int, int], None]:
        return lambda pid, ticks: self._diary.started(name, pid, ticks)

    def _clear(self, order: Order) -> _Ground:
        """Looks at what a step reads and clears the place of what it writes."""
        step = order.step
        started_ns = self._clock.now_ns()
        is_listed = self._eyes.sees_all_matches(step)
        refresh: Callable[[FilePath], str] = getattr(self._folder, "refresh", self._folder.digest)
        before = {path: refresh(path) for path in (*step.inputs, *step.optional)}
        previous = self._clear_outputs(step)
        try:
            view = self._plain_view((*step.inputs, *step.optional, *step.outputs))
        except BaseException:
            self._restore(step, previous)
            raise
        return _Ground(started_ns, before, previous, view, is_listed)

    def _undo(self, step: Step, ground: _Ground) -> None:
        with suppress(OSError):  # a full disk, say: then the next call, which finds the note in the diary, does it
            self._restore(step, ground.previous)

    def _judged(self, order: Order, ground: _Ground, exit: Exit) -> Cooked:
        """What came of a run in the project folder."""
        step, before = order.step, ground.before
        observed = debian.named(self._chefs[step.chef].observe(step, ground.view, exit), exit)
        moved = [path for path, was in before.items() if self._refresh(path) != was]
        moved = moved or self._written_during(observed, before, ground.started_ns)
        if moved:
            self._restore(step, ground.previous)
            reads = (*observed.reads, *observed.absent)
            return Cooked(self._execution(order, exit), None, stale=True, problems=_moved(step, moved), reads=reads)
        if exit.code != 0 or any(p.severity == "error" for p in observed.problems):
            failed = self._failed(order, exit, observed)
            self._restore(step, ground.previous)
            return failed
        recorded = self._reads(order, observed)
        if not (ground.is_listed and self._eyes.sees_all_matches(step)):
            recorded = tuple(_torn(read) for read in recorded)
        return self._store(order, exit, observed, recorded, self._folder)

    def _clear_outputs(self, step: Step) -> dict[FilePath, str]:
        """Removes old outputs, so that a step cannot depend on them; they stay in the store. Returns their digests."""
        previous = {path: self._refresh(path) for path in step.outputs}
        unknown = [path for path, digest in previous.items() if digest != ABSENT and not self._objects.has(digest)]
        for path in unknown:
            self._objects.put_file(os.path.join(self._folder.root, path))
        if unknown:
            self._objects.commit()
        self._diary.begin(step.name, previous)
        for path, digest in previous.items():
            if digest != ABSENT:
                self._folder.remove(path)
            if digest == ABSENT:
                folder = f"{self._folder.root}/{path}".rpartition("/")[0]
                if not os.path.isdir(folder):
                    os.makedirs(folder, exist_ok=True)
        return previous

    def _restore(self, step: Step, previous: Mapping[FilePath, str]) -> None:
        """After a run that does not count: outputs as they were before."""
        for path in previous:
            self._folder.remove(path)  # first all of them: the disk may be full
        for path, digest in previous.items():
            if digest != ABSENT:
                with suppress(KeyError):  # the store has lost it
                    self._folder.install(path, digest)
        self._diary.end(step.name)

    def _written_during(self, observed: Observation, before: Mapping[FilePath, str], started_ns: int) -> list[FilePath]:
        """Reads that only the run revealed, if they were changed too late to know what the run saw.

        What was looked at before the run in this build (a header that another step has just made) is compared by content.
        """
        late = []
        for path in observed.reads:
            if path in before:
                continue
            known = self._known(path, started_ns)
            if known is not None:
                is_late = self._refresh(path) != known
            else:
                is_late = self._ctime_ns(path) > started_ns - _RACY_NS
                self._refresh(path)
            if is_late:
                late.append(path)
        return late

    def _known(self, path: FilePath, before_ns: int) -> str | None:
        known: Callable[[FilePath, int], str | None] | None = getattr(self._folder, "known", None)
        return None if known is None else known(path, before_ns)

    def _ctime_ns(self, path: FilePath) -> float:
        try:
            return os.stat(os.path.join(self._folder.root, path)).st_ctime_ns
        except OSError:
            return math.inf

    async def _execute_noted(self, order: Order, root: str) -> Exit:
        """Runs in a mirror: nothing in the folder is at stake, but after a kill the process is to be found and ended."""
        note = IN_MIRROR + order.step.name
        self._diary.begin(note, {})
        try:
            return await self._execute(order, root, lambda pid, ticks: self._diary.started(note, pid, ticks))
        finally:
            self._diary.end(note)

    # -- both ------------------------------------------------------------------------------------------------------

    async def _execute(self, order: Order, root: str, started: Callable[[int, int], None] | None) -> Exit:
        return await self._executor.run(self._command(order, root), started)

    def _command(self, order: Order, root: str) -> Command:
        cwd = order.step.cwd
        return Command(
            argv=_argv(order),
            cwd=root if cwd == "." else os.path.normpath(os.path.join(root, cwd)),
            env=self._environment(order.env),
            timeout=order.step.timeout,
            log=f"{self._state}/log/{order.log}",
        )

    def _environment(self, given: Variables) -> Variables:
        """An order's environment with what only this place knows. Most orders of a build have the same: made once."""
        if self._last_environment[0] is not given:
            stands_for = {TOOL_CACHE: os.path.join(self._state, "tool-cache"), TEX_INPUTS: dict(given).get("TEXINPUTS", "")}
            found = dict(given)
            for sign, value in stands_for.items():
                found.update((name, text.replace(sign, value)) for name, text in given if sign in text)
            _find_formats(found)
            self._last_environment = (given, tuple(found.items()))
        return self._last_environment[1]

    def _see_matches(self, order: Order) -> None:
        """Before a run in a mirror: what matches patterns is known from here on. A file that comes later is none that was read."""
        for pattern in order.step.globs:
            self._eyes.edge(order.step, GLOB_FACT + pattern, order.overlay, order.hidden)

    def _reads(self, order: Order, observed: Observation) -> tuple[Read, ...]:
        """Edge digests of what was read, from before the run; facts (listings of patterns) with them."""
        step = order.step
        found = {path: self._eyes.edge(step, path, order.overlay, order.hidden) for path in observed.reads}
        for path in observed.absent:
            found.setdefault(path, ABSENT)
        for pattern in step.globs:
            fact = GLOB_FACT + pattern
            found[fact] = self._eyes.edge(step, fact, order.overlay, order.hidden)
        return tuple(Read(path, digest) for path, digest in sorted(found.items()))

    @staticmethod
    def _is_usable(order: Order, exit: Exit, observed: Observation) -> bool:
        clean = _code(exit, observed) == 0 and not any(problem.severity == "error" for problem in observed.problems)
        return clean or (observed.usable_outputs and order.knot != "")

    def _execution(self, order: Order, exit: Exit) -> Execution:
        step = order.step
        argv = _argv(order)
        return Execution(step.name, step.chef, step.tool, argv, "run", order.pass_number, self.name, round(exit.seconds, 4), exit.code)

    def _failed(self, order: Order, exit: Exit, observed: Observation) -> Cooked:
        """No usable outputs; a pure tool's failure is a result all the same."""
        problems = observed.problems or (Problem(exit.error or f"{order.step.tool} ended with exit code {exit.code}"),)
        code = exit.code or 1
        result = None
        is_own = code > 0 or -code in _OWN_FAULTS
        if order.step.pure and observed.follows and is_own and not exit.timed_out and not exit.error:
            reads = self._reads(order, observed)
            result = Result(
                order.static_key, order.step.name, reads, (), code, problems, usable=False, date=order.date, seconds=exit.seconds
            )
        return Cooked(self._execution(order, exit), result, False, problems, code, (*observed.reads, *observed.absent))

    def _store(self, order: Order, exit: Exit, observed: Observation, reads: tuple[Read, ...], place: Workspace) -> Cooked:
        outputs = []
        for path in observed.writes:
            artefact = self._take(path, place, self._chefs[order.step.chef])
            outputs.append(Output(path, Version(artefact.digest, artefact.size)))
        erring = any(p.severity == "error" for p in observed.problems) and order.step.chef not in _BY_EXIT
        failing = _code(exit, observed) or (1 if erring else 0)
        result = Result(
            static_key=order.static_key,
            step=order.step.name,
            reads=reads,
            outputs=tuple(outputs),
            exit_code=failing,
            problems=observed.problems,
            helpers=tuple(msgspec.structs.replace(helper, planner=order.step.name) for helper in observed.helpers),
            date=order.date,
            seconds=round(exit.seconds, 4),
            pages=observed.pages,
        )
        artefacts = {output.version.digest: output.version.size for output in outputs}
        reads_seen = (*observed.reads, *observed.absent)
        return Cooked(self._execution(order, exit), result, False, observed.problems, exit.code, reads_seen, artefacts)

    def _take(self, path: FilePath, place: Workspace, chef: Chef) -> Artefact:
        """Stores an output; SyncTeX files without the name of the folder that they were made in, logs without what only the chef reads."""
        tidied: Callable[[FilePath, bytes], bytes] | None = getattr(chef, "tidied", None)
        is_log = tidied is not None and path.endswith(getattr(chef, "tidied_endings", _TIDIED))
        if not is_log and not path.endswith(SYNCTEX_ENDINGS):
            take: Callable[[FilePath], Artefact] | None = getattr(place, "take", None) if place is self._folder else None
            return self._objects.put_file(os.path.join(place.root, path)) if take is None else take(path)
        if place is self._folder:
            self._refresh(path)
        if is_log and tidied is not None:
            return self._objects.put_bytes(tidied(path, place.read(path) or b""))
        shown: str = getattr(place, "shown", place.root)  # where the tool believed to be
        return self._objects.put_bytes(portable_synctex(place.read(path) or b"", shown))


class _Plain:
    """A plain order under way without a task."""

    def __init__(self, pod: Pod, order: Order, ended: Callable[[Cooked | BaseException], None]) -> None:
        self._pod = pod
        self._order = order
        self._ended = ended
        self._ground = pod._clear(order)
        self._run: Cancelled | None = None
        self._is_cancelled = False

    def start(self, begin: _Begin) -> "_Plain":
        pod, order = self._pod, self._order
        try:
            self._run = begin(pod._command(order, pod._folder.root), pod._noting(order.step.name), self._over)
        except BaseException:
            pod._undo(order.step, self._ground)
            raise
        return self

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._run is not None:
            self._run.cancel()

    def _over(self, exit: Exit | Exception) -> None:
        ended: Cooked | BaseException
        try:
            if self._is_cancelled:
                raise asyncio.CancelledError
            if isinstance(exit, Exception):
                raise exit
            ended = self._pod._judged(self._order, self._ground, exit)
        except Withdrawn:
            self._pod._undo(self._order.step, self._ground)
            ended = Cooked(None, None, stale=True)
        except BaseException as error:
            self._pod._undo(self._order.step, self._ground)
            ended = error
        self._ended(ended)


def _torn(read: Read) -> Read:
    """What is recorded of a pattern whose matches came or went around a run: nothing that ever fits, so it runs again next time."""
    if not read.path.startswith(GLOB_FACT):
        return read
    return Read(read.path, of_parts(["matches changed around the run", read.digest]))


async def _whole(work: Coroutine[Any, Any, Cooked]) -> Cooked:
    """Waits for it in any case, so that nobody else is in the mirror meanwhile; only then whoever is cancelled hears of that."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return task.result()


def _find_formats(environment: dict[str, str]) -> None:
    """Puts the folder of unpacked formats where an engine is to get one, or takes the variable away."""
    for name in [name for name, text in environment.items() if text == UNPACKED_FORMATS]:
        from cpods.pod.formats import search_path  # only for TeX

        del environment[name]
        if path := search_path(name.partition("_")[2], environment):
            environment[name] = path


def _argv(order: Order) -> tuple[str, ...]:
    """The command: another one where what the steps ahead of this one made is there."""
    step = order.step
    made = [path for ahead in step.ahead for path in ahead.outputs]
    return step.argv_after if step.argv_after and all(order.overlay.get(path) is not None for path in made) else step.argv


def _code(exit: Exit, observed: Observation) -> int:
    """What a run counts as."""
    return exit.code if observed.exit_code is None else observed.exit_code


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _moved(step: Step, paths: Iterable[FilePath]) -> tuple[Problem, ...]:
    """What to say if inputs change each time a step runs: told only when the build gives up."""
    names = ", ".join(sorted(paths))
    text = f"step {step.name} has no stable inputs: {names} changed each time while it ran"
    return (Problem(f"{text}; if the step itself writes it, name it in both outputs and optional, else call cpods again"),)
