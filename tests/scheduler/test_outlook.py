"""What placement expects: each answer is that of a plain twin that keeps nothing but what it was told; and some by example."""

import copy
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cpods.scheduler.outlook import BANDWIDTH, Outlook
from tests.helpers.placementworlds import graph
from tests.helpers.plainoutlook import PlainOutlook

#: Times, sizes and speeds that floats add and divide exactly.
SECONDS = st.integers(0, 40).map(lambda eighths: eighths / 8)
SIZES = st.sampled_from([0, 0, 8, 64, 640])
SPEEDS = st.sampled_from([0.0, 8.0, 64.0])
PICK = st.integers(0, 1 << 16)
LATER = st.sampled_from([0.0, 0.0, 0.5, 4.0])


class Twins(RuleBasedStateMachine):
    """Tells both the same and asks both the same."""

    @initialize(egress=st.booleans(), arrivals=st.booleans(), seed=PICK)
    def begin(self, egress: bool, arrivals: bool, seed: int) -> None:
        self.look = Outlook(egress, arrivals)
        self.plain = PlainOutlook(egress, arrivals)
        self.now = 0.0
        made = graph(random.Random(seed), 6)
        for told in (self.look, self.plain):
            for pod in range(1 + seed % 3):
                told.pod_is("abc"[pod], 1 + (seed + pod) % 2, 8.0, 0.0)
            told.add_files(made.size)
            told.hold(0, range(made.external))
            told.add_steps(made.seconds, made.inputs, made.outputs)

    def steps(self, *states: str) -> list[int]:
        return [number for number, step in enumerate(self.plain.steps) if step.state in states]

    def todo(self) -> list[int]:
        return [step for step in self.steps("") if not self.plain.steps[step].done]

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=st.sampled_from("abcd"), slots=st.integers(0, 3), speed=SPEEDS, busy=st.integers(0, 2))
    def pod_is(self, name: str, slots: int, speed: float, busy: int) -> None:
        known = self.look.number(name)
        number = self.look.pod_is(name, slots, speed, self.now, busy)
        assert number == self.plain.pod_is(name, slots, speed, self.now, busy)
        assert known in (None, number) and self.look.number(name) == number

    @precondition(lambda self: self.plain.pods)
    @rule(pick=PICK)
    def pod_gone(self, pick: int) -> None:
        pod = pick % len(self.plain.pods)
        assert self.look.pod_gone(pod, self.now) == self.plain.pod_gone(pod, self.now)

    @rule(sizes=st.lists(SIZES, min_size=1, max_size=3))
    def add_files(self, sizes: list[int]) -> None:
        self.look.add_files(sizes)
        self.plain.add_files(sizes)

    @precondition(lambda self: self.plain.size)
    @rule(pick=PICK, size=SIZES)
    def resize(self, pick: int, size: int) -> None:
        self.look.resize(pick % len(self.plain.size), size)
        self.plain.resize(pick % len(self.plain.size), size)

    @rule(estimates=st.lists(SECONDS, min_size=1, max_size=3), data=st.data())
    def add_steps(self, estimates: list[float], data: st.DataObject) -> None:
        inputs = [data.draw(self.files(), label="inputs") for _ in estimates]
        outputs = [data.draw(self.files(1), label="outputs") for _ in estimates]
        self.look.add_steps(estimates, inputs, outputs)
        self.plain.add_steps(estimates, inputs, outputs)

    def files(self, most: int = 4) -> st.SearchStrategy[list[int]]:
        count = len(self.plain.size)
        return st.lists(st.integers(0, count - 1), max_size=most, unique=True) if count else st.just([])

    @precondition(lambda self: self.todo())
    @rule(pick=PICK, data=st.data())
    def reads(self, pick: int, data: st.DataObject) -> None:
        step, inputs = self.todo()[pick % len(self.todo())], data.draw(self.files())
        self.look.reads(step, inputs)
        self.plain.reads(step, inputs)

    @precondition(lambda self: self.steps(""))
    @rule(pick=PICK, seconds=SECONDS)
    def expect(self, pick: int, seconds: float) -> None:
        steps = self.steps("")[pick % 3 :: 2]
        self.look.expect(steps, seconds)
        self.plain.expect(steps, seconds)

    @precondition(lambda self: self.plain.pods)
    @rule(pick=PICK, data=st.data(), drop=st.booleans())
    def hold_or_drop(self, pick: int, data: st.DataObject, drop: bool) -> None:
        pod, files = pick % len(self.plain.pods), data.draw(self.files())
        for outlook in (self.look, self.plain):
            (outlook.drop if drop else outlook.hold)(pod, files)

    @precondition(lambda self: self.todo() and self.plain.alive)
    @rule(pick=PICK, where=PICK)
    def give(self, pick: int, where: int) -> None:
        step, pod = self.todo()[pick % len(self.todo())], self.plain.alive[where % len(self.plain.alive)]
        assert self.look.give(step, pod, self.now) == self.plain.give(step, pod, self.now)

    @precondition(lambda self: self.steps("waits"))
    @rule(pick=PICK, seconds=LATER)
    def started(self, pick: int, seconds: float) -> None:
        self.now += seconds
        step = self.steps("waits")[pick % len(self.steps("waits"))]
        self.look.started(step, self.now)
        self.plain.started(step, self.now)

    @precondition(lambda self: self.steps("waits", "runs"))
    @rule(pick=PICK)
    def take_back(self, pick: int) -> None:
        step = self.steps("waits", "runs")[pick % len(self.steps("waits", "runs"))]
        assert self.look.take_back(step, self.now) == self.plain.take_back(step, self.now)

    @precondition(lambda self: self.steps("waits", "runs"))
    @rule(pick=PICK, seconds=LATER)
    def finished(self, pick: int, seconds: float) -> None:
        self.now += seconds
        step = self.steps("waits", "runs")[pick % len(self.steps("waits", "runs"))]
        self.look.finished(step, self.now)
        self.plain.finished(step, self.now)

    @precondition(lambda self: self.plain.steps)
    @rule(pick=PICK)
    def undone(self, pick: int) -> None:
        step = pick % len(self.plain.steps)
        if not self.plain.steps[step].state:
            self.look.undone(step)
            self.plain.undone(step)

    @precondition(lambda self: self.plain.alive)
    @rule(allowed=st.none() | st.sets(st.integers(0, 5)))
    def least(self, allowed: set[int] | None) -> None:
        if allowed is not None and not allowed & {*self.plain.alive}:
            with pytest.raises(ValueError):
                self.look.least(self.now, allowed)
        else:
            assert self.look.least(self.now, allowed) == self.plain.least(self.now, allowed)
        self.slots()

    @rule(seconds=LATER)
    def slots(self, seconds: float = 0.0) -> None:
        self.now += seconds
        for pod in self.plain.alive:
            assert self.look.free(pod, self.now) == self.plain.free(pod, self.now)
            assert self.look.occupancy(pod, self.now) == pytest.approx(self.plain.occupancy(pod, self.now))

    @rule()
    def a_fresh_look_says_the_same_unless_something_is_late(self) -> None:
        for pod in self.plain.alive:
            if self.look.stale[pod] or self.plain.pods[pod].others:  # steps of others are taken to begin whenever one looks
                continue
            begins = self.plain.begins(pod)
            due = [step.begun + step.estimate for step in self.plain.steps if step.pod == pod and step.state == "runs"]
            if min([*due, *begins.values()], default=self.now) >= self.now:
                fresh = copy.deepcopy(self.look)
                assert fresh.expected(pod, self.now) == {step: begin + self.plain.steps[step].estimate for step, begin in begins.items()}
                now = [max(end, self.now) for end in (fresh.free_at[pod], *fresh.ends[pod])]
                before = [max(end, self.now) for end in (self.look.free_at[pod], *self.look.ends[pod])]
                assert sorted(now) == sorted(before)

    @rule()
    def ends(self) -> None:
        for pod in self.plain.alive:
            assert self.look.expected(pod, self.now) == self.plain.expected(pod, self.now)
            for step in range(len(self.plain.steps)):
                missing = self.look.missing(step, pod)
                assert self.look.arrival(step, pod, self.now, missing) == self.plain.arrival(step, pod, self.now)
                assert self.look.finish(step, pod, self.now, missing) == self.plain.finish(step, pod, self.now)

    @invariant()
    def what_is_known(self) -> None:
        if not hasattr(self, "look"):
            return
        look, plain = self.look, self.plain
        assert look.alive == plain.alive
        assert look.slots_total == sum(pod.slots for pod in plain.pods)
        assert {(file, pod): when for file, where in enumerate(look.where) for pod, when in where.items()} == plain.copies
        assert (look.link, look.served) == ([pod.link for pod in plain.pods], [pod.served for pod in plain.pods])
        assert look.given == [pod.given for pod in plain.pods]
        assert look.left(self.now) == pytest.approx(plain.left(self.now), abs=1e-6)
        assert look.readers == plain.readers
        for step in range(len(plain.steps)):
            assert look.brought(step) == plain.brought(step)
            assert [look.missing(step, pod) for pod in range(len(plain.pods))] == [
                plain.missing(step, pod) for pod in range(len(plain.pods))
            ]
        seconds = [step.estimate for step in plain.steps]
        assert look.seconds_mean == pytest.approx(sum(seconds) / max(1, len(seconds)))
        read = [plain.size[file] for step in plain.steps for file in step.inputs]
        assert look.bytes_mean == pytest.approx(sum(read) / max(1, len(seconds)))


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)


def outlook(pods: str = "ab", slots: int = 1, egress: bool = False) -> Outlook:
    """Pods that pull ten bytes a second; four files of 100 bytes, the first held by pod 0; steps of 10 s, step n reads file n."""
    look = Outlook(egress)
    for name in pods:
        look.pod_is(name, slots, 10.0, 0.0)
    look.add_files([100] * 4)
    look.add_steps([10.0] * 4, [[file] for file in range(4)], [[]] * 4)
    look.hold(0, [0])
    return look


def test_a_slot_is_free_behind_what_runs_and_what_waits_in_order() -> None:
    look = outlook(slots=2)
    look.hold(0, range(4))
    assert [look.free(0, 5.0), look.least(5.0)] == [0.0, 0], "free since it came"
    for step in range(3):
        look.give(step, 0, 5.0)
    assert look.free(0, 5.0) == 15.0
    look.started(0, 5.0)
    look.started(1, 6.0)
    assert look.expected(0, 7.0) == {2: 25.0}
    assert [look.free(0, 7.0), look.least(7.0), look.occupancy(0, 7.0)] == [16.0, 1, (9 + 18) / 2]
    look.finished(1, 8.0)
    assert [look.free(0, 8.0), look.expected(0, 8.0)] == [15.0, {2: 18.0}], "it came sooner than was expected"
    assert look.left(8.0) == 10 + 10 + 7


def test_a_step_that_starts_before_the_end_of_the_one_before_it_is_told() -> None:
    look = outlook()
    look.hold(0, range(4))
    look.give(0, 0, 0.0)
    look.started(0, 0.0)
    assert look.free(0, 0.0) == 10.0
    look.give(1, 0, 0.0)
    look.started(1, 10.0)
    fresh = copy.deepcopy(look)
    fresh.project(0, 10.0)
    assert look.free(0, 10.0) == fresh.free(0, 10.0) == 10.0, "two run on one slot, and one of them is due"
    look.finished(0, 10.0)
    assert look.free(0, 10.0) == 20.0


def test_what_runs_past_its_estimate_is_expected_to_take_a_tenth_again() -> None:
    look = outlook()
    look.give(0, 0, 0.0)
    look.started(0, 0.0)
    assert look.free(0, 1.0) == 10.0
    look.expected(0, 14.0)
    assert look.free(0, 14.0) == 15.0


def test_a_copy_on_its_way_is_not_pulled_twice_and_not_there_before_it_is_in() -> None:
    look = outlook()
    look.add_steps([1.0, 1.0], [[0], [0, 1]], [[], []])
    assert look.give(0, 1, 0.0) == 100
    assert [look.missing(4, 1), look.arrival(4, 1, 2.0, 0), look.arrival(4, 1, 12.0, 0)] == [0, 10.0, 12.0]
    assert [look.missing(5, 1), look.arrival(5, 1, 2.0, 100)] == [100, 20.0], "one after the other"
    assert [look.missing(4, 0), look.arrival(4, 0, 2.0, 0)] == [0, 2.0]


def test_a_holder_serves_one_after_the_other_and_another_holder_helps() -> None:
    look = outlook("abcd", egress=True)
    look.hold(0, [1, 2])
    look.give(0, 1, 0.0)
    assert look.arrival(1, 2, 0.0, 100) == 20.0, "pod 0 serves pod 1 until 10"
    look.hold(3, [1])
    assert look.arrival(1, 2, 0.0, 100) == 10.0, "pod 3 has it too, and nothing to do"
    assert outlook("abc").arrival(0, 2, 0.0, 100) == 10.0


def test_what_is_taken_back_spares_the_link_unless_others_wait_for_the_copy() -> None:
    look = outlook()
    look.add_steps([1.0], [[0]], [[]])
    look.give(0, 1, 0.0)
    look.give(4, 1, 0.0)
    assert [look.take_back(0, 1.0), look.missing(4, 1), look.brought(4), look.link[1]] == [0, 0, 100, 10.0], "step 4 needs it still"
    assert [look.take_back(4, 1.0), look.missing(4, 1), look.brought(4), look.link[1]] == [100, 100, 0, 1.0]
    look.pod_is("c", 1, 10.0, 1.0)
    look.give(0, 1, 1.0)
    look.give(4, 2, 1.0)
    assert [look.take_back(0, 1.0), look.missing(0, 1), look.brought(4)] == [100, 100, 100], "another pod's copy is another one"
    look.give(0, 1, 1.0)
    look.hold(1, [0])
    assert [look.take_back(0, 2.0), look.missing(0, 1)] == [0, 0], "it had come meanwhile"


def test_where_an_empty_file_lies_matters_to_nobody() -> None:
    look = outlook()
    look.add_files([0])
    look.hold(0, [4])
    look.add_steps([1.0], [[4]], [[]])
    look.give(0, 1, 0.0)
    assert [look.arrival(4, 1, 1.0, look.missing(4, 1)), look.give(4, 1, 1.0)] == [1.0, 0]


def test_a_pod_that_is_gone_has_lost_all_and_may_come_back() -> None:
    look = outlook()
    look.give(0, 0, 0.0)
    look.give(1, 0, 0.0)
    look.started(1, 0.0)
    assert look.pod_gone(0, 3.0) == [1, 0], "what ran, then what waited"
    assert [look.alive, look.least(3.0), look.missing(0, 0), look.left(3.0), look.slots_total] == [[1], 1, 100, 40.0, 1]
    look.pod_is("a", 2, 0.0, 4.0)
    assert [look.alive, look.least(4.0), look.bandwidth[0], look.slots_total] == [[0, 1], 0, BANDWIDTH, 3]


def test_steps_of_others_keep_a_pod_busy() -> None:
    look = outlook(slots=2)
    look.pod_is("a", 2, 10.0, 1.0, busy=3)
    assert [look.free(0, 1.0), look.least(1.0)] == [16.0, 1], "three steps of the mean length on two slots"
    look.give(0, 0, 1.0)
    assert look.expected(0, 1.0) == {0: 26.0}
    look.started(0, 16.0)
    assert look.free(0, 16.0) == 31.0, "they are there still"


def test_ranks_are_the_longest_chains_and_a_circle_ends() -> None:
    look = Outlook()
    look.add_steps([1.0, 2.0, 4.0, 8.0], [[]] * 4, [[]] * 4)
    look.rank_steps([[1, 2], [3], [3], []])
    assert (look.rank, look.critical) == ([13.0, 10.0, 12.0, 8.0], 13.0)
    look.rank_steps([[1], [2], [1], []])
    assert look.rank[3] == 8.0 and look.rank[0] > look.rank[1] > 2.0 and look.critical == look.rank[0]


def test_what_was_done_and_is_lost_is_work_again() -> None:
    look = outlook()
    look.give(0, 0, 0.0)
    look.started(0, 0.0)
    look.finished(0, 10.0)
    look.finished(0, 10.0)
    assert look.left(10.0) == 30.0
    look.undone(0)
    look.undone(0)
    assert look.left(10.0) == 40.0
