"""Launchers from cpods' side: one for each step that may run at once, each with one order running and one waiting.

Knows no step and no output; see launcher for what they do and say.
"""

import marshal
import os
import sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_SEQPACKET, SOL_SOCKET
from _socket import socketpair as _socketpair
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cpods.ports import Command
from cpods.scheduler import forking, launcher
from cpods.scheduler.reactor import Reactor
from cpods.scheduler.spawn import candidates, prepared

_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from cpods.scheduler.launcher import main; main(int(sys.argv[2]))"
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_REPLY_BYTES_MAX = 4096


class Entrusted:
    """A program that a launcher has been told to start. ``told`` is called once, with what became of it.

    That is a message of a launcher, or None if the launcher itself is gone.
    """

    def __init__(self, owner: "_Launcher", number: int, told: Callable[[tuple[Any, ...] | None], None]) -> None:
        self._owner = owner
        self._number = number
        self.told = told

    def end(self) -> None:
        """It is ended, asked again at once; one that has not been started is not started."""
        self._owner.send((launcher.END, self._number))

    def withdraw(self) -> None:
        """It is not started, unless it has been."""
        self._owner.send((launcher.DROP, self._number))


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
    """One launcher process and the orders that it has."""

    def __init__(self, reactor: Reactor, places: "_Places", gone: Callable[["_Launcher"], None]) -> None:
        self._reactor = reactor
        self._places = places
        self._gone = gone
        self._variables: list[bytes] | None = None
        self.entrusted: dict[int, Entrusted] = {}
        self._channel, theirs = _socketpair(AF_UNIX, SOCK_SEQPACKET, 0)
        try:
            self._pid = _begun(theirs.fileno())
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

    def give(self, number: int, command: Command, grace_seconds: float, stdout: int, stderr: int, entrusted: Entrusted) -> bool:
        """Whether the launcher has the order now; False if it is too long. Raises OSError, ValueError."""
        variables = prepared(command.env).variables
        changed = None if variables is self._variables else variables
        order = (command.argv, self._places.of(command), command.cwd, changed, command.timeout, grace_seconds)
        data = marshal.dumps((launcher.START, number, *order))
        if len(data) > launcher.MESSAGE_BYTES_MAX:
            return False
        self._channel.sendmsg([data], [(SOL_SOCKET, SCM_RIGHTS, array("i", (stdout, stderr)))])
        self._variables = variables
        self.entrusted[number] = entrusted
        return True

    def send(self, message: tuple[int, ...]) -> None:
        with suppress(OSError):  # it is gone: that is heard of soon
            self._channel.send(marshal.dumps(message))

    def _hear(self) -> None:
        try:
            data = self._channel.recv(_REPLY_BYTES_MAX)
        except ConnectionResetError:
            data = b""
        if not data:
            self._gone(self)
            return
        reply = marshal.loads(data)
        entrusted = self.entrusted.pop(reply[1])
        entrusted.told(reply)
        if reply[0] == launcher.OVER and reply[2] and self._channel.fileno() >= 0:
            self.send((launcher.GO_ON,))

    def close(self) -> None:
        """It ends what it runs and itself; waits for that."""
        self._reactor.forget(self._channel.fileno())
        self._channel.close()
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


class Launchers:
    """Launcher processes, started at once. Raises OSError."""

    def __init__(self, reactor: Reactor, count: int, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._all: list[_Launcher] = []
        self._number = 0
        places = _Places()
        try:
            for _ in range(count):
                self._all.append(_Launcher(reactor, places, self._lost))
        except BaseException:
            self.close()
            raise

    @property
    def count(self) -> int:
        """How many programs may run at once."""
        return len(self._all)

    def start(self, command: Command, stdout: int, stderr: int, told: Callable[[tuple[Any, ...] | None], None]) -> Entrusted | None:
        """Has a program started, now or when the one before it has ended; None if no launcher can. Raises OSError, ValueError."""
        if not self._all:
            return None
        one = min(self._all, key=_load)
        self._number += 1
        entrusted = Entrusted(one, self._number, told)
        return entrusted if one.give(self._number, command, self._grace_seconds, stdout, stderr, entrusted) else None

    def withdraw(self) -> None:
        """What has not been started is not started."""
        for one in self._all:
            for entrusted in one.entrusted.values():
                entrusted.withdraw()

    def close(self) -> None:
        """All end, with what they run. Idempotent."""
        for one in self._all:
            one.close()
        self._all.clear()

    def _lost(self, one: _Launcher) -> None:
        """A launcher was killed, by whomever."""
        self._all.remove(one)
        one.close()
        for entrusted in list(one.entrusted.values()):
            entrusted.told(None)
        one.entrusted.clear()


def _load(one: _Launcher) -> int:
    return len(one.entrusted)


def _begun(channel: int) -> int:
    """The process id of a launcher that hears this descriptor. Raises OSError."""
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        argv = (sys.executable, "-I", "-S", "-c", _PROGRAM, _ROOT, str(channel), str(os.getpid()))
        pid, said = forking.fork(argv, [os.fsencode(sys.executable)], "/", None, null, -1, -1, (channel,))
    finally:
        os.close(null)
    if said:
        raise forking.error_of(said, sys.executable, "/")
    return pid
