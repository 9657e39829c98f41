"""Embedded servers that are each wrong in exactly one way, in this process.

Knows no receiver; the tests judge.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh

from cpods.net.pull import Peer
from cpods.net.sftp_server import SERVER_VERSION, Door, Guest, ObjectServer
from tests.helpers.yard import Key


class Truncates(ObjectServer):
    """Every file and pack ends after 1,000 bytes."""

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        return super().read(file_obj, offset, min(size, max(0, 1000 - offset)))


class FlipsAByte(ObjectServer):
    """The byte at 2,000 is another one."""

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        data = super().read(file_obj, offset, size)
        at = 2000 - offset
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if 0 <= at < len(data) else data


class LiesAboutSize(ObjectServer):
    """Says that everything is 7 bytes longer."""

    def fstat(self, file_obj: object) -> asyncssh.SFTPAttrs:
        attributes = super().fstat(file_obj)
        return asyncssh.SFTPAttrs(size=(attributes.size or 0) + 7, permissions=attributes.permissions)

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        data = super().read(file_obj, offset, size)  # in a pack: the first member's size
        if "Pack" in type(file_obj).__name__ and offset == 0 and data:
            data = data[:8] + bytes([data[8] ^ 7]) + data[9:]
        return data


class Stalls(ObjectServer):
    """Never answers a read."""

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:  # type: ignore[override]
        await asyncio.Event().wait()
        raise AssertionError


class StallsAtOpening(ObjectServer):
    """Never answers at all."""

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        await asyncio.Event().wait()
        raise AssertionError


class ClosesMidRead(ObjectServer):
    """Breaks the connection at the second read of each connection."""

    reads = 0

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        self.reads += 1
        if self.reads > 1:
            self.connection.abort()
        return super().read(file_obj, offset, size)


class ClosesAtOnce(ObjectServer):
    """Breaks the connection at every read."""

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        self.connection.abort()
        return b""


class AnswersDotDot(ObjectServer):
    """Every path is ``../../etc/passwd``, whatever is asked for."""

    def realpath(self, path: bytes) -> bytes:
        return b"../../etc/passwd"

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        return (b"root:x:0:0:root:/root:/bin/bash\n" * (size // 32 + 1))[:size]


class SpeaksNonsense(ObjectServer):
    """Refuses what it should serve, with a strange word."""

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        raise asyncssh.SFTPFailure("moon phase")


@asynccontextmanager
async def serving(store: str, server: type[ObjectServer], host_key: Key, user: Key) -> AsyncIterator[Peer]:
    """Serves a store badly; where."""
    door = Door(store)
    door.admit({"me": user.public})
    acceptor = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=lambda: Guest(door),
        sftp_factory=lambda chan: server(chan, door),
        server_host_keys=[asyncssh.import_private_key(host_key.private)],
        server_version=SERVER_VERSION,
        config=None,
    )
    try:
        yield Peer("127.0.0.1", acceptor.get_port(), host_key.public)
    finally:
        acceptor.close()
        door.close()
        await acceptor.wait_closed()
