"""The overhead benchmark on a tiny project, with the real programs."""

import json
from pathlib import Path

import pytest

from benchmarks import overhead
from benchmarks.__main__ import main
from benchmarks.measure import Run
from benchmarks.overhead import Plan, Row


def test_a_tiny_run_measures_every_row(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "figures.json"
    flags = ["--repeats", "2", "--null", "10", "--full", "10", "--folder", str(tmp_path / "place"), "--json", str(report)]
    assert main(["overhead", *flags]) == 0
    shown = capfd.readouterr().out
    rows = json.loads(report.read_text())["rows"]
    assert [(row["title"], row["steps"]) for row in rows] == [("full build, -j2", 10), ("null build", 10), ("one changed source", 10)]
    for row in rows:
        assert len(row["cpods"]) == len(row["ninja"]) == 2
        assert row["title"] in shown
    assert list((tmp_path / "place").iterdir()) == [], "the projects are taken away"


def test_what_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert "overhead" in capsys.readouterr().out


def test_the_project_is_the_same_for_both(tmp_path: Path) -> None:
    overhead.make_project(str(tmp_path / "p"), 3)
    assert (tmp_path / "p/cpods.toml").read_text().count("[[step]]") == 3
    assert (tmp_path / "p/build.ninja").read_text().count("build out/") == 3
    (tmp_path / "p/out/0.txt").write_text("old")
    (tmp_path / "p/.ninja_log").write_text("old")
    (tmp_path / "p/.cpods").mkdir()
    overhead.clean(str(tmp_path / "p"), str(tmp_path / "trash"))
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["build.ninja", "cpods.toml", "out", "src"]
    assert list((tmp_path / "p/out").iterdir()) == []


def test_a_missing_program_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["overhead", "--quick"]) == 1
    assert capsys.readouterr().err == "benchmarks: ninja is not in PATH: install Debian's ninja-build\n"


def test_the_table_has_times_and_ratios() -> None:
    ours, theirs = [Run(0.2, 0.1, 20 << 20), Run(0.4, 0.3, 30 << 20)], [Run(0.1, 0.1, 1 << 20), Run(0.1, 0.1, 1 << 20)]
    lines = overhead.table([Row("null build", 10, ours, theirs)]).splitlines()
    assert lines[1].split()[:10] == ["null", "build,", "10", "steps", "cpods", "200", "/", "300", "/", "400"]
    assert "20.000" in lines[1] and "30.0" in lines[1]
    assert lines[1].endswith("wall 3.00 (2.00 - 4.00), CPU 2.00")
    assert lines[2].split()[0] == "ninja"


def test_a_usual_plan_has_nine_repeats_and_the_sizes_of_the_goal() -> None:
    assert Plan().repeats >= 9
    assert Plan().null_steps == (1000, 10000)
    assert (Plan().full_steps, Plan().jobs) == (1000, 2)
