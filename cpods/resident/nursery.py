"""The process that builds are forked from: it has loaded what a build needs, a build in it starts at once and leaves nothing behind.

Knows no build and no watch: whoever starts it names the function that is one. Each build is a process of its own with the
environment, folder, umask and standard files of whoever wants it, so it does and says what it would do as a command of theirs.
Without threads, as it forks. Started as a script: ``python -m cpods.resident.nursery CONTROL MODULE FUNCTION``.
"""

import contextlib
import gc
import importlib
import io
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from cpods.resident import protocol

#: With a build: to fork. Back: which one has ended, and how.
FORK, OVER = b"F", b"O"
#: The connection to whoever wants the build, and their stdin, stdout and stderr.
FILES = 4

_RECEIVE_BYTES = 1 << 16
_SIGNAL_CODE = 128
_INTERRUPT = frozenset({signal.SIGINT})

#: The request, and the descriptor of the connection to whoever wants the build; the exit code. ``hears`` in the request: where
#: what a watch says meanwhile is read.
Function = Callable[[dict[str, Any], int], int]


class _Child:
    """A build that goes on. ``link``: the connection to whoever wants it; ``told``: what is passed on to it goes there."""

    def __init__(self, number: int, pid: int, link: int, learned: int, told: int) -> None:
        self.number = number
        self.pid = pid
        self.link = link
        self.learned = learned
        self.told = told
        self.handle = os.pidfd_open(pid)
        self.heard = b""

    def interrupt(self) -> None:
        """As Ctrl-C would; asked again, the build hastens."""
        os.kill(self.pid, signal.SIGINT)  # not waited for yet, so the number is still its

    def tell(self, message: bytes) -> None:
        """Passes a message on. A build that does not listen and has its ears full is ended: then what it missed is seen to later."""
        try:
            if os.write(self.told, message) == len(message):
                return
        except OSError:
            pass
        self.interrupt()

    def close(self) -> None:
        for descriptor in (self.handle, self.link, self.learned, self.told):
            os.close(descriptor)


class Nursery:
    """Forks builds until the control connection ends, and then waits for the last of them."""

    def __init__(self, control: int, function: Function) -> None:
        self._control: socket.socket | None = socket.socket(fileno=control)
        self._function = function
        self._data = b""
        self._files: list[int] = []
        self._children: list[_Child] = []
        self._poll = select.poll()

    def serve(self) -> None:
        """Returns when nobody can want a build any more, and none goes on."""
        assert self._control is not None
        control = self._control.fileno()
        self._poll.register(control, select.POLLIN)
        while self._has_work():
            for descriptor, _ in self._poll.poll():
                if self._control is not None and descriptor == control:
                    self._read_control()
                else:
                    self._look_at(descriptor)

    def _has_work(self) -> bool:
        return self._control is not None or bool(self._children)

    # -- orders ----------------------------------------------------------------------------------------------------

    def _read_control(self) -> None:
        assert self._control is not None
        try:
            data, files, _, _ = socket.recv_fds(self._control, _RECEIVE_BYTES, FILES)
        except ConnectionResetError:  # it was killed with words of ours unread
            data, files = b"", []
        self._files += files
        if not data:
            self._poll.unregister(self._control)
            self._control.close()
            self._control = None
            return
        self._data += data
        while (message := protocol.parsed(self._data)) is not None:
            _, value, self._data = message
            number, request = value
            files, self._files = self._files[:FILES], self._files[FILES:]
            self._fork(number, request, files)

    def _fork(self, number: int, request: dict[str, Any], files: list[int]) -> None:
        mine, theirs = os.pipe()
        hears, told = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)  # the child takes it when it is ready to
        pid = os.fork()
        if not pid:
            os.close(mine)
            os.close(told)
            self._become({**request, "hears": hears}, files, theirs)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)
        os.close(theirs)
        os.close(hears)
        os.set_blocking(told, False)
        for descriptor in files[1:]:
            os.close(descriptor)
        child = _Child(number, pid, files[0], mine, told)
        self._children.append(child)
        self._poll.register(child.handle, select.POLLIN)
        self._poll.register(child.link, select.POLLIN)
        with contextlib.suppress(OSError):
            os.write(child.link, protocol.frame(protocol.BEGUN, pid))

    def _look_at(self, descriptor: int) -> None:
        for child in self._children:
            if descriptor == child.handle:
                return self._over(child)
            if descriptor == child.link:
                return self._hear(child)
        return None

    def _hear(self, child: _Child) -> None:
        """An interrupt, or that whoever wants the build is gone: they would have been a build that was ended politely."""
        try:
            data = os.read(child.link, _RECEIVE_BYTES)
        except OSError:
            data = b""
        if not data:
            self._poll.unregister(child.link)
            child.interrupt()
            return
        child.heard += data
        while (message := protocol.parsed(child.heard)) is not None:
            kind, value, child.heard = message
            if kind == protocol.INTERRUPT:
                child.interrupt()
            elif kind == protocol.RESTART:
                child.tell(protocol.frame(kind, value))

    def _over(self, child: _Child) -> None:
        learned = os.read(child.learned, _RECEIVE_BYTES).decode().split()
        status = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        code = status if status >= 0 else _SIGNAL_CODE - status
        self._children.remove(child)
        self._poll.unregister(child.handle)
        with contextlib.suppress(KeyError):
            self._poll.unregister(child.link)
        with contextlib.suppress(OSError):
            os.write(child.link, protocol.frame(protocol.ENDED, code))
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.sendall(protocol.frame(OVER, (child.number, code)))
        child.close()
        _learn(learned)

    # -- in the new process ----------------------------------------------------------------------------------------

    def _become(self, request: dict[str, Any], files: list[int], learned: int) -> None:
        """Never returns: this process is the build now."""
        code = 1
        try:
            if self._control is not None:
                self._control.close()
            for child in self._children:
                child.close()
            for number in (0, 1, 2):
                os.dup2(files[1 + number], number)
                os.close(files[1 + number])
            _adopt(request)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)
            known = set(sys.modules)
            code = self._function(request, files[0])
            _teach(learned, known)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except KeyboardInterrupt:  # before the build looks after interrupts itself
            sys.stderr.write("cpods: interrupted; nothing had been started\n")
            code = _SIGNAL_CODE + signal.SIGINT
        except BaseException:
            traceback.print_exc()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code & 0xFF)


def _adopt(request: dict[str, Any]) -> None:
    """Everything of a process that a build depends on, as whoever wants it has it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environb.clear()
    os.environb.update(request["environment"])
    time.tzset()
    os.umask(request["umask"])
    with contextlib.suppress(OSError):  # its cores may have been taken away
        os.sched_setaffinity(0, request["cores"])
    for descriptor, (name, said) in enumerate(zip(("stdin", "stdout", "stderr"), request["encodings"], strict=True)):
        setattr(sys, name, None if said is None else _opened(descriptor, *said))
    try:
        os.chdir(request["cwd"])
    except OSError as error:
        sys.stderr.write(f"cpods: {os.fsdecode(request['cwd'])}: {error.strerror}; call cpods in a folder that is there\n")
        raise SystemExit(2) from None


def _opened(number: int, encoding: str, errors: str) -> io.TextIOWrapper:
    """A standard file as the interpreter opens it."""
    lined = number == 2 or os.isatty(number)
    return open(number, "r" if number == 0 else "w", encoding=encoding, errors=errors, buffering=1 if lined else -1, closefd=False)


def _teach(learned: int, known: set[str]) -> None:
    """Tells the nursery which modules this build had to load, so that the next need not."""
    text = " ".join(name for name in sys.modules if name not in known and name.isascii())
    with contextlib.suppress(OSError):
        os.set_blocking(learned, False)
        os.write(learned, text.encode()[:_RECEIVE_BYTES])


def _learn(names: list[str]) -> None:
    """Loads what a build had to load."""
    for name in names:
        if name not in sys.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    if names:
        gc.collect()
        gc.freeze()


def main(control: str, module: str, function: str) -> None:
    """The script."""
    os.setsid()  # a terminal's Ctrl-C is for whoever wants a build; they pass it on
    gc.disable()
    found = getattr(importlib.import_module(module), function)
    gc.collect()
    gc.freeze()
    Nursery(int(control), found).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
