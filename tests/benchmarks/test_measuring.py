"""The benchmarks' arithmetic, and that they run what they say they run, in turn."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.measure import Case, Failed, Run, Summary, interleaved, machine, ratio, run_once, summary


def python(folder: Path, code: str, name: str = "a") -> Case:
    return Case(name, [sys.executable, "-I", "-S", "-c", code], str(folder))


def test_summary_is_minimum_median_maximum() -> None:
    assert summary([3.0, 1.0, 2.0]) == Summary(1.0, 2.0, 3.0)
    assert summary([4.0, 1.0]) == Summary(1.0, 2.5, 4.0)
    with pytest.raises(ValueError, match="no figures"):
        summary([])


def test_ratio_is_of_medians_and_its_spread_is_within_rounds() -> None:
    found = ratio([2.0, 6.0, 4.0], [1.0, 2.0, 4.0])
    assert found.medians == 2.0  # 4 to 2
    assert (found.lowest, found.highest) == (1.0, 3.0)


@pytest.mark.parametrize(("ours", "theirs"), [([1.0], [1.0, 2.0]), ([], [])])
def test_series_that_do_not_pair_up(ours: list[float], theirs: list[float]) -> None:
    with pytest.raises(ValueError, match="do not pair up"):
        ratio(ours, theirs)


def test_a_run_counts_what_the_program_and_its_children_use(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.05: pass\nblock = bytearray(64 << 20)"
    child = f"import os, sys\nos.waitpid(os.posix_spawn(sys.executable, [sys.executable, '-I', '-S', '-c', {busy!r}], os.environ), 0)"
    found = run_once(python(tmp_path, child))
    assert found.cpu_seconds >= 0.05
    assert found.memory_bytes >= 64 << 20
    assert found.seconds > 0


def test_a_failing_program_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="exit code 3(.|\n)*it broke"):
        run_once(python(tmp_path, "print('it broke'); raise SystemExit(3)"))


def test_a_program_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        run_once(Case("a", ["no-such-program"], str(tmp_path)))


def test_a_program_may_keep_its_bytecode_and_gets_the_same_environment_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    (tmp_path / "part.py").write_text("import os\nassert os.environ['TZ'] == 'UTC' and os.environ['MORE'] == '1'\n")
    run_once(Case("a", [sys.executable, "-c", "import part"], str(tmp_path)), {"MORE": "1"})
    assert list((tmp_path / "__pycache__").iterdir())


def test_memory_is_the_programs_not_ours(tmp_path: Path) -> None:
    ours = bytearray(64 << 20)
    assert run_once(Case("a", ["true"], str(tmp_path))).memory_bytes < len(ours)


def test_rounds_are_interleaved_turned_round_and_warmed_up(tmp_path: Path) -> None:
    order: list[str] = []
    cases = [python(tmp_path, "", name)._replace(before=lambda name=name: order.append(name)) for name in "ab"]  # type: ignore[misc]
    found = interleaved(cases, 3)
    assert {name: len(runs) for name, runs in found.items()} == {"a": 3, "b": 3}
    assert order == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert all(isinstance(run, Run) for run in found["a"])


def test_the_environment_is_steady(tmp_path: Path) -> None:
    code = "import os; raise SystemExit(os.environ['SOURCE_DATE_EPOCH'] + os.environ['TZ'] != '0UTC')"
    run_once(python(tmp_path, code))


def test_the_machine_is_told_in_one_line(tmp_path: Path) -> None:
    line = machine(str(tmp_path))
    assert f"{len(os.sched_getaffinity(0))} cores" in line
    assert "\n" not in line
