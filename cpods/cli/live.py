"""The live line of a build on a terminal: what runs now, above it what is done.

Knows no build; it is told what happens. A build that is over in no time never draws it, and never loads rich for it.
"""

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from cpods.cli.console import Console
from cpods.cli.styled import DIM, RED, styled
from cpods.orders import Execution
from cpods.session import Done

if TYPE_CHECKING:
    from rich.console import Console as Terminal
    from rich.status import Status

#: So many running steps are named in the live line.
_NAMED_MAX = 4
#: The live line is drawn when something has been running for so long.
_DELAY_SECONDS = 0.3


class LiveConsole(Console):
    """Lines as :class:`Console`'s, with a spinner that names the running steps."""

    def __init__(self, delay_seconds: float = _DELAY_SECONDS) -> None:
        self._delay_seconds = delay_seconds
        self._terminal: Terminal | None = None
        self._status: Status | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._running: dict[str, str] = {}

    def started(self, step: str, tool: str, pass_number: int | None) -> None:
        """Shows the step in the live line."""
        self._running[step] = f"pass {pass_number}: {step}" if pass_number is not None else step
        if self._status is not None:
            self._show()
        elif self._soon is None:
            with suppress(RuntimeError):  # no loop runs: then nothing runs for long either
                self._soon = asyncio.get_running_loop().call_later(self._delay_seconds, self._draw)

    def executed(self, execution: Execution) -> None:
        """The step leaves the live line and gets a line of its own."""
        self._running.pop(execution.step, None)
        super().executed(execution)
        if self._status is not None:
            self._show()
        elif not self._running:
            self._wait_no_more()

    def progress(self, text: str) -> None:
        """A line above the live one."""
        self._say(text, DIM)

    def failed(self, text: str) -> None:
        """An error, in red."""
        self._end()
        self._say(f"cpods: {text}", RED)

    def ended(self, done: Done) -> None:
        """The outcome."""
        self._end()
        super().ended(done)

    def running_text(self) -> str:
        """The running steps in words; of many the first."""
        names = list(self._running.values())
        return ", ".join(names[:_NAMED_MAX]) + (f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else "")

    def _say(self, text: str, style: str) -> None:
        if self._status is None:
            print(styled(text, style), file=sys.stderr, flush=True)
        else:
            assert self._terminal is not None
            self._terminal.print(text, markup=False, style="dim" if style == DIM else "red")

    def _draw(self) -> None:
        self._soon = None
        self._show()

    def _show(self) -> None:
        text = self.running_text()
        if not text:
            self._end()
        elif self._status is None:
            if self._terminal is None:
                from rich.console import Console as Terminal

                self._terminal = Terminal(stderr=True, highlight=False)
            self._status = self._terminal.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def _end(self) -> None:
        self._wait_no_more()
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _wait_no_more(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
