"""Runs programs, each in a group of its own: captured output, time limit, cancel, resource use, log.

Knows no step, no chef and no store.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from cpods.model import Exit
from cpods.ports import Command, Withdrawn
from cpods.scheduler import forking, groups
from cpods.scheduler.logs import Logs, not_started
from cpods.scheduler.reactor import Reactor
from cpods.scheduler.run import Ended, Run

if TYPE_CHECKING:
    from cpods.scheduler.launchers import Launchers

__all__ = ["OUTPUT_BYTES_MAX", "Ended", "ProcessExecutor"]

#: Most bytes kept of each stream. Generous, since chefs read failed look-ups from a TeX engine's stderr.
OUTPUT_BYTES_MAX = 32 << 20
#: So many programs are started here before launchers are: a build of a few steps ends before a launcher would be there.
_ALONE = 8
#: What a launched program says is listened to from so long after its order on.
_QUIET_SECONDS = 0.02


class _Unstarted:
    """Stands for a program that could not be started: nothing to cancel."""

    def cancel(self) -> None:
        """Nothing."""


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
        self._logs = Logs()
        self._quiet: set[Run] = set()
        self._alarm: asyncio.TimerHandle | None = None

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
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._launchers is not None:
            self._launchers.close()
            self._launchers = None

    async def run(self, command: Command, started: Callable[[int, int], None] | None = None) -> Exit:
        """As in the port; ends also what the program left running in its group. Raises OSError if ``log`` cannot be written.

        There is a log only of a run that said something or did not end well.
        """
        while True:
            try:
                return await self._run_once(command, started)
            except Withdrawn:
                continue

    async def _run_once(self, command: Command, started: Callable[[int, int], None] | None) -> Exit:
        """As :meth:`run`; Withdrawn if it was not started."""
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
        if is_cancelled and isinstance(found[0], Exit | Withdrawn):
            raise asyncio.CancelledError
        if isinstance(found[0], Exception):
            raise found[0]
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
                run.attach(partial(self._ended_there, run, command, ended), listens=False)
                self._listen_later(run)
                return run
            before = self._ticks.now()
            pid = run.start(self._grace_seconds)
        except (OSError, ValueError) as error:
            if run is not None:
                run.close()
            asyncio.get_running_loop().call_soon(self._over, command, ended, not_started(command, error))
            return _Unstarted()
        try:
            ticks = self._ticks.of(pid, before) if started is not None else None
            if started is not None and ticks is not None:
                started(pid, ticks)
            run.attach(partial(self._ended_here, command, ended))
        except BaseException:
            run.close()
            raise
        self._running_here += 1
        return run

    def _ended_here(self, command: Command, ended: Callable[[Ended], None], how: Ended) -> None:
        self._running_here -= 1
        self._over(command, ended, how)

    def _ended_there(self, run: Run, command: Command, ended: Callable[[Ended], None], how: Ended) -> None:
        self._quiet.discard(run)
        self._over(command, ended, how)

    def _over(self, command: Command, ended: Callable[[Ended], None], how: Ended) -> None:
        if isinstance(how, Exit):
            try:
                self._logs.note(command, how)
            except OSError as error:
                how = error
        ended(how)

    def _listen_later(self, run: Run) -> None:
        """Most programs of a crowd have ended before they fill a pipe: what they said is read then, without a wait for it."""
        self._quiet.add(run)
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(_QUIET_SECONDS, self._listen)

    def _listen(self) -> None:
        self._alarm = None
        for run in self._quiet:
            run.listen()
        self._quiet.clear()

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
