"""One subscriber of the bus over NATS: messages wait in a bounded queue and are handed over one by one, in order.

Knows no key: how a message is opened and an answer sent is given to it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

from nats.aio.msg import Msg

from cpods.net.wire import BadMessage
from cpods.ports import Message

Handler = Callable[[Message], Awaitable[bytes | None]]

#: What may wait for one slow subscriber; what comes then is lost to it, and told.
PENDING_MAX = 65_536
PENDING_BYTES_MAX = 128 << 20
#: So many are handed over before others get a turn: neither queue nor handler need wait, and each costs a signature's check.
_IN_A_ROW = 16


class Subscription:
    """``opening`` makes a Message of what came to ``pattern`` (or raises BadMessage), ``answer`` sends what a handler returned."""

    def __init__(
        self,
        pattern: str,
        handler: Handler,
        opening: Callable[[Msg, str], Message],
        answer: Callable[[Message, bytes], Awaitable[None]],
        alarm: Callable[[str], None],
    ) -> None:
        self.leave: Callable[[], Awaitable[None]] | None = None
        self._pattern = pattern
        self._handler = handler
        self._opening = opening
        self._answer = answer
        self._alarm = alarm
        self._waiting: asyncio.Queue[Msg] = asyncio.Queue(PENDING_MAX)
        self._bytes = 0
        self._ended = False
        self._task = asyncio.create_task(self._serve(), name=f"subscription {pattern}")

    async def take(self, message: Msg) -> None:
        """Keeps a message for later; one too many is dropped and told."""
        if self._waiting.full() or self._bytes + len(message.data) > PENDING_BYTES_MAX:
            self._alarm(f"subscriber to {self._pattern} is too slow, a message to {message.subject} is lost")
            return
        self._bytes += len(message.data)
        self._waiting.put_nowait(message)

    async def end(self) -> None:
        """No further message is handed over. A handler at work is cancelled and waited for, unless it is who asks."""
        self._ended = True
        if self.leave is not None:
            await self.leave()
        if self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _serve(self) -> None:
        for number in count(1):
            if number % _IN_A_ROW == 0:
                await asyncio.sleep(0)
            if self._ended:
                return
            came = await self._waiting.get()
            self._bytes -= len(came.data)
            try:
                message = self._opening(came, self._pattern)
            except BadMessage as error:
                self._alarm(str(error))
                continue
            try:
                answer = await self._handler(message)
                if answer is not None and message.reply:
                    await self._answer(message, answer)
            except Exception as error:  # A handler's mistake costs its message, not the subscription.
                tell(f"the handler of {self._pattern} failed on a message to {message.subject}", error)


def tell(text: str, error: Exception | None = None) -> None:
    """To the loop's exception handler: what nobody waits for."""
    context: dict[str, object] = {"message": text}
    if error is not None:
        context["exception"] = error
    asyncio.get_running_loop().call_exception_handler(context)
