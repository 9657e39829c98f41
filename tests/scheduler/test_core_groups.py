"""Groups of parallel steps in a knot, as the core starts them: slots, failures, restarts, late answers."""

import pytest

from cpods.events import Settle
from cpods.model import Remembered, Step
from cpods.scheduler.core import RESTARTS_MAX
from tests.helpers.bench import step
from tests.helpers.desk import Desk

ENGINE = step("e", 0, outputs=("e.pdf",), open_reads=True, always_mirror=True, may_write=("e.",))
FIGURES = [
    step(f"f{number}", 0, inputs=(f"{number}.md5",), outputs=(f"{number}.pdf",), planner="e", parallel=True, open_reads=True)
    for number in range(4)
]
CODES = {f"{number}.md5": "1" for number in range(4)} | {"e.pdf": "1"}
PICTURES = {f"{number}.pdf": None for number in range(4)}


def at_the_pictures(slots: int, others: tuple[Step, ...] = (), **options: object) -> Desk:
    """A desk whose engine has run once and asked for four pictures."""
    known = {"e": Remembered(frozenset({"0.pdf"}), frozenset({"e.pdf"}))}  # else it were presumed to read what the others make
    goals = ["e.pdf", *(("z",) if others else ())]
    desk = Desk([ENGINE, *others], slots=slots, goals=goals, remembered=known, **options)  # type: ignore[arg-type]
    desk.start()
    desk.nothing("e")
    desk.settled("e", PICTURES, CODES, helpers=FIGURES)
    return desk


def settling(desk: Desk) -> list[str]:
    return sorted(word.removeprefix("settle ") for word in desk.open if word.startswith("settle "))


@pytest.mark.parametrize("slots", [1, 2, 3, 4, 9])
def test_as_many_are_under_way_as_there_are_slots_and_one_more_starts_when_one_ends(slots: int) -> None:
    desk = at_the_pictures(slots)
    ended = 0
    while settling(desk) != ["e"]:
        assert len(settling(desk)) == min(slots, 4 - ended)
        desk.settled(settling(desk)[-1])
        ended += 1
    assert ended == 4


def test_all_members_are_given_the_state_before_the_group() -> None:
    desk = at_the_pictures(1)
    for name in ("f0", "f1", "f2", "f3"):
        order = desk.open[f"settle {name}"]
        assert isinstance(order, Settle) and not [path for path in order.overlay if path.endswith("0.pdf")]
        desk.settled(name, {f"{name[1]}.md5": "1"})
    order = desk.open["settle e"]
    assert isinstance(order, Settle) and {"0.pdf", "3.pdf"} <= order.overlay.keys()
    assert desk.settled("e", dict.fromkeys(PICTURES, "1"), CODES, helpers=FIGURES) == ["conclude e"]
    assert desk.solution("e").verdict == "FIXED" and desk.solution("e").passes == 2


def test_a_free_slot_goes_to_an_open_group_before_another_unit_is_begun() -> None:
    desk = at_the_pictures(2, (step("c", 2, outputs=("z",)), step("d", 3, inputs=("z",), outputs=("w",))))
    assert "settle c" in desk.open and settling(desk) == ["c", "f0"]
    assert desk.settled("c") == ["settle f1"]
    assert desk.settled("f0") == ["settle f2"]


def test_a_member_without_a_result_fails_the_knot_once_its_group_is_through() -> None:
    desk = at_the_pictures(2)
    assert desk.spoilt("f0") == ["settle f2"]
    assert desk.settled("f1") == ["settle f3"]
    assert desk.settled("f2") == []
    assert desk.settled("f3") == ["conclude e"]
    assert desk.solution("e").verdict == "FAILED" and desk.solution("e").failed == ("f0",)
    assert {name for name, _ in desk.solution("e").last} == {"e", "f1", "f2", "f3"}
    assert desk.concluded("e") == ["finish"] and desk.statuses() == {"e": "failed"}


def test_fail_fast_starts_nothing_more_and_waits_for_what_runs() -> None:
    desk = at_the_pictures(2, fail_fast=True)
    assert desk.spoilt("f0") == []
    assert desk.settled("f1") == ["conclude e"]
    assert desk.solution("e").failed == ("f0",) and "settle f2" not in desk.open


def test_fail_fast_ends_a_group_that_waits_for_slots_when_another_unit_fails() -> None:
    desk = at_the_pictures(2, (step("c", 2, outputs=("z",)),), fail_fast=True, failures_max=1)
    assert settling(desk) == ["c", "f0"]
    assert desk.spoilt("c") == []
    assert desk.settled("f0") == ["finish"] and desk.statuses()["e"] == "waiting"


def test_a_stale_member_restarts_the_unit_when_the_others_have_come() -> None:
    desk = at_the_pictures(3)
    assert desk.spoilt("f1", stale=True) == [], "f0 and f2 are still under way"
    assert desk.settled("f2") == []
    assert desk.settled("f0") == ["recall e"]
    desk.nothing("e")
    desk.settled("e", PICTURES, CODES, helpers=FIGURES)
    assert settling(desk) == ["f0", "f1", "f2"]


def test_a_member_that_is_always_stale_fails_in_the_end() -> None:
    desk = at_the_pictures(4)
    for _ in range(RESTARTS_MAX):
        desk.spoilt("f1", stale=True)
        for name in ("f0", "f2", "f3"):
            desk.settled(name)
        desk.nothing("e")
        desk.settled("e", PICTURES, CODES, helpers=FIGURES)
    desk.spoilt("f1", stale=True)
    for name in ("f0", "f2", "f3"):
        desk.settled(name)
    assert desk.solution("e").verdict == "FAILED" and desk.solution("e").failed == ("f1",)


def test_what_a_helper_s_own_helper_reads_is_known_of_the_engine() -> None:
    desk = at_the_pictures(4)
    table = step("g", 0, outputs=("t",), planner="f0", parallel=True)
    for name in ("f1", "f2", "f3"):
        desk.settled(name)
    assert desk.settled("f0", {"t": None}, helpers=[table]) == ["settle g"]
    desk.settled("g", {"data": "1"})
    assert "data" in desk.core.knowledge.traffic["e"].reads
