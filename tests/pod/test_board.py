"""Slots are for orders whose inputs are there: who gets one when, what begins ahead, and what is left after cancels."""

import asyncio
from collections.abc import Callable, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from cpods.model import Artefact
from cpods.net.messages import StepRequest, Steps
from cpods.orders import Order
from cpods.pod.board import Board, Ticket, Turn
from tests.helpers.podworld import BOSS, shell_step
from tests.helpers.stilltime import play


class Work:
    """Orders whose inputs take ``fetching[id]`` seconds and whose runs take ``running[id]``; what happened, in order."""

    def __init__(self, slots: int, fetching: Mapping[str, float], running: Mapping[str, float]) -> None:
        self.fetching = fetching
        self.running = running
        self.began: list[str] = []
        self.entered: list[str] = []
        self.ended: list[str] = []
        self.most = 0
        self.most_ahead = 0
        self.after: dict[str, Callable[[], None]] = {}
        self._ahead: set[str] = set()
        self.board = Board(slots, self.carry_out)

    async def carry_out(self, ticket: Ticket, turn: Turn) -> None:
        """As a pod does it."""
        id = ticket.request.id
        self.began.append(id)
        self._ahead.add(id)
        self.most_ahead = max(self.most_ahead, len(self._ahead))
        try:
            await asyncio.sleep(self.fetching[id])
            async with turn:
                self._ahead.discard(id)
                self.entered.append(id)
                self.most = max(self.most, self.board.slots - self.board.free)
                await asyncio.sleep(self.running[id])
            self.ended.append(id)
            self.after.get(id, lambda: None)()
        except asyncio.CancelledError:
            return
        finally:
            self._ahead.discard(id)

    def order(self, *ids: str) -> None:
        """They come, in this order."""
        for id in ids:
            request = StepRequest(id, Order(shell_step(id, "true"), "key", (), 0, ""), Artefact("xxh3:" + 32 * "0", 0))
            self.board.take(Ticket(request, Steps("paper", BOSS, (request,))))

    async def over(self) -> None:
        """Waits until the board is empty."""
        while [*self.board]:
            await asyncio.sleep(0.5)


def test_who_waits_for_inputs_holds_no_slot() -> None:
    async def story() -> None:
        work = Work(1, {"slow": 100, "ready": 0, "later": 0}, dict.fromkeys(["slow", "ready", "later"], 10))
        work.order("slow", "ready", "later")
        assert work.board.free == 1
        await asyncio.sleep(1)
        assert work.entered == ["ready"] and work.board.free == 0
        await work.over()
        assert work.entered == ["ready", "later", "slow"] and work.board.free == 1

    play(story())


def test_of_those_that_are_ready_the_one_that_came_first_is_next() -> None:
    async def story() -> None:
        ids = ["runs", "a", "b", "c"]
        work = Work(1, {"runs": 0, "a": 6, "b": 4, "c": 2}, dict.fromkeys(ids, 10))
        work.order(*ids)
        await work.over()
        assert work.entered == ids

    play(story())


def test_not_all_begin_at_once_and_the_others_can_still_be_given_up() -> None:
    async def story() -> None:
        ids = [f"o{number}" for number in range(20)]
        work = Work(2, {id: 5 + number / 100 for number, id in enumerate(ids)}, dict.fromkeys(ids, 50))
        work.order(*ids)
        await asyncio.sleep(1)
        assert work.began == ids[:6]
        work.board.cancel((BOSS, ids[10]))
        work.board.cancel((BOSS, "unknown"))
        assert (BOSS, ids[10]) not in work.board
        await work.over()
        assert work.most == 2 and work.most_ahead == 6
        assert work.entered == [id for id in ids if id != ids[10]]

    play(story())


def test_an_order_that_was_given_up_may_come_again_at_once() -> None:
    async def story() -> None:
        work = Work(1, {"a": 5}, {"a": 5})
        work.order("a")
        await asyncio.sleep(1)
        work.board.cancel((BOSS, "a"))
        work.order("a")
        await work.over()
        assert work.began == ["a", "a"] and work.ended == ["a"] and work.board.free == 1

    play(story())


def test_giving_up_what_has_not_taken_its_first_step_leaves_nothing_behind() -> None:
    async def story() -> None:
        work = Work(1, {"a": 0, "b": 0}, {"a": 1, "b": 1})
        for _ in range(10):
            work.order("a")
            work.board.cancel((BOSS, "a"))
        work.order("b")
        await work.over()
        assert work.began == work.ended == ["b"] and work.board.free == 1

    play(story())


def test_an_order_that_is_given_up_just_when_it_was_given_a_slot_gives_it_on() -> None:
    async def story() -> None:
        work = Work(1, {"a": 0, "b": 0, "c": 0}, {"a": 5, "b": 5, "c": 5})
        work.after["a"] = lambda: work.board.cancel((BOSS, "b"))  # before b has noticed
        work.order("a", "b", "c")
        await work.over()
        assert work.entered == ["a", "c"] and work.board.free == 1 and not work.board._begun

    play(story())


def test_closing_gives_up_what_waits_what_fetches_and_what_runs() -> None:
    async def story() -> None:
        ids = [f"o{number}" for number in range(9)]
        work = Work(1, dict.fromkeys(ids, 0) | {"o1": 100}, dict.fromkeys(ids, 100))
        work.order(*ids)
        await asyncio.sleep(1)
        await work.board.close()
        assert work.entered == ["o0"] and not work.ended and not [*work.board]
        await asyncio.sleep(1)
        assert work.board.free == 1 and len(work.began) == 5

    play(story())


SECONDS = st.integers(0, 6).map(float)


@settings(max_examples=150, deadline=None)
@given(
    slots=st.integers(1, 3),
    orders=st.lists(st.tuples(SECONDS, SECONDS, SECONDS, st.none() | SECONDS), min_size=1, max_size=14),
)
def test_never_more_than_slots_run_and_all_that_is_not_given_up_ends(
    slots: int, orders: list[tuple[float, float, float, float | None]]
) -> None:
    """Orders come at any time, and are given up at any time, also in the very moment in which they get a slot."""

    async def story() -> None:
        ids = [f"o{number}" for number in range(len(orders))]
        rows = dict(zip(ids, orders, strict=True))
        work = Work(slots, {id: row[1] for id, row in rows.items()}, {id: row[2] for id, row in rows.items()})
        loop, start = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        for id, (comes, _, _, given_up) in rows.items():
            loop.call_at(start + comes, work.order, id)
            if given_up is not None:
                loop.call_at(start + comes + given_up, work.board.cancel, (BOSS, id))
        await asyncio.sleep(7)
        await work.over()
        await asyncio.sleep(1)
        assert work.most <= slots and work.most_ahead <= work.board.ahead
        assert work.board.free == slots and not work.board._begun
        assert set(work.ended) >= {id for id, row in rows.items() if row[3] is None}
        assert len(work.entered) == len(set(work.entered))

    play(story())
