"""Connections to holders: opened when first needed, kept, opened again when they break; and what can go wrong with a holder.

Knows no artefact: files are asked for by path.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Callable

import asyncssh
import msgspec

from cpods.net.confined import PACK
from cpods.net.sftp_server import CIPHERS, SERVER_VERSION
from cpods.net.sshd import USER_MARK

_OURS = f"SSH-2.0-{SERVER_VERSION}"
_USER = re.compile(rb" " + USER_MARK.encode() + rb"([A-Za-z0-9._-]{1,64})\s*$")
_CONNECT_SECONDS_MAX = 15.0

#: What may be under way to one session. The library's 2 MiB cost a fifth more processor time from sshd (measured).
_WINDOW_BYTES = 8 << 20


class Peer(msgspec.Struct, frozen=True):
    """Where a holder serves its store, and its SSH host key (one line of text) as the roster has it."""

    host: str
    port: int
    host_public: str


class Trouble(Exception):
    """A holder does not deliver; the text says why, to be read behind its name."""


class Broken(Trouble):
    """The connection broke or stands still: it may be worth to try again."""


class Stalled(Broken):
    """Nothing comes: there is no use in waiting for the same again."""


class Refused(Trouble):
    """This holder will not deliver."""


class Lying(Trouble):
    """What came is not what was asked for."""


class Link:
    """One connection. ``block`` bytes a read, ``depth`` reads at once: what is best with this server.

    ``packs``: "file" from the embedded server, "stream" from a private sshd (until it turns out to have none), else "".
    """

    def __init__(self, peer: Peer, connection: asyncssh.SSHClientConnection, sftp: asyncssh.SFTPClient) -> None:
        ours = str(connection.get_extra_info("server_version")).startswith(_OURS)
        self.peer = peer
        self.sftp = sftp
        self.block, self.depth = (1 << 20, 8) if ours else (240 << 10, 16)  # sshd gives 256 KiB at most
        self.packs = "file" if ours else "stream"
        self._connection = connection
        self._idle: list[asyncssh.SSHClientProcess[bytes]] = []
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def alive(self) -> bool:
        """Whether it can be used, as far as is known."""
        return not self._connection.is_closed()

    @contextlib.asynccontextmanager
    async def pack_stream(self) -> AsyncIterator[asyncssh.SSHClientProcess[bytes]]:
        """The holder's maker of packs, for one request at a time; kept for the next one if all went well.

        Raises asyncssh.ChannelOpenError if there is none.
        """
        process = self._idle.pop() if self._idle else await self._connection.create_process(subsystem=PACK, encoding=None)
        try:
            yield process
        except BaseException:
            process.close()
            raise
        self._idle.append(process)

    def give_up(self, file: asyncssh.SFTPClientFile) -> None:
        """Closes a file, without waiting for the answer."""
        if self.alive:
            task = asyncio.create_task(_closed(file))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def drop(self) -> None:
        """Ends it at once."""
        self._connection.abort()

    async def close(self) -> None:
        """Ends it in order."""
        for task in list(self._closing):
            task.cancel()
        self._connection.close()
        await self._connection.wait_closed()


class Links:
    """One connection a holder. ``peers`` says where a holder is now, None if it is no member or not known."""

    def __init__(self, peers: Callable[[str], Peer | None], ssh_key: str) -> None:
        self._peers = peers
        self._key = asyncssh.import_private_key(ssh_key)
        self._links: dict[str, Link] = {}
        self._opening: dict[str, asyncio.Lock] = {}

    async def get(self, holder: str) -> Link:
        """The connection to a holder. Raises Trouble."""
        async with self._opening.setdefault(holder, asyncio.Lock()):
            peer = self._peers(holder)
            if peer is None:
                raise Refused("cannot be reached: nobody knows where it serves its store")
            link = self._links.get(holder)
            if link is not None and link.alive and link.peer == peer:
                return link
            if link is not None:
                link.drop()
            self._links[holder] = link = await self._connect(peer)
            return link

    async def close(self) -> None:
        """Ends all connections."""
        links, self._links = list(self._links.values()), {}
        await asyncio.gather(*(link.close() for link in links), return_exceptions=True)

    async def _connect(self, peer: Peer) -> Link:
        where = f"at {peer.host} port {peer.port}"
        try:
            async with asyncio.timeout(_CONNECT_SECONDS_MAX):
                return await self._open(peer)
        except TimeoutError:
            raise Broken(f"does not answer {where}") from None
        except asyncssh.HostKeyNotVerifiable:
            raise Refused(f"shows another SSH host key {where} than the roster says") from None
        except asyncssh.PermissionDenied:
            raise Refused(f"does not take our SSH key {where}: it does not know us, or we were revoked") from None
        except (OSError, asyncssh.Error) as error:
            raise Broken(f"cannot be reached {where}: {error}") from None

    async def _open(self, peer: Peer) -> Link:
        sock = await _connected(peer.host, peer.port)
        try:
            user = await _user_wanted(sock)
            connection = await asyncssh.connect(
                peer.host,
                peer.port,
                sock=sock,
                username=user,
                client_keys=[self._key],
                known_hosts=([asyncssh.import_public_key(peer.host_public)], [], []),
                config=None,
                agent_path=None,
                preferred_auth="publickey",
                encryption_algs=CIPHERS,
                compression_algs=None,
                window=_WINDOW_BYTES,
                keepalive_interval=15,
                keepalive_count_max=3,
            )
        except BaseException:
            sock.close()
            raise
        try:
            return Link(peer, connection, await connection.start_sftp_client(sftp_version=3))
        except BaseException:
            connection.abort()
            raise


def told(error: BaseException) -> Trouble | None:
    """What an error during a transfer means, None if it is not the holder's."""
    if isinstance(error, Trouble):
        return error
    if isinstance(error, asyncssh.SFTPNoConnection | asyncssh.SFTPConnectionLost):
        return Broken("broke the connection off")
    if isinstance(error, asyncssh.SFTPNoSuchFile | asyncssh.SFTPNoSuchPath):
        return Refused("does not have it any more")
    if isinstance(error, asyncssh.SFTPError):
        return Refused(f"does not deliver it: {error.reason or type(error).__name__}")
    if isinstance(error, asyncssh.Error | ConnectionError | EOFError):
        return Broken(f"broke the connection off: {error}".rstrip(": "))
    return None


async def _closed(file: asyncssh.SFTPClientFile) -> None:
    with contextlib.suppress(asyncssh.Error, OSError, ValueError):
        await file.close()


async def _connected(host: str, port: int) -> socket.socket:
    """A connected socket, from the first of the host's addresses that takes it. Raises OSError."""
    loop = asyncio.get_running_loop()
    problem = OSError("no such host")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
            return sock
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
    raise problem


def _mark(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


async def _user_wanted(sock: socket.socket) -> str:
    """The user name that a server can log in: a private sshd tells it in its first line, which is left unread.

    The key exchange covers that line, so that nobody between could have changed it.
    """
    loop = asyncio.get_running_loop()
    seen = -1
    while True:
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(sock, _mark, readable)
        try:
            await readable
        finally:
            loop.remove_reader(sock)
        line = sock.recv(1024, socket.MSG_PEEK)
        if b"\n" in line or len(line) in (0, 1024):
            found = _USER.search(line.partition(b"\n")[0])
            return found[1].decode() if found else "cpods"
        if len(line) == seen:  # half a line lies there and makes the socket readable: look again a little later
            await asyncio.sleep(0.01)
        seen = len(line)
