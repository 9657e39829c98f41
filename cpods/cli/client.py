"""The thin client: hands ``cpods rebuild`` to the resident MajorDomo of the project, if one runs.

Knows no build. Imports nothing that takes time; whatever is unusual is None: the ordinary way, in this process, then decides.
"""

import _signal  # type: ignore[import-not-found]  # not signal, which makes enumerations
import _socket
import posix
import sys

from cpods.cli.nearby import state_of
from cpods.resident import protocol

_RECEIVE_BYTES = 1 << 16
#: The exit code of a process that a signal ended is the signal's number behind this; the build says itself that it was interrupted.
_SIGNAL_CODE = 128
_INTERRUPTED = 130
_SIGNALS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)


def main(arguments: list[str]) -> int | None:
    """The exit code of ``cpods`` with these arguments; None if no resident can answer for this call."""
    try:
        link = _connected(state_of(arguments))
    except (OSError, ValueError):
        return None
    try:
        return _asked(link, arguments)
    finally:
        link.close()


def _connected(state: str) -> _socket.socket:
    """A connection to the resident. Raises OSError if there is none."""
    place, descriptor = protocol.address(state)
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        link.connect(place)
    except BaseException:
        link.close()
        raise
    finally:
        if descriptor >= 0:
            posix.close(descriptor)
    return link


def ask_about(state: str, what: str) -> str | None:
    """What the resident says about itself (``status``), or to ``stop``; None if there is none."""
    try:
        link = _connected(state)
    except (OSError, ValueError):
        return None
    try:
        _send(link, protocol.HELLO + protocol.frame(protocol.REQUEST, {"ask": what}))
        data = b""
        while (message := protocol.parsed(data)) is None:
            more = link.recv(_RECEIVE_BYTES)
            if not more:
                return None
            data += more
    except (OSError, ValueError, EOFError, TypeError):
        return None
    finally:
        link.close()
    return str(message[1][1])


def _asked(link: _socket.socket, arguments: list[str]) -> int | None:
    umask = posix.umask(0o077)
    posix.umask(umask)
    request = {
        "identity": protocol.identity(),
        "program": sys.argv[0],
        "arguments": arguments,
        "cwd": posix.getcwdb(),
        "environment": dict(posix.environ),
        "umask": umask,
        "cores": sorted(posix.sched_getaffinity(0)),
        "encodings": [(file.encoding, file.errors) if file is not None else None for file in (sys.stdin, sys.stdout, sys.stderr)],
    }
    hold = _Signals(link)
    code = None
    try:
        _send(link, protocol.HELLO + protocol.frame(protocol.REQUEST, request))
        code = _heard(link)
    except (OSError, ValueError, EOFError, TypeError):
        pass
    finally:
        hold.release()
    if code is None and hold.interrupted:
        raise KeyboardInterrupt
    return code


class _Signals:
    """While the resident works for us, interrupts go there; whether and how the build ends is said there."""

    def __init__(self, link: _socket.socket) -> None:
        self.interrupted = False
        self._before = [(number, _signal.signal(number, lambda *_: self._pass_on(link))) for number in _SIGNALS]

    def _pass_on(self, link: _socket.socket) -> None:
        self.interrupted = True
        try:  # noqa: SIM105  contextlib takes time to load
            link.send(protocol.frame(protocol.INTERRUPT, None))
        except OSError:  # it is just ending
            pass

    def release(self) -> None:
        """Signals mean again what they meant before."""
        for number, handler in self._before:
            _signal.signal(number, handler)


def _send(link: _socket.socket, data: bytes) -> None:
    """Sends a request; our standard files go with its first bytes. Raises OSError (one of them is closed)."""
    files = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    sent = link.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
    while sent < len(data):
        sent += link.send(data[sent:])


def _heard(link: _socket.socket) -> int | None:
    """What comes back, up to the exit code; None if the resident declines, or goes away."""
    data = b""
    begun = False
    while True:
        message = protocol.parsed(data)
        if message is None:
            more = link.recv(_RECEIVE_BYTES)
            if not more:
                if begun:
                    sys.stderr.write("cpods: the resident MajorDomo went away; going on without it\n")
                return None
            data += more
            continue
        kind, value, data = message
        if kind == protocol.BEGUN:
            begun = True
        elif kind == protocol.ENDED:
            return _ended(int(value))
        elif kind == protocol.ANSWER:
            return _told(*value)
        else:
            return None


def _ended(code: int) -> int:
    """The exit code of the build; one that was killed has said nothing of it."""
    if code > _SIGNAL_CODE and code != _INTERRUPTED:
        sys.stderr.write(f"cpods: the build was ended by signal {code - _SIGNAL_CODE}; call again, which goes on where it was\n")
    return code


def _told(code: int, out: str, report_file: str, report: str) -> int | None:
    """Writes the report, then says what is to be said. Raises OSError: then the ordinary way finds the words for it."""
    if report_file:
        temporary = f"{report_file}.{posix.getpid()}.tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(report)
        posix.replace(temporary, report_file)
    sys.stdout.write(out)
    return code
