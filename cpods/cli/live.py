"""The live line of a build on a terminal: what runs now, above it what is done.

Knows no build; it is told what happens.
"""

from rich.console import Console as Terminal
from rich.status import Status

from cpods.cli.console import Console
from cpods.orders import Execution
from cpods.session import Done

#: So many running steps are named in the live line.
_NAMED_MAX = 4


class LiveConsole(Console):
    """Lines as :class:`Console`'s, with a spinner that names the running steps."""

    def __init__(self) -> None:
        self._terminal = Terminal(stderr=True, highlight=False)
        self._status: Status | None = None
        self._running: dict[str, str] = {}

    def started(self, step: str, tool: str, pass_number: int | None) -> None:
        """Shows the step in the live line."""
        self._running[step] = f"pass {pass_number}: {step}" if pass_number is not None else step
        self._show()

    def executed(self, execution: Execution) -> None:
        """The step leaves the live line and gets a line of its own."""
        self._running.pop(execution.step, None)
        super().executed(execution)
        self._show()

    def progress(self, text: str) -> None:
        """A line above the live one."""
        self._terminal.print(text, markup=False, style="dim")

    def failed(self, text: str) -> None:
        """An error, in red."""
        self._end()
        self._terminal.print(f"cpods: {text}", markup=False, style="red")

    def ended(self, done: Done) -> None:
        """The outcome."""
        self._end()
        super().ended(done)

    def running_text(self) -> str:
        """The running steps in words; of many the first."""
        names = list(self._running.values())
        return ", ".join(names[:_NAMED_MAX]) + (f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else "")

    def _show(self) -> None:
        text = self.running_text()
        if not text:
            self._end()
        elif self._status is None:
            self._status = self._terminal.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def _end(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
