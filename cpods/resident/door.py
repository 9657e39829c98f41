"""The Unix socket at which clients ask: takes each request with its standard files.

Knows no answer: whoever owns the door is told of each visitor.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from cpods.resident import nursery, protocol

#: A request is sent at once; a visitor that says nothing for so long is shown out.
_PATIENCE_SECONDS = 10.0
_REQUEST_BYTES_MAX = 16 << 20
_RECEIVE_BYTES = 1 << 16
_CREDENTIALS = struct.Struct("3i")


class Visitor:
    """A client that has asked. ``request``: what it said. Call :meth:`leave` at the end, whatever came of it."""

    def __init__(self, link: socket.socket, request: dict[str, Any], files: list[int]) -> None:
        self.link = link
        self.request = request
        self._files = files

    @property
    def files(self) -> list[int]:
        """The connection, then the client's stdin, stdout and stderr."""
        return [self.link.fileno(), *self._files]

    async def say(self, kind: bytes, value: object = None) -> None:
        """Sends one message. A client that is gone, or does not listen, is nothing to tell anybody."""
        with contextlib.suppress(OSError, TimeoutError):
            sending = asyncio.get_running_loop().sock_sendall(self.link, protocol.frame(kind, value))
            await asyncio.wait_for(sending, _PATIENCE_SECONDS)

    def leave(self) -> None:
        """Lets go of the connection and the files. Idempotent."""
        self.link.close()
        for descriptor in self._files:
            os.close(descriptor)
        self._files = []


class Door:
    """Listens at a state folder's socket, which only this user can reach."""

    def __init__(self, state: str, welcome: Callable[[Visitor], None]) -> None:
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._welcome = welcome
        self._listener: socket.socket | None = None
        self._guests: set[_Guest] = set()

    def open(self) -> None:
        """Listens; a socket that a killed resident has left is replaced. Call it only under the resident's lock. Raises OSError."""
        place, descriptor = protocol.address(self._state)
        before = os.umask(0o177)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place)
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            self._listener.bind(place)
            self._listener.listen(128)
        finally:
            os.umask(before)
            if descriptor >= 0:
                os.close(descriptor)
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Nobody can come in any more. Idempotent."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._state, protocol.SOCKET))
        for guest in list(self._guests):
            guest.end()

    def _accept(self) -> None:
        assert self._listener is not None
        with contextlib.suppress(BlockingIOError, ConnectionError):
            link, _ = self._listener.accept()
            link.setblocking(False)
            _, user, _ = _CREDENTIALS.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
            if user != os.geteuid():  # root can open any socket, and would build as another user
                link.close()
                return
            self._guests.add(_Guest(self._loop, link, self._seated))

    def _seated(self, guest: "_Guest", visitor: Visitor | None) -> None:
        self._guests.discard(guest)
        if visitor is not None:
            self._welcome(visitor)


class _Guest:
    """A connection whose request is not complete yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop, link: socket.socket, seated: Callable[["_Guest", Visitor | None], None]) -> None:
        self._loop = loop
        self._link = link
        self._seated = seated
        self._data = b""
        self._files: list[int] = []
        self._timer = loop.call_later(_PATIENCE_SECONDS, self.end)
        loop.add_reader(link.fileno(), self._read)

    def _read(self) -> None:
        try:
            data, files, _, _ = socket.recv_fds(self._link, _RECEIVE_BYTES, nursery.FILES)
        except BlockingIOError:
            return
        except OSError:
            data, files = b"", []
        self._files += files
        self._data += data
        if not data or len(self._data) > _REQUEST_BYTES_MAX or not self._data.startswith(protocol.HELLO[: len(self._data)]):
            self.end()
            return
        if len(self._data) > len(protocol.HELLO):
            self._parse()

    def _parse(self) -> None:
        try:
            message = protocol.parsed(self._data[len(protocol.HELLO) :])
        except (ValueError, EOFError, TypeError):
            self.end()
            return
        if message is None:
            return
        _, request, _ = message
        if not isinstance(request, dict) or len(self._files) != nursery.FILES - 1:
            self.end()
            return
        self._let_go()
        self._seated(self, Visitor(self._link, request, self._files))

    def _let_go(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._link.fileno())

    def end(self) -> None:
        """Shows it out: it builds by itself then."""
        self._let_go()
        self._link.close()
        for descriptor in self._files:
            os.close(descriptor)
        self._seated(self, None)
