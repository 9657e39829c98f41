"""Packs, taken apart as they are made, however the bytes are cut; and an artefact that comes in blocks."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpods.digest import of_bytes
from cpods.model import Artefact
from cpods.net.arrival import Arrival
from cpods.net.pack import (
    MEMBERS_MAX,
    BadPack,
    NotServed,
    Pack,
    Unpacker,
    name_of,
    object_path,
    pack_path,
    parse_object,
    parse_pack,
)
from cpods.store.memory import MemoryObjects
from cpods.store.objects import ObjectStore

Taken = list[tuple[int, bytes | None, bool]]


def unpacked(data: bytes, sizes: list[int], cut: int) -> tuple[Taken, Unpacker]:
    taken: Taken = []
    unpacker = Unpacker(sizes, lambda index, content, executable: taken.append((index, content, executable)))
    for start in range(0, len(data), cut):
        unpacker.feed(data[start : start + cut])
    return taken, unpacker


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store"))


def folder_of(store: ObjectStore) -> int:
    return os.open(store.root + "/objects", os.O_RDONLY)


@pytest.mark.parametrize("cut", [1, 7, 4096, 1 << 20])
def test_what_is_packed_comes_out(store: ObjectStore, cut: int) -> None:
    contents = [b"", b"x", b"some text\n" * 300, bytes(5000)]
    artefacts = [store.put_bytes(content) for content in contents]
    gone = Artefact(of_bytes(b"gone"), 4)
    store.commit()
    folder = folder_of(store)
    wanted = [*artefacts[:2], gone, *artefacts[2:]]
    pack = Pack(folder, [name_of(one.digest) for one in wanted])
    data = pack.read(0, 1 << 20)
    os.close(folder)
    taken, unpacker = unpacked(data, [one.size for one in wanted], cut)
    assert taken == [(i, content, False) for i, content in enumerate([*contents[:2], None, *contents[2:]])]
    assert unpacker.complete


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 400))
def test_any_cut(contents: list[bytes], cut: int) -> None:
    data = b"".join(bytes([1]) + len(content).to_bytes(8, "big") + content for content in contents)
    taken, unpacker = unpacked(data, [len(content) for content in contents], cut)
    assert [content for _, content, _ in taken] == contents
    assert unpacker.complete


@pytest.mark.parametrize(
    "data",
    [
        b"\x01" + (6).to_bytes(8, "big") + b"sixsix",
        b"\x01" + (1 << 60).to_bytes(8, "big"),
        b"\x09" + (5).to_bytes(8, "big") + b"kinds",
        b"\x01" + (5).to_bytes(8, "big") + b"fives" + b"and more",
    ],
    ids=["other size", "endless", "unknown kind", "too much"],
)
def test_a_bad_pack_is_told_at_its_first_bad_byte(data: bytes) -> None:
    with pytest.raises(BadPack):
        unpacked(data, [5], 1)


def test_a_pack_is_read_in_order_but_for_a_little(store: ObjectStore) -> None:
    artefacts = [store.put_bytes(bytes([number]) * 1000) for number in range(20)]
    store.commit()
    folder = folder_of(store)
    names = [name_of(one.digest) for one in artefacts]
    whole = Pack(folder, names).read(0, 1 << 20)
    pack = Pack(folder, names, kept=3000)
    assert pack.read(1000, 1000) == whole[1000:2000]
    assert pack.read(0, 1000) == whole[:1000]
    assert pack.read(2000, 8000) == whole[2000:10000]
    assert pack.read(8000, 2000) == whole[8000:10000]
    with pytest.raises(OSError, match="read in order"):
        pack.read(0, 10)
    with pytest.raises(OSError, match="read in order"):
        pack.read(15_000, 10)
    assert pack.read(10_000, 1 << 20) == whole[10_000:]
    assert pack.read(len(whole), 10) == b""
    os.close(folder)


@pytest.mark.parametrize("algorithm", ["xxh3", "blake3"])
def test_paths_name_what_they_show(algorithm: str) -> None:
    digests = [of_bytes(b"%d" % number, algorithm) for number in range(5)]
    names = [name_of(digest) for digest in digests]
    assert parse_pack(b"/" + pack_path(digests).encode()) == names
    assert [parse_object(b"//" + object_path(digest).encode()) for digest in digests] == names
    assert parse_pack(object_path(digests[0]).encode()) is None


HEX = "ab" * 16


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "objects",
        f"objects/xxh3/{HEX[:2]}",
        f"objects/xxh3/{HEX[:2]}/../{HEX[2:]}",
        f"objects/xxh3/{HEX[:2]}/{HEX[2:]}/",
        f"objects/blake3/{HEX[:2]}/{HEX[2:]}",
        f"objects/xxh3/{HEX[:2]}/{HEX[2:]}\n",
        f"./objects/xxh3/{HEX[:2]}/{HEX[2:]}",
        f"objects/sha256/{HEX[:2]}/{HEX[2:]}",
        "manifests/ab/cd",
        "format",
    ],
)
def test_other_paths_are_not_served(path: str) -> None:
    with pytest.raises(NotServed):
        parse_object(path.encode())


def test_a_pack_has_a_limit() -> None:
    path = b"pack/1/xxh3/" + HEX.encode() * (MEMBERS_MAX + 1)
    with pytest.raises(NotServed):
        parse_pack(path)
    with pytest.raises(NotServed):
        parse_pack(b"pack/1/blake3/" + HEX.encode())


@given(st.integers(0, 5000), st.integers(1, 900), st.randoms())
def test_blocks_land_in_any_order(size: int, block: int, choice: random.Random) -> None:
    """From three holders, which lose some and send some twice."""
    content = random.Random(size).randbytes(size)
    artefact = Artefact(of_bytes(content), size)
    objects = MemoryObjects()
    arrival = Arrival(artefact, objects.incoming(artefact, False))
    flying: list[tuple[str, int, int]] = []
    while not arrival.complete:
        holder = choice.choice("abc")
        taken = arrival.take(holder, block)
        if taken is not None:
            flying.append((holder, *taken))
        if flying and (taken is None or choice.random() < 0.5):
            holder, offset, length = flying.pop(choice.randrange(len(flying)))
            if choice.random() < 0.7:
                arrival.land(holder, offset, content[offset : offset + length])
            arrival.give_back(holder, (offset, length))
    assert arrival.matches
    assert arrival.sent.total() == size
    arrival.incoming.accept()
    assert objects.read(artefact.digest) == content


def test_one_wrong_block_does_not_match() -> None:
    content = bytes(range(100))
    artefact = Artefact(of_bytes(content), 100)
    arrival = Arrival(artefact, MemoryObjects().incoming(artefact, False))
    while (extent := arrival.take("a", 30)) is not None:
        arrival.land("a", extent[0], bytes(extent[1]))
    assert arrival.complete and not arrival.matches


def test_what_only_a_slow_holder_is_asked_for_is_asked_of_another() -> None:
    content = bytes(100)
    artefact = Artefact(of_bytes(content), 100)
    arrival = Arrival(artefact, MemoryObjects().incoming(artefact, False))
    slow = arrival.take("slow", 60)
    assert slow == (0, 60)
    assert arrival.take("quick", 60) == (60, 40)
    arrival.land("quick", 60, content[60:])
    assert arrival.take("quick", 60) == slow
    assert arrival.take("third", 60) is None
    arrival.land("quick", 0, content[:60])
    assert arrival.matches
    arrival.land("slow", 0, bytes([1]) * 60)
    assert arrival.matches and arrival.sent == {"quick": 100}
