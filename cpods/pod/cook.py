"""The worker of one machine: runs a step in its workspace, observes it, and stores what it made.

Knows no graph and no build: an order comes in, what was cooked goes out.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from cpods.chefs import debian
from cpods.eyes import Eyes
from cpods.ids import FilePath, is_outside
from cpods.model import Exit, Version
from cpods.orders import Cooked, Order
from cpods.pod.commands import Commands
from cpods.pod.outcome import Outcomes, moved_problems
from cpods.pod.plain import Begin, Begun, Cancelled, Diary, PlainSteps
from cpods.ports import Chef, Clock, Executor, Objects, View, Workspace

__all__ = ["IN_MIRROR", "Cancelled", "Diary", "MirrorLike", "Pod"]

#: Outputs of more than this are stored in a thread: a pod that is silent for seconds counts as dead.
_BYTES_IN_LOOP_MAX = 64 << 20

#: Diary entries of steps in a mirror start with this: a knot's step may be recorded and run again in one batch.
IN_MIRROR = "in a mirror: "


class MirrorLike(Workspace, Protocol):
    """What a pod needs of a knot's mirror."""

    def prepare(self, overlay: Mapping[FilePath, Version | None], hidden: frozenset[FilePath]) -> None:
        """Makes the mirror equal to the project with the overlay on top."""

    def view(self) -> View:
        """The view around the run that follows."""


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
        self._chefs = chefs
        self._executor = executor
        self._eyes = eyes
        self._mirror = mirror
        self._diary = diary
        self._commands = Commands(state)
        self._outcomes = Outcomes(name, folder, objects, chefs, eyes)
        self._plain = PlainSteps(folder, objects, chefs, clock, eyes, plain_view, diary, self._outcomes)
        self._lanes: dict[str, set[int]] = {}
        self._laid: dict[str, tuple[Mapping[FilePath, Version], frozenset[FilePath]]] = {}

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
        self._outcomes.see_matches(order)
        exit = await self._execute_noted(order, mirror.root)
        observed = debian.named(self._chefs[order.step.chef].observe(order.step, view, exit), exit)
        seen = {*observed.reads, *observed.absent}
        if not withheld.isdisjoint(seen):
            return Cooked(self._outcomes.execution(order, exit), None, reads=tuple(sorted(seen)))
        untouched = [path for path in observed.reads if path not in order.overlay and not is_outside(path) and path not in observed.writes]
        moved = [path for path in untouched if path not in given and mirror.digest(path) != self._folder.digest(path)]
        moved += [path for path in untouched if path in given and self._refresh_differs(path)]
        if moved:
            for path in moved:
                self._outcomes.refresh(path)
            return Cooked(
                self._outcomes.execution(order, exit),
                None,
                stale=True,
                problems=moved_problems(order.step, moved),
                reads=tuple(sorted(seen)),
            )
        reads = self._outcomes.reads(order, observed)
        if not self._outcomes.is_usable(order, exit, observed):
            return self._outcomes.failed(order, exit, observed)
        if sum(map(_size, (os.path.join(mirror.root, path) for path in observed.writes))) > _BYTES_IN_LOOP_MAX:
            return await _whole(asyncio.to_thread(self._outcomes.store, order, exit, observed, reads, mirror))
        return self._outcomes.store(order, exit, observed, reads, mirror)

    def _refresh_differs(self, path: FilePath) -> bool:
        before = self._folder.digest(path)
        return self._outcomes.refresh(path) != before

    # -- plain steps: in the project folder ------------------------------------------------------------------------

    def begin(self, order: Order, ended: Callable[[Cooked | BaseException], None]) -> Cancelled | None:
        """Carries a plain order out without a task: ``ended`` is called once, later. None: it has to be cooked.

        What is returned can be cancelled: then ``ended`` gets a CancelledError, after everything is as it was. Raises OSError.
        """
        start: Begin | None = getattr(self._executor, "begin", None)
        if order.knot or start is None:
            return None
        return Begun(self._plain, order, ended).start(start, self._commands.of(order, self._folder.root))

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
        ground = self._plain.clear(order)
        try:
            exit = await self._executor.run(self._commands.of(order, self._folder.root), self._plain.noting(order.step.name))
            return self._plain.judged(order, ground, exit)
        except BaseException:
            self._plain.undo(order.step, ground)
            raise

    async def _execute_noted(self, order: Order, root: str) -> Exit:
        """Runs in a mirror: nothing in the folder is at stake, but after a kill the process is to be found and ended."""
        note = IN_MIRROR + order.step.name
        self._diary.begin(note, {})
        try:
            return await self._executor.run(self._commands.of(order, root), lambda pid, ticks: self._diary.started(note, pid, ticks))
        finally:
            self._diary.end(note)


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


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
