"""What a build prints: plain lines when piped, a live line on a terminal, JSON lines on request.

Knows no build; it is told what happens.
"""

import asyncio
import sys
from contextlib import suppress
from typing import Any

from cpods.cli.jsonlines import say_json
from cpods.majordomo.account import Listener, Reason
from cpods.majordomo.verdict import format_problem
from cpods.model import Problem
from cpods.orders import Execution
from cpods.session import Done
from cpods.wiring import POD as HERE

_TOGETHER_SECONDS = 0.02
#: So many of the sentences at the end are shown: with 10,000 steps, a failure of one may keep 9,000 from being run.
_NOTES_SHOWN = 20


class Console(Listener):
    """Plain lines. Errors and progress go to stderr, the outcome to stdout. ``verbose``: what tools on other pods say, too."""

    verbose = False
    _told = ""
    _more = 0
    _lines: tuple[str, ...] = ()
    _is_flowing = False

    def started(self, step: str, tool: str, pass_number: int | None) -> None:
        """A process is about to start."""

    def executed(self, execution: Execution) -> None:
        """One line a process."""
        where = f"pass {execution.pass_number}: " if execution.pass_number is not None else ""
        code = f", exit code {execution.exit_code}" if execution.exit_code else ""
        place = f" on {execution.pod}" if execution.pod != HERE else ""
        self._line(f"{where}{execution.step} ({execution.tool}{place}, {execution.seconds:.2f} s{code})")

    def settled(self, step: str, reason: Reason) -> None:
        """Only what is worth a line: results taken from the store."""
        if reason.insignificant:
            self._tell(step, f"reused: insignificant change in {', '.join(change.path for change in reason.insignificant)}")
        elif reason.how == "cached":
            self._tell(step, "from the store")

    def _tell(self, step: str, text: str) -> None:
        """The same about one step after the other (each picture of a document, say) is told of the first, then counted."""
        if text == self._told:
            self._more += 1
        else:
            self._line(f"{step}: {text}")
            self._told = text

    def _line(self, text: str) -> None:
        self._tell_more()
        self.progress(text)

    def _tell_more(self) -> None:
        if self._more:
            self.progress(f"{self._more} more step{'s' * (self._more > 1)}: {self._told}")
        self._told, self._more = "", 0

    def provisional(self, step: str, pass_number: int | None, problems: tuple[Problem, ...]) -> None:
        """An error that a later pass may cure."""
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            self._line(f"pass {pass_number}: provisional: {format_problem(step, problems[0])}{more}")

    def note(self, text: str) -> None:
        """One sentence."""
        self._line(text)

    def said(self, step: str, text: str) -> None:
        """What a tool on another pod has said just now."""
        if self.verbose:
            for line in text.splitlines():
                self.progress(f"[{step}] {line}")

    def progress(self, text: str) -> None:
        """A line about what is going on; a flood of them goes out together, many times a second, as each write wakes its reader."""
        self._lines = (*self._lines, text)
        if not self._is_flowing:
            try:
                asyncio.get_running_loop().call_later(_TOGETHER_SECONDS, self._hand_on)
                self._is_flowing = True
            except RuntimeError:  # no loop runs
                self._hand_on()

    def _hand_on(self) -> None:
        lines, self._lines, self._is_flowing = self._lines, (), False
        if lines:
            with suppress(BrokenPipeError):  # nobody reads progress; the outcome's reader may be another
                print("\n".join(lines), file=sys.stderr, flush=True)

    def failed(self, text: str) -> None:
        """An error."""
        self._hand_on()
        print(f"cpods: {text}", file=sys.stderr, flush=True)

    def ended(self, done: Done) -> None:
        """The outcome."""
        self._tell_more()
        self._hand_on()
        for text in done.ending.errors:
            self.failed(text)
        notes = done.ending.notes
        for text in notes[:_NOTES_SHOWN]:
            print(text)
        if len(notes) > _NOTES_SHOWN:
            print(f"… and {len(notes) - _NOTES_SHOWN} more like these; --report FILE has all")
        for line in done.lines:
            print(line)
        sys.stdout.flush()


class JsonConsole(Console):
    """JSON lines on stdout."""

    def _say(self, kind: str, **fields: Any) -> None:
        say_json({"event": kind, **fields})

    def planned(self, steps: int) -> None:
        """The build has this many steps."""
        self._say("planned", steps=steps)

    def started(self, step: str, tool: str, pass_number: int | None) -> None:
        """A process is about to start."""
        self._say("started", step=step, tool=tool, **{"pass": pass_number})

    def executed(self, execution: Execution) -> None:
        """A process has ended."""
        fields = {"seconds": execution.seconds, "exit_code": execution.exit_code, "pass": execution.pass_number}
        self._say("executed", step=execution.step, tool=execution.tool, **fields)

    def settled(self, step: str, reason: Reason) -> None:
        """A step was settled."""
        self._say("settled", step=step, how=reason.how, insignificant=[change.path for change in reason.insignificant])

    def provisional(self, step: str, pass_number: int | None, problems: tuple[Problem, ...]) -> None:
        """An error in a pass."""
        self._say("provisional", step=step, problems=[format_problem(step, problem) for problem in problems], **{"pass": pass_number})

    def note(self, text: str) -> None:
        """One sentence."""
        self._say("note", text=text)

    def said(self, step: str, text: str) -> None:
        """What a tool on another pod has said just now."""
        if self.verbose:
            self._say("said", step=step, text=text)

    def failed(self, text: str) -> None:
        """An error."""
        self._say("error", text=text)

    def ended(self, done: Done) -> None:
        """The report itself is the last line."""
        say_json({"event": "ended", **done.report})
