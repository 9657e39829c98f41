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

Run = Callable[[Callable[[Ownership], Awaitable[None]]], None]


@pytest.fixture(params=["sqlite", "memory"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    def with_ownership(body: Callable[[Ownership], Awaitable[None]]) -> None:
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
