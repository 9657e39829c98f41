"""The Ownership contract, kept by SQLite and by its twin in memory.

Knows no table and no bus.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cpods.ports import Owner, Ownership
from cpods.store.catalogue import open_catalogue
from cpods.store.memory import MemoryOwnership
from cpods.store.ownership import SqlOwnership

Run = Callable[[Callable[[SqlOwnership | MemoryOwnership], Awaitable[None]]], None]


@pytest.fixture(params=["sqlite", "memory"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    def with_ownership(body: Callable[[SqlOwnership | MemoryOwnership], Awaitable[None]]) -> None:
        async def whole() -> None:
            if request.param == "memory":
                await body(MemoryOwnership())
                return
            catalogue = open_catalogue(str(tmp_path / "catalogue.db"), "md")
            try:
                await body(catalogue.ownership)
            finally:
                await catalogue.close()

        asyncio.run(whole())

    return with_ownership


def test_claims_go_up_by_one_epoch(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        assert await ownership.owner("p") is None
        assert await ownership.claim("p", 0, "a", "d1") == Owner("p", 1, "a", "d1")
        assert await ownership.claim("p", 1, "b", "d2") == Owner("p", 2, "b", "d2")
        assert await ownership.owner("p") == Owner("p", 2, "b", "d2")

    run(body)


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_a_late_or_early_claim_changes_nothing(run: Run, epoch: int) -> None:
    async def body(ownership: Ownership) -> None:
        await ownership.claim("p", 0, "a", "d1")
        await ownership.claim("p", 1, "a", "d2")
        assert await ownership.claim("p", epoch, "late", "d3") == Owner("p", 2, "a", "d2")
        assert await ownership.owner("p") == Owner("p", 2, "a", "d2")

    run(body)


def test_claiming_an_unowned_path_at_a_later_epoch_takes_nothing(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        assert (await ownership.claim("p", 3, "a", "d")).epoch == 0
        assert await ownership.owner("p") is None

    run(body)


def test_of_many_claims_at_one_epoch_exactly_one_wins(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        for epoch in range(3):
            answers = await asyncio.gather(*(ownership.claim("p", epoch, f"pod{number}", "d") for number in range(8)))
            assert {answer.epoch for answer in answers} == {epoch + 1}
            assert len({answer.pod for answer in answers}) == 1

    run(body)


def test_holders_sum_bytes(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        await ownership.hold("a", {"x": 100, "y": 20})
        await ownership.hold("b", {"y": 20, "z": 3})
        await ownership.hold("a", {"x": 100})
        assert await ownership.holders(["x", "y", "z", "unknown"]) == {"a": 120, "b": 23}
        assert await ownership.holders(["y", "y"]) == {"a": 20, "b": 20}
        assert await ownership.holders([]) == {}

    run(body)


def test_what_is_dropped_is_held_no_longer(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        await ownership.hold("a", {"x": 100, "y": 20})
        await ownership.hold("b", {"x": 100})
        await ownership.drop("a", ["x", "unknown"])
        await ownership.drop("a", ["x"])
        await ownership.drop("stranger", ["x"])
        assert await ownership.holders(["x", "y"]) == {"a": 20, "b": 100}
        await ownership.hold("a", {"x": 100})
        assert await ownership.holders(["x"]) == {"a": 100, "b": 100}

    run(body)


def test_many_pods_hold_one_artefact(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        for number in range(300):
            await ownership.hold(f"pod{number}", {"x": 1})
        assert await ownership.holders(["x"]) == {f"pod{number}": 1 for number in range(300)}

    run(body)


def test_a_hundred_claimants_of_one_path_over_twenty_epochs(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        won: dict[int, str] = {}
        for epoch in range(20):
            claims = [("p", epoch, f"pod{number}", f"d{epoch}.{number}") for number in range(100)]
            answers = await asyncio.gather(*(ownership.claim(*claim) for claim in claims))
            winners = [claim for claim, answer in zip(claims, answers, strict=True) if answer.won_by(claim)]
            assert len(winners) == 1
            present = await ownership.owner("p")
            assert present is not None and present.won_by(winners[0]), "and the one that was told so owns it"
            assert set(answers) == {present}, "and all others were told who does"
            won[present.epoch] = present.digest
        assert list(won) == list(range(1, 21)) and len(set(won.values())) == 20

    run(body)


def test_many_claims_at_once_are_won_and_lost_one_by_one(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        await ownership.claim("old", 0, "a", "d1")
        await ownership.claim("moved", 0, "a", "d1")
        await ownership.claim("moved", 1, "b", "d2")
        claims = [("new", 0, "c", "e"), ("old", 1, "c", "e"), ("moved", 1, "c", "e"), ("unknown", 4, "c", "e")]
        answers = await ownership.claim_many(claims)
        assert [answer.won_by(claim) for answer, claim in zip(answers, claims, strict=True)] == [True, True, False, False]
        assert answers == [Owner("new", 1, "c", "e"), Owner("old", 2, "c", "e"), Owner("moved", 2, "b", "d2"), Owner("unknown", 0, "", "")]
        assert [await ownership.owner(path) for path in ("new", "old", "moved", "unknown")] == [*answers[:3], None]

    run(body)


def test_claims_of_one_path_in_one_call_are_made_in_their_order(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        claims = [("p", 1, "early", "d"), ("p", 0, "a", "d"), ("p", 0, "late", "d"), ("p", 1, "b", "d")]
        assert await ownership.claim_many(claims) == [Owner("p", 2, "b", "d")] * 4

    run(body)


def test_no_claims_are_no_error(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        assert await ownership.claim_many([]) == []

    run(body)


def test_calls_with_many_claims_at_once_lose_no_version(run: Run) -> None:
    paths = [f"dir/{number}" for number in range(30)]

    async def body(ownership: Ownership) -> None:
        for epoch in range(3):
            calls = [[(path, epoch, f"pod{pod}", f"d{epoch}") for path in paths] for pod in range(8)]
            answers = await asyncio.gather(*(ownership.claim_many(claims) for claims in calls))
            for column, path in enumerate(paths):
                assert sum(answer[column].won_by(call[column]) for answer, call in zip(answers, calls, strict=True)) == 1, path

    run(body)


def test_a_claim_that_turns_out_applied_is_recognised_by_who_made_it(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        claim = ("p", 0, "a", "d")
        await ownership.claim(*claim)  # and its answer is lost
        again = await ownership.claim(*claim)
        assert again == Owner("p", 1, "a", "d") and again.won_by(claim)
        for other in [("p", 0, "b", "d"), ("p", 0, "a", "e"), ("p", 1, "a", "d"), ("q", 0, "a", "d")]:
            assert not again.won_by(other)
        await ownership.claim("p", 1, "b", "e")
        late = await ownership.claim(*claim)
        assert late == Owner("p", 2, "b", "e") and not late.won_by(claim), "somebody has claimed it since: it has moved on"

    run(body)


def test_a_start_gets_all_owners_and_all_that_pods_hold(run: Run) -> None:
    async def body(ownership: SqlOwnership | MemoryOwnership) -> None:
        assert await ownership.owners() == {} and await ownership.held() == {}
        await ownership.claim_many([("p", 0, "a", "d"), ("q", 0, "b", "e"), ("p", 1, "b", "f")])
        await ownership.hold("a", {"x": 100, "y": 20})
        await ownership.hold("b", {"y": 20})
        await ownership.drop("a", ["x"])
        assert await ownership.owners() == {"p": Owner("p", 2, "b", "f"), "q": Owner("q", 1, "b", "e")}
        assert await ownership.held() == {"a": {"y": 20}, "b": {"y": 20}}

    run(body)


def test_what_becomes_held_after_it_was_asked_for_is_found(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        assert await ownership.holders(["x", "y"]) == {}
        await ownership.hold("a", {"x": 1})
        assert await ownership.holders(["x", "y"]) == {"a": 1}
        await ownership.hold("b", {"y": 2, "x": 1})
        assert await ownership.holders(["x", "y"]) == {"a": 1, "b": 3}
        await ownership.drop("b", ["x"])
        assert await ownership.holders(["y", "x"]) == {"a": 1, "b": 2}

    run(body)


def test_an_empty_artefact_is_held_too(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        await ownership.hold("a", {"empty": 0})
        assert await ownership.holders(["empty"]) == {"a": 0}

    run(body)


def test_claims_and_holdings_are_entered_together(run: Run) -> None:
    async def body(ownership: Ownership) -> None:
        await ownership.claim("taken", 0, "a", "d0")
        held = {"a": {"d1": 10, "d2": 0}, "b": {"d1": 10}}
        first, late = await ownership.enter([("p", 0, "a", "d1"), ("taken", 0, "b", "d2")], held)
        assert (first, late) == (Owner("p", 1, "a", "d1"), Owner("taken", 1, "a", "d0"))
        assert dict(await ownership.holders(["d1", "d2"])) == {"a": 10, "b": 10}
        assert await ownership.enter([], {"c": {"d1": 10}}) == []
        assert dict(await ownership.holders(["d1"])) == {"a": 10, "b": 10, "c": 10}
        assert await ownership.enter([], {}) == []

    run(body)
