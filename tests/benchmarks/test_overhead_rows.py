"""The overhead benchmark on a tiny project, with the real programs."""

from pathlib import Path

import pytest

from benchmarks import overhead, results
from benchmarks.__main__ import main
from benchmarks.measure import Run
from benchmarks.overhead import QUICK, Build, Plan


def test_a_tiny_run_measures_every_row(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.jsonl"
    flags = ["--repeats", "2", "--null", "10", "--full", "10", "--folder", str(tmp_path / "place"), "--out", str(out)]
    assert main(["overhead", *flags]) == 0
    shown = capfd.readouterr().out
    records = results.read(out)
    full = ["full build of cp, -j2", "full build of true, -j2"]
    builds = [*full, "restored from the store", "null build", "one changed source"]
    assert [record.row for record in records] == [f"{build}, 10 steps: {what}" for build in builds for what in ("wall", "CPU", "memory")]
    for record in records:
        assert record.peer == ("bare loop" if "restored" in record.row else "ninja") and record.ratio is not None
        assert (record.aim is not None) == (record.row.endswith("wall") and record.row.startswith(("full", "restored")))
        assert len(record.values) == len(record.peer_values) == 2
        assert min(record.values) > 0
        assert record.row in shown
        assert record.stamp.command == "python -m benchmarks run overhead --repeats 2 --null 10 --full 10"
        assert {"cpods", "ninja", "Python"} <= set(record.stamp.versions)
    assert list((tmp_path / "place").iterdir()) == [], "the projects are taken away"


def test_the_project_is_the_same_for_both(tmp_path: Path) -> None:
    overhead.make_project(str(tmp_path / "p"), 3)
    assert (tmp_path / "p/cpods.toml").read_text().count("[[step]]") == 3
    assert (tmp_path / "p/build.ninja").read_text().count("build out/") == 3
    (tmp_path / "p/out/0.txt").write_text("old")
    (tmp_path / "p/.ninja_log").write_text("old")
    (tmp_path / "p/.cpods").mkdir()
    overhead.make_project(str(tmp_path / "t"), 2, "true")
    assert "command = true > $out" in (tmp_path / "t/build.ninja").read_text()
    assert 'run = "true > out/1.txt"' in (tmp_path / "t/cpods.toml").read_text()
    overhead.clean(str(tmp_path / "p"), str(tmp_path / "trash"))
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["build.ninja", "cpods.toml", "out", "src"]
    assert list((tmp_path / "p/out").iterdir()) == []


def test_a_missing_program_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["overhead", "--quick", "--out", str(tmp_path / "out.jsonl")]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "benchmarks: ninja is not in PATH: install Debian's ninja-build"


def test_the_rows_are_of_the_runs() -> None:
    ours, theirs = [Run(0.2, 0.1, 20 << 20), Run(0.4, 0.3, 30 << 20)], [Run(0.1, 0.1, 1 << 20), Run(0.1, 0.2, 1 << 20)]
    wall, cpu, memory = overhead.rows(Build("null build", 10, ours, theirs))
    assert (wall.unit, wall.values, wall.peer_values) == ("ms", [200, 400], [100, 100])
    assert (cpu.unit, cpu.values, cpu.peer_values) == ("ms a step", [10, 30], [10, 20])
    assert (memory.unit, memory.values, memory.peer_values) == ("MiB", [20, 30], [1, 1])
    assert wall.extra == {"build": "null build", "steps": 10, "measure": "wall"}


def test_a_usual_plan_has_nine_repeats_and_the_sizes_of_the_goal() -> None:
    assert Plan().repeats >= 9
    assert Plan().null_steps == (100, 1000, 10000, 100000)
    assert (Plan().full_steps, Plan().jobs) == ((1000, 10000), 2)
    assert max(QUICK.null_steps) <= 1000 and max(QUICK.full_steps) <= 100
