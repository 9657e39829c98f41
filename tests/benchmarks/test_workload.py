"""What is said of a workload before it runs, and which ones are refused."""

import re

import pytest

from benchmarks.workload import (
    Workload,
    check,
    critical_path,
    edge_bytes,
    edge_count,
    is_external,
    lower_bound,
    order,
    ranks,
    work,
)

#: Two compiles (the second slower) of one header and a source each, then a link.
PROGRAM = Workload(
    "program",
    runtime=[1.0, 3.0, 2.0],
    inputs=[[0, 1], [0, 2], [3, 4]],
    outputs=[[3], [4], [5]],
    size=[10, 100, 200, 1000, 2000, 5000],
    followers=[[2], [2], []],
)


def changed(**parts: object) -> Workload:
    fields = {name: getattr(PROGRAM, name) for name in PROGRAM.__struct_fields__}
    return Workload(**{**fields, **parts})


def test_bounds_count_the_longest_chain_and_the_work_for_each_slot() -> None:
    assert ranks(PROGRAM) == [3.0, 5.0, 2.0]
    assert critical_path(PROGRAM) == 5.0
    assert work(PROGRAM) == 6.0
    assert lower_bound(PROGRAM, 1) == 6.0
    assert lower_bound(PROGRAM, 4) == 5.0


def test_ranks_of_other_runtimes_leave_the_workload_as_it_is() -> None:
    assert ranks(PROGRAM, [5.0, 1.0, 1.0]) == [6.0, 2.0, 1.0]
    assert critical_path(PROGRAM) == 5.0


def test_a_file_counts_as_often_as_it_is_read() -> None:
    assert edge_bytes(PROGRAM) == 10 + 100 + 10 + 200 + 1000 + 2000
    assert edge_count(PROGRAM) == 6


def test_external_is_what_no_step_makes() -> None:
    assert [is_external(PROGRAM, file) for file in range(6)] == [True, True, True, False, False, False]


def test_order_puts_each_step_behind_those_that_it_waits_for() -> None:
    backwards = changed(followers=[[], [0], [1]])
    assert order(backwards) == [2, 1, 0]


def test_a_file_made_behind_its_reader_is_no_circle() -> None:
    odd = changed(inputs=[[5], [0, 2], [3, 4]])
    assert check(odd) is odd
    assert critical_path(odd) == 5.0


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"followers": [[2], [2], [0]]}, "step 0 waits for itself in a circle"),
        ({"runtime": [1.0, 2.0]}, "one entry for each step"),
        ({"names": ["one"]}, "one entry for each step"),
        ({"inputs": [[0], [9], []]}, "inputs of step 1 must be different numbers from 0 to 5"),
        ({"outputs": [[3, 3], [4], [5]]}, "outputs of step 0 must be different numbers"),
        ({"followers": [[3], [], []]}, "followers of step 0 must be different numbers from 0 to 2"),
        ({"runtime": [1.0, -1.0, 1.0]}, "finite numbers from 0"),
        ({"runtime": [1.0, float("nan"), 1.0]}, "finite numbers from 0"),
        ({"size": [1, 1, 1, 1, 1, -1]}, "finite numbers from 0"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_sentence(parts: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=rf"^Workload program: [^\n]*{re.escape(says)}[^\n]*\.$"):
        check(changed(**parts))


def test_nothing_is_no_workload() -> None:
    with pytest.raises(ValueError, match="and a step"):
        check(Workload("nothing", [], [], [], [], []))
