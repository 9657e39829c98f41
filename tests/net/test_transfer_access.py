"""Who may read what: both kinds of servers show members the objects, and nobody anything else."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import asyncssh
import pytest

from cpods.errors import Unavailable
from cpods.model import Artefact
from cpods.net import sftp_server
from cpods.net.confined import PACK
from cpods.net.links import Links
from cpods.net.pack import object_path
from cpods.net.processes import children_of
from cpods.net.pull import Peer, SftpTransfer
from cpods.store.layout import object_path as stored_path
from cpods.store.objects import ObjectStore
from tests.helpers.yard import Holder, Yard, new_key

KINDS = ("embedded", "openssh")


@pytest.fixture(scope="module", params=KINDS)
def yard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    made = Yard(tmp_path_factory.mktemp(request.param), request.param)
    made.add("a")
    yield made
    made.close()


@pytest.fixture
def holder(yard: Yard) -> Holder:
    return yard.holders["a"]


@pytest.fixture
def secret(yard: Yard) -> str:
    path = yard.folder / "secret"
    path.write_text("not for you")
    return str(path)


def on_session(yard: Yard, work: Callable[[asyncssh.SSHClientConnection, asyncssh.SFTPClient], Awaitable[object]]) -> None:
    """Logs in as the member does and works there."""

    async def within() -> None:
        peer = yard.peers("a")
        assert peer is not None
        links = Links(yard.peers, yard.user.private)
        link = await links.get("a")
        try:
            await work(link._connection, link.sftp)
        finally:
            await links.close()

    yard.run(within())


@pytest.mark.parametrize("yard", ["openssh"], indirect=True)  # the other has no shell
def test_no_session_reads_what_the_user_has_at_home(yard: Yard, holder: Holder) -> None:
    """A login shell's files may print, wait or fail, and did: one that waited for a lock kept every session waiting."""

    async def work(connection: asyncssh.SSHClientConnection, sftp: asyncssh.SFTPClient) -> None:
        await sftp.stat("objects")
        environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in children_of(holder.server.pid)]
        homes = [dict(entry.partition(b"=")[::2] for entry in environment.split(b"\0")) for environment in environments]
        (home,) = {environment[b"HOME"] for environment in homes if b"SSH_ORIGINAL_COMMAND" in environment}
        assert not [name for name in os.listdir(home) if name.startswith(b".")]
        assert os.path.basename(home).startswith(b"cpods-serve-")

    on_session(yard, work)


def refused(yard: Yard, work: Callable[[asyncssh.SFTPClient], Awaitable[object]]) -> None:
    """An SFTP request fails, whatever the server calls that."""

    async def expect(_: asyncssh.SSHClientConnection, sftp: asyncssh.SFTPClient) -> None:
        with pytest.raises(asyncssh.SFTPError):
            await work(sftp)

    on_session(yard, expect)


def pull(yard: Yard, objects: ObjectStore, artefact: Artefact, **who: object) -> None:
    async def within() -> None:
        transfer = SftpTransfer("me", objects, yard.peers, str(who.get("key", yard.user.private)))
        try:
            await transfer.pull(artefact, ["a"])
        finally:
            await transfer.close()

    yard.run(within())


async def read(sftp: asyncssh.SFTPClient, path: str) -> object:
    async with sftp.open(path, "rb") as file:
        return await file.read()


def test_objects_are_shown_where_they_lie() -> None:
    for digest in ("xxh3:" + "ab" * 16, "blake3:" + "ab" * 32):
        assert "root/" + object_path(digest) == stored_path("root", digest)


def test_a_stranger_is_refused(yard: Yard, holder: Holder, tmp_path: Path) -> None:
    artefact = holder.put(b"for members")
    objects = ObjectStore(str(tmp_path / "me"))
    with pytest.raises(Unavailable, match="a does not take our SSH key"):
        pull(yard, objects, artefact, key=new_key().private)
    assert not objects.has(artefact.digest)


def test_a_changed_host_key_is_refused(yard: Yard, holder: Holder, tmp_path: Path) -> None:
    artefact = holder.put(b"for members")
    true = holder.peer
    assert true is not None
    holder.peer = Peer(true.host, true.port, new_key().public)
    try:
        with pytest.raises(Unavailable, match="a shows another SSH host key"):
            pull(yard, ObjectStore(str(tmp_path / "me")), artefact)
    finally:
        holder.peer = true


def test_a_holder_that_is_down_is_said_to_be(yard: Yard, holder: Holder, tmp_path: Path) -> None:
    true = holder.peer
    assert true is not None
    holder.peer = Peer(true.host, 1, true.host_public)
    try:
        with pytest.raises(Unavailable, match="a cannot be reached at 127.0.0.1 port 1: "):
            pull(yard, ObjectStore(str(tmp_path / "me")), holder.put(b"for members"))
    finally:
        holder.peer = true


@pytest.mark.parametrize("executable", [False, True])
def test_the_executable_bit_survives(yard: Yard, holder: Holder, tmp_path: Path, executable: bool) -> None:
    programs = [holder.put(b"#!/bin/sh\n# %d %s\n" % (number, yard.kind.encode()), executable) for number in range(3)]
    large = holder.put(bytes(300_000) + bytes([executable]), executable)
    objects = ObjectStore(str(tmp_path / "me"))

    async def within() -> None:
        transfer = yard.transfer(objects)
        await transfer.pull(programs[0], ["a"])
        assert await transfer.pull_many({artefact: ["a"] for artefact in [*programs, large]}) == {}
        await transfer.close()

    yard.run(within())
    objects.commit()
    for artefact in [*programs, large]:
        objects.export(artefact.digest, str(tmp_path / "out"))
        assert bool(os.stat(tmp_path / "out").st_mode & 0o111) == executable


def test_no_program_is_run(yard: Yard, tmp_path: Path) -> None:
    mark = tmp_path / "was here"

    async def run(connection: asyncssh.SSHClientConnection, _: asyncssh.SFTPClient) -> None:
        commands = [f"touch {mark}", f"cpods-sftp; touch {mark}", ""]
        for ask in [*({"command": command} for command in commands), {"subsystem": "shell"}, {}]:
            try:
                ended = await connection.run(timeout=20, input="", **ask)  # type: ignore[arg-type]
            except (asyncssh.ChannelOpenError, asyncssh.ProcessError):
                continue
            assert ended.exit_status, ask

    on_session(yard, run)
    assert not mark.exists()


def test_nothing_is_forwarded(yard: Yard, holder: Holder) -> None:
    async def forward(connection: asyncssh.SSHClientConnection, _: asyncssh.SFTPClient) -> None:
        assert holder.peer is not None
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("127.0.0.1", holder.peer.port)
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 1)
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_unix_connection("/run/any")

    on_session(yard, forward)


@pytest.mark.parametrize(
    "work",
    [
        lambda sftp, path: sftp.open(path, "wb"),
        lambda sftp, path: sftp.open(path, "ab"),
        lambda sftp, path: sftp.open(path + "new", "wb"),
        lambda sftp, path: sftp.remove(path),
        lambda sftp, path: sftp.rename(path, path + "2"),
        lambda sftp, path: sftp.posix_rename(path, path + "2"),
        lambda sftp, path: sftp.chmod(path, 0o777),
        lambda sftp, path: sftp.truncate(path, 0),
        lambda sftp, path: sftp.mkdir("objects/new"),
        lambda sftp, path: sftp.rmdir("objects/xxh3"),
        lambda sftp, path: sftp.symlink("/etc/passwd", "objects/link"),
        lambda sftp, path: sftp.link(path, "objects/link"),
        lambda sftp, path: sftp.readlink(path),
        lambda sftp, path: sftp.listdir("objects"),
        lambda sftp, path: sftp.listdir("/"),
        lambda sftp, path: sftp.statvfs("objects"),
    ],
    ids=lambda work: "",
)
def test_nothing_is_written_or_listed(yard: Yard, holder: Holder, work: Callable[[asyncssh.SFTPClient, str], Awaitable[object]]) -> None:
    artefact = holder.put(b"stays as it is")
    before = os.stat(holder.path(artefact))
    refused(yard, lambda sftp: work(sftp, object_path(artefact.digest)))
    assert os.stat(holder.path(artefact)) == before
    assert sorted(os.listdir(holder.store.root + "/objects")) == ["xxh3"]


@pytest.mark.parametrize(
    "path", ["format", "objects/../format", "../secret", "objects/xxh3/../../../secret", "/etc/passwd", "/etc/hostname"]
)
def test_nothing_outside_of_the_objects_is_read(yard: Yard, secret: str, path: str) -> None:
    if path == "/etc/passwd" and yard.kind == "openssh":
        path = "/etc/shadow"  # passwd is what sftp-server itself has to read
    refused(yard, lambda sftp: read(sftp, path))
    refused(yard, lambda sftp: read(sftp, secret))


@pytest.mark.parametrize("part", ["the object", "its folder"])
def test_a_link_in_the_store_leads_nowhere(yard: Yard, holder: Holder, secret: str, tmp_path: Path, part: str) -> None:
    artefact = holder.put(f"linked away {part}".encode())
    path = Path(holder.path(artefact))
    if part == "the object":
        path.unlink()
        path.symlink_to(secret)
    else:
        path.parent.rename(tmp_path / "moved")
        path.parent.symlink_to(tmp_path / "moved")
    try:
        refused(yard, lambda sftp: read(sftp, object_path(artefact.digest)))
        with pytest.raises(Unavailable, match="symlink refused|Permission denied"):
            pull(yard, ObjectStore(str(tmp_path / "me")), artefact)
    finally:
        (path if part == "the object" else path.parent).unlink()


def test_every_request_of_sftp_is_either_ours_or_refused() -> None:
    """A newer AsyncSSH may know more of them."""
    known = {name for name in vars(asyncssh.SFTPServer) if not name.startswith("_")}
    passive = {"channel", "connection", "env", "logger", "convert_attrs", "format_user", "format_group", "format_longname"}
    ours = set(vars(sftp_server.ObjectServer))
    assert known - passive - {"map_path", "reverse_map_path", "exit"} <= ours


def test_bytes_are_counted_for_who_had_them(yard: Yard, holder: Holder, tmp_path: Path) -> None:
    async def within() -> None:
        before = dict(await holder.server.count()).get("me", 0)
        transfer = yard.transfer(ObjectStore(str(tmp_path / "me")))
        large = holder.put(bytes(400_000) + yard.kind.encode())
        await transfer.pull(large, ["a"])
        small = [holder.put(b"counted %d" % number + yard.kind.encode()) for number in range(4)]
        await transfer.pull_many({artefact: ["a"] for artefact in small})
        moved = transfer.moved["a"]
        await transfer.close()
        assert moved == large.size + sum(artefact.size for artefact in small)
        while (counted := dict(await holder.server.count())["me"] - before) < moved:  # sshd's sessions tell at their end
            await asyncio.sleep(0)
        assert moved <= counted <= moved + 100

    yard.run(within())


def test_a_revoked_member_is_cut_off_at_once(yard: Yard, holder: Holder, tmp_path: Path) -> None:
    """While it waits for the next block of a long transfer."""
    artefact = holder.put(os.urandom(1 << 20) * 24)
    other = new_key()

    async def within() -> None:
        transfer = yard.transfer(ObjectStore(str(tmp_path / "me")))
        pulling = asyncio.create_task(transfer.pull(artefact, ["a"]))
        try:
            while not transfer.moved["a"]:
                await asyncio.sleep(0)
            await holder.server.admit({"other": other.public})
            with pytest.raises(Unavailable, match="a does not take our SSH key"):
                await pulling
            assert transfer.moved["a"] < artefact.size
        finally:
            await transfer.close()
            await holder.server.admit({"me": yard.user.public})

    yard.run(within())


def test_another_member_is_not_disturbed_by_a_revocation(yard: Yard, holder: Holder, tmp_path: Path) -> None:
    artefact = holder.put(os.urandom(1 << 20) * 12)
    other = new_key()

    async def within() -> None:
        await holder.server.admit({"me": yard.user.public, "other": other.public})
        transfer = yard.transfer(ObjectStore(str(tmp_path / "me")))
        pulling = asyncio.create_task(transfer.pull(artefact, ["a"]))
        while not transfer.moved["a"]:
            await asyncio.sleep(0)
        await holder.server.admit({"me": yard.user.public})
        await pulling
        assert transfer.moved["a"] == artefact.size
        await transfer.close()

    yard.run(within())


def test_a_pack_that_sshd_is_asked_for_shows_objects_alone(yard: Yard, holder: Holder) -> None:
    """The request is free text: what is no digest is a member that is not there."""
    text = b"../../format\nxxh3:../../../../etc/passwd\nxxh3:" + b"0" * 32 + b"\nblake3:" + b"." * 64

    async def ask(connection: asyncssh.SSHClientConnection, _: asyncssh.SFTPClient) -> None:
        if yard.kind == "embedded":
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.create_process(subsystem=PACK, encoding=None)
            return
        process = await connection.create_process(subsystem=PACK, encoding=None)
        process.stdin.write(len(text).to_bytes(4, "big") + text)
        assert await process.stdout.readexactly(4 * 9) == bytes(36)
        process.stdin.write(b"\xff\xff\xff\xff")
        assert await process.stdout.read() == b""

    on_session(yard, ask)
