"""A small change built in the process of the watch itself: nothing is loaded and only what the change reaches is looked at.

Knows no watch. If that turns out not to be enough, the whole is built in a process of its own.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cpods.cli.console import Console
from cpods.cli.flags import Flags
from cpods.cli.listener import listener_for
from cpods.cli.rebuild import call_of
from cpods.cli.relay import Relay
from cpods.cli.watchedbuild import outcome_of
from cpods.ids import FilePath
from cpods.orders import Execution
from cpods.resident.attendant import Outcome
from cpods.resident.builds import Forked
from cpods.resident.footing import Footing
from cpods.session import Done, rebuild_slice

if TYPE_CHECKING:
    from cpods.standing import Standing


class Cut:
    """See :class:`cpods.resident.attendant.Running`. ``over``: called with the end of a slice that was enough."""

    def __init__(self, flags: Flags, footing: Footing, over: Callable[[Done, Footing], None], whole: Callable[[], Forked]) -> None:
        assert footing.standing is not None
        self._flags = flags
        self._whole = whole
        self._over = over
        self._console = _Noting(listener_for(flags.json_lines))
        self._console.verbose = flags.verbose
        self._forked: Forked | None = None
        self._task = asyncio.ensure_future(self._build(footing, footing.standing, sorted(footing.differing)))

    def steps(self) -> Sequence[str]:
        """The steps that run now."""
        return self._forked.steps() if self._forked is not None else list(self._console.running)

    def restart(self, steps: Sequence[str], changed: Sequence[FilePath]) -> bool:
        """Steps begin again; False if this build cannot do that now."""
        from cpods.majordomo.drive import can_restart, restart

        if self._forked is not None:
            return self._forked.restart(steps, changed)
        if self._task.done() or not can_restart():
            return False
        restart(steps, changed)
        return True

    def cancel(self) -> None:
        """Ends it in good order; asked again, it hastens."""
        from cpods.majordomo.drive import hasten

        if self._forked is not None:
            self._forked.cancel()
        elif self._task.cancelling():
            hasten()
        else:
            self._task.cancel()

    async def ended(self) -> Outcome:
        """Its end."""
        return await asyncio.shield(self._task)

    async def _build(self, footing: Footing, standing: "Standing", changed: list[int]) -> Outcome:
        done = await rebuild_slice(call_of(self._flags), os.environ, self._console, _waiting, standing, changed)
        if done is None:
            self._forked = self._whole()
            return await self._forked.ended()
        self._console.ended(done)
        self._over(done, footing)
        return outcome_of(done, self._flags)


class _Noting(Relay):
    """Knows which steps run."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.running: dict[str, None] = {}

    def started(self, step: str, tool: str, pass_number: int | None) -> None:
        """A process is about to start."""
        self.running[step] = None
        super().started(step, tool, pass_number)

    def executed(self, execution: Execution) -> None:
        """A process has ended."""
        self.running.pop(execution.step, None)
        super().executed(execution)


def _waiting(text: str) -> None:
    print(f"waiting: {text}", file=sys.stderr)
