"""Dispatch: each step ends once, whatever becomes of pods, orders, leases, answers and the broker."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from cpods.errors import Unavailable
from cpods.majordomo.far.dispatch import Dispatcher
from cpods.majordomo.far.fleet import Fleet
from cpods.majordomo.far.history import History
from cpods.majordomo.far.jobs import LIMITS, Job
from cpods.majordomo.far.placing import Placer
from cpods.model import Artefact, Step
from cpods.net import subjects
from cpods.net.memory import MemoryBus
from cpods.net.messages import Ack, Acks, Detour, Done, Edited, LogChunk, Owned, StepDone, StepRequest
from cpods.net.wire import decode, encode
from cpods.orders import Order
from cpods.ports import Memory, Message
from cpods.store.memory import MemoryCatalogue, MemoryObjects
from tests.helpers.playedpods import BOSS, FEDERATION, FINGERPRINT, LEASE_SECONDS, STATUS_SECONDS, BreakableBus, PlayedPod, Town
from tests.helpers.stilltime import StillLoop, play

NOWHERE = Artefact("xxh3:" + "0" * 32, 0)


class Desk:
    """Who orders, and takes what comes: a project of its own, a store, and a note of all that was accepted."""

    def __init__(self, town: Town, project: str = "paper") -> None:
        self.project, self.majordomo, self.sftp = project, BOSS, ("boss", 1)
        self.town = town
        self.store = MemoryObjects()
        self.accepted: list[tuple[str, str]] = []
        self.fetches = 0
        self.reached = asyncio.Event()
        self.reached.set()
        self.bus = BreakableBus(town.broker, BOSS)
        self.fleet = Fleet(self.bus, FEDERATION)
        self.failing: Exception | None = None
        self.placer = Placer("least-loaded", self, self.fleet, History(Memory(), MemoryCatalogue().save))
        self.dispatcher = Dispatcher(self.bus, self.fleet, self, self.placer, self._accept)

    def holders(self, digest: str) -> list[str]:
        return []

    def is_here(self, digest: str) -> bool:
        return True

    async def _accept(self, pod: str, steps: Sequence[StepDone]) -> list[Ack]:
        if self.failing is not None:
            raise self.failing
        self.accepted += [(pod, one.id) for one in steps]
        return [Ack(one.id) for one in steps]

    def prepared(self, job: Job, pods: list[str]) -> StepRequest:
        return job.request

    def keep(self, data: bytes) -> Artefact:
        return self.store.put_bytes(data)

    async def fetched(self, artefact: Artefact, pod: str) -> bytes:
        self.fetches += 1
        await self.reached.wait()
        if pod not in self.town.stores:
            raise Unavailable(f"{pod} is not there")
        found: bytes = self.town.stores[pod].read(artefact.digest)
        return found

    def job(self, name: str, fingerprint: str = FINGERPRINT, **more: object) -> Job:
        step = Step(name, "shell", "cc", ("cc", name), (0,), outputs=(f"{name}.o",), **more)  # type: ignore[arg-type]
        return Job(StepRequest(name, Order(step, f"key {name}", (), 0, "log"), NOWHERE, fingerprint=fingerprint), step, (), "cc")

    def run(self, name: str, **more: object) -> "asyncio.Task[StepDone]":
        return asyncio.ensure_future(self.dispatcher.run(self.job(name, **more)))  # type: ignore[arg-type]


@asynccontextmanager
async def desk(town: Town, *pods: str, **more: str) -> AsyncIterator[Desk]:
    one = Desk(town, **more)
    town.stores[BOSS] = one.store
    for name in pods:
        await town.pod(name)
    await one.fleet.start(pods)
    await one.dispatcher.start()
    try:
        yield one
    finally:
        await one.dispatcher.close()
        await one.fleet.close()
        await town.close()
        await one.bus.close()


def now() -> float:
    return asyncio.get_running_loop().time()


async def ordered(pod: PlayedPod, count: int = 1) -> str:
    """The last of so many orders."""
    await pod.until(lambda: len(pod.orders) >= count)
    return pod.orders[count - 1]


# -- the good way ------------------------------------------------------------------------------------------------------


def test_a_step_goes_to_a_pod_and_comes_back_accepted_and_acknowledged() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            running = one.run("a")
            await ordered(town.pods["east"])
            assert one.dispatcher.running_on("east") == 1
            done = await town.pods["east"].end("a")
            assert await running == done
            assert one.accepted == [("east", "a")]
            assert one.dispatcher.running_on("east") == 0

    play(story())


def test_a_long_step_keeps_its_lease_by_renewals() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "west") as one:
            running = one.run("a")
            await asyncio.sleep(20 * LEASE_SECONDS)
            await town.pods["east"].end("a")
            await running
            assert (town.pods["east"].orders, town.pods["west"].orders) == (["a"], [])

    play(story())


def test_slots_are_respected_and_with_a_crowd_each_has_one_more_in_its_queue() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            east = town.pods["east"]
            running = [one.run(f"s{number}") for number in range(9)]
            await ordered(east, 4)
            await asyncio.sleep(2)
            assert len(east.orders) == 4, "two slots, and a queue as long"
            for number in range(9):
                await ordered(east, number + 1)
                await east.end(east.orders[number])
            await asyncio.gather(*running)

    play(story())


def test_who_asks_for_what_is_under_way_gets_the_same_end() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            first, second = one.run("a"), one.run("a")
            await ordered(town.pods["east"])
            third = one.run("a")
            first.cancel()
            await asyncio.sleep(1)
            await town.pods["east"].end("a")
            assert await second == await third
            assert town.pods["east"].orders == ["a"]
            assert town.pods["east"].cancelled == []

    play(story())


def test_orders_that_are_too_long_for_a_message_take_a_detour() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            job = one.job("a", inputs=tuple(f"{number:0200}" for number in range(4_000)))
            running = asyncio.ensure_future(one.dispatcher.run(job))
            await ordered(town.pods["east"])
            await town.pods["east"].end("a")
            assert (await running).id == "a"

    play(story())


# -- pods that go, stall, come back ------------------------------------------------------------------------------------


def test_the_steps_of_a_pod_that_nobody_hears_go_to_another_when_their_leases_end() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "west") as one:
            running = one.run("a")
            await ordered(town.pods["east"])
            await town.pods["east"].die()
            began = now()
            await ordered(town.pods["west"])
            assert now() - began <= LEASE_SECONDS + 2 * LIMITS.tick
            await town.pods["west"].end("a")
            await running

    play(story())


def test_the_steps_of_a_pod_that_says_that_it_stops_go_to_another_at_once_and_it_is_no_death() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            running = one.run("a")
            for count in range(1, 6):  # more often than a step may cost a pod
                await ordered(town.pods["east"], count)
                await town.pods["east"].stop()
                await town.pods["east"].begin()
            await ordered(town.pods["east"], 6)
            await town.pods["east"].end("a")
            await running

    play(story())


def test_a_step_that_costs_three_pods_their_lives_is_stopped_and_named() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "north", "west") as one:
            running = one.run("deadly")
            for name in ("east", "north", "west"):
                await ordered(town.pods[name])
                await asyncio.sleep(0.01)
                await town.pods[name].die()
            done = await running
            assert done.cooked.exit_code == 1
            (problem,) = done.cooked.problems
            assert "deadly" in problem.message
            assert "east, north, west" in problem.message

    play(story())


def test_a_stalled_pods_late_end_counts_if_it_is_the_first_and_the_other_pod_is_told_to_stop() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "west") as one:
            east, west = town.pods["east"], town.pods["west"]
            running = one.run("a")
            await ordered(east)
            east.stall()
            await ordered(west)
            await asyncio.sleep(1)
            east.awake.set()
            await east.end("a")
            assert (await running).cooked.pod == "east"
            await west.until(lambda: west.cancelled == ["a"])

    play(story())


def test_a_second_end_of_a_step_is_acknowledged_and_changes_nothing() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "west") as one:
            east, west = town.pods["east"], town.pods["west"]
            running = one.run("a")
            await ordered(east)
            east.stall()
            await ordered(west)
            await west.end("a")
            done = await running
            east.awake.set()
            await east.end("a")
            assert done.cooked.pod == "west"
            assert one.accepted == [("west", "a"), ("east", "a")]

    play(story())


def test_an_end_for_an_unknown_id_is_accepted_and_acknowledged() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            east = town.pods["east"]
            cancelled = one.run("a")
            await ordered(east)
            east.stall()
            cancelled.cancel()
            await asyncio.sleep(0)
            east.hand_in("a")
            east.awake.set()
            await east.until(lambda: "a" in east.acks)
            assert one.accepted == [("east", "a")]

    play(story())


def test_while_the_only_pod_is_away_a_build_waits_and_goes_on_when_it_is_back() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            east = town.pods["east"]
            running = one.run("a")
            await ordered(east)
            await east.die()
            await asyncio.sleep(LEASE_SECONDS + LIMITS.patience / 2)
            await east.begin()
            await ordered(east, 2)
            await east.end("a")
            await running

    play(story())


def test_without_any_pod_it_gives_up_in_one_sentence() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town) as one:
            began = now()
            with pytest.raises(Unavailable, match="no pod of federation lab is there"):
                await one.run("a")
            assert LIMITS.patience <= now() - began <= LIMITS.patience + 2

    play(story())


def test_a_pod_that_joins_while_steps_wait_gets_work() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town) as one:
            running = one.run("a")
            await asyncio.sleep(5)
            await town.pod("late")
            await ordered(town.pods["late"])
            await town.pods["late"].end("a")
            await running

    play(story())


def test_a_loop_that_stood_still_does_not_take_unread_renewals_for_silence() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "west") as one:
            running = one.run("a")
            await ordered(town.pods["east"])
            loop = asyncio.get_running_loop()
            assert isinstance(loop, StillLoop)
            await asyncio.sleep(0.1)
            loop.now += 100  # the MajorDomo hashed a large file, say; the pods went on renewing
            await asyncio.sleep(LEASE_SECONDS * 3)
            assert town.pods["west"].orders == []
            await town.pods["east"].end("a")
            await running

    play(story())


# -- the broker --------------------------------------------------------------------------------------------------------


def test_while_the_broker_is_away_no_lease_ends_and_afterwards_everything_goes_on() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "west") as one:
            east, west = town.pods["east"], town.pods["west"]
            first = one.run("a")
            await ordered(east)
            one.bus.is_connected = east.bus.is_connected = west.bus.is_connected = False
            second = one.run("b")
            await asyncio.sleep(6 * LEASE_SECONDS)
            one.bus.is_connected = east.bus.is_connected = west.bus.is_connected = True
            await ordered(east, 2)
            assert west.orders == []
            await east.end("a")
            await east.end("b")
            await asyncio.gather(first, second)

    play(story())


def test_a_broker_that_stays_away_ends_the_build_in_one_sentence() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            running = one.run("a")
            await ordered(town.pods["east"])
            one.bus.is_connected = False
            with pytest.raises(Unavailable, match="broker of federation lab has been away"):
                await running
            with pytest.raises(Unavailable, match="broker"):
                await one.run("b")

    play(story())


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_a_pod_that_refuses_leaves_the_step_to_another() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "west") as one:
            town.pods["east"].refuses = "it has no chef shell"
            running = one.run("a")
            await ordered(town.pods["west"])
            await town.pods["west"].end("a")
            await running

    play(story())


def test_if_all_refuse_the_build_ends_with_their_reasons() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "west") as one:
            town.pods["east"].refuses = "it has no chef shell"
            town.pods["west"].refuses = "its store names artefacts otherwise"
            with pytest.raises(Unavailable, match="pod east: it has no chef shell; pod west: its store names artefacts otherwise"):
                await one.run("a")

    play(story())


def test_a_pod_that_refuses_because_it_stops_is_another_matter_when_it_is_back() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            east = town.pods["east"]
            await asyncio.sleep(0.1)
            east.refuses = "it is stopping"
            running = one.run("a")
            await asyncio.sleep(1)
            await east.stop()
            await asyncio.sleep(5)
            east.refuses = ""
            await east.begin()
            await ordered(east)
            await east.end("a")
            await running

    play(story())


def test_tools_decide_where_a_step_goes_and_any_tool_will_do_if_it_says_so() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "west") as one:
            town.pods["east"].fits["cc"] = "another"
            strict, loose = one.run("a"), one.run("b", fingerprint="")
            await ordered(town.pods["west"])
            await ordered(town.pods["east"])
            assert (town.pods["east"].orders, town.pods["west"].orders) == (["b"], ["a"])
            await town.pods["west"].end("a")
            await town.pods["east"].end("b")
            await asyncio.gather(strict, loose)
            with pytest.raises(Unavailable, match=r"no pod fits step c .*east has another.*west has another.*tool_match"):
                await one.run("c", fingerprint="a third")

    play(story())


def test_if_no_pod_has_a_program_its_package_is_named() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "west") as one:
            town.pods["east"].fits["cc"] = town.pods["west"].fits["cc"] = ""
            with pytest.raises(Unavailable, match=r"no pod fits step a .*east lacks a program.*\(on Debian, `apt install gcc` brings cc\)"):
                await one.run("a")

    play(story())


def test_a_pod_that_never_answers_orders_is_not_asked_for_ever() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            deaf = MemoryBus(town.broker, "deaf")

            async def nothing(message: Message) -> None:
                return None

            await deaf.subscribe(subjects.step(FEDERATION, "east"), nothing)
            east = town.pods["east"]

            async def silent(message: Message) -> None:
                return None

            await east.bus.close()
            east.bus = BreakableBus(town.broker, "east")
            await east.bus.subscribe(subjects.ask(FEDERATION, "east"), east._on_question)
            with pytest.raises(Unavailable, match="east does not answer this order"):
                await one.run("a")
            await deaf.close()

    play(story())


def test_a_pod_that_answers_orders_with_nonsense_refuses_them() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town) as one:
            odd = MemoryBus(town.broker, "east")

            async def nonsense(message: Message) -> bytes:
                return b"hello"

            await odd.subscribe(subjects.step(FEDERATION, "east"), nonsense)
            east = PlayedPod(town, "east")
            east.bus = odd
            await odd.subscribe(subjects.ask(FEDERATION, "east"), east._on_question)
            await east._status()
            with pytest.raises(Unavailable, match="east answers orders with something else"):
                await one.run("a")
            await odd.close()

    play(story())


# -- ends that are no good ---------------------------------------------------------------------------------------------


def test_a_pod_that_could_not_carry_it_out_leaves_the_step_to_another() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "west") as one:
            running = one.run("a")
            await ordered(town.pods["east"])
            await town.pods["east"].end("a", trouble="its disk is full")
            await ordered(town.pods["west"])
            await town.pods["west"].end("a")
            assert (await running).trouble == ""

    play(story())


def test_after_three_such_ends_the_last_is_believed() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            running = one.run("a")
            for count in range(1, 4):
                await ordered(town.pods["east"], count)
                await town.pods["east"].end("a", trouble=f"its disk is full ({count})")
            assert (await running).trouble == "its disk is full (3)"

    play(story())


def test_missing_inputs_are_for_who_asked_to_judge() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "west") as one:
            running = one.run("a")
            await ordered(town.pods["east"])
            await town.pods["east"].end("a", trouble="an input is missing", missing={"xxh3:1": "nobody has it"})
            assert (await running).missing == {"xxh3:1": "nobody has it"}

    play(story())


def test_if_a_result_cannot_be_written_down_the_build_ends_with_that() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            running, waiting = one.run("a"), one.run("b")
            await ordered(town.pods["east"])
            one.failing = OSError(28, "No space left on device")
            town.pods["east"].hand_in("a")
            for task in (running, waiting):
                with pytest.raises(OSError, match="No space left"):
                    await task
            assert "a" in town.pods["east"].ends, "the pod keeps it for the next build"

    play(story(), allow="the handler of")


def test_a_mistake_in_placement_ends_the_build_instead_of_hanging_it() -> None:
    async def story() -> None:
        town = Town()

        class Mistaken(Placer):
            def hand_out(self) -> list[tuple[Job, str]]:
                raise ZeroDivisionError

        async with desk(town, "east") as one:
            one.placer.__class__ = Mistaken
            with pytest.raises(ZeroDivisionError):
                await one.run("a")

    play(story(), allow="dispatch failed")


def test_a_name_that_no_message_can_hold_ends_its_step_and_blames_no_pod() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            with pytest.raises(Unavailable, match="UTF-8"):
                await one.run("\udcff")
            assert one.fleet.ready() == ["east"]

    play(story())


# -- long ends ---------------------------------------------------------------------------------------------------------


async def long_end(town: Town, one: Desk, name: str) -> bytes:
    """An end in a detour, sent until it is answered."""
    pod = town.pods["east"]
    request = pod.running.pop(name)
    end = encode(Done("east", (StepDone(name, one.project, pod.cooked(request), log="x" * 1000),)))
    detour = encode(Detour(pod.store.put_bytes(end), "east", ("east", 1)))
    while True:
        try:
            return await pod.bus.request(subjects.result(FEDERATION, BOSS, "east", "done"), detour, 1.0)
        except (TimeoutError, Unavailable):
            await asyncio.sleep(0.2)


def test_a_long_end_is_fetched_once_at_a_time_and_leases_go_on_meanwhile() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east", "west") as one:
            east = town.pods["east"]
            running, other = one.run("a"), one.run("b")
            await ordered(east, 2)
            one.reached.clear()  # the link to its store is slow
            answer = asyncio.ensure_future(long_end(town, one, "a"))
            await asyncio.sleep(LEASE_SECONDS / 2)
            assert one.fetches == 1
            one.reached.set()
            assert [ack.id for ack in decode(await answer, Acks).acks] == ["a"]
            assert (await running).log == "x" * 1000
            await asyncio.sleep(2 * LEASE_SECONDS)
            await east.end("b")
            await other
            assert town.pods["west"].orders == []

    play(story())


def test_a_long_end_that_cannot_be_fetched_is_asked_for_again() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            running = one.run("a")
            await ordered(town.pods["east"])
            store = town.stores.pop("east")
            answer = asyncio.ensure_future(long_end(town, one, "a"))
            await asyncio.sleep(1.5)
            town.stores["east"] = store
            await answer
            await running
            assert one.fetches > 1

    play(story(), allow="the results of east cannot be had yet")


# -- cancelling, closing, others ---------------------------------------------------------------------------------------


def test_a_cancelled_step_is_given_up_on_its_pod() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            east = town.pods["east"]
            running = one.run("a")
            await ordered(east)
            running.cancel()
            await east.until(lambda: east.cancelled == ["a"])
            assert one.dispatcher.running_on("east") == 0

    play(story())


def test_a_step_that_is_cancelled_before_its_order_went_out_never_reaches_a_pod() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            assert await one.fleet.fingerprint("east", "cc", one.job("a").step) == FINGERPRINT
            running = one.run("a")

            class Late(Placer):
                def hand_out(self) -> list[tuple[Job, str]]:
                    sent = super().hand_out()
                    if sent:
                        running.cancel()
                    return sent

            one.placer.__class__ = Late
            await asyncio.wait([running])
            await asyncio.sleep(3)
            assert town.pods["east"].orders == []

    play(story())


def test_closing_cancels_what_runs_and_ends_who_waits() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            running, waiting = one.run("a"), one.run("b", fingerprint="unknown tools")
            await ordered(town.pods["east"])
            await one.dispatcher.close()
            await town.pods["east"].until(lambda: town.pods["east"].cancelled == ["a"])
            for task in (running, waiting):
                await asyncio.wait([task])
                assert task.cancelled() or task.exception()
            await one.dispatcher.close()

    play(story())


def test_two_builds_of_one_member_get_each_its_own() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            other = Desk(town, "book")
            await other.fleet.start(["east"])
            await other.dispatcher.start()
            ours, theirs = one.run("a"), other.run("b")
            await ordered(town.pods["east"], 2)
            await asyncio.sleep(5 * LEASE_SECONDS)
            await town.pods["east"].end("b")
            await town.pods["east"].end("a")
            assert ((await ours).project, (await theirs).project) == ("paper", "book")
            assert (one.accepted, other.accepted) == ([("east", "a")], [("east", "b")])
            await other.dispatcher.close()
            await other.fleet.close()

    play(story())


def test_what_tools_say_and_what_was_edited_is_passed_on_from_the_pod_that_says_so() -> None:
    async def story() -> None:
        town = Town()
        said: list[tuple[str, str]] = []
        edits: list[Edited] = []
        async with desk(town, "east") as one:
            one.dispatcher.on_log = lambda step, text: said.append((step, text))
            one.dispatcher.on_edited = edits.append
            row = Owned("a.o", 1, "xxh3:1", "xxh3:2")
            liar = MemoryBus(town.broker, "liar")
            for bus in (town.pods["east"].bus, liar):
                await bus.publish(subjects.result(FEDERATION, BOSS, "east", "log"), encode(LogChunk("a", f"from {bus._member}")))
                for project in ("paper", "book"):
                    message = encode(Edited("east", project, (row,)))
                    await bus.publish(subjects.result(FEDERATION, BOSS, "east", "edited"), message)
            await asyncio.sleep(1)
            assert said == [("a", "from east")]
            assert edits == [Edited("east", "paper", (row,))]
            await liar.close()

    play(story())


def test_statuses_are_what_keeps_a_quiet_pod_in_the_fleet() -> None:
    async def story() -> None:
        town = Town()
        async with desk(town, "east") as one:
            await asyncio.sleep(20 * STATUS_SECONDS)
            running = one.run("a")
            await ordered(town.pods["east"])
            await town.pods["east"].end("a")
            await running

    play(story())
