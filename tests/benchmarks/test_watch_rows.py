"""The watch benchmark on a tiny project, with the real programs."""

from pathlib import Path

import pytest

from benchmarks import results, watch
from benchmarks.__main__ import main


@pytest.mark.tex
def test_a_tiny_run_measures_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "QUICK", watch.Plan(steps=(10,), repeats=2))
    for name in ("_IDLE_SECONDS", "_PAUSE_SECONDS"):
        monkeypatch.setattr(watch, name, 0.3)
    out = tmp_path / "figures.jsonl"
    assert main(["watch", "--quick", "--folder", str(tmp_path / "place"), "--out", str(out)]) == 0
    records = results.read(out)
    assert [record.row for record in records] == [
        "null build asked of a resident, 10 steps: wall",
        "null build asked of a resident, 10 steps: CPU of the client",
        "null build asked of a resident, 10 steps: inside",
        "memory of a resident, 10 steps",
        "save to start of the step, 10 steps",
        "memory of a watch that built, 10 steps",
        "CPU of an idle watch, 10 steps",
        "document: save to new PDF",
    ]
    for record in records:
        assert min(record.values) >= 0
        assert len(record.values) == (1 if record.row.startswith(("memory", "CPU of an idle")) else 2)
    assert list((tmp_path / "place").iterdir()) == [], "the projects are taken away"
