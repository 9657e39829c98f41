"""Plain steps: run in the project folder itself, with what they may spoil noted before and put back if the run does not count.

Knows no mirror and no process.
"""

import asyncio
import math
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple, Protocol

import msgspec

from cpods.chefs import debian
from cpods.digest import ABSENT, of_parts
from cpods.eyes import Eyes
from cpods.ids import GLOB_FACT, FilePath
from cpods.model import Exit, Observation, Read, Step
from cpods.orders import Cooked, Order
from cpods.pod.outcome import Outcomes, moved_problems
from cpods.ports import Chef, Clock, Command, Objects, View, Withdrawn, Workspace

#: A file whose ctime is this near to the start of a run may have been written during it.
_RACY_NS = 20_000_000


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


Begin = Callable[[Command, Callable[[int, int], None], Callable[[Exit | Exception], None]], Cancelled]


class Ground(NamedTuple):
    """The folder as a plain step finds it: digests of inputs and of the outputs that were cleared away, and the view.

    ``is_listed``: patterns match what they matched when they were last looked at.
    """

    started_ns: int
    before: Mapping[FilePath, str]
    previous: Mapping[FilePath, str]
    view: View
    is_listed: bool


class PlainSteps:
    """The project folder before and after runs of plain steps. ``plain_view(paths)`` gives the view around one."""

    def __init__(
        self,
        folder: Workspace,
        objects: Objects,
        chefs: Mapping[str, Chef],
        clock: Clock,
        eyes: Eyes,
        plain_view: Callable[[Iterable[FilePath]], View],
        diary: Diary,
        outcomes: Outcomes,
    ) -> None:
        self._folder = folder
        self._objects = objects
        self._chefs = chefs
        self._clock = clock
        self._eyes = eyes
        self._plain_view = plain_view
        self._diary = diary
        self._outcomes = outcomes

    def noting(self, name: str) -> Callable[[int, int], None]:
        """What notes a step's process."""
        return lambda pid, ticks: self._diary.started(name, pid, ticks)

    def clear(self, order: Order) -> Ground:
        """Looks at what a step reads and clears the place of what it writes."""
        step = order.step
        started_ns = self._clock.now_ns()
        is_listed = self._eyes.sees_all_matches(step)
        matched = self._eyes.matched(step) if step.globs else ()
        before = {path: self._outcomes.refresh(path) for path in (*step.inputs, *step.optional, *matched)}
        previous = self._clear_outputs(step)
        try:
            view = self._plain_view((*before, *step.outputs))
        except BaseException:
            self._restore(step, previous)
            raise
        return Ground(started_ns, before, previous, view, is_listed)

    def undo(self, step: Step, ground: Ground) -> None:
        """Everything is as it was before the run."""
        with suppress(OSError):  # a full disk, say: then the next call, which finds the note in the diary, does it
            self._restore(step, ground.previous)

    def judged(self, order: Order, ground: Ground, exit: Exit) -> Cooked:
        """What came of a run in the project folder."""
        step, before = order.step, ground.before
        observed = debian.named(self._chefs[step.chef].observe(step, ground.view, exit), exit)
        moved = [path for path, was in before.items() if self._outcomes.refresh(path) != was]
        moved = moved or self._written_during(observed, before, ground.started_ns)
        if moved:
            self._restore(step, ground.previous)
            reads = (*observed.reads, *observed.absent)
            return Cooked(self._outcomes.execution(order, exit), None, stale=True, problems=moved_problems(step, moved), reads=reads)
        if exit.code != 0 or any(p.severity == "error" for p in observed.problems):
            failed = self._outcomes.failed(order, exit, observed)
            self._restore(step, ground.previous)
            return failed
        if step.globs:  # what came to match after it was planned was read too
            observed = msgspec.structs.replace(
                observed, reads=tuple(dict.fromkeys((*observed.reads, *sorted(before.keys() - {*observed.absent}))))
            )
        recorded = self._outcomes.reads(order, observed)
        if not (ground.is_listed and self._eyes.sees_all_matches(step)):
            recorded = tuple(_torn(read) for read in recorded)
        return self._outcomes.store(order, exit, observed, recorded, self._folder)

    def _clear_outputs(self, step: Step) -> dict[FilePath, str]:
        """Removes old outputs, so that a step cannot depend on them; they stay in the store. Returns their digests."""
        previous = {path: self._outcomes.refresh(path) for path in step.outputs}
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
                is_late = self._outcomes.refresh(path) != known
            else:
                is_late = self._ctime_ns(path) > started_ns - _RACY_NS
                self._outcomes.refresh(path)
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


class Begun:
    """A plain order under way without a task. See :meth:`cpods.pod.cook.Pod.begin`."""

    def __init__(self, plain: PlainSteps, order: Order, ended: Callable[[Cooked | BaseException], None]) -> None:
        self._plain = plain
        self._order = order
        self._ended = ended
        self._ground = plain.clear(order)
        self._run: Cancelled | None = None
        self._is_cancelled = False

    def start(self, begin: Begin, command: Command) -> "Begun":
        """Has its program begun. Raises OSError; then everything is as it was."""
        try:
            self._run = begin(command, self._plain.noting(self._order.step.name), self._over)
        except BaseException:
            self._plain.undo(self._order.step, self._ground)
            raise
        return self

    def cancel(self) -> None:
        """Brings its end about; asked again, at once."""
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
            ended = self._plain.judged(self._order, self._ground, exit)
        except Withdrawn:
            self._plain.undo(self._order.step, self._ground)
            ended = Cooked(None, None, stale=True)
        except BaseException as error:
            self._plain.undo(self._order.step, self._ground)
            ended = error
        self._ended(ended)


def _torn(read: Read) -> Read:
    """What is recorded of a pattern whose matches came or went around a run: nothing that ever fits, so it runs again next time."""
    if not read.path.startswith(GLOB_FACT):
        return read
    return Read(read.path, of_parts(["matches changed around the run", read.digest]))
