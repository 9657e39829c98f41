"""A pod brings inputs before it gives a slot: what waits for a slow pull holds nobody up, and every byte is told once."""

import asyncio
from pathlib import Path

import pytest

from cpods.digest import of_bytes
from cpods.net.messages import StepRequest
from cpods.pod import kitchen
from cpods.pod.gauge import SAMPLE_BYTES_MIN, Gauge
from cpods.pod.service import FETCHES_MIN
from cpods.pod.tree import Tree, decode_tree
from tests.helpers.podworld import Boss, Yard, shell_step
from tests.pod.test_service import appears, play, waiting_step

BIG = b"x" * (2 * SAMPLE_BYTES_MIN)


def reader(boss: Boss, id: str, data: bytes, **more: object) -> StepRequest:
    """An order that copies its one input."""
    return boss.request(id, shell_step(id, "cat a > out", ["out"], ["a"]), {"a": data}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("wanted", [None, ("a",)])
def test_an_order_behind_a_slow_pull_runs_first_and_both_end(wanted: tuple[str, ...] | None, tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        arrived = yard.held_back[of_bytes(b"slow")] = asyncio.Event()
        async with yard.pod(slots=1, lease_seconds=0.3) as pod:
            leases = await boss.send("east", reader(boss, "slow", b"slow", wanted=wanted), reader(boss, "quick", b"quick", wanted=wanted))
            assert not any(lease.refused for lease in leases.values())
            assert (await boss.end_of("quick")).cooked.exit_code == 0
            assert pod.board.free == 1 == pod.status.now().free_slots
            await boss.until(lambda: any(renewal.ids == ("slow",) for renewal in boss.renewed))
            arrived.set()
            assert (await boss.end_of("slow")).cooked.artefacts == {of_bytes(b"slow"): 4}

    play(tmp_path, scenario)


def test_who_needs_no_pull_does_not_queue_behind_those_who_do(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        slow = {f"slow{number}": f"slow{number}".encode() for number in range(FETCHES_MIN + 1)}
        arrived = asyncio.Event()
        yard.held_back.update((of_bytes(data), arrived) for data in slow.values())
        async with yard.pod(slots=4) as pod:
            assert (await boss.cook("east", reader(boss, "first", b"quick"))).cooked.exit_code == 0
            await boss.send("east", *(reader(boss, id, data) for id, data in slow.items()), reader(boss, "quick", b"quick"))
            assert (await boss.end_of("quick")).cooked.exit_code == 0
            assert [*boss.ends] == ["first", "quick"] and pod.board.free == 4
            arrived.set()
            for id in slow:
                assert (await boss.end_of(id)).cooked.exit_code == 0

    play(tmp_path, scenario)


def test_what_a_running_tool_looked_for_does_not_queue_behind_what_is_pulled_ahead(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        arrived = asyncio.Event()
        slow = {f"slow{number}": f"slow{number}".encode() for number in range(FETCHES_MIN)}
        yard.held_back.update((of_bytes(data), arrived) for data in slow.values())
        files = {"a": b"1", "b": b"2"}
        async with yard.pod(slots=4):
            await boss.cook("east", boss.request("first", shell_step("s", "cat a > out", ["out"], ["a"]), files, wanted=["a"]))
            finder = boss.request("finder", shell_step("t", "cat b > out", ["out"], ["a"]), files, wanted=["a"])
            await boss.send("east", *(reader(boss, id, data) for id, data in slow.items()), finder)
            end = await boss.end_of("finder")
            assert len(end.cooked.earlier) == 1 and end.cooked.artefacts == {of_bytes(b"2"): 1}
            arrived.set()
            for id in slow:
                assert (await boss.end_of(id)).cooked.exit_code == 0

    play(tmp_path, scenario)


def test_an_order_that_waits_for_a_pull_can_be_given_up_and_ordered_again(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        arrived = yard.held_back[of_bytes(b"slow")] = asyncio.Event()
        async with yard.pod(slots=1) as pod:
            request = reader(boss, "slow", b"slow")
            await boss.send("east", request)
            await boss.cancel("east", "slow")
            while (boss.name, "slow") in pod.board:
                await asyncio.sleep(0)
            await boss.send("east", request)
            arrived.set()
            assert (await boss.end_of("slow")).cooked.exit_code == 0
            assert boss.deliveries == ["slow"] and pod.board.free == 1

    play(tmp_path, scenario)


def test_what_nobody_delivers_is_told_while_the_slot_is_taken(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        run, go, group = waiting_step(tmp_path, "long", "echo > out")
        async with yard.pod(slots=1):
            await boss.send("east", boss.request("runs", shell_step("runs", run, ["out"])))
            await appears(group)
            lost = reader(boss, "lost", b"lost")
            boss.store.evict(of_bytes(b"lost"))
            await boss.send("east", lost)
            end = await boss.end_of("lost")
            assert [*end.missing] == [of_bytes(b"lost")] and end.cooked.execution is None and "boss does not have it" in end.trouble
            go.touch()
            assert (await boss.end_of("runs")).cooked.exit_code == 0

    play(tmp_path, scenario)


def test_a_draining_pod_brings_the_inputs_of_what_it_has_taken(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        arrived = yard.held_back[of_bytes(b"slow")] = asyncio.Event()
        async with yard.pod(slots=1) as pod:
            await boss.send("east", reader(boss, "slow", b"slow"))
            pod._drain(True)
            arrived.set()
            assert (await boss.end_of("slow")).cooked.exit_code == 0

    play(tmp_path, scenario)


def test_every_byte_is_told_once_also_for_orders_that_were_given_up(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        run, go, group = waiting_step(tmp_path, "long", "echo > out")
        async with yard.pod(slots=1) as pod:
            await boss.send("east", boss.request("runs", shell_step("runs", run, ["out"])))
            await appears(group)
            await boss.send("east", reader(boss, "dropped", b"for nothing"))
            transfer = pod._ports.transfer
            while not pod._ports.objects.has(of_bytes(b"for nothing")):
                await asyncio.sleep(0)
            await boss.cancel("east", "dropped")
            while (boss.name, "dropped") in pod.board:
                await asyncio.sleep(0)
            lost = reader(boss, "lost", b"lost")
            boss.store.evict(of_bytes(b"lost"))
            await boss.cook("east", lost)
            go.touch()
            await boss.end_of("runs")
            await boss.cook("east", reader(boss, "last", b"more"))
            told = sum(sum(end.fetched.values()) for end in boss.ends.values())
            assert told == sum(transfer.moved.values()) > len(b"for nothing")  # type: ignore[attr-defined]

    play(tmp_path, scenario)


def test_orders_that_come_together_decode_their_listing_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []

    def counted(data: bytes) -> Tree:
        decoded.append(len(data))
        return decode_tree(data)

    monkeypatch.setattr(kitchen, "decode_tree", counted)

    async def scenario(yard: Yard, boss: Boss) -> None:
        first = reader(boss, "o0", b"a")
        arrived = yard.held_back[first.tree.digest] = asyncio.Event()
        async with yard.pod(slots=2):
            await boss.send("east", first, *(reader(boss, f"o{number}", b"a") for number in range(1, 6)))
            arrived.set()
            for number in range(6):
                assert (await boss.end_of(f"o{number}")).cooked.exit_code == 0
        assert len(decoded) == 1

    play(tmp_path, scenario)


def test_what_the_link_gives_is_told_with_the_next_end_if_it_was_enough_to_measure(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        async with yard.pod(slots=1):
            assert (await boss.cook("east", reader(boss, "little", b"x"))).pulled == (0, 0.0)
            moved, seconds = (await boss.cook("east", reader(boss, "big", BIG))).pulled
            assert moved >= len(BIG) and seconds > 0
            assert (await boss.cook("east", reader(boss, "again", BIG))).pulled == (0, 0.0)

    play(tmp_path, scenario)


class Hand:
    """A gauge whose clock and bytes a test sets."""

    def __init__(self) -> None:
        self.moved, self.now = 0, 100.0
        self.gauge = Gauge(lambda: self.moved, lambda: self.now)

    def passes(self, seconds: float, moved: int = 0) -> None:
        """Time passes, bytes come."""
        self.now += seconds
        self.moved += moved


def test_pulls_at_once_share_their_time() -> None:
    hand = Hand()
    with hand.gauge.pulling():
        hand.passes(1, 500_000)
        with hand.gauge.pulling():
            hand.passes(2, 3_000_000)
        hand.passes(1, 500_000)
    hand.passes(50)
    with hand.gauge.pulling():
        hand.passes(1, 1_000_000)
    assert hand.gauge.take() == (5_000_000, 5.0)
    assert hand.gauge.take() == (0, 0.0)


def test_small_pulls_say_nothing_of_the_link() -> None:
    hand = Hand()
    for _ in range(10):
        with hand.gauge.pulling():
            hand.passes(1, SAMPLE_BYTES_MIN - 1)
    assert hand.gauge.take() == (0, 0.0)


def test_a_pod_that_always_pulls_tells_all_the_same() -> None:
    hand = Hand()
    with hand.gauge.pulling():
        for _ in range(3):
            with hand.gauge.pulling():
                hand.passes(1, SAMPLE_BYTES_MIN)
            assert hand.gauge.take() == (SAMPLE_BYTES_MIN, 1.0)
