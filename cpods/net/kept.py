"""What the broker remembers for a federation, by JetStream: each pod's last status, the mirror of owners, the events.

Knows no message's meaning. A mirror and a record only: nothing depends on its durability.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import Error as KeepingError
from nats.js.errors import NotFoundError

from cpods.errors import Unavailable
from cpods.net import rights, subjects
from cpods.net.natslink import NatsLink
from cpods.net.natslogin import Disconnected
from cpods.net.wire import BadMessage
from cpods.ports import Message

#: Seconds after which the status of a pod that says nothing is forgotten.
STATUS_SECONDS = 30.0
#: What is kept of events.
EVENT_SECONDS = 7 * 24 * 3600.0
EVENT_BYTES_MAX = 64 << 20
OWNER_BYTES_MAX = 256 << 20
#: Events that may wait for a slow reader; beyond that they are read again from the broker.
_WAITING_MAX = 4096


class Kept:
    """For the founder, who calls :meth:`prepare` once, and for MajorDomos. Values and events are sealed like messages."""

    def __init__(
        self,
        link: NatsLink,
        federation: str,
        seal: Callable[[str, bytes], bytes],
        opened: Callable[[Msg, str], Message],
        alarm: Callable[[str], None],
    ) -> None:
        self._link = link
        self._federation = federation
        self._seal = seal
        self._opened = opened
        self._alarm = alarm
        self._events = f"cpods.{federation}.event.*"

    async def prepare(self) -> None:
        """Makes the two buckets and the stream; founder only. Idempotent. Raises Unavailable if the broker has no JetStream."""
        for what, seconds, size in (("pods", STATUS_SECONDS, 16 << 20), ("owners", 0.0, OWNER_BYTES_MAX)):
            await self._make(_bucket(rights.bucket(self._federation, what), seconds, size))
        await self._make(
            StreamConfig(
                name=rights.stream(self._federation),
                subjects=[self._events],
                max_age=EVENT_SECONDS,
                max_bytes=EVENT_BYTES_MAX,
                storage=StorageType.FILE,
                allow_direct=True,
            )
        )

    async def put_status(self, pod: str, payload: bytes) -> None:
        """The last status of a pod; forgotten after STATUS_SECONDS. Founder only. Raises Unavailable."""
        await self._put("pods", subjects.token(pod), payload)

    async def put_owner(self, key: str, payload: bytes) -> None:
        """The mirror of who owns a path; ``key``: a subject token, such as the hex digest of the path. Raises Unavailable."""
        await self._put("owners", subjects.token(key), payload)

    async def statuses(self) -> dict[str, bytes]:
        """The statuses that are not older than STATUS_SECONDS, by pod. Raises Unavailable."""
        return await self._all("pods")

    async def owner(self, key: str) -> bytes | None:
        """What was put under a key last; None if nothing. Raises Unavailable, BadMessage if no member has signed it."""
        return await self._get("owners", subjects.token(key))

    async def owners(self) -> dict[str, bytes]:
        """All of the mirror. Raises Unavailable."""
        return await self._all("owners")

    async def publish_event(self, subject: str, payload: bytes) -> None:
        """An event (subjects.event of this member) that is on record when this returns. Raises Unavailable."""
        await self._acknowledged(subject, payload)

    async def events(self, from_start: bool = False, follow: bool = True) -> AsyncGenerator[Message, None]:
        """Events in order, each once, also across a restart of the broker: those on record first, or only from now on.

        Without ``follow`` it ends behind the last one that is on record now. Ends with Unavailable when the connection ends for
        good.
        """
        last = 0 if from_start and follow else await self._last()
        after = 0 if from_start else last
        while follow or after < last:
            reader = _Reader(self._link, self._events, after, rights.stream(self._federation))
            try:
                await reader.start()
                async with aclosing(reader.read()) as messages:
                    async for number, message in messages:
                        after = number
                        try:
                            yield self._opened(message, self._events)
                        except BadMessage as error:
                            self._alarm(str(error))
                        if not follow and after >= last:
                            return
            except Disconnected:
                await self._link.back()
            finally:
                await reader.end()

    async def _last(self) -> int:
        """The number of the newest event on record, 0 if there is none (any more)."""
        info = await self._ask(lambda js: js.stream_info(rights.stream(self._federation)))
        return int(info.state.last_seq) if info.state.messages else 0

    async def _make(self, config: StreamConfig) -> None:
        try:
            await self._ask(lambda js: js.add_stream(config))
        except Unavailable as error:
            if "already in use" not in str(error):
                raise
            await self._ask(lambda js: js.update_stream(config))

    async def _put(self, what: str, key: str, payload: bytes) -> None:
        await self._acknowledged(f"$KV.{rights.bucket(self._federation, what)}.{key}", payload)

    async def _acknowledged(self, subject: str, payload: bytes) -> None:
        sealed = self._seal(subject, payload)
        await self._ask(lambda js: js.publish(subject, sealed), subject)

    async def _get(self, what: str, key: str) -> bytes | None:
        bucket = rights.bucket(self._federation, what)
        subject = f"$KV.{bucket}.{key}"

        async def value(js: JetStreamContext) -> bytes | None:
            try:
                return (await js.get_msg(f"KV_{bucket}", subject=subject, direct=True)).data or b""
            except NotFoundError:
                return None

        data = await self._ask(value)
        return None if data is None else self._opened(Msg(self._link.client, subject, "", data), subject).payload

    async def _all(self, what: str) -> dict[str, bytes]:
        """Without a watch: that would need a consumer, which does not survive the broker."""
        bucket = rights.bucket(self._federation, what)
        info = await self._ask(lambda js: js.stream_info(f"KV_{bucket}", subjects_filter=">"))
        found: dict[str, bytes] = {}
        for subject in sorted(info.state.subjects or ()):
            key = subject.rpartition(".")[2]
            value = await self._get(what, key)
            if value is not None:
                found[key] = value
        return found

    async def _ask(self, call: Callable[[JetStreamContext], Any], subject: str = "$") -> Any:
        if not self._link.is_connected:
            self._link.check()
            raise self._link.down()
        try:
            return await self._link.wait_for(_translated(call(self._link.client.jetstream())), "$" if subject.startswith("$") else subject)
        except _Missing as error:
            raise Unavailable(f"the broker of {self._federation} keeps nothing (JetStream): {error}") from None


class _Missing(Exception):
    """JetStream refuses, or has no such stream."""


async def _translated(call: Any) -> Any:
    try:
        return await call
    except KeepingError as error:
        raise _Missing(str(error)) from None


def _bucket(name: str, seconds: float, size: int) -> StreamConfig:
    """A KV bucket as every client of NATS knows it, without what servers before 2.11 do not."""
    return StreamConfig(
        name=f"KV_{name}",
        subjects=[f"$KV.{name}.>"],
        max_age=seconds or None,
        max_bytes=size,
        max_msgs_per_subject=1,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        allow_direct=True,
        allow_rollup_hdrs=True,
        deny_delete=True,
        duplicate_window=seconds or 120.0,
    )


class _Reader:
    """One consumer of a stream, from behind number ``after`` until the connection breaks or a message is missing."""

    def __init__(self, link: NatsLink, pattern: str, after: int, stream: str) -> None:
        self._link = link
        self._pattern = pattern
        self._after = after
        self._stream = stream
        self._waiting: asyncio.Queue[Msg | None] = asyncio.Queue(_WAITING_MAX)
        self._broken = False
        self._leave: Any = None

    async def start(self) -> None:
        """Raises Unavailable."""
        if not self._link.is_connected:
            self._link.check()
            raise self._link.down()
        self._link.on_change.append(self._break)
        inbox = f"{self._link.login.inbox}.events.{secrets.token_hex(8)}"
        self._leave = await self._link.subscribe(inbox, self._take)
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._after + 1,
            ack_policy=AckPolicy.NONE,
            deliver_subject=inbox,
            inactive_threshold=30.0,
            mem_storage=True,
            num_replicas=1,
        )
        try:
            await self._link.wait_for(_translated(self._link.client.jetstream().add_consumer(self._stream, config)), "$")
        except _Missing as error:
            raise Unavailable(f"the events of {self._stream} cannot be read: {error}") from None

    async def read(self) -> AsyncGenerator[tuple[int, Msg], None]:
        """(number in the stream, message); ends when the rest has to be asked for anew."""
        delivered = 0
        while True:
            message = await self._waiting.get()
            if message is None:
                self._link.check()
                return
            meta = message.metadata.sequence
            delivered += 1
            if meta.consumer != delivered:
                return
            message.reply = ""  # It is the broker's, for acknowledging, and not the sender's.
            yield meta.stream, message
            if self._broken and self._waiting.empty():
                return

    async def end(self) -> None:
        """Listens no more. Idempotent."""
        if self._break in self._link.on_change:
            self._link.on_change.remove(self._break)
        if self._leave is not None:
            await self._leave()

    async def _take(self, message: Msg) -> None:
        if self._broken or self._waiting.qsize() >= _WAITING_MAX - 1:
            self._broken = True  # A gap: the reader comes back for the rest.
            return
        self._waiting.put_nowait(message)

    def _break(self) -> None:
        self._broken = True
        if not self._waiting.full():
            self._waiting.put_nowait(None)
