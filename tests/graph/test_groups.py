"""Parallel neighbours in a pass: what they see, and that the order in which they come changes nothing."""

import random
from collections.abc import Mapping, Sequence
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from cpods.graph.fixpoint import KnotRun, Outcome
from cpods.graph.order import rows
from cpods.model import Step
from tests.helpers.bench import Act, Bench, Look, step

PATHS = ("p0", "p1", "p2", "p3", "p4")


def names(steps: Sequence[Step]) -> list[str]:
    return [one.name for one in steps]


def echo(source: str, target: str) -> Act:
    return lambda look: {target: look(source) or "none"}


def test_rows_are_parallel_neighbours_of_one_planner_that_do_not_require_each_other() -> None:
    steps = [
        step("a", parallel=True, outputs=("x",)),
        step("b", parallel=True),
        step("needs a", parallel=True, inputs=("x",)),
        step("other's", parallel=True, planner="e"),
        step("alone"),
        step("c", parallel=True),
    ]
    found = rows(names(steps), {one.name: one for one in steps})
    assert found == [["a", "b"], ["needs a"], ["other's"], ["alone"], ["c"]]


def test_a_group_is_due_at_once_and_its_results_count_when_all_have_come() -> None:
    bench = Bench({"a": echo("src", "x"), "b": echo("src", "y"), "c": echo("x", "z")}, {"src": "1"})
    run = bench.knot([step("a", 0, parallel=True), step("b", 1, parallel=True), step("c", 2)])
    first = run.due()
    assert names(first) == ["a", "b"]
    run.accept("b", bench.settle(first[1], dict(run.overlay)))
    assert names(run.due()) == ["a"] and "y" not in run.overlay, "a still sees the state before the group"
    run.accept("a", bench.settle(first[0], dict(run.overlay)))
    assert names(run.due()) == ["c"] and {"x", "y"} <= run.overlay.keys()


def test_members_see_each_other_only_in_the_next_pass() -> None:
    bench = Bench({"a": echo("y", "x"), "b": echo("x", "y")}, {})
    run = bench.knot([step("a", 0, parallel=True), step("b", 1, parallel=True)])
    outcome = bench.iterate(run)
    assert (outcome.verdict, outcome.passes) == ("FIXED", 2) and bench.course == ["a", "b", "a", "b"]
    alone = Bench({"a": echo("y", "x"), "b": echo("x", "y")}, {})
    alone.iterate(alone.knot([step("a", 0), step("b", 1)]))
    assert alone.course == ["a", "b", "a"], "one behind the other, b saw a's file at once"


def test_only_the_stale_ones_of_a_group_are_due() -> None:
    bench = Bench(
        {
            "e": lambda look: {
                "one": str(min(2, int(look("count") or 0))),
                "count": str(int(look("count") or 0) + 1)[:1] if int(look("count") or 0) < 2 else "2",
            },
            "a": echo("one", "x"),
            "b": echo("fixed", "y"),
        },
        {"fixed": "f"},
    )
    run = bench.knot([step("e", 0), step("a", 1, parallel=True), step("b", 2, parallel=True)])
    assert bench.iterate(run).verdict == "FIXED" and bench.runs["b"] == 1 and bench.runs["a"] == 3


def test_blind_members_count_as_having_looked_for_what_their_neighbours_made() -> None:
    bench = Bench({"a": echo("src", "x"), "b": lambda look: {"y": "1"}}, {"src": "1"})
    blind = step("b", 1, parallel=True, options=(("unseen_lookups", "yes"),))
    run = bench.knot([step("a", 0, parallel=True), blind])
    bench.iterate(run)
    assert bench.runs["b"] == 2


def test_a_failed_member_fails_the_knot_when_the_others_have_come() -> None:
    bench = Bench({"a": echo("src", "x"), "b": echo("src", "y"), "c": echo("src", "z")}, {"src": "1"})
    run = bench.knot([step(name, place, parallel=True) for place, name in enumerate("abc")])
    first = run.due()
    run.fail("b")
    assert run.is_failing and names(run.due()) == ["a", "c"], "the knot ends when all have come"
    run.accept("c", bench.settle(first[2], dict(run.overlay)))
    run.fail("a")
    assert run.outcome == Outcome("FAILED", 1, failed=("a", "b")) and run.last.keys() == {"c"} and run.due() == ()


def test_stopping_a_failing_group_waits_for_nobody_else() -> None:
    bench = Bench({"a": echo("src", "x"), "b": echo("src", "y")}, {"src": "1"})
    run = bench.knot([step("a", 0, parallel=True), step("b", 1, parallel=True)])
    run.due()
    run.fail("b")
    run.stop()
    assert run.outcome == Outcome("FAILED", 1, failed=("b",)) and not run.last


def test_a_helper_that_is_asked_for_with_another_command_runs_again() -> None:
    def engine(look: Look) -> Mapping[str, str]:
        argv = ("tool", "again") if look("made") else ("tool",)
        look.helpers = (Step(name="h", chef="toy", tool="toy", argv=argv, position=(0, 1), planner="e", parallel=True),)
        return {"log": "1"}

    bench = Bench({"e": engine, "h": lambda look: {"made": "m"}})
    assert bench.iterate(bench.knot([step("e", 0, open_reads=True)])).verdict == "FIXED"
    assert bench.course == ["e", "h", "e", "h"]


def test_a_helper_that_only_moved_up_does_not() -> None:
    def engine(look: Look) -> Mapping[str, str]:
        place = 1 if look("made") else 2
        look.helpers = (step("h", 0, planner="e"),)
        look.helpers = (Step(name="h", chef="toy", tool="toy", argv=("tool",), position=(0, place), planner="e"),)
        return {"log": "1"}

    bench = Bench({"e": engine, "h": lambda look: {"made": "m"}})
    bench.iterate(bench.knot([step("e", 0, open_reads=True)]))
    assert bench.course == ["e", "h", "e"]


def test_a_helper_that_two_ask_for_stays_until_neither_does() -> None:
    def engine(look: Look) -> Mapping[str, str]:
        picture = step("f", 0, planner="e", parallel=True, open_reads=True)
        look.helpers = () if look("bye") else (picture,) if look("picture") else (picture, step("g", 0, planner="e", parallel=True))
        return {"log": "1", **({"done": "1"} if look("picture") == "with 1" else {})}

    def figure(look: Look) -> Mapping[str, str]:
        look.helpers = (step("g", 0, planner="f", parallel=True),)
        return {"picture": f"with {look('table')}"}

    acts = {"e": engine, "f": figure, "g": lambda look: {"table": "1"}, "z": lambda look: {"bye": "1"} if look("done") else {}}
    bench = Bench(acts)
    run = bench.knot([step("e", 0, open_reads=True), step("z", 1)])
    assert bench.iterate(run).verdict == "FIXED"
    assert bench.course == ["e", "f", "g", "z", "e", "f", "e", "z", "e", "e"]
    assert run.overlay["table"] is None and run.order() == ("e", "z"), "with the picture its own helper goes"


def scramble(name: str, reads: Sequence[str], writes: Sequence[str], values: int) -> Act:
    """A function of what is read that shows no pattern."""

    def act(look: Look) -> Mapping[str, str]:
        total = crc32(repr((name, [look(path) for path in reads])).encode())
        look.exit_code = 1 if total % 11 == 0 else 0
        return {path: str(crc32(f"{total} {path}".encode()) % values) for path in writes}

    return act


def random_knot(rng: random.Random) -> tuple[Bench, list[Step]]:
    """Two to six steps over five paths, most of them parallel, some that write the same path."""
    acts, members = {}, []
    for place in range(rng.randint(2, 6)):
        name = f"s{place}"
        acts[name] = scramble(name, rng.sample(PATHS, rng.randint(0, 3)), rng.sample(PATHS, rng.randint(1, 2)), rng.choice((2, 3)))
        members.append(step(name, place, parallel=rng.random() < 0.7))
    return Bench(acts), members


def iterate_in_any_order(bench: Bench, run: KnotRun, rng: random.Random, slots: int) -> None:
    """Settles up to ``slots`` steps beside each other; which of them comes first is drawn."""
    away: dict[str, tuple[Step, dict[str, object]]] = {}
    while True:
        due = [one for one in run.due() if one.name not in away]
        for one in due[: slots - len(away)]:
            away[one.name] = (one, dict(run.overlay))
        if not away:
            return
        name = rng.choice(sorted(away))
        todo, overlay = away.pop(name)
        if crc32(f"{name}{sorted(overlay.items())}".encode()) % 29 == 0:
            run.fail(name)
        else:
            run.accept(name, bench.settle(todo, overlay))  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 6), st.integers(0, 1 << 16))
def test_the_outcome_is_the_same_for_any_number_of_slots_and_any_order_of_arrival(seed: int, slots: int, order: int) -> None:
    ways = []
    for number, rng in ((1, random.Random(0)), (slots, random.Random(order))):
        bench, members = random_knot(random.Random(seed))
        run = bench.knot(members, limit=40)
        iterate_in_any_order(bench, run, rng, number)
        ways.append((run.outcome, [dict(s.files) for s in run.snapshots], run.last, run.states(), sorted(bench.runs.items())))
    assert ways[0] == ways[1] and ways[0][0] is not None
