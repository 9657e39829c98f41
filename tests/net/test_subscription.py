"""One subscriber: what waits for it is bounded, and told when it is lost."""

import asyncio

from nats.aio.client import Client
from nats.aio.msg import Msg

from cpods.net import subscription
from cpods.net.subscription import Subscription
from cpods.net.wire import BadMessage
from cpods.ports import Message

CLIENT = Client()


def came(payload: bytes) -> Msg:
    return Msg(CLIENT, "news", "", payload)


def opened(message: Msg, pattern: str) -> Message:
    if message.data == b"forged":
        raise BadMessage(f"somebody forged a message on {pattern}")
    return Message("news", message.data, message.reply)


async def unanswered(message: Message, answer: bytes) -> None:
    raise AssertionError(f"{message} is no request, {answer!r} goes nowhere")


def test_one_too_many_is_lost_and_told() -> None:
    async def scenario() -> None:
        told: list[str] = []
        seen: list[bytes] = []
        done = asyncio.Event()

        async def handler(message: Message) -> bytes:
            seen.append(message.payload)
            if message.payload == b"last":
                done.set()
            return b"an answer that nobody asked for"

        one = Subscription("news", handler, opened, unanswered, told.append)
        for _ in range(subscription.PENDING_MAX):
            await one.take(came(b""))
        await one.take(came(b"one too many"))
        assert told == ["subscriber to news is too slow, a message to news is lost"]
        while len(seen) < subscription.PENDING_MAX:
            await asyncio.sleep(0)
        await one.take(came(b"last"))
        await done.wait()
        assert seen[-1] == b"last" and len(seen) == subscription.PENDING_MAX + 1
        await one.end()

    asyncio.run(scenario())


def test_bytes_that_wait_are_bounded_too() -> None:
    async def scenario() -> None:
        told: list[str] = []
        started = asyncio.Event()

        async def stuck(_: Message) -> None:
            started.set()
            await asyncio.Event().wait()

        one = Subscription("news", stuck, opened, unanswered, told.append)
        await one.take(came(b"first"))
        await started.wait()
        large = bytes(1 << 20)
        for _ in range(subscription.PENDING_BYTES_MAX // len(large)):
            await one.take(came(large))
        assert told == []
        await one.take(came(b"x"))
        assert told == ["subscriber to news is too slow, a message to news is lost"]
        await one.end()

    asyncio.run(scenario())


def test_a_forged_message_is_told_and_not_handed_over() -> None:
    async def scenario() -> None:
        told: list[str] = []
        seen: asyncio.Queue[bytes] = asyncio.Queue()

        async def handler(message: Message) -> None:
            seen.put_nowait(message.payload)

        one = Subscription("news", handler, opened, unanswered, told.append)
        await one.take(came(b"forged"))
        await one.take(came(b"true"))
        assert await seen.get() == b"true"
        assert told == ["somebody forged a message on news"]
        await one.end()
        await one.end()

    asyncio.run(scenario())
