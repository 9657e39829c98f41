"""Strategies: whom they choose, whom never, how ties fall, and that a log decides again as it did."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpods.scheduler.holdings import Holdings
from cpods.scheduler.placement import (
    DEFAULT_STRATEGY,
    STRATEGIES,
    Decided,
    Decision,
    DecisionLog,
    Gone,
    Held,
    MaxLocality,
    PodView,
    Rule,
    Seen,
    View,
    from_lines,
    replay,
    to_lines,
)

NAMES = ["a", "b", "c", "d", "e"]
POD = st.builds(
    PodView,
    name=st.sampled_from(NAMES),
    slots=st.integers(0, 3),
    running=st.integers(0, 3),
    queued=st.integers(0, 4),
    tags=st.lists(st.sampled_from([("gpu", "yes"), ("site", "x"), ("site", "y")]), max_size=2).map(tuple),
)
PODS = st.lists(POD, max_size=5, unique_by=lambda pod: pod.name)
INPUTS = st.lists(st.tuples(st.integers(0, 5), st.just(10)), max_size=5)
HELD = st.dictionaries(st.sampled_from(NAMES), st.sets(st.integers(0, 5)), max_size=5)
RULES = st.builds(
    Rule,
    tags=st.sampled_from([(), (("gpu", "yes"),), (("gpu", "yes"), ("site", "x"))]),
    fits=st.none() | st.frozensets(st.sampled_from(NAMES)),
    avoid=st.frozensets(st.sampled_from(NAMES), max_size=2),
)
EVERY = pytest.mark.parametrize("name", sorted(STRATEGIES))


class Copies:
    """Held, said plainly: pod -> ids, each artefact of ten bytes."""

    def __init__(self, ids: Mapping[str, set[int]]) -> None:
        self.ids = ids

    def bytes_by_pod(self, ids: Sequence[int]) -> Mapping[str, int]:
        return {pod: 10 * len(held & set(ids)) for pod, held in self.ids.items()}


def view(*pods: PodView, held: Mapping[str, set[int]] | None = None) -> View:
    return View(pods, Copies(held or {}))


def missing(inputs: Sequence[tuple[int, int]], held: Mapping[str, set[int]], pod: str) -> int:
    return 10 * len({key for key, _ in inputs} - held.get(pod, set()))


def may_run(pod: PodView, rule: Rule) -> bool:
    fits = rule.fits is None or pod.name in rule.fits
    return pod.slots > 0 and fits and pod.name not in rule.avoid and all(tag in pod.tags for tag in rule.tags)


@EVERY
@given(pods=PODS, inputs=INPUTS, held=HELD, rule=RULES)
@settings(max_examples=100, deadline=None)
def test_only_a_pod_that_may_run_the_step_gets_it(
    name: str, pods: list[PodView], inputs: list[tuple[int, int]], held: dict[str, set[int]], rule: Rule
) -> None:
    chosen = STRATEGIES[name]().choose("s", inputs, View(pods, Copies(held)), rule).pod
    allowed = {pod.name for pod in pods if may_run(pod, rule)}
    assert chosen in allowed if allowed else chosen == ""


@EVERY
@given(pods=PODS, inputs=INPUTS, held=HELD, rule=RULES)
@settings(max_examples=50, deadline=None)
def test_the_order_in_which_pods_and_inputs_are_named_means_nothing(
    name: str, pods: list[PodView], inputs: list[tuple[int, int]], held: dict[str, set[int]], rule: Rule
) -> None:
    strategy = STRATEGIES[name]
    first = strategy(3).choose("s", inputs, View(pods, Copies(held)), rule)
    backwards = dict(reversed(held.items()))
    assert strategy(3).choose("s", inputs[::-1] + inputs, View(pods[::-1], Copies(backwards)), rule) == first


@given(pods=PODS, inputs=INPUTS, held=HELD, rule=RULES, bound=st.integers(0, 2))
@settings(max_examples=300, deadline=None)
def test_max_locality_takes_who_holds_most_within_the_bound(
    pods: list[PodView], inputs: list[tuple[int, int]], held: dict[str, set[int]], rule: Rule, bound: int
) -> None:
    chosen = MaxLocality(bound=bound).choose("s", inputs, View(pods, Copies(held)), rule)
    allowed = {pod.name: pod for pod in pods if may_run(pod, rule)}
    if not allowed:
        return
    some_idle = any(pod.running + pod.queued < pod.slots for pod in allowed.values())
    near = [pod for pod in allowed.values() if not (some_idle and pod.running + pod.queued > pod.slots + bound)]
    most = min(missing(inputs, held, pod.name) for pod in near)
    assert chosen.pod in {pod.name for pod in near}
    assert missing(inputs, held, chosen.pod) == most == dict(chosen.terms)["missing_bytes"]


@given(pods=PODS, inputs=INPUTS, held=HELD)
@settings(max_examples=200, deadline=None)
def test_least_loaded_takes_the_fewest_steps_a_slot_then_the_fewest_bytes_then_the_name(
    pods: list[PodView], inputs: list[tuple[int, int]], held: dict[str, set[int]]
) -> None:
    chosen = STRATEGIES["least-loaded"]().choose("s", inputs, View(pods, Copies(held)))
    order = sorted(((pod.running + pod.queued) / pod.slots, missing(inputs, held, pod.name), pod.name) for pod in pods if pod.slots)
    assert (chosen.pod, [value for _, value in chosen.terms]) == ((order[0][2], [*order[0][:2]]) if order else ("", []))


def test_max_locality_by_example() -> None:
    strategy = STRATEGIES["max-locality"]()
    a, b, c = (PodView(name, slots=2) for name in "abc")
    held = {"b": {1, 2}, "c": {3}}
    inputs = [(1, 10), (2, 10), (3, 10)]
    assert strategy.choose("s", inputs, view(a, b, c, held=held)).pod == "b"
    full = PodView("b", slots=2, running=2)
    assert strategy.choose("s", inputs, view(a, full, c, held=held)).pod == "b", "one may wait there, its inputs beside it"
    long = PodView("b", slots=2, running=2, queued=1)
    assert strategy.choose("s", inputs, view(a, long, c, held=held)).pod == "c", "but not two while others are idle"
    busy = [PodView(name, slots=2, running=2, queued=1) for name in "ac"]
    assert strategy.choose("s", inputs, view(*busy, long, held=held)).pod == "b", "where all wait, bytes count again"


def test_what_nobody_holds_is_spread() -> None:
    strategy = STRATEGIES["max-locality"]()
    steps: Counter[str] = Counter()
    for number in range(12):
        pods = [PodView(name, slots=2, running=steps[name]) for name in "dcba"]
        steps[strategy.choose(f"s{number}", [(number, 10)], View(pods)).pod] += 1
    assert steps == {"a": 3, "b": 3, "c": 3, "d": 3}


def test_round_robin_goes_round_whoever_comes_and_goes() -> None:
    strategy = STRATEGIES["round-robin"]()
    a, b, c, d = (PodView(name, slots=1) for name in "abcd")
    assert [strategy.choose("s", (), view(c, a, b)).pod for _ in range(4)] == ["a", "b", "c", "a"]
    assert strategy.choose("s", (), view(a, c, d)).pod == "c"
    assert strategy.choose("s", (), view()).pod == ""
    assert [strategy.choose("s", (), view(a, b, d)).pod for _ in range(2)] == ["d", "a"]


def test_random_is_drawn_from_seed_and_step_alone() -> None:
    pods = view(*(PodView(name, slots=1) for name in NAMES))
    first, second = STRATEGIES["random"](1), STRATEGIES["random"](1)
    drawn = [first.choose(f"s{number}", (), pods).pod for number in range(500)]
    assert drawn == [second.choose(f"s{number}", (), pods).pod for number in reversed(range(500))][::-1], "whatever came before"
    assert drawn != [STRATEGIES["random"](2).choose(f"s{number}", (), pods).pod for number in range(500)]
    assert min(Counter(drawn).values()) > 60, "each of five about as often"


def test_the_mirror_of_holdings_serves_as_it_is() -> None:
    mirror = Holdings()
    ids = mirror.add_many({"x": 100, "y": 20, "z": 3})
    mirror.hold("b", ids[:2])
    mirror.hold("a", ids[2:])
    held: Held = mirror
    inputs = [(0, 100), (1, 20), (2, 3)]
    chosen = STRATEGIES[DEFAULT_STRATEGY]().choose("s", inputs, View([PodView("a", 1), PodView("b", 1)], held))
    assert chosen == Decision("s", "b", (("missing_bytes", 3.0), ("steps_per_slot", 0.0)))


def a_day(name: str, seed: int) -> DecisionLog:
    """Many decisions while pods come, go and fill, and artefacts spread."""
    draw = random.Random(seed)
    log = DecisionLog(STRATEGIES[name](seed))
    mirror = Holdings()
    mirror.add_many({f"d{number}": draw.randrange(1, 1000) for number in range(60)})
    pods = {pod: PodView(pod, slots=draw.randrange(1, 4), tags=(("site", draw.choice("xy")),)) for pod in NAMES}
    for number in range(200):
        pod = draw.choice(NAMES)
        if draw.random() < 0.1:
            pods.pop(pod, None)
        else:
            pods[pod] = PodView(pod, draw.randrange(1, 4), draw.randrange(3), draw.randrange(3), load=draw.random())
        ids = draw.sample(range(60), draw.randrange(5))
        rule = Rule(fits=frozenset(draw.sample(NAMES, 3))) if draw.random() < 0.3 else Rule()
        estimates = {f"s{number}": draw.random()} if draw.random() < 0.5 else {}
        chosen = log.choose(f"s{number}", [(key, 10) for key in ids], View(list(pods.values()), mirror, estimates), rule)
        if chosen.pod:
            mirror.hold(chosen.pod, [*ids, draw.randrange(60)])
    return log


@EVERY
@given(seed=st.integers(0, 1 << 20))
@settings(max_examples=10, deadline=None)
def test_a_log_replays_bit_for_bit(name: str, seed: int) -> None:
    log = a_day(name, seed)
    assert sum(isinstance(entry, Decided) for entry in log.entries) == 200
    data = to_lines(log.entries)
    again = replay(from_lines(data))
    assert again == log.entries and to_lines(again) == data


def test_a_log_is_the_same_in_another_process() -> None:
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from cpods.scheduler.placement import *\n"
        "log = DecisionLog(STRATEGIES['random'](7)); pods = [PodView(n, 1, tags=(('k', n),)) for n in 'abcdefgh']\n"
        "rule = Rule(fits=frozenset('abcdefg'), avoid=frozenset('ag'))\n"
        "[log.choose(f's{n}', [(1, 2)], View(pods), rule) for n in range(50)]\n"
        "sys.stdout.buffer.write(to_lines(log.entries)); assert 'numpy' not in sys.modules"
    )
    runs = {
        subprocess.run([sys.executable, "-c", script, *sys.path], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2", "3")
    }
    assert len(runs) == 1 and len(runs.pop().splitlines()) == 1 + 8 + 50


def test_the_log_has_only_what_changed() -> None:
    log = DecisionLog(STRATEGIES["least-loaded"]())
    a, b = PodView("a", 1), PodView("b", 1)
    log.choose("s", (), View([b, a]))
    log.choose("t", (), View([a, b]))
    log.choose("u", [(7, 10)], View([PodView("b", 1, running=1)], Copies({"b": {7}}), {"u": 2.5}))
    assert [type(entry).__name__ for entry in log.entries] == [
        *("Begun", "Seen", "Seen", "Decided", "Decided", "Gone", "Seen", "Decided"),
    ]
    assert log.entries[1] == Seen(a) and log.entries[5] == Gone("a")
    last = Decision("u", "b", (("steps_per_slot", 1.0), ("missing_bytes", 0.0)))
    assert log.entries[-1] == Decided(last, ((7, 10),), (("b", 10),), estimate=2.5)


def test_a_log_of_a_changed_strategy_does_not_replay_the_same() -> None:
    entries = a_day("max-locality", 5).entries
    assert replay(entries, {"max-locality": STRATEGIES["least-loaded"]}) != entries
    with pytest.raises(ValueError, match="no decision log"):
        replay(entries[1:])
    with pytest.raises(ValueError, match="no decision log"):
        replay([msgspec.structs.replace(entries[0], strategy="gone")])
    with pytest.raises(msgspec.MsgspecError):
        from_lines(b'["other"]\n')


@EVERY
def test_a_strategy_says_its_name_and_seed(name: str) -> None:
    assert STRATEGIES[name](11).name == name and STRATEGIES[name](11).seed == 11 and STRATEGIES[name]().seed == 0
