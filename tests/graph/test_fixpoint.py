"""The rules of DESIGN.md section 5, one by one: verdicts, order, fewest runs, helpers, filters, seeds."""

from collections.abc import Mapping

import pytest

from cpods.graph.fixpoint import Outcome
from cpods.model import Output
from tests.helpers.bench import Act, Bench, Look, step


def turn(table: Mapping[str | None, str], path: str = "x") -> Act:
    """A step that reads a path and writes what the table says to it."""
    return lambda look: {path: table[look(path)]}


def echo(source: str, target: str) -> Act:
    """A step that copies; an absent source makes 'none'."""
    return lambda look: {target: look(source) or "none"}


def ended(bench: Bench, *members: object, **options: object) -> Outcome:
    return bench.iterate(bench.knot(list(members), **options))  # type: ignore[arg-type]


def test_fixed_without_a_confirming_run() -> None:
    bench = Bench({"a": turn({None: "1", "1": "2", "2": "2"})})
    outcome = ended(bench, step("a"))
    assert (outcome.verdict, outcome.passes, outcome.tail, outcome.period, bench.runs["a"]) == ("FIXED", 3, 2, 1, 3)


def test_a_knot_without_real_feedback_is_fixed_after_one_pass() -> None:
    bench = Bench({"a": echo("src", "y"), "b": echo("y", "z")}, {"src": "s"})
    outcome = ended(bench, step("a", 0), step("b", 1))
    assert outcome.verdict == "FIXED" and outcome.passes == 1 and dict(bench.runs) == {"a": 1, "b": 1}


def test_period_is_proved_after_tail_and_period() -> None:
    bench = Bench({"a": turn({None: "1", "1": "2", "2": "1"})})
    outcome = ended(bench, step("a"))
    assert (outcome.verdict, outcome.tail, outcome.period, outcome.passes, bench.runs["a"]) == ("PERIOD", 1, 2, 3, 3)


def test_diverges_at_the_cap_and_not_before() -> None:
    count: Act = lambda look: {"x": str(int(look("x") or 0) + 1)}  # noqa: E731
    outcome = ended(Bench({"a": count}), step("a"), limit=7)
    assert outcome.verdict == "DIVERGES" and outcome.passes == 7 and outcome.tail is None


def failing_at(table: Mapping[str | None, str], *bad: str) -> Act:
    """Like turn, but a run that makes one of ``bad`` ends with an error (and usable outputs)."""

    def act(look: Look) -> Mapping[str, str]:
        made = table[look("x")]
        look.exit_code = 1 if made in bad else 0
        return {"x": made}

    return act


def test_an_error_on_the_way_is_provisional() -> None:
    outcome = ended(Bench({"a": failing_at({None: "1", "1": "2", "2": "2"}, "1")}), step("a"))
    assert outcome.verdict == "FIXED" and outcome.failed == ()


def test_an_error_at_rest_is_a_failure() -> None:
    outcome = ended(Bench({"a": failing_at({None: "1", "1": "2", "2": "2"}, "2")}), step("a"))
    assert outcome.verdict == "FAILED" and outcome.failed == ("a",) and outcome.period == 1


def test_an_error_in_the_cycle_outranks_the_period() -> None:
    outcome = ended(Bench({"a": failing_at({None: "1", "1": "2", "2": "1"}, "2")}), step("a"))
    assert outcome.verdict == "FAILED" and outcome.failed == ("a",) and outcome.period == 2


def test_an_error_in_the_tail_does_not() -> None:
    outcome = ended(Bench({"a": failing_at({None: "0", "0": "1", "1": "2", "2": "1"}, "0")}), step("a"))
    assert outcome.verdict == "PERIOD" and outcome.failed == ()


def test_a_step_without_a_usable_result_stops_its_knot_at_once() -> None:
    bench = Bench({"a": turn({None: "1", "1": "2", "2": "1"})})
    run = bench.knot([step("a", 0), step("b", 1)])
    todo = run.next()
    assert todo is not None
    run.fail(todo.name)
    assert run.next() is None and run.outcome == Outcome("FAILED", 1, failed=("a",))


def test_a_circle_in_which_nothing_can_start() -> None:
    bench = Bench({})
    outcome = ended(bench, step("a", 0, inputs=("y",), outputs=("x",)), step("b", 1, inputs=("x",), outputs=("y",)))
    assert outcome.verdict == "NOSTART" and set(outcome.waiting) == {"a", "b"} and not bench.runs


def test_a_waiting_step_joins_in_the_pass_in_which_its_input_appears() -> None:
    bench = Bench({"late": echo("made", "out"), "early": lambda look: {"made": "1", "seen": look("out") or "-"}})
    outcome = ended(bench, step("late", 0, inputs=("made",)), step("early", 1))
    assert outcome.verdict == "FIXED" and bench.course == ["early", "late", "early"] and outcome.passes == 2


def test_a_step_whose_input_vanishes_for_good_is_no_divergence() -> None:
    """The helper's product is gone with the helper; what requires it waits and nothing else moves: passes must end."""

    def engine(look: Look) -> Mapping[str, str]:
        seen = look("log")
        look.helpers = (step("tool", 0, planner="e"),) if seen is None else ()
        return {"log": "1"}

    bench = Bench({"e": engine, "tool": lambda look: {"made": "m"}, "user": echo("made", "used")})
    outcome = ended(bench, step("e", 0, open_reads=True), step("user", 1, inputs=("made",)), limit=50)
    assert outcome.verdict == "NOSTART" and outcome.waiting == ("user",) and outcome.passes < 5


def test_each_step_sees_what_earlier_ones_wrote_in_the_same_pass() -> None:
    bench = Bench({"a": lambda look: {"x": str(min(3, int(look("y") or 0) + 1))}, "b": echo("x", "y")})
    run = bench.knot([step("b", 1), step("a", 0)])
    assert bench.iterate(run).verdict == "FIXED"
    assert bench.course == ["a", "b", "a", "b", "a", "b", "a"]
    assert [dict(s.files)["y"].digest for s in run.snapshots[1:]] == ["=1", "=2", "=3", "=3"]  # type: ignore[union-attr]


def test_only_steps_whose_inputs_changed_run_again() -> None:
    bench = Bench({"a": turn({None: "1", "1": "2", "2": "2"}), "b": echo("src", "z"), "c": echo("z", "w")}, {"src": "s"})
    ended(bench, step("a", 0), step("b", 1), step("c", 2))
    assert dict(bench.runs) == {"a": 3, "b": 1, "c": 1}


def test_a_filtered_reader_does_not_run_for_what_it_cannot_see() -> None:
    first = {"first": lambda content: content[0]}
    acts = {"a": turn({None: "k1", "k1": "k2", "k2": "k2"}), "b": lambda look: {"y": look("x") or "-"}}
    bench = Bench(acts, filters=first, blinkers={("b", "x"): "first"})
    assert ended(bench, step("a", 0), step("b", 1)).verdict == "FIXED" and bench.runs["b"] == 1


def test_a_state_is_what_readers_see() -> None:
    """What follows the first digit never rests, but the only reader sees the parity of the first: a period, found at once."""
    count = iter(range(100))
    acts = {"a": lambda look: {"x": ("2" if look("y") == "1" else "1") + str(next(count))}}
    acts["b"] = lambda look: {"y": "1" if look("x") == "odd" else "0"}
    parity = {"parity": lambda content: "odd" if int(content[0]) % 2 else "even"}
    bench = Bench(acts, filters=parity, blinkers={("b", "x"): "parity"})
    outcome = ended(bench, step("a", 0), step("b", 1))
    assert outcome.verdict == "PERIOD" and outcome.period == 2


def test_a_file_that_nobody_reads_is_no_state_but_is_kept() -> None:
    count = iter(range(100))
    acts = {"a": lambda look: {"x": {None: "1", "1": "2"}.get(look("x"), "1"), "log": str(next(count))}}
    run = (bench := Bench(acts)).knot([step("a")])
    assert bench.iterate(run).verdict == "PERIOD" and run.feedback() == ("x",)
    assert {output.path for _, output in run.outputs()} == {"x", "log"}


def test_the_feedback_grows_and_past_snapshots_are_restricted_anew() -> None:
    def act(look: Look) -> Mapping[str, str]:
        seen = look("x")
        if seen == "3":
            look("hidden")
        return {"x": {None: "1", "1": "2", "2": "3", "3": "3"}[seen], "hidden": "h" + (seen or "")[:0]}

    run = (bench := Bench({"a": act})).knot([step("a")])
    outcome = bench.iterate(run)
    assert outcome.verdict == "FIXED" and run.feedback() == ("hidden", "x")
    assert all(("hidden", "", "=h") in state for state in run.states()[1:])


def engine_with_tool(look: Look) -> Mapping[str, str]:
    """Asks for its tool as long as the source wants a bibliography."""
    wanted = look("paper") == "cite"
    look.helpers = (step("tool", 0, inputs=("aux",), planner="e"),) if wanted else ()
    return {"aux": "cites" if wanted else "plain", "pdf": f"with {look('bbl')}"}


def test_helpers_are_planned_right_behind_their_engine() -> None:
    bench = Bench({"e": engine_with_tool, "tool": echo("aux", "bbl"), "other": echo("pdf", "copy")}, {"paper": "cite"})
    run = bench.knot([step("e", 0, open_reads=True), step("other", 1)])
    assert bench.iterate(run).verdict == "FIXED"
    assert run.order() == ("e", "tool", "other") and bench.course == ["e", "tool", "other", "e", "other"]


def test_a_dropped_helper_takes_its_outputs_with_it() -> None:
    bench = Bench({"e": engine_with_tool, "tool": echo("aux", "bbl")}, {"paper": "none"})
    run = bench.knot([step("e", 0, open_reads=True)], seed=bench.seed("tool", bbl="old"), helpers={"e": ["tool"]})
    assert bench.iterate(run).verdict == "FIXED" and bench.runs == {"e": 2}
    assert {output.path: output.version.digest for _, output in run.outputs()} == {"aux": "=plain", "pdf": "=with None"}


def test_once_is_one_pass() -> None:
    bench = Bench({"a": turn({None: "1", "1": "2", "2": "2"})})
    assert ended(bench, step("a"), once=True) == Outcome(None, 1) and bench.runs["a"] == 1


def test_once_at_rest_says_so() -> None:
    bench = Bench({"a": turn({None: "1", "1": "2", "2": "2"})})
    outcome = ended(bench, step("a"), once=True, seed=bench.seed("a", x="2"))
    assert outcome.verdict == "FIXED" and bench.runs["a"] == 1


def test_a_warm_seed_starts_where_the_last_run_ended() -> None:
    two_ends = {None: "1", "1": "1", "2": "2"}
    bench = Bench({"a": turn(two_ends)})
    cold, warm = bench.knot([step("a")]), bench.knot([step("a")], seed=bench.seed("a", x="2"))
    assert bench.iterate(cold).verdict == bench.iterate(warm).verdict == "FIXED"
    assert [run.outputs()[0][1].version.digest for run in (cold, warm)] == ["=1", "=2"]


def test_reads_from_outside_are_told_apart_from_the_state() -> None:
    bench = Bench({"a": lambda look: {"x": (look("src") or "") + (look("x") or "")[:1], "y": look("nowhere") or "-"}}, {"src": "s"})
    run = bench.knot([step("a")])
    bench.iterate(run)
    assert [(r.path, r.digest) for r in run.external_reads()[0][1]] == [("nowhere", "absent"), ("src", "=s")]


def test_a_source_that_changes_under_way_is_noticed() -> None:
    bench = Bench({"a": lambda look: {"x": look("src") + (look("x") or "")[:1]}}, {"src": "s"})  # type: ignore[operator]
    run = bench.knot([step("a")])
    todo = run.next()
    assert todo is not None
    run.accept("a", bench.settle(todo, dict(run.overlay)))
    assert not run.torn and run.next() is not None
    bench.sources["src"] = "t"
    run.accept("a", bench.settle(todo, dict(run.overlay)))
    assert run.torn


@pytest.mark.parametrize("feedback", [True, False])
def test_one_step_is_a_knot_only_with_feedback(feedback: bool) -> None:
    bench = Bench({"e": echo("x" if feedback else "src", "x")}, {"src": "s"})
    run = bench.knot([step("e")])
    bench.iterate(run)
    assert run.is_knot() is feedback


def test_outputs_name_their_writers() -> None:
    bench = Bench({"a": echo("src", "y"), "b": echo("y", "z")}, {"src": "s"})
    run = bench.knot([step("a", 0), step("b", 1)])
    bench.iterate(run)
    assert run.outputs() == (("a", Output("y", bench.version("s"))), ("b", Output("z", bench.version("s"))))
