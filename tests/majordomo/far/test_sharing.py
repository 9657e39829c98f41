"""Results shared with everybody: asked for once, given once, and never a reason to fail."""

import asyncio

from cpods.majordomo.far.sharing import Sharing, SharingResults
from cpods.model import Output, Read, Result, Version
from cpods.net import subjects
from cpods.net.questions import AskResults, Okay
from cpods.net.questions import Results as Shared
from cpods.net.wire import MESSAGE_BYTES_MAX, Wire, decode, encode
from cpods.ports import Message
from cpods.store.memory import MemoryResults
from tests.helpers.playedpods import BOSS, FEDERATION, BreakableBus, Town
from tests.helpers.stilltime import play


def result(key: str, reads: int = 1) -> Result:
    return Result(key, "a", tuple(Read(f"{number:0100}", "xxh3:1") for number in range(reads)), (Output("a.txt", Version("xxh3:2", 3)),))


class Steward:
    """Keeps what it is told and tells what is asked for."""

    def __init__(self, town: Town) -> None:
        self.bus = BreakableBus(town.broker, "founder")
        self.kept = MemoryResults()
        self.asked: list[Wire] = []
        self.refuses = ""

    async def begin(self) -> None:
        await self.bus.subscribe(subjects.steward(FEDERATION), self._hear)

    async def _hear(self, message: Message) -> bytes:
        assert len(message.payload) <= MESSAGE_BYTES_MAX
        question: Wire = decode(message.payload, AskResults, Shared)
        self.asked.append(question)
        if self.refuses:
            return encode(Okay(self.refuses))
        if isinstance(question, AskResults):
            return encode(Shared(tuple(one for key in question.steps for one in self.kept.results(key))))
        assert isinstance(question, Shared)
        for one in question.results:
            self.kept.add_result(one)
        return encode(Okay())


async def together(refuses: str = "", begins: bool = True) -> tuple[Steward, BreakableBus, SharingResults, Sharing]:
    town = Town()
    steward = Steward(town)
    steward.refuses = refuses
    if begins:
        await steward.begin()
    bus = BreakableBus(town.broker, BOSS)
    results = SharingResults(MemoryResults())
    return steward, bus, results, Sharing(bus, FEDERATION, results)


def test_what_others_found_is_taken_over_and_asked_for_once_and_not_given_back() -> None:
    async def story() -> None:
        steward, _, results, sharing = await together()
        steward.kept.add_result(result("k"))
        assert await sharing.ask(["k", "k"]) == ["xxh3:2"]
        assert await sharing.ask(["k"]) == []
        assert [*results.results("k")] == [result("k")]
        await sharing.give()
        assert len(steward.asked) == 1
        await steward.bus.close()

    play(story())


def test_what_is_new_is_given_once_in_messages_that_fit() -> None:
    async def story() -> None:
        steward, _, results, sharing = await together()
        for number in range(6):
            results.add_result(result(f"k{number}", reads=1_000))
        results.add_result(result("too long for any message", reads=10_000))
        await sharing.give()
        await sharing.give()
        assert len(steward.asked) > 1
        assert all(steward.kept.results(f"k{number}") for number in range(6))
        assert not steward.kept.results("too long for any message")
        assert not sharing.trouble
        await steward.bus.close()

    play(story())


def test_a_federation_without_a_steward_costs_one_note() -> None:
    async def story() -> None:
        _, _, results, sharing = await together(begins=False)
        began = asyncio.get_running_loop().time()
        for key in ("a", "b"):
            assert await sharing.ask([key]) == []
        results.add_result(result("k"))
        await sharing.give()
        assert "steward did not answer" in sharing.trouble
        assert asyncio.get_running_loop().time() == began

    play(story())


def test_a_steward_that_refuses_is_quoted() -> None:
    async def story() -> None:
        steward, _, _, sharing = await together(refuses="the disk is full")
        assert await sharing.ask(["k"]) == []
        assert "the disk is full" in sharing.trouble
        await steward.bus.close()

    play(story())


def test_while_the_broker_is_away_nothing_is_lost() -> None:
    async def story() -> None:
        steward, bus, results, sharing = await together()
        steward.kept.add_result(result("k"))
        results.add_result(result("new"))
        bus.is_connected = False
        assert await sharing.ask(["k"]) == []
        await sharing.give()
        bus.is_connected = True
        assert await sharing.ask(["k"]) == ["xxh3:2"]
        await sharing.give()
        assert steward.kept.results("new")
        await steward.bus.close()

    play(story())
