"""The Objects contract, kept by the store on disk and by its twin in memory.

Knows neither's layout: a small bench tells how to make files and how to damage an object.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from cpods.digest import ABSENT, of_bytes
from cpods.model import Artefact
from cpods.ports import Objects
from cpods.store import packs
from cpods.store.layout import object_path
from cpods.store.memory import MemoryObjects
from cpods.store.objects import ObjectStore
from cpods.store.packing import PackingStore


class Bench(Protocol):
    """One implementation and the world around it."""

    objects: Objects

    def write(self, name: str, data: bytes) -> str: ...
    def content(self, name: str) -> bytes | None: ...
    def path(self, name: str) -> str: ...
    def damage(self, digest: str) -> None: ...


class DiskBench:
    def __init__(self, folder: Path, algorithm: str) -> None:
        self.folder = folder
        self.objects = ObjectStore(str(folder / "store"), algorithm)

    def write(self, name: str, data: bytes) -> str:
        (self.folder / name).write_bytes(data)
        return self.path(name)

    def content(self, name: str) -> bytes | None:
        file = self.folder / name
        return file.read_bytes() if file.exists() else None

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def damage(self, digest: str) -> None:
        path = object_path(self.objects.root, digest)
        size = os.path.getsize(path)
        os.chmod(path, 0o644)
        Path(path).write_bytes(b"#" * size)


class PackedBench(DiskBench):
    """A store whose commits all make packs: each has the wanted objects among many others."""

    def __init__(self, folder: Path, algorithm: str) -> None:
        self.folder = folder
        self.objects = CrowdedStore(str(folder / "store"), algorithm)

    def damage(self, digest: str) -> None:
        for name in packs.names(self.objects.root):
            path = Path(packs.pack_folder(self.objects.root), name)
            for member in packs.members(str(path)):
                if member.digest == digest:
                    data = bytearray(path.read_bytes())
                    data[member.offset : member.offset + member.size] = b"#" * member.size
                    os.chmod(path, 0o644)
                    path.write_bytes(data)
                    return
        super().damage(digest)


class CrowdedStore(PackingStore):
    """Adds what it takes to make a pack worth while to each commit that brings a small object."""

    def commit(self) -> None:
        if self._small:
            for number in range(packs.MEMBERS_MIN):
                self.put_bytes(b"one of the crowd: %d" % number)
        super().commit()


class MemoryBench:
    def __init__(self, folder: Path, algorithm: str) -> None:
        self.objects = MemoryObjects({}, algorithm)

    def write(self, name: str, data: bytes) -> str:
        self.objects.disk["/" + name] = data
        return "/" + name

    def content(self, name: str) -> bytes | None:
        return self.objects.disk.get("/" + name)

    def path(self, name: str) -> str:
        return "/" + name

    def damage(self, digest: str) -> None:
        self.objects.damage(digest, b"#")


@pytest.fixture(params=[DiskBench, PackedBench, MemoryBench], ids=["disk", "packed", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Bench]]:
    yield lambda algorithm: request.param(tmp_path, algorithm)


@pytest.fixture
def bench(make: Callable[[str], Bench]) -> Bench:
    return make("xxh3")


BIG = bytes(range(256)) * 4096


@pytest.mark.parametrize("data", [b"", b"hello\n", BIG], ids=["empty", "small", "large"])
def test_bytes_come_back(bench: Bench, data: bytes) -> None:
    artefact = bench.objects.put_bytes(data)
    assert (artefact.digest, artefact.size) == (of_bytes(data), len(data))
    assert bench.objects.read(artefact.digest) == data
    bench.objects.commit()
    assert bench.objects.read(artefact.digest) == data


@pytest.mark.parametrize("data", [b"", b"\x00\xff\n", BIG], ids=["empty", "binary", "large"])
def test_a_file_is_copied_in_and_out(bench: Bench, data: bytes) -> None:
    artefact = bench.objects.put_file(bench.write("in", data))
    bench.write("in", b"changed later")
    bench.objects.commit()
    bench.objects.export(artefact.digest, bench.path("out"))
    assert bench.content("out") == data


@pytest.mark.parametrize("algorithm", ["xxh3", "blake3"])
def test_digests_name_the_algorithm(make: Callable[[str], Bench], algorithm: str) -> None:
    objects = make(algorithm).objects
    artefact = objects.put_bytes(b"text")
    assert objects.algorithm == algorithm
    assert artefact.digest == of_bytes(b"text", algorithm)
    assert objects.read(artefact.digest) == b"text"


def test_what_was_put_can_be_read_before_the_commit(bench: Bench) -> None:
    artefact = bench.objects.put_bytes(b"early")
    assert bench.objects.has(artefact.digest)
    bench.objects.export(artefact.digest, bench.path("out"))
    assert bench.content("out") == b"early"


def test_putting_twice_is_no_error(bench: Bench) -> None:
    first = bench.objects.put_bytes(b"same")
    bench.objects.commit()
    assert bench.objects.put_file(bench.write("copy", b"same")) == first
    bench.objects.commit()
    bench.objects.commit()
    assert bench.objects.read(first.digest) == b"same"


@pytest.mark.parametrize("digest", ["xxh3:" + "0" * 32, ABSENT, "", "xxh3:../../etc"])
def test_what_is_not_there_is_a_key_error(bench: Bench, digest: str) -> None:
    assert not bench.objects.has(digest)
    with pytest.raises(KeyError):
        bench.objects.read(digest)
    with pytest.raises(KeyError):
        bench.objects.export(digest, bench.path("out"))
    assert bench.content("out") is None


def test_a_missing_file_is_an_os_error(bench: Bench) -> None:
    with pytest.raises(OSError):
        bench.objects.put_file(bench.path("nowhere"))


@pytest.mark.parametrize("way", ["read", "export"])
def test_a_damaged_object_is_quarantined_and_can_be_put_again(bench: Bench, way: str) -> None:
    artefact = bench.objects.put_bytes(b"precious")
    bench.objects.commit()
    bench.damage(artefact.digest)
    bench.write("out", b"old")
    with pytest.raises(KeyError):
        bench.objects.read(artefact.digest) if way == "read" else bench.objects.export(artefact.digest, bench.path("out"))
    assert bench.content("out") == b"old"
    assert not bench.objects.has(artefact.digest)
    bench.objects.put_bytes(b"precious")
    bench.objects.commit()
    assert bench.objects.read(artefact.digest) == b"precious"


def test_discard_forgets_only_what_is_not_committed(bench: Bench) -> None:
    objects = bench.objects
    kept = objects.put_bytes(b"committed")
    objects.commit()
    dropped = objects.put_bytes(b"a pass's PDF")
    assert objects.discard([kept.digest, dropped.digest, "xxh3:" + "0" * 32]) == {dropped.digest}
    assert objects.has(kept.digest)
    assert not objects.has(dropped.digest)
    objects.commit()
    assert not objects.has(dropped.digest)


PIECES = [(100, 200), (0, 100), (350, 400), (200, 350)]


def test_what_comes_in_pieces_is_an_object_once_it_is_accepted(bench: Bench) -> None:
    data = BIG[:400]
    artefact = Artefact(of_bytes(data), len(data))
    incoming = bench.objects.incoming(artefact, False)
    for start, end in PIECES:
        incoming.write_at(data[start:end], start)
        assert incoming.read_at(end - start, start) == data[start:end]
    assert not bench.objects.has(artefact.digest)
    assert incoming.read_at(1000, 390) == data[390:]
    incoming.accept()
    assert bench.objects.read(artefact.digest) == data
    incoming.discard()
    bench.objects.commit()
    assert bench.objects.read(artefact.digest) == data


def test_what_is_given_up_half_way_is_not_there(bench: Bench) -> None:
    artefact = Artefact(of_bytes(BIG), len(BIG))
    incoming = bench.objects.incoming(artefact, True)
    incoming.write_at(BIG[:1000], 0)
    incoming.discard()
    incoming.discard()
    bench.objects.commit()
    assert not bench.objects.has(artefact.digest)


def test_what_comes_in_is_not_committed_before_it_is_accepted(bench: Bench) -> None:
    artefact = Artefact(of_bytes(b"late"), 4)
    incoming = bench.objects.incoming(artefact, False)
    incoming.write_at(b"late", 0)
    bench.objects.commit()
    assert not bench.objects.has(artefact.digest)
    incoming.accept()
    assert bench.objects.discard([artefact.digest]) == {artefact.digest}
    assert not bench.objects.has(artefact.digest)


def test_what_comes_in_twice_is_there_once(bench: Bench) -> None:
    artefact = Artefact(of_bytes(b"twin"), 4)
    twins = [bench.objects.incoming(artefact, False) for _ in range(2)]
    for twin in twins:
        twin.write_at(b"twin", 0)
        twin.accept()
        bench.objects.commit()
    assert bench.objects.read(artefact.digest) == b"twin"


def test_what_comes_in_has_to_have_a_digest(bench: Bench) -> None:
    with pytest.raises(ValueError):
        bench.objects.incoming(Artefact("../../etc", 1), False)


@pytest.mark.parametrize("when", ["at once", "later", "never"])
def test_what_comes_in_may_be_executable(tmp_path: Path, when: str) -> None:
    objects = ObjectStore(str(tmp_path / "store"))
    artefact = Artefact(of_bytes(b"#!/bin/sh"), 9)
    incoming = objects.incoming(artefact, when == "at once")
    incoming.write_at(b"#!/bin/sh", 0)
    if when == "later":
        incoming.set_executable()
    incoming.accept()
    objects.commit()
    objects.export(artefact.digest, str(tmp_path / "out"))
    assert bool(os.stat(tmp_path / "out").st_mode & 0o111) == (when != "never")
    assert [path for path in (tmp_path / "store" / "tmp").rglob("*") if path.is_file()] == []
