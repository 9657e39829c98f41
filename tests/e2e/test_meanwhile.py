"""Files that change while a build goes on: what was made of them before is made again, at the latest by the next build."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.calls import Zygote, cpods, end_stragglers, write  # noqa: F401  a fixture

#: ``early`` and ``late`` read the source before and after a step that waits until it is told to go on.
AROUND = """\
[[step]]
name = "early"
run = "{read} > early.txt"
inputs = ["{path}"]
outputs = ["early.txt"]

[[step]]
name = "between"
run = "touch here; while ! test -e go; do sleep 0.01; done; cat early.txt > between.txt"
inputs = ["early.txt"]
outputs = ["between.txt"]

[[step]]
name = "late"
run = "cat between.txt {path} > late.txt"
inputs = ["between.txt", "{path}"]
outputs = ["late.txt"]
"""
MAKER = """
[[step]]
name = "maker"
run = "cat source.txt > made.txt"
inputs = ["source.txt"]
outputs = ["made.txt"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "project"
    place.mkdir()
    yield place
    end_stragglers(place)


def change_between(zygote: Zygote, folder: Path, path: str, data: str) -> None:
    """A build in which a file changes after one step has read it and before another does."""
    call = zygote.start(folder, "rebuild", "-j", "1")
    while not (folder / "here").exists():
        assert not call.ended(0.005), call.said()
    (folder / path).write_text(data)
    (folder / "go").touch()
    said = call.wait()
    assert said.code == 0, said.err


@pytest.mark.parametrize("read", ["cat source.txt", "sed -n 1p source.txt"])
def test_a_source_that_changes_between_two_of_its_readers(cpods: Zygote, folder: Path, read: str) -> None:  # noqa: F811
    write(folder, cpods__toml=AROUND.format(path="source.txt", read=read), source__txt="old\n")
    change_between(cpods, folder, "source.txt", "new\n")
    again = cpods.run(folder, "rebuild")
    assert again.code == 0 and len(again.tools) == 3, again.err
    assert (folder / "late.txt").read_text() == "new\nnew\n"
    assert cpods.run(folder, "rebuild").tools == []


def test_a_product_that_is_edited_between_two_of_its_readers(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    write(folder, cpods__toml=AROUND.format(path="made.txt", read="cat made.txt") + MAKER, source__txt="source\n")
    change_between(cpods, folder, "made.txt", "edited\n")
    again = cpods.run(folder, "rebuild")
    assert again.code == 0, again.err
    assert (folder / "late.txt").read_text() == "source\nsource\n"
    assert (folder / "made.txt").read_text() == "source\n"
    assert cpods.run(folder, "rebuild").tools == []


def test_the_same_after_a_slice(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    write(folder, cpods__toml=AROUND.format(path="source.txt", read="cat source.txt") + MAKER.replace("source.txt", "other.txt"))
    write(folder, source__txt="first\n", other__txt="other\n")
    (folder / "go").touch()
    assert cpods.run(folder, "rebuild").code == 0
    for name in ("go", "here"):
        (folder / name).unlink()
    (folder / "source.txt").write_text("old\n")
    change_between(cpods, folder, "source.txt", "new\n")
    again = cpods.run(folder, "rebuild")
    assert again.code == 0, again.err
    assert (folder / "late.txt").read_text() == "new\nnew\n"
    assert cpods.run(folder, "rebuild").tools == []


GLOB = """\
[[step]]
name = "all"
run = "cat src/*.txt > all.txt; touch here; while ! test -e go; do sleep 0.01; done"
inputs = ["src/*.txt"]
outputs = ["all.txt"]
"""


def test_a_file_that_matches_a_pattern_and_comes_after_it_was_read(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    (folder / "src").mkdir()
    write(folder, cpods__toml=GLOB)
    (folder / "src/one.txt").write_text("one\n")
    change_between(cpods, folder, "src/two.txt", "two\n")
    again = cpods.run(folder, "rebuild")
    assert again.code == 0 and len(again.tools) == 1, again.err
    assert (folder / "all.txt").read_text() == "one\ntwo\n"
    assert cpods.run(folder, "rebuild").tools == []
