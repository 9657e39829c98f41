"""`cpods rebuild --dry-run`: says what a build would do, runs and writes nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

Files = Callable[[Path], dict[str, bytes]]


def test_what_would_and_what_may_run(cli: Cli, line: Path, files: Files) -> None:
    first = cli("rebuild", "-n")
    assert first.code == 0 and first.out == "would run: upper\nwould run: order\n" and not (line / ".cpods").exists()
    cli("rebuild")
    assert cli("rebuild", "--dry-run").out == "everything is up to date, nothing would run\n"
    (line / "in.txt").write_text("c\n")
    before = files(line)
    assert cli("rebuild", "-n").out == "would run: upper\nmay run: order\n"
    assert cli("rebuild", "-n", "mid.txt").out == "would run: upper\n"
    assert files(line) == before


def test_what_is_in_the_store_does_not_run(cli: Cli, line: Path) -> None:
    cli("rebuild")
    (line / "in.txt").write_text("c\n")
    cli("rebuild")
    (line / "in.txt").write_text("b\na\n")
    assert cli("rebuild", "-n").out == "from the store: upper\nfrom the store: order\n"
    assert cli("rebuild", "-n", "--force").out == "would run: upper\nwould run: order\n"


def test_a_knot_behind_something_from_the_store(cli: Cli, paper: Path) -> None:
    with (paper / "cpods.toml").open("a") as file:
        file.write('[[step]]\nname = "fig"\nrun = "tr a-z A-Z < in.txt > fig.tex"\ninputs = ["in.txt"]\noutputs = ["fig.tex"]\n')
    (paper / "in.txt").write_text("words\n")
    (paper / "paper.tex").write_text((paper / "paper.tex").read_text().replace("See ", "See \\input{fig} "))
    assert cli("rebuild").code == 0
    cli("clean")
    shown = cli("rebuild", "-n").out
    assert sorted(shown.splitlines()) == ["from the store: bibtex:paper", "from the store: fig", "from the store: latex:paper.tex"]


def test_a_proven_oscillation_runs_nothing(cli: Cli, turning: Callable[..., Path]) -> None:
    turning("n * n % 7", start=2)
    cli("rebuild", "--until-stable")
    shown = cli("rebuild", "-n")
    assert shown.code == 0 and not shown.out and "does not come to rest (PERIOD)" in shown.err
    assert cli("rebuild", "-n", "--seed", "warm", "--force").out == "would run: turn\n"


def test_the_report_lists_the_plan(cli: Cli, line: Path) -> None:
    cli("rebuild")
    (line / "in.txt").write_text("c\n")
    shown = cli("rebuild", "-n", "--json", "--report", "../r.json")
    report = json.loads((line.parent / "r.json").read_text())
    assert report["plan"]["would_run"] == ["upper"] and report["plan"]["may_run"] == ["order"]
    assert report["executions"] == [] and json.loads(shown.out) == {"event": "ended", **report}


def test_bad_goals(cli: Cli, line: Path) -> None:
    shown = cli("rebuild", "-n", "outt.txt")
    assert shown.code == 2 and "did you mean out.txt?" in shown.err


def test_a_fresh_clone_with_a_shared_store(cli: Cli, line: Path, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPODS_STORE", str(line.parent / "shared"))
    sources = files(line)
    cli("rebuild")
    clone = line.parent / "clone"
    clone.mkdir()
    for path, data in sources.items():
        (clone / path).write_bytes(data)
    assert cli("rebuild", "-n", "-C", str(clone)).out == "from the store: upper\nfrom the store: order\n"
    assert sorted(path.name for path in clone.iterdir()) == ["cpods.toml", "in.txt"]
