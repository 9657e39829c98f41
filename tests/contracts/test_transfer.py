"""The contract of ports.Transfer. Every part that claims it runs this suite; to add one, add it to PARTS.

A part is given as a factory: an async context manager over the pods' stores, which yields one pod's transfer. The holders are each
wrong in one way.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from cpods.digest import of_bytes
from cpods.errors import Unavailable
from cpods.model import Artefact
from cpods.net.memory import MemoryTransfer
from cpods.ports import Objects, Transfer

#: Called with the stores by pod, the pod that pulls, and what to call with a pod whose bytes were wrong.
Part = Callable[[Mapping[str, Objects], str, Callable[[str, Artefact], None]], AbstractAsyncContextManager[Transfer]]


@asynccontextmanager
async def memory(stores: Mapping[str, Objects], pod: str, on_bad: Callable[[str, Artefact], None]) -> AsyncIterator[Transfer]:
    """All stores in this process."""
    yield MemoryTransfer(pod, stores, on_bad)


PARTS: dict[str, Part] = {"memory": memory}


class Shelf:
    """A store in memory, as a pod has one; ``serve`` is what is wrong with it as a holder."""

    def __init__(self, serve: Callable[[bytes], bytes] = lambda data: data, algorithm: str = "xxh3") -> None:
        self.algorithm = algorithm
        self._serve = serve
        self._objects: dict[str, bytes] = {}
        self.reads = 0
        self.puts = 0

    def put_bytes(self, data: bytes) -> Artefact:
        self.puts += 1
        artefact = Artefact(of_bytes(data, self.algorithm), len(data))
        self._objects[artefact.digest] = data
        return artefact

    def put_file(self, path: str) -> Artefact:
        with open(path, "rb") as file:
            return self.put_bytes(file.read())

    def has(self, digest: str) -> bool:
        return digest in self._objects

    def read(self, digest: str) -> bytes:
        self.reads += 1
        return self._serve(self._objects[digest])

    def export(self, digest: str, path: str) -> None:
        with open(path, "wb") as file:
            file.write(self.read(digest))

    def commit(self) -> None:
        """Nothing to make durable."""


def broken_disk(data: bytes) -> bytes:
    raise OSError("Input/output error")


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "flipped bit": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "cut short": lambda data: data[:-1],
    "too long": lambda data: data + b"\0",
    "empty": lambda data: b"",
    "another file": lambda data: bytes(len(data)),
}
CONTENT = bytes(range(256)) * 40


class Scene:
    """The stores of pods ``me`` and others, and pulls into ``me``."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self.me = Shelf()
        self.stores: dict[str, Objects] = {"me": self.me}
        self.bad: list[str] = []

    def add(self, pod: str, serve: Callable[[bytes], bytes] = lambda data: data, content: bytes | None = CONTENT) -> Shelf:
        shelf = Shelf(serve)
        self.stores[pod] = shelf
        if content is not None:
            shelf.put_bytes(content)
        return shelf

    def pull(self, artefact: Artefact, *holders: str, times: int = 1) -> None:
        async def all_of_it() -> None:
            async with self._part(self.stores, "me", lambda pod, _: self.bad.append(pod)) as transfer:
                await asyncio.gather(*(transfer.pull(artefact, holders) for _ in range(times)))

        asyncio.run(all_of_it())


@pytest.fixture(params=sorted(PARTS))
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(PARTS[request.param])


WANTED = Artefact(of_bytes(CONTENT), len(CONTENT))


def test_the_bytes_arrive(scene: Scene) -> None:
    scene.add("a")
    scene.pull(WANTED, "a")
    assert scene.me.read(WANTED.digest) == CONTENT
    assert scene.bad == []


@pytest.mark.parametrize("content", [b"", b"x", bytes(3 << 20)])
def test_any_size(scene: Scene, content: bytes) -> None:
    scene.add("a", content=content)
    artefact = Artefact(of_bytes(content), len(content))
    scene.pull(artefact, "a")
    assert scene.me.read(artefact.digest) == content


def test_what_is_here_is_not_pulled_again(scene: Scene) -> None:
    holder = scene.add("a")
    scene.pull(WANTED, "a")
    scene.pull(WANTED, "a")
    scene.pull(WANTED)
    assert holder.reads == 1 and scene.me.puts == 1


def test_at_the_same_time(scene: Scene) -> None:
    scene.add("a")
    scene.pull(WANTED, "a", times=5)
    assert scene.me.read(WANTED.digest) == CONTENT


@pytest.mark.parametrize("fault", sorted(WRONG))
def test_a_bad_holder_is_told_and_another_tried(scene: Scene, fault: str) -> None:
    scene.add("bad", WRONG[fault])
    scene.add("good")
    scene.pull(WANTED, "bad", "good")
    assert scene.me.read(WANTED.digest) == CONTENT
    assert scene.bad == ["bad"]


@pytest.mark.parametrize("fault", sorted(WRONG))
def test_wrong_bytes_never_get_in(scene: Scene, fault: str) -> None:
    scene.add("bad", WRONG[fault])
    with pytest.raises(Unavailable, match=f"{WANTED.digest}.*bad"):
        scene.pull(WANTED, "bad")
    assert not scene.me.has(WANTED.digest) and scene.me.puts == 0


def test_a_size_that_is_wrong_is_not_believed(scene: Scene) -> None:
    scene.add("a")
    with pytest.raises(Unavailable):
        scene.pull(Artefact(WANTED.digest, WANTED.size + 1), "a")
    assert not scene.me.has(WANTED.digest)


def test_holders_that_cannot_deliver_are_passed_over(scene: Scene) -> None:
    scene.add("evicted", content=None)
    scene.add("disk", broken_disk)
    scene.add("good")
    scene.pull(WANTED, "unknown", "me", "evicted", "disk", "good")
    assert scene.me.has(WANTED.digest)
    assert scene.bad == []


@pytest.mark.parametrize("holders", [(), ("me",), ("unknown",), ("evicted",), ("disk",), ("evicted", "disk", "unknown")])
def test_nobody_delivers(scene: Scene, holders: tuple[str, ...]) -> None:
    scene.add("evicted", content=None)
    scene.add("disk", broken_disk)
    with pytest.raises(Unavailable, match=WANTED.digest):
        scene.pull(WANTED, *holders)
    assert not scene.me.has(WANTED.digest)


def test_another_algorithm_is_refused_in_one_sentence(scene: Scene) -> None:
    scene.add("a")
    with pytest.raises(Unavailable, match="xxh3"):
        scene.pull(Artefact(of_bytes(CONTENT, "blake3"), len(CONTENT)), "a")
