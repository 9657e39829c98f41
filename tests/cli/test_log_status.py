"""`cpods log` and `cpods status`."""

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cpods.cli.logs import readable
from cpods.cli.status import lock_holder
from tests.cli.conftest import Cli


def test_a_log_has_what_the_step_said(cli: Cli, line: Path) -> None:
    (line / "cpods.toml").write_text((line / "cpods.toml").read_text().replace('run = "tr', 'run = "echo to the user; echo oops >&2; tr'))
    cli("rebuild")
    for name in ("upper", "mid.txt"):
        shown = cli("log", name)
        assert shown.code == 0 and "to the user\n" in shown.out and "oops\n" in shown.out


def test_a_step_that_said_nothing_has_no_log(cli: Cli, line: Path) -> None:
    cli("rebuild")
    shown = cli("log", "upper")
    assert (shown.code, shown.out) == (0, "") and "upper said nothing when it ran" in shown.err


def test_the_log_of_an_engine_is_readable_and_names_its_own_log(cli: Cli, paper: Path) -> None:
    cli("rebuild")
    shown = cli("log", "latex:paper.tex")
    assert "This is pdfTeX" in shown.out and "kdebug:" not in shown.out
    assert f"the engine's own log is {paper / 'paper.log'}" in shown.err
    assert "Database file #1: books.bib" in cli("log", "bibtex:paper").out


def test_lines_of_the_search_trace_and_bad_bytes() -> None:
    assert list(readable(b"one\nkdebug:hash\ntw\xffo\n")) == ["one", "tw\N{REPLACEMENT CHARACTER}o"]
    assert list(readable(b"")) == [""]


@pytest.mark.parametrize(
    ("name", "words"),
    [("uppr", "did you mean upper?"), ("in.txt", "is a source"), ("order", "it has not run in this folder")],
)
def test_a_log_that_is_not_there(cli: Cli, line: Path, name: str, words: str) -> None:
    shown = cli("log", name)
    assert shown.code == 2 and words in shown.err and shown.err.count("\n") == 1


def test_status_follows_a_goal_from_never_to_current_to_stale(cli: Cli, line: Path) -> None:
    assert cli("status").out == "out.txt: not built yet: order would run\n"
    cli("rebuild")
    assert cli("status").out == "out.txt: current\n"
    (line / "in.txt").write_text("c\n")
    assert cli("status").out == "out.txt: stale: it depends on upper\n"
    (line / "in.txt").unlink()
    stuck = cli("status")
    assert stuck.code == 0 and stuck.out == "out.txt: cannot be built: it needs upper\n"


def test_status_tells_how_knots_ended(cli: Cli, turning: Callable[..., Path]) -> None:
    turning("(n + 3) / 2")
    assert "knot of turn: never built" in cli("status").out
    cli("rebuild")
    unstable = cli("status").out
    assert "x.txt: unstable: `cpods rebuild --until-stable` finishes" in unstable and "unstable after pass 1" in unstable
    cli("rebuild", "--until-stable")
    fixed = cli("status").out
    assert "x.txt: current" in fixed and "knot of turn: FIXED, proven in" in fixed


def test_status_tells_a_proven_oscillation(cli: Cli, turning: Callable[..., Path]) -> None:
    turning("n * n % 7", start=2)
    assert cli("rebuild", "--until-stable").code == 3
    shown = cli("status").out
    assert "x.txt: cannot be built: it is proven that this knot does not come to rest (PERIOD)" in shown
    assert "knot of turn: PERIOD 2" in shown


def test_status_tells_a_document_that_fails(cli: Cli, paper: Path) -> None:
    (paper / "paper.tex").write_text((paper / "paper.tex").read_text().replace("See ", "\\undefinedmacro "))
    assert cli("rebuild").code == 1
    shown = cli("status").out
    assert "paper.pdf: cannot be built: latex:paper.tex failed before with the same inputs" in shown
    assert f"the engine's own log is {paper / '.cpods' / 'last' / 'paper.log'}" in cli("log", "paper.pdf").err


def test_a_running_build_is_named_without_taking_its_lock(project: Path) -> None:
    path = project / "lock"
    assert lock_holder(str(path)) == ""
    path.write_text(json.dumps({"pid": 17, "host": "here", "start": "2024-11-24 10:00:00"}))
    assert lock_holder(str(path)) == ""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert lock_holder(str(path)) == "being built by process 17 on here since 2024-11-24 10:00:00"
    finally:
        os.close(descriptor)


def test_looking_commands_do_not_wait_for_a_build(cli: Cli, line: Path) -> None:
    cli("rebuild")
    descriptor = os.open(line / ".cpods" / "lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        shown = cli("status")
        assert shown.out.startswith("being built by process ") and "out.txt: current" in shown.out
        assert cli("why", "upper").code == cli("graph", "show").code == cli("log", "upper").code == cli("rebuild", "-n").code == 0
        for command in (("clean",), ("verify",), ("store", "collect"), ("store", "fsck", "--rebuild"), ("rebuild",)):
            assert cli(*command, "--no-wait").code == 7, command
    finally:
        os.close(descriptor)
