"""The orders that a pod has taken and not finished: which run, which wait for a slot, for whom.

Knows no message bus; what carries an order out is handed in.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

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
    """At most ``slots`` orders run, the others wait in the order in which they came. ``carry_out`` never raises."""

    def __init__(self, slots: int, carry_out: Callable[[Ticket], Awaitable[None]], changed: Callable[[], None] = lambda: None) -> None:
        self.slots = slots
        self._carry_out = carry_out
        self._changed = changed
        self._tickets: dict[Key, Ticket] = {}
        self._waiting: deque[Ticket] = deque()
        self._running = 0

    @property
    def free(self) -> int:
        """Slots in which nothing runs."""
        return self.slots - self._running

    def __contains__(self, key: Key) -> bool:
        return key in self._tickets

    def __iter__(self) -> Iterator[Ticket]:
        return iter(tuple(self._tickets.values()))

    def take(self, ticket: Ticket) -> None:
        """Starts the order, or puts it last in the queue."""
        self._tickets[ticket.key] = ticket
        self._waiting.append(ticket)
        self._fill()

    def cancel(self, key: Key) -> None:
        """Gives an order up; one that runs is ended in the background. An unknown one is no error."""
        ticket = self._tickets.get(key)
        if ticket is None:
            return
        if ticket.task is not None:
            ticket.task.cancel()
        else:
            self._waiting.remove(ticket)
            del self._tickets[key]

    async def close(self) -> None:
        """Gives everything up and waits until it is over."""
        self._waiting.clear()
        tasks = [ticket.task for ticket in self if ticket.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._tickets.clear()

    def _fill(self) -> None:
        while self._waiting and self._running < self.slots:
            ticket = self._waiting.popleft()
            self._running += 1
            ticket.task = asyncio.create_task(self._run(ticket), name=f"order {ticket.request.id}")
        self._changed()

    async def _run(self, ticket: Ticket) -> None:
        try:
            await self._carry_out(ticket)
        finally:
            self._running -= 1
            if self._tickets.get(ticket.key) is ticket:
                del self._tickets[ticket.key]
            self._fill()
