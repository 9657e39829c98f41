"""The kitchen of a federation: what becomes of results that are good, lost, late, double, stale, or lack their inputs."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cpods.digest import ABSENT, of_bytes
from cpods.errors import Unavailable
from cpods.model import Artefact, Output, Problem, Read, Remembered, Result, Version
from cpods.net import questions as q
from cpods.net.messages import StepRequest
from cpods.orders import Cooked
from cpods.store.layout import object_path
from tests.helpers.farside import HERE, farside, shell
from tests.helpers.playedpods import PlayedPod, Town, content, digest_of
from tests.helpers.stilltime import play

CHAIN = (shell("a", ["src.txt"], ["a.txt"]), shell("b", ["a.txt"], ["b.txt"]))


async def honest(pod: PlayedPod, request: StepRequest) -> None:
    """Pulls, works for a second, delivers."""
    missing = await pod.pull(request)
    await asyncio.sleep(1)
    if missing:
        pod.hand_in(request.id, missing=missing, trouble="inputs are missing")
    else:
        pod.hand_in(request.id)


def all_honest(town: Town) -> None:
    for pod in town.pods.values():
        pod.work = honest


async def the_order(pod: PlayedPod, number: int = 0) -> StepRequest:
    await pod.until(lambda: len(pod.orders) > number)
    return pod.running[pod.orders[number]]


# -- the good way ------------------------------------------------------------------------------------------------------


def test_products_stay_on_their_pod_which_owns_them_and_the_next_step_reads_them_there(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            source = side.write("src.txt", "hello")
            all_honest(town)
            first, second = await side.cook("a"), await side.cook("b")
            assert first.pod == second.pod == "east"
            a = digest_of("a", "a.txt", {"src.txt": source})
            assert side.folder.digest("a.txt") == a
            assert side.folder.digest("b.txt") == digest_of("b", "b.txt", {"a.txt": a})
            assert not (side.root / "a.txt").exists()
            assert {path: (owner.pod, owner.epoch) for path, owner in side.estate.owners.items()} == {
                "a.txt": ("east", 1),
                "b.txt": ("east", 1),
            }

    play(story())


def test_an_old_product_in_the_folder_gives_way_only_when_the_new_one_is_there(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            side.write("a.txt", "the old one")
            cooking = asyncio.ensure_future(side.cook("a"))
            east = town.pods["east"]
            request = await the_order(east)
            assert "a.txt" not in east.seen(request), "a plain step does not see its own old output"
            await east.end(request.id, cooked=Cooked(None, None, problems=(Problem("no"),), exit_code=1))
            assert (await cooking).result is None
            assert (side.root / "a.txt").read_text() == "the old one"
            all_honest(town)
            await side.cook("a")
            assert not (side.root / "a.txt").exists()

    play(story())


def test_an_order_names_no_place_of_this_machine(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            cooking = asyncio.ensure_future(side.cook("a"))
            request = await the_order(town.pods["east"])
            assert not {name for name, _ in request.order.env} & {"PATH", "HOME", "USER", "TMPDIR"}
            assert str(tmp_path) not in repr(request)
            await town.pods["east"].end(request.id)
            await cooking

    play(story())


def test_the_same_question_has_the_same_id_and_another_question_another(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")

            async def id_of(**more: Any) -> str:
                order = side.order("a", **more)
                return (await side.kitchen._request(order, side.landscape.shown(order))).id

            ids = [await id_of(), await id_of()]
            assert ids[0] == ids[1]
            others = [await id_of(knot="a"), await id_of(overlay={"x": Version("xxh3:1", 1)}), await id_of(overlay={"x": None})]
            side.write("src.txt", "hello again")
            side.landscape.forget()
            others.append(await id_of())
            assert len({ids[0], *others}) == 5

    play(story())


def test_bytes_that_readers_see_through_a_filter_are_brought_here(tmp_path: Path) -> None:
    steps = (shell("a", ["src.txt"], ["a.txt"], insignificant=("^#",)), CHAIN[1])

    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, steps, ["east"]) as side:
            side.write("src.txt", "hello")
            all_honest(town)
            await side.cook("a")
            digest = side.folder.digest("a.txt")
            assert side.objects.has_here(digest)
            await side.cook("b")
            assert not side.objects.has_here(side.folder.digest("b.txt"))

    play(story())


def test_small_files_of_a_circle_are_brought_here_and_not_put_into_the_folder(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            all_honest(town)
            cooked = await side.cook("a", knot="a")
            assert cooked.result is not None
            (output,) = cooked.result.outputs
            assert side.objects.has_here(output.version.digest)
            assert side.folder.digest("a.txt") == ABSENT
            assert side.estate.owners == {}

    play(story())


def test_listings_of_patterns_are_those_of_here(tmp_path: Path) -> None:
    step = shell("all", ["one.in"], ["all.txt"], globs=("*.in",))

    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, [step], ["east"]) as side:
            side.write("one.in", "1")
            cooking = asyncio.ensure_future(side.cook("all"))
            east = town.pods["east"]
            request = await the_order(east)
            cooked = east.cooked(request)
            assert cooked.result is not None
            wrong = (*cooked.result.reads, Read("@glob:*.in", "the pod's"))
            await east.end(request.id, cooked=msgspec.structs.replace(cooked, result=msgspec.structs.replace(cooked.result, reads=wrong)))
            done = await cooking
            assert done.result is not None
            assert side.eyes.edge(step, "@glob:*.in") in {read.digest for read in done.result.reads}

    play(story())


# -- sources that move -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("elsewhere", [False, True], ids=["seen at the end", "seen by another step before"])
def test_a_source_edited_under_a_far_step_makes_its_result_stale(tmp_path: Path, elsewhere: bool) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, [*CHAIN, shell("c", ["src.txt"], ["c.txt"])], ["east"]) as side:
            side.write("src.txt", "hello")
            cooking = asyncio.ensure_future(side.cook("a"))
            east = town.pods["east"]
            request = await the_order(east)
            await east.pull(request)
            (side.root / "src.txt").write_text("edited meanwhile")
            if elsewhere:
                side.landscape.moved(side.landscape.shown(side.order("c")), ["src.txt"])
                side.landscape.tree()  # of what is there now
            await east.end(request.id)
            cooked = await cooking
            assert cooked.stale
            assert cooked.result is None
            assert "src.txt" in cooked.problems[0].message
            all_honest(town)
            again = await side.cook("a")
            assert again.result is not None
            assert dict((read.path, read.digest) for read in again.result.reads) == {"src.txt": of_bytes(b"edited meanwhile")}

    play(story())


def test_a_file_that_was_looked_for_in_vain_and_appears_meanwhile_makes_it_stale_too(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            cooking = asyncio.ensure_future(side.cook("a"))
            east = town.pods["east"]
            request = await the_order(east)
            cooked = east.cooked(request)
            assert cooked.result is not None
            reads = (*cooked.result.reads, Read("local.cfg", ABSENT))
            side.write("local.cfg", "now it is there")
            await east.end(request.id, cooked=msgspec.structs.replace(cooked, result=msgspec.structs.replace(cooked.result, reads=reads)))
            assert (await cooking).stale

    play(story())


def test_a_product_whose_pod_is_away_is_no_edit(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east", "west"]) as side:
            side.write("src.txt", "hello")
            town.pods["east"].work = honest
            await side.cook("a")
            side.fleet.statuses["east"] = msgspec.structs.replace(side.fleet.statuses["east"], state="draining")
            cooking = asyncio.ensure_future(side.cook("b"))
            west = town.pods["west"]
            request = await the_order(west)
            await west.pull(request)
            await town.pods["east"].die()
            side.fleet.lost("east")
            await west.end(request.id)
            assert not (await cooking).stale

    play(story())


# -- double and late ---------------------------------------------------------------------------------------------------


def test_a_second_pods_end_takes_no_path_and_spoils_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east", "west"]) as side:
            side.write("src.txt", "hello")
            cooking = asyncio.ensure_future(side.cook("a"))
            pods = [*town.pods.values()]
            await asyncio.sleep(1)
            first = next(pod for pod in pods if pod.orders)
            second = next(pod for pod in pods if pod is not first)
            first.stall()
            request = await the_order(second)
            await first.pull(request) if request.id in first.given else None
            first.hand_in(request.id)
            first.awake.set()
            second.hand_in(request.id)  # both at the same moment
            cooked = await cooking
            await asyncio.sleep(5)
            assert not cooked.stale
            assert cooked.result is not None
            owner = side.estate.owners["a.txt"]
            assert (owner.pod, owner.epoch) == (cooked.pod, 1)
            loser = second if cooked.pod == first.name else first
            assert loser.acks[request.id][-1].owned == {}
            again = await asyncio.wait_for(asyncio.gather(side.cook("a"), serve(town, 2)), 300)
            assert again[0].result is not None
            assert side.estate.owners["a.txt"].epoch == 2

    async def serve(town: Town, count: int) -> None:
        await asyncio.sleep(1)
        for pod in town.pods.values():
            for id in [*pod.running]:
                pod.hand_in(id)

    play(story())


def test_an_end_that_comes_again_counts_once_and_gets_the_same_answer(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            counted: list[tuple[str, str]] = []
            side.kitchen.on_end = lambda pod, step, done: counted.append((pod, step.name if step is not None else ""))
            cooking = asyncio.ensure_future(side.cook("a"))
            east = town.pods["east"]
            request = await the_order(east)
            done = await east.end(request.id, fetched={"boss": 5})
            await cooking
            (again,) = await side.kitchen.accept("east", [done])
            assert again == east.acks[request.id][0]
            assert again.owned == {"a.txt": 1}
            assert side.kitchen.fetched == {"east": {"boss": 5}}
            assert counted == [("east", "a")]

    play(story())


def test_a_path_that_moved_on_meanwhile_makes_the_result_stale(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            cooking = asyncio.ensure_future(side.cook("a"))
            east = town.pods["east"]
            request = await the_order(east)
            await side.estate.claim([("a.txt", 0, "west", "xxh3:other")])
            await east.end(request.id)
            assert (await cooking).stale
            assert side.estate.owners["a.txt"].pod == "west"

    play(story())


def test_an_end_that_nobody_waits_for_is_kept_for_who_looks_it_up(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            cooking = asyncio.ensure_future(side.cook("a"))
            east = town.pods["east"]
            request = await the_order(east)
            east.stall()
            cooking.cancel()
            await asyncio.wait([cooking])
            done = east.hand_in(request.id)
            east.awake.set()
            await east.until(lambda: request.id in east.acks)
            assert east.acks[request.id][0].owned == {}
            assert [*side.results.results(request.order.static_key)] == [done.cooked.result]
            assert side.estate.is_held(next(iter(done.cooked.artefacts)))

    play(story())


def test_an_end_that_came_before_its_step_was_asked_for_is_its_end(tmp_path: Path) -> None:
    """A step ran for a MajorDomo that was killed; its end arrives at the next one between the look-up and the order."""

    async def story() -> None:
        async with farside(tmp_path / "killed", town := Town(), CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            cooking = asyncio.ensure_future(side.cook("a"))
            east = town.pods["east"]
            done = east.hand_in((await the_order(east)).id)
            await cooking
        async with farside(tmp_path / "next", town := Town(), CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            assert [ack.owned for ack in await side.kitchen.accept("east", [done])] == [{}]
            cooked = await side.cook("a")
            assert cooked.result == done.cooked.result and not town.pods["east"].orders, "nothing is run twice"
            assert (side.estate.owners["a.txt"].pod, side.estate.owners["a.txt"].epoch) == ("east", 1)

    play(story())


# -- what is gone ------------------------------------------------------------------------------------------------------


def test_if_the_only_holder_of_a_product_is_gone_its_step_runs_again(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, [*CHAIN, shell("c", ["a.txt"], ["c.txt"])], ["east"]) as side:
            side.write("src.txt", "hello")
            all_honest(town)
            await side.cook("a")
            for digest in [*town.pods["east"].store._data]:
                town.pods["east"].store.evict(digest)
            cooked = await asyncio.gather(side.cook("b"), side.cook("c"))
            assert [one.result is not None for one in cooked] == [True, True]
            executions = [execution.step for one in cooked for execution in one.earlier]
            assert executions == ["a"], "it ran again once, and is told of once"
            assert side.estate.owners["a.txt"].epoch == 2

    play(story())


def test_a_product_that_lies_here_is_brought_from_here_and_not_made_again(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            all_honest(town)
            cooked = await side.cook("a")
            assert cooked.result is not None
            (output,) = cooked.result.outputs
            assert not await side.estate.bring([Artefact(output.version.digest, output.version.size)])
            side.folder.deliver("a.txt")
            for digest in [*town.pods["east"].store._data]:
                town.pods["east"].store.evict(digest)
            Path(object_path(side.objects.root, output.version.digest)).unlink()
            done = await side.cook("b")
            assert done.result is not None
            assert done.earlier == ()

    play(story())


def test_a_step_whose_inputs_never_arrive_ends_the_build_with_the_reason(tmp_path: Path) -> None:
    async def cut_off(pod: PlayedPod, request: StepRequest) -> None:
        pod.hand_in(request.id, missing={request.tree.digest: "boss cannot be reached"}, trouble="x")

    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            town.pods["east"].work = cut_off
            with pytest.raises(Unavailable, match="step a: its inputs cannot be brought to a pod .*boss cannot be reached"):
                await side.cook("a")

    play(story())


def test_a_part_of_a_circles_state_that_is_gone_makes_the_circle_start_again(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            cooking = asyncio.ensure_future(side.cook("a", knot="a", overlay={"a.aux": Version("xxh3:" + "1" * 32, 3)}))
            request = await the_order(town.pods["east"])
            await town.pods["east"].end(request.id, missing={"xxh3:" + "1" * 32: "gone"}, trouble="x")
            with pytest.raises(KeyError):
                await cooking

    play(story())


def test_a_document_that_is_gone_is_named_instead_of_being_half_made(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        engine = shell("doc", [], ["doc.pdf"], open_reads=True)
        async with farside(tmp_path, town, [engine, shell("b", ["doc.pdf"], ["b.txt"])], ["east"]) as side:
            side.write("src.txt", "hello")
            all_honest(town)
            await side.cook("doc")
            for digest in [*town.pods["east"].store._data]:
                town.pods["east"].store.evict(digest)
            with pytest.raises(Unavailable, match=r"doc.pdf: nobody holds it any more"):
                await side.cook("b")

    play(story())


def test_if_what_readers_see_cannot_be_brought_here_the_step_is_to_run_again(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, [shell("a", ["src.txt"], ["a.txt"], insignificant=("^#",))], ["east"]) as side:
            side.write("src.txt", "hello")
            cooking = asyncio.ensure_future(side.cook("a"))
            east = town.pods["east"]
            request = await the_order(east)
            cooked = east.cooked(request)
            for digest in cooked.artefacts:
                east.store.evict(digest)
            await east.end(request.id, cooked=cooked)
            done = await cooking
            assert done.stale
            assert done.result is None
            assert side.folder.digest("a.txt") == ABSENT

    play(story())


def test_a_product_that_a_tool_turns_out_to_look_for_is_shown_to_it(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, [*CHAIN, shell("cc", ["main.c"], ["main.o"])], ["east"]) as side:
            side.write("src.txt", "hello")
            side.write("main.c", '#include "a.txt"')
            all_honest(town)
            await side.cook("a")
            town.pods["east"].work = None
            cooking = asyncio.ensure_future(side.cook("cc"))
            east = town.pods["east"]
            request = await the_order(east, 1)
            assert "a.txt" not in {row.path for row in request.inputs}
            said = (Problem("a.txt: no such file"),)
            await east.end(request.id, cooked=Cooked(None, None, problems=said, exit_code=1, reads=("main.c", "a.txt", "nowhere.h")))
            request = await the_order(east, 2)
            assert "a.txt" in {row.path for row in request.inputs}
            await east.end(request.id, cooked=Cooked(None, None, problems=said, exit_code=1, reads=("main.c", "a.txt", "nowhere.h")))
            assert (await cooking).problems == said, "what it was shown once is not shown again and again"

    play(story())


def test_what_a_pod_could_not_carry_out_is_told_with_its_reason(tmp_path: Path) -> None:
    async def broken(pod: PlayedPod, request: StepRequest) -> None:
        pod.hand_in(request.id, trouble="pod east: its disk is full")

    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            town.pods["east"].work = broken
            cooked = await side.cook("a")
            assert cooked.result is None
            assert "its disk is full" in cooked.problems[0].message

    play(story())


def test_closing_ends_a_step_that_is_being_made_again(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            all_honest(town)
            await side.cook("a")
            east = town.pods["east"]
            east.store.evict(side.folder.digest("a.txt"))
            cooking = asyncio.ensure_future(side.cook("b"))
            while len(east.orders) < 3:
                await asyncio.sleep(0.1)
            cooking.cancel()
            await asyncio.wait([cooking])
        # nothing is left running: the story's end looks after that

    play(story())


# -- restored, remembered ----------------------------------------------------------------------------------------------


def test_a_step_gets_the_products_that_it_read_before_and_not_all(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        steps = [*CHAIN, shell("c", ["src.txt"], ["c.txt"])]
        known = {"c": Remembered(frozenset({"src.txt", "a.txt"}), frozenset({"c.txt"}))}
        async with farside(tmp_path, town, steps, ["east"], remembered=known) as side:
            side.write("src.txt", "hello")
            all_honest(town)
            await side.cook("a")
            await side.cook("b")
            town.pods["east"].work = None
            cooking = asyncio.ensure_future(side.cook("c"))
            request = await the_order(town.pods["east"], 2)
            assert {row.path for row in request.inputs} == {"a.txt"}
            assert request.wanted == ("a.txt", "src.txt")
            await town.pods["east"].end(request.id)
            await cooking

    play(story())


def test_at_the_end_pods_hear_what_they_own_by_other_ways_than_their_results(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            all_honest(town)
            await side.cook("a")
            artefact = town.pods["east"].store.put_bytes(b"from the cache")
            side.estate.hold("east", {artefact.digest: artefact.size})
            side.folder.install("b.txt", artefact.digest)
            side.estate.own("b.txt", artefact.digest, side.folder.is_far("b.txt"))
            await side.estate.settle()
            (told,) = [question for question in town.pods["east"].asked if isinstance(question, q.Own)]
            assert [(row.path, row.epoch) for row in told.paths] == [("b.txt", 1)]
            assert side.estate.owners["b.txt"].pod != HERE

    play(story())


def test_nothing_says_that_a_failed_result_owns_a_path(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, CHAIN, ["east"]) as side:
            side.write("src.txt", "hello")
            cooking = asyncio.ensure_future(side.cook("a"))
            east = town.pods["east"]
            request = await the_order(east)
            made = east.store.put_bytes(content("a", "a.txt", {}))
            bad = Result(request.order.static_key, "a", (), (Output("a.txt", Version(made.digest, made.size)),), 2)
            await east.end(request.id, cooked=Cooked(None, bad, exit_code=2, artefacts={made.digest: made.size}, pod="east"))
            await cooking
            assert side.estate.owners == {}

    play(story())
