"""How simulated instances are summed up: totals, geometric means, worst instances, the best rival of each."""

import math
from concurrent.futures import ProcessPoolExecutor

import pytest

from benchmarks import rivals, scale, strategies
from benchmarks.simulate import Outcome
from benchmarks.strategies import Instance, Setting, summary
from benchmarks.suite import Row
from benchmarks.workloads import RECIPES
from cpods.scheduler.outlook import Outlook
from cpods.scheduler.placement import STRATEGIES


def outcome(makespan: float, moved: int, edge: int = 1000) -> Outcome:
    return Outcome(
        makespan=makespan,
        moved_bytes=moved,
        edge_bytes=edge,
        fetches=1,
        steps=1,
        runs=1,
        decisions=1,
        decision_seconds=0.0,
        handing_seconds=0.0,
        lower_bound=1.0,
        stolen=0,
        seconds=0.0,
    )


TWO = [
    Instance("A:1:1", 100, {"locality": outcome(10, 100), "earliest-finish": outcome(10, 400), "least-loaded": outcome(8, 800)}),
    Instance("B:1:1", 100, {"locality": outcome(5, 0), "earliest-finish": outcome(10, 100), "least-loaded": outcome(20, 50)}),
]


def rows(aims: dict[str, float] | None = None) -> dict[str, Row]:
    return {row.extra["summary"]: row for row in summary(Setting("", strategies._PLAIN.config, aims or {}), TWO, "two")}


def test_totals_means_and_worst_instances() -> None:
    found = rows()
    assert found["bytes total"].values == [100 / 500]
    assert found["bytes mean"].values == [pytest.approx(math.sqrt(0.25 * 0.01))], "nothing moved counts as a thousandth of what is read"
    assert found["bytes worst"].values == [0.25]
    assert found["makespan mean"].values == [pytest.approx(math.sqrt(1 * 0.5))]
    assert found["makespan worst"].values == [1.0]
    assert found["least makespan worst"].values == [1.25]
    assert found["least bytes worst"].values == [0.125]
    assert found["best worst"].values == [1.25], "in A least-loaded is the best rival, in B earliest-finish"
    assert found["best mean"].values == [pytest.approx(math.sqrt(1.25 * 0.5))]


def test_an_aim_goes_to_its_row_and_to_no_other() -> None:
    found = rows({"mean": 0.15, "makespan worst": 1.05})
    assert {measure: row.aim for measure, row in found.items() if row.aim is not None} == {"bytes mean": 0.15, "makespan worst": 1.05}


def test_each_strategy_is_beside_earliest_finish_on_the_same_seeds() -> None:
    found = list(strategies._rows(strategies._PLAIN, "A", TWO, 1))
    bytes_of = {row.extra["strategy"]: (row.values, row.peer_values) for row in found if row.extra["measure"] == "bytes"}
    assert bytes_of["locality"] == ([100.0, 0.0], [400.0, 100.0])
    assert bytes_of["earliest-finish"] == ([400.0, 100.0], [400.0, 100.0])


def test_what_is_simulated_depends_on_the_workload_and_its_seed_only() -> None:
    task = strategies._Task("dask-dag:1", 100, ("locality", "random"), strategies._PLAIN.config)
    assert [one.moved_bytes for one in strategies._simulate(task).values()] == [
        one.moved_bytes for one in strategies._simulate(task).values()
    ]


def test_the_prototype_s_rule_for_equals_is_the_longest_idle_slot() -> None:
    look = Outlook()
    for pod in range(3):
        look.pod_is(f"p{pod}", 1, 1.0, 0.0)
    look.add_steps([5.0, 1.0, 3.0], [(), (), ()], [(), (), ()])
    for step in range(3):
        look.give(step, step, 0.0)
        look.started(step, 0.0)
    for step, end in ((1, 1.0), (2, 3.0), (0, 5.0)):
        look.finished(step, end)
    assert rivals.longest_idle(look, 6.0) == 1
    assert look.least(6.0) == 0


def test_every_rival_of_the_prototype_stands_for_one_of_ours() -> None:
    ours = {kind.__mro__[kind.__name__.startswith("_")].name for kind in rivals.SHARED.values()}
    assert ours <= set(STRATEGIES)
    assert len(rivals.SHARED) == 6


def test_a_small_size_is_measured_in_a_process_of_its_own() -> None:
    found = scale._in_a_process(scale.Size(100, 400, "locality", logged=True))
    assert found["steps"] == 400
    assert found["runs"] >= 400
    names = [row.row for row in scale._rows(scale.Size(100, 400, "locality", logged=True), [found])]
    assert any("log bytes a step" in name for name in names)
    assert 0 < found["log_bytes"] / 400 < 1000


@pytest.mark.benchmarks
@pytest.mark.timeout(900)
def test_the_rivals_do_what_the_prototype_printed() -> None:
    found = list(rivals.run(False, 0, "", lambda text: None))
    far = [row.row for row in found if row.extra.get("off", 0.0) > rivals.NEAR]
    assert not far
    assert len(found) == 9 * 2 * 6 * 2 + 2


@pytest.mark.benchmarks
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("setting", [one for one in strategies._SETTINGS if one.aims], ids=lambda setting: setting.name or "plain")
def test_the_default_strategy_keeps_what_it_promises_on_nine_recipes(setting: Setting) -> None:
    workloads = [f"{recipe.name}:1000:{seed}" for recipe in RECIPES for seed in (1, 2)]
    with ProcessPoolExecutor(2) as pool:
        instances = strategies._simulated(pool, setting, workloads, strategies._STRONGEST, lambda text: None)
    rows = [row for row in summary(setting, instances, "") if row.aim is not None]
    assert len(rows) >= 3
    assert not [f"{row.row}: {row.values[0]:.3f}, promised {row.aim}" for row in rows if row.aim is not None and row.values[0] > row.aim]
