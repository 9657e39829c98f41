"""Slots: private copies of just what a step may see, kept between steps, never the store's own files."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cpods.digest import ABSENT
from cpods.errors import UsageError
from cpods.model import Version
from cpods.net.messages import Input, Listing
from cpods.pod.slot import Aim, Slot
from cpods.pod.slots import Slots
from cpods.pod.tree import GivenTree, Tree, Visible, decode_tree
from cpods.store.objects import ObjectStore
from tests.helpers.podworld import shell_step

STEP = shell_step("s", "true", ["out/made"])


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[ObjectStore]:
    with closing(ObjectStore(str(tmp_path / "store"))) as store:
        yield store


def visible(objects: ObjectStore, files: Mapping[str, bytes], top: Mapping[str, bytes] | None = None) -> Visible:
    def rows(named: Mapping[str, bytes]) -> tuple[Input, ...]:
        artefacts = {path: objects.put_bytes(data) for path, data in named.items()}
        return tuple(Input(path, one.digest, one.size, path.startswith("x-")) for path, one in artefacts.items())

    return Visible(Tree(Listing(rows(files), ("empty",))), rows(top or {}))


def aim(seen: Visible, chosen: Sequence[str] | None = None, plain: bool = True) -> Aim:
    paths = {file.path for file in seen} if chosen is None else set(chosen)
    return Aim(seen, paths, STEP, frozenset(), plain)


def contents(slot: Slot) -> dict[str, bytes]:
    return {path: Path(slot.root, path).read_bytes() for path in slot.listing()}


def test_it_shows_the_chosen_files_the_folders_and_where_outputs_go(tmp_path: Path, objects: ObjectStore) -> None:
    slot = Slot(str(tmp_path / "slot"), objects)
    slot.aim(aim(visible(objects, {"a/b": b"1", "c": b"2", "d": b"3"}, {"c": b"new", "e/f": b"5"}), ["a/b", "c", "e/f"]))
    slot.prepare({"over/laid": Version(*msgspec.structs.astuple(objects.put_bytes(b"6"))), "c": None})
    assert contents(slot) == {"a/b": b"1", "e/f": b"5", "over/laid": b"6"}
    assert all((tmp_path / "slot" / folder).is_dir() for folder in ("empty", "out", "a", "e", "over"))
    assert slot.missing(["a/b", "d", "c", "unknown", "@date", "/etc/passwd"]) == ["d"]
    assert slot.absent() == ["d"]


def test_no_file_of_the_store_can_be_written_through_a_slot(tmp_path: Path, objects: ObjectStore) -> None:
    slot = Slot(str(tmp_path / "slot"), objects)
    seen = visible(objects, {"a": b"1" * 5000, "x-run": b"#!/bin/sh\n"})
    objects.commit()
    slot.aim(aim(seen))
    slot.prepare({})
    for path in ("a", "x-run"):
        assert os.stat(tmp_path / "slot" / path).st_nlink == 1
        assert not (tmp_path / "slot" / path).is_symlink()
        with open(tmp_path / "slot" / path, "ab") as file:
            file.write(b"!")
    assert all(objects.read(file.digest) for file in seen)
    assert stat.S_IMODE(os.stat(tmp_path / "slot" / "x-run").st_mode) & 0o111
    assert not stat.S_IMODE(os.stat(tmp_path / "slot" / "a").st_mode) & 0o111


def test_what_is_right_already_is_left_alone(tmp_path: Path, objects: ObjectStore) -> None:
    slot = Slot(str(tmp_path / "slot"), objects)
    slot.aim(aim(visible(objects, {"same": b"1", "other": b"2", "gone": b"3"})))
    slot.prepare({})
    before = os.stat(tmp_path / "slot" / "same")
    (tmp_path / "slot" / "junk").write_text("left by a step")
    slot.aim(aim(visible(objects, {"same": b"1", "other": b"new"}), ["other"]))
    slot.prepare({})
    assert contents(slot) == {"same": b"1", "other": b"new"}
    after = os.stat(tmp_path / "slot" / "same")
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


def test_a_write_by_a_step_shows_even_if_it_hides(tmp_path: Path, objects: ObjectStore) -> None:
    slot = Slot(str(tmp_path / "slot"), objects)
    slot.aim(aim(visible(objects, {"a": b"12345"}), plain=False))
    slot.prepare({})
    view = slot.view()
    path = tmp_path / "slot" / "a"
    times = os.stat(path)
    path.write_bytes(b"54321")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert view.changed() == ["a"]
    assert slot.digest("a") == objects.put_bytes(b"54321").digest
    slot.prepare({})
    assert contents(slot) == {"a": b"12345"}


def test_old_outputs_of_a_plain_step_are_not_there_those_of_a_pass_are(tmp_path: Path, objects: ObjectStore) -> None:
    slot = Slot(str(tmp_path / "slot"), objects)
    seen = visible(objects, {"out/made": b"old", "a": b"1"})
    slot.aim(aim(seen))
    slot.prepare({})
    assert contents(slot) == {"a": b"1"}
    slot.aim(aim(seen, plain=False))
    slot.prepare({})
    assert contents(slot) == {"a": b"1", "out/made": b"old"}
    slot.prepare({}, frozenset({"out/made"}))
    assert contents(slot) == {"a": b"1"}


PATHS = ["a", "b", "d/a", "d/b", "d/e/f", "g/h"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    states=st.lists(st.dictionaries(st.sampled_from(PATHS), st.sampled_from([b"1", b"22", b"333"])), min_size=2, max_size=5), mess=st.data()
)
def test_whatever_was_there_the_slot_shows_what_it_should(
    tmp_path: Path, objects: ObjectStore, states: list[dict[str, bytes]], mess: st.DataObject
) -> None:
    slot = Slot(str(tmp_path / "slot"), objects)
    for files in states:
        slot.aim(aim(visible(objects, files)))
        slot.prepare({})
        assert contents(slot) == files
        for path in mess.draw(st.lists(st.sampled_from(PATHS), max_size=3)):
            _spoil(tmp_path / "slot", path, mess.draw(st.sampled_from(["write", "delete", "folder", "link"])))


def _spoil(root: Path, path: str, how: str) -> None:
    target = root / path
    if not target.parent.is_dir() or target.is_dir():
        return
    target.unlink(missing_ok=True)
    if how == "write":
        target.write_bytes(b"spoilt")
    elif how == "folder":
        (target / "in").mkdir(parents=True)
    elif how == "link":
        target.symlink_to("/etc")


def test_slots_of_a_project_are_used_again_and_wiped_at_the_end(tmp_path: Path, objects: ObjectStore) -> None:
    work = tmp_path / "work"
    (work / "paper" / "slot-9").mkdir(parents=True)
    (work / "paper" / "owned").mkdir()
    (work / "notes.db").write_text("")
    slots = Slots(str(work), objects)
    assert sorted(os.listdir(work / "paper")) == ["owned"]
    one, two, other = slots.take("paper"), slots.take("paper"), slots.take("book")
    assert len({one.slot.root, two.slot.root, other.slot.root}) == 3
    os.makedirs(one.temporary + "/left")
    slots.give_back("paper", one)
    assert not os.path.exists(one.temporary)
    assert slots.take("paper") is one
    slots.wipe()
    assert sorted(os.listdir(work / "paper")) == ["owned"] and (work / "notes.db").exists()


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "", "a/../../b", "a\0b", ".."])
def test_a_listing_that_leaves_the_project_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="outside of the project"):
        decode_tree(msgspec.msgpack.encode(Listing((Input(path, "xxh3:" + "0" * 32, 1),))))
    with pytest.raises(UsageError, match="outside of the project"):
        Visible(Tree(Listing(())), [Input(path, "xxh3:" + "0" * 32, 1)])


def test_a_given_tree_answers_as_a_folder_would(tmp_path: Path, objects: ObjectStore) -> None:
    seen = visible(objects, {"a/b": b"1", "c": b"2"}, {"c": b"new"})
    tree = GivenTree(str(tmp_path / "slot"), seen, objects)
    assert tree.listing() == ["a/b", "c"]
    assert tree.read("c") == b"new" and tree.digest("c") == objects.put_bytes(b"new").digest
    assert tree.read("zz") is None and tree.digest("zz") == ABSENT
    (tmp_path / "slot").mkdir()
    (tmp_path / "outside").write_bytes(b"ours")
    assert tree.digest(str(tmp_path / "outside")) == objects.put_bytes(b"ours").digest
    assert tree.digest("../outside") == tree.digest(str(tmp_path / "outside"))
    assert tree.digest(str(tmp_path / "gone")) == ABSENT and tree.read(str(tmp_path / "gone")) is None
