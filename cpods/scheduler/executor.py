"""Runs one process in a group of its own: captured output, time limit, cancel, resource use.

Knows no step, no chef and no store.
"""

import asyncio
import errno
import os
import resource
import shlex
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from cpods.model import Exit
from cpods.ports import Command, Withdrawn
from cpods.scheduler import forking, groups
from cpods.scheduler.launcher import DROPPED, OVER
from cpods.scheduler.reactor import Reactor
from cpods.scheduler.spawn import spawn
from cpods.scheduler.streams import Capture, Stream

if TYPE_CHECKING:
    from cpods.scheduler.launchers import Entrusted, Launchers

__all__ = ["OUTPUT_BYTES_MAX", "Capture", "ProcessExecutor", "not_started"]

#: Most bytes kept of each stream. Generous, since chefs read failed look-ups from a TeX engine's stderr.
OUTPUT_BYTES_MAX = 32 << 20
_LOOK_SECONDS = 0.005
#: So much of each word of a command line is shown in a log.
_WORD_MAX = 1000
#: So many programs are started here before launchers are: a build of a few steps ends before a launcher would be there.
_ALONE = 8


class Group:
    """A started process group: its leader's end, and the ways to bring that about. Its leader is a child of ours, not waited for."""

    def __init__(self, reactor: Reactor, pid: int, grace_seconds: float) -> None:
        self._reactor = reactor
        self._loop = reactor.loop
        self._grace_seconds = grace_seconds
        self._timers: list[asyncio.TimerHandle] = []
        self._ending = False
        self._on_over: Callable[[], None] = _nothing
        self._deadline = 0.0
        self.pid = pid
        self.usage: resource.struct_rusage | None = None
        self.code = 0
        self.is_over = False
        self.timed_out = False
        self._descriptor = -1
        try:
            self._descriptor = os.pidfd_open(pid)
            reactor.watch(self._descriptor, self._on_exit)
        except OSError:
            self.close()
            raise

    def _on_exit(self) -> None:
        """The leader has ended: whom it left behind is ended too."""
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return
        # While the dead leader is not waited for, its number is taken: the signal reaches this group or nobody.
        if not self._ending:
            groups.send(self.pid, signal.SIGTERM)
        _, status, usage = os.wait4(self.pid, 0)
        self._reactor.forget(self._descriptor)
        self.usage = usage
        self.code = os.waitstatus_to_exitcode(status)
        if groups.send(self.pid, 0):
            self._deadline = self._loop.time() + 2 * self._grace_seconds
            self._end_later()
            self._look()
        else:
            self._done()

    def _look(self) -> None:
        """It is over when nobody of the group runs, or nobody was ended by SIGKILL for as long again as the grace time."""
        if not groups.members(self.pid) or self._loop.time() > self._deadline:
            self._done()
        else:
            self._loop.call_later(_LOOK_SECONDS, self._look)

    def _done(self) -> None:
        self.is_over = True
        self._on_over()

    def on_over(self, call: Callable[[], None]) -> None:
        """Calls once the leader and whom it left behind have ended; never at once."""
        self._on_over = call

    def limit(self, seconds: float) -> None:
        """Ends the group after so long."""
        self._timers.append(self._loop.call_later(seconds, self._expire))

    def _expire(self) -> None:
        if self.usage is None:
            self.timed_out = True
            self.end()

    def end(self) -> None:
        """SIGTERM to the group and, after the grace time, SIGKILL; asked again, SIGKILL at once."""
        if self.is_over:
            return
        groups.send(self.pid, signal.SIGKILL if self._ending else signal.SIGTERM)
        self._end_later()

    def _end_later(self) -> None:
        if not self._ending:
            self._ending = True
            self._timers.append(self._loop.call_later(self._grace_seconds, groups.send, self.pid, signal.SIGKILL))

    def close(self) -> None:
        """Forgets timers and descriptor. What still runs (only after an error of ours) is killed and waited for."""
        if self._descriptor >= 0:
            self._reactor.forget(self._descriptor)
        if self.usage is None:
            groups.send(self.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
        for timer in self._timers:
            timer.cancel()
        if self._descriptor >= 0:
            os.close(self._descriptor)


class Run:
    """One program from its start to its end, with what it says."""

    def __init__(self, reactor: Reactor, command: Command, limit: int, heard: Callable[[bytes], None] | None) -> None:
        self._reactor = reactor
        self._command = command
        self._begun = time.monotonic()
        self._ended: Callable[[Ended], None] = _nothing_of
        self._group: Group | None = None
        self._entrusted: Entrusted | None = None
        self._stdout = Stream(reactor, limit, heard)
        try:
            self._stderr = Stream(reactor, limit, heard)
        except OSError:
            self._stdout.close()
            raise

    def start(self, grace_seconds: float) -> int:
        """The process id. Raises OSError, ValueError."""
        command = self._command
        pid = spawn(command.argv, command.cwd, command.env, self._stdout.writer, self._stderr.writer)
        self._group = Group(self._reactor, pid, grace_seconds)
        return pid

    def entrust(self, launchers: "Launchers") -> bool:
        """Whether a launcher starts it, now or soon. Raises OSError, ValueError."""
        self._entrusted = launchers.start(self._command, self._stdout.writer, self._stderr.writer, self._told)
        return self._entrusted is not None

    def attach(self, ended: "Callable[[Ended], None]") -> None:
        """From now on what it says is read, and ``ended`` is called at its end."""
        self._ended = ended
        self._stdout.attach()
        self._stderr.attach()
        if self._group is not None:
            if self._command.timeout is not None:
                self._group.limit(self._command.timeout)
            self._group.on_over(self._over)

    def cancel(self) -> None:
        """Ends it, asked again at once; its end is told as ever."""
        if self._group is not None:
            self._group.end()
        elif self._entrusted is not None:
            self._entrusted.end()

    def _over(self) -> None:
        exit = self._exit()
        self.close()
        self._ended(_noted(self._command, exit))

    def _told(self, reply: tuple[Any, ...] | None) -> None:
        """What a launcher says of it; None if the launcher was ended from outside: what it had started is ended too."""
        ended: Ended
        if reply is None:
            groups.end_strays(self._command.cwd)
            ended = Withdrawn()
        elif reply[0] == OVER:
            ended = self._exit_of(*reply[2:])
        elif reply[0] == DROPPED:
            ended = Withdrawn()
        else:
            number, text = reply[2:]
            ended = not_started(self._command, OSError(number, os.strerror(number)) if number else ValueError(text))
        self.close()
        self._ended(_noted(self._command, ended) if isinstance(ended, Exit) else ended)

    def _exit_of(self, status: int, seconds: float, cpu_seconds: float, memory_bytes: int, timed_out: bool) -> Exit:
        code = os.waitstatus_to_exitcode(status)
        return Exit(code, self._stdout.rest(), self._stderr.rest(), seconds, cpu_seconds, memory_bytes, timed_out)

    def _exit(self) -> Exit:
        group = self._group
        assert group is not None and group.usage is not None
        return Exit(
            code=group.code,
            stdout=self._stdout.rest(),
            stderr=self._stderr.rest(),
            seconds=time.monotonic() - self._begun,
            cpu_seconds=group.usage.ru_utime + group.usage.ru_stime,
            memory_bytes_max=group.usage.ru_maxrss * 1024,
            timed_out=group.timed_out,
        )

    def close(self) -> None:
        """Releases everything; what still runs (only after an error of ours) is killed."""
        if self._group is not None:
            self._group.close()
        self._stdout.close()
        self._stderr.close()


class _Unstarted:
    """Stands for a program that could not be started: nothing to cancel."""

    def cancel(self) -> None:
        """Nothing."""


#: How a program ended, or why that cannot be told (its log could not be written).
Ended = Exit | Exception


class ProcessExecutor:
    """The real part of :class:`cpods.ports.Executor`.

    vfork, exec and pidfd in the running event loop: no thread, no signal handler, one epoll for all programs.
    ``memory_bytes_max`` of a result is never below what this process itself used when it started the program (Linux counts
    the memory shared during vfork). ``heard`` gets what a program says while it runs, of both streams as it comes.
    Where many are expected (see :meth:`expect`), launchers start all but the first few, ``alone``.
    """

    def __init__(
        self,
        grace_seconds: float = groups.GRACE_SECONDS,
        output_bytes_max: int = OUTPUT_BYTES_MAX,
        heard: Callable[[Command, bytes], None] | None = None,
        alone: int = _ALONE,
    ) -> None:
        self._grace_seconds = grace_seconds
        self._output_bytes_max = output_bytes_max
        self._heard = heard
        self._reactor: Reactor | None = None
        self._ticks = groups.StartTicks()
        self._alone = alone
        self._slots = 0
        self._begun = 0
        self._running_here = 0
        self._launchers: Launchers | None = None

    def expect(self, slots: int) -> None:
        """Many programs will be begun, at most ``slots`` (and :meth:`ahead`) at a time. Call :meth:`rest` at the end."""
        self._slots = slots if forking.IS_KNOWN and slots > 1 and self._heard is None else 0
        self._begun = 0

    def ahead(self) -> int:
        """So many programs more than may run at once may be begun now: they wait where they will be started."""
        return self._launchers.count if self._launchers is not None and not self._running_here else 0

    def withdraw(self) -> None:
        """What was begun but waits is not started: it ends as Withdrawn."""
        if self._launchers is not None:
            self._launchers.withdraw()

    def rest(self) -> None:
        """Launchers, if there are any, end. Idempotent."""
        self._slots = 0
        if self._launchers is not None:
            self._launchers.close()
            self._launchers = None

    async def run(self, command: Command, started: Callable[[int, int], None] | None = None) -> Exit:
        """As in the port; ends also what the program left running in its group. Raises OSError if ``log`` cannot be written.

        There is a log only of a run that said something or did not end well.
        """
        loop = asyncio.get_running_loop()
        found: list[Ended] = []
        waiter = loop.create_future()

        def ended(how: Ended) -> None:
            found.append(how)
            if not waiter.done():
                waiter.set_result(None)

        handle = self.begin(command, started, ended)
        is_cancelled = False
        while not found:
            try:
                await waiter
            except asyncio.CancelledError:  # it hastens the end, no more
                is_cancelled = True
                waiter = loop.create_future()
                handle.cancel()
        if isinstance(found[0], Exception):
            raise found[0]
        if is_cancelled:
            raise asyncio.CancelledError
        return found[0]

    def begin(self, command: Command, started: Callable[[int, int], None] | None, ended: Callable[[Ended], None]) -> "Run | _Unstarted":
        """As :meth:`run`, without a task: ``ended`` is called once, never before this returns. Raises what ``started`` raises.

        ``started`` is not called for a program that a launcher starts, which ends it if this process is ended.
        """
        run: Run | None = None
        try:
            heard = None if self._heard is None else partial(self._heard, command)
            run = Run(self._reactor_now(), command, self._output_bytes_max, heard)
            launchers = self._launchers_now() if self._slots else None
            if launchers is not None and command.argv and run.entrust(launchers):
                run.attach(ended)
                return run
            before = self._ticks.now()
            pid = run.start(self._grace_seconds)
        except (OSError, ValueError) as error:
            if run is not None:
                run.close()
            asyncio.get_running_loop().call_soon(ended, _noted(command, not_started(command, error)))
            return _Unstarted()
        try:
            ticks = self._ticks.of(pid, before) if started is not None else None
            if started is not None and ticks is not None:
                started(pid, ticks)
            run.attach(partial(self._ended_here, ended))
        except BaseException:
            run.close()
            raise
        self._running_here += 1
        return run

    def _ended_here(self, ended: "Callable[[Ended], None]", how: "Ended") -> None:
        self._running_here -= 1
        ended(how)

    def _launchers_now(self) -> "Launchers | None":
        """The launchers, if it is time for them; none if there is no room for them."""
        self._begun += 1
        if self._launchers is None and self._begun > self._alone:
            from cpods.scheduler.launchers import Launchers  # for many programs only

            try:
                self._launchers = Launchers(self._reactor_now(), self._slots, self._grace_seconds)
            except OSError:
                self._slots = 0
        return self._launchers

    def _reactor_now(self) -> Reactor:
        """The running loop's; an executor may outlive a loop."""
        loop = asyncio.get_running_loop()
        if self._reactor is None or self._reactor.loop is not loop:
            self._reactor = Reactor(loop)
        return self._reactor


def _nothing() -> None:
    pass


def _nothing_of(_: Ended) -> None:
    pass


def _noted(command: Command, exit: Exit) -> Ended:
    try:
        if command.log:
            _note_log(command, exit)
    except OSError as error:
        return error
    return exit


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


def _note_log(command: Command, exit: Exit) -> None:
    """The log of a run, or none: a silent run that ended well only removes what an earlier one left."""
    if not (exit.stdout or exit.stderr or exit.error or exit.code):
        with suppress(FileNotFoundError):
            os.unlink(command.log)
        return
    with open(command.log, "wb") as log:
        log.write(_log_text(command, exit))


def shown(argv: Sequence[str]) -> str:
    """A command line for people: a word that is a whole program (a preamble's) is cut."""
    return shlex.join(word if len(word) <= _WORD_MAX else f"{word[:_WORD_MAX]}…" for word in argv)


def _log_text(command: Command, exit: Exit) -> bytes:
    """stdout, then stderr, each under a header line; an error that kept the program from starting comes first."""
    name = os.fsencode(shown(command.argv))
    parts = [os.fsencode(f"{exit.error}\n")] if exit.error else []
    for title, data in ((b"stdout", exit.stdout), (b"stderr", exit.stderr)):
        parts += (b"== %s of %s ==\n" % (title, name), data)
        if data and not data.endswith(b"\n"):
            parts.append(b"\n")
    return b"".join(parts)
