"""The embedded SFTP server, a process of its own (``python -m cpods.net.sftp_server``): shows a store's objects and packs.

Knows no bus and no roster: who may log in, with which key, comes in over standard input (see :mod:`cpods.net.serving`).
"""

import os
import stat
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import asyncssh

from cpods.net.pack import NotServed, Pack, open_object, parse_object, parse_pack
from cpods.net.serving import CannotServe, Setup, serve_forever

#: AES-GCM first: its speed is twice that of ChaCha20 wherever the processor has AES.
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr")

#: A receiver sees from this that packs are served here; SSH signs the exchange.
SERVER_VERSION = "cpods_1"

#: Files that one session may hold open.
OPEN_MAX = 256

_WRITING = asyncssh.FXF_WRITE | asyncssh.FXF_APPEND | asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC | asyncssh.FXF_EXCL
_READING = asyncssh.ACE4_READ_DATA | asyncssh.ACE4_READ_ATTRIBUTES

#: What an SFTP server can do besides, none of which is done here.
REFUSED = (
    *("write", "setstat", "lsetstat", "fsetstat", "scandir", "remove", "mkdir", "rmdir", "rename", "readlink", "symlink"),
    *("link", "lock", "unlock", "posix_rename", "statvfs", "fstatvfs", "fsync"),
)


class _File:
    """An object that a client reads."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self.descriptor, size, offset)

    def attributes(self) -> asyncssh.SFTPAttrs:
        return _attributes(os.fstat(self.descriptor))

    def close(self) -> None:
        os.close(self.descriptor)


class _PackFile:
    """A pack that a client reads. It says no size: nobody has counted yet."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack

    def read(self, offset: int, size: int) -> bytes:
        try:
            return self._pack.read(offset, size)
        except OSError as error:
            raise asyncssh.SFTPFailure(str(error)) from error

    def attributes(self) -> asyncssh.SFTPAttrs:
        return asyncssh.SFTPAttrs(permissions=stat.S_IFREG | 0o444)

    def close(self) -> None:
        """Nothing is open between two members."""


class ObjectServer(asyncssh.SFTPServer):
    """One SFTP session: objects and packs can be opened, read and asked for size and mode; all else is refused."""

    def __init__(self, chan: "asyncssh.SSHServerChannel[bytes]", door: "Door") -> None:
        super().__init__(chan)
        self._door = door
        self._member = _member_of(chan.get_connection())
        self._open = 0

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        """An object or a pack, for reading."""
        if pflags & _WRITING:
            raise asyncssh.SFTPPermissionDenied("this store can only be read")
        return self._opened(path)

    def open56(self, path: bytes, desired_access: int, flags: int, attrs: asyncssh.SFTPAttrs) -> object:
        """The same for clients of SFTP 5 and 6."""
        if desired_access & ~_READING or flags & asyncssh.FXF_ACCESS_DISPOSITION != asyncssh.FXF_OPEN_EXISTING:
            raise asyncssh.SFTPPermissionDenied("this store can only be read")
        return self._opened(path)

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        """Bytes of an open file, none behind its end."""
        data = _known(file_obj).read(offset, size)
        self._door.served[self._member] += len(data)
        return data

    def close(self, file_obj: object) -> None:
        """Gives an open file up."""
        self._open -= 1
        _known(file_obj).close()

    def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        """Size and mode of an object."""
        file = self._object(path)
        try:
            return file.attributes()
        finally:
            file.close()

    lstat = stat

    def fstat(self, file_obj: object) -> asyncssh.SFTPAttrs:
        """Size and mode of an open object."""
        return _known(file_obj).attributes()

    def realpath(self, path: bytes) -> bytes:
        """The path itself, below a root without folders."""
        if b".." in path.split(b"/"):
            raise asyncssh.SFTPPermissionDenied("nothing is served outside of the store")
        return b"/" + path.strip(b"/.")

    def _opened(self, path: bytes) -> "_File | _PackFile":
        if self._open >= OPEN_MAX:
            raise asyncssh.SFTPFailure(f"more than {OPEN_MAX} open files")
        try:
            names = parse_pack(path)
        except NotServed:
            raise asyncssh.SFTPNoSuchFile("no pack that can be made") from None
        opened = self._object(path) if names is None else _PackFile(Pack(self._door.folder, names))
        self._open += 1
        return opened

    def _object(self, path: bytes) -> _File:
        try:
            return _File(self._door.open(path))
        except NotServed:
            if b".." in path.split(b"/"):
                raise asyncssh.SFTPPermissionDenied("nothing is served outside of the store") from None
            raise asyncssh.SFTPNoSuchFile("no object has this name") from None


def _refuse(self: ObjectServer, *_: object) -> Any:
    raise asyncssh.SFTPPermissionDenied("this store can only be read, object by object")


for _name in REFUSED:
    setattr(ObjectServer, _name, _refuse)


class Door:
    """Who may come in: members by their keys, nobody by anything else. One for all connections but for what is each one's.

    ``served``: bytes by member. ``folder``: the open folder ``objects``.
    """

    def __init__(self, store: str) -> None:
        self.served: Counter[str] = Counter()
        self.folder = os.open(os.path.join(store, "objects"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._members: dict[bytes, str] = {}
        self._guests: set[Guest] = set()

    def open(self, path: bytes) -> int:
        """A descriptor of an object. Raises NotServed, SFTPError for a link, OSError."""
        try:
            descriptor = open_object(self.folder, parse_object(path))
        except OSError as error:
            if error.errno in (40, 20):  # ELOOP, ENOTDIR: O_NOFOLLOW on a file, on a folder
                raise asyncssh.SFTPPermissionDenied("symlink refused") from error
            raise
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise asyncssh.SFTPPermissionDenied("not a regular file")

    def admit(self, keys: Mapping[str, str]) -> None:
        """Only these members (name -> public key) from now on; connections of all others are cut."""
        self._members = {asyncssh.import_public_key(key).public_data: name for name, key in keys.items()}
        for guest in list(self._guests):
            if guest.key and self._members.get(guest.key) != guest.member:
                guest.cut()

    def close(self) -> None:
        """Cuts all connections and gives the folder up."""
        self.admit({})
        for guest in list(self._guests):
            guest.cut()
        os.close(self.folder)

    def member(self, key: bytes) -> str | None:
        """Whose key this is."""
        return self._members.get(key)

    def enter(self, guest: "Guest") -> None:
        """A connection was made."""
        self._guests.add(guest)

    def leave(self, guest: "Guest") -> None:
        """A connection has ended."""
        self._guests.discard(guest)


class Guest(asyncssh.SSHServer):
    """One connection. ``member`` and ``key`` are known once its key was accepted; the user name it gives means nothing."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._connection: asyncssh.SSHServerConnection | None = None
        self.member = ""
        self.key = b""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """It has begun."""
        self._connection = conn
        self._door.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._door.leave(self)

    def cut(self) -> None:
        """Ends it at once."""
        if self._connection is not None:
            self._connection.abort()

    def begin_auth(self, username: str) -> bool:
        """Nobody comes in without a key."""
        return True

    def public_key_auth_supported(self) -> bool:
        """The one way in."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether it is a member's."""
        self.key = key.public_data
        self.member = self._door.member(self.key) or ""
        return bool(self.member)


class EmbeddedServer:
    """The serving side of :func:`cpods.net.serving.serve_forever`."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._door = Door(setup.store)
        self._acceptor: asyncssh.SSHAcceptor | None = None

    async def start(self, keys: Mapping[str, str]) -> int:
        """Begins to listen; the port. Raises CannotServe."""
        self._door.admit(keys)
        try:
            self._acceptor = await asyncssh.listen(
                self._setup.host,
                self._setup.port,
                server_factory=lambda: Guest(self._door),
                sftp_factory=lambda chan: ObjectServer(chan, self._door),
                server_host_keys=[asyncssh.import_private_key(self._setup.host_key)],
                server_version=SERVER_VERSION,
                config=None,
                allow_scp=False,
                agent_forwarding=False,
                x11_forwarding=False,
                allow_pty=False,
                password_auth=False,
                kbdint_auth=False,
                host_based_auth=False,
                gss_host=None,
                encryption_algs=CIPHERS,
                compression_algs=None,
                login_timeout=20,
                keepalive_interval=15,
                keepalive_count_max=3,
            )
        except OSError as error:
            where = f"{self._setup.host}:{self._setup.port}"
            raise CannotServe(f"cannot serve the store at {where}: {os.strerror(error.errno or 0)}; choose another port") from error
        return int(self._acceptor.get_port())

    async def admit(self, keys: Mapping[str, str]) -> None:
        """A new set of members."""
        self._door.admit(keys)

    def served(self) -> Mapping[str, int]:
        """Bytes by member, since the start."""
        return self._door.served

    async def stop(self) -> None:
        """Ends all connections."""
        if self._acceptor is not None:
            self._acceptor.close()
        self._door.close()
        if self._acceptor is not None:
            await self._acceptor.wait_closed()


def _attributes(status: os.stat_result) -> asyncssh.SFTPAttrs:
    return asyncssh.SFTPAttrs(size=status.st_size, permissions=stat.S_IFREG | (0o555 if status.st_mode & 0o111 else 0o444))


def _known(file: object) -> "_File | _PackFile":
    if not isinstance(file, _File | _PackFile):
        raise asyncssh.SFTPInvalidHandle("not an open file")
    return file


def _member_of(connection: object) -> str:
    guest = connection.get_owner() if isinstance(connection, asyncssh.SSHServerConnection) else None
    return guest.member if isinstance(guest, Guest) else ""


if __name__ == "__main__":
    sys.exit(serve_forever(EmbeddedServer))
