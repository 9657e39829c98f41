"""Real runs of strategies: what makes a run unbelievable, and which rows come of those that are believed."""

from collections.abc import Sequence

import pytest

from benchmarks.placement import Plan, check
from benchmarks.placementrows import Case, rows
from benchmarks.realgraph import real_form
from benchmarks.realpredicted import predicted
from benchmarks.realproject import Example, GraphProject
from benchmarks.realruns import Outcome, Run
from benchmarks.suite import CannotMeasure
from benchmarks.workload import edge_bytes
from benchmarks.workloads import dask_dag, stress
from cpods.scheduler.placement import DEFAULT_STRATEGY

GRAPH = real_form(stress(1, 20, 60, 6))
CASE = Case("dag", GRAPH, GraphProject(GRAPH), 2)
MB = 1_000_000
MADE = {"out/a": "xxh3:1", "out/b": "xxh3:2"}


def run_of(moved: Sequence[int], seconds: float, served: int = 0, **more: int) -> Run:
    return Run([Outcome(seconds, count, steps={"amber": 3, "birch": 4}, decisions=7, digests=MADE, **more) for count in moved], served)


def test_a_run_that_made_the_same_and_counts_the_same_is_believed() -> None:
    check("x", run_of([10_000_000, 20_000_000], 1.0, 30_003_000), [MADE, MADE])
    check("x", run_of([1_000_000], 1.0, 6_000_000, brought_bytes=5_000_000), [MADE])


def test_other_bytes_are_told_with_a_file() -> None:
    with pytest.raises(CannotMeasure, match=r"x: 1 files came out otherwise than on one machine, such as out/b"):
        check("x", run_of([0, 0], 1.0), [MADE, {**MADE, "out/b": "xxh3:3"}])
    with pytest.raises(CannotMeasure, match="such as out/c"):
        check("x", run_of([0], 1.0), [{**MADE, "out/c": "xxh3:3"}])


@pytest.mark.parametrize("served", [0, 29_000_000, 31_000_000])
def test_servers_and_receivers_have_to_agree(served: int) -> None:
    with pytest.raises(CannotMeasure, match=r"servers count [\d,]+ bytes sent, those who asked for them 30,000,000"):
        check("x", run_of([10_000_000, 20_000_000], 1.0, served), [MADE, MADE])


def test_rows_pair_rounds_with_the_rivals_and_carry_the_aims() -> None:
    found = {
        DEFAULT_STRATEGY: [run_of([100 * MB, 80 * MB], 4.0), run_of([120 * MB, 90 * MB], 5.0)],
        "least-loaded": [run_of([300 * MB, 300 * MB], 6.0), run_of([310 * MB, 300 * MB], 5.0)],
        "dask": [run_of([200 * MB, 200 * MB], 3.0), run_of([210 * MB, 200 * MB], 3.5)],
        "random": [run_of([400 * MB, 400 * MB], 9.0)],
    }
    by_name = {row.row: row for row in rows(CASE, Plan(()).config, found)}
    assert len(by_name) == 2 * (4 * 3 + 3)  # nobody simulates Dask
    moved = by_name[f"dag, {DEFAULT_STRATEGY}: bytes moved"]
    assert (moved.values, moved.peer, moved.peer_values, moved.better, moved.aim) == (
        [100 * MB, 120 * MB],
        "dask",
        [200 * MB, 210 * MB],
        "less",
        0.9,
    )
    assert moved.extra["decisions"] == 7 and moved.extra["predicted"] > 0
    assert moved.extra["predicted_to_real"] == pytest.approx(moved.extra["predicted"] / (110 * MB), rel=1e-3)
    again = by_name[f"dag, built before, {DEFAULT_STRATEGY}: bytes moved"]
    assert (again.values, again.peer_values, again.extra["workload"]) == ([80 * MB, 90 * MB], [200 * MB, 200 * MB], "dag, built before")
    time = by_name[f"dag, {DEFAULT_STRATEGY}: time"]
    assert (time.values, time.peer, time.peer_values, time.aim) == ([4.0, 5.0], "least-loaded", [6.0, 5.0], 1.0)
    part = by_name[f"dag, {DEFAULT_STRATEGY}: moved of all bytes read"]
    assert part.values == [100 * MB / edge_bytes(GRAPH), 120 * MB / edge_bytes(GRAPH)] and part.aim == 0.3
    off = by_name[f"dag, {DEFAULT_STRATEGY}: bytes, simulated beside real"]
    assert off.values == [abs(moved.extra["predicted"] / (110 * MB) - 1)] and off.aim == 0.1
    drawn = by_name["dag, random: bytes moved"]
    assert (drawn.values, drawn.peer_values, drawn.aim) == ([400 * MB], [200 * MB], None)  # of the one round that it had
    assert by_name["dag, dask: bytes moved"].peer == "" and "predicted" not in by_name["dag, dask: bytes moved"].extra


def test_beside_a_dask_that_moves_as_good_as_nothing_there_is_no_ratio() -> None:
    found = {DEFAULT_STRATEGY: [run_of([MB, MB], 4.0)], "dask": [run_of([0, edge_bytes(GRAPH) // 2000], 3.0)]}
    made = [row for row in rows(CASE, Plan(()).config, found) if row.extra["measure"] == "bytes"]
    assert {(row.peer, row.aim) for row in made} == {("", None)}


def test_sources_of_an_example_count() -> None:
    found = {DEFAULT_STRATEGY: [run_of([100], 4.0, founder_bytes=50)], "least-loaded": [run_of([200], 5.0, founder_bytes=60)]}
    made = list(rows(Case("book", None, Example("book"), 1), Plan(()).config, found))
    assert [row.values for row in made if row.extra["measure"] == "bytes"] == [[150], [260]]
    assert {row.peer for row in made} == {"", "least-loaded"}


def test_a_first_build_is_predicted_without_what_only_an_earlier_one_tells() -> None:
    config, graph = Plan(()).config, real_form(dask_dag(1))
    first, again = (predicted(graph, DEFAULT_STRATEGY, config, known, draws=1) for known in (False, True))
    assert again.bytes < first.bytes < 0.35 * edge_bytes(graph)
    drawn = {predicted(GRAPH, "random", config, known, draws=3).bytes for known in (False, True)}
    assert len(drawn) == 1, "who draws needs no knowledge"


def test_what_steps_take_besides_makes_a_build_longer() -> None:
    config = Plan(()).config
    short, long = (predicted(GRAPH, "least-loaded", config, True, overhead, draws=3).seconds for overhead in (0.0, 1.0))
    assert long > short + 0.5 * len(GRAPH.runtime) / 4
