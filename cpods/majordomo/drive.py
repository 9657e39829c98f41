"""The MajorDomo: carries out the core's instructions through ports, and tells the core what came of them.

Knows no SQL, no process and no transport: only ports.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from cpods.errors import Interrupted
from cpods.events import Conclude, Event, Finish, Instruction, Recall, Settle, Spoilt
from cpods.ids import FilePath
from cpods.majordomo.context import Build
from cpods.majordomo.knots import Knots
from cpods.majordomo.settling import Cancelled, Settling
from cpods.ports import Changes

#: Records are written when the oldest unwritten one is about this old, and at the end: a kill costs no more than this.
_SAVE_SECONDS = 1.0
#: … and in batches of at most about this many settled steps.
_BATCH = 4096
_STEP_TASK = "a step"
#: So many instructions that need no process are carried out before running steps and interrupts are looked after.
_AT_ONCE_MAX = 64


_AT_WORK: set["MajorDomo"] = set()


class MajorDomo:
    """Drives one build. Call :meth:`rebuild` once."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._parts = build.parts
        self._settling = Settling(build)
        self._knots = Knots(build, self._settling)
        self._tasks: set[asyncio.Task[None]] = set()
        self._runs: dict[str, Cancelled] = {}
        self._settles: dict[str, asyncio.Task[None]] = {}
        self._restarted: set[str] = set()
        self._pending: deque[Instruction] = deque()
        self._arrived: deque[Event | BaseException] = deque()
        self._is_finished = False
        self._waiter: asyncio.Future[None] | None = None
        self._saving: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._saved_at = 0.0

    async def rebuild(self) -> None:
        """Builds until nothing is left to do. Raises UsageError, OSError, StoreDamaged; records are saved in any case."""
        self._saved_at = asyncio.get_running_loop().time()
        _AT_WORK.add(self)
        self._settling.open(len(self._build.planned.steps))
        try:
            self._pending += self._build.core.start()
            await self._carry_out()
        except asyncio.CancelledError:
            raise Interrupted("interrupted; running steps were ended and what they wrote was removed or restored") from None
        finally:
            try:
                await self._end()
            finally:
                _AT_WORK.discard(self)

    def hasten(self) -> None:
        """What is being ended is ended at once."""
        for run in self._runs.values():
            run.cancel()

    @property
    def can_restart(self) -> bool:
        """Whether :meth:`restart` is of use: steps on other pods are not ended one by one."""
        return self._parts.federation is None

    def restart(self, steps: Iterable[str], paths: Iterable[FilePath]) -> None:
        """Files have changed that steps under way read: these are ended and begun again. Others go on."""
        refresh: Callable[[FilePath], str] = getattr(self._parts.folder, "refresh", self._parts.folder.digest)
        for path in paths:
            refresh(path)
        for name in steps:
            under_way = self._runs.get(name) or self._settles.get(name)
            if under_way is not None:
                self._restarted.add(name)
                under_way.cancel()

    def _never_began(self, name: str, task: "asyncio.Task[None]") -> None:
        """A task that is cancelled before its first turn does nothing at all, not even say so."""
        if task.cancelled():
            del self._settles[name]
            self._arrived.append(self._restarts(name, asyncio.CancelledError()))
            self._wake()

    def _restarts(self, name: str, arrived: Event | BaseException) -> Event | BaseException:
        """What came of a step; that it is to begin again, if it was ended for that."""
        if name in self._restarted:
            self._restarted.discard(name)
            if isinstance(arrived, asyncio.CancelledError):
                return Spoilt(name, stale=True, told=True)
        return arrived

    async def _carry_out(self) -> None:
        """Until the core says Finish."""
        while True:
            self._work()
            if self._arrived and isinstance(self._arrived[0], BaseException):
                raise self._arrived[0]
            if self._is_finished:
                return
            # others and interrupts get their turn in any case
            await (asyncio.sleep(0) if self._pending or self._arrived else self._arrival())
            if self._is_save_due():
                await self._begin_save()

    def _work(self) -> None:
        """Tells the core what has come, and carries out what it says, as far as that needs no waiting. Stops at an error that came."""
        core, pending = self._build.core, self._pending
        core.ahead = self._settling.ahead()
        while self._arrived:
            arrived = self._arrived[0]
            if isinstance(arrived, BaseException):
                return
            self._arrived.popleft()
            pending += core.handle(arrived)
        if core.is_stopping:
            self._settling.withdraw()
        for _ in range(_AT_ONCE_MAX):
            if not pending or self._is_finished:
                break
            instruction = pending.popleft()
            if isinstance(instruction, Finish):
                self._settling.complete()
                self._is_finished = True
                break
            event = self._at_once(instruction)
            if event is not None:
                pending += core.handle(event)
            else:
                self._begin(instruction)

    def _begin(self, instruction: Instruction) -> None:
        if isinstance(instruction, Settle):
            name = instruction.step.name
            run = self._settling.begin(instruction, lambda arrived: self._take_in(name, arrived))
            if run is not None:
                self._runs[name] = run
                return
        task = asyncio.create_task(self._until_it_arrives(instruction), name=_STEP_TASK)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if isinstance(instruction, Settle):
            self._settles[instruction.step.name] = task
            task.add_done_callback(lambda task: self._never_began(instruction.step.name, task))

    def _take_in(self, name: str, arrived: Event | BaseException) -> None:
        """A step that has no task came to its end. The next one is started here and now: a turn of the loop later is late."""
        del self._runs[name]
        self._arrived.append(self._restarts(name, arrived))
        if self._waiter is None or self._waiter.done():  # who waits no more will look
            return
        try:
            self._work()
        except BaseException as error:
            self._arrived.appendleft(error)
        if self._arrived or self._pending or self._is_finished or self._is_save_due():
            self._wake()
        else:
            self._set_alarm()

    async def _until_it_arrives(self, instruction: Instruction) -> None:
        try:
            arrived: Event | BaseException = await self._in_time(instruction)
        except BaseException as error:
            arrived = error
        if isinstance(instruction, Settle):
            del self._settles[instruction.step.name]
            arrived = self._restarts(instruction.step.name, arrived)
        self._arrived.append(arrived)
        self._wake()

    async def _arrival(self) -> None:
        """Waits until something has come of an instruction, or there is something to save."""
        self._set_alarm()
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _set_alarm(self) -> None:
        """With something to save one wakes up in time: a long step must not put at risk what was finished before it."""
        if self._build.settled and self._alarm is None and self._saving is None:
            self._alarm = asyncio.get_running_loop().call_at(self._saved_at + _SAVE_SECONDS, self._wake_to_save)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _wake_to_save(self) -> None:
        self._alarm = None
        self._wake()

    def _is_save_due(self) -> bool:
        if not self._build.settled or self._saving is not None:
            return False
        return self._build.settled >= _BATCH or asyncio.get_running_loop().time() - self._saved_at >= _SAVE_SECONDS

    async def _begin_save(self) -> None:
        """Saves while steps go on; in a federation in between, since others are told what was written down."""
        save = self._save()
        if self._parts.federation is not None:
            await save
            return
        self._saving = asyncio.create_task(save)
        self._saving.add_done_callback(self._saved)

    def _saved(self, task: "asyncio.Task[None]") -> None:
        self._saving = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._arrived.append(error)
        self._wake()

    async def _end(self) -> None:
        """Ends what still runs and saves; a further interrupt cannot stop it."""
        if self._alarm is not None:
            self._alarm.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for run in list(self._runs.values()):
            run.cancel()
        while self._runs:
            self._waiter = asyncio.get_running_loop().create_future()
            with suppress(asyncio.CancelledError):
                await self._waiter
        self._settling.close()
        self._settling.complete(abandon=True)
        await _to_the_end([*tasks, *([self._saving] if self._saving is not None else [])])
        save = asyncio.ensure_future(self._save())
        await _to_the_end([save])
        save.result()

    async def _save(self) -> None:
        changes, self._build.changes = self._build.changes, Changes()
        self._build.settled = 0
        self._saved_at = asyncio.get_running_loop().time()
        changes.fingerprints.update(self._parts.keys.fresh)
        self._parts.keys.fresh.clear()
        changes.files.update(getattr(self._parts.folder, "take_changed_states", dict)())
        await self._parts.ledger.save(changes)
        if self._parts.federation is not None:
            await self._parts.federation.flush()

    def _at_once(self, instruction: Instruction) -> Event | None:
        """What came of an instruction that needs no process and no other pod; None for what takes time."""
        if isinstance(instruction, Settle):
            return self._settling.at_once(instruction)
        if self._parts.federation is not None:
            return None
        self._settling.complete()
        if isinstance(instruction, Recall):
            return self._knots.recall(instruction)
        assert isinstance(instruction, Conclude)
        return self._knots.conclude(instruction)

    async def _in_time(self, instruction: Instruction) -> Event:
        """What came of an instruction for which :meth:`_at_once` had no answer."""
        if isinstance(instruction, Settle):
            return await self._settling.run(instruction)
        if isinstance(instruction, Recall):
            return await self._knots.far_recall(instruction)
        assert isinstance(instruction, Conclude)
        return await self._knots.far_conclude(instruction)


async def _to_the_end(tasks: Sequence["asyncio.Future[Any]"]) -> None:
    """Waits for all, whatever comes of them and of the caller."""
    while not all(task.done() for task in tasks):
        with suppress(asyncio.CancelledError):
            await asyncio.wait(tasks)


def hasten() -> None:
    """Asks all steps that are being ended once more: then they are killed at once."""
    for majordomo in list(_AT_WORK):
        majordomo.hasten()
    for task in asyncio.all_tasks():
        if task.get_name() == _STEP_TASK:
            task.cancel()


def can_restart() -> bool:
    """Whether steps of the build at work can be ended and begun again on their own."""
    return any(majordomo.can_restart for majordomo in _AT_WORK)


def restart(steps: Iterable[str], paths: Iterable[FilePath]) -> None:
    """Has steps that are under way begin again, as files that they read have changed."""
    for majordomo in list(_AT_WORK):
        majordomo.restart(steps, paths)
