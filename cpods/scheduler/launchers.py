"""Launchers from cpods' side: one for each step that may run at once, and one queue of orders for all of them.

Whichever launcher is free takes the next order, so that none waits behind a long program while another launcher has nothing to
do. Knows no step and no output; see launcher for what they do and say.
"""

import marshal
import os
import sys
from _socket import AF_UNIX, CMSG_SPACE, MSG_DONTWAIT, SCM_RIGHTS, SOCK_SEQPACKET, SOL_SOCKET
from _socket import socketpair as _socketpair
from array import array
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from cpods.ports import Command
from cpods.scheduler import forking, launcher
from cpods.scheduler.reactor import Reactor
from cpods.scheduler.spawn import candidates, prepared

_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from cpods.scheduler.launcher import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_REPLY_BYTES_MAX = 4096


class Entrusted:
    """A program that a launcher is to start. ``told`` is called once, never at once, with what became of it.

    That is a message of a launcher, or None if a launcher was ended from outside, and all others with it.
    """

    def __init__(self, owner: "Launchers", number: int, told: Callable[[tuple[Any, ...] | None], None]) -> None:
        self._owner = owner
        self._number = number
        self.told = told

    def end(self) -> None:
        """It is ended, asked again at once; one that has not been started is not started."""
        self._owner.end(self._number)


class _Order(NamedTuple):
    """An order as it travels. ``outputs``: copies of the descriptors of both outputs."""

    number: int
    data: bytes
    outputs: tuple[int, int]

    def close(self) -> None:
        """Releases the copies."""
        for descriptor in self.outputs:
            os.close(descriptor)


class _Queue:
    """Orders that no launcher has taken. They wait in a socket out of which all launchers read, and where that is full, here."""

    def __init__(self) -> None:
        self._writer, self.reader = _socketpair(AF_UNIX, SOCK_SEQPACKET, 0)
        self._late: deque[_Order] = deque()

    def put(self, order: _Order) -> None:
        """The last in the queue. The descriptors remain the caller's."""
        if self._late or not self._send(order):
            first, second = order.outputs
            self._late.append(order._replace(outputs=(os.dup(first), os.dup(second))))

    def _send(self, order: _Order) -> bool:
        try:
            self._writer.sendmsg([order.data], [(SOL_SOCKET, SCM_RIGHTS, array("i", order.outputs))], MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def move_up(self) -> None:
        """Where there is room now, what waits here goes on."""
        while self._late and self._send(self._late[0]):
            self._late.popleft().close()

    def take_back(self) -> list[_Order]:
        """All orders that nobody has taken; they are the caller's again."""
        found = []
        while True:
            try:
                data, extra, _, _ = self.reader.recvmsg(launcher.MESSAGE_BYTES_MAX, CMSG_SPACE(launcher.OUTPUTS_BYTES), MSG_DONTWAIT)
            except BlockingIOError:
                break
            first, second = memoryview(extra[0][2]).cast("i")
            found.append(_Order(marshal.loads(data)[0], data, (first, second)))
        found += self._late
        self._late.clear()
        return found

    def close(self) -> None:
        """Nobody gets what is left. Idempotent."""
        if self.reader.fileno() < 0:
            return
        for order in self.take_back():
            order.close()
        self._writer.close()
        self.reader.close()


class _Places:
    """Where programs may lie; where one was found first comes first: a folder of PATH after the other costs a try of exec each."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[tuple[str, str], ...]], list[bytes]] = {}

    def of(self, command: Command) -> list[bytes]:
        """All places, in the order in which they are tried. Raises ValueError."""
        key = command.argv[0], command.env
        known = self._known.get(key)
        if known is None:
            places = candidates(*key)
            found = [place for place in places if len(places) > 1 and place.startswith(b"/") and os.access(place, os.X_OK)]
            known = self._known[key] = [*found[:1], *places]
        return known


class _Launcher:
    """One launcher process."""

    def __init__(
        self, reactor: Reactor, orders: int, told: Callable[["_Launcher", tuple[Any, ...]], None], gone: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._told = told
        self._gone = gone
        self._channel, theirs = _socketpair(AF_UNIX, SOCK_SEQPACKET, 0)
        try:
            self._pid = _begun(theirs.fileno(), orders)
        except BaseException:
            self._channel.close()
            raise
        finally:
            theirs.close()
        try:
            reactor.watch(self._channel.fileno(), self._hear)
        except BaseException:
            self.close()
            raise

    def send(self, *message: Any) -> None:
        """Says something besides orders."""
        if self._channel.fileno() >= 0:
            with suppress(OSError):  # it is gone: that is heard of soon
                self._channel.send(marshal.dumps(message))

    def _hear(self) -> None:
        try:
            data = self._channel.recv(_REPLY_BYTES_MAX)
        except ConnectionResetError:
            data = b""
        if data:
            self._told(self, marshal.loads(data))
        else:
            self._gone()

    def close(self) -> None:
        """It ends what it runs and itself; waits for that."""
        self._reactor.forget(self._channel.fileno())
        self._channel.close()
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


class Launchers:
    """Launcher processes, started at once. Raises OSError."""

    def __init__(self, reactor: Reactor, count: int, grace_seconds: float) -> None:
        self._reactor = reactor
        self._grace_seconds = grace_seconds
        self._all: list[_Launcher] = []
        self._number = 0
        self._places = _Places()
        self._variables: list[bytes] | None = None
        self._entrusted: dict[int, Entrusted] = {}
        self._queue = _Queue()
        try:
            for _ in range(count):
                self._all.append(_Launcher(reactor, self._queue.reader.fileno(), self._hear, self._lost))
        except BaseException:
            self.close()
            raise

    @property
    def count(self) -> int:
        """How many programs may run at once."""
        return len(self._all)

    def start(self, command: Command, stdout: int, stderr: int, told: Callable[[tuple[Any, ...] | None], None]) -> Entrusted | None:
        """Has a program started, now or when one before it has ended; None if no launcher can. Raises OSError, ValueError."""
        if not self._all:
            return None
        variables = prepared(command.env).variables
        if self._variables is None:
            self._make_usual(variables)
        own = None if variables is self._variables else variables
        number = self._number + 1
        places = self._places.of(command)
        data = marshal.dumps((number, command.argv, places, command.cwd, own, command.timeout, self._grace_seconds))
        if len(data) > launcher.MESSAGE_BYTES_MAX:
            return None
        self._queue.put(_Order(number, data, (stdout, stderr)))
        self._number = number
        entrusted = self._entrusted[number] = Entrusted(self, number, told)
        return entrusted

    def _make_usual(self, variables: list[bytes]) -> None:
        """Tells all launchers of an environment, so that no order needs to name it; unless it is too long for a message."""
        if len(marshal.dumps((launcher.VARIABLES, variables))) <= launcher.MESSAGE_BYTES_MAX:
            self._variables = variables
            for one in self._all:
                one.send(launcher.VARIABLES, variables)

    def _hear(self, one: _Launcher, reply: tuple[Any, ...]) -> None:
        self._queue.move_up()
        self._entrusted.pop(reply[1]).told(reply)
        if reply[0] == launcher.OVER and reply[2]:
            one.send(launcher.GO_ON)

    def end(self, number: int) -> None:
        """A program is ended, or not started."""
        orders = self._queue.take_back()
        is_waiting = any(order.number == number for order in orders)
        for order in orders:
            if order.number != number:
                self._queue.put(order)
            order.close()
        if is_waiting:
            self._drop(number)
        else:
            for one in self._all:
                one.send(launcher.END, number)

    def withdraw(self) -> None:
        """What has not been started is not started."""
        for order in self._queue.take_back():
            order.close()
            self._drop(order.number)

    def _drop(self, number: int) -> None:
        self._reactor.loop.call_soon(self._entrusted.pop(number).told, (launcher.DROPPED, number))

    def close(self) -> None:
        """All end, with what they run. Idempotent."""
        for one in self._all:
            one.close()
        self._all.clear()
        self._queue.close()

    def _lost(self) -> None:
        """A launcher was killed, by whomever, and nobody knows what it had taken: they all end, and everything is begun again."""
        self.close()
        entrusted, self._entrusted = self._entrusted, {}
        for one in entrusted.values():
            one.told(None)


def _begun(channel: int, orders: int) -> int:
    """The process id of a launcher that hears these descriptors. Raises OSError."""
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        argv = (sys.executable, "-I", "-S", "-c", _PROGRAM, _ROOT, str(channel), str(orders), str(os.getpid()))
        pid, said = forking.fork(argv, [os.fsencode(sys.executable)], "/", None, null, -1, -1, (channel, orders))
    finally:
        os.close(null)
    if said:
        raise forking.error_of(said, sys.executable, "/")
    return pid
