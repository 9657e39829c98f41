"""A store is measured when it may have grown beyond its quota, and otherwise not."""

from pathlib import Path

import pytest

from cpods.store.growth import is_due, measured


def test_a_store_that_was_never_measured_is_due(tmp_path: Path) -> None:
    assert is_due(str(tmp_path), 1000, 1)


def test_growth_adds_up_until_the_quota_is_near(tmp_path: Path) -> None:
    root = str(tmp_path)
    measured(root, 500)
    assert [is_due(root, 1000, 100) for _ in range(6)] == [False, False, False, False, False, True]
    measured(root, 100)
    assert not is_due(root, 1000, 100)


def test_many_builds_later_it_is_measured_again(tmp_path: Path) -> None:
    root = str(tmp_path)
    measured(root, 0)
    asked = 0
    while not is_due(root, 1 << 40, 1):
        asked += 1
    assert asked == 200


@pytest.mark.parametrize("data", [b"", b"many\n", b"\xff\n"])
def test_an_odd_note_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "growth").write_bytes(data)
    assert is_due(str(tmp_path), 1000, 1)


def test_nothing_added_notes_nothing(tmp_path: Path) -> None:
    measured(str(tmp_path), 5)
    assert not is_due(str(tmp_path), 1000, 0)
    assert (tmp_path / "growth").read_text() == "5\n"
