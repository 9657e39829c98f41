"""Packs and batches: files that hold what a crowd of small objects and results would need thousands for."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cpods.digest import of_bytes
from cpods.model import Output, Read, Result, Version
from cpods.ports import Changes
from cpods.store import packs
from cpods.store.batches import KEYS_MIN, Batches
from cpods.store.catalogue import open_catalogue
from cpods.store.collect import collect, fsck, held, stat
from cpods.store.layout import object_path
from cpods.store.manifests import ManifestStore
from cpods.store.objects import ObjectStore
from cpods.store.packing import PackingStore
from cpods.store.rebuild import rebuild_catalogue

COUNT = 3 * packs.MEMBERS_MIN
CROWD = [b"small %d" % number for number in range(COUNT)]
DIGESTS = [of_bytes(data) for data in CROWD]


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def store(root: str) -> Iterator[PackingStore]:
    with closing(PackingStore(root)) as store:
        for data in CROWD:
            store.put_bytes(data)
        store.commit()
        yield store


def files_below(folder: str) -> list[str]:
    return [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]


def only_pack(root: str) -> str:
    (name,) = packs.names(root)
    return os.path.join(packs.pack_folder(root), name)


def spoil(root: str, digest: str) -> None:
    path = only_pack(root)
    member = next(member for member in packs.members(path) if member.digest == digest)
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(member.offset)
        file.write(b"#")


def test_a_commit_of_a_crowd_makes_one_file(store: PackingStore, root: str) -> None:
    assert files_below(f"{root}/objects") == [] and len(packs.names(root)) == 1
    assert held(root) == {digest: len(data) for digest, data in zip(DIGESTS, CROWD, strict=True)}
    assert stat(root).objects == COUNT


def test_a_commit_of_a_few_makes_files(root: str) -> None:
    with closing(PackingStore(root)) as store:
        one = store.put_bytes(b"one")
        store.commit()
    assert os.path.exists(object_path(root, one.digest)) and packs.names(root) == []


def test_large_ones_are_files(root: str, tmp_path: Path) -> None:
    with closing(PackingStore(root)) as store:
        large = store.put_bytes(b"x" * (packs.MEMBER_BYTES_MAX + 1))
        for data in CROWD:
            store.put_bytes(data)
        store.commit()
        assert files_below(f"{root}/objects") == [object_path(root, large.digest)]
        assert store.read(large.digest)[:1] == b"x" and store.size(large.digest) == packs.MEMBER_BYTES_MAX + 1


@pytest.mark.parametrize("kind", [PackingStore, ObjectStore])
def test_a_neighbour_sees_a_new_pack_at_once(root: str, store: PackingStore, tmp_path: Path, kind: type[ObjectStore]) -> None:
    with closing(kind(root)) as neighbour:
        assert not neighbour.has(of_bytes(b"later 0"))
        for number in range(COUNT):
            store.put_bytes(b"later %d" % number)
        store.commit()
        assert neighbour.has(of_bytes(b"later 0")) and neighbour.read(of_bytes(b"later 1")) == b"later 1"
        neighbour.export(of_bytes(b"later 2"), str(tmp_path / "out"))
        assert (tmp_path / "out").read_bytes() == b"later 2" and neighbour.size(of_bytes(b"later 3")) == len(b"later 3")


@pytest.mark.parametrize("before", [0, 1, 2 * packs._SEARCHES_MAX], ids=["none asked before", "one", "many"])
def test_searched_or_taken_apart_packs_have_the_same_members(store: PackingStore, root: str, before: int) -> None:
    more = [b"more %d" % number for number in range(COUNT)]
    for data in more:
        store.put_bytes(data)
    store.commit()
    known = {
        place.digest: (name, place) for name in packs.names(root) for place in packs.members(os.path.join(packs.pack_folder(root), name))
    }
    assert len(known) == 2 * COUNT
    with closing(packs.Packs(root)) as found:
        for number in range(before):
            assert found.find(of_bytes(b"nobody has %d" % number)) is None
        for digest, place in known.items():
            assert found.find(digest) == place
        first, second = packs.names(root)
    for asked in (False, True):  # a pack goes that was searched only, or taken apart
        with closing(packs.Packs(root)) as found:
            for digest in (*known, DIGESTS[0]) if asked else (DIGESTS[0],):
                found.find(digest)
            aside = os.path.join(root, "aside")
            os.rename(found.path(second), aside)
            assert [digest for digest in known if found.find(digest) is None] == [digest for digest in known if known[digest][0] == second]
            os.rename(aside, found.path(second))
            assert all(found.find(digest) == place for digest, place in known.items())


def test_executables_come_back_executable(root: str, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_bytes(b"small 7")
    with closing(PackingStore(root)) as store:
        for data in CROWD:
            store.put_bytes(data)
        store.commit()
        store.export(DIGESTS[7], str(tmp_path / "plain"))
        tool.chmod(0o755)
        store.put_file(str(tool))
        store.export(DIGESTS[7], str(tmp_path / "out"))
        store.export(DIGESTS[8], str(tmp_path / "other"))
    modes = [os.access(tmp_path / name, os.X_OK) for name in ("plain", "out", "other")]
    assert modes == [False, True, False]


def test_a_damaged_member_is_quarantined_and_the_others_stay(store: PackingStore, root: str) -> None:
    spoil(root, DIGESTS[3])
    with closing(PackingStore(root)) as fresh:
        with pytest.raises(KeyError):
            fresh.read(DIGESTS[3])
        assert not fresh.has(DIGESTS[3]) and fresh.read(DIGESTS[4]) == CROWD[4]
    assert stat(root).quarantined == 1 and stat(root).objects == COUNT - 1
    with pytest.raises(KeyError):  # a process that had the old pack open learns of it too
        store.read(DIGESTS[3])
    assert store.read(DIGESTS[5]) == CROWD[5]
    store.put_bytes(CROWD[3])
    assert store.read(DIGESTS[3]) == CROWD[3]


def test_fsck_finds_damaged_members_and_packs_without_an_index(store: PackingStore, root: str) -> None:
    spoil(root, DIGESTS[3])
    assert fsck(root)[:2] == (COUNT, (DIGESTS[3],))
    assert fsck(root)[:2] == (COUNT - 1, ())
    path = only_pack(root)
    os.chmod(path, 0o644)
    os.truncate(path, os.path.getsize(path) - 1)
    with closing(PackingStore(root)) as fresh:
        assert not fresh.has(DIGESTS[0])
    assert fsck(root)[:2] == (0, ()) and packs.names(root) == [] and stat(root).quarantined == 2


def test_members_are_evicted_one_by_one_and_needed_ones_kept(store: PackingStore, root: str) -> None:
    store.close()
    os.utime(only_pack(root), (1000, 1000))
    keep = set(DIGESTS[:10])
    done = collect(root, 0, keep)
    assert done.left == 10 and held(root).keys() == keep
    assert collect(root, 0).left == 0 and packs.names(root) == []
    assert not store.has(DIGESTS[0])


def test_nothing_in_a_running_build_is_evicted(store: PackingStore, root: str) -> None:
    os.utime(only_pack(root), (1000, 1000))
    store.read(DIGESTS[0])  # marks the pack as used
    assert collect(root, 0).left == COUNT


def test_unpacked_for_a_federation_everything_is_a_file(store: PackingStore, root: str) -> None:
    with closing(ObjectStore(root)) as holder:
        holder.unpack()
        assert packs.names(root) == [] and sorted(files_below(f"{root}/objects")) == sorted(object_path(root, one) for one in DIGESTS)
        assert holder.read(DIGESTS[0]) == CROWD[0]
    assert store.read(DIGESTS[1]) == CROWD[1] and store.has(DIGESTS[2])


def test_nothing_is_visible_before_the_commit(root: str) -> None:
    with closing(PackingStore(root)) as store:
        for data in CROWD:
            store.put_bytes(data)
        assert store.read(DIGESTS[0]) == CROWD[0] and held(root) == {}
        assert store.discard(DIGESTS[:1]) == {DIGESTS[0]} and not store.has(DIGESTS[0])
    assert held(root) == {}


def results(count: int) -> list[Result]:
    return [
        Result(of_bytes(b"key %d" % number), f"s{number}", (Read("a", of_bytes(b"a")),), (Output("b", Version(of_bytes(b"b"), 1)),))
        for number in range(count)
    ]


def test_results_of_many_keys_share_a_file(root: str) -> None:
    mine, neighbour = ManifestStore(root), ManifestStore(root)
    many = results(KEYS_MIN)
    assert neighbour.results(many[3].static_key) == []
    for result in many:
        mine.add_result(result)
    mine.commit()
    assert len(files_below(f"{root}/manifests")) == 1
    for manifests in (mine, neighbour, ManifestStore(root)):
        assert [list(manifests.results(result.static_key)) for result in many] == [[result] for result in many]
    mine.add_result(many[0])
    mine.commit()
    assert len(files_below(f"{root}/manifests")) == 1  # it was there already


def test_a_torn_line_of_a_batch_is_dropped_alone(root: str) -> None:
    mine = ManifestStore(root)
    many = results(KEYS_MIN)
    for result in many:
        mine.add_result(result)
    mine.commit()
    (path,) = files_below(f"{root}/manifests")
    lines = Path(path).read_bytes().splitlines(keepends=True)
    Path(path).write_bytes(b"".join([lines[0].replace(b'"s0"', b'"sX"'), *lines[1:-1], lines[-1][:30]]))
    fresh = ManifestStore(root)
    assert [len(fresh.results(result.static_key)) for result in many] == [0, *[1] * (KEYS_MIN - 2), 0]
    assert fsck(root)[2:] == (KEYS_MIN - 2, 2)


def test_a_lost_catalogue_is_rebuilt_from_packs(store: PackingStore, root: str, tmp_path: Path) -> None:
    manifests = ManifestStore(root)
    manifests.record("p", Changes(results={"s0": results(1)[0]}))
    manifests.commit()
    found = asyncio.run(rebuild_catalogue(str(tmp_path / "catalogue.db"), "here", manifests, "p", root))
    assert found.artefacts == held(root) and len(found.artefacts) == COUNT

    async def held_by() -> int:
        catalogue = open_catalogue(str(tmp_path / "catalogue.db"), "here")
        try:
            return len((await catalogue.ownership.held())["here"])
        finally:
            await catalogue.close()

    assert asyncio.run(held_by()) == COUNT


def test_a_key_that_is_searched_for_has_the_lines_that_sorting_finds(tmp_path: Path) -> None:
    root = str(tmp_path)
    for number in range(3):
        batch = Batches(root)
        key = [
            b'a 0123456789abcdef {"static_key":"%s","reads":["%s"],"n":%d}\n' % (name, b"xxh3:two", number)
            for name in (b"xxh3:one", b"xxh3:two")
        ]
        batch.write({"xxh3:one": [key[0]], "xxh3:two": [key[1]]})
    searching, sorting = Batches(root), Batches(root)
    sorting._sort()
    for name in ("xxh3:one", "xxh3:two", "xxh3:none", "xxh3:o"):
        found = searching.lines(name)
        assert found == sorting.lines(name)
        assert len(found) == (3 if name in ("xxh3:one", "xxh3:two") else 0)
    searching.write({"xxh3:one": [b'a 0123456789abcdef {"static_key":"xxh3:one","n":9}\n']})
    assert len(searching.lines("xxh3:one")) == 4
    for number in range(40):  # so many that they are sorted
        assert searching.lines(f"xxh3:{number}") == []
    assert len(searching.lines("xxh3:one")) == len(sorting.lines("xxh3:one")) == 4
