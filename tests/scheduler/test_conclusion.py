"""What is done about an outcome: published or not, the unit's state, what is remembered, and pass limits."""

import pytest

from cpods.model import Step
from cpods.scheduler.conclusion import LATEX_PASSES_MAX, PASSES_MAX, conclude, pass_limit
from cpods.scheduler.states import Status, Unit
from tests.helpers.bench import Bench, step

FIXED = {None: "1", "1": "1"}
PERIOD = {None: "9", "9": "1", "1": "2", "2": "1"}
COUNT = {None: "0", **{str(number): str(number + 1) for number in range(99)}}


def iterated(table: dict[str | None, str], limit: int = 9, once: bool = False, **fields: object) -> tuple[Unit, dict[str, Step]]:
    """A unit of one step that reads and writes x, gone to its end."""
    bench = Bench({"k": lambda look: {"x": table[look("x")], "pdf": table[look("x")]}})
    member = step("k", outputs=("x",), **fields)
    unit = Unit(("k",), True)
    unit.run = bench.knot([member], limit=limit, once=once)
    bench.iterate(unit.run)
    return unit, {"k": member}


@pytest.mark.parametrize(
    ("table", "once", "policy", "keep", "expected"),
    [
        (FIXED, False, "fail", False, (True, True, Status.DONE)),
        (PERIOD, False, "fail", False, (False, False, Status.FAILED)),
        (PERIOD, False, "fail", True, (True, False, Status.FAILED)),
        (PERIOD, False, "choose", False, (True, False, Status.UNSTABLE)),
        (COUNT, False, "fail", False, (False, False, Status.FAILED)),
        (COUNT, False, "choose", False, (False, False, Status.FAILED)),
        (COUNT, True, "fail", False, (True, False, Status.UNSTABLE)),
    ],
)
def test_what_is_published(table: dict[str | None, str], once: bool, policy: str, keep: bool, expected: tuple[bool, bool, Status]) -> None:
    unit, steps = iterated(table, once=once, policy=policy)
    instruction, status = conclude(unit, None, steps, "clean", keep)
    assert (instruction.publish, instruction.stable, status) == expected and not instruction.recalled


def test_a_circle_that_cannot_start_publishes_nothing() -> None:
    unit, steps = iterated(FIXED, inputs=("x",))
    instruction, status = conclude(unit, None, steps, "clean", True)
    assert instruction.solution.verdict == "NOSTART" and not instruction.publish and status is Status.STUCK


def test_a_solution_tells_how_it_came_about() -> None:
    unit, steps = iterated(PERIOD)
    solution = conclude(unit, None, steps, "clean", False)[0].solution
    assert (solution.verdict, solution.passes, solution.tail, solution.period, solution.distinct_states) == ("PERIOD", 4, 2, 2, 4)
    assert (solution.cap, solution.order, solution.feedback, solution.knot) == (9, ("k",), ("x",), True)
    assert solution.settled == (("k", (1, 2, 3, 4)),)
    assert [[output.version.digest for output in state] for state in solution.cycle] == [["=2"], ["=1"]]


def test_choosing_takes_the_same_state_wherever_the_cycle_was_entered() -> None:
    chosen = set()
    for first in ("1", "2"):
        unit, steps = iterated({**PERIOD, None: first}, policy="choose")
        chosen.add(dict((o.path, o.version.digest) for _, o in conclude(unit, None, steps, "clean", False)[0].solution.outputs)["x"])
    assert len(chosen) == 1


def test_a_divergence_keeps_its_last_states_for_the_diagnosis() -> None:
    unit, steps = iterated(COUNT)
    cycle = conclude(unit, None, steps, "clean", False)[0].solution.cycle
    assert [[output.version.digest for output in state] for state in cycle] == [["=6"], ["=7"], ["=8"]]


def test_a_recalled_solution_is_concluded_like_a_fresh_one() -> None:
    for table, state in ((FIXED, Status.DONE), (PERIOD, Status.FAILED)):
        unit, steps = iterated(table)
        solution = conclude(unit, None, steps, "clean", False)[0].solution
        instruction, status = conclude(Unit(("k",), True), solution, steps, "clean", False)
        assert instruction.recalled and instruction.solution == solution and status is state


def test_pass_limits() -> None:
    plain, engine, declared = step("a"), step("e", open_reads=True), step("d", max_passes=7)
    assert pass_limit([plain], None) == PASSES_MAX and pass_limit([plain, engine], None) == LATEX_PASSES_MAX
    assert pass_limit([engine, declared], None) == 7 and pass_limit([engine, declared], 3) == 3
