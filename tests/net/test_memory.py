"""What the in-memory bus does beyond the contract: its queues are bounded, members come and go."""

import asyncio
from typing import Any

import pytest

from cpods.net import memory
from cpods.net.memory import MemoryBroker, MemoryBus
from cpods.ports import Message


def test_a_bus_needs_no_broker_of_its_own() -> None:
    async def scenario() -> None:
        bus = MemoryBus()

        async def answer(message: Message) -> bytes:
            return b"here"

        await bus.subscribe("one.pod", answer)
        assert await bus.request("one.pod", b"", 30) == b"here"
        await bus.close()

    asyncio.run(scenario())


def test_a_slow_subscriber_loses_messages_and_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PENDING_MAX", 3)

    async def scenario() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        bus = MemoryBus()
        seen: list[bytes] = []
        finished = asyncio.Event()

        async def keep(message: Message) -> None:
            seen.append(message.payload)
            if len(seen) == 3:
                finished.set()

        await bus.subscribe("flood", keep)
        for number in range(5):
            await bus.publish("flood", b"%d" % number)
        await finished.wait()
        assert seen == [b"0", b"1", b"2"]
        assert [context["message"] for context in told] == ["subscriber to flood is too slow, a message to flood is lost"] * 2
        await bus.close()

    asyncio.run(scenario())


def test_a_member_that_leaves_takes_nobody_along() -> None:
    async def scenario() -> None:
        broker = MemoryBroker()
        leaving, staying, asker = MemoryBus(broker), MemoryBus(broker), MemoryBus(broker)

        async def answer(message: Message) -> bytes:
            return b"still here"

        await leaving.subscribe("pod", answer)
        await staying.subscribe("pod", answer)
        await leaving.close()
        assert await asker.request("pod", b"", 30) == b"still here"
        await staying.close()
        assert not broker.subscriptions and not broker.inboxes

    asyncio.run(scenario())


def test_closing_ends_a_handler_at_work() -> None:
    async def scenario() -> None:
        bus = MemoryBus()
        begun, ended = asyncio.Event(), asyncio.Event()

        async def endless(message: Message) -> None:
            begun.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.set()

        await bus.subscribe("work", endless)
        await bus.publish("work", b"")
        await begun.wait()
        await bus.close()
        assert ended.is_set()

    asyncio.run(scenario())
