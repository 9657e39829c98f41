"""What happened in a build: executions, how each step was settled and why, provisional errors, notes.

Knows no port; the report and the terminal read it.
"""

import msgspec

from cpods.majordomo.lookup import Difference
from cpods.model import Problem
from cpods.orders import Execution


class Reason(msgspec.Struct):
    """Why a step ran or did not. ``how``: ran, cached, up_to_date, failed, blocked, waiting, would_run.

    ``insignificant``: inputs that changed, but not in what the step reads: (path, digest before, digest now).
    """

    how: str
    changes: tuple[Difference, ...] = ()
    insignificant: tuple[Difference, ...] = ()
    text: str = ""


class Account:
    """Grows while a build goes on. ``listener`` hears of every entry at once (the terminal's progress)."""

    def __init__(self, listener: "Listener") -> None:
        self.executions: list[Execution] = []
        self.reasons: dict[str, Reason] = {}
        self.notes: list[str] = []
        self.listener = listener

    def started(self, step: str, tool: str, pass_number: int | None) -> None:
        """A process is about to start."""
        self.listener.started(step, tool, pass_number)

    def executed(self, execution: Execution) -> None:
        """A process has ended."""
        self.executions.append(execution)
        self.listener.executed(execution)

    def settled(self, step: str, reason: Reason) -> None:
        """A step was settled; the first reason of a build that made it run is the one that is kept."""
        known = self.reasons.get(step)
        if known is None or (known.how != "ran" and reason.how in ("ran", "failed")) or reason.how == "failed":
            self.reasons[step] = reason
        if known is None:
            self.listener.settled(step, reason)

    def provisional(self, step: str, pass_number: int | None, problems: tuple[Problem, ...]) -> None:
        """An error that a later pass may cure."""
        self.listener.provisional(step, pass_number, problems)

    def note(self, text: str) -> None:
        """One sentence for the user, told once."""
        if text not in self.notes:
            self.notes.append(text)
            self.listener.note(text)


class Listener:
    """Hears what happens; this one says nothing."""

    def planned(self, steps: int) -> None:
        """The build has this many steps."""

    def started(self, step: str, tool: str, pass_number: int | None) -> None:
        """A process is about to start."""

    def executed(self, execution: Execution) -> None:
        """A process has ended."""

    def settled(self, step: str, reason: Reason) -> None:
        """A step was settled for the first time in this build."""

    def provisional(self, step: str, pass_number: int | None, problems: tuple[Problem, ...]) -> None:
        """An error in a pass."""

    def note(self, text: str) -> None:
        """One sentence for the user."""

    def said(self, step: str, text: str) -> None:
        """What a tool on another pod has said just now."""
