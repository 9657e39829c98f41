"""The suite: what is listed, how benchmarks are run, what is written down, how two series of results are compared."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from benchmarks import compare, registry, results, running, tables
from benchmarks.__main__ import main
from benchmarks.measure import in_turn
from benchmarks.results import BadResults, Record, Stamp
from benchmarks.running import Ask
from benchmarks.suite import Benchmark, CannotMeasure, Progress, Row

STAMP = Stamp("python -m benchmarks run toy", "2 cores, load 0.1", {"Python": "3.11"}, "c0ffee", "2024-01-01T00:00:00Z", False)


def toy(name: str, rows: list[Row], then: BaseException | None = None) -> Benchmark:
    """A benchmark that has these rows, and then may fail."""

    def run(quick: bool, repeats: int, folder: str, progress: Progress) -> Iterator[Row]:
        progress(f"quick {quick}, repeats {repeats}")
        yield from rows
        if then is not None:
            raise then

    return Benchmark(name, "how?", "nobody", "ms", "none", "a second", "an hour", run)


def row(name: str = "first", values: tuple[float, ...] = (1.0, 3.0, 2.0), peers: tuple[float, ...] = (2.0, 2.0, 2.0)) -> Row:
    return Row("toy", name, "ms", list(values), "peer" if peers else "", list(peers), "less", 1.0)


def record(*figures: float, name: str = "first", peers: tuple[float, ...] = (), date: str = STAMP.date, **stamp: str) -> Record:
    stamped = msgspec.structs.replace(STAMP, date=date, **stamp)
    return results.record(row(name, figures, peers), stamped)


# -- the registry ------------------------------------------------------------------------------------------------------


def test_every_registered_benchmark_says_what_a_reader_needs() -> None:
    for name in registry.WHERE:
        benchmark = registry.benchmark(name)
        assert benchmark.name == name
        said = (benchmark.question, benchmark.peers, benchmark.unit, benchmark.noise, benchmark.quick, benchmark.full)
        assert all(said), f"{name} leaves something out"


def test_benchmarks_come_once_and_in_the_order_of_the_registry() -> None:
    assert [one.name for one in registry.benchmarks(["locate", "overhead", "locate"])] == ["overhead", "locate"]
    assert [one.name for one in registry.benchmarks(["all"])] == list(registry.WHERE)
    with pytest.raises(CannotMeasure, match="no benchmark speed"):
        registry.benchmarks(["speed", "locate"])


def test_the_list_is_a_table_for_a_reader(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in registry.WHERE:
        assert f" {name} " in shown
    for title in ("question", "peers", "unit", "noise", "--quick", "in full"):
        assert title in shown


def test_the_command_line_imports_no_benchmark_that_was_not_asked_for() -> None:
    code = "import sys, benchmarks.__main__; print([m for m in sys.modules if m in ('cpods.federated', 'asyncssh', 'matplotlib', 'rich')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert ran.stdout == "[]\n"


# -- runs --------------------------------------------------------------------------------------------------------------


def test_rows_are_written_down_as_they_come_and_an_interruption_keeps_them(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.jsonl"
    done, later = toy("toy", [row("first"), row("second")], KeyboardInterrupt()), toy("later", [row("third")])
    ran = running.run([done, later], Ask(out=out), lambda text: None)
    assert ran.interrupted and not ran.failed
    assert [one.row for one in results.read(out)] == [one.row for one in ran.records] == ["first", "second"]


def test_one_that_cannot_be_measured_does_not_keep_the_next_from_it(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    ran = running.run([toy("bad", [], CannotMeasure("no ninja")), toy("toy", [row()])], Ask(out=out), lambda text: None)
    assert (ran.failed, ran.interrupted) == (["no ninja"], False)
    assert [one.row for one in results.read(out)] == ["first"]


def test_a_record_says_what_made_it(tmp_path: Path) -> None:
    out, told = tmp_path / "out.jsonl", []
    running.run([toy("toy", [row()])], Ask(quick=True, repeats=4, out=out, words=("--full 3",)), told.append)
    (found,) = results.read(out)
    assert found.stamp.command == "python -m benchmarks run toy --quick --repeats 4 --full 3"
    assert found.stamp.quick and "cores" in found.stamp.machine
    assert {"Python", "cpods"} <= set(found.stamp.versions)
    assert told == ["toy: how?", "quick True, repeats 4"]
    assert found.ratio is not None
    assert (found.ratio.medians, found.ratio.lowest, found.ratio.highest) == (1.0, 0.5, 1.5)


def test_quick_results_do_not_mix_with_the_kept_ones() -> None:
    assert results.file_of("toy", quick=False) == results.KEPT / "toy.jsonl"
    assert results.QUICK in results.file_of("toy", quick=True).parents
    assert results.read(results.KEPT) == [one for one in results.read(results.KEPT) if not one.stamp.quick]


def test_ways_take_turns_and_the_order_is_turned_round() -> None:
    order: list[str] = []
    found = in_turn({name: lambda name=name: order.append(name) or len(order) for name in "ab"}, 2, warm=False)  # type: ignore[misc]
    assert order == ["b", "a", "a", "b"]
    assert found == {"a": [2, 3], "b": [1, 4]}


# -- results -----------------------------------------------------------------------------------------------------------


def test_figures_must_pair_up_with_the_peers() -> None:
    with pytest.raises(ValueError, match="do not pair up"):
        record(1.0, 2.0, peers=(1.0,))
    with pytest.raises(ValueError, match="no figures"):
        record()
    assert record(1.0, peers=(0.0,)).ratio is None, "nothing is so many times nothing"


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    results.append(path, record(1.0))
    with path.open("a") as file:
        file.write('{"benchmark": 3}\n')
    with pytest.raises(BadResults, match=r"out\.jsonl:2 is no result"):
        results.read(path)
    with pytest.raises(BadResults, match="cannot be read"):
        results.read(tmp_path / "none.jsonl")


def test_the_newest_figures_of_a_row_count_and_full_runs_before_quick_ones(tmp_path: Path) -> None:
    old, new = record(1.0), record(2.0, date="2024-02-01T00:00:00Z")
    quick = msgspec.structs.replace(new, values=[3.0], stamp=msgspec.structs.replace(STAMP, quick=True, date="2024-03-01T00:00:00Z"))
    for one in (new, old, quick):
        results.append(tmp_path / "toy.jsonl", one)
    found = results.read(tmp_path)
    assert [one.values for one in found] == [[1.0], [2.0], [3.0]], "oldest first"
    assert [one.values for one in results.by_benchmark(found)["toy"]] == [[2.0]]
    assert [one.values for one in results.by_benchmark([quick])["toy"]] == [[3.0]]


def test_versions_are_what_programs_say(tmp_path: Path) -> None:
    for name, says in (("one", "One, by X, 26 Dec. 2022. Version 4.79"), ("two", "two (Debian 1) 12.2.0\nversion 9.9"), ("three", "none")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (tmp_path / name).chmod(0o755)
    programs = tuple(str(tmp_path / name) for name in ("one", "two", "three", "four"))
    found = results.versions(msgspec.structs.replace(toy("toy", []), programs=programs, packages=("msgspec", "no-such-package")))
    assert found["one"] == "4.79"
    assert found["two"] == "12.2.0"
    assert "msgspec" in found and not {"three", "four", "no-such-package"} & set(found)


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.0, "ms", "0"), (0.12345, "ms", "0.123"), (1234.5, "ms", "1,234"), (1.5e9, "bytes", "1.5 GB"), (999.0, "bytes", "999")],
)
def test_figures_for_people(value: float, unit: str, text: str) -> None:
    assert tables.figure(value, unit) == text


def test_an_aim_is_held_by_the_ratio_or_without_a_peer_by_the_median() -> None:
    assert tables.meets(record(1.0, 1.0, peers=(1.0, 2.0))) is True  # 1 to 1.5, at most 1
    assert tables.meets(record(2.0, 2.0, peers=(1.0, 2.0))) is False
    assert tables.meets(record(0.5, 0.9)) is True
    assert tables.aim_text(record(3.0)) == "<= 1, missed"
    assert tables.meets(msgspec.structs.replace(record(0.5), better="more")) is False
    assert tables.meets(msgspec.structs.replace(record(0.5), aim=None)) is None


# -- comparisons -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        ([1.0, 2.0, 3.0], [4.0, 5.0], compare.DIFFERENT),
        ([4.0, 5.0], [1.0, 2.0, 3.0], compare.DIFFERENT),
        ([1.0, 2.0, 3.0], [2.9, 4.0, 5.0], compare.PERHAPS),
        ([1.0, 2.0, 3.0], [1.5, 2.5, 9.0], compare.SAME),
        ([1.0], [1.0], compare.SAME),
    ],
)
def test_a_difference_is_held_against_the_spread_of_both(a: list[float], b: list[float], says: str) -> None:
    assert compare.verdict(a, b) == says


def test_beside_a_peer_ratios_are_compared_since_the_machine_may_have_changed() -> None:
    slow = record(20.0, 22.0, 21.0, peers=(10.0, 11.0, 10.5))
    fast = record(2.0, 2.2, 2.1, peers=(1.0, 1.1, 1.05))
    (found,) = compare.differences([slow], [fast])
    assert found.relative and found.verdict == compare.SAME
    (found,) = compare.differences([record(20.0, 22.0)], [record(2.0, 2.2)])
    assert not found.relative and found.verdict == f"{compare.DIFFERENT}: B is better"
    assert found.ratio == pytest.approx(0.1)


def test_two_files_are_compared_row_by_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for one in (record(1.0, 1.1), record(5.0, name="only in a")):
        results.append(a, one)
    results.append(b, record(3.0, 3.3))
    assert main(["compare", str(a), str(b)]) == 0
    shown = capsys.readouterr().out
    assert "beyond noise: B is worse" in shown and "only in a" not in shown
    results.append(tmp_path / "c.jsonl", record(1.0, name="another"))
    assert main(["compare", str(a), str(tmp_path / "c.jsonl")]) == 1
    assert "no row in common" in capsys.readouterr().err


def test_two_commits_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(results, "KEPT", tmp_path)
    monkeypatch.setattr(results, "QUICK", tmp_path / "quick")
    for commit, figure in (("aaa111", 1.0), ("aaa111-dirty", 7.0), ("bbb222", 2.0)):
        results.append(tmp_path / "toy.jsonl", record(figure, commit=commit))
    assert main(["compare", "aaa111-dirty", "bbb"]) == 0
    assert "7 " in capsys.readouterr().out
    assert main(["compare", "ccc", "bbb"]) == 1
    assert "there are: aaa111, aaa111-dirty, bbb222" in capsys.readouterr().err


def test_two_strategies_are_simulated_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "locality", "max-locality", "--workload", "program"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.strip().startswith("program") for line in lines) == 2
    assert sum("geometric mean" in line for line in lines) == 2
    assert main(["compare", "locality", "max-locality", "--workload", "no-such-workload"]) == 1
    assert "no-such-workload" in capsys.readouterr().err


def test_rows_of_transfer_and_dispatch_are_what_was_measured() -> None:
    """Of made-up figures: their own rounds need servers, and minutes."""
    from benchmarks import dispatch, transfer

    ways = {(aim.kind, way) for aim in transfer.AIMS for way in (aim.way, aim.rival)} | {("large", "scp")}
    rows = list(transfer.suite_rows([transfer.Row(kind, way, 100.0, "files/s", [2.0, 4.0]) for kind, way in sorted(ways)]))
    assert [one.aim for one in rows] == [*(aim.at_least for aim in transfer.AIMS), None]
    assert all(one.values == [50.0, 25.0] for one in rows)
    assert (rows[-1].row, rows[-1].peer) == ("large: scp", "")

    cost = {"majordomo": 3.0, "pods": 0.0, "children": 0.0, "broker": 0.0}
    ours = {way: {"rate": 10.0, "cost": cost, "p50": 1.0, "p99": 2.0} for way in ("process", "alone", "look-up", "results")}
    times = {"rate": 5.0, "p50_ms": 4.0, "p99_ms": 4.0, "scheduler_us": 1.0, "workers_us": 1.0, "children_us": 1.0}
    rows = list(dispatch.suite_rows({"cpods": [ours], "dask": [{"process": times, "nothing": times}]}))
    rates = [one for one in rows if one.extra["measure"] == "rate"]
    assert [(one.values, one.peer_values) for one in rates] == [([10.0], [5.0])] * 2 + [([10.0], [])] * 3
    assert [one.values for one in rows if one.extra["measure"] == "cpu"] == [[3.0]] * 4, "sides that took no time are left out"
    assert [(one.values, one.peer_values) for one in rows if one.extra["measure"] == "p99"] == [([2.0], [4.0])]
    alone = list(dispatch.suite_rows({"cpods": [ours], "dask": []}))
    assert not any(one.peer for one in alone)
