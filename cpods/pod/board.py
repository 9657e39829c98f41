"""The orders that a pod has taken and not finished: which run, which wait for inputs or for a slot, for whom.

Knows no message bus and no transfer; what carries an order out is handed in.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType

import msgspec

from cpods.net.messages import StepRequest, Steps

Key = tuple[str, str]


class Ticket(msgspec.Struct):
    """An order that was taken. ``steps``: the message that it came in, for its project, MajorDomo and pods."""

    request: StepRequest
    steps: Steps
    task: "asyncio.Task[None] | None" = None

    @property
    def key(self) -> Key:
        """An order is known by its MajorDomo and its id: two MajorDomos may ask for the same."""
        return self.steps.majordomo, self.request.id


class Board:
    """``carry_out(ticket, turn)`` brings an order's inputs, then enters ``turn``, which is its slot. It never raises.

    At most ``slots`` turns are entered at once; of those that wait for one the order goes first that came first. So a slot
    is never held by an order whose inputs are still on their way. At most ``ahead`` orders, in the order in which they came,
    have begun and have no slot yet; the others wait untouched.
    """

    def __init__(
        self, slots: int, carry_out: Callable[[Ticket, "Turn"], Coroutine[object, object, None]], changed: Callable[[], None] = lambda: None
    ) -> None:
        self.slots = slots
        self.ahead = 2 * slots + 2
        self._carry_out = carry_out
        self._changed = changed
        self._tickets: dict[Key, Ticket] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._untouched: dict[Key, Ticket] = {}
        self._begun = 0
        self._running = 0
        self._came = 0
        self._ready: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def free(self) -> int:
        """Slots in which nothing runs."""
        return self.slots - self._running

    def __contains__(self, key: Key) -> bool:
        return key in self._tickets

    def __iter__(self) -> Iterator[Ticket]:
        return iter(tuple(self._tickets.values()))

    def take(self, ticket: Ticket) -> None:
        """Begins the order, or puts it last in the queue."""
        self._tickets[ticket.key] = self._untouched[ticket.key] = ticket
        self._go_on()

    def cancel(self, key: Key) -> None:
        """Gives an order up; one that has begun is ended in the background. An unknown one is no error.

        It is none of the board's orders from then on: who takes the same again begins anew.
        """
        ticket = self._tickets.pop(key, None)
        if ticket is None:
            return
        if ticket.task is not None:
            ticket.task.cancel()
        else:
            del self._untouched[key]

    async def close(self) -> None:
        """Gives everything up and waits until it is over."""
        self._untouched.clear()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tickets.clear()

    async def enter(self, number: int) -> None:
        """Waits for the slot of the order that came as ``number``: what a :class:`Turn` does."""
        if not self.free:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._ready, (number, waiting))
            try:
                await waiting
            except asyncio.CancelledError:
                if not waiting.cancelled():  # it had been given a slot a moment before
                    self._begun += 1
                    self.leave()
                raise
        else:
            self._give()
            self._go_on()

    def leave(self) -> None:
        """A slot is free again."""
        self._running -= 1
        self._go_on()

    def _give(self) -> None:
        self._running += 1
        self._begun -= 1

    def _go_on(self) -> None:
        """Gives free slots to those who wait for one, and lets as many orders begin as may."""
        while self._ready and self.free:
            _, waiting = heapq.heappop(self._ready)
            if not waiting.done():
                self._give()
                waiting.set_result(None)
        while self._untouched and self._begun < self.ahead:
            ticket = self._untouched.pop(next(iter(self._untouched)))
            self._begun += 1
            self._came += 1
            self._begin(ticket, Turn(self, self._came))
        self._changed()

    def _begin(self, ticket: Ticket, turn: "Turn") -> None:
        task = ticket.task = asyncio.create_task(self._carry_out(ticket, turn), name=f"order {ticket.request.id}")
        self._tasks.add(task)
        # Not in a finally of the task: one that is cancelled before its first step runs none
        task.add_done_callback(lambda task: self._over(task, ticket, turn))

    def _over(self, task: "asyncio.Task[None]", ticket: Ticket, turn: "Turn") -> None:
        self._tasks.discard(task)
        if not turn.was_entered:
            self._begun -= 1
        if self._tickets.get(ticket.key) is ticket:
            del self._tickets[ticket.key]
        self._go_on()


class Turn:
    """One order's slot, as an asynchronous context that is entered at most once, when the inputs are there."""

    def __init__(self, board: Board, number: int) -> None:
        self._board = board
        self._number = number
        self.was_entered = False

    async def __aenter__(self) -> None:
        await self._board.enter(self._number)
        self.was_entered = True

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._board.leave()
