"""The nursery as the resident sees it: started when the first build is wanted, ended when none was for a while.

Knows no build: it hands over requests with their files and hears which of them are over.
"""

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
from typing import Any

from cpods.resident import nursery, protocol

#: A nursery that nobody needed for so long is ended: it holds some 60 MiB.
IDLE_SECONDS_MAX = 900.0
_RECEIVE_BYTES = 1 << 16


class Crew:
    """``entry``: module and name of the function that is a build (see :data:`cpods.resident.nursery.Function`)."""

    def __init__(self, entry: tuple[str, str], idle_seconds: float = IDLE_SECONDS_MAX) -> None:
        self._loop = asyncio.get_running_loop()
        self._entry = entry
        self._idle_seconds = idle_seconds
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[int | None]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The nursery's process, if there is one."""
        return self._process.pid if self._process is not None else None

    @property
    def busy(self) -> int:
        """How many builds go on."""
        return len(self._waiting)

    def start(self) -> None:
        """Starts the nursery, so that the first build need not wait for it. Raises OSError."""
        if self._control is not None:
            return
        mine, theirs = socket.socketpair()
        try:
            # A folder that cannot be deleted, and no path of ours in front of the library's.
            argv = [sys.executable, "-P", "-m", nursery.__name__, str(theirs.fileno()), *self._entry]
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], cwd="/")
        except BaseException:
            mine.close()
            raise
        finally:
            theirs.close()
        self._control, self._data = mine, b""
        self._loop.add_reader(mine.fileno(), self._read)

    def hand_over(self, request: dict[str, Any], files: list[int]) -> "asyncio.Future[int | None]":
        """Has a build forked; its exit code, None if the nursery died. ``files`` (connection, stdin, stdout, stderr) stay the caller's.

        Raises OSError.
        """
        number = next(self._numbers)
        message = protocol.frame(nursery.FORK, (number, request))
        self.start()
        try:
            self._send(message, files)
        except (BrokenPipeError, ConnectionResetError):  # it has just been ended, and we have not heard of it yet
            self._forget()
            self.start()
            self._send(message, files)
        self._rest_later()
        over = self._waiting[number] = self._loop.create_future()
        return over

    def _send(self, message: bytes, files: list[int]) -> None:
        assert self._control is not None
        sent = socket.send_fds(self._control, [message], files)
        self._control.sendall(message[sent:])

    async def close(self) -> None:
        """No more builds; waits for those that go on. Idempotent."""
        if self._control is not None:
            self._control.shutdown(socket.SHUT_WR)
        if self._process is not None:
            process, self._process = self._process, None
            await asyncio.to_thread(process.wait)
        self._forget()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget()
            return
        self._data += data
        while (message := protocol.parsed(self._data)) is not None:
            _, value, self._data = message
            number, code = value
            over = self._waiting.pop(number, None)
            if over is not None and not over.done():
                over.set_result(code)
        self._rest_later()

    def _forget(self) -> None:
        """The nursery is gone, or going."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._control is not None:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        if self._process is not None:
            with contextlib.suppress(ChildProcessError):
                self._process.poll()
            self._process = None
        waiting, self._waiting = self._waiting, {}
        for over in waiting.values():
            if not over.done():
                over.set_result(None)

    def _rest_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._idle_seconds, self._rest)

    def _rest(self) -> None:
        self._timer = None
        if self._waiting:
            self._rest_later()
        elif self._control is not None:
            self._control.shutdown(socket.SHUT_WR)  # it ends by itself, and we hear of it


def pair() -> tuple[socket.socket, socket.socket]:
    """A connection for a build of our own: our end does not block, the other is to be handed over."""
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    return mine, theirs


def nothing() -> int:
    """A descriptor of an empty stdin."""
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
