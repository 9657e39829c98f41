"""The contract of ports.Bus. Every part that claims it runs this suite; to add one, add it to PARTS.

A part is given as a factory: an async context manager over one federation, which yields the way to get a member's bus.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from cpods.errors import Unavailable
from cpods.net.memory import MemoryBroker, MemoryBus
from cpods.ports import Bus, Message
from tests.helpers.broker import running

#: The bus of the member of this name.
Connect = Callable[[str], Awaitable[Bus]]
Federation = Callable[[], AbstractAsyncContextManager[Connect]]
Scenario = Callable[[Connect], Awaitable[None]]


@asynccontextmanager
async def memory() -> AsyncIterator[Connect]:
    """One broker in this process."""
    broker = MemoryBroker()
    members: list[Bus] = []

    async def connect(name: str) -> Bus:
        members.append(MemoryBus(broker))
        return members[-1]

    yield connect
    for member in members:
        await member.close()


class Within:
    """A bus whose subjects are all below ``cpods.fed``: a real member may speak nowhere else. Reply subjects stay as they are."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def publish(self, subject: str, payload: bytes) -> None:
        await self._bus.publish(_below(subject), payload)

    async def request(self, subject: str, payload: bytes, timeout: float) -> bytes:
        return await self._bus.request(_below(subject), payload, timeout)

    async def subscribe(self, subject: str, handler: Callable[[Message], Awaitable[bytes | None]]) -> Callable[[], Awaitable[None]]:
        async def lifted(message: Message) -> bytes | None:
            return await handler(msgspec.structs.replace(message, subject=message.subject.removeprefix("cpods.fed.")))

        return await self._bus.subscribe(_below(subject), lifted)

    async def close(self) -> None:
        await self._bus.close()


def _below(subject: str) -> str:
    return subject if subject.startswith("_INBOX") else f"cpods.fed.{subject}"


@asynccontextmanager
async def nats() -> AsyncIterator[Connect]:
    """A nats-server of its own and members with keys; all of them may say anything in their federation."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), {"md": "founder", "a": "founder", "b": "founder"}) as federation:

            async def connect(name: str) -> Bus:
                return Within(await federation.connect(name))

            yield connect


PARTS: dict[str, Federation] = {"memory": memory, "nats": nats}


@pytest.fixture(params=sorted(PARTS))
def play(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Runs a scenario in a fresh federation and sees that it leaves no task behind."""
    federation = PARTS[request.param]

    def run(scenario: Scenario) -> None:
        async def all_of_it() -> None:
            async with federation() as connect:
                await scenario(connect)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(all_of_it())

    return run


Play = Callable[[Scenario], None]


class Mailbox:
    """A handler that keeps what it gets."""

    def __init__(self, answer: bytes | None = None) -> None:
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._answer = answer

    async def __call__(self, message: Message) -> bytes | None:
        self._queue.put_nowait(message)
        return self._answer

    async def take(self, number: int = 1) -> list[bytes]:
        """The payloads of the next messages."""
        return [(await self._queue.get()).payload for _ in range(number)]

    async def message(self) -> Message:
        return await self._queue.get()


def test_all_subscribers_get_a_message_and_nobody_else(play: Play) -> None:
    async def scenario(connect: Connect) -> None:
        sender, one, two = await connect("md"), await connect("a"), await connect("b")
        first, second, other = Mailbox(), Mailbox(), Mailbox()
        await one.subscribe("news.a", first)
        await two.subscribe("news.a", second)
        await two.subscribe("news.b", other)
        await sender.publish("news.a", b"for a")
        await sender.publish("news.b", b"for b")
        assert (await first.take(), await second.take(), await other.take()) == ([b"for a"], [b"for a"], [b"for b"])

    play(scenario)


def test_what_is_sent_before_subscribing_is_gone(play: Play) -> None:
    async def scenario(connect: Connect) -> None:
        bus, box = await connect("md"), Mailbox()
        await bus.publish("news", b"early")
        await bus.subscribe("news", box)
        await bus.publish("news", b"late")
        assert await box.take() == [b"late"]

    play(scenario)


def test_order_is_kept_though_the_handler_waits(play: Play) -> None:
    async def scenario(connect: Connect) -> None:
        sender, receiver = await connect("md"), await connect("a")
        seen: list[int] = []
        done = asyncio.Event()

        async def slow(message: Message) -> None:
            number = int(message.payload)
            for _ in range(number % 3):
                await asyncio.sleep(0)
            seen.append(number)
            if number == 199:
                done.set()

        await receiver.subscribe("count", slow)
        for number in range(200):
            await sender.publish("count", b"%d" % number)
        await done.wait()
        assert seen == list(range(200))

    play(scenario)


@pytest.mark.parametrize(
    ("pattern", "reached"),
    [
        ("a.*.c", ["a.b.c"]),
        ("a.*", ["a.b"]),
        ("a.>", ["a.b", "a.b.c", "a.b.c.d"]),
        ("*.b.>", ["a.b.c", "a.b.c.d"]),
        (">", ["a", "a.b", "a.b.c", "a.b.c.d"]),
    ],
)
def test_wildcards(play: Play, pattern: str, reached: list[str]) -> None:
    async def scenario(connect: Connect) -> None:
        bus, box = await connect("md"), Mailbox()
        await bus.subscribe(pattern, box)
        for subject in ("a", "a.b", "a.b.c", "a.b.c.d"):
            await bus.publish(subject, subject.encode())
        assert [payload.decode() for payload in await box.take(len(reached))] == reached
        await bus.publish(reached[0], b"the end, and nothing between")
        assert await box.take() == [b"the end, and nothing between"]

    play(scenario)


def test_request_and_answer(play: Play) -> None:
    async def scenario(connect: Connect) -> None:
        asker, pod = await connect("md"), await connect("a")

        async def double(message: Message) -> bytes:
            return message.payload * 2

        await pod.subscribe("double", double)
        answers = await asyncio.gather(*(asker.request("double", b"%d" % number, 30) for number in range(50)))
        assert answers == [b"%d" % number * 2 for number in range(50)]

    play(scenario)


def test_nobody_listens(play: Play) -> None:
    async def scenario(connect: Connect) -> None:
        asker, pod = await connect("md"), await connect("a")
        with pytest.raises(Unavailable):
            await asker.request("pod.a.step", b"", 3600)
        unsubscribe = await pod.subscribe("pod.a.step", Mailbox(b"yes"))
        assert await asker.request("pod.a.step", b"", 30) == b"yes"
        await unsubscribe()
        with pytest.raises(Unavailable):
            await asker.request("pod.a.step", b"", 3600)

    play(scenario)


def test_a_pod_that_left_is_nobody(play: Play) -> None:
    async def scenario(connect: Connect) -> None:
        asker, pod = await connect("md"), await connect("a")
        await pod.subscribe("pod.a.step", Mailbox(b"yes"))
        assert await asker.request("pod.a.step", b"", 30) == b"yes"
        await pod.close()
        with pytest.raises(Unavailable):
            await asker.request("pod.a.step", b"", 3600)

    play(scenario)


def test_no_answer_in_time(play: Play) -> None:
    async def scenario(connect: Connect) -> None:
        asker, box = await connect("md"), Mailbox(None)
        await (await connect("a")).subscribe("silent", box)
        with pytest.raises(TimeoutError):
            await asker.request("silent", b"hello", 0.05)
        assert await box.take() == [b"hello"]

    play(scenario)


def test_an_empty_answer_is_an_answer(play: Play) -> None:
    async def scenario(connect: Connect) -> None:
        asker = await connect("md")
        await (await connect("a")).subscribe("ack", Mailbox(b""))
        assert await asker.request("ack", b"", 30) == b""

    play(scenario)


def test_answer_sent_later_by_hand(play: Play) -> None:
    """The reply subject of a request may be answered from anywhere, once; a message that nobody asked for has none."""

    async def scenario(connect: Connect) -> None:
        asker, pod, box = await connect("md"), await connect("a"), Mailbox(None)
        await pod.subscribe("later", box)
        asked = asyncio.create_task(asker.request("later", b"?", 30))
        reply = (await box.message()).reply
        assert reply
        await pod.publish(reply, b"first")
        await pod.publish(reply, b"second")
        assert await asked == b"first"
        await asker.publish("later", b"no request")
        assert (await box.message()).reply == ""

    play(scenario)


def test_unsubscribing_ends_it_also_from_within(play: Play) -> None:
    async def scenario(connect: Connect) -> None:
        bus, witness = await connect("md"), Mailbox()
        seen: list[bytes] = []

        async def once(message: Message) -> None:
            seen.append(message.payload)
            await unsubscribe()

        unsubscribe = await bus.subscribe("news", once)
        await bus.subscribe("news", witness)
        for payload in (b"1", b"2", b"3"):
            await bus.publish("news", payload)
        await witness.take(3)
        assert seen == [b"1"]
        await unsubscribe()

    play(scenario)


def test_a_failing_handler_loses_its_message_not_its_subscription(play: Play) -> None:
    async def scenario(connect: Connect) -> None:
        asker, pod = await connect("md"), await connect("a")
        told: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

        async def picky(message: Message) -> bytes:
            if message.payload == b"bad":
                raise ValueError("cannot read it")
            return b"good"

        await pod.subscribe("picky", picky)
        with pytest.raises(TimeoutError):
            await asker.request("picky", b"bad", 0.05)
        assert await asker.request("picky", b"fine", 30) == b"good"
        assert [str(context["exception"]) for context in told] == ["cannot read it"]

    play(scenario)


def test_any_bytes(play: Play) -> None:
    async def scenario(connect: Connect) -> None:
        bus, box = await connect("md"), Mailbox()
        await bus.subscribe("raw", box)
        payload = bytes(range(256)) * 2000
        await bus.publish("raw", payload)
        assert await box.take() == [payload]

    play(scenario)


def test_closed(play: Play) -> None:
    async def scenario(connect: Connect) -> None:
        bus = await connect("md")
        await bus.close()
        await bus.close()
        for call in (bus.publish("a", b""), bus.request("a", b"", 1), bus.subscribe("a", Mailbox())):
            with pytest.raises(Unavailable):
                await call

    play(scenario)


def test_closing_ends_an_open_request(play: Play) -> None:
    async def scenario(connect: Connect) -> None:
        asker, box = await connect("md"), Mailbox(None)
        await (await connect("a")).subscribe("silent", box)
        asked = asyncio.create_task(asker.request("silent", b"", 3600))
        await box.take()
        await asker.close()
        with pytest.raises(Unavailable):
            await asked

    play(scenario)


@pytest.mark.parametrize("subject", ["", "a..b", ".a", "a.", "a b", "a.*", "a.>", ">", "a\nb"])
def test_not_a_subject(play: Play, subject: str) -> None:
    async def scenario(connect: Connect) -> None:
        bus = await connect("md")
        with pytest.raises(ValueError):
            await bus.publish(subject, b"")
        with pytest.raises(ValueError):
            await bus.request(subject, b"", 1)

    play(scenario)


@pytest.mark.parametrize("pattern", ["", "a..b", "a.>.b", "a b", "a*", ">>"])
def test_not_a_pattern(play: Play, pattern: str) -> None:
    async def scenario(connect: Connect) -> None:
        with pytest.raises(ValueError):
            await (await connect("md")).subscribe(pattern, Mailbox())

    play(scenario)
