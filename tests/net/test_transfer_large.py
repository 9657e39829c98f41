"""Large artefacts: several holders at once, holders that die or come back meanwhile, memory that does not grow."""

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from cpods.errors import Unavailable
from cpods.model import Artefact
from cpods.net import pull as pulling_module
from cpods.net.pull import SftpTransfer
from cpods.net.sftp_server import ObjectServer
from cpods.net.storeserver import StoreServer
from cpods.store.objects import ObjectStore
from tests.helpers.bad_peers import serving
from tests.helpers.yard import Holder, Yard, new_key

MIB = 1 << 20
KINDS = ("embedded", "openssh")


@pytest.fixture(params=KINDS)
def yard(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    monkeypatch.setattr(pulling_module, "LARGE_BYTES", 16 * MIB)
    made = Yard(tmp_path / "yard", request.param)
    made.add("a")
    made.add("b")
    yield made
    made.close()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[ObjectStore]:
    store = ObjectStore(str(tmp_path / "me"))
    yield store
    store.close()


def large(yard: Yard, size: int, *names: str) -> Artefact:
    """Held by all of these."""
    content = random.Random(size).randbytes(MIB) * (size // MIB)
    return [yard.holders[name].put(content) for name in names][0]


async def until_moved(transfer: SftpTransfer, size: int) -> None:
    while transfer.moved.total() < size:
        await asyncio.sleep(0)


async def restart(yard: Yard, holder: Holder) -> None:
    """The same store and key, at another port."""
    holder.server = StoreServer(holder.store.root, holder.host_key.private, yard.kind)
    host, port = await holder.server.start({"me": yard.user.public})
    assert holder.peer is not None
    holder.peer = type(holder.peer)(host, port, holder.host_key.public)


def test_two_holders_send_one_artefact_together(yard: Yard, ours: ObjectStore) -> None:
    artefact = large(yard, 32 * MIB, "a", "b")
    first = {name: holder.put(name.encode()) for name, holder in yard.holders.items()}

    async def within() -> None:
        transfer = yard.transfer(ours)
        for holder in "ab":  # both are logged in before the race begins
            await transfer.pull(first[holder], [holder])
        await transfer.pull(artefact, ["a", "b"])
        await transfer.close()
        assert min(transfer.moved["a"], transfer.moved["b"]) > artefact.size // 10
        assert transfer.moved.total() < artefact.size + 12 * MIB  # a little twice, at the end

    yard.run(within())
    ours.commit()
    assert len(ours.read(artefact.digest)) == artefact.size


@pytest.mark.parametrize("name", ["a", "b"])
def test_one_of_two_dies_meanwhile(yard: Yard, ours: ObjectStore, name: str) -> None:
    artefact = large(yard, 32 * MIB, "a", "b")

    async def within() -> None:
        transfer = yard.transfer(ours)
        pulling = asyncio.create_task(transfer.pull(artefact, ["a", "b"]))
        await until_moved(transfer, 4 * MIB)
        await yard.holders[name].server.stop()
        await pulling
        await transfer.close()
        assert transfer.moved.total() < artefact.size + 16 * MIB  # what had come was not asked for again

    yard.run(within())
    assert len(ours.read(artefact.digest)) == artefact.size


def test_the_only_holder_comes_back(yard: Yard, ours: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes that had come by then stay."""
    artefact = large(yard, 24 * MIB, "a")
    holder = yard.holders["a"]
    gone, back = asyncio.Event(), asyncio.Event()
    connect = pulling_module.Links._connect

    async def wait_for_it(links: pulling_module.Links, peer: pulling_module.Peer) -> object:
        if gone.is_set():
            await back.wait()
            assert holder.peer is not None
            peer = holder.peer
        return await connect(links, peer)

    monkeypatch.setattr(pulling_module.Links, "_connect", wait_for_it)

    async def within() -> None:
        transfer = yard.transfer(ours)
        pulling = asyncio.create_task(transfer.pull(artefact, ["a"]))
        await until_moved(transfer, 4 * MIB)
        gone.set()
        await holder.server.stop()
        await restart(yard, holder)
        back.set()
        await pulling
        await transfer.close()
        assert transfer.moved.total() == artefact.size

    yard.run(within())
    assert len(ours.read(artefact.digest)) == artefact.size


def test_a_moved_holder_is_found_at_its_new_place(yard: Yard, ours: ObjectStore) -> None:
    first, second = large(yard, 2 * MIB, "a"), large(yard, 3 * MIB, "a")
    holder = yard.holders["a"]

    async def within() -> None:
        transfer = yard.transfer(ours)
        await transfer.pull(first, ["a"])
        await holder.server.stop()
        with pytest.raises(Unavailable, match="a cannot be reached"):
            await transfer.pull(second, ["a"])
        await restart(yard, holder)
        await transfer.pull(second, ["a"])
        await transfer.close()

    yard.run(within())
    assert ours.has(first.digest) and ours.has(second.digest)


def test_a_pull_that_is_given_up_leaves_nothing(yard: Yard, ours: ObjectStore) -> None:
    artefact = large(yard, 14 * MIB, "a")

    async def within() -> None:
        transfer = yard.transfer(ours)
        pulling = asyncio.create_task(transfer.pull(artefact, ["a"]))
        waiting = asyncio.create_task(transfer.pull(artefact, ["a"]))
        await until_moved(transfer, 2 * MIB)
        pulling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pulling
        assert not ours.has(artefact.digest)
        await waiting  # who waited for it goes on alone
        assert ours.has(artefact.digest)
        await transfer.close()

    yard.run(within())
    ours.commit()
    assert [path for path in (Path(ours.root) / "tmp").rglob("*") if path.is_file()] == []


def test_a_holder_that_stalls_delays_nobody_who_has_another(tmp_path: Path, ours: ObjectStore) -> None:
    """It stops for good in the middle; the other one sends what it kept back, long before the stall is given up."""
    store = ObjectStore(str(tmp_path / "theirs"))
    artefact = store.put_bytes(random.Random(1).randbytes(MIB) * 70)
    store.commit()
    host_key, user = new_key(), new_key()

    class StopsInTheMiddle(ObjectServer):
        async def read(self, file_obj: object, offset: int, size: int) -> bytes:  # type: ignore[override]
            if offset > 20 * MIB:
                await asyncio.Event().wait()
            return super().read(file_obj, offset, size)

    async def within() -> None:
        async with (
            serving(store.root, StopsInTheMiddle, host_key, user) as slow,
            serving(store.root, ObjectServer, host_key, user) as quick,
        ):
            peers = {"slow": slow, "quick": quick}
            transfer = SftpTransfer("me", ours, peers.get, user.private, stall_seconds=3600)
            await transfer.pull(artefact, ["slow", "quick"])
            await transfer.close()

    asyncio.run(within())
    assert ours.has(artefact.digest)


def resident(pid: int | str, field: str = "VmHWM") -> int:
    """Bytes of memory: the most that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)


def pull_a_file(yard: Yard, tmp_path: Path, size: int) -> None:
    """Both processes stay small. The file is made by blocks, so that its making does not count."""
    holder = yard.holders["a"]
    block = os.urandom(MIB)
    with open(tmp_path / "big", "wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(4, "big") + block[4:])
    artefact = holder.store.put_file(str(tmp_path / "big"))
    holder.store.commit()
    os.unlink(tmp_path / "big")
    ours = ObjectStore(str(tmp_path / "ours"))
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is what it is now
    mine, theirs = resident("self"), resident(holder.server.pid)

    async def within() -> None:
        transfer = yard.transfer(ours)
        await transfer.pull(artefact, ["a"])
        await transfer.close()

    yard.run(within())
    assert ours.has(artefact.digest)
    assert resident("self") - mine < 100 * MIB
    assert resident(holder.server.pid) - theirs < 100 * MIB
    ours.close()


def test_a_large_artefact_takes_little_memory(yard: Yard, tmp_path: Path) -> None:
    pull_a_file(yard, tmp_path, 256 * MIB)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_four_gib_take_little_memory(yard: Yard, tmp_path: Path) -> None:
    pull_a_file(yard, tmp_path, 4096 * MIB)
