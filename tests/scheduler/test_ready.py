"""Which units there are, what regrouping keeps, who is ready and who is blocked."""

from collections.abc import Mapping

from cpods.model import Step
from cpods.scheduler.knowledge import Knowledge
from cpods.scheduler.ready import Units
from cpods.scheduler.states import Status
from tests.helpers.bench import step


def units(*steps: Step) -> tuple[Knowledge, Units]:
    knowledge = Knowledge({each.name: each for each in steps}, {}, lambda path: False)
    found = Units(knowledge)
    regroup(knowledge, found)
    return knowledge, found


def regroup(knowledge: Knowledge, found: Units) -> Mapping[str, Step]:
    steps = knowledge.regraph([path for each in knowledge.steps.values() for path in each.outputs])
    found.regroup(steps)
    return steps


A = step("a", 0, outputs=("x",))
B = step("b", 1, inputs=("x",), outputs=("y",))
C = step("c", 2, inputs=("y",), outputs=("z",))


def finish(found: Units, name: str, status: Status, tick: int) -> None:
    unit = found.by_name[name]
    unit.status, unit.finished = status, tick
    found.release(unit)


def test_ready_units_come_one_by_one_as_others_are_done() -> None:
    _, found = units(C, B, A)
    unit = found.pop_ready()
    assert unit is not None and unit.name == "a" and found.pop_ready() is None
    finish(found, "a", Status.DONE, 1)
    unit = found.pop_ready()
    assert unit is not None and unit.name == "b" and found.blockers(found.by_name["c"]) == [unit]


def test_a_bad_end_blocks_all_that_follows() -> None:
    _, found = units(A, B, C)
    found.pop_ready()
    finish(found, "a", Status.FAILED, 1)
    assert [unit.status for unit in found.all()] == [Status.FAILED, Status.BLOCKED, Status.BLOCKED] and found.pop_ready() is None


def test_a_unit_that_could_not_start_is_offered_again() -> None:
    _, found = units(A)
    unit = found.pop_ready()
    assert unit is not None and found.pop_ready() is None
    found.offer_again(unit)
    assert found.pop_ready() is unit


def test_units_with_the_same_members_live_on() -> None:
    knowledge, found = units(A, B, C)
    before = dict(found.by_name)
    regroup(knowledge, found)
    assert found.by_name == before


def test_a_circle_becomes_one_mirrored_unit_in_project_order() -> None:
    knowledge, found = units(A, B)
    knowledge.learn("a", ["y"], ["x"])
    regroup(knowledge, found)
    (unit,) = found.all()
    assert unit.members == ("a", "b") and unit.mirrored and found.of_step("b") is unit and unit.name == "a"


def test_a_step_that_reads_what_it_writes_is_mirrored() -> None:
    _, found = units(step("lock", 0, optional=("l",), outputs=("l",)), A)
    assert [unit.mirrored for unit in found.all()] == [True, False]


def test_who_started_before_what_it_needs_was_done_starts_again() -> None:
    knowledge, found = units(A, C)
    for name, started, finished in (("a", 1, 3), ("c", 2, 4)):
        unit = found.by_name[name]
        unit.status, unit.started, unit.finished = Status.DONE, started, finished
    knowledge.learn("c", ["x"], ["z"])
    regroup(knowledge, found)
    assert found.by_name["c"].status is Status.WAITING and found.by_name["c"].generation == 1
    assert found.by_name["a"].status is Status.DONE


def test_who_started_after_it_stays_done() -> None:
    knowledge, found = units(A, C)
    for name, started, finished in (("a", 1, 2), ("c", 2, 3)):
        unit = found.by_name[name]
        unit.status, unit.started, unit.finished = Status.DONE, started, finished
    knowledge.learn("c", ["x"], ["z"])
    regroup(knowledge, found)
    assert found.by_name["c"].status is Status.DONE


def test_what_was_blocked_for_a_reason_that_is_gone_may_start() -> None:
    knowledge, found = units(A, B)
    found.pop_ready()
    finish(found, "a", Status.FAILED, 1)
    found.by_name["a"].reset()
    regroup(knowledge, found)
    assert [unit.status for unit in found.all()] == [Status.WAITING, Status.WAITING]
    unit = found.pop_ready()
    assert unit is not None and unit.name == "a"


def test_a_given_up_unit_no_longer_holds_an_engine() -> None:
    engine = step("e", 0, outputs=("e.pdf",), open_reads=True, always_mirror=True)
    user = step("user", 1, inputs=("e.pdf", "x"), outputs=("o",))
    _, found = units(engine, user, step("a", 2, outputs=("x",)))
    knowledge = found._knowledge
    assert found.by_name["e"].members == ("e", "user")
    found.give_up(found.by_name["a"])
    regroup(knowledge, found)
    assert found.by_name["e"].members == ("e",)


def test_states_know_what_they_mean() -> None:
    assert [status for status in Status if status.is_open] == [Status.WAITING, Status.RECALLING, Status.RUNNING, Status.CONCLUDING]
    assert [status for status in Status if status.is_dead_end] == [Status.UNSTABLE, Status.FAILED, Status.STUCK, Status.BLOCKED]
    assert [status for status in Status if status.is_busy] == [Status.RECALLING, Status.RUNNING, Status.CONCLUDING]
