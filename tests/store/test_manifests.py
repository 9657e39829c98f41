"""What manifests on disk promise beyond the port: torn lines, several writers, compaction."""

import os
import threading
from pathlib import Path

import pytest

from cpods.digest import of_bytes
from cpods.model import Output, Read, Result, Version
from cpods.ports import Changes, Written
from cpods.store import manifests
from cpods.store.layout import manifest_path, project_path
from cpods.store.manifests import ManifestStore

KEY = of_bytes(b"key")


def a_result(text: str, key: str = KEY) -> Result:
    return Result(key, "s", (Read("a", of_bytes(text.encode())),), (Output("b", Version(of_bytes(text.encode()), 1)),))


def add(store: ManifestStore, *texts: str) -> None:
    for text in texts:
        store.add_result(a_result(text))
    store.commit()


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path)


def test_another_process_sees_what_was_committed_and_no_more(root: str) -> None:
    mine, theirs = ManifestStore(root), ManifestStore(root)
    mine.add_result(a_result("a"))
    assert list(theirs.results(KEY)) == []
    mine.commit()
    assert list(theirs.results(KEY)) == [a_result("a")]
    add(theirs, "b")
    add(mine, "c")
    assert list(mine.results(KEY)) == list(theirs.results(KEY)) == [a_result(text) for text in "abc"]


@pytest.mark.parametrize("keep", [1, 10, 19, 50, -2])
def test_a_torn_line_is_skipped_and_the_next_one_is_whole(root: str, keep: int) -> None:
    add(ManifestStore(root), "a", "b")
    path = Path(manifest_path(root, KEY))
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:keep])
    store = ManifestStore(root)
    assert list(store.results(KEY)) == [a_result("a")]
    add(store, "c")
    assert list(store.results(KEY)) == [a_result("a"), a_result("c")]
    assert list(ManifestStore(root).results(KEY)) == [a_result("a"), a_result("c")]


@pytest.mark.parametrize("foreign", [b"\n", b"hello\n", b"\x00" * 4096 + b"\n", b"r 0123456789abcdef {}\n"])
def test_foreign_lines_are_skipped(root: str, foreign: bytes) -> None:
    add(ManifestStore(root), "a")
    path = Path(manifest_path(root, KEY))
    path.write_bytes(foreign + path.read_bytes() + foreign)
    store = ManifestStore(root)
    add(store, "b")
    assert list(store.results(KEY)) == [a_result("a"), a_result("b")]


def test_a_changed_byte_makes_a_line_foreign(root: str) -> None:
    add(ManifestStore(root), "a")
    path = Path(manifest_path(root, KEY))
    path.write_bytes(path.read_bytes().replace(b'"s"', b'"t"'))
    assert list(ManifestStore(root).results(KEY)) == []


def test_a_result_in_the_wrong_manifest_is_not_believed(root: str) -> None:
    store = ManifestStore(root)
    store.add_result(a_result("a", of_bytes(b"other")))
    store.commit()
    wrong = Path(manifest_path(root, KEY))
    wrong.parent.mkdir(parents=True, exist_ok=True)
    wrong.write_bytes(Path(manifest_path(root, of_bytes(b"other"))).read_bytes())
    assert list(ManifestStore(root).results(KEY)) == []


def test_many_writers_lose_no_line(root: str) -> None:
    def work(name: str) -> None:
        store = ManifestStore(root)
        for number in range(25):
            add(store, f"{name}{number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ManifestStore(root).results(KEY)) == 100


def test_a_manifest_that_vanished_is_empty(root: str) -> None:
    store = ManifestStore(root)
    add(store, "a")
    assert len(store.results(KEY)) == 1
    os.unlink(manifest_path(root, KEY))
    assert list(store.results(KEY)) == []
    add(store, "b")
    assert list(store.results(KEY)) == [a_result("b")]


def test_path_records_stay_within_a_multiple_of_their_live_content(root: str) -> None:
    store = ManifestStore(root)
    paths = [f"some/rather/long/folder/file{number}.o" for number in range(200)]
    store.record("p", Changes(written={path: Written("s", "0") for path in paths}))
    store.commit()
    once = os.path.getsize(project_path(root, "p"))
    for turn in range(1, 200):
        store.record("p", Changes(written={path: Written("s", str(turn)) for path in paths}))
        store.commit()
    floor = max(manifests.COMPACT_FACTOR * once, manifests.COMPACT_BYTES_MIN)
    assert os.path.getsize(project_path(root, "p")) < 1.5 * floor < 200 * once
    assert ManifestStore(root).recorded("p").written == {path: Written("s", "199") for path in paths}


def test_compaction_forgets_what_was_deleted(root: str) -> None:
    store = ManifestStore(root)
    store.record("p", Changes(written={"a": Written("s", "1"), "b": Written("s", "2")}))
    store.record("p", Changes(written={"a": None}))
    store.commit()
    manifests.compact(project_path(root, "p"))
    assert b'"a"' not in Path(project_path(root, "p")).read_bytes()
    assert store.recorded("p").written == {"b": Written("s", "2")}
