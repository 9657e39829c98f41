"""One program from its start to its end: its process group, what it says, and how it ended.

Knows no step and no log.
"""

import asyncio
import os
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cpods.model import Exit
from cpods.ports import Command, Withdrawn
from cpods.scheduler import groups
from cpods.scheduler.launcher import DROPPED, OVER
from cpods.scheduler.logs import not_started
from cpods.scheduler.reactor import Reactor
from cpods.scheduler.spawn import spawn
from cpods.scheduler.streams import Stream

if TYPE_CHECKING:
    from cpods.scheduler.launchers import Entrusted, Launchers

_LOOK_SECONDS = 0.005

#: How a program ended, or why that cannot be told.
Ended = Exit | Exception


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

    def attach(self, ended: "Callable[[Ended], None]", listens: bool = True) -> None:
        """``ended`` is called at its end. What it says is read from now on, if ``listens``, or from :meth:`listen` on."""
        self._ended = ended
        self._stdout.attach(listens)
        self._stderr.attach(listens)
        if self._group is not None:
            if self._command.timeout is not None:
                self._group.limit(self._command.timeout)
            self._group.on_over(self._over)

    def listen(self) -> None:
        """What it says is read from now on. Raises OSError."""
        self._stdout.listen()
        self._stderr.listen()

    def cancel(self) -> None:
        """Ends it, asked again at once; its end is told as ever."""
        if self._group is not None:
            self._group.end()
        elif self._entrusted is not None:
            self._entrusted.end()

    def _over(self) -> None:
        exit = self._exit()
        self.close()
        self._ended(exit)

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
        self._ended(ended)

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


def _nothing() -> None:
    pass


def _nothing_of(_: Ended) -> None:
    pass
