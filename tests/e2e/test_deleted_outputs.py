"""Deleted outputs of many steps come back from the store, are there for the steps that run, and an error is told."""

from pathlib import Path

import pytest

from tests.helpers.calls import Zygote, content, cpods, write  # noqa: F401  a fixture

COUNT = 400
#: Looks into the folder itself: what it reads is declared, but nothing tells it when.
PROJECT = (
    "".join(f'[[step]]\nname = "copy {n}"\nrun = "cp in/{n} out/{n}"\ninputs = ["in/{n}"]\noutputs = ["out/{n}"]\n' for n in range(COUNT))
    + f"""
[[step]]
name = "all"
run = "cat last.txt out/* > all.txt"
inputs = ["last.txt", {", ".join(f'"out/{n}"' for n in range(COUNT))}]
outputs = ["all.txt"]
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of many copies and one step that reads them all."""
    place = tmp_path / "project"
    for name in ("in", "out"):
        (place / name).mkdir(parents=True)
    for number in range(COUNT):
        (place / "in" / str(number)).write_text(f"{number}\n")
    write(place, cpods__toml=PROJECT, last__txt="first\n")
    return place


def delete_outputs(folder: Path) -> None:
    for path in (folder / "out").iterdir():
        path.unlink()


def test_outputs_come_back_before_a_step_that_reads_them_runs(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    assert cpods.run(folder, "rebuild").code == 0
    built = content(folder)
    delete_outputs(folder)
    (folder / "all.txt").unlink()
    again = cpods.run(folder, "rebuild")
    assert (again.code, again.tools, content(folder)) == (0, [], built)

    delete_outputs(folder)
    write(folder, last__txt="second\n")
    again = cpods.run(folder, "rebuild")
    assert (again.code, again.tools) == (0, ["sh"])
    assert content(folder) == {**built, "last.txt": b"second\n", "all.txt": built["all.txt"].replace(b"first", b"second")}
    assert cpods.run(folder, "rebuild").tools == []

    delete_outputs(folder)
    (folder / "out").rmdir()
    (folder / "out").write_text("no folder")
    failed = cpods.run(folder, "rebuild")
    assert failed.code == 1 and "/out" in failed.messages[0]
    (folder / "out").unlink()
    again = cpods.run(folder, "rebuild")
    assert (again.code, again.tools) == (0, [])
    assert content(folder) == {**built, "last.txt": b"second\n", "all.txt": built["all.txt"].replace(b"first", b"second")}
