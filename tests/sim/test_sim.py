"""A seeded simulation: answers in any order, inputs that change under a step, objects that vanish, builds that are killed.

Each failure names its seed. What must hold is in tests/helpers/checks.py, apart from the driver that makes the trouble.
"""

import random

import pytest

from cpods.events import Concluded, Settled, Spoilt
from tests.helpers import naive
from tests.helpers.checks import at_rest, is_knowable, same_as_naive, well_behaved
from tests.helpers.driver import Driver, Ended, Faults, Shelf
from tests.helpers.world import Taste, World, random_world

SEEDS = 300
TASTE = Taste(cycles=0.6, engines=0.3, failures=0.05, found_writes=0.1)


def build(world: World, shelf: Shelf, rng: random.Random, faults: Faults, seed_of_knots: str = "clean") -> Ended:
    """One build with trouble, on a random number of slots."""
    return Driver(world, shelf, seed_of_knots, rng.choice((1, 2, 4, 8)), rng, faults, passes_max=1_000).build()


def complaints(world: World, ended: Ended) -> list[str]:
    """All that is wrong after a build that nobody disturbed by an edit."""
    same = same_as_naive(world, naive.build(world), ended) if is_knowable(world, ended) else []
    return same + at_rest(world, ended) + well_behaved(ended)


@pytest.mark.parametrize("block", range(10))
def test_stale_answers_and_lost_objects_change_no_outcome(block: int) -> None:
    for seed in range(block, SEEDS, 10):
        rng = random.Random(seed)
        world, shelf = random_world(rng, TASTE), Shelf()
        for _ in range(2):
            ended = build(world, shelf, rng, Faults(stale=0.2, lose=0.2))
            assert not complaints(world, ended), f"seed {seed}: {complaints(world, ended)}"


def test_sources_edited_under_a_build_are_right_after_the_next() -> None:
    moved = 0
    for seed in range(SEEDS):
        rng = random.Random(seed)
        world, shelf = random_world(rng, TASTE), Shelf()
        disturbed = build(world, shelf, rng, Faults(stale=0.05, edit=0.2, most=8))
        moved += sum(isinstance(event, Concluded) and event.moved_on for event in disturbed.log)
        moved += sum(isinstance(event, Spoilt) and event.stale for event in disturbed.log)
        assert disturbed.finishes == 1, f"seed {seed}"
        ended = build(world, shelf, rng, Faults())
        assert not complaints(world, ended), f"seed {seed}: {complaints(world, ended)}"
    assert moved > SEEDS // 10


def test_a_killed_build_does_not_poison_the_next() -> None:
    for seed in range(SEEDS):
        rng = random.Random(seed)
        world, shelf = random_world(rng, TASTE), Shelf()
        for _ in range(2):
            killed = build(world, shelf, rng, Faults(stale=0.1, lose=0.1, abandon_after=rng.randint(1, 12)))
            assert killed.finishes <= 1
        ended = build(world, shelf, rng, Faults())
        assert not complaints(world, ended), f"seed {seed}: {complaints(world, ended)}"


def test_warm_builds_in_trouble_come_to_rest() -> None:
    for seed in range(SEEDS):
        rng = random.Random(seed)
        world, shelf = random_world(rng, TASTE), Shelf()
        build(world, shelf, rng, Faults())
        world.sources["src0"] = str(rng.randrange(4))
        ended = build(world, shelf, rng, Faults(stale=0.2, lose=0.2), "warm")
        assert not at_rest(world, ended) + well_behaved(ended), f"seed {seed}: {at_rest(world, ended) + well_behaved(ended)}"


def test_the_same_seed_gives_the_same_course() -> None:
    def course(seed: int) -> list[str]:
        rng = random.Random(seed)
        world = random_world(rng, TASTE)
        log = build(world, Shelf(), rng, Faults(stale=0.2, lose=0.1)).log
        return [f"{type(event).__name__} {event.step if isinstance(event, Settled | Spoilt) else event.knot}" for event in log]

    assert all(course(seed) == course(seed) for seed in range(30))
