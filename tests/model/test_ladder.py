"""The ladder: the naive builder = the core with a cache = the core with many slots and answers in any order.

On random graphs with circles, optional reads, reads and writes that nobody declared, engines with helpers, filtered
readers and planted failures. A failure prints the seed: `random_world(random.Random(seed), taste)` is the graph.
"""

import random

import msgspec
import pytest

from tests.helpers import naive
from tests.helpers.checks import at_rest, is_knowable, same_as_naive, well_behaved
from tests.helpers.driver import Driver, Ended, Mutant, Shelf
from tests.helpers.world import Taste, World, random_world

TASTES = {
    "declared": Taste(engines=0, found_reads=0, found_writes=0),
    "found reads": Taste(engines=0, found_writes=0),
    "found writes": Taste(engines=0),
    "engines": Taste(found_writes=0, engines=0.3),
    "circles": Taste(cycles=0.9, engines=0.3, found_writes=0),
    "all": Taste(cycles=0.6),
    "parallel": Taste(cycles=0.8, engines=0.2, found_writes=0, parallel=0.8),
    "parallel failures": Taste(cycles=0.8, engines=0, found_writes=0, failures=0.2, parallel=0.8),
    "failures": Taste(engines=0, found_writes=0, failures=0.3),
    "failing engines": Taste(found_writes=0, failures=0.3),
}
#: Reads that depend on contents, where no circle is: there the outcome is the same in whatever order they are found.
GATED = Taste(cycles=0, gated=0.6)
_GRAPHS = 160
_PASSES_MAX = 1_000


def build(world: World, shelf: Shelf, seed: int, slots: int = 1, **others: object) -> Ended:
    """One build with answers in an order drawn from ``seed``."""
    return Driver(world, shelf, slots=slots, rng=random.Random(seed), passes_max=_PASSES_MAX, **others).build()  # type: ignore[arg-type]


def complaints(world: World, ended: Ended) -> list[str]:
    """All that is wrong with a build from a clean seed."""
    if not is_knowable(world, ended):
        return well_behaved(ended)
    return same_as_naive(world, naive.build(world), ended) + at_rest(world, ended) + well_behaved(ended)


def edit(world: World, rng: random.Random) -> None:
    """Another content of a source, or another program at a step."""
    if world.sources and rng.random() < 0.7:
        world.sources[rng.choice(sorted(world.sources))] = str(rng.randrange(4))
    else:
        name = rng.choice(sorted(world.programs))
        world.programs[name] = msgspec.structs.replace(world.programs[name], salt=rng.randrange(1000))


@pytest.mark.parametrize("taste", TASTES)
def test_a_clean_build_is_the_naive_build(taste: str) -> None:
    unknowable = 0
    for seed in range(_GRAPHS):
        world = random_world(random.Random(seed), TASTES[taste])
        ended = build(world, Shelf(), seed, slots=1 + seed % 4)
        unknowable += not is_knowable(world, ended)
        assert not complaints(world, ended), f"seed {seed}: {complaints(world, ended)}"
    assert unknowable <= _GRAPHS // 8


def test_reads_that_depend_on_contents() -> None:
    for seed in range(2 * _GRAPHS):
        world = random_world(random.Random(seed), GATED)
        built = naive.build(world)
        ended = build(world, Shelf(), seed, slots=1 + seed % 4)
        assert not at_rest(world, ended) + well_behaved(ended), f"seed {seed}"
        if set(built.verdicts.values()) == {"FIXED"}:
            assert not same_as_naive(world, built, ended), f"seed {seed}: {same_as_naive(world, built, ended)}"


@pytest.mark.parametrize("taste", TASTES)
def test_builds_after_edits_are_clean_builds_of_the_edited_sources(taste: str) -> None:
    for seed in range(_GRAPHS // 2):
        rng = random.Random(seed)
        world, shelf = random_world(rng, TASTES[taste]), Shelf()
        for round_ in range(4):
            ended = build(world, shelf, seed, slots=2)
            assert not complaints(world, ended), f"seed {seed} round {round_}: {complaints(world, ended)}"
            edit(world, rng)


@pytest.mark.parametrize("taste", [taste for taste in TASTES if not TASTES[taste].found_writes])
def test_a_second_build_runs_nothing_that_did_not_fail(taste: str) -> None:
    for seed in range(_GRAPHS // 2):
        world, shelf = random_world(random.Random(seed), TASTES[taste]), Shelf()
        first = build(world, shelf, seed)
        again = build(world, shelf, seed + 1, slots=3)
        wrong = {name for name in again.runs if first.verdicts.get(name.partition("/")[0]) in ("FIXED", "PERIOD", "DIVERGES")}
        assert not wrong and again.verdicts == first.verdicts, f"seed {seed}: {wrong}"
        assert files_at_rest(world, first) == files_at_rest(world, again), f"seed {seed}"


def files_at_rest(world: World, ended: Ended) -> dict[str, str | None]:
    """What stands at the outputs of steps that are done: all that a user may rely on."""
    done = [program for name, program in world.programs.items() if ended.verdicts[name] == "FIXED"]
    return {path: ended.products.get(path) for program in done for path in (*program.outputs, *program.found_writes)}


def test_a_revert_runs_nothing() -> None:
    for seed in range(_GRAPHS):
        world, shelf = random_world(random.Random(seed), TASTES["circles"]), Shelf()
        first = build(world, shelf, seed)
        source = min(world.sources)
        before = world.sources[source]
        world.sources[source] = str((int(before) + 1) % 4)
        build(world, shelf, seed)
        world.sources[source] = before
        back = build(world, shelf, seed)
        assert back.verdicts == first.verdicts, f"seed {seed}"
        if set(first.verdicts.values()) == {"FIXED"}:
            assert not back.runs and files_at_rest(world, back) == files_at_rest(world, first), f"seed {seed}: {back.runs}"


@pytest.mark.parametrize("taste", ["all", "engines", "circles", "failing engines", "parallel"])
def test_slots_and_order_of_answers_change_nothing(taste: str) -> None:
    for seed in range(_GRAPHS // 4):
        world = random_world(random.Random(seed), TASTES[taste])
        alone = build(world, Shelf(), 0)
        for slots in (2, 4, 8):
            many = build(world, Shelf(), seed * 10 + slots, slots=slots)
            if is_knowable(world, alone) and is_knowable(world, many):
                assert files_at_rest(world, alone) == files_at_rest(world, many), f"seed {seed} slots {slots}"


@pytest.mark.parametrize("taste", ["engines", "circles", "parallel"])
def test_runs_are_as_few_as_can_be_on_any_number_of_slots(taste: str) -> None:
    """Once reads are known, with an empty store: each step runs once for each surrounding that it meets."""
    compared = 0
    for seed in range(_GRAPHS // 2):
        world, shelf = random_world(random.Random(seed), TASTES[taste]), Shelf()
        built = naive.build(world)
        build(world, shelf, seed)
        if set(built.verdicts.values()) != {"FIXED"}:
            continue
        compared += 1
        for slots in (1, 2, 4, 8):
            ended = build(world, known_but_empty(shelf), seed + slots, slots=slots)
            expected = {name: built.needed.get(name, 1) for name in (*world.programs, *built.needed)}
            assert dict(ended.runs) == expected, f"seed {seed} slots {slots}"
    assert compared > _GRAPHS // 10


def known_but_empty(shelf: Shelf) -> Shelf:
    """What a build remembers of reads and writes, without a single stored result."""
    unmatched = {name: msgspec.structs.replace(result, static_key="?") for name, result in shelf.last.items()}
    return Shelf(last=unmatched, written=dict(shelf.written))


def test_warm_builds_come_to_rest_and_never_answer_for_clean_ones() -> None:
    for seed in range(_GRAPHS):
        assert not clean_after_warm(seed, Mutant()), f"seed {seed}: {clean_after_warm(seed, Mutant())}"


def clean_after_warm(seed: int, mutant: Mutant) -> list[str]:
    """A clean build, an edit, a warm build, and a clean one of the same sources: what is wrong with the last two."""
    rng = random.Random(seed)
    world, shelf = random_world(rng, Taste(cycles=1.0, engines=0.3, found_writes=0)), Shelf()
    build(world, shelf, seed)
    edit(world, rng)
    warm = build(world, shelf, seed, seed_of_knots="warm", mutant=mutant)
    return at_rest(world, warm) + well_behaved(warm) + complaints(world, build(world, shelf, seed))


def test_the_ladder_notices_that_absent_files_are_not_recorded() -> None:
    found = 0
    for seed in range(_GRAPHS // 2):
        world = random_world(random.Random(seed), TASTES["circles"])
        found += bool(complaints(world, build(world, Shelf(), seed, mutant=Mutant(forgets_absent=True))))
    assert found > 5


def test_the_ladder_notices_warm_results_under_the_clean_key() -> None:
    assert sum(bool(clean_after_warm(seed, Mutant(stores_warm_as_clean=True))) for seed in range(2 * _GRAPHS)) > 2


def test_single_passes_come_to_rest_where_iterating_does() -> None:
    """Without --until-stable each call is one pass from the last state; enough calls end in a fixed point, if there is one."""
    rested = 0
    for seed in range(_GRAPHS // 2):
        world, shelf = random_world(random.Random(seed), TASTES["circles"]), Shelf()
        if set(naive.build(world).verdicts.values()) != {"FIXED"}:
            continue
        for _ in range(60):
            ended = build(world, shelf, seed, seed_of_knots="warm", until_stable=False)
            assert not at_rest(world, ended) + well_behaved(ended), f"seed {seed}"
            if set(ended.verdicts.values()) == {"FIXED"}:
                rested += 1
                break
    assert rested > _GRAPHS // 16
