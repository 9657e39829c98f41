"""The in-memory twins of bus and transfer: what NATS and SFTP do, within one event loop.

Knows no network. One pod needs no other, and the simulator's faults are put in front of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count

from cpods.digest import algorithm_of, of_bytes
from cpods.errors import Unavailable
from cpods.model import Artefact
from cpods.net import subjects
from cpods.ports import Message, Objects

Handler = Callable[[Message], Awaitable[bytes | None]]

#: Messages that may wait for one slow subscriber; later ones are lost to it, as with a NATS client.
PENDING_MAX = 65_536


class Subscription:
    """One subscriber: a pattern, a queue, and the task that hands its messages over one by one."""

    def __init__(self, broker: "MemoryBroker", pattern: str, handler: Handler) -> None:
        self.pattern = pattern
        self._broker = broker
        self._handler = handler
        self._waiting: asyncio.Queue[Message] = asyncio.Queue(PENDING_MAX)
        self._ended = False
        self._task = asyncio.create_task(self._serve(), name=f"subscription {pattern}")

    def offer(self, message: Message) -> None:
        """Takes a message for later; one too many is dropped and told to the loop's exception handler."""
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull as error:
            _tell(f"subscriber to {self.pattern} is too slow, a message to {message.subject} is lost", error)

    async def _serve(self) -> None:
        while not self._ended:
            message = await self._waiting.get()
            try:
                answer = await self._handler(message)
            except Exception as error:  # A handler's mistake costs its message, not the subscription.
                _tell(f"the handler of {self.pattern} failed on a message to {message.subject}", error)
                continue
            if answer is not None and message.reply:
                self._broker.send(Message(message.reply, answer))

    async def end(self) -> None:
        """No further message is handed over. A handler at work is cancelled and waited for, unless it is who asks."""
        self._ended = True
        self._broker.subscriptions.pop(self, None)
        if self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _tell(text: str, error: BaseException) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": text, "exception": error})


class MemoryBroker:
    """What the buses of one federation share: subscriptions in order of their making, and open requests."""

    def __init__(self) -> None:
        self.subscriptions: dict[Subscription, None] = {}
        self.inboxes: dict[str, asyncio.Future[bytes]] = {}
        self._numbers = count(1)

    def new_inbox(self) -> str:
        """A reply subject that nobody else has."""
        return f"_INBOX.{next(self._numbers)}"

    def send(self, message: Message) -> int:
        """Hands a message to all subscribers there are; how many."""
        inbox = self.inboxes.get(message.subject)
        if inbox is not None and not inbox.done():
            inbox.set_result(message.payload)
        reached = [one for one in self.subscriptions if subjects.matches(one.pattern, message.subject)]
        for one in reached:
            one.offer(message)
        return len(reached)


class MemoryBus:
    """A member's connection to a :class:`MemoryBroker`: the twin of the NATS bus (:class:`cpods.ports.Bus`).

    What it sends carries ``member`` as the sender.
    """

    def __init__(self, broker: MemoryBroker | None = None, member: str = "") -> None:
        self._broker = broker or MemoryBroker()
        self._member = member
        self._own: dict[Subscription, None] = {}
        self._requests: set[asyncio.Future[bytes]] = set()
        self._closed = False

    async def publish(self, subject: str, payload: bytes) -> None:
        """As in the port. Raises ValueError for a wildcard, Unavailable after :meth:`close`."""
        self._check(subject, subjects.is_subject(subject))
        self._broker.send(Message(subject, payload, sender=self._member))

    async def request(self, subject: str, payload: bytes, timeout: float) -> bytes:
        """As in the port; of several answers the first counts. Unavailable also if this bus is closed meanwhile."""
        self._check(subject, subjects.is_subject(subject))
        inbox = self._broker.new_inbox()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._broker.inboxes[inbox] = answer
        self._requests.add(answer)
        try:
            if not self._broker.send(Message(subject, payload, inbox, self._member)):
                raise Unavailable(f"nobody listens to {subject}: the pod is not running or not connected")
            async with asyncio.timeout(timeout):
                return await answer
        finally:
            self._requests.discard(answer)
            del self._broker.inboxes[inbox]

    async def subscribe(self, subject: str, handler: Handler) -> Callable[[], Awaitable[None]]:
        """As in the port. One message at a time, in order; what a handler raises goes to the loop's exception handler."""
        self._check(subject, subjects.is_pattern(subject))
        subscription = Subscription(self._broker, subject, handler)
        self._broker.subscriptions[subscription] = None
        self._own[subscription] = None

        async def unsubscribe() -> None:
            self._own.pop(subscription, None)
            await subscription.end()

        return unsubscribe

    async def close(self) -> None:
        """Ends this member's subscriptions and its waiting requests. Idempotent."""
        self._closed = True
        for answer in self._requests:
            if not answer.done():
                answer.set_exception(Unavailable("the connection to the federation was closed"))
        while self._own:
            await self._own.popitem()[0].end()

    def _check(self, subject: str, valid: bool) -> None:
        if self._closed:
            raise Unavailable("the connection to the federation is closed")
        if not valid:
            raise ValueError(f"not a subject: {subject!r}")


class MemoryTransfer:
    """Pulls from other pods' stores in the same process: the twin of the SFTP transfer (:class:`cpods.ports.Transfer`).

    ``stores`` has the store of every pod, that of ``pod`` itself included. ``on_bad_holder`` is called with the pod whose
    bytes did not match. As with every put, the pulled object is durable after the store's ``commit``.
    """

    def __init__(self, pod: str, stores: Mapping[str, Objects], on_bad_holder: Callable[[str, Artefact], None] | None = None) -> None:
        self._pod = pod
        self._stores = stores
        self._on_bad_holder = on_bad_holder

    async def pull(self, artefact: Artefact, holders: Sequence[str]) -> None:
        """As in the port; holders are tried in the order given."""
        own = self._stores[self._pod]
        if own.has(artefact.digest):
            return
        if algorithm_of(artefact.digest) != own.algorithm:
            raise Unavailable(f"{artefact.digest} cannot be brought to {self._pod}: the store there names objects by {own.algorithm}")
        reasons: list[str] = []
        for holder in holders:
            if holder == self._pod:
                continue
            await asyncio.sleep(0)
            data = self._fetch(holder, artefact, reasons)
            if data is not None:
                own.put_bytes(data)
                return
        tried = "; ".join(reasons) or "nobody else is said to hold it"
        raise Unavailable(f"no pod delivers {artefact.digest}: {tried}")

    async def pull_many(self, wanted: Mapping[Artefact, Sequence[str]]) -> Mapping[Artefact, str]:
        """As in the port, one after the other."""
        failed: dict[Artefact, str] = {}
        for artefact, holders in wanted.items():
            try:
                await self.pull(artefact, holders)
            except Unavailable as error:
                failed[artefact] = str(error)
        return failed

    def _fetch(self, holder: str, artefact: Artefact, reasons: list[str]) -> bytes | None:
        """The verified bytes, or None and the reason."""
        store = self._stores.get(holder)
        if store is None:
            reasons.append(f"{holder} cannot be reached")
            return None
        try:
            data = store.read(artefact.digest)
        except (KeyError, OSError):
            reasons.append(f"{holder} does not have it any more")
            return None
        if len(data) != artefact.size or of_bytes(data, algorithm_of(artefact.digest)) != artefact.digest:
            reasons.append(f"{holder} sent other bytes")
            if self._on_bad_holder is not None:
                self._on_bad_holder(holder, artefact)
            return None
        return data
