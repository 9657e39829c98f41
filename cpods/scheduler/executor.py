"""Runs one process in a group of its own: captured output, time limit, cancel, resource use.

Knows no step, no chef and no store.
"""

import asyncio
import errno
import os
import resource
import shlex
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from typing import BinaryIO

from cpods.model import Exit
from cpods.ports import Command
from cpods.scheduler import groups

#: Most bytes kept of each stream. Generous, since chefs read failed look-ups from a TeX engine's stderr.
OUTPUT_BYTES_MAX = 32 << 20
_READ_BYTES = 256 << 10
#: A pipe holds at most this much when its writers are gone or not ours any more.
_PIPE_BYTES_MAX = 1 << 20
_LOOK_SECONDS = 0.005


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

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int, heard: Callable[[bytes], None] | None = None) -> None:
        self._loop = loop
        self._heard = heard
        self._reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reader, False)
        self._capture = Capture(limit)
        self._open = False

    def attach(self) -> None:
        """Starts to read whenever there is something; our copy of the writing end is closed."""
        os.close(self.writer)
        self.writer = -1
        self._loop.add_reader(self._reader, self._take)
        self._open = True

    def _take(self) -> int:
        """Reads one block; its length, 0 when nothing is there now or will come."""
        try:
            block = os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return 0
        if block:
            self._capture.add(block)
            if self._heard is not None:
                self._heard(block)
        else:
            self._detach()
        return len(block)

    def _detach(self) -> None:
        if self._open:
            self._loop.remove_reader(self._reader)
            self._open = False

    def rest(self) -> bytes:
        """Everything captured, with what is still in the pipe; does not wait for a daemon that holds the other end."""
        room = _PIPE_BYTES_MAX
        while self._open and room > 0 and (taken := self._take()):
            room -= taken
        return self._capture.value()

    def close(self) -> None:
        """Releases both ends."""
        self._detach()
        os.close(self._reader)
        if self.writer >= 0:
            os.close(self.writer)


class Group:
    """A started process group: its leader's end, and the ways to bring that about."""

    def __init__(self, loop: asyncio.AbstractEventLoop, process: "subprocess.Popen[bytes]", grace_seconds: float) -> None:
        self._loop = loop
        self._process = process
        self._grace_seconds = grace_seconds
        self._timers: list[asyncio.TimerHandle] = []
        self._ending = False
        self.pid = process.pid
        self.cancelled = False
        self.timed_out = False
        self._descriptor = self._open()
        self._exited = loop.create_future()
        loop.add_reader(self._descriptor, self._on_exit)

    def _open(self) -> int:
        try:
            return os.pidfd_open(self.pid)
        except OSError:
            groups.send(self.pid, signal.SIGKILL)
            self._process.wait()
            raise

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._exited.set_result(None)

    def limit(self, seconds: float) -> None:
        """Ends the group after so long."""
        self._timers.append(self._loop.call_later(seconds, self._expire))

    def _expire(self) -> None:
        if not self._exited.done():
            self.timed_out = True
            self.end()

    def end(self) -> None:
        """SIGTERM to the group and, after the grace time, SIGKILL; asked again, SIGKILL at once."""
        groups.send(self.pid, signal.SIGKILL if self._ending else signal.SIGTERM)
        if not self._ending:
            self._ending = True
            self._timers.append(self._loop.call_later(self._grace_seconds, groups.send, self.pid, signal.SIGKILL))

    async def ended(self) -> tuple[int, resource.struct_rusage]:
        """Waits for the leader, ends whom it left behind; (exit code, resource use). A cancel hastens it, no more."""
        await self._insist(self._exited)
        # While the dead leader is not waited for, its number is taken: the signals reach this group or nobody.
        if not self._ending:
            self.end()
        _, status, usage = os.wait4(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if groups.send(self.pid, 0):
            await self._insist(self._left_alone())
        return self._process.returncode, usage

    async def _insist(self, future: "asyncio.Future[None]") -> None:
        while not future.done():
            try:
                await asyncio.wait((future,))
            except asyncio.CancelledError:
                self.cancelled = True
                self.end()

    def _left_alone(self) -> "asyncio.Future[None]":
        """Done when nobody of the group runs, or nobody was ended by SIGKILL for as long again as the grace time."""
        alone = self._loop.create_future()
        deadline = self._loop.time() + 2 * self._grace_seconds

        def look() -> None:
            if not groups.members(self.pid) or self._loop.time() > deadline:
                alone.set_result(None)
            else:
                self._loop.call_later(_LOOK_SECONDS, look)

        look()
        return alone

    def close(self) -> None:
        """Forgets timers and descriptor. What still runs (only after an error of ours) is killed and waited for."""
        if self._process.returncode is None:
            self._loop.remove_reader(self._descriptor)
            groups.send(self.pid, signal.SIGKILL)
            self._process.wait()
        for timer in self._timers:
            timer.cancel()
        os.close(self._descriptor)


class ProcessExecutor:
    """The real part of :class:`cpods.ports.Executor`.

    subprocess (vfork, exec, working folder) with pidfd and wait4 in the running event loop: half the CPU time of asyncio's
    own subprocesses, no thread and no signal handler. ``memory_bytes_max`` of a result is never below what this process
    itself used when it started the program (Linux counts the memory shared during vfork). ``heard`` gets what a program
    says while it runs, of both streams as it comes.
    """

    def __init__(
        self,
        grace_seconds: float = groups.GRACE_SECONDS,
        output_bytes_max: int = OUTPUT_BYTES_MAX,
        heard: Callable[[Command, bytes], None] | None = None,
    ) -> None:
        self._grace_seconds = grace_seconds
        self._output_bytes_max = output_bytes_max
        self._heard = heard

    async def run(self, command: Command, started: Callable[[int, int], None] | None = None) -> Exit:
        """As in the port; ends also what the program left running in its group. Raises OSError if ``log`` cannot be written."""
        with ExitStack() as stack:
            log = stack.enter_context(open(command.log, "wb")) if command.log else None
            exit, cancelled = await self._run(command, started, stack)
            if log is not None:
                _write_log(log, command, exit)
        if cancelled:
            raise asyncio.CancelledError
        return exit

    async def _run(self, command: Command, started: Callable[[int, int], None] | None, stack: ExitStack) -> tuple[Exit, bool]:
        """The exit, and whether the task was cancelled meanwhile."""
        begun = time.monotonic()
        try:
            stdout, stderr, group = self._start(command, stack)
        except (OSError, ValueError) as error:
            return not_started(command, error), False
        ticks = groups.start_ticks(group.pid)
        if started is not None and ticks is not None:
            started(group.pid, ticks)
        stdout.attach()
        stderr.attach()
        if command.timeout is not None:
            group.limit(command.timeout)
        code, usage = await group.ended()
        exit = Exit(
            code=code,
            stdout=stdout.rest(),
            stderr=stderr.rest(),
            seconds=time.monotonic() - begun,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            memory_bytes_max=usage.ru_maxrss * 1024,
            timed_out=group.timed_out,
        )
        return exit, group.cancelled

    def _start(self, command: Command, stack: ExitStack) -> tuple[Stream, Stream, Group]:
        """Starts the program; ``stack`` releases what was opened. Raises OSError, ValueError (a NUL in an argument)."""
        loop = asyncio.get_running_loop()
        if not command.argv:
            raise ValueError("no program given")
        heard = None if self._heard is None else partial(self._heard, command)
        stdout = stack.enter_context(closing(Stream(loop, self._output_bytes_max, heard)))
        stderr = stack.enter_context(closing(Stream(loop, self._output_bytes_max, heard)))
        process = subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=dict(command.env),
            stdin=subprocess.DEVNULL,
            stdout=stdout.writer,
            stderr=stderr.writer,
            # A session, not only a group: a program that asks the terminal fails at once instead of being stopped for ever.
            start_new_session=True,
        )
        return stdout, stderr, stack.enter_context(closing(Group(loop, process, self._grace_seconds)))


def not_started(command: Command, error: OSError | ValueError) -> Exit:
    """The exit of a program that could not be started: 127 if it (or its folder) is not there, else 126."""
    program = command.argv[0] if command.argv else ""
    number = error.errno if isinstance(error, OSError) else None
    reason = error.strerror if isinstance(error, OSError) else error
    if not os.path.isdir(command.cwd):
        return Exit(code=127, error=f"folder not found: {command.cwd}")
    if number in (errno.ENOENT, errno.ENOTDIR, errno.EACCES) and not _is_there(command):
        return Exit(code=127, error=f"program not found: {program}")
    if number == errno.ENOENT:
        return Exit(code=126, error=f"the interpreter named in the first line of {program} was not found")
    if number in (errno.EACCES, errno.ENOEXEC):
        return Exit(code=126, error=f"not executable: {program}")
    return Exit(code=126, error=f"cannot start {program or 'a program'}: {reason}")


def _is_there(command: Command) -> bool:
    """Whether a file that the program's name could mean is there at all (whatever its permissions)."""
    program = command.argv[0]
    folders = [""] if "/" in program else os.get_exec_path(dict(command.env))
    return any(os.path.exists(os.path.join(command.cwd, folder, program)) for folder in folders)


def _write_log(log: BinaryIO, command: Command, exit: Exit) -> None:
    """stdout, then stderr, each under a header line; an error that kept the program from starting comes first."""
    name = os.fsencode(shlex.join(command.argv))
    if exit.error:
        log.write(os.fsencode(f"{exit.error}\n"))
    for title, data in ((b"stdout", exit.stdout), (b"stderr", exit.stderr)):
        log.write(b"== %s of %s ==\n" % (title, name))
        log.write(data)
        if data and not data.endswith(b"\n"):
            log.write(b"\n")
