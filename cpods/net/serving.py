"""A store server's process: set up by a line on standard input, led by more of them, ended by the end of them.

Knows no SSH: what serves is handed in. Whoever started the process is cpods.net.storeserver; if it dies, so does the server.

Lines in: a :class:`Setup`, then :class:`Order`\\ s. Lines out: one :class:`State` after the start, after each order, and whenever
the counts have changed for a while. All in JSON.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

#: Seconds between two reports of changed counts.
REPORT_SECONDS = 0.5

#: A line with all members' keys may be long.
LINE_BYTES_MAX = 16 << 20


class CannotServe(Exception):
    """One sentence. ``usage``: what was asked for can never be done here."""

    def __init__(self, message: str, usage: bool = False) -> None:
        super().__init__(message)
        self.usage = usage


class Setup(msgspec.Struct, frozen=True):
    """What a server needs to know. ``keys``: member -> public key; ``port`` 0: any; ``run``: a private folder for its own files."""

    store: str
    host_key: str
    host: str
    port: int
    keys: dict[str, str]
    run: str = ""


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """``keys``: the members from now on, None to ask for the counts only. Answered by a State of the same ``number``."""

    number: int
    keys: dict[str, str] | None = None


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """``served``: bytes by member since the start; ``answer``: to which order; ``error``: the server cannot start, or has ended."""

    served: dict[str, int] = {}
    answer: int = -1
    port: int = 0
    error: str = ""
    usage: bool = False


class Server(Protocol):
    """What serves."""

    async def start(self, keys: Mapping[str, str]) -> int:
        """Begins to listen; the port. Raises CannotServe."""

    async def admit(self, keys: Mapping[str, str]) -> None:
        """Only these members from now on; sessions of all others are cut when it returns."""

    def served(self) -> Mapping[str, int]:
        """Bytes by member, since the start."""

    async def stop(self) -> None:
        """Ends all."""


def serve_forever(make: Callable[[Setup], Server]) -> int:
    """Runs a server until standard input ends; the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches all; who leads this process ends it
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each write to a client that has just vanished
    return asyncio.run(_serve(make))


async def _serve(make: Callable[[Setup], Server]) -> int:
    lines = await _standard_input()
    first = await lines.readline()
    if not first:
        return 1
    setup = msgspec.json.decode(first, type=Setup)
    try:
        return await _serve_as_told(make, setup, lines)
    finally:
        if setup.run:
            shutil.rmtree(setup.run, ignore_errors=True)


async def _serve_as_told(make: Callable[[Setup], Server], setup: Setup, lines: asyncio.StreamReader) -> int:
    try:
        server = make(setup)
        port = await server.start(setup.keys)
    except (CannotServe, OSError) as error:
        _say(State(error=str(error), usage=isinstance(error, CannotServe) and error.usage))
        return 1
    _say(State(port=port))
    reporting = asyncio.create_task(_report(server))
    try:
        while line := await lines.readline():
            order = msgspec.json.decode(line, type=Order)
            if order.keys is not None:
                await server.admit(order.keys)
            _say(State(dict(server.served()), order.number))
    finally:
        reporting.cancel()
        await server.stop()
    return 0


async def _report(server: Server) -> None:
    said: dict[str, int] = {}
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        now = dict(server.served())
        if now != said:
            _say(State(now))
            said = now


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb"))
    return reader


def _say(state: State) -> None:
    """One line; that nobody reads any more is noticed by the end of standard input."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(msgspec.json.encode(state) + b"\n")
        sys.stdout.buffer.flush()
