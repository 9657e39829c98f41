"""A console that passes everything on to another one: for those that want to hear some of it too.

Knows no build.
"""

from cpods.cli.console import Console
from cpods.majordomo.account import Reason
from cpods.model import Problem
from cpods.orders import Execution
from cpods.session import Done


class Relay(Console):
    """``console``: what really prints."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def planned(self, steps: int) -> None:
        """The build has this many steps."""
        self._console.planned(steps)

    def started(self, step: str, tool: str, pass_number: int | None) -> None:
        """A process is about to start."""
        self._console.started(step, tool, pass_number)

    def executed(self, execution: Execution) -> None:
        """A process has ended."""
        self._console.executed(execution)

    def settled(self, step: str, reason: Reason) -> None:
        """A step was settled."""
        self._console.settled(step, reason)

    def provisional(self, step: str, pass_number: int | None, problems: tuple[Problem, ...]) -> None:
        """An error that a later pass may cure."""
        self._console.provisional(step, pass_number, problems)

    def note(self, text: str) -> None:
        """One sentence."""
        self._console.note(text)

    def said(self, step: str, text: str) -> None:
        """What a tool on another pod has said."""
        self._console.said(step, text)

    def progress(self, text: str) -> None:
        """A line about what is going on."""
        self._console.progress(text)

    def failed(self, text: str) -> None:
        """An error before anything was built."""
        self._console.failed(text)

    def ended(self, done: Done) -> None:
        """The outcome."""
        self._console.ended(done)
