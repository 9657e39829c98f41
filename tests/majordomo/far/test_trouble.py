"""A seeded simulation: builds on pods that die, stall, come back, refuse, answer twice and lose things, under a broker that goes.

What must hold: each step ends, with the one right result; epochs of a path rise one by one; no two pods are told that they
own a path at one epoch; nothing is left running; the decisions of placement can be made again from what it was told, by every
strategy. Each failure names its seed.
"""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from cpods.model import Step
from cpods.net.messages import StepRequest
from cpods.orders import Cooked
from cpods.scheduler.decisions import replay
from cpods.scheduler.placement import STRATEGIES
from tests.helpers.farside import FarSide, farside, shell
from tests.helpers.playedpods import LEASE_SECONDS, PlayedPod, Town, digest_of
from tests.helpers.stilltime import play

BLOCKS, SEEDS = 4, 30
PODS = ("east", "north", "west")
#: Fewer than it takes to call a step deadly.
LOSSES_MAX = 2
TROUBLES_MAX = 2


def random_steps(rng: random.Random) -> list[Step]:
    """Steps that read sources and what earlier ones make."""
    steps: list[Step] = []
    for number in range(rng.randint(3, 10)):
        earlier = [path for step in steps for path in step.outputs]
        inputs = rng.sample(earlier, min(len(earlier), rng.randint(0, 3))) + rng.sample(["one.src", "two.src"], rng.randint(0, 2))
        filtered = ("^#",) if rng.random() < 0.2 else ()
        steps.append(shell(f"s{number}", inputs, [f"s{number}.out"], insignificant=filtered))
    return steps


def right(steps: list[Step], side: FarSide) -> dict[str, str]:
    """The digest of every file if nothing ever goes wrong."""
    found = {path: side.folder.digest(path) for path in ("one.src", "two.src")}
    for step in steps:
        for path in step.outputs:
            found[path] = digest_of(step.name, path, {name: found[name] for name in step.inputs})
    return found


class Trouble:
    """What goes wrong, by one seed."""

    def __init__(self, rng: random.Random, town: Town, side: FarSide) -> None:
        self._rng = rng
        self._town = town
        self._side = side
        self._losses = 0
        self._troubles: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()

    async def work(self, pod: PlayedPod, request: StepRequest) -> None:
        """An order on a pod that is not to be relied on."""
        missing = await pod.pull(request)
        await asyncio.sleep(self._rng.choice((0.0, 0.3, 2.0, 15.0)))
        await pod.awake.wait()
        if request.id not in pod.running:
            return
        if missing:
            self.happened["missing"] += 1
            pod.hand_in(request.id, missing=missing, trouble="inputs are missing")
        elif self._rng.random() < 0.1 and self._troubles[request.id] < TROUBLES_MAX:
            self._troubles[request.id] += 1
            pod.hand_in(request.id, trouble="its disk is full")
        else:
            done = pod.hand_in(request.id)
            if self._rng.random() < 0.2:  # its acknowledgement is lost
                await pod.until(lambda: request.id not in pod.ends)
                pod.ends[request.id] = done
                self.happened["twice"] += 1
                pod._spawn(pod._deliver(request.id))

    async def brew(self) -> None:
        """One thing after the other until cancelled."""
        kinds = [self._kill, self._stall, self._stall_past_the_lease, self._refuse, self._lose, self._part, self._restart]
        while True:
            await asyncio.sleep(self._rng.uniform(0.0, 6.0))
            await self._rng.choice(kinds)(self._rng.choice([*self._town.pods.values()]))

    async def _kill(self, pod: PlayedPod) -> None:
        if self._losses < LOSSES_MAX and pod.is_alive and pod.awake.is_set():
            self._losses += 1
            self.happened["killed"] += 1
            await pod.die()
            await asyncio.sleep(self._rng.uniform(0.0, 2 * LEASE_SECONDS))
            if self._rng.random() < 0.5:
                for digest in [*pod.store._data]:
                    pod.store.evict(digest)
                pod.ends.clear()
            await pod.begin()

    async def _restart(self, pod: PlayedPod) -> None:
        if pod.is_alive and pod.awake.is_set():
            self.happened["restarted"] += 1
            await pod.stop()
            await asyncio.sleep(self._rng.uniform(0.0, 3.0))
            await pod.begin()

    async def _stall(self, pod: PlayedPod) -> None:
        pod.stall()
        await asyncio.sleep(self._rng.uniform(0.0, 4.0))
        pod.awake.set()

    async def _stall_past_the_lease(self, pod: PlayedPod) -> None:
        if self._losses < LOSSES_MAX:
            self._losses += 1
            self.happened["stalled"] += 1
            pod.stall()
            await asyncio.sleep(self._rng.uniform(1.0, 2.0) * LEASE_SECONDS)
            pod.awake.set()

    async def _refuse(self, pod: PlayedPod) -> None:
        pod.refuses = "it is draining"
        await pod.stop("draining")
        await asyncio.sleep(self._rng.uniform(0.0, 5.0))
        pod.refuses, pod.state = "", "ready"

    async def _lose(self, pod: PlayedPod) -> None:
        held = sorted(pod.store._data)
        if held:
            self.happened["lost"] += 1
            for digest in held:
                if self._rng.random() < 0.7:
                    pod.store.evict(digest)

    async def _part(self, pod: PlayedPod) -> None:
        """The broker is away."""
        buses = [self._side.bus, *(pod.bus for pod in self._town.pods.values())]
        for bus in buses:
            bus.is_connected = False
        await asyncio.sleep(self._rng.uniform(0.0, 2.5 * LEASE_SECONDS))
        for bus in buses:
            bus.is_connected = True


async def to_the_end(side: FarSide, step: Step, done: dict[str, "asyncio.Task[Cooked]"]) -> Cooked:
    """A step behind those that make its inputs; started again as often as its result does not count."""
    await asyncio.gather(*(done[maker] for path in step.inputs if (maker := path.removesuffix(".out")) in done))
    while True:
        cooked = await side.cook(step.name)
        if not cooked.stale:
            return cooked


async def story(seed: int, folder: Path, happened: Counter[str]) -> None:
    rng = random.Random(seed)
    town, steps = Town(), random_steps(rng)
    async with farside(folder, town, steps, PODS, strategy=[*STRATEGIES][seed % len(STRATEGIES)]) as side:
        side.write("one.src", "one")
        side.write("two.src", "two")
        trouble = Trouble(rng, town, side)
        for pod in town.pods.values():
            pod.work = trouble.work
        brewing = asyncio.ensure_future(trouble.brew())
        done: dict[str, asyncio.Task[Cooked]] = {}
        for step in steps:
            done[step.name] = asyncio.ensure_future(to_the_end(side, step, done))
        await asyncio.gather(*done.values())
        brewing.cancel()
        await asyncio.gather(brewing, return_exceptions=True)
        await side.estate.flush()
        happened += trouble.happened
        check(steps, side, town, {name: task.result() for name, task in done.items()})
    assert replay(bytes(side.decisions)) == side.decisions


def check(steps: list[Step], side: FarSide, town: Town, cooked: dict[str, Cooked]) -> None:
    wanted = right(steps, side)
    for name, one in cooked.items():
        assert one.result is not None, f"{name}: {one.problems}"
        assert [output.version.digest for output in one.result.outputs] == [wanted[f"{name}.out"]]
    for step in steps:
        path = step.outputs[0]
        epochs = [change.epoch for change in side.records.changes if change.path == path]
        assert epochs == [*range(1, len(epochs) + 1)] and epochs, f"{path}: {epochs}"
        assert side.estate.owners[path].digest == wanted[path]
    told = Counter(
        {
            (path, epoch): len(
                {pod.name for pod in town.pods.values() for acks in pod.acks.values() for ack in acks if ack.owned.get(path) == epoch}
            )
            for pod in town.pods.values()
            for acks in pod.acks.values()
            for ack in acks
            for path, epoch in ack.owned.items()
        }
    )
    assert set(told.values()) <= {1}, told


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_step_ends_once_and_right_whatever_happens_to_the_pods(block: int, tmp_path: Path) -> None:
    happened: Counter[str] = Counter()
    for seed in range(block, BLOCKS * SEEDS, BLOCKS):
        try:
            play(story(seed, tmp_path / str(seed), happened))
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    assert all(happened[kind] for kind in ("killed", "restarted", "stalled", "missing", "twice", "lost")), happened
