"""The estate: who holds and who owns, in memory, in the catalogue, and as the pods are told."""

from pathlib import Path

from cpods.digest import of_bytes
from cpods.model import Artefact
from cpods.net import questions as q
from cpods.net.messages import Owned
from cpods.net.stewardship import Handover
from cpods.ports import Owner
from tests.helpers.farside import HERE, FarSide, farside
from tests.helpers.playedpods import PlayedPod, Town
from tests.helpers.stilltime import play

ONE, TWO = Artefact(of_bytes(b"one"), 3), Artefact(of_bytes(b"two"), 3)


def told(pod: PlayedPod, kind: type[q.Own] | type[q.Disown]) -> list[dict[str, int]]:
    """What a pod was told, as (path -> epoch)."""
    found = [question for question in pod.asked if isinstance(question, kind)]
    return [{row.path: row.epoch for row in one.paths} if isinstance(one, q.Own) else dict(one.paths) for one in found]


def put(side: FarSide, pod: PlayedPod, data: bytes) -> Artefact:
    artefact = pod.store.put_bytes(data)
    side.estate.hold(pod.name, {artefact.digest: artefact.size})
    return artefact


# -- holders -----------------------------------------------------------------------------------------------------------


def test_only_pods_that_can_be_reached_count_as_holders(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east", "west"]) as side:
            side.estate.hold("east", {ONE.digest: 3})
            side.estate.hold("west", {ONE.digest: 3})
            side.estate.hold(HERE, {ONE.digest: 3})
            side.estate.hold("long gone", {TWO.digest: 3})
            assert side.estate.holders(ONE.digest) == ["east", "west"]
            assert side.estate.held_size(ONE.digest) == 3
            assert not side.estate.is_held(TWO.digest)
            side.fleet.lost("east")
            assert side.estate.holders(ONE.digest) == ["west"]

    play(story())


def test_what_was_written_down_is_there_at_the_next_start(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east"]) as side:
            artefact = put(side, town.pods["east"], b"one")
            await side.estate.claim([("a.txt", 0, "east", artefact.digest)])
            after = FarSide(tmp_path, town)
            after.records._owners, after.records._pods, after.records._sizes = side.records._owners, side.records._pods, side.records._sizes
            await after.estate.load()
            assert after.estate.owners == {"a.txt": Owner("a.txt", 1, "east", artefact.digest)}
            assert after.estate.holdings.holders(artefact.digest) == ["east"]

    play(story())


def test_asked_pods_are_believed_in_both_ways(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east", "west"]) as side:
            artefact = town.pods["west"].store.put_bytes(b"one")
            side.estate.hold("east", {artefact.digest: 3})
            await side.estate.claim([])
            await side.estate.confirm([artefact.digest])
            assert side.estate.holders(artefact.digest) == ["west"]
            await side.estate.claim([])
            assert {pod: dict(held) for pod, held in (await side.records.held()).items() if held} == {"west": {artefact.digest: 3}}

    play(story())


def test_who_does_not_answer_is_no_holder_now_but_the_catalogue_keeps_it(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east"]) as side:
            artefact = put(side, town.pods["east"], b"one")
            await side.estate.claim([])
            town.pods["east"].stall()
            await side.estate.confirm([artefact.digest])
            assert side.estate.holders(artefact.digest) == []
            assert dict((await side.records.held())["east"]) == {artefact.digest: 3}
            town.pods["east"].awake.set()
            await side.estate.confirm([artefact.digest])
            assert side.estate.holders(artefact.digest) == ["east"]

    play(story())


def test_many_digests_are_asked_for_in_pages(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east"]) as side:
            await side.estate.confirm([of_bytes(str(number).encode()) for number in range(9_000)])
            assert len([one for one in town.pods["east"].asked if isinstance(one, q.AskHeld)]) == 3

    play(story())


def test_bringing_pulls_what_is_not_here_and_says_what_nobody_delivers(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east"]) as side:
            artefact = put(side, town.pods["east"], b"one")
            side.estate.hold("east", {TWO.digest: 3})  # it said so, but lost it
            failed = await side.estate.bring([artefact, TWO])
            assert side.objects.read(artefact.digest) == b"one"
            assert [*failed] == [TWO]
            assert not side.estate.is_held(TWO.digest)
            assert await side.estate.bring([artefact]) == {}

    play(story())


def test_bringing_tries_holders_that_nobody_knew_of(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east", "west"]) as side:
            artefact = town.pods["west"].store.put_bytes(b"one")
            side.estate.hold("east", {artefact.digest: 3})
            assert await side.estate.bring([artefact, TWO]) == {TWO: next(iter((await side.estate.bring([TWO])).values()))}
            assert side.objects.read(artefact.digest) == b"one"

    play(story())


def test_what_cannot_be_had_counts_as_gone_for_this_build(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east"]) as side:
            artefact = put(side, town.pods["east"], b"one")
            side.estate.give_up([artefact])
            assert not side.objects.has(artefact.digest)

    play(story())


# -- owners ------------------------------------------------------------------------------------------------------------


def test_a_claim_is_won_once_and_an_old_epoch_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town) as side:
            first = await side.estate.claim([("a.txt", 0, "east", ONE.digest)])
            late = await side.estate.claim([("a.txt", 0, "west", TWO.digest)])
            again = await side.estate.claim([("a.txt", 0, "east", ONE.digest)])
            assert first == late == again == {"a.txt": Owner("a.txt", 1, "east", ONE.digest)}
            assert await side.estate.epochs(["a.txt", "b.txt"]) == {"a.txt": 1, "b.txt": 0}

    play(story())


def test_what_stands_is_owned_with_the_next_flush_and_an_epoch_is_never_asked_for_before(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east"]) as side:
            artefact = put(side, town.pods["east"], b"one")
            side.estate.own("far.txt", artefact.digest, True)
            side.estate.own("near.txt", TWO.digest, False)
            assert side.estate.owners == {}
            assert await side.estate.epochs(["far.txt"]) == {"far.txt": 1}
            owners = {path: owner.pod for path, owner in side.estate.owners.items()}
            assert owners == {"far.txt": "east", "near.txt": HERE}

    play(story())


def test_a_noted_ownership_that_a_result_has_overtaken_is_not_claimed_any_more(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east"]) as side:
            old, new = put(side, town.pods["east"], b"one"), put(side, town.pods["east"], b"two")
            side.estate.own("a.txt", old.digest, True)
            await side.estate.claim([("a.txt", 0, "east", new.digest)])
            side.estate.own("a.txt", new.digest, True)
            await side.estate.flush()
            assert side.estate.owners["a.txt"] == Owner("a.txt", 1, "east", new.digest)

    play(story())


def test_at_the_end_each_pod_hears_what_is_new_to_it_and_nothing_twice(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east", "west"]) as side:
            east, west = town.pods["east"], town.pods["west"]
            artefact = put(side, west, b"one")
            await side.records.claim_many([("moved.txt", 0, "east", ONE.digest), ("same.txt", 0, "east", ONE.digest)])
            await side.estate.load()
            side.estate.own("moved.txt", artefact.digest, True)
            await side.estate.claim([("result.txt", 0, "west", artefact.digest)])  # the pod heard of it with its acknowledgement
            await side.estate.settle(["same.txt"])
            assert told(east, q.Own) == [{"same.txt": 1}]
            assert told(east, q.Disown) == [{"moved.txt": 2}]
            assert told(west, q.Own) == [{"moved.txt": 2}]
            assert told(west, q.Disown) == []

    play(story())


def test_a_pod_that_won_a_path_and_lost_it_in_the_same_build_is_told_so(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east", "west"]) as side:
            await side.estate.claim([("a.txt", 0, "east", ONE.digest)])
            await side.estate.claim([("a.txt", 1, "west", ONE.digest)])
            await side.estate.settle()
            assert told(town.pods["east"], q.Disown) == [{"a.txt": 2}]
            assert told(town.pods["west"], q.Disown) == []

    play(story())


def test_a_path_that_comes_back_to_a_pod_is_not_taken_from_it(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east", "west"]) as side:
            for epoch, pod in enumerate(("east", "west", "east")):
                await side.estate.claim([("a.txt", epoch, pod, ONE.digest)])
            await side.estate.settle()
            assert told(town.pods["east"], q.Disown) == []
            assert told(town.pods["west"], q.Disown) == [{"a.txt": 3}]

    play(story())


def test_a_pod_that_was_away_is_put_right_about_what_it_owns(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east"]) as side:
            await side.records.claim_many(
                [("mine.txt", 0, "here", ONE.digest), ("its.txt", 0, "east", ONE.digest), ("kept.txt", 0, "east", TWO.digest)]
            )
            await side.estate.load()
            rows = [Owned("mine.txt", 1, ONE.digest, ONE.digest), Owned("kept.txt", 1, TWO.digest, TWO.digest)]
            side.estate.reconcile("east", [*rows, Owned("unknown.txt", 7, ONE.digest, ONE.digest)])
            await side.estate.settle()
            assert told(town.pods["east"], q.Disown) == [{"mine.txt": 1}]
            assert told(town.pods["east"], q.Own) == [{"its.txt": 1}]

    play(story())


def test_what_was_handed_over_is_taken_note_of_where_it_is_still_true(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east", "west"]) as side:
            await side.estate.claim([("a.txt", 0, "east", ONE.digest), ("b.txt", 0, "west", ONE.digest)])
            side.estate.hold("east", {ONE.digest: 3})
            rows = tuple(Owned(path, 2, ONE.digest, ONE.digest) for path in ("a.txt", "b.txt", "c.txt"))
            await side.estate.take_over([Handover("paper", "east", "west", rows)])
            assert side.estate.owners["a.txt"] == Owner("a.txt", 2, "west", ONE.digest)
            assert side.estate.owners["b.txt"].epoch == 1
            assert side.estate.holders(ONE.digest) == ["east", "west"]

    play(story())


def test_pods_that_are_away_or_refuse_do_not_keep_a_build_from_its_end(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, (), ["east", "west"]) as side:
            await side.records.claim_many([("a.txt", 0, "east", ONE.digest), ("b.txt", 0, "west", ONE.digest)])
            await side.estate.load()
            town.pods["east"].stall()
            await town.pods["west"].die()
            await side.estate.settle(["a.txt", "b.txt"])
            town.pods["east"].awake.set()

    play(story())
