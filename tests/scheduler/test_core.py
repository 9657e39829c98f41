"""The core, question by question: what it asks for after each answer, and when it is content."""

import pytest

from cpods.errors import UsageError
from cpods.events import Settle, Settled
from cpods.model import Remembered
from cpods.scheduler.core import RESTARTS_MAX
from tests.helpers.bench import step
from tests.helpers.desk import Desk, result_of

A = step("a", 0, outputs=("x",))
B = step("b", 1, inputs=("x",), outputs=("y",))
C = step("c", 2, outputs=("z",))
ENGINE = step("e", 0, outputs=("e.pdf",), open_reads=True, always_mirror=True, may_write=("e.",))


def test_one_step_behind_the_other() -> None:
    desk = Desk([A, B])
    assert desk.start() == ["settle a"]
    assert desk.settled("a") == ["settle b"]
    assert desk.settled("b", {"x": "1"}) == ["finish"]
    assert desk.statuses() == {"a": "done", "b": "done"} and desk.core.finished_steps() == {"a", "b"}


def test_slots_are_kept_and_ready_steps_come_in_project_order() -> None:
    desk = Desk([C, A, step("d", 3, outputs=("w",))], slots=2)
    assert desk.start() == ["settle a", "settle c"]
    assert desk.settled("c") == ["settle d"]
    assert desk.settled("d") == [] and desk.settled("a") == ["finish"]


def test_only_what_goals_need() -> None:
    desk = Desk([A, B, C], goals=["z"])
    assert desk.start() == ["settle c"] and desk.settled("c") == ["finish"]


def test_a_goal_that_nothing_makes() -> None:
    with pytest.raises(UsageError, match="did you mean x"):
        Desk([step("s", 0, outputs=("xx",)), A], goals=["xxx"]).start()


def test_a_goal_that_is_a_source_needs_nothing() -> None:
    assert Desk([A], ["readme"], ["readme"]).start() == ["finish"]


def test_a_read_of_a_product_that_nobody_declared() -> None:
    desk = Desk([step("early", 0, outputs=("o",)), C])
    assert desk.start() == ["settle early"]
    assert desk.settled("early", {"z": None}) == ["settle c"], "early has to wait for c now"
    assert desk.settled("c") == ["settle early"]
    assert desk.settled("early", {"z": "1"}) == ["finish"]


def test_a_read_of_a_product_that_was_there_in_time_costs_nothing() -> None:
    desk = Desk([step("first", 0, outputs=("z",)), step("late", 1, outputs=("o",))])
    desk.start()
    assert desk.settled("first") == ["settle late"]
    assert desk.settled("late", {"z": "1"}) == ["finish"]


def test_a_file_written_that_a_finished_step_reads() -> None:
    desk = Desk([step("reader", 0, outputs=("o",)), C])
    desk.start()
    assert desk.settled("reader", {"surprise": None}) == ["settle c"]
    assert desk.settled("c", writes={"z": "1", "surprise": "1"}) == ["settle reader"]
    assert desk.settled("reader", {"surprise": "1"}) == ["finish"]


def test_plain_steps_merge_to_a_knot_when_a_circle_shows() -> None:
    desk = Desk([A, step("b", 1, inputs=("x",), outputs=("y",))])
    desk.start()
    assert desk.settled("a", {"y": None}) == ["recall a"]
    assert desk.members("a") == ["a", "b"]
    assert desk.nothing("a") == ["settle a"]
    assert desk.settled("a", {"y": None}) == ["settle b"]
    assert desk.settled("b", {"x": "1"}) == ["settle a"]
    assert desk.settled("a", {"y": "1"}) == ["conclude a"]
    assert desk.solution("a").verdict == "FIXED" and desk.solution("a").passes == 2
    assert desk.concluded("a") == ["finish"]


def test_a_presumed_knot_splits_when_the_engine_has_run() -> None:
    maker = step("m", 1, inputs=("list",), outputs=("m.csv",))
    desk = Desk([ENGINE, maker], ["list2"], slots=1)
    assert desk.start() == ["recall e"] and desk.members("e") == ["e", "m"]
    desk.nothing("e")
    # The engine read nothing of m, and m still lacks its list: they have nothing to do with each other.
    assert desk.settled("e", {"e.aux": None}, {"e.pdf": "1"}) == ["recall e"]
    assert desk.members("e") == ["e"]
    assert desk.nothing("e") == ["settle e"]
    assert desk.settled("e", {"e.aux": None}, {"e.pdf": "1"}) == ["conclude e"]
    assert desk.concluded("e") == ["finish"]
    assert desk.statuses() == {"e": "done", "m": "waiting"} and desk.core.lacking(desk.core.blocked()[0]) == [("m", "list", ())]


def test_an_answer_from_before_a_regrouping_is_waited_for_and_not_taken() -> None:
    desk = Desk([A, B, C], slots=2)
    assert desk.start() == ["settle a", "settle c"]
    old = desk.open["settle a"]
    assert isinstance(old, Settle)
    # c turns out to read y: b -> c; and c writes what a will be known to read.
    assert desk.settled("c", {"y": None}) == []
    assert desk.settled("a", {"z": "0"}) == ["recall a"], "a, b and c are one knot now"
    assert desk.members("a") == ["a", "b", "c"]


def test_a_unit_waits_for_late_answers_of_its_steps() -> None:
    loop = step("l", 3, inputs=("z",), outputs=("v",))
    desk = Desk([A, C, loop], slots=2, remembered={})
    assert desk.start() == ["settle a", "settle c"]
    # a reads v: it must wait for l; its own answer is in, c's is still under way.
    assert desk.settled("a", {"v": None}) == []
    # c reads x: the circle a, c, l is complete.
    assert desk.settled("c", {"x": None}) == ["recall a"] and desk.members("a") == ["a", "c", "l"]


def test_failures_block_what_needs_them_and_nothing_else() -> None:
    desk = Desk([A, B, C])
    desk.start()
    assert desk.spoilt("a") == ["settle c"]
    assert desk.settled("c") == ["finish"]
    assert desk.statuses() == {"a": "failed", "b": "blocked", "c": "done"}
    assert [unit.name for unit in desk.core.blocked()] == ["b"]
    assert [unit.name for unit in desk.core.units.blockers(desk.core.blocked()[0])] == ["a"]


def test_the_first_failure_stops_new_starts_but_not_what_runs() -> None:
    desk = Desk([A, C, step("d", 3, outputs=("w",))], slots=2, failures_max=1)
    desk.start()
    assert desk.spoilt("a") == [] and desk.finishes == 0
    assert desk.settled("c") == ["finish"]
    assert desk.statuses() == {"a": "failed", "c": "done", "d": "waiting"}


@pytest.mark.parametrize(("allowed", "started"), [(1, 1), (2, 2), (3, 3), (0, 4)])
def test_k_failures(allowed: int, started: int) -> None:
    desk = Desk([step(f"s{i}", i, outputs=(f"o{i}",)) for i in range(4)], failures_max=allowed)
    asked = desk.start()
    for _ in range(started):
        (word,) = [word for word in asked if word != "finish"]
        asked = desk.spoilt(word.removeprefix("settle "))
    assert asked == ["finish"]


def test_a_running_knot_goes_on_to_its_verdict_when_the_build_stops() -> None:
    """Otherwise it would depend on timing how far it gets, and the next build would run more than the failed step."""
    knot = step("k", 0, optional=("w",), outputs=("w",))
    desk = Desk([knot, C], slots=2, failures_max=1)
    assert desk.start() == ["recall k", "settle c"]
    assert desk.nothing("k") == ["settle k"]
    assert desk.spoilt("c") == []
    assert desk.settled("k", {"w": None}) == ["settle k"]


def test_fail_fast_ends_the_passes_of_a_running_knot_too() -> None:
    knot = step("k", 0, optional=("w",), outputs=("w",))
    desk = Desk([knot, C], slots=2, failures_max=1, fail_fast=True)
    assert desk.start() == ["recall k", "settle c"]
    assert desk.nothing("k") == ["settle k"]
    assert desk.spoilt("c") == []
    assert desk.settled("k", {"w": None}) == ["finish"] and desk.statuses()["k"] == "waiting"


def test_a_missing_input_made_later_by_another_step() -> None:
    desk = Desk([step("cc", 0, outputs=("o",)), step("gen", 1, outputs=("gen.h",))])
    desk.start()
    assert desk.spoilt("cc", "gen.h") == ["settle gen"]
    assert desk.settled("gen") == ["settle cc"]
    assert desk.settled("cc", {"gen.h": "1"}) == ["finish"]
    assert desk.statuses() == {"cc": "done", "gen": "done"} and not desk.core.failures


def test_the_same_when_its_maker_does_not_say_so() -> None:
    desk = Desk([step("cc", 0, outputs=("o",)), step("gen", 1, outputs=("stamp",))])
    desk.start()
    assert desk.spoilt("cc", "gen.h") == ["settle gen"]
    assert desk.settled("gen", writes={"stamp": "1", "gen.h": "1"}) == ["settle cc"]
    assert desk.settled("cc", {"gen.h": "1"}) == ["finish"] and not desk.core.failures


def test_and_counts_as_no_failure_where_its_maker_is_known() -> None:
    desk = Desk([step("cc", 0, outputs=("o",)), step("gen", 1, outputs=("gen.h",))], failures_max=1)
    desk.start()
    assert desk.spoilt("cc", "gen.h") == ["settle gen"]


def test_a_required_input_that_nobody_declares_may_still_come() -> None:
    desk = Desk([step("user", 0, inputs=("extra",), outputs=("o",)), C])
    assert desk.start() == ["settle c"]
    assert desk.settled("c", writes={"z": "1", "extra": "1"}) == ["settle user"]


def test_two_makers_of_one_file() -> None:
    desk = Desk([A, C, step("reader", 3, optional=("log",), outputs=("v",))])
    desk.start()
    desk.settled("a", writes={"x": "1", "log": "1"})
    with pytest.raises(UsageError, match="log: both a and c write it"):
        desk.settled("c", writes={"z": "1", "log": "2"})


def test_a_stale_answer_starts_its_step_again() -> None:
    desk = Desk([A])
    desk.start()
    assert desk.spoilt("a", stale=True) == ["settle a"]
    assert desk.settled("a") == ["finish"] and not desk.core.failures


def test_but_not_for_ever() -> None:
    desk = Desk([A])
    desk.start()
    for _ in range(RESTARTS_MAX):
        assert desk.spoilt("a", stale=True) == ["settle a"]
    assert desk.spoilt("a", stale=True) == ["finish"]
    assert "kept changing" in desk.core.failures["a"].problems[0].message


def test_for_ever_if_somebody_who_watches_says_so() -> None:
    desk = Desk([A])
    desk.start()
    for _ in range(RESTARTS_MAX + 2):
        assert desk.spoilt("a", stale=True, told=True) == ["settle a"]
    assert desk.settled("a") == ["finish"] and not desk.core.failures


def test_plain_steps_ahead_of_the_slots_wait_where_they_will_run_but_knots_do_not() -> None:
    knot = step("knot", 2, optional=("w",), outputs=("w",))
    desk = Desk([A, step("b", 1, outputs=("y",)), knot, step("d", 3, outputs=("v",))], slots=1)
    desk.core.ahead = 1
    assert desk.start() == ["settle a", "settle b"]
    assert desk.settled("a") == [], "a slot is taken still"
    assert desk.settled("b") == ["recall knot", "settle d"]
    desk.core.ahead = 0
    assert desk.settled("d") == [] and desk.nothing("knot") == ["settle knot"]


def test_a_knot_whose_sources_move_on_starts_again() -> None:
    desk = Desk([step("k", 0, optional=("w",), outputs=("w",))])
    desk.start()
    desk.nothing("k")
    desk.settled("k", {"src": "1", "w": None})
    assert desk.settled("k", {"src": "2", "w": "1"}) == ["recall k"], "two states of the source in one way prove nothing"
    desk.nothing("k")
    desk.settled("k", {"src": "2", "w": None})
    assert desk.settled("k", {"src": "2", "w": "1"}) == ["conclude k"]
    assert desk.concluded("k", moved_on=True) == ["recall k"]


def test_a_knot_whose_sources_never_hold_still_fails_and_nobody_builds_on_it() -> None:
    knot = step("k", 0, optional=("w",), outputs=("w",))
    desk = Desk([knot, step("behind", 1, inputs=("w",), outputs=("v",))])
    desk.start()
    for round in range(RESTARTS_MAX + 1):
        desk.nothing("k")
        desk.settled("k", {"src": str(round), "w": None})
        assert desk.settled("k", {"src": str(round), "w": "1"}) == ["conclude k"]
        told = desk.concluded("k", moved_on=True)
    assert told == ["finish"]
    assert "kept changing" in desk.core.failures["k"].problems[0].message
    assert "k" not in desk.core.solutions


def test_a_recalled_solution_is_concluded_without_a_run() -> None:
    knot = step("a", 0, optional=("y",), outputs=("x",))
    first = Desk([knot, B])
    first.start()
    first.nothing("a")
    first.settled("a", {"y": None})
    first.settled("b", {"x": "1"})
    first.settled("a", {"y": "1"})
    stored = first.solution("a")
    second = Desk([knot, B])
    assert second.start() == ["recall a"]
    assert second.recalled("a", stored) == ["conclude a"]
    assert second.concluded("a") == ["finish"] and second.core.hows == {"a": "cached", "b": "cached"}


def test_a_fresh_engine_is_not_held_back_by_a_failure_that_it_was_only_presumed_to_need() -> None:
    broken, behind = step("broken", 1, outputs=("q",)), step("behind", 2, inputs=("q", "e.pdf"), outputs=("r",))
    desk = Desk([ENGINE, broken, behind], failures_max=0)
    assert desk.start() == ["settle broken"]
    assert desk.spoilt("broken") == ["recall e"] and desk.members("e") == ["e"], "its presumed reader is blocked; it is not"
    desk.nothing("e")
    desk.settled("e", {"e.aux": None}, {"e.pdf": "1"})
    assert desk.open.keys() <= {"recall e", "conclude e"}


def test_a_failure_in_a_presumed_knot_is_no_failure_of_the_engine() -> None:
    user = step("user", 0, optional=("e.pdf", "info"), outputs=("o",))
    engine = step("e", 1, outputs=("e.pdf",), open_reads=True, always_mirror=True, may_write=("e.",))
    desk = Desk([user, engine])
    assert desk.start() == ["recall user"] and desk.members("user") == ["user", "e"]
    assert desk.nothing("user") == ["settle user"]
    assert desk.spoilt("user", "e.pdf") == ["conclude user"]
    assert desk.concluded("user") == ["recall e"], "on its own"
    desk.nothing("e")
    desk.settled("e", {"e.aux": None}, {"e.pdf": "1"})
    while "conclude e" not in desk.open:
        desk.nothing("e") if "recall e" in desk.open else desk.settled("e", {"e.aux": None}, {"e.pdf": "1"})
    assert desk.concluded("e") == ["settle user"]
    assert desk.settled("user", {"e.pdf": "1"}) == ["finish"] and set(desk.statuses().values()) == {"done"}
    assert not desk.core.failures


def test_a_remembered_engine_is_presumed_nothing() -> None:
    known = {"e": Remembered(frozenset({"z", "e.aux"}), frozenset({"e.pdf", "e.aux"}))}
    desk = Desk([ENGINE, A, C], remembered=known)
    assert desk.start() == ["settle a"]
    assert desk.settled("a") == ["settle c"]
    assert desk.settled("c") == ["recall e"]


def test_what_earlier_builds_remembered_gives_way_to_the_first_run() -> None:
    known = {"a": Remembered(frozenset({"z"}), frozenset({"x"}))}
    desk = Desk([step("a", 0, outputs=("x",), depfile="a.d"), C], remembered=known)
    assert desk.start() == ["settle c"], "a read z once"
    assert desk.settled("c") == ["settle a"]
    assert desk.settled("a", {}) == ["finish"] and not desk.core.knowledge.graph.hard["c"]


def test_helpers_count_as_their_engine() -> None:
    tool = step("e/tool", 0, inputs=("e.aux",), outputs=("e.bbl",), planner="e")
    desk = Desk([ENGINE])
    desk.start()
    desk.nothing("e")
    aux = {"e.aux": None, "e.bbl": None}
    assert desk.settled("e", aux, {"e.pdf": "1", "e.aux": "c"}, helpers=[tool]) == ["settle e/tool"]
    assert desk.settled("e/tool", {"e.aux": "c"}, {"e.bbl": "b"}) == ["settle e"]
    done = desk.settled("e", {"e.aux": "c", "e.bbl": "b"}, {"e.pdf": "2", "e.aux": "c"}, helpers=[tool])
    assert done == ["conclude e"] and desk.solution("e").order == ("e", "e/tool")
    assert desk.core.knowledge.graph.maker["e.bbl"] == ("e",)


def test_a_late_answer_of_a_helper_counts_for_its_engine() -> None:
    """Also after the knot was started again or regrouped, and when the engine is not the knot's first step."""
    first = step("k", 0, outputs=("k.pdf",), optional=("f.pdf",))
    engine = step("f", 1, outputs=("f.pdf",), optional=("k.pdf",), open_reads=True, always_mirror=True)
    tool = step("f/tool", 1, outputs=("f.bbl",), planner="f")
    desk = Desk([first, engine, C], slots=2)
    assert desk.start() == ["settle c"]
    desk.settled("c")
    desk.nothing("k")
    desk.settled("k", {"f.pdf": None})
    desk.settled("f", {"k.pdf": "1"}, helpers=[tool])
    assert "settle f/tool" in desk.open
    desk.core.units.by_name["k"].reset()
    desk.settled("f/tool", {}, {"f.bbl": "1"})
    assert desk.core.knowledge.traffic["f"].writes == {"f.pdf", "f.bbl"} and desk.core.knowledge.traffic["k"].writes == {"k.pdf"}


def test_a_recalled_solution_that_shows_a_failed_forerunner_is_dropped() -> None:
    knot = step("k", 1, optional=("w",), outputs=("w",))
    other = Desk([knot])
    other.start()
    other.nothing("k")
    other.settled("k", {"w": None, "x": None})
    other.settled("k", {"w": "1", "x": None})
    desk = Desk([A, knot], slots=2)
    assert desk.start() == ["settle a", "recall k"]
    desk.spoilt("a")
    assert desk.recalled("k", other.solution("k")) == ["finish"]
    assert desk.statuses() == {"a": "failed", "k": "blocked"}


def test_fail_fast_stops_a_knot_at_its_first_error() -> None:
    knot = step("k", 0, optional=("w",), outputs=("w",))
    for fast, expected in ((True, ["conclude k"]), (False, ["settle k"])):
        desk = Desk([knot], fail_fast=fast)
        desk.start()
        desk.nothing("k")
        assert desk.settled("k", {"w": None}, exit_code=1) == expected


def test_one_pass_is_published_as_unstable_and_holds_back_what_follows() -> None:
    knot = step("k", 0, optional=("w",), outputs=("w",))
    desk = Desk([knot, step("after", 1, inputs=("w",), outputs=("v",))], until_stable=False)
    desk.start()
    desk.nothing("k")
    assert desk.settled("k", {"w": None}) == ["conclude k"]
    assert desk.concluded("k") == ["finish"] and desk.statuses() == {"k": "unstable", "after": "blocked"}


def test_the_strongest_way_in_which_a_step_was_settled_is_told() -> None:
    knot = step("k", 0, optional=("w",), outputs=("w",))
    desk = Desk([knot])
    desk.start()
    desk.nothing("k")
    desk.settled("k", {"w": None})
    desk.tell("settle k", Settled("k", result_of("k", {"w": "1"}, {"w": "1"}), "cached"))
    assert desk.core.hows == {"k": "ran"}


def test_finish_comes_once_even_if_late_answers_follow() -> None:
    desk = Desk([A, B, C], slots=3)
    desk.start()
    desk.settled("c", {"y": None})
    desk.settled("a")
    desk.settled("b", {"x": "1"})
    assert desk.settled("c", {"y": "1"}) == ["finish"] and desk.finishes == 1 and not desk.open
