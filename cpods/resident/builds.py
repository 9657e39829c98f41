"""Builds of a standing order that are forked from the nursery, and what the catalogue says of steps meanwhile.

Knows no terminal: the build itself prints. It tells us which steps run and how it ended by messages of its own.
"""

import asyncio
import os
import signal
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from cpods.ids import FilePath
from cpods.model import Result
from cpods.resident import protocol
from cpods.resident.attendant import Outcome, Problem
from cpods.resident.crew import Crew, nothing, pair

#: A step has started; it has ended; the build is done (see :func:`done_message`); it can have single steps begin again.
STARTED, EXECUTED, DONE, RESTARTS = b"S", b"X", b"D", b"R"
_RECEIVE_BYTES = 1 << 16
_INTERRUPTED = 130
#: The exit code of a process that a signal ended is the signal's number behind this.
_SIGNAL_CODE = 128


def done_message(outcome: Outcome) -> bytes:
    """What a build says at its end, before the nursery tells that it has ended."""
    return protocol.frame(DONE, (outcome.code, outcome.status, [tuple(problem) for problem in outcome.problems], outcome.key))


class Forked:
    """A build in a process of its own (see :class:`cpods.resident.attendant.Running`)."""

    def __init__(self, crew: Crew, request: Mapping[str, Any], streams: Sequence[int] = (1, 2)) -> None:
        """``streams``: what is its stdout and stderr. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._link, theirs = pair()
        empty = nothing()
        try:
            self._over = crew.hand_over(dict(request), [theirs.fileno(), empty, *streams])
        except BaseException:
            self._link.close()
            raise
        finally:
            theirs.close()
            os.close(empty)
        self._data = b""
        self._steps: dict[str, None] = {}
        self._restarts = False
        self._outcome: Outcome | None = None
        self._read_to_the_end = self._loop.create_future()
        self._loop.add_reader(self._link.fileno(), self._read)

    def steps(self) -> list[str]:
        """The steps that run now."""
        return list(self._steps)

    def restart(self, steps: Sequence[str], changed: Sequence[FilePath]) -> bool:
        """Steps begin again; False if this build cannot do that, or is over."""
        if not self._restarts:
            return False
        try:
            self._link.send(protocol.frame(protocol.RESTART, (list(steps), list(changed))))
        except OSError:
            return False
        return True

    def cancel(self) -> None:
        """As Ctrl-C."""
        with suppress(OSError):
            self._link.send(protocol.frame(protocol.INTERRUPT, None))

    async def ended(self) -> Outcome:
        """Its end."""
        code = await asyncio.shield(self._over)
        await asyncio.shield(self._read_to_the_end)
        if self._outcome is not None:
            return self._outcome
        if code is None:
            return Outcome(1, "failed", (Problem("the process that builds are forked from has ended"),), lost=True)
        if code > _SIGNAL_CODE and code != _INTERRUPTED:
            return Outcome(code, "failed", (Problem(f"the build was ended by {signal.Signals(code - _SIGNAL_CODE).name}"),), lost=True)
        status = {0: "done", _INTERRUPTED: "interrupted"}.get(code, "failed")
        return Outcome(code, status, (Problem(f"the build ended with exit code {code}"),) if status == "failed" else ())

    def _read(self) -> None:
        try:
            data = self._link.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._data += data
        while (message := protocol.parsed(self._data)) is not None:
            kind, value, self._data = message
            self._hear(kind, value)
        if not data:
            self._loop.remove_reader(self._link.fileno())
            self._link.close()
            if not self._read_to_the_end.done():
                self._read_to_the_end.set_result(None)

    def _hear(self, kind: bytes, value: Any) -> None:
        if kind == STARTED:
            self._steps[value] = None
        elif kind == EXECUTED:
            self._steps.pop(value, None)
        elif kind == RESTARTS:
            self._restarts = True
        elif kind == DONE:
            code, status, problems, key = value
            self._outcome = Outcome(code, status, tuple(Problem(*problem) for problem in problems), key)


class Records:
    """What the catalogue says, read while others write it. Whatever cannot be read is not known."""

    def __init__(self, catalogue: str) -> None:
        self._catalogue = catalogue
        self._connection: sqlite3.Connection | None = None

    def reads(self, step: str) -> frozenset[FilePath] | None:
        """What a step read or looked for when it last ran; None if that is not known."""
        row = self._one("SELECT body FROM results WHERE name = ?", step)
        if row is None:
            return None
        with suppress(msgspec.DecodeError, msgspec.ValidationError):
            return frozenset(read.path for read in msgspec.msgpack.decode(row[0], type=Result).reads)
        return None

    def is_product(self, path: FilePath) -> bool:
        """Whether a step made this file."""
        return self._one("SELECT 1 FROM written WHERE path = ?", path) is not None

    def close(self) -> None:
        """Releases the file. Idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _one(self, query: str, value: str) -> tuple[Any, ...] | None:
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(f"file:{self._catalogue}?mode=ro", uri=True, timeout=0.1)
            row: tuple[Any, ...] | None = self._connection.execute(query, (value,)).fetchone()
            return row
        except sqlite3.Error:
            self.close()
            return None


__all__ = ["DONE", "EXECUTED", "RESTARTS", "STARTED", "Forked", "Records", "done_message"]
