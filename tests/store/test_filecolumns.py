"""A look at many files: a folder of a few is looked at name by name, one of many is opened first; both find the same."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cpods.digest import of_bytes
from cpods.store.filecolumns import FileColumns, of_rows
from cpods.store.files import stamp_of


def columns(root: Path, names: list[str], folder: str = "deep/down") -> FileColumns:
    """Columns over files of these names, made now."""
    rows = []
    (root / folder).mkdir(parents=True)
    for name in names:
        path = root / folder / name
        path.write_bytes(b"x")
        rows.append((f"{folder}/{name}", *stamp_of(path.stat()), of_bytes(b"x"), time.time_ns() + 10**9))
    return of_rows(rows)


def nothing(root: Path) -> None:
    pass


def two_edited_one_gone(root: Path) -> None:
    (root / "deep/down/f1").write_bytes(b"other")
    (root / "deep/down/f2").unlink()
    (root / "deep/down/f3").unlink()
    (root / "deep/down/f3").write_bytes(b"x")


def folder_gone(root: Path) -> None:
    (root / "deep").rename(root / "elsewhere")


def folder_is_a_file(root: Path) -> None:
    folder_gone(root)
    (root / "deep").mkdir()
    (root / "deep/down").write_bytes(b"")


def folder_behind_a_link(root: Path) -> None:
    folder_gone(root)
    (root / "deep").symlink_to("elsewhere")


def link_into_nothing(root: Path) -> None:
    (root / "deep/down/f1").unlink()
    (root / "deep/down/f1").symlink_to("/no/such/file")


def folder_for_a_file(root: Path) -> None:
    (root / "deep/down/f1").unlink()
    (root / "deep/down/f1").mkdir()


def folder_that_may_not_be_listed(root: Path) -> None:
    os.chmod(root / "deep/down", 0o311)


CHANGES = {
    nothing: ([], []),
    two_edited_one_gone: (["f2"], ["f1", "f3"]),
    folder_gone: (None, []),
    folder_is_a_file: (None, []),
    folder_behind_a_link: ([], []),
    link_into_nothing: (["f1"], []),
    folder_for_a_file: ([], ["f1"]),
    folder_that_may_not_be_listed: ([], []),
}


@pytest.mark.parametrize("count", [4, 15, 16, 40])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_is_gone_and_what_is_another(tmp_path: Path, change: Callable[[Path], None], count: int) -> None:
    names = [f"f{number}" for number in range(count)]
    before = columns(tmp_path, names)
    open_before = os.listdir("/proc/self/fd")
    change(tmp_path)
    gone, other = before.survey(str(tmp_path))
    wanted_gone, wanted_other = CHANGES[change]
    told = [{before.path(number).rpartition("/")[2] for number in numbers} for numbers in (gone, other)]
    assert told == [set(names if wanted_gone is None else wanted_gone), set(wanted_other)]
    assert os.listdir("/proc/self/fd") == open_before
