"""On random maps: the detector agrees with a brute-force search of the orbit and evaluates exactly tail + period passes."""

from collections.abc import Callable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.bench import Act, Bench, Look, step

QUICK = settings(max_examples=250, deadline=None, derandomize=True)


def orbit(start: object, after: Callable[[object], object]) -> tuple[int, int]:
    """(tail, period) by trying: where the first repeated state was, and after how many steps it came back."""
    seen: dict[object, int] = {}
    state = start
    while state not in seen:
        seen[state] = len(seen)
        state = after(state)
    return seen[state], len(seen) - seen[state]


@QUICK
@given(st.integers(2, 9).flatmap(lambda size: st.lists(st.integers(0, size - 1), min_size=size, max_size=size)), st.data())
def test_one_step_over_a_random_map(table: list[int], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(table) - 1))
    after = {None: str(first), **{str(index): str(value) for index, value in enumerate(table)}}
    tail, period = orbit(None, lambda state: after[state])  # type: ignore[index]
    bench = Bench({"a": lambda look: {"x": after[look("x")]}})
    outcome = bench.iterate(bench.knot([step("a")], limit=1000))
    assert (outcome.verdict, outcome.tail, outcome.period) == ("FIXED" if period == 1 else "PERIOD", tail, period)
    assert outcome.passes == bench.runs["a"] == tail + period


def mixer(numbers: Sequence[int], reads: Sequence[str], target: str, values: int) -> Act:
    """A step that writes an arbitrary function of what it reads."""

    def act(look: Look) -> dict[str, str]:
        seen = [look(path) for path in reads]
        place = sum((2 if content is None else int(content)) * 3**index for index, content in enumerate(seen))
        return {target: str(numbers[place % len(numbers)] % values)}

    return act


networks = st.integers(2, 4).flatmap(
    lambda count: st.tuples(
        st.lists(st.lists(st.integers(0, 5), min_size=5, max_size=12), min_size=count, max_size=count),
        st.lists(st.lists(st.integers(0, count - 1), min_size=1, max_size=3, unique=True), min_size=count, max_size=count),
        st.integers(2, 3),
    )
)
Network = tuple[list[list[int]], list[list[int]], int]


def bench_of(network: Network) -> Bench:
    tables, reads, values = network
    rows = enumerate(zip(tables, reads, strict=True))
    return Bench({f"s{i}": mixer(table, [f"f{j}" for j in wanted], f"f{i}", values) for i, (table, wanted) in rows})


def one_pass(network: Network, order: Sequence[int]) -> Callable[[object], object]:
    """The map that one pass is, worked out without KnotRun: every step, one behind the other."""
    bench = bench_of(network)

    def after(state: object) -> object:
        files = dict(state)  # type: ignore[call-overload]
        for index in order:
            result = bench.settle(step(f"s{index}"), {path: bench.version(content) for path, content in files.items()})
            files.update((output.path, output.version.digest[1:]) for output in result.outputs)
        return tuple(sorted(files.items()))

    return after


def read_by_somebody(network: Network) -> set[str]:
    return {f"f{j}" for wanted in network[1] for j in wanted}


@QUICK
@given(networks)
def test_several_steps_with_several_files(network: Network) -> None:
    count = len(network[0])
    after = one_pass(network, range(count))
    bench = bench_of(network)
    run = bench.knot([step(f"s{i}", i) for i in range(count)], limit=1000)
    outcome = bench.iterate(run)
    kept = read_by_somebody(network)
    states: list[object] = [()]
    while True:
        states.append(after(states[-1]))
        shown = [tuple(entry for entry in state if entry[0] in kept) for state in states]  # type: ignore[attr-defined]
        if shown[-1] in shown[:-1]:
            break
    tail = shown.index(shown[-1])
    period = len(shown) - 1 - tail
    if period > 1:
        assert (outcome.verdict, outcome.tail, outcome.period, outcome.passes) == ("PERIOD", tail, period, tail + period)
    else:
        # A fixed point shows itself as soon as nobody is stale: at its first visit, or at the pass that repeats it.
        assert outcome.verdict == "FIXED" and tail <= outcome.passes <= tail + 1
    final = dict(states[-1])  # type: ignore[call-overload]
    assert {o.path: o.version.digest[1:] for _, o in run.outputs()} == final
    assert all(runs <= outcome.passes for runs in bench.runs.values())


@QUICK
@given(networks, st.randoms(use_true_random=False))
def test_the_listed_order_of_members_means_nothing(network: Network, rng: object) -> None:
    """Order comes from positions; how the members are handed over does not matter."""
    members = [step(f"s{i}", i) for i in range(len(network[0]))]
    shuffled = list(members)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = bench_of(network), bench_of(network)
    assert first.iterate(first.knot(members, limit=1000)) == second.iterate(second.knot(shuffled, limit=1000))
    assert first.course == second.course


@QUICK
@given(networks, st.randoms(use_true_random=False))
def test_rotated_orders_of_a_ring_have_the_same_period(network: Network, rng: object) -> None:
    """In a ring (each step reads its forerunner alone) a rotation of the order is conjugate: the period of the cycle stays."""
    tables, _, values = network
    count = len(tables)
    ring = (tables, [[(i - 1) % count] for i in range(count)], values)
    shift = rng.randrange(count)  # type: ignore[attr-defined]
    start = bench_of(ring).seed(f"s{count - 1}", **{f"f{count - 1}": "0"})
    periods = []
    for order in (list(range(count)), [*range(shift, count), *range(shift)]):
        bench = bench_of(ring)
        seed = start
        if order[0]:  # the same state of affairs, seen from another place in the ring
            files = {f"f{count - 1}": bench.version("0")}
            for index in range(order[0]):
                result = bench.settle(step(f"s{index}"), files)
                files.update((output.path, output.version) for output in result.outputs)
            seed = bench.seed(f"s{order[0] - 1}", **{f"f{order[0] - 1}": files[f"f{order[0] - 1}"].digest[1:]})
        outcome = bench.iterate(bench.knot([step(f"s{i}", place) for place, i in enumerate(order)], seed=seed, limit=1000))
        periods.append((outcome.verdict, outcome.period))
    assert periods[0] == periods[1]


def link(place: int) -> Act:
    """One step of a chain: copies what the step before it made, and looks at what the next one made."""

    def act(look: Look) -> dict[str, str]:
        look(f"f{(place + 1) % 4}")
        return {f"f{place}": look(f"f{place - 1}" if place else "src") or "-"}

    return act


@QUICK
@given(st.permutations(range(4)), st.integers(0, 3))
def test_a_unique_fixed_point_is_reached_in_any_order(order: list[int], source: int) -> None:
    """A chain whose steps also look at what lies behind them without using it: one fixed point, whatever the order."""
    bench = Bench({f"s{i}": link(i) for i in range(4)}, {"src": str(source)})
    run = bench.knot([step(f"s{i}", place) for place, i in enumerate(order)])
    assert bench.iterate(run).verdict == "FIXED"
    assert {o.version.digest for _, o in run.outputs()} == {f"={source}"}
