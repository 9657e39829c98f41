"""The fleet: who is there, who fits, and what happens to those that go."""

import asyncio

import pytest

from cpods.errors import Unavailable
from cpods.majordomo.far.fleet import Fleet
from cpods.model import Step
from cpods.net import subjects
from cpods.net.memory import MemoryBus
from cpods.net.questions import AskFits, AskHeld, Disown, Fits, Held, Okay, PodStatus
from cpods.net.wire import BadMessage, encode
from cpods.ports import Message
from tests.helpers.playedpods import BOSS, FEDERATION, FINGERPRINT, STATUS_SECONDS, BreakableBus, PlayedPod, Town
from tests.helpers.stilltime import play


def tool(name: str = "cc", inputs: tuple[str, ...] = ()) -> Step:
    return Step(name, "shell", name, (name,), (0,), inputs=inputs)


async def seen_by(town: Town, *names: str) -> Fleet:
    fleet = Fleet(BreakableBus(town.broker, BOSS), FEDERATION)
    await fleet.start(names)
    return fleet


def test_members_that_answer_are_there_at_once_and_the_others_cost_no_wait() -> None:
    async def story() -> None:
        town = Town()
        await town.pod("east")
        began = asyncio.get_running_loop().time()
        fleet = await seen_by(town, "east", "west")
        assert fleet.ready() == fleet.present() == ["east"]
        assert asyncio.get_running_loop().time() == began
        await fleet.close()
        await town.close()

    play(story())


def test_who_joins_later_is_heard_of_and_who_falls_silent_is_not_ready_any_more() -> None:
    async def story() -> None:
        town = Town()
        fleet = await seen_by(town)
        east = await town.pod("east", slots=3)
        await fleet.changed.wait()
        assert fleet.ready() == ["east"]
        assert fleet.statuses["east"].slots == 3
        await east.die()
        await asyncio.sleep(fleet.stale_seconds + 1)
        assert fleet.present() == []
        await east.begin()
        await asyncio.sleep(0)
        fleet.changed.clear()
        await asyncio.sleep(STATUS_SECONDS)
        assert fleet.ready() == ["east"]
        await fleet.close()
        await town.close()

    play(story())


def test_draining_pods_can_be_asked_but_get_no_steps() -> None:
    async def story() -> None:
        town = Town()
        east = await town.pod("east")
        fleet = await seen_by(town, "east")
        await asyncio.sleep(0.1)
        fleet.changed.clear()
        await east.stop("draining")
        await fleet.changed.wait()
        assert (fleet.ready(), fleet.present()) == ([], ["east"])
        await fleet.close()
        await town.close()

    play(story())


def test_a_pod_that_stops_is_told_of_once() -> None:
    async def story() -> list[str]:
        town, gone = Town(), []
        east = await town.pod("east")
        fleet = await seen_by(town, "east")
        fleet.on_gone(gone.append)
        await east.stop()
        await asyncio.sleep(1)
        fleet.lost("east")
        await fleet.close()
        await town.close()
        return gone

    assert play(story()) == ["east"]


def test_a_question_to_a_pod_that_is_gone_gives_it_up() -> None:
    async def story() -> list[str]:
        town, gone = Town(), []
        east = await town.pod("east")
        fleet = await seen_by(town, "east")
        fleet.on_gone(gone.append)
        await east.die()
        with pytest.raises(Unavailable):
            await fleet.ask("east", AskHeld(("xxh3:0",)), Held)
        await fleet.close()
        return gone

    assert play(story()) == ["east"]


def test_a_broker_that_is_away_takes_no_pod_with_it() -> None:
    async def story() -> None:
        town, gone = Town(), []
        await town.pod("east")
        bus = BreakableBus(town.broker, BOSS)
        fleet = Fleet(bus, FEDERATION)
        await fleet.start(["east"])
        fleet.on_gone(gone.append)
        bus.is_connected = False
        with pytest.raises(Unavailable):
            await fleet.ask("east", AskHeld(("xxh3:0",)), Held)
        assert (gone, fleet.ready()) == ([], ["east"])
        await fleet.close()
        await town.close()

    play(story())


def test_silence_is_excused_for_as_long_as_nobody_could_be_heard() -> None:
    async def story() -> None:
        town = Town()
        east = await town.pod("east")
        fleet = await seen_by(town, "east")
        await asyncio.sleep(0.1)
        await east.die()
        await asyncio.sleep(fleet.stale_seconds - 1)
        fleet.excuse(fleet.stale_seconds - 1)
        await asyncio.sleep(fleet.stale_seconds - 1)
        assert fleet.is_there("east")
        await asyncio.sleep(2)
        fleet.excuse(1)
        assert not fleet.is_there("east"), "who was silent before cannot be excused"
        await fleet.close()

    play(story())


def test_a_pod_that_refuses_says_why() -> None:
    async def story() -> None:
        town = Town()
        bus = MemoryBus(town.broker, "east")

        async def refuse(message: Message) -> bytes:
            return encode(Okay("boss may not command this pod"))

        await bus.subscribe(subjects.ask(FEDERATION, "east"), refuse)
        fleet = await seen_by(town)
        for question, kind in ((AskHeld(()), Held), (Disown("paper", {}), Okay)):
            with pytest.raises(Unavailable, match="may not command"):
                await fleet.ask("east", question, kind)
        await fleet.close()
        await bus.close()

    play(story())


def test_a_status_in_anothers_name_is_not_believed() -> None:
    async def story() -> None:
        town = Town()
        fleet = await seen_by(town)
        liar = MemoryBus(town.broker, "liar")
        await liar.publish(subjects.status(FEDERATION, "east"), encode(PodStatus("east", 0, "ready", 8, 8, ("liar", 1))))
        await liar.publish(subjects.status(FEDERATION, "liar"), encode(PodStatus("east", 0, "ready", 8, 8, ("liar", 1))))
        await asyncio.sleep(1)
        assert fleet.statuses == {}
        await fleet.close()
        await liar.close()

    play(story())


# -- tools -------------------------------------------------------------------------------------------------------------


def asked(pod: PlayedPod) -> list[AskFits]:
    return [question for question in pod.asked if isinstance(question, AskFits)]


def test_a_fingerprint_is_asked_for_once_and_again_after_the_pod_was_started_anew() -> None:
    async def story() -> None:
        town = Town()
        east = await town.pod("east")
        fleet = await seen_by(town, "east")
        found = await asyncio.gather(*(fleet.fingerprint("east", "cc", tool()) for _ in range(3)))
        assert set(found) == {FINGERPRINT}
        assert len(asked(east)) == 1
        await east.die()
        await east.begin()
        await asyncio.sleep(STATUS_SECONDS)
        assert fleet.known_fingerprint("east", "cc") is None
        east.fits["cc"] = "tool/2"
        assert await fleet.fingerprint("east", "cc", tool()) == "tool/2"
        await fleet.close()
        await town.close()

    play(story())


def test_many_steps_are_asked_for_in_as_few_messages_as_they_fit_into() -> None:
    async def story() -> None:
        town = Town()
        pods = [await town.pod("east"), await town.pod("west")]
        pods[1].fits["ld"] = ""
        fleet = await seen_by(town, "east", "west")
        steps = {name: tool(name) for name in ("cc", "ld")}
        steps |= {f"long{number}": tool(f"long{number}", tuple(f"{number}/{n:0100}" for n in range(1_000))) for number in range(5)}
        await fleet.learn(steps)
        await fleet.learn(steps)
        for pod in pods:
            assert 3 <= len(asked(pod)) < len(steps)
            assert [step.name for question in asked(pod) for step in question.steps] == [*steps]
        assert fleet.known_fingerprint("west", "ld") == ""
        assert fleet.known_fingerprint("east", "long4") == FINGERPRINT
        await fleet.close()
        await town.close()

    play(story())


@pytest.mark.parametrize("answer", [Okay("its disk is broken"), Fits(()), PodStatus("east", 0, "ready", 1, 1, ("", 0))])
def test_a_pod_that_cannot_tell_a_fingerprint_does_not_fit_and_is_not_asked_for_ever(answer: Okay) -> None:
    async def story() -> None:
        town, count = Town(), 0
        bus = MemoryBus(town.broker, "east")

        async def odd(message: Message) -> bytes:
            nonlocal count
            count += 1
            return encode(PodStatus("east", 0, "ready", 1, 1, ("", 0)) if count == 1 else answer)

        await bus.subscribe(subjects.ask(FEDERATION, "east"), odd)
        fleet = await seen_by(town, "east")
        assert await fleet.fingerprint("east", "cc", tool()) == ""
        assert fleet.known_fingerprint("east", "cc") == ""
        if isinstance(answer, Okay):
            assert "its disk is broken" in fleet.misfit("east", "cc")
        await fleet.close()
        await bus.close()

    play(story())


def test_what_no_message_can_hold_is_nobodys_absence() -> None:
    async def story() -> None:
        town = Town()
        await town.pod("east")
        fleet = await seen_by(town, "east")
        with pytest.raises(BadMessage, match="UTF-8"):
            await fleet.ask("east", AskFits((tool("\udcff"),)), Fits)
        assert fleet.ready() == ["east"]
        await fleet.close()
        await town.close()

    play(story())


def test_closing_ends_questions_that_nobody_answers() -> None:
    async def story() -> None:
        town = Town()
        east = await town.pod("east")
        fleet = await seen_by(town, "east")
        east.stall()
        waiting = asyncio.ensure_future(fleet.fingerprint("east", "cc", tool()))
        await asyncio.sleep(1)
        await fleet.close()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        await town.close()

    play(story())
