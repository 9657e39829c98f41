"""A project folder whose products may stand elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cpods.digest import ABSENT, of_bytes
from cpods.model import Artefact
from cpods.store.farfolder import FarFolder, FarObjects
from cpods.wiring import WallClock

MADE = Artefact(of_bytes(b"made there"), 10)
EDITED = of_bytes(b"edited there")


class Place:
    """A folder and its store; ``held``: what pods that can be reached hold."""

    def __init__(self, root: Path) -> None:
        (root / "project").mkdir()
        self.root = root / "project"
        self.held: dict[str, int] = {MADE.digest: MADE.size}
        self.objects = FarObjects(str(root / "store"), "xxh3", self.held.get)
        self.folder = FarFolder(str(self.root), self.objects, {}, WallClock())

    def bring(self, data: bytes = b"made there") -> None:
        self.objects.put_bytes(data)
        self.objects.commit()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    one = Place(tmp_path)
    yield one
    one.objects.close()


def test_the_store_answers_for_what_others_hold_but_reads_only_its_own(place: Place) -> None:
    assert place.objects.has(MADE.digest)
    assert not place.objects.has_here(MADE.digest)
    with pytest.raises(KeyError):
        place.objects.read(MADE.digest)
    place.bring()
    assert place.objects.has_here(MADE.digest)
    assert place.objects.read(MADE.digest) == b"made there"


def test_a_placed_product_stands_there_and_what_lay_here_is_gone(place: Place) -> None:
    (place.root / "a.txt").write_text("the old one")
    place.folder.place("a.txt", MADE)
    assert not (place.root / "a.txt").exists()
    assert place.folder.is_far("a.txt")
    assert place.folder.digest("a.txt") == MADE.digest
    assert place.folder.size("a.txt") == 10
    assert list(place.folder.listing()) == ["a.txt"]
    assert place.folder.read("a.txt") is None
    place.bring()
    assert place.folder.read("a.txt") == b"made there"


def test_a_file_of_that_name_here_counts(place: Place) -> None:
    place.folder.place("a.txt", MADE)
    (place.root / "a.txt").write_text("here")
    assert place.folder.refresh("a.txt") == of_bytes(b"here")
    assert not place.folder.is_far("a.txt")
    assert place.folder.elsewhere("a.txt") is None
    assert place.folder.size("a.txt") == 4
    assert place.folder.read("a.txt") == b"here"
    (place.root / "a.txt").unlink()
    assert place.folder.refresh("a.txt") == MADE.digest


def test_what_nobody_holds_any_more_stands_nowhere_but_is_known(place: Place) -> None:
    place.folder.place("a.txt", MADE)
    place.held.clear()
    assert place.folder.refresh("a.txt") == ABSENT
    assert list(place.folder.listing()) == []
    assert place.folder.elsewhere("a.txt") == MADE


def test_delivering_puts_it_into_the_folder(place: Place) -> None:
    place.folder.place("out/a.txt", MADE)
    place.bring()
    place.folder.deliver("out/a.txt")
    assert (place.root / "out/a.txt").read_bytes() == b"made there"
    assert not place.folder.is_far("out/a.txt")
    assert place.folder.digest("out/a.txt") == MADE.digest


def test_what_cannot_be_delivered_still_stands_there(place: Place) -> None:
    place.folder.place("a.txt", MADE)
    with pytest.raises(KeyError):
        place.folder.deliver("a.txt")
    assert place.folder.is_far("a.txt")
    assert place.folder.digest("a.txt") == MADE.digest


def test_installing_takes_it_from_the_own_store_or_leaves_it_where_it_is(place: Place) -> None:
    place.folder.install("a.txt", MADE.digest)
    assert place.folder.is_far("a.txt")
    place.bring()
    place.folder.install("a.txt", MADE.digest)
    assert (place.root / "a.txt").read_bytes() == b"made there"
    with pytest.raises(KeyError):
        place.folder.install("b.txt", EDITED)


def test_installing_what_lies_here_already_needs_no_object(place: Place) -> None:
    (place.root / "a.txt").write_bytes(b"made there")
    place.held.clear()
    place.folder.install("a.txt", MADE.digest)
    assert (place.root / "a.txt").read_bytes() == b"made there"


def test_removing_forgets_it(place: Place) -> None:
    place.folder.place("a.txt", MADE)
    place.folder.remove("a.txt")
    assert place.folder.digest("a.txt") == ABSENT
    assert list(place.folder.listing()) == []


# -- edits on the pod that owns it -------------------------------------------------------------------------------------


@pytest.mark.parametrize("now", [EDITED, ABSENT])
def test_an_edit_over_there_is_seen_and_put_right_by_installing(place: Place, now: str) -> None:
    place.folder.place("a.txt", MADE)
    place.folder.note_edited("a.txt", now)
    assert place.folder.digest("a.txt") == now
    place.folder.install("a.txt", MADE.digest)
    assert place.folder.digest("a.txt") == MADE.digest
    assert place.folder.restored == {"a.txt"}


def test_making_it_anew_settles_an_edit(place: Place) -> None:
    place.folder.place("a.txt", MADE)
    place.folder.note_edited("a.txt", EDITED)
    place.folder.place("a.txt", MADE)
    assert place.folder.digest("a.txt") == MADE.digest
    assert place.folder.edited == {}


def test_where_a_good_copy_lies_here_an_edit_over_there_only_has_to_be_put_right_there(place: Place) -> None:
    place.folder.place("a.txt", MADE)
    place.bring()
    place.folder.deliver("a.txt")
    place.folder.note_edited("a.txt", EDITED)
    assert place.folder.digest("a.txt") == MADE.digest
    assert place.folder.restored == {"a.txt"}
