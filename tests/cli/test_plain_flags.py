"""Options of rebuild that are read without typer mean what they mean to typer, and what is unusual is left to it."""

import random
from collections.abc import Callable

import pytest

from cpods.cli import rebuild
from cpods.cli.flags import Flags
from cpods.cli.plainflags import plain
from tests.cli.conftest import Cli

ByTyper = Callable[[list[str]], Flags | None]

PLAIN: list[list[str]] = [
    [],
    ["out.txt"],
    ["--until-stable", "-j2", "paper.pdf", "other.pdf"],
    ["--once", "--seed", "clean", "-C", "folder"],
    ["--seed=warm", "--max-passes=007", "--report=a=b.json"],
    ["-j", "2", "-k0", "-k", "3", "--fail-fast", "-n", "--dry-run", "--force"],
    ["-Cfolder", "-Cother folder", "--no-wait", "--keep-unstable", "--json"],
    ["--federation", "f", "--placement=random", "--leave-remote", "-v", "--verbose"],
    ["goal with blank", "--jobs", "4", "ü.pdf", "a=b"],
]
UNUSUAL = [
    ["--help"],
    ["-h"],
    ["--frobnicate"],
    ["-x"],
    ["--"],
    ["--", "-goal"],
    ["-"],
    [""],
    ["-nv"],
    ["-j"],
    ["-j", "two"],
    ["-j", "-1"],
    ["-j=2"],
    ["--jobs="],
    ["--jobs", "²"],
    ["-k", " 1"],
    ["--max-passes", "0"],
    ["--seed"],
    ["--seed="],
    ["-C", "-x"],
    ["--force=yes"],
    ["--until"],
    ["--report", "--json"],
]
WORDS = [
    *("--until-stable", "--once", "--seed", "--seed=clean", "--max-passes", "--max-passes=3", "-j", "-j2", "--jobs", "--jobs=1"),
    *("-C", "-Cx", "-k", "-k0", "--fail-fast", "-n", "--dry-run", "--force", "--no-wait", "--keep-unstable", "--report", "--report=r"),
    *("--json", "--federation", "--placement", "--leave-remote", "-v", "-nv", "--", "-", "", "2", "0", "goal", "warm", "-h", "=x", "-j=2"),
]


@pytest.fixture
def by_typer(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> ByTyper:
    """What typer makes of arguments; None for an error or the help."""
    said: list[Flags] = []
    monkeypatch.setattr(rebuild, "run", lambda flags: said.append(flags) or 0)

    def ask(arguments: list[str]) -> Flags | None:
        said.clear()
        cli("rebuild", *arguments)
        return said[0] if said else None

    return ask


@pytest.mark.parametrize("arguments", PLAIN, ids=" ".join)
def test_plain_options_need_no_typer(by_typer: ByTyper, arguments: list[str]) -> None:
    found = plain(arguments)
    assert found is not None and found == by_typer(arguments)


@pytest.mark.parametrize("arguments", UNUSUAL, ids=" ".join)
def test_what_is_unusual_is_left_to_typer(arguments: list[str]) -> None:
    assert plain(arguments) is None


def test_whatever_is_read_is_what_typer_reads(by_typer: ByTyper) -> None:
    rng = random.Random(11)
    read = 0
    for _ in range(600):
        arguments = rng.choices(WORDS, k=rng.randint(1, 5))
        found = plain(arguments)
        if found is not None:
            read += 1
            assert found == by_typer(arguments), arguments
    assert read > 100


def test_every_option_of_the_command_can_be_read() -> None:
    changed = Flags()._asdict().keys() - {name for words in PLAIN for name in _changed(words)}
    assert changed == set()


def _changed(arguments: list[str]) -> set[str]:
    found = plain(arguments)
    assert found is not None
    return {name for name, value in found._asdict().items() if value != Flags._field_defaults[name]}
