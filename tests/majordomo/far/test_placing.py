"""Placement as dispatch asks for it: what it is told of pods, files and steps, and what becomes of that."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from cpods.digest import of_bytes
from cpods.errors import UsageError
from cpods.majordomo.far.jobs import Job
from cpods.majordomo.far.placing import checked
from cpods.model import Remembered, Result
from cpods.net.messages import StepRequest
from cpods.scheduler.decisions import decisions, replay
from cpods.scheduler.outlook import Outlook
from cpods.scheduler.placement import DEFAULT_STRATEGY, STRATEGIES
from tests.helpers.farside import FarSide, farside, shell
from tests.helpers.playedpods import PlayedPod, Town
from tests.helpers.stilltime import play

CHAIN = [shell("a", ["src.txt"], ["a.out"]), shell("b", ["a.out"], ["b.out"]), shell("c", ["b.out"], ["c.out"]), shell("alone", [], ["x"])]


async def honest(pod: PlayedPod, request: StepRequest) -> None:
    await pod.pull(request)
    await asyncio.sleep(0.2)
    pod.hand_in(request.id)


def lines(side: FarSide, kind: str) -> list[list[object]]:
    """What was told of this kind, so far."""
    side.placer.close()
    return [line[1:] for line in map(msgspec.json.decode, side.decisions.splitlines()) if line[0] == kind]


def look(side: FarSide) -> Outlook:
    told = side.placer._told
    assert told is not None
    return told.look


#: An earlier build knows all that these read: they do not want the whole tree.
KNOWN = {step.name: Remembered(frozenset(step.inputs), frozenset(step.outputs)) for step in CHAIN}


def test_a_strategy_that_does_not_exist_is_named_with_the_nearest_one_that_does() -> None:
    assert checked("") == DEFAULT_STRATEGY == "locality"
    with pytest.raises(UsageError, match=r"placement 'least-load' is not known; did you mean least-loaded\? Known are random, "):
        checked("least-load")
    with pytest.raises(UsageError, match="placement 'best-guess' is not known; choose one of .*locality"):
        checked("best-guess")


def test_what_a_pod_held_before_the_build_and_what_it_makes_draws_steps_there(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east", "west"], strategy="max-locality", remembered=KNOWN) as side:
            source = side.write("src.txt", "hello")
            for pod in town.pods.values():
                pod.work = honest
            side.estate.hold("west", {source: 5})
            town.pods["west"].store.put_bytes(b"hello")
            for name in ("a", "b", "c"):
                assert (await side.cook(name)).pod == "west", name
            assert lines(side, "hold") == [[0, [0]], [2, [0]]], "what a pod makes is held by its end, not told besides"

    play(story())


def test_only_what_may_run_is_told_and_all_of_that_before_the_first_decision(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            town.pods["east"].work = honest
            await side.cook("b")
            assert lines(side, "name_steps") == [[0, ["b", "c"]]], "a is done, and nothing waits for it"
            assert lines(side, "rank_steps") == [[[[1], []]]]
            assert look(side).rank == [0.4, 0.2]
            await side.cook("alone")
            assert lines(side, "name_steps")[1:] == [[2, ["alone"]]]

    play(story())


def test_steps_that_need_not_run_are_no_work_that_is_left(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            town.pods["east"].work = honest
            side.placer.attach(side.planned, lambda: {"a", "b", "c"})
            await side.cook("a")
            assert look(side).remaining == pytest.approx(0.4)
            await asyncio.sleep(5)
            await side.cook("alone")
            assert look(side).remaining == pytest.approx(0.0)

    play(story())


def test_times_are_those_of_before_and_a_guess_is_put_right_by_the_first_run(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        steps = [*CHAIN, shell("known", ["c.out"], ["y"])]
        remembered = {"known": Remembered(frozenset(["c.out"]), frozenset(["y"]))}
        async with farside(tmp_path, town, steps, ["east"], remembered=remembered) as side:
            side.write("src.txt", "hello")
            east = town.pods["east"]
            side.memory.results["known"] = Result("key", "known", (), (), seconds=8.0)
            side.kitchen.on_end = side.history.note_end
            cooking = asyncio.ensure_future(side.cook("a"))
            await east.until(lambda: len(east.orders) == 1)
            assert look(side).estimate == [0.2, 0.2, 0.2, 8.0]
            assert look(side).rank == pytest.approx([8.6, 8.4, 8.2, 8.0])
            cooked = east.cooked(east.running[east.orders[0]])
            assert cooked.result is not None
            result = msgspec.structs.replace(cooked.result, seconds=3.0)
            await east.end(east.orders[0], cooked=msgspec.structs.replace(cooked, result=result))
            await cooking
            assert lines(side, "expect") == [[[1, 2], 3.0]]
            assert look(side).rank[1:] == [14.0, 11.0, 8.0]

    play(story())


def test_a_link_that_turns_out_to_be_another_is_told_and_one_that_wavers_is_not(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            town.pods["east"].work = honest
            for name, speed in (("a", 0), ("b", 10_000_000), ("c", 11_000_000), ("alone", 30_000_000)):
                side.history.note_link("east", speed, 1.0)
                await side.cook(name)
            assert [line[2] for line in lines(side, "pod_is") if line[0] == "east"] == [0, 10_000_000, 18_972_973]

    play(story())


def test_steps_of_others_count_until_their_pod_has_none_at_all(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east", "west"]) as side:
            side.write("src.txt", "hello")
            for pod in town.pods.values():
                pod.work = honest
            statuses = side.fleet.statuses
            statuses["east"] = msgspec.structs.replace(statuses["east"], free_slots=0)
            assert (await side.cook("a")).pod == "west", "east is the first by name"
            await side.cook("b")
            statuses["east"] = msgspec.structs.replace(statuses["east"], free_slots=2)
            assert (await side.cook("c")).pod == "east"
            assert [(line[0], line[4]) for line in lines(side, "pod_is")] == [("", 0), ("east", 2), ("west", 0), ("east", 0)]

    play(story())


#: For the others the old pod has all that there is to read, and that decides.
@pytest.mark.parametrize("strategy", sorted(STRATEGIES.keys() - {"max-locality", "dask-like"}))
def test_what_waits_goes_to_a_pod_that_joins(strategy: str, tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        steps = [shell(f"s{number}", [], [f"s{number}.txt"]) for number in range(8)]
        async with farside(tmp_path, town, steps, strategy=strategy) as side:
            fits = {"sh": side.keys.fingerprint(shell("any"))}
            old = await town.pod("old", slots=1, fits=fits)
            await side.fleet.start(["old"])
            cooking = [asyncio.ensure_future(side.cook(step.name)) for step in steps]
            await old.until(lambda: len(old.orders) == 3)  # which it does not begin, let alone end
            await asyncio.sleep(6)
            new = await town.pod("new", slots=1, fits=fits)
            await new.until(lambda: len(new.orders) > 0)
            old.work = new.work = honest
            for pod in (old, new):
                for request in [*pod.running.values()]:
                    await honest(pod, request)
            await asyncio.gather(*cooking)

    play(story())


def test_a_lost_pod_counts_as_holder_of_nothing_and_of_all_that_it_has_when_it_is_back(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east", "west"], remembered=KNOWN) as side:
            source = side.write("src.txt", "hello")
            side.estate.hold("east", {source: 5})
            town.pods["west"].work = honest
            cooking = asyncio.ensure_future(side.cook("a"))
            east = town.pods["east"]
            await east.until(lambda: len(east.orders) == 1)
            number = side.placer._files.of_digest(source)
            assert number is not None
            where = look(side).where[number]
            assert {look(side).pods[pod] for pod in where} == {"", "east"}
            await east.stop()
            assert (await cooking).pod == "west"
            assert {look(side).pods[pod] for pod in where} == {"", "west"}
            await east.begin()
            east.work = honest
            await side.cook("alone")
            assert {look(side).pods[pod] for pod in where} == {"", "east", "west"}

    play(story())


def test_what_nobody_delivered_is_held_by_whom_the_estate_says_then(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"], remembered=KNOWN) as side:
            source = side.write("src.txt", "hello")
            east = town.pods["east"]
            side.estate.hold("east", {source: 5})
            cooking = asyncio.ensure_future(side.cook("a"))
            await east.until(lambda: len(east.orders) == 1)
            await east.end(east.orders[0], missing={source: "it is damaged"})
            await east.until(lambda: len(east.orders) == 2)
            number = side.placer._files.of_digest(source)
            assert number is not None
            assert {look(side).pods[pod] for pod in look(side).where[number]} == {"", "east"}, "it comes again with the order"
            assert len(lines(side, "drop")) == 2
            await east.end(east.orders[1])
            await cooking

    play(story())


def test_a_step_that_runs_again_reads_what_is_there_then_and_its_new_outputs_are_where_it_ran(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"], remembered=KNOWN) as side:
            side.write("src.txt", "hello")
            east = town.pods["east"]
            east.work = honest
            await side.cook("a")
            first = look(side).outputs[0]
            side.write("src.txt", "other")
            side.landscape.forget()
            side.history.note_run(side.planned.steps["a"], 3.0, ())
            await side.cook("a")
            assert [[0], 3.0] in lines(side, "expect")
            assert lines(side, "undone") == [[0]]
            again = look(side).outputs[0]
            assert again != first
            assert [*look(side).where[again[0]]] == [look(side).number("east")]

    play(story())


def test_the_whole_tree_is_a_file_for_each_group_of_holders(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            for number in range(20):
                side.write(f"{number}.txt", "x" * (number + 1))
            side.estate.hold("east", {of_bytes(b"x" * 20): 20})
            town.pods["east"].work = honest
            await side.cook("alone")
            assert sorted(look(side).size)[-2:] == [20, 190]
            held = {size: {look(side).pods[pod] for pod in where} for size, where in zip(look(side).size, look(side).where, strict=True)}
            assert held[20] == {"", "east"}

    play(story())


def test_a_pod_that_runs_an_order_already_keeps_it(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east", "west"]) as side:
            side.write("src.txt", "hello")
            town.pods["west"].work = honest
            prefer, known = side.placer.prefer, side.dispatcher.run

            async def run(job: Job) -> object:
                prefer(job.id, "west")
                return await known(job)

            side.dispatcher.run = run  # type: ignore[method-assign, assignment]
            assert (await side.cook("a")).pod == "west", "the least loaded is east"
            assert lines(side, "assigned")
            assert not lines(side, "decided")

    play(story())


def test_the_log_of_a_build_decides_the_same_again_and_names_its_steps(tmp_path: Path) -> None:
    async def story() -> bytes:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east", "west"], strategy="locality") as side:
            side.write("src.txt", "hello")
            for pod in town.pods.values():
                pod.work = honest
            await asyncio.gather(side.cook("a"), side.cook("alone"))
            await side.cook("b")
        return bytes(side.decisions)

    log = play(story())
    assert replay(log) == log
    assert len([*decisions(log)]) == 3
