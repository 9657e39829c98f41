"""Files that come back from the store while a build goes on: whoever asks finds them, and an error is not lost."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from cpods.digest import ABSENT, of_bytes
from cpods.store import packs
from cpods.store.packing import PackingStore
from cpods.store.restoring import Restorer
from cpods.store.workspace import Folder, proves

COUNT = 8 * packs.MEMBERS_MIN  # more than wait at once
CROWD = {f"out/{number}": b"small %d" % number for number in range(COUNT)}
FEW = dict(list(CROWD.items())[:10])  # no thread makes them


class Clock:
    """The real wall clock."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return 0.0

    def today(self) -> str:
        return "2026-01-01"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PackingStore]:
    with closing(PackingStore(str(tmp_path / "store"))) as store:
        for data in CROWD.values():
            store.put_bytes(data)
        store.commit()
        yield store


@pytest.fixture
def folder(tmp_path: Path, store: PackingStore) -> Folder:
    (tmp_path / "project").mkdir()
    return Folder(str(tmp_path / "project"), store, {}, Clock())


def restore_all(folder: Folder, files: Mapping[str, bytes] = CROWD) -> None:
    for path, data in files.items():
        folder.install_soon(path, of_bytes(data))


def standing(folder: Folder) -> dict[str, bytes]:
    return {path: Path(folder.root, path).read_bytes() for path in CROWD if Path(folder.root, path).exists()}


def test_a_crowd_stands_after_settling_and_its_states_prove_nothing_yet(folder: Folder, store: PackingStore) -> None:
    restore_all(folder)
    folder.settle()
    assert standing(folder) == CROWD
    assert folder.take_changed_states().keys() == CROWD.keys()
    assert not any(proves(folder.states[path], folder.stamp(path) or (0, 0, 0, 0)) for path in CROWD)
    os.chmod(Path(folder.root, "out/0"), 0o600)
    Path(folder.root, "out/0").write_bytes(b"not the store's inode")
    assert store.read(of_bytes(CROWD["out/0"])) == CROWD["out/0"]


@pytest.mark.parametrize("ask", ["read", "size", "take", "stamp", "refresh", "listing", "tree", "begin", "remove", "install"])
def test_who_asks_waits(folder: Folder, ask: str) -> None:
    restore_all(folder, FEW)
    last = "out/9"
    answers: dict[str, tuple[Callable[[], object], object]] = {
        "read": (lambda: folder.read(last), CROWD[last]),
        "size": (lambda: folder.size(last), len(CROWD[last])),
        "take": (lambda: folder.take(last).digest, of_bytes(CROWD[last])),
        "stamp": (lambda: folder.stamp(last) is not None, True),
        "refresh": (lambda: folder.refresh(last), of_bytes(CROWD[last])),
        "listing": (folder.listing, sorted(FEW)),
        "tree": (lambda: set(folder.tree().files), set(FEW)),
        "begin": (folder.begin, None),
        "remove": (lambda: folder.remove(last), None),
        "install": (lambda: folder.install(last, of_bytes(CROWD["out/0"])), None),
    }
    call, expected = answers[ask]
    assert call() == expected
    made = standing(folder)
    changed = {"remove": ABSENT, "install": of_bytes(CROWD["out/0"])}.get(ask, of_bytes(CROWD[last]))
    assert folder.digest(last) == changed == (of_bytes(made[last]) if last in made else ABSENT)
    assert made.keys() | {last} == FEW.keys()


def test_what_stands_there_is_replaced_at_once(folder: Folder) -> None:
    os.mkdir(Path(folder.root, "out"))
    Path(folder.root, "out/0").write_bytes(b"by hand")
    folder.install_soon("out/0", of_bytes(CROWD["out/0"]))
    assert standing(folder) == {"out/0": CROWD["out/0"]}


def test_an_executable_comes_back_executable(folder: Folder, store: PackingStore) -> None:
    Path(folder.root, "tool").write_bytes(b"#!/bin/sh\n")
    os.chmod(Path(folder.root, "tool"), 0o755)
    digest = folder.take("tool").digest
    store.commit()
    folder.remove("tool")
    folder.install_soon("tool", digest)
    folder.settle()
    assert os.access(Path(folder.root, "tool"), os.X_OK)


def test_a_damaged_object_is_told_at_once(folder: Folder, store: PackingStore) -> None:
    (name,) = packs.names(store.root)
    path = os.path.join(packs.pack_folder(store.root), name)
    member = next(member for member in packs.members(path) if member.digest == of_bytes(CROWD["out/7"]))
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(member.offset)
        file.write(b"#")
    with pytest.raises(KeyError):
        folder.install_soon("out/7", member.digest)
    folder.settle()
    assert standing(folder) == {} and folder.digest("out/7") == ABSENT


def test_an_error_comes_with_settling_and_costs_no_other_file(folder: Folder) -> None:
    Path(folder.root, "file").write_bytes(b"no folder")
    folder.install_soon("file/x", of_bytes(CROWD["out/0"]))
    restore_all(folder)
    with pytest.raises(NotADirectoryError):
        folder.settle()
    assert standing(folder) == CROWD
    assert folder.digest("file/x") == ABSENT
    folder.settle()


def test_what_is_given_up_is_known_to_be_absent(folder: Folder) -> None:
    restore_all(folder)
    folder.settle(abandon=True)
    made = standing(folder)
    assert {path: folder.digest(path) for path in CROWD} == {path: of_bytes(made[path]) if path in made else ABSENT for path in CROWD}
    restore_all(folder)
    folder.settle()
    assert standing(folder) == CROWD


def test_nothing_is_made_after_giving_up(tmp_path: Path, store: PackingStore) -> None:
    folder = Folder(str(tmp_path), store, {}, Clock())
    restore_all(folder, FEW)
    folder.settle(abandon=True)
    assert standing(folder) == {}
    assert Restorer(store.place, time.time_ns).drain() == []
