"""Workloads that are drawn from a seed: the same each time, of the shape that they promise."""

from collections import Counter
from collections.abc import Callable

import pytest

from benchmarks.synthetic import dask_dag, layered, shared_database, stress
from benchmarks.workload import Workload, check, edge_bytes, edge_count, is_external

MAKERS: list[Callable[[int], Workload]] = [
    lambda seed: layered(2000, seed),
    lambda seed: stress(seed, 50, 300, 20),
    dask_dag,
    lambda seed: shared_database(100, seed),
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_seed_is_one_workload(make: Callable[[int], Workload]) -> None:
    assert check(make(7)) == make(7)
    assert make(7).size != make(8).size
    assert make(7).name != make(8).name


def test_layered_steps_read_earlier_ones_and_wait_for_them() -> None:
    found = layered(3000, 2)
    for step, files in enumerate(found.inputs):
        assert len(files) <= 3 and all(file < step for file in files)
        assert all(step in found.followers[found.makers[file]] for file in files)
    assert edge_count(found) == sum(len(each) for each in found.followers)
    assert [step for step, files in enumerate(found.inputs) if not files] == list(range(150))


def test_layered_is_the_graph_of_the_prototype() -> None:
    """The prototype's own figures for 2,000 steps and seed 1: other draws would be another graph."""
    found = layered(2000, 1)
    assert (found.size[0], found.size[-1], sum(found.size)) == (11321, 39784, 749917075)
    assert (found.inputs[100], found.inputs[1999], edge_count(found)) == ([22, 49, 57], [1788, 1935, 1942], 5683)
    assert found.runtime[-1] == pytest.approx(1.543794613911571, rel=1e-12)


def test_dask_dag_is_the_graph_that_dask_was_measured_on() -> None:
    """Bytes and edges as the prototype's dask_baseline.py has them for seed 1 and 2."""
    assert [(len(each.runtime), edge_count(each), sum(each.size), edge_bytes(each)) for each in (dask_dag(1), dask_dag(2))] == [
        (391, 1290, 259_290_000, 746_580_000),
        (391, 1290, 268_600_000, 895_770_000),
    ]


def test_stress_fans_out_and_in() -> None:
    found = stress(1, sources=100, steps=1000, links=30)
    readers = Counter(file for files in found.inputs for file in files)
    shared = [file for file in range(100) if is_external(found, file)]
    assert len(shared) == 100
    assert max(readers[file] for file in shared) > 300
    assert min(len(files) for files in found.inputs[1000:]) >= 10
    assert found.inputs[-1] == [output for files in found.outputs[1000:-1] for output in files]
    assert not found.followers[-1]
    assert max(found.size) > 1000 * min(found.size)


def test_a_shared_database_is_one_file_that_every_search_reads() -> None:
    found = shared_database(50, megabytes=3)
    assert found.size[0] == 3_000_000
    assert all(files[0] == 0 for files in found.inputs[:-1])
    assert edge_bytes(found) > 50 * 3_000_000
    assert len(found.inputs[-1]) == 50
