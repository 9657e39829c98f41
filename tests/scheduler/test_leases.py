"""Leases: one holder at a time, renewals that count and that do not, deaths."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cpods.scheduler.leases import STEP_DEATHS_MAX, LeaseTable

IDS = st.sampled_from(["i", "j", "k", "l"])
PODS = st.sampled_from(["a", "b", "c"])
SECONDS = st.integers(1, 20)


def test_a_lease_is_held_until_it_ends() -> None:
    table = LeaseTable()
    assert table.grant("i", "a", now=0, seconds=10).until == 10
    assert (table.holder("i", 9.9), table.holder("i", 10), table.holder("j", 0)) == ("a", None, None)
    assert table.expired(9.9) == []
    assert table.expired(10) == ["i"] and table.expired(10) == [], "told once"
    assert table.holder("i", 0) is None and len(table) == 0


def test_who_renews_keeps_it() -> None:
    table = LeaseTable()
    table.grant("i", "a", 0, 10)
    assert table.next_end() == 10
    assert table.renew(["i"], "a", 8, 10) == []
    assert table.next_end() == 18 and table.expired(17) == []
    assert table.renew(["i"], "a", 9, 1) == [], "a shorter one takes nothing away"
    assert table.expired(17.9) == [] and table.expired(18) == ["i"]
    assert table.next_end() is None


@pytest.mark.parametrize(("pod", "now"), [("b", 5), ("a", 10), ("a", 11)])
def test_a_renewal_of_another_pod_or_one_that_comes_too_late_does_not_count(pod: str, now: float) -> None:
    table = LeaseTable()
    table.grant("i", "a", 0, 10)
    assert table.renew(["i", "unknown"], pod, now, 100) == ["i", "unknown"]
    assert table.expired(10) == ["i"]


def test_nobody_else_gets_it_before_it_has_ended() -> None:
    table = LeaseTable()
    table.grant("i", "a", 0, 10)
    with pytest.raises(ValueError, match=r"^a has i for another 6.0 s: b cannot get it now$"):
        table.grant("i", "b", 4, 10)
    assert table.grant("i", "a", 4, 10).until == 14, "asked again, the same pod goes on"
    table.end("i")
    table.end("i")
    assert table.grant("i", "b", 5, 10).pod == "b" and table.deaths("i") == 0, "what was ended killed nobody"
    assert table.renew(["i"], "a", 6, 10) == ["i"], "the pod that had it learns that it has it no more"


def test_an_expired_lease_that_nobody_noticed_is_no_hindrance_and_counts() -> None:
    table = LeaseTable()
    table.grant("i", "a", 0, 10)
    assert table.grant("i", "b", 10, 5).pod == "b"
    assert table.deaths("i") == 1 and table.expired(14) == [] and table.expired(15) == ["i"]


def test_a_lost_pod_gives_back_all_that_it_had() -> None:
    table = LeaseTable()
    for id, pod in [("i", "a"), ("j", "b"), ("k", "a")]:
        table.grant(id, pod, 0, 10, step=f"step {id}")
    assert [(held.id, held.step) for held in table.of_pod("a")] == [("i", "step i"), ("k", "step k")]
    assert table.pod_lost("a") == ["i", "k"] and table.pod_lost("a") == [] and table.pod_lost("stranger") == []
    assert [table.deaths(f"step {id}") for id in "ijk"] == [1, 0, 1]


def test_three_deaths_are_enough_however_they_are_noticed() -> None:
    table = LeaseTable()
    table.grant("run 1", "a", 0, 10, step="bad")
    table.pod_lost("a")
    table.grant("run 1", "b", 1, 10, step="bad")
    assert table.expired(11) == ["run 1"] and not table.is_deadly("bad")
    table.grant("run 2", "a", 12, 10, step="bad")
    table.pod_lost("a")
    assert table.deaths("bad") == STEP_DEATHS_MAX == 3 and table.is_deadly("bad")
    assert not table.is_deadly("good")


def test_a_step_that_only_waited_in_a_queue_killed_nobody() -> None:
    slots = {"a": 2}
    table = LeaseTable(slots)
    for id in "ijkl":
        table.grant(id, "a", 0, 10)
    table.end("j")
    assert table.pod_lost("a") == ["i", "k", "l"]
    assert [table.deaths(id) for id in "ijkl"] == [1, 0, 1, 0]
    slots["a"] = 1
    table.grant("x", "a", 0, 10)
    table.grant("y", "a", 0, 5)
    assert table.expired(5) == ["y"] and table.expired(10) == ["x"]
    assert (table.deaths("x"), table.deaths("y")) == (1, 0)


class Leases(RuleBasedStateMachine):
    """Any order of events, beside a history of who was told what; the table knows no more than it is told, nor does the history."""

    def __init__(self) -> None:
        super().__init__()
        self.table = LeaseTable({"a": 1, "b": 2})
        self.now = 0
        self.until: dict[tuple[str, str], int] = {}  # (id, pod) -> when what the pod was last promised ends
        self.deaths: Counter[str] = Counter()

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(id=IDS, pod=PODS, seconds=SECONDS)
    def granted(self, id: str, pod: str, seconds: int) -> None:
        if any(other != pod for other in self.holding(id)):
            with pytest.raises(ValueError):
                self.table.grant(id, pod, self.now, seconds)
            return
        self.until[id, pod] = max(self.until.get((id, pod), 0), self.now + seconds)
        assert self.table.grant(id, pod, self.now, seconds).pod == pod

    @rule(id=IDS, pod=PODS, seconds=SECONDS)
    def renewed(self, id: str, pod: str, seconds: int) -> None:
        counts = pod in self.holding(id)
        assert self.table.renew([id], pod, self.now, seconds) == ([] if counts else [id])
        if counts:
            self.until[id, pod] = max(self.until[id, pod], self.now + seconds)

    @rule(id=IDS)
    def ended(self, id: str) -> None:
        self.table.end(id)
        self.until = {key: until for key, until in self.until.items() if key[0] != id}

    @rule(pod=PODS)
    def lost(self, pod: str) -> None:
        there = {held.id for held in self.table.of_pod(pod)}
        assert {id for id, holder in self.until if holder == pod and self.until[id, holder] > self.now} <= there
        assert set(self.table.pod_lost(pod)) == there and self.table.of_pod(pod) == []
        self.until = {key: until for key, until in self.until.items() if key[1] != pod}

    @precondition(lambda self: len(self.table))
    @rule()
    def looked_for_expired_ones(self) -> None:
        gone = self.table.expired(self.now)
        assert not any(self.holding(id) for id in gone)
        assert all(self.table.holder(id, self.now) is None for id in gone)
        assert (end := self.table.next_end()) is None or end > self.now

    @invariant()
    def never_two_holders_and_the_table_knows_the_one(self) -> None:
        for id in ("i", "j", "k", "l"):
            holding = self.holding(id)
            assert len(holding) <= 1
            assert self.table.holder(id, self.now) == (holding[0] if holding else None)

    @invariant()
    def deaths_are_never_forgotten(self) -> None:
        counted = Counter({id: self.table.deaths(id) for id in ("i", "j", "k", "l")})
        assert counted >= self.deaths
        self.deaths = counted

    def holding(self, id: str) -> list[str]:
        """By the history: pods whose promise still stands."""
        return [pod for (other, pod), until in self.until.items() if other == id and until > self.now]


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
