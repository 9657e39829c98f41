"""One build of ``cpods watch`` in a process of its own: it prints as ``cpods rebuild`` does, and tells the watch how it goes.

Knows no watch but the connection to it.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from cpods import cli
from cpods.cli.console import Console
from cpods.cli.flags import Flags
from cpods.cli.jsonlines import say_json
from cpods.cli.relay import Relay
from cpods.majordomo.drive import can_restart, restart
from cpods.orders import Execution
from cpods.resident.attendant import Outcome, Problem
from cpods.resident.builds import EXECUTED, RESTARTS, STARTED, done_message
from cpods.resident.protocol import frame, parsed
from cpods.session import Done
from cpods.store.glance import Look
from cpods.store.summary import null_report

_RECEIVE_BYTES = 1 << 16


class Teller(Relay):
    """Steps and the end are told over a connection too."""

    def __init__(self, console: Console, link: int, hears: int, ground: str, flags: Flags) -> None:
        super().__init__(console)
        self._link = link
        self._hears = hears
        self._listens = False
        self._data = b""
        self._ground = ground
        self._flags = flags

    def started(self, step: str, tool: str, pass_number: int | None) -> None:
        """A process is about to start."""
        if not self._listens:
            self._listen()
        self._say(frame(STARTED, step))
        super().started(step, tool, pass_number)

    def executed(self, execution: Execution) -> None:
        """A process has ended."""
        self._say(frame(EXECUTED, execution.step))
        super().executed(execution)

    def failed(self, text: str) -> None:
        """An error before anything was built."""
        self._say(done_message(Outcome(2, "invalid", (Problem(text),))))
        super().failed(text)

    def ended(self, done: Done) -> None:
        """The end; what the build looked at is left for the watch, unless that finds it where null builds do."""
        from cpods.resident.ground import write_ground

        outcome = outcome_of(done, self._flags)
        with suppress(OSError):
            if not outcome.key:
                write_ground(self._ground, os.path.abspath(self._flags.folder), done.build, self._flags.goals)
        self._say(done_message(outcome))
        super().ended(done)

    def _listen(self) -> None:
        """From now on the watch may have steps begin again."""
        self._listens = True
        if can_restart():
            os.set_blocking(self._hears, False)
            asyncio.get_running_loop().add_reader(self._hears, self._hear)
            self._say(frame(RESTARTS, None))

    def _hear(self) -> None:
        try:
            data = os.read(self._hears, _RECEIVE_BYTES)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._hears)
        self._data += data
        while (message := parsed(self._data)) is not None:
            _, (steps, changed), self._data = message
            restart(steps, changed)

    def _say(self, message: bytes) -> None:
        with suppress(OSError):  # the watch is gone; soon we are interrupted
            os.write(self._link, message)


def outcome_of(done: Done, flags: Flags) -> Outcome:
    """How a build ended, for the watch."""
    from cpods.cli.rebuild import call_of

    return Outcome(done.ending.exit_code, done.ending.status, tuple(_problems(done)), call_of(flags).glance if done.remembered else "")


def _problems(done: Done) -> Iterator[Problem]:
    """What is wrong: what tools complained about, with file and line; where they did not, the sentences."""
    if done.ending.exit_code == 0:
        yield from _provisional(done)
        return
    told = False
    for failure in done.build.core.failures.values() if done.build is not None else ():
        for problem in failure.problems:
            if problem.severity == "error":
                told = True
                yield Problem(problem.message, problem.file, problem.line, problem.source)
    if not told:
        yield from (Problem(text) for text in done.ending.errors)


def _provisional(done: Done) -> Iterator[Problem]:
    """What the last pass over a circle complained about that is not at rest: without --until-stable nothing else tells of it."""
    solutions = done.build.core.solutions.values() if done.build is not None else ()
    for result in (result for solution in solutions if solution.verdict is None for _, result in solution.last):
        for problem in result.problems:
            if problem.severity == "error":
                yield Problem(problem.message, problem.file, problem.line, problem.source)


def build_watched(request: dict[str, Any], link: int) -> int:
    """Builds; the exit code. ``watched``: the flags as a tuple; ``arguments``: the same as words; ``ground``: where that is left."""
    flags = Flags(*request["watched"])

    def run() -> int:
        from cpods.cli.glance import key_of, try_rebuild
        from cpods.cli.rebuild import run

        words = [word for word in request["arguments"][1:] if word != "--json"]
        code = None if flags.force else try_rebuild(words, _tell_json if flags.json_lines else None, mends=False)
        if code is not None:
            os.write(link, done_message(Outcome(code, "done", (), key_of(flags._asdict()))))
            return code
        return run(flags, lambda console: Teller(console, link, request["hears"], request["ground"], flags))

    return cli.call(run)


def _tell_json(found: Look, root: str, report_file: str, seconds: float) -> int | None:
    """A build that had nothing to do, as one line of JSON."""
    if report_file:
        return None
    try:
        report = null_report(found, root, seconds)
    except (OSError, ValueError, KeyError):
        return None
    say_json({"event": "ended", **report})
    return 0
