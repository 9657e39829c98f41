"""Eviction, verification, and a catalogue made again from the store."""

import asyncio
import os
from pathlib import Path

import pytest

from cpods.digest import of_bytes
from cpods.errors import StoreDamaged
from cpods.model import Output, Read, Result, Version
from cpods.ports import Changes, Written
from cpods.store import collect as collect_module
from cpods.store.catalogue import open_catalogue
from cpods.store.collect import Collected, Usage, collect, fsck, held, stat
from cpods.store.layout import manifest_path, object_path
from cpods.store.manifests import ManifestStore
from cpods.store.objects import ObjectStore
from cpods.store.rebuild import rebuild_catalogue

KEY = of_bytes(b"key")
RESULT = Result(KEY, "s", (Read("a", of_bytes(b"a")),), (Output("b", Version(of_bytes(b"b"), 1)),))


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "store")


def fill(root: str, count: int, size: int = 100) -> list[str]:
    """Objects of ``size`` bytes each, used one after the other long ago, by a process that is done."""
    store = ObjectStore(root)
    digests = [store.put_bytes(b"%d" % number + b"." * (size - len(str(number)))).digest for number in range(count)]
    store.commit()
    store.close()
    for number, digest in enumerate(digests):
        os.utime(object_path(root, digest), (1000 + number, 1000 + number))
    return digests


def test_the_least_recently_used_go_first(root: str) -> None:
    digests = fill(root, 10)
    assert collect(root, 400) == Collected(6, 600, 4, 400, tuple(digests[:6]))
    assert sorted(held(root)) == sorted(digests[6:])
    assert collect(root, 400) == Collected(0, 0, 4, 400)


def test_what_must_be_kept_is_kept(root: str) -> None:
    digests = fill(root, 10)
    collect(root, 0, keep={digests[0], digests[5], "xxh3:unknown"})
    assert sorted(held(root)) == sorted([digests[0], digests[5]])


def test_using_an_object_makes_it_recent(root: str, tmp_path: Path) -> None:
    digests = fill(root, 4)
    store = ObjectStore(root)
    store.read(digests[0])
    store.export(digests[1], str(tmp_path / "out"))
    store.close()
    collect(root, 200)
    assert sorted(held(root)) == sorted(digests[:2])


def test_nothing_in_a_running_build_is_evicted(root: str) -> None:
    digests = fill(root, 3)
    build = ObjectStore(root)
    build.read(digests[1])
    mine = build.put_bytes(b"mine")
    collect(root, 0)
    assert list(held(root)) == [digests[1]]
    build.commit()
    collect(root, 0)
    assert build.read(mine.digest) == b"mine"
    build.close()
    collect(root, 0)
    assert held(root) == {}


def test_an_evicted_result_is_a_miss_and_comes_back_when_made_again(root: str) -> None:
    digest = fill(root, 1)[0]
    store = ObjectStore(root)
    collect(root, 0)
    with pytest.raises(KeyError):
        store.read(digest)
    assert not store.has(digest)


def test_usage_is_counted(root: str) -> None:
    fill(root, 3)
    manifests = ManifestStore(root)
    manifests.add_result(RESULT)
    manifests.commit()
    size = os.path.getsize(manifest_path(root, KEY))
    assert stat(root) == Usage(3, 300, 1, size, 0)


def test_a_manifest_that_grew_too_long_keeps_its_newer_half(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root, 1)
    manifests = ManifestStore(root)
    results = [Result(KEY, "s", (Read("a", str(number)),), ()) for number in range(10)]
    for result in results:
        manifests.add_result(result)
    manifests.commit()
    monkeypatch.setattr(collect_module, "MANIFEST_BYTES_MAX", 100)
    collect(root, 0)
    assert list(manifests.results(KEY)) == results[5:]


def test_fsck_finds_nothing_wrong_with_a_sound_store(root: str) -> None:
    fill(root, 3)
    manifests = ManifestStore(root)
    manifests.add_result(RESULT)
    manifests.record("p", Changes(results={"s": RESULT}))
    manifests.commit()
    checked = fsck(root)
    assert (checked.objects, checked.damaged, checked.dropped) == (3, (), 0)
    assert list(ManifestStore(root).results(KEY)) == [RESULT]
    assert ManifestStore(root).recorded("p").results == {"s": RESULT}


def test_fsck_quarantines_damage_and_drops_unreadable_lines(root: str) -> None:
    digests = fill(root, 3)
    path = object_path(root, digests[1])
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.write(b"#")
    manifests = ManifestStore(root)
    manifests.add_result(RESULT)
    manifests.commit()
    with open(manifest_path(root, KEY), "ab") as file:
        file.write(b"torn")
    checked = fsck(root)
    assert (checked.objects, checked.damaged, checked.lines, checked.dropped) == (3, (digests[1],), 1, 1)
    assert stat(root).quarantined == 1 and digests[1] not in held(root)
    assert list(manifests.results(KEY)) == [RESULT]
    assert fsck(root).dropped == 0


def test_fsck_leaves_a_newer_store_alone(root: str) -> None:
    fill(root, 1)
    Path(root, "format").write_text('{"cpods-store": 99}')
    with pytest.raises(StoreDamaged):
        fsck(root)


@pytest.mark.parametrize("damage", ["garbage", "missing"])
def test_a_lost_catalogue_is_made_again_from_the_store(root: str, tmp_path: Path, damage: str) -> None:
    path = str(tmp_path / "state" / "catalogue.db")
    digests = fill(root, 2)
    manifests = ManifestStore(root)
    changes = Changes(written={"b": Written("s", "d")}, results={"s": RESULT})
    manifests.record("p", changes)
    manifests.commit()

    async def whole() -> None:
        catalogue = open_catalogue(path, "here")
        await catalogue.save(changes)
        await catalogue.close()
        if damage == "garbage":
            Path(path).write_bytes(b"garbage" * 1000)
        else:
            os.unlink(path)
        await rebuild_catalogue(path, "here", ManifestStore(root), "p", root)
        catalogue = open_catalogue(path, "here")
        memory = await catalogue.load()
        assert memory.written == changes.written and memory.results == changes.results
        assert await catalogue.ownership.holders(digests) == {"here": 200}
        await catalogue.close()

    asyncio.run(whole())
    assert os.path.exists(path + ".damaged") == (damage == "garbage")
