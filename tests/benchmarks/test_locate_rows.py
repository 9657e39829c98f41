"""The locate benchmark on a small catalogue, with the real one's code."""

import json
from pathlib import Path

import pytest

from benchmarks import locate
from benchmarks.__main__ import main
from benchmarks.locate import Found, Plan, Row


def test_a_small_run_measures_every_row(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report, place = tmp_path / "figures.json", tmp_path / "place"
    place.mkdir()
    assert main(["locate", "--quick", "--repeats", "2", "--folder", str(place), "--json", str(report)]) == 0
    shown = capfd.readouterr().out
    data = json.loads(report.read_text())
    assert "50,000 artefacts" in data["counts"] and data["counts"] in shown
    assert [row["inputs"] for row in data["rows"]] == [10] * 6 + [100] * 6 + [1000] * 6
    assert {row["source"] for row in data["rows"]} == {"SQLite", "mirror by id", "mirror by digest"}
    assert all(len(row["milliseconds"]) == 2 and row["p50_ms"] <= row["p99_ms"] for row in data["rows"])
    assert shown.count("1.5 ms: ") == 4 and shown.count("0.2 ms: ") == 1
    assert list(place.iterdir()) == [], "the catalogue is taken away"


def test_the_plan_is_the_size_of_the_goal() -> None:
    assert Plan()[:3] == (1_000_000, 100, (10, 100, 1000))


def test_the_table_says_whether_an_aim_is_met() -> None:
    rows = [Row("SQLite", "strewn", 1000, [float(n) for n in range(1, 101)], 50.0), Row("mirror by id", "strewn", 1000, [0.1, 0.3], 0.2)]
    lines = locate.table(Found("counts", [*rows, Row("SQLite", "strewn", 10, [1.0])])).splitlines()
    assert lines[0] == "counts"
    assert lines[3].endswith("51.000  100.000   50.0 ms: missed")
    assert lines[4].endswith("0.300    0.300   0.2 ms: missed")
    assert lines[5].endswith("1.000    1.000")


def test_ways_that_disagree_are_no_measurement(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("cpods.scheduler.holdings.Holdings.bytes_by_pod", lambda self, ids: {"pod-000": 1})
    assert main(["locate", "--quick", "--repeats", "1", "--folder", str(tmp_path)]) == 1
    assert capsys.readouterr().err.endswith("disagree about 10 inputs\n")


def test_the_list_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert "locate" in capsys.readouterr().out
