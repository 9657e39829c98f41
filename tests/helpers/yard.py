"""Members whose stores are really served, by either kind of server, on an event loop that outlives a test.

Knows no expectation; the tests judge.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import asyncssh

from cpods.model import Artefact
from cpods.net.pull import Peer, SftpTransfer
from cpods.net.storeserver import StoreServer
from cpods.ports import Objects
from cpods.store.layout import object_path
from cpods.store.objects import ObjectStore

T = TypeVar("T")


class Key(NamedTuple):
    """A key pair as the roster has it: texts."""

    private: str
    public: str


def new_key() -> Key:
    """An Ed25519 pair."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    return Key(key.export_private_key().decode(), key.export_public_key().decode())


#: What can be wrong with an object's file at a holder.
FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "flipped bit": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "cut short": lambda data: data[:-1],
    "too long": lambda data: data + b"\0",
    "empty": lambda data: b"",
    "another file": lambda data: bytes(len(data)),
}


class Holder:
    """A store with its server."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.store = ObjectStore(str(folder))
        self.host_key = new_key()
        self.server = StoreServer(str(folder), self.host_key.private, kind)
        self.peer: Peer | None = None

    def put(self, content: bytes, executable: bool = False) -> Artefact:
        """An intact object."""
        if executable:
            path = self.store.root + "/../program"
            with open(path, "wb") as file:
                file.write(content)
            os.chmod(path, 0o755)
            artefact = self.store.put_file(path)
        else:
            artefact = self.store.put_bytes(content)
        self.store.commit()
        return artefact

    def path(self, artefact: Artefact) -> str:
        """The object's file."""
        return object_path(self.store.root, artefact.digest)

    def spoil(self, artefact: Artefact, fault: str) -> None:
        """Something happens to an object: one of FAULTS, "evicted", or "broken disk"."""
        path = self.path(artefact)
        if fault in FAULTS:
            data = FAULTS[fault](Path(path).read_bytes())
            os.chmod(path, 0o644)
            Path(path).write_bytes(data)
            return
        os.unlink(path)
        if fault == "broken disk":
            os.mkdir(path)


class Yard:
    """Holders by name, all served by servers of one kind; ``user`` is the key of the one member who may read."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        self.user = new_key()
        self.holders: dict[str, Holder] = {}
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """On this yard's loop."""
        return self._runner.run(work)

    def add(self, name: str) -> Holder:
        """A holder that serves."""
        return self.run(self.open(name))

    async def open(self, name: str) -> Holder:
        """The same, on the loop."""
        holder = self.holders[name] = Holder(self.folder / name, self.kind)
        host, port = await holder.server.start({"me": self.user.public})
        holder.peer = Peer(host, port, holder.host_key.public)
        return holder

    def peers(self, name: str) -> Peer | None:
        """Where a holder serves."""
        return self.holders[name].peer if name in self.holders else None

    def transfer(self, objects: Objects, on_bad: Callable[[str, Artefact], None] | None = None, **more: Any) -> SftpTransfer:
        """Pulls for the member."""
        return SftpTransfer("me", objects, self.peers, self.user.private, on_bad, **more)

    def close(self) -> None:
        """Ends all servers."""
        for holder in self.holders.values():
            self.run(holder.server.stop())
            holder.store.close()
        self._runner.close()
        shutil.rmtree(self.folder, ignore_errors=True)
