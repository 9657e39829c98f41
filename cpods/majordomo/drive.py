"""The MajorDomo: carries out the core's instructions through ports, and tells the core what came of them.

Knows no SQL, no process and no transport: only ports.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from cpods.errors import Interrupted
from cpods.events import Conclude, Event, Finish, Instruction, Recall, Settle
from cpods.majordomo.context import Build
from cpods.majordomo.knots import Knots
from cpods.majordomo.settling import Settling
from cpods.ports import Changes

#: Records are written in batches of this many settled steps, and at the end.
_BATCH = 256
#: … and when the oldest unwritten one is about this old: a kill costs no more than this.
_SAVE_SECONDS = 1.0
_STEP_TASK = "a step"
#: So many instructions that need no process are carried out before running steps and interrupts are looked after.
_AT_ONCE_MAX = 64


class MajorDomo:
    """Drives one build. Call :meth:`rebuild` once."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._parts = build.parts
        self._settling = Settling(build)
        self._knots = Knots(build, self._settling)
        self._saved_at = 0.0

    async def rebuild(self) -> None:
        """Builds until nothing is left to do. Raises UsageError, OSError, StoreDamaged; records are saved in any case."""
        tasks: set[asyncio.Task[Event]] = set()
        self._saved_at = asyncio.get_running_loop().time()
        try:
            pending = deque(self._build.core.start())
            while True:
                for _ in range(_AT_ONCE_MAX):
                    if not pending:
                        break
                    instruction = pending.popleft()
                    if isinstance(instruction, Finish):
                        return
                    event = self._at_once(instruction)
                    if event is not None:
                        pending += self._build.core.handle(event)
                    else:
                        tasks.add(asyncio.create_task(self._in_time(instruction), name=_STEP_TASK))
                for task in await self._ended(tasks, wait=not pending):
                    tasks.remove(task)
                    pending += self._build.core.handle(task.result())
                if self._is_save_due():
                    await self._save()
        except asyncio.CancelledError:
            raise Interrupted("interrupted; running steps were ended and what they wrote was removed or restored") from None
        finally:
            await self._end(list(tasks))

    async def _ended(self, tasks: set["asyncio.Task[Event]"], wait: bool) -> set["asyncio.Task[Event]"]:
        """The tasks that have ended, after waiting for one if ``wait``; others and interrupts get their turn in any case."""
        if wait:
            # With something to save it wakes up in time: a long step must not put at risk what was finished before it.
            limit = _SAVE_SECONDS if self._build.settled else None
            done, _ = await asyncio.wait(tasks, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            return done
        await asyncio.sleep(0)
        return {task for task in tasks if task.done()}

    def _is_save_due(self) -> bool:
        waited = asyncio.get_running_loop().time() - self._saved_at
        return self._build.settled >= _BATCH or (self._build.settled > 0 and waited >= _SAVE_SECONDS)

    async def _end(self, tasks: list["asyncio.Task[Event]"]) -> None:
        """Ends what still runs and saves; a further interrupt cannot stop it."""
        for task in tasks:
            task.cancel()
        await _to_the_end(tasks)
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
    for task in asyncio.all_tasks():
        if task.get_name() == _STEP_TASK:
            task.cancel()
