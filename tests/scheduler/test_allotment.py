"""Steps between their decision and their pod: none is lost or sent twice, none goes where it must not, and who is idle helps."""

import random
from collections.abc import Collection

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from cpods.scheduler.allotment import Allotment, Decided, Note, Sent, Stolen
from cpods.scheduler.outlook import Outlook
from cpods.scheduler.placement import STRATEGIES
from tests.helpers.placementworlds import graph

STEPS = 14
PICK = st.integers(0, 1 << 16)


class Office(RuleBasedStateMachine):
    """Says what happens in any order, and follows every note: where each step is, and whether it may be there."""

    @initialize(name=st.sampled_from(sorted(STRATEGIES)) | st.just("locality"), ahead=st.sampled_from([0, 1, 2, None]), seed=PICK)
    def begin(self, name: str, ahead: int | None, seed: int) -> None:
        draw = random.Random(seed)
        made = graph(draw, STEPS)
        self.look = look = Outlook(egress=draw.random() < 0.5)
        self.allotment = Allotment(STRATEGIES[name](seed), look, self.note, ahead)
        self.ahead = ahead
        look.add_files(made.size)
        look.add_steps(made.seconds, made.inputs, made.outputs)
        look.rank_steps(made.followers)
        self.state = ["new"] * STEPS
        self.pod = [-1] * STEPS
        self.allowed: list[Collection[int] | None] = [None] * STEPS
        self.slots: dict[int, int] = {}
        self.asking: set[int] = set()
        self.sent: list[tuple[int, int]] = []
        self.stolen: set[int] = set()
        self.now = 0.0

    # -- what is noted ---------------------------------------------------------------------------------------------

    def note(self, note: Note) -> None:
        step, pod = note.step, note.pod
        assert self.slots[pod] > 0, "who takes no steps gets none"
        assert self.allowed[step] is None or pod in self.allowed[step]
        if isinstance(note, Decided):
            assert self.state[step] == "unplaced" or step in self.asking
            self.asking.discard(step)
            self.state[step], self.pod[step] = "waits", pod
        elif isinstance(note, Stolen):
            assert self.state[step] == "waits" and self.pod[step] != pod
            assert len(self.at("out", pod)) < self.slots[pod] and not self.at("waits", pod), "only who has nothing to do may take it"
            assert note.cost < note.cost_there and self.allotment.strategy.steals
            self.pod[step] = pod
            self.stolen.add(step)
        else:
            assert isinstance(note, Sent) and (self.state[step], self.pod[step]) == ("waits", pod)
            self.state[step] = "out"
            self.sent.append((step, pod))

    def at(self, state: str, pod: int | None = None) -> list[int]:
        return [step for step in range(STEPS) if self.state[step] == state and pod in (None, self.pod[step])]

    def ask(self, steps: Collection[int], then: str) -> None:
        """What is not decided by the end of a call has no pod."""
        self.asking = {*steps}
        for step in steps:
            self.state[step], self.pod[step] = then, -1

    # -- what happens ----------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.5, 4.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=st.sampled_from("abcd"), slots=st.integers(0, 2), busy=st.integers(0, 1), held=st.integers(0, 2))
    def pod_is(self, name: str, slots: int, busy: int, held: int) -> None:
        number = self.look.number(name)
        known = len(self.slots) if number is None else number
        self.slots[known] = slots
        if not slots:
            self.ask(self.at("waits", known), "unplaced")
        assert self.allotment.pod_is(name, slots, 64.0, self.now, busy) == known
        self.asking.clear()
        self.look.hold(known, [held])
        self.nobody_waits_in_vain()

    @precondition(lambda self: self.slots)
    @rule(pick=PICK)
    def pod_gone(self, pick: int) -> None:
        pod = pick % len(self.slots)
        self.slots[pod] = 0
        out, waits = self.at("out", pod), self.at("waits", pod)
        self.ask(waits, "unplaced")
        assert sorted(self.allotment.pod_gone(pod, self.now)) == out
        for step in out:
            self.state[step] = "new"
        self.asking.clear()
        self.nobody_waits_in_vain()

    def nobody_waits_in_vain(self) -> None:
        alive = {pod for pod, slots in self.slots.items() if slots}
        for step in self.at("unplaced"):
            assert not alive & ({*alive} if self.allowed[step] is None else {*self.allowed[step]})

    @precondition(lambda self: self.at("new"))
    @rule(data=st.data(), allowed=st.none() | st.sets(st.integers(0, 4)))
    def ready(self, data: st.DataObject, allowed: set[int] | None) -> None:
        steps = data.draw(st.lists(st.sampled_from(self.at("new")), min_size=1, unique=True))
        self.ask(steps, "unplaced")
        for step in steps:
            self.allowed[step] = allowed
        decisions = self.allotment.ready(steps, self.now, allowed)
        assert sorted(decision.step for decision in decisions) == sorted(steps)
        ranks = [self.look.rank[decision.step] for decision in decisions]
        assert ranks == sorted(ranks, reverse=True), "the longest chains first"
        assert [self.pod[decision.step] for decision in decisions] == [decision.pod for decision in decisions]
        self.asking.clear()
        self.nobody_waits_in_vain()

    @rule()
    def hand_out(self) -> None:
        self.sent, self.stolen = [], set()
        assert self.allotment.hand_out(self.now) == self.sent
        for pod, slots in self.slots.items():
            room = STEPS if self.ahead is None else slots + self.ahead
            mine = [step for step, there in self.sent if there == pod and step not in self.stolen]
            out, waits = self.at("out", pod), self.at("waits", pod)
            ranks = [self.look.rank[step] for step in mine]
            assert ranks == sorted(ranks, reverse=True)
            if mine:
                assert len(out) <= room and min(ranks) >= max([self.look.rank[step] for step in waits], default=0.0)
            assert not waits or len(out) >= room, "who has room gets what waits"

    @precondition(lambda self: self.at("out"))
    @rule(pick=PICK)
    def finished(self, pick: int) -> None:
        step = self.at("out")[pick % len(self.at("out"))]
        self.allotment.finished(step, self.now)
        self.state[step], self.pod[step] = "done", -1

    @precondition(lambda self: self.at("waits") + self.at("unplaced"))
    @rule(pick=PICK)
    def finished_elsewhere(self, pick: int) -> None:
        """A late result of a pod that was given up."""
        steps = self.at("waits") + self.at("unplaced")
        step = steps[pick % len(steps)]
        self.allotment.finished(step, self.now)
        self.state[step], self.pod[step] = "done", -1

    @precondition(lambda self: self.at("out") + self.at("waits") + self.at("unplaced"))
    @rule(pick=PICK)
    def came_back(self, pick: int) -> None:
        steps = self.at("out") + self.at("waits") + self.at("unplaced")
        step = steps[pick % len(steps)]
        self.allotment.came_back(step, self.now)
        self.state[step], self.pod[step] = "new", -1

    @precondition(lambda self: self.at("done"))
    @rule(pick=PICK)
    def undone(self, pick: int) -> None:
        step = self.at("done")[pick % len(self.at("done"))]
        self.look.undone(step)
        self.state[step] = "new"

    @precondition(lambda self: self.at("new") and any(self.slots.values()))
    @rule(pick=PICK)
    def assigned(self, pick: int) -> None:
        step = self.at("new")[pick % len(self.at("new"))]
        pod = next(pod for pod, slots in self.slots.items() if slots)
        self.allotment.assigned(step, pod, self.now)
        self.allowed[step] = None
        self.state[step], self.pod[step] = "out", pod

    @rule()
    def reconsider(self) -> None:
        waits = self.at("waits")
        self.ask(waits, "unplaced")
        self.allotment.reconsider(self.now)
        assert not self.asking, "all were decided"
        self.nobody_waits_in_vain()

    @rule(ahead=st.sampled_from([0, 1, 3, None]))
    def set_ahead(self, ahead: int | None) -> None:
        self.allotment.set_ahead(ahead)
        self.ahead = ahead

    def teardown(self) -> None:
        """Whatever has happened: with one more pod all is done, each step once more at most."""
        if not hasattr(self, "slots"):
            return
        self.pod_is("z", 1, 0, 0)
        for step in self.at("unplaced"):
            self.allotment.came_back(step, self.now)
            self.state[step] = "new"
        new = self.at("new")
        self.ask(new, "unplaced")
        for step in new:
            self.allowed[step] = None
        self.allotment.ready(new, self.now)
        for _ in range(2 * STEPS):
            self.hand_out()
            self.now += 1.0
            for step in self.at("out"):
                self.allotment.finished(step, self.now)
                self.state[step], self.pod[step] = "done", -1
        assert self.at("done") == [*range(STEPS)]
        assert self.look.left(self.now) == pytest.approx(0.0, abs=1e-6)


TestOffice = Office.TestCase
TestOffice.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def office(name: str, slots: list[int], seconds: list[float], ahead: int | None = 1, size: int = 0) -> tuple[Allotment, list[Note]]:
    """Steps that all read the one file, which the first pod holds."""
    notes: list[Note] = []
    look = Outlook(egress=False)
    allotment = Allotment(STRATEGIES[name](), look, notes.append, ahead)
    for pod, count in enumerate(slots):
        allotment.pod_is(f"p{pod}", count, 10.0, 0.0)
    look.add_files([size])
    look.hold(0, [0])
    look.add_steps(seconds, [[0]] * len(seconds), [[]] * len(seconds))
    look.rank_steps([[]] * len(seconds))
    return allotment, notes


def test_a_pod_gets_what_its_slots_hold_and_some_ahead_the_longest_first() -> None:
    allotment, _ = office("max-locality", [2, 2], [1.0, 5.0, 3.0, 4.0, 2.0], size=10)
    allotment.ready([*range(5)], 0.0)
    assert allotment.hand_out(0.0) == [(1, 0), (3, 0), (2, 0)]
    assert allotment.hand_out(0.0) == []
    allotment.finished(3, 4.0)
    assert allotment.hand_out(4.0) == [(4, 0)]
    assert allotment.look.free(0, 4.0) == 7.0, "step 2 runs until 7; step 4 ends there too and is next to 1, which ends at 5"
    allotment.set_ahead(2)
    assert allotment.hand_out(4.0) == [(0, 0)]


def test_an_idle_pod_takes_what_waits_for_another_when_the_estimates_were_wrong() -> None:
    allotment, notes = office("locality", [1, 1], [8.0, 4.0, 4.0, 4.0], ahead=0, size=20)
    allotment.ready([0, 1, 2, 3], 0.0)
    first = {note.step: note.pod for note in notes if isinstance(note, Decided)}
    waiting = [step for step in range(4) if first[step] == 0]
    assert waiting and len(waiting) < 4, "both have some"
    assert not any(isinstance(note, Stolen) for note in notes)
    allotment.hand_out(0.0)
    on_one = [step for step in range(4) if first[step] == 1]
    now = 0.0
    for step in on_one:  # the second pod is fast, the first hangs
        now += 1.0
        allotment.finished(step, now)
        allotment.hand_out(now)
    allotment.hand_out(20.0)
    stolen = [note for note in notes if isinstance(note, Stolen)]
    assert stolen and stolen[0].pod == 1 and first[stolen[0].step] == 0 and stolen[0].cost < stolen[0].cost_there


def test_an_idle_pod_takes_nothing_that_it_may_not_have_or_that_is_dearer_there() -> None:
    allotment, notes = office("locality", [1, 1], [8.0, 4.0, 4.0, 4.0], ahead=0, size=20)
    allotment.ready([0, 1, 2, 3], 0.0, {0})
    assert [allotment.hand_out(0.0), allotment.hand_out(50.0)] == [[(0, 0)], []]
    allotment, notes = office("locality", [1, 1], [8.0, 4.0, 4.0, 4.0], ahead=0, size=10_000)
    allotment.ready([0, 1, 2, 3], 0.0)
    assert [allotment.hand_out(0.0), allotment.hand_out(50.0)] == [[(0, 0)], []], "a thousand seconds to move"
    assert not any(isinstance(note, Stolen) for note in notes)


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {"locality"}))
def test_no_other_strategy_steals(name: str) -> None:
    allotment, notes = office(name, [1, 1], [8.0, 4.0, 4.0, 4.0], ahead=0, size=20)
    allotment.ready([0, 1, 2, 3], 0.0)
    decided = {note.step: note.pod for note in notes if isinstance(note, Decided)}
    out = allotment.hand_out(0.0)
    while out:
        assert all(decided[step] == pod for step, pod in out)
        for step, _ in out:
            allotment.finished(step, 50.0)
        out = allotment.hand_out(50.0)
    assert not any(isinstance(note, Stolen) for note in notes)


def test_what_waits_for_a_drained_pod_goes_elsewhere_and_what_it_has_stays() -> None:
    allotment, _ = office("max-locality", [1, 1], [4.0, 3.0, 2.0], ahead=0, size=20)
    allotment.ready([0, 1, 2], 0.0)
    assert allotment.hand_out(0.0) == [(0, 0)]
    allotment.pod_is("p0", 0, 10.0, 1.0)
    assert allotment.hand_out(1.0) == [(1, 1)]
    allotment.finished(0, 4.0)
    assert allotment.hand_out(4.0) == []
    allotment.finished(1, 4.0)
    assert allotment.hand_out(4.0) == [(2, 1)]


def test_steps_without_a_pod_wait_until_one_comes_that_may_run_them() -> None:
    allotment, notes = office("locality", [1], [4.0, 3.0])
    assert [decision.pod for decision in allotment.ready([0, 1], 0.0, {1})] == [-1, -1]
    assert allotment.hand_out(0.0) == [] and notes == []
    allotment.finished(1, 1.0)
    assert allotment.pod_is("p1", 2, 10.0, 2.0) == 1
    assert allotment.hand_out(2.0) == [(0, 1)], "step 1 has an end already"


def test_a_step_that_a_pod_has_already_takes_its_slot() -> None:
    allotment, notes = office("least-loaded", [1, 1], [4.0, 3.0], ahead=0)
    allotment.assigned(0, 0, 0.0)
    allotment.ready([1], 0.0)
    assert allotment.hand_out(0.0) == [(1, 1)]
    assert [note.step for note in notes] == [1, 1]
    assert allotment.pod_gone(0, 1.0) == [0]
