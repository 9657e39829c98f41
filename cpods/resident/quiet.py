"""When to act on changes: after a moment of quiet, but not for ever later.

Knows no file and no build.
"""

import asyncio
from collections.abc import Callable

#: A build starts when nothing that concerns it was told for so long.
QUIET_SECONDS = 0.010
#: Of something that never stops changing what is there after so long is built.
BURST_SECONDS_MAX = 2.0
#: While files are known to be written one after the other (a checkout), for so long at most.
REWRITE_SECONDS_MAX = 30.0
_REWRITE_LOOK_SECONDS = 0.02


class Quiet:
    """``is_rewritten``: whether somebody is known to be in the middle of writing many files."""

    def __init__(self, is_rewritten: Callable[[], bool] = lambda: False) -> None:
        self._stirred = asyncio.Event()
        self._is_rewritten = is_rewritten

    def stir(self) -> None:
        """Something was told."""
        self._stirred.set()

    async def stirred(self) -> None:
        """Returns when something was told since the last time."""
        await self._stirred.wait()
        self._stirred.clear()

    async def settle(self, concerns: Callable[[], bool]) -> None:
        """Returns after a moment of quiet. ``concerns``: whether what was told since it was last asked is more than noise."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        due = begun + QUIET_SECONDS
        while (left := min(due, begun + BURST_SECONDS_MAX) - loop.time()) > 0:
            try:
                await asyncio.wait_for(self.stirred(), left)
            except TimeoutError:
                break
            if concerns():
                due = loop.time() + QUIET_SECONDS
        while self._is_rewritten() and loop.time() < begun + REWRITE_SECONDS_MAX:
            await asyncio.sleep(_REWRITE_LOOK_SECONDS)
