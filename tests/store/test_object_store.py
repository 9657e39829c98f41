"""What the object store on disk promises beyond the port: modes, half-written objects, formats, neighbours."""

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cpods.digest import of_bytes
from cpods.errors import StoreDamaged
from cpods.store.layout import FORMAT_VERSION, object_path
from cpods.store.objects import ObjectStore

BIG = os.urandom(1 << 20)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store"))


@contextmanager
def disk_full_at(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond this: writing fails in the middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files_below(folder: str) -> list[str]:
    return [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]


def test_objects_lie_by_digest_and_are_read_only(store: ObjectStore) -> None:
    digest = store.put_bytes(b"x").digest
    path = f"{store.root}/objects/xxh3/{digest[5:7]}/{digest[7:]}"
    assert not os.path.exists(path)
    store.commit()
    assert os.stat(path).st_mode & 0o777 == 0o444


@pytest.mark.parametrize("data", [b"#!/bin/sh\n", BIG], ids=["small", "large"])
def test_an_executable_comes_back_executable(store: ObjectStore, tmp_path: Path, data: bytes) -> None:
    tool = tmp_path / "tool"
    tool.write_bytes(data)
    tool.chmod(0o755)
    digest = store.put_file(str(tool)).digest
    store.commit()
    store.export(digest, str(tmp_path / "out"))
    assert os.access(tmp_path / "out", os.X_OK) and os.access(tmp_path / "out", os.W_OK)


@pytest.mark.parametrize("committed", [True, False])
def test_bytes_put_again_as_an_executable_become_executable(store: ObjectStore, tmp_path: Path, committed: bool) -> None:
    digest = store.put_bytes(b"#!/bin/sh\n").digest
    store.export(digest, str(tmp_path / "plain"))
    assert not os.access(tmp_path / "plain", os.X_OK)
    if committed:
        store.commit()
    os.chmod(tmp_path / "plain", 0o755)
    store.put_file(str(tmp_path / "plain"))
    store.commit()
    store.export(digest, str(tmp_path / "out"))
    assert os.access(tmp_path / "out", os.X_OK)


def test_an_export_is_a_copy_of_its_own(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put_bytes(BIG).digest
    store.commit()
    out = tmp_path / "out"
    store.export(digest, str(out))
    with out.open("r+b") as file:
        file.write(b"scribble")
    assert store.read(digest) == BIG


def test_a_full_disk_while_putting_leaves_nothing(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(BIG)
    with disk_full_at(4096):
        with pytest.raises(OSError):
            store.put_file(str(tmp_path / "in"))
        with pytest.raises(OSError):
            store.put_bytes(BIG)
    store.commit()
    assert not store.has(of_bytes(BIG))
    assert files_below(f"{store.root}/objects") + files_below(f"{store.root}/tmp") == []
    assert store.put_bytes(BIG).size == len(BIG)


def test_a_full_disk_while_exporting_leaves_the_old_file(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put_bytes(BIG).digest
    out = tmp_path / "folder" / "out"
    out.parent.mkdir()
    out.write_bytes(b"old")
    with disk_full_at(4096), pytest.raises(OSError):
        store.export(digest, str(out))
    assert out.read_bytes() == b"old"
    assert os.listdir(out.parent) == ["out"]


def test_a_truncated_object_is_replaced_when_its_bytes_are_put_again(store: ObjectStore) -> None:
    digest = store.put_bytes(b"whole").digest
    store.commit()
    path = object_path(store.root, digest)
    os.chmod(path, 0o644)
    os.truncate(path, 2)
    store.put_bytes(b"whole")
    store.commit()
    assert store.read(digest) == b"whole"
    assert len(os.listdir(f"{store.root}/quarantine")) == 1


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_only_regular_files_are_taken(store: ObjectStore, tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(OSError):
        store.put_file(str(path))


def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "format").write_text(json.dumps({"cpods-store": FORMAT_VERSION + 1}))
    with pytest.raises(StoreDamaged, match="newer cpods"):
        ObjectStore(str(tmp_path))
    assert os.listdir(tmp_path) == ["format"]


@pytest.mark.parametrize("mark", ["", "{}", "[1]", '{"cpods-store": "1"}'])
def test_an_unreadable_format_mark_is_told(tmp_path: Path, mark: str) -> None:
    (tmp_path / "format").write_text(mark)
    with pytest.raises(StoreDamaged, match="format mark"):
        ObjectStore(str(tmp_path))


def test_an_unknown_algorithm_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="md5"):
        ObjectStore(str(tmp_path / "store"), "md5")


def test_two_processes_share_a_store(store: ObjectStore) -> None:
    neighbour = ObjectStore(store.root)
    digest = store.put_bytes(b"shared").digest
    assert not neighbour.has(digest)
    neighbour.put_bytes(b"shared")
    store.commit()
    neighbour.commit()
    assert neighbour.read(digest) == b"shared"
    assert files_below(f"{store.root}/tmp") == []


def test_left_overs_of_a_dead_process_go_and_those_of_a_living_one_stay(store: ObjectStore) -> None:
    store.put_bytes(b"living")
    script = "import os, sys; from cpods.store.objects import ObjectStore as O; O(sys.argv[1]).put_bytes(b'dead'); os._exit(1)"
    ended = subprocess.run([sys.executable, "-c", script, store.root], env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert ended.returncode == 1
    assert len(files_below(f"{store.root}/tmp")) == 2
    ObjectStore(store.root).put_bytes(b"new")
    assert sorted(Path(path).read_bytes() for path in files_below(f"{store.root}/tmp")) == [b"living", b"new"]
    store.commit()
    assert store.read(of_bytes(b"living")) == b"living"


def test_closing_gives_up_what_was_not_committed(store: ObjectStore) -> None:
    digest = store.put_bytes(b"x").digest
    store.close()
    store.close()
    assert not store.has(digest)
    assert os.listdir(f"{store.root}/tmp") == []


def test_size_tells_bytes(store: ObjectStore) -> None:
    assert store.size(store.put_bytes(b"four").digest) == 4
    assert store.size("xxh3:" + "0" * 32) is None
    assert store.size("nonsense") is None


def test_what_is_discarded_while_a_commit_is_under_way_is_gone_or_stored(store: ObjectStore) -> None:
    """A knot comes to rest, and drops what its passes made, while a thread stores the last batch."""
    errors: list[BaseException] = []

    def commit() -> None:
        try:
            store.commit()
        except OSError as error:
            errors.append(error)

    for number in range(10):
        digests = [store.put_bytes(b"%d of %d" % (one, number)).digest for one in range(300)]
        thread = threading.Thread(target=commit)
        thread.start()
        dropped = {digest for digest in reversed(digests) if store.discard([digest])}
        thread.join()
        assert errors == []
        assert {digest for digest in digests if not store.has(digest)} == dropped
