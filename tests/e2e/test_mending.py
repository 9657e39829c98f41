"""Deleted products brought back without a build: what is said is what a build says, and no trouble makes it worse than one."""

import os
import random
import signal
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from cpods.store.glance import catalogue_stamp
from cpods.store.lock import ProjectLock
from tests.helpers.calls import Said, Zygote, content, cpods, write  # noqa: F401  a fixture

CHAINS = 100
#: Independent chains: a source, a copy, a copy of the copy; some share a reader.
PROJECT = "".join(
    f'[[step]]\nname = "first {n}"\nrun = "cp in/{n} mid/{n}"\ninputs = ["in/{n}"]\noutputs = ["mid/{n}"]\n'
    f'[[step]]\nname = "second {n}"\nrun = "cp mid/{n} end/{n}; echo {n} > end/{n}.log"\n'
    f'inputs = ["mid/{n}", "mid/{n // 10}"]\noutputs = ["end/{n}", "end/{n}.log"]\n'
    for n in range(CHAINS)
)
CIRCLE = """\
[[step]]
name = "there"
run = "{ cat seed.txt; cat back.txt 2>/dev/null; } | sort -u > there.txt"
inputs = ["seed.txt"]
optional = ["back.txt"]
outputs = ["there.txt"]
[[step]]
name = "back"
run = "tr a-y b-z < there.txt | head -n 3 > back.txt"
inputs = ["there.txt"]
outputs = ["back.txt"]
"""


@pytest.fixture
def folder(tmp_path: Path, cpods: Zygote) -> Path:  # noqa: F811
    """The project, built."""
    place = tmp_path / "project"
    for name in ("in", "mid", "end"):
        (place / name).mkdir(parents=True)
    for number in range(CHAINS):
        (place / "in" / str(number)).write_text(f"{number}\n")
    write(place, cpods__toml=PROJECT)
    said = cpods.run(place, "rebuild")
    assert said.code == 0, f"{said.err}{said.report and said.report['errors'][:3]}"
    return place


def products(folder: Path) -> list[Path]:
    return sorted([*folder.glob("mid/*"), *folder.glob("end/*")])


def delete(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink()


def was_short(folder: Path) -> bool:
    """Whether the last call brought products back and did nothing else."""
    return (folder / ".cpods/mended").exists()


def long_way(folder: Path) -> None:
    """From now on the catalogue seems to know more than was remembered."""
    os.utime(folder / ".cpods/catalogue.db")


def told(said: Said) -> tuple[int, str, str, dict[str, Any]]:
    """All that a call says, seconds aside."""
    assert said.report is not None
    return said.code, said.out.rpartition(", ")[0], said.err, {**said.report, "seconds": 0}


CHOICES = ["all", "mid", "end", "one", "last", *range(8)]


def chosen(folder: Path, choice: str | int) -> list[Path]:
    """Products to delete; by a number: at random, few or many."""
    names = {"all": ["mid", "end"], "mid": ["mid"], "end": ["end"]}
    if choice == "one":
        return [folder / "end/57"]
    if choice == "last":
        return [folder / "end/99.log"]
    if isinstance(choice, str):
        return [path for path in products(folder) if path.parent.name in names[choice]]
    rng = random.Random(choice)
    return rng.sample(products(folder), rng.choice([2, 3, 5, 20, 80, 150, 250]))


@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_said_is_what_a_build_says(cpods: Zygote, folder: Path, choice: str | int) -> None:  # noqa: F811
    built = content(folder)
    for slots in ("-j1", "-j3"):
        paths = chosen(folder, choice)
        delete(paths)
        short = cpods.run(folder, "rebuild", slots)
        assert was_short(folder), short.err
        assert content(folder) == built
        delete(paths)
        long_way(folder)
        long = cpods.run(folder, "rebuild", slots)
        assert not was_short(folder)
        assert content(folder) == built
        assert told(short) == told(long)
    assert cpods.run(folder, "rebuild").out.endswith("everything is up to date, nothing was run\n")


def test_a_build_without_slices_says_the_same(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    for paths in ([folder / "end/3", folder / "mid/7", folder / "mid/5"], [folder / "end/3"]):
        delete(paths)
        short = cpods.run(folder, "rebuild", "-j1")
        delete(paths)
        long = cpods.run(folder, "rebuild", "-j1", "--no-wait")
        assert (short.out.rpartition(", ")[0], short.report and short.report["steps"]) == (
            long.out.rpartition(", ")[0],
            long.report and long.report["steps"],
        )


def test_why_says_the_same(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    delete([folder / "end/3", folder / "mid/7"])
    cpods.run(folder, "rebuild")
    assert was_short(folder)
    asked = ["second 3", "first 7", "second 7", "first 50", "in/50"]
    short = [cpods.run(folder, "why", name).out for name in asked]
    delete([folder / "end/3", folder / "mid/7"])
    long_way(folder)
    cpods.run(folder, "rebuild")
    assert not was_short(folder)
    assert [cpods.run(folder, "why", name).out for name in asked] == short
    assert "a stored result fitted" in short[0] and "it was up to date" in short[3]
    (folder / "in/50").write_text("changed\n")
    cpods.run(folder, "rebuild")
    assert "first 50 ran in the last build" in cpods.run(folder, "why", "first 50").out


def test_commands_that_look_do_not_make_the_next_call_slow(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    for command in (["status"], ["why", "first 3"], ["log", "first 3"], ["graph", "show"], ["rebuild", "-n"]):
        cpods.run(folder, *command)
    before = catalogue_stamp(str(folder / ".cpods"))
    delete([folder / "mid/7"])
    assert cpods.run(folder, "status").code == 0
    call = cpods.start(folder, "rebuild")
    assert call.wait().code == 0 and was_short(folder)
    assert f"process {call.pid} on" in ProjectLock(str(folder / ".cpods")).holder()
    assert catalogue_stamp(str(folder / ".cpods")) == before


def test_anything_else_that_changed_needs_a_build(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    built = content(folder)
    delete([folder / "mid/7"])
    (folder / "in/8").write_text("changed\n")
    said = cpods.run(folder, "rebuild")
    assert not was_short(folder) and said.tools
    (folder / "in/8").write_text("8\n")
    cpods.run(folder, "rebuild")
    (folder / "end/8").write_text("by hand\n")
    delete([folder / "mid/7"])
    assert "changed by hand" in cpods.run(folder, "rebuild").err
    assert not was_short(folder) and content(folder) == built
    delete([folder / "in/8", folder / "mid/7"])
    assert cpods.run(folder, "rebuild").code == 2
    assert not was_short(folder)


def test_products_that_were_cleaned_away_are_owned_again(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    built = content(folder)
    assert cpods.run(folder, "clean").code == 0
    assert not products(folder)
    assert cpods.run(folder, "rebuild").code == 0
    assert not was_short(folder) and content(folder) == built
    delete(products(folder))
    assert cpods.run(folder, "rebuild").tools == [] and was_short(folder)
    cpods.run(folder, "clean")
    assert not products(folder)


def test_circles_are_left_to_a_build(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    write(folder, cpods__toml=PROJECT + CIRCLE, seed__txt="a\n")
    assert cpods.run(folder, "rebuild", "--until-stable").code == 0
    built = content(folder)
    delete([folder / "back.txt", folder / "mid/1"])
    assert cpods.run(folder, "rebuild", "--until-stable").tools == []
    assert not was_short(folder) and content(folder) == built
    delete([folder / "mid/1"])
    assert cpods.run(folder, "rebuild", "--until-stable").tools == []
    assert was_short(folder) and content(folder) == built


@pytest.mark.parametrize("trouble", ["damaged", "lost", "link", "in the way"])
def test_trouble_is_left_to_a_build(cpods: Zygote, folder: Path, trouble: str) -> None:  # noqa: F811
    built = content(folder)
    (pack,) = (folder / ".cpods/objects/packs").iterdir()
    pack.chmod(0o644)
    delete(folder.glob("mid/*"))
    if trouble == "damaged":
        data = pack.read_bytes()
        pack.write_bytes(data.replace(b"57\n", b"75\n", 1))
    elif trouble == "lost":
        pack.unlink()
    elif trouble == "link":
        (folder / "mid").rmdir()
        (folder / "elsewhere").mkdir()
        (folder / "mid").symlink_to("elsewhere")
    else:
        (folder / "mid/3").mkdir()
    said = cpods.run(folder, "rebuild")
    assert not was_short(folder)
    if trouble == "in the way":
        assert said.code != 0 and len(said.messages) == 1
        (folder / "mid/3").rmdir()
        said = cpods.run(folder, "rebuild")
    assert said.code == 0, said.err
    assert {path: (folder / path).read_bytes() for path in built} == built
    assert cpods.run(folder, "rebuild").tools == []


@pytest.mark.parametrize("after", [0, 1, 63, 120])
def test_killed_in_the_middle(cpods: Zygote, folder: Path, after: int) -> None:  # noqa: F811
    built = content(folder)
    delete(products(folder))
    killed = cpods.run(folder, "rebuild", killed_at="cpods.store.mending:_Pack.__call__", killed_after=after)
    assert killed.code == -signal.SIGKILL
    assert (folder / ".cpods/journal.jsonl").stat().st_size
    again = cpods.run(folder, "rebuild")
    assert (again.code, again.tools) == (0, [])
    assert not was_short(folder) and content(folder) == built


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_in_the_middle(cpods: Zygote, folder: Path, number: signal.Signals) -> None:  # noqa: F811
    built = content(folder)
    delete(products(folder))
    place = {"killed_at": "cpods.store.mending:_Pack.__call__", "killed_after": 50, "killed_by": int(number)}
    said = cpods.run(folder, "rebuild", **place)
    assert said.code == 130 and said.messages == ["cpods: interrupted; nothing that was finished before is lost"]
    assert said.report is not None and (said.report["status"], said.report["exit_code"]) == ("interrupted", 130)
    made = content(folder)
    assert len(made) < len(built) and made.items() <= built.items()
    assert not was_short(folder)
    again = cpods.run(folder, "rebuild")
    assert (again.code, again.tools) == (0, []) and was_short(folder)
    assert content(folder) == built


def test_a_closed_terminal_that_is_no_end(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    delete(products(folder))
    place = {"killed_at": "cpods.store.mending:_Pack.__call__", "killed_after": 50, "killed_by": int(signal.SIGHUP)}
    assert cpods.run(folder, "rebuild", ignores=int(signal.SIGHUP), **place).code == 0
    assert was_short(folder)


@pytest.mark.parametrize("size", [2000, 20000])
def test_a_full_disk(cpods: Zygote, folder: Path, size: int) -> None:  # noqa: F811
    """No room for the journal, or for a product."""
    write(folder, cpods__toml=PROJECT + '[[step]]\nname = "big"\nrun = "head -c 100000 /dev/zero > end/big"\noutputs = ["end/big"]\n')
    assert cpods.run(folder, "rebuild").code == 0
    built = content(folder)
    delete(products(folder))
    said = cpods.run(folder, "rebuild", report=False, file_bytes_max=size)
    assert said.code == 1 and len(said.messages) == 1, said.err
    assert content(folder).items() <= built.items()
    assert cpods.run(folder, "rebuild").tools == []
    assert content(folder) == built


def test_a_report_that_cannot_be_written(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    for prepare in (lambda folder: None, long_way):
        delete([folder / "mid/7"])
        prepare(folder)
        said = cpods.run(folder, "rebuild", "--report", str(folder / "no/such/folder"))
        assert said.code == 1 and "the report cannot be written" in said.messages[0]


def test_a_store_elsewhere_and_nothing_read_from_where_it_was(cpods: Zygote, folder: Path, tmp_path: Path) -> None:  # noqa: F811
    env = {"CPODS_STORE": str(tmp_path / "store")}
    assert cpods.run(folder, "rebuild", "--force", env=env).code == 0
    assert cpods.run(folder, "rebuild", env=env).code == 0
    delete([folder / "mid/7"])
    assert cpods.run(folder, "rebuild", env=env).tools == []
    assert was_short(folder)
    delete([folder / "mid/7"])
    cpods.run(folder, "rebuild")
    assert not was_short(folder)


def test_sockets_and_folders_that_are_gone(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    built = content(folder)
    delete(products(folder))
    (folder / "end").rmdir()
    (folder / "mid").rmdir()
    assert cpods.run(folder, "rebuild").tools == []
    assert was_short(folder) and content(folder) == built
    delete([folder / "mid/7"])
    with socket.socket(socket.AF_UNIX) as link:
        link.bind(str(folder / "mid/7"))
        assert cpods.run(folder, "rebuild").tools == []
    assert not was_short(folder) and content(folder) == built
