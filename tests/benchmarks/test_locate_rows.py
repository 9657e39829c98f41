"""The locate benchmark on a small catalogue, with the real one's code."""

from pathlib import Path

import pytest

from benchmarks import locate, results
from benchmarks.__main__ import main
from benchmarks.locate import Found, Plan, Row


def test_a_small_run_measures_every_row(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out, place = tmp_path / "figures.jsonl", tmp_path / "place"
    place.mkdir()
    assert main(["locate", "--quick", "--repeats", "2", "--folder", str(place), "--out", str(out)]) == 0
    shown = capfd.readouterr().out
    records = results.read(out)
    alone = [record for record in records if not record.peer]
    beside = [record for record in records if record.peer]
    assert [record.extra["inputs"] for record in alone] == [10] * 4 + [100] * 4 + [1000] * 5
    assert [record.extra["inputs"] for record in beside] == [10, 10, 100, 100, 1000, 1000]
    assert {record.extra["source"] for record in beside} == {"mirror by id", "mirror by digest"}
    for record in records:
        assert "50,000 artefacts" in record.extra["counts"]
        assert len(record.values) == 2 and min(record.values) > 0, "a figure is the median of a turn of questions"
    assert [record.aim for record in alone if record.aim] == [1.5] * 4 + [0.2]
    assert shown.count("<= 1.5, ") == 4 and shown.count("<= 0.2, ") == 1
    assert list(place.iterdir()) == [], "the catalogue is taken away"


def test_the_plan_is_the_size_of_the_goal() -> None:
    assert Plan()[:3] == (1_000_000, 100, (10, 100, 1000))


def test_a_round_is_a_turn_of_questions_and_the_mirror_is_held_against_the_catalogue() -> None:
    sqlite = Row("SQLite", "strewn, first time", 1000, [1.0] * 24 + [9.0] + [3.0] * 25, 1.5)
    mirror = Row("mirror by id", "strewn", 1000, [0.1] * 25 + [0.2] * 25, 0.2)
    first, aimed, beside = locate.suite_rows(Found("counts", [sqlite, mirror]))
    assert (first.values, first.aim, first.peer) == ([1.0, 3.0], 1.5, "")
    assert (aimed.values, aimed.aim, aimed.peer) == ([0.1, 0.2], 0.2, "")
    assert (beside.values, beside.peer_values, beside.aim) == ([0.1, 0.2], [1.0, 3.0], None)
    assert first.extra["p99"] == 9.0


def test_ways_that_disagree_are_no_measurement(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("cpods.scheduler.holdings.Holdings.bytes_by_pod", lambda self, ids: {"pod-000": 1})
    assert main(["locate", "--quick", "--repeats", "1", "--folder", str(tmp_path), "--out", str(tmp_path / "out.jsonl")]) == 1
    assert capsys.readouterr().err.endswith("disagree about 10 inputs\n")
    assert not (tmp_path / "out.jsonl").exists()
