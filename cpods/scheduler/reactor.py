"""One epoll for all that running programs say and for their ends, inside the running event loop.

Knows no process: it calls whoever waits for a descriptor.
"""

import asyncio
import select
from collections.abc import Callable

_EVENTS_MAX = 64


class Reactor:
    """Calls a handler when its descriptor can be read or has nothing more to come.

    asyncio walks through five Python functions to register a descriptor, and a step has three: here it is one system call.
    It holds no descriptor while nothing is watched, so nobody has to close it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._epoll: select.epoll | None = None
        self._handlers: dict[int, Callable[[], object]] = {}

    def watch(self, descriptor: int, handler: Callable[[], object]) -> None:
        """Calls ``handler`` whenever there is something. Raises OSError."""
        epoll = self._epoll
        if epoll is None:
            epoll = self._epoll = select.epoll()
            self.loop.add_reader(epoll.fileno(), self._turn)
        epoll.register(descriptor, select.EPOLLIN)
        self._handlers[descriptor] = handler

    def forget(self, descriptor: int) -> None:
        """Not any more; call it before the descriptor is closed."""
        if self._handlers.pop(descriptor, None) is None or self._epoll is None:
            return
        self._epoll.unregister(descriptor)
        if not self._handlers:
            # Two rounds of the loop later: the next program, if there is one, has been started by then.
            self.loop.call_soon(self.loop.call_soon, self._rest)

    def _turn(self) -> None:
        if self._epoll is None:
            return
        for descriptor, _ in self._epoll.poll(0, _EVENTS_MAX):
            handler = self._handlers.get(descriptor)
            if handler is not None:  # else an earlier handler of this round forgot it
                handler()

    def _rest(self) -> None:
        if self._epoll is not None and not self._handlers:
            self.loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None
