"""What a program says: the reading end of a pipe, and both ends of what came through it.

Knows no process and no event loop of its own.
"""

import asyncio
import fcntl
import os
from collections import deque
from collections.abc import Callable

from cpods.scheduler.reactor import Reactor

#: What a pipe holds, as a rule; a larger buffer would be mapped and unmapped at each read.
_READ_BYTES = 64 << 10
#: A pipe holds at most this much when its writers are gone or not ours any more.
_PIPE_BYTES_MAX = 1 << 20
#: After so many blocks in a row of less than this, a program is read only every so often: its pipe is to hold what comes meanwhile.
#: That ends when nothing comes, or as much as fills half the pipe.
_PIECE_BYTES, _PIECES_MAX = 4 << 10, 16
_PAUSE_SECONDS, _PAUSE_SECONDS_NARROW = 0.05, 0.01


class Capture:
    """The first and the last half of ``limit`` bytes of a stream; what lies between is counted and dropped."""

    def __init__(self, limit: int) -> None:
        self._head = bytearray()
        self._head_room = limit - limit // 2
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._tail_limit = limit // 2
        self._dropped = 0

    def add(self, block: bytes) -> None:
        """Takes the next bytes."""
        taken = min(self._head_room, len(block))
        self._head += block[:taken]
        self._head_room -= taken
        if taken < len(block):
            self._tail.append(block[taken:])
            self._tail_bytes += len(block) - taken
            # Keeps one block more than the limit at times, never less: the cut is exact only in value().
            while self._tail_bytes - len(self._tail[0]) >= self._tail_limit:
                gone = len(self._tail.popleft())
                self._tail_bytes -= gone
                self._dropped += gone

    def value(self) -> bytes:
        """All bytes, or both ends with a line between them that says how much is missing."""
        tail = b"".join(self._tail)
        surplus = max(0, len(tail) - self._tail_limit)
        dropped = self._dropped + surplus
        note = b"\n[%d bytes left out]\n" % dropped if dropped else b""
        return bytes(self._head) + note + tail[surplus:]


class Stream:
    """The reading end of one output pipe.

    A pipe and not a file: ``tee /dev/stderr`` in a step would truncate a file, and a program that never stops printing
    would fill the disk.
    """

    def __init__(self, reactor: Reactor, limit: int, heard: Callable[[bytes], None] | None = None) -> None:
        self._reactor = reactor
        self._limit = limit
        self._heard = heard
        self._capture: Capture | None = None
        self._open = False
        self._watched = False
        self._pieces = 0
        self._is_wide = False
        self._timer: asyncio.TimerHandle | None = None
        self._reader, self.writer = os.pipe2(os.O_CLOEXEC)
        fcntl.fcntl(self._reader, fcntl.F_SETFL, os.O_NONBLOCK)

    def attach(self, listens: bool = True) -> None:
        """Our copy of the writing end is closed; from now on, or from :meth:`listen` on, what comes is read. Raises OSError."""
        os.close(self.writer)
        self.writer = -1
        self._open = True
        if listens:
            self.listen()

    def listen(self) -> None:
        """Starts to read whenever there is something. Raises OSError."""
        if self._open and not self._watched and self._timer is None:
            self._reactor.watch(self._reader, self._take)
            self._watched = True

    def _take(self) -> None:
        """Reads one block. Many short ones in a row are a program that writes line by line: it is read in gulps from then on."""
        length = self._read()
        self._pieces = self._pieces + 1 if 0 < length < _PIECE_BYTES else 0
        if self._pieces >= _PIECES_MAX:
            self._pieces = 0
            self._pause()

    def _read(self) -> int:
        """Reads one block; its length, 0 when nothing is there now or will come."""
        try:
            block = os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return 0
        if not block:
            self._detach()
            return 0
        if self._capture is None:
            self._capture = Capture(self._limit)
        self._capture.add(block)
        if self._heard is not None:
            self._heard(block)
        return len(block)

    def _gulp(self) -> int:
        """Reads what is in the pipe now; how much that was."""
        total = 0
        while self._open and total < _PIPE_BYTES_MAX and (taken := self._read()):
            total += taken
        return total

    def _pause(self) -> None:
        """It (TeX's search trace: thousands of lines) is not to wake us up for each."""
        if not self._open:
            return
        if self._watched:
            self._reactor.forget(self._reader)
            self._watched = False
            self._is_wide = self._is_wide or self._widened()
        self._timer = self._reactor.loop.call_later(_PAUSE_SECONDS if self._is_wide else _PAUSE_SECONDS_NARROW, self._resume)

    def _widened(self) -> bool:
        """Whether the pipe could be made to hold as much as any may."""
        try:
            fcntl.fcntl(self._reader, fcntl.F_SETPIPE_SZ, _PIPE_BYTES_MAX)
        except OSError:  # the user has too many such pipes
            return False
        return True

    def _resume(self) -> None:
        self._timer = None
        if 0 < self._gulp() < (_PIPE_BYTES_MAX if self._is_wide else _READ_BYTES) // 2:
            self._pause()
        else:  # it says nothing now, or so much that it would have to wait for us
            self.listen()

    def _detach(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._open = False
        if self._watched:
            self._reactor.forget(self._reader)
            self._watched = False

    def rest(self) -> bytes:
        """Everything captured, with what is still in the pipe; does not wait for a daemon that holds the other end."""
        self._gulp()
        return b"" if self._capture is None else self._capture.value()

    def close(self) -> None:
        """Releases both ends. Idempotent."""
        if self._reader >= 0:
            self._detach()
            os.close(self._reader)
            self._reader = -1
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1
