"""The program of a launcher: a small process that starts programs for cpods, one at a time, and waits for their ends.

While a program is started, whoever starts it stands still until exec, and when one ends, the next cannot start before somebody
looks: in cpods itself that left a third of the cores idle. A launcher takes the next order out of a socket that it shares with
all others. Knows no step, no log and no store; standard library only, and little of it, since it is to be there within
milliseconds. Of all else it speaks over a socket of its own, a marshalled tuple a message, and it ends what it started and
itself when the other end is gone.
"""

import gc
import marshal
import os
import select
import time
from _signal import SIGKILL, SIGTERM  # type: ignore[import-not-found]  # signal itself makes enumerations, which takes longer than the rest
from _socket import CMSG_SPACE, MSG_DONTWAIT, socket

from cpods.scheduler.forking import error_of, fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: First words of what a launcher is told besides orders: the usual environment, the number of an order that is to end, to go on.
VARIABLES, END, GO_ON = range(3)
#: First words of what is told of an order; the last by cpods itself.
OVER, NOT_STARTED, DROPPED = range(3)
#: Longest message. An order that is longer is carried out in cpods itself.
MESSAGE_BYTES_MAX = 64 << 10
#: With an order come the descriptors of both outputs.
OUTPUTS_BYTES = 2 * 4

_LOOK_SECONDS = 0.005


class Order:
    """A program to start. ``variables`` None: the usual ones. ``grace_seconds``: between SIGTERM and SIGKILL."""

    def __init__(
        self,
        outputs: "tuple[int, int]",
        number: int,
        argv: "tuple[str, ...]",
        candidates: "list[bytes]",
        cwd: str,
        variables: "list[bytes] | None",
        timeout: "float | None",
        grace_seconds: float,
    ) -> None:
        self.outputs = outputs
        self.number = number
        self.argv = argv
        self.candidates = candidates
        self.cwd = cwd
        self.variables = variables
        self.timeout = timeout
        self.grace_seconds = grace_seconds

    def close(self) -> None:
        """Releases our copies of both outputs."""
        for descriptor in self.outputs:
            os.close(descriptor)


class Program:
    """A started program: the leader of its group, a child that has not been waited for until :attr:`status` is known."""

    def __init__(self, order: Order, pid: int) -> None:
        self.order = order
        self.pid = pid
        self.descriptor = os.pidfd_open(pid)
        self.begun = time.monotonic()
        self.status: int | None = None
        self.timed_out = False
        self._cpu_seconds = 0.0
        self._memory_bytes = 0
        self._seconds = 0.0
        self._kill_at: float | None = None
        self._limit_at = None if order.timeout is None else self.begun + order.timeout
        self._given_up_at = 0.0

    def end(self) -> None:
        """SIGTERM to the group and, after the grace time, SIGKILL; asked again, SIGKILL at once."""
        _signal(self.pid, SIGTERM if self._kill_at is None else SIGKILL)
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self.order.grace_seconds

    def bury(self) -> None:
        """The leader has ended: whom it left behind is ended too."""
        # While the dead leader is not waited for, its number is taken: the signal reaches this group or nobody.
        if self._kill_at is None:
            _signal(self.pid, SIGTERM)
        _, self.status, usage = os.wait4(self.pid, 0)
        os.close(self.descriptor)
        self.descriptor = -1
        now = time.monotonic()
        self._seconds = now - self.begun
        self._cpu_seconds = usage.ru_utime + usage.ru_stime
        self._memory_bytes = usage.ru_maxrss * 1024
        self._limit_at = None
        if _signal(self.pid, 0):
            self._given_up_at = now + 2 * self.order.grace_seconds
            if self._kill_at is None:
                self._kill_at = now + self.order.grace_seconds

    def is_over(self) -> bool:
        """Whether nobody of the group runs, or nobody was ended by SIGKILL for as long again as the grace time."""
        if self.status is None:
            return False
        if not self._given_up_at:
            return True
        from cpods.scheduler.groups import members  # hardly ever

        return not members(self.pid) or time.monotonic() > self._given_up_at

    def patience(self) -> float | None:
        """Seconds until the clock is to be looked at; None if only events count."""
        if self._given_up_at:
            return _LOOK_SECONDS
        times = [moment for moment in (self._kill_at, self._limit_at) if moment is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def look_at_clock(self) -> None:
        """Does what is due."""
        now = time.monotonic()
        if self._limit_at is not None and now >= self._limit_at:
            self._limit_at = None
            self.timed_out = True
            self.end()
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = now + self.order.grace_seconds
            _signal(self.pid, SIGKILL)

    def told(self) -> "tuple[Any, ...]":
        """What is said of its end."""
        return OVER, self.order.number, self.status, self._seconds, self._cpu_seconds, self._memory_bytes, self.timed_out


class Launcher:
    """Carries out orders, one at a time. After a program that did not end well it waits for a word before it takes another."""

    def __init__(self, channel: socket, orders: socket) -> None:
        self._channel = channel
        self._orders = orders
        self._poll = select.poll()  # while something runs, and while a word is waited for
        self._poll.register(channel, select.POLLIN)
        self._poll_idle = select.poll()
        self._poll_idle.register(channel, select.POLLIN)
        self._poll_idle.register(orders, select.POLLIN)
        self._program: Program | None = None
        self._is_held = False
        self._variables: list[bytes] | None = None
        self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def serve(self) -> None:
        """Until the other end is gone."""
        is_left = False
        while not is_left:
            if self._program is not None:
                is_left = not self._attend(self._program)
            elif self._is_held:
                is_left = not self._take_word()
            else:
                is_left = not self._take_order()
        self._abandon()

    def _attend(self, program: Program) -> bool:
        """Waits for something to happen to a program or to be said; False if the other end is gone."""
        patience = program.patience()
        for descriptor, _ in self._poll.poll(None if patience is None else int(patience * 1000) + 1):
            if descriptor == program.descriptor:
                self._poll.unregister(descriptor)
                program.bury()
            elif not self._take_word():
                return False
        program.look_at_clock()
        if program.is_over():
            self._program = None
            self._is_held = program.status != 0
            self._tell(*program.told())
        return True

    def _take_word(self) -> bool:
        """Waits for a message that is no order; False if nobody is there to send any."""
        try:
            data = self._channel.recv(MESSAGE_BYTES_MAX)
        except ConnectionResetError:
            return False
        if not data:
            return False
        what, *said = marshal.loads(data)
        if what == VARIABLES:
            self._variables = said[0]
        elif what == GO_ON:
            self._is_held = False
        elif self._program is not None and self._program.order.number == said[0]:
            self._program.end()
        return True

    def _take_order(self) -> bool:
        """Starts what is next, or waits until there is something; False if the other end is gone."""
        try:
            data, extra, _, _ = self._orders.recvmsg(MESSAGE_BYTES_MAX, CMSG_SPACE(OUTPUTS_BYTES), MSG_DONTWAIT)
        except BlockingIOError:
            said = {descriptor for descriptor, _ in self._poll_idle.poll()}
            return self._channel.fileno() not in said or self._take_word()
        if not data:
            return False
        first, second = memoryview(extra[0][2]).cast("i")
        order = Order((first, second), *marshal.loads(data))
        while order.variables is None and self._variables is None:  # they were sent before
            if not self._take_word():
                order.close()
                return False
        self._start(order)
        return True

    def _start(self, order: Order) -> None:
        variables = self._variables if order.variables is None else order.variables
        try:
            pid, said = fork(order.argv, order.candidates, order.cwd, variables, self._null, *order.outputs)
            if said:
                raise error_of(said, order.argv[0], order.cwd)
            self._watch(order, pid)
        except (OSError, ValueError) as error:
            number = error.errno if isinstance(error, OSError) else 0
            self._tell(NOT_STARTED, order.number, number or 0, str(error))
        finally:
            order.close()

    def _watch(self, order: Order, pid: int) -> None:
        try:
            self._program = Program(order, pid)
            self._poll.register(self._program.descriptor, select.POLLIN)
        except OSError:
            self._program = None
            _signal(pid, SIGKILL)
            os.waitpid(pid, 0)
            raise

    def _tell(self, *what: "Any") -> None:
        try:  # noqa: SIM105 - contextlib is not loaded here
            self._channel.send(marshal.dumps(what))
        except OSError:
            pass  # nobody is there: the next turn finds out

    def _abandon(self) -> None:
        """Nobody wants an answer any more: what runs is killed, as nobody would put right what it does."""
        program = self._program
        if program is not None and not program.is_over():
            _signal(program.pid, SIGKILL)
            if program.status is None:
                os.waitpid(program.pid, 0)


def _signal(group: int, number: int) -> bool:
    """Sends a signal to all of a group; False if there is nobody (whom we may signal)."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main(channel: int, orders: int) -> None:
    """The whole process. There is nothing to tidy up at its end, so it is left at once."""
    gc.disable()  # nothing here refers to itself in a circle, and looking for that took a tenth of all its time
    Launcher(socket(fileno=channel), socket(fileno=orders)).serve()
    os._exit(0)
