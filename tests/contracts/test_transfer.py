"""The contract of ports.Transfer, kept by the twin in memory and by SFTP from both kinds of servers.

To add a part, add its world to WORLDS: the stores of the pods ``a``, ``b``, ``c``, and pulls into the store of ``me``.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from cpods.digest import of_bytes
from cpods.errors import Unavailable
from cpods.model import Artefact
from cpods.net.memory import MemoryTransfer
from cpods.ports import Objects, Transfer
from cpods.store.memory import MemoryObjects
from cpods.store.objects import ObjectStore
from tests.helpers.yard import FAULTS, Yard


class World(Protocol):
    """Pods with stores. ``bad``: the holders that were told to have wrong bytes."""

    me: Objects
    bad: list[str]

    def hold(self, pod: str, content: bytes, fault: str = "") -> Artefact: ...
    def with_transfer(self, scenario: "Scenario") -> None: ...


Scenario = Callable[[Transfer], object]


class Shelf(MemoryObjects):
    """A store whose bytes may be wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: dict[str, str] = {}

    def read(self, digest: str) -> bytes:
        fault = self.faults.get(digest, "")
        if fault == "broken disk":
            raise OSError("Input/output error")
        data = super().read(digest)
        return FAULTS[fault](data) if fault else data


class MemoryWorld:
    def __init__(self, yards: "Yards", folder: Path) -> None:
        self.me: Objects = Shelf()
        self.bad: list[str] = []
        self._stores = {name: Shelf() for name in ("a", "b", "c")}

    def hold(self, pod: str, content: bytes, fault: str = "") -> Artefact:
        shelf = self._stores[pod]
        artefact = shelf.put_bytes(content)
        if fault == "evicted":
            shelf.evict(artefact.digest)
        else:
            shelf.faults[artefact.digest] = fault
        return artefact

    def with_transfer(self, scenario: Scenario) -> None:
        async def within() -> None:
            await scenario(MemoryTransfer("me", {**self._stores, "me": self.me}, lambda pod, _: self.bad.append(pod)))

        asyncio.run(within())


class ServedWorld:
    def __init__(self, yards: "Yards", folder: Path, kind: str) -> None:
        self._yard = yards(kind)
        self.me: Objects = ObjectStore(str(folder / "me"))
        self.bad: list[str] = []

    def hold(self, pod: str, content: bytes, fault: str = "") -> Artefact:
        holder = self._yard.holders[pod]
        artefact = holder.put(content)
        if fault:
            holder.spoil(artefact, fault)
        return artefact

    def with_transfer(self, scenario: Scenario) -> None:
        async def within() -> None:
            transfer = self._yard.transfer(self.me, lambda pod, _: self.bad.append(pod))
            try:
                await scenario(transfer)
            finally:
                await transfer.close()

        self._yard.run(within())


Yards = Callable[[str], Yard]
WORLDS: dict[str, Callable[[Yards, Path], World]] = {
    "memory": MemoryWorld,
    "embedded": lambda yards, folder: ServedWorld(yards, folder, "embedded"),
    "openssh": lambda yards, folder: ServedWorld(yards, folder, "openssh"),
}


@pytest.fixture(scope="module")
def yards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yards]:
    made: dict[str, Yard] = {}

    def yard(kind: str) -> Yard:
        if kind not in made:
            made[kind] = Yard(tmp_path_factory.mktemp(kind), kind)
            for name in ("a", "b", "c"):
                made[kind].add(name)
        return made[kind]

    yield yard
    for one in made.values():
        one.close()


@pytest.fixture(params=sorted(WORLDS))
def world(request: pytest.FixtureRequest, yards: Yards, tmp_path: Path) -> World:
    return WORLDS[request.param](yards, tmp_path)


_numbers = itertools.count()


def new_content() -> bytes:
    """Bytes that no other test uses."""
    return bytes(range(256)) * 40 + b"%d" % next(_numbers)


def pull(world: World, artefact: Artefact, *holders: str, times: int = 1) -> None:
    async def scenario(transfer: Transfer) -> None:
        await asyncio.gather(*(transfer.pull(artefact, holders) for _ in range(times)))

    world.with_transfer(scenario)


def pull_many(world: World, wanted: Mapping[Artefact, Sequence[str]]) -> Mapping[Artefact, str]:
    failed: dict[Artefact, str] = {}

    async def scenario(transfer: Transfer) -> None:
        failed.update(await transfer.pull_many(wanted))

    world.with_transfer(scenario)
    return failed


def test_the_bytes_arrive(world: World) -> None:
    content = new_content()
    pull(world, world.hold("a", content), "a")
    assert world.me.read(of_bytes(content)) == content
    assert world.bad == []


@pytest.mark.parametrize("content", [b"", b"x", bytes(3 << 20)], ids=["empty", "one", "3 MiB"])
def test_any_size(world: World, content: bytes) -> None:
    artefact = world.hold("a", content)
    pull(world, artefact, "a")
    assert world.me.read(artefact.digest) == content


def test_what_is_here_is_not_pulled_again(world: World) -> None:
    artefact = world.me.put_bytes(new_content())

    async def scenario(transfer: Transfer) -> None:
        await transfer.pull(artefact, ["unknown"])
        await transfer.pull(artefact, [])
        assert await transfer.pull_many({artefact: ["a"]}) == {}

    world.with_transfer(scenario)
    assert world.bad == []


def test_at_the_same_time(world: World) -> None:
    content = new_content()
    artefact = world.hold("a", content)
    pull(world, artefact, "a", times=5)
    assert world.me.read(artefact.digest) == content


def test_what_was_pulled_is_committed_like_a_put(world: World) -> None:
    artefact = world.hold("a", new_content())
    pull(world, artefact, "a")
    assert world.me.has(artefact.digest)
    assert world.me.discard([artefact.digest]) <= {artefact.digest}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_bad_holder_is_told_and_another_tried(world: World, fault: str) -> None:
    content = new_content()
    world.hold("a", content, fault)
    artefact = world.hold("b", content)
    pull(world, artefact, "a", "b")
    assert world.me.read(artefact.digest) == content
    assert world.bad == ["a"]


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_wrong_bytes_never_get_in(world: World, fault: str) -> None:
    artefact = world.hold("a", new_content(), fault)

    async def scenario(transfer: Transfer) -> None:
        with pytest.raises(Unavailable, match=f"{artefact.digest}.*a "):
            await transfer.pull(artefact, ["a"])
        assert not world.me.has(artefact.digest)
        failed = await transfer.pull_many({artefact: ["a"]})
        assert artefact.digest in failed[artefact]
        assert not world.me.has(artefact.digest)

    world.with_transfer(scenario)


def test_a_size_that_is_wrong_is_not_believed(world: World) -> None:
    true = world.hold("a", new_content())
    for wrong in (true.size + 1, true.size - 1, 0):
        with pytest.raises(Unavailable):
            pull(world, Artefact(true.digest, wrong), "a")
        assert not world.me.has(true.digest)


def test_holders_that_cannot_deliver_are_passed_over(world: World) -> None:
    content = new_content()
    world.hold("a", content, "evicted")
    world.hold("b", content, "broken disk")
    artefact = world.hold("c", content)
    pull(world, artefact, "unknown", "me", "a", "b", "c")
    assert world.me.has(artefact.digest)
    assert world.bad == []


@pytest.mark.parametrize("holders", [(), ("me",), ("unknown",), ("a",), ("b",), ("a", "b", "unknown")], ids=str)
def test_nobody_delivers(world: World, holders: tuple[str, ...]) -> None:
    content = new_content()
    world.hold("a", content, "evicted")
    artefact = world.hold("b", content, "broken disk")

    async def scenario(transfer: Transfer) -> None:
        with pytest.raises(Unavailable, match=artefact.digest) as failure:
            await transfer.pull(artefact, holders)
        assert all(name in str(failure.value) for name in holders if name != "me")
        assert set(await transfer.pull_many({artefact: holders, Artefact(of_bytes(b"no"), 2): holders})) == {
            artefact,
            Artefact(of_bytes(b"no"), 2),
        }

    world.with_transfer(scenario)
    assert not world.me.has(artefact.digest)


def test_another_algorithm_is_refused_in_one_sentence(world: World) -> None:
    content = new_content()
    world.hold("a", content)
    other = Artefact(of_bytes(content, "blake3"), len(content))
    with pytest.raises(Unavailable, match="xxh3"):
        pull(world, other, "a")
    assert "xxh3" in pull_many(world, {other: ["a"], Artefact(of_bytes(b"no"), 2): ["a"]})[other]


def test_many_arrive_from_their_holders(world: World) -> None:
    small = {world.hold(pod, new_content()): [pod] for pod in "abc" for _ in range(30)}
    large = {world.hold("b", bytes(600_000) + new_content()): ["a", "b"] for _ in range(2)}
    assert pull_many(world, {**small, **large}) == {}
    for artefact in [*small, *large]:
        assert len(world.me.read(artefact.digest)) == artefact.size
    assert world.bad == []


def test_of_many_those_that_fail_are_named(world: World) -> None:
    good = [world.hold("a", new_content()) for _ in range(5)]
    spoilt = {world.hold("a", new_content(), fault): fault for fault in [*FAULTS, "evicted", "broken disk"]}
    failed = pull_many(world, {artefact: ["a"] for artefact in [*good[:3], *spoilt, *good[3:]]})
    assert set(failed) == set(spoilt)
    assert all(artefact.digest in sentence and "a " in sentence for artefact, sentence in failed.items())
    assert all(world.me.has(artefact.digest) for artefact in good)


def test_of_many_each_has_its_second_holder(world: World) -> None:
    contents = [new_content() for _ in range(len(FAULTS) + 3)]
    faults = ["", *FAULTS, "evicted", "broken disk"]
    for content, fault in zip(contents, faults, strict=True):
        world.hold("a", content, fault)
    wanted = {world.hold("b", content): ["a", "b"] for content in contents}
    assert pull_many(world, wanted) == {}
    assert all(world.me.has(artefact.digest) for artefact in wanted)
    assert set(world.bad) == {"a"}


def test_many_and_one_at_the_same_time(world: World) -> None:
    wanted = {world.hold("a", new_content()): ["a"] for _ in range(8)}

    async def scenario(transfer: Transfer) -> None:
        first, *_ = await asyncio.gather(
            transfer.pull_many(wanted), transfer.pull_many(wanted), *(transfer.pull(one, ["a"]) for one in wanted)
        )
        assert first == {}

    world.with_transfer(scenario)
    assert all(world.me.has(artefact.digest) for artefact in wanted)
