"""The MajorDomo: carries out the core's instructions through ports, and tells the core what came of them.

Knows no SQL, no process and no transport: only ports.
"""

import asyncio

from cpods.errors import Interrupted
from cpods.events import Conclude, Event, Finish, Instruction, Recall, Settle
from cpods.majordomo.context import Build
from cpods.majordomo.knots import Knots
from cpods.majordomo.settling import Settling
from cpods.ports import Changes

#: Records are written in batches of this many settled steps, and at the end.
_BATCH = 256


class MajorDomo:
    """Drives one build. Call :meth:`rebuild` once."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._parts = build.parts
        self._settling = Settling(build)
        self._knots = Knots(build, self._settling)

    async def rebuild(self) -> None:
        """Builds until nothing is left to do. Raises UsageError, OSError, StoreDamaged; records are saved in any case."""
        tasks: dict[asyncio.Task[Event], Instruction] = {}
        try:
            pending = self._build.core.start()
            while True:
                for instruction in pending:
                    if isinstance(instruction, Finish):
                        return
                    tasks[asyncio.ensure_future(self._carry_out(instruction))] = instruction
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                pending = []
                for task in done:
                    del tasks[task]
                    pending += self._build.core.handle(task.result())
                if self._build.settled >= _BATCH:
                    await self._save()
        except asyncio.CancelledError:
            raise Interrupted("interrupted; running steps were ended and what they wrote was removed or restored") from None
        finally:
            await self._end(list(tasks))

    async def _end(self, tasks: list["asyncio.Task[Event]"]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._save()

    async def _save(self) -> None:
        changes, self._build.changes = self._build.changes, Changes()
        self._build.settled = 0
        changes.fingerprints.update(self._parts.keys.fresh)
        self._parts.keys.fresh.clear()
        changes.files.update(getattr(self._parts.folder, "take_changed_states", dict)())
        await self._parts.ledger.save(changes)

    async def _carry_out(self, instruction: Instruction) -> Event:
        if isinstance(instruction, Settle):
            return await self._settling.settle(instruction)
        if isinstance(instruction, Recall):
            return self._knots.recall(instruction)
        assert isinstance(instruction, Conclude)
        return self._knots.conclude(instruction)
