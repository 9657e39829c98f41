"""Strategies: whom they choose, whom never, how ties fall, and that each is what it says: plain forms of them choose the same."""

import copy
import math
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpods.scheduler.outlook import Outlook
from cpods.scheduler.placement import DEFAULT_STRATEGY, PODS_COMPARED_MAX, STRATEGIES, Decision, Locality, Weights, mixed
from tests.helpers.placementworlds import Known, world

EVERY = pytest.mark.parametrize("name", sorted(STRATEGIES))
SEEDS = st.integers(0, 1 << 40)
ALLOWED = st.none() | st.sets(st.integers(0, 6))


def pods_of(known: Known, allowed: set[int] | None) -> list[int]:
    return [pod for pod in known.plain.alive if allowed is None or pod in allowed]


def held(known: Known, step: int, pod: int) -> int:
    return sum(known.plain.size[file] for file in known.plain.steps[step].inputs) - known.plain.missing(step, pod)


def free(known: Known, pod: int) -> float:
    return max(known.now, known.plain.free(pod, known.now))


def holders(known: Known, step: int, pods: list[int]) -> list[int]:
    return [pod for pod in pods if any((file, pod) in known.plain.copies for file in known.plain.steps[step].inputs)]


# -- every strategy ----------------------------------------------------------------------------------------------------


@EVERY
@given(seed=SEEDS, allowed=ALLOWED)
@settings(max_examples=100, deadline=None)
def test_only_a_pod_that_lives_and_is_allowed_gets_a_step(name: str, seed: int, allowed: set[int] | None) -> None:
    known = world(seed)
    strategy = STRATEGIES[name](seed)
    for step in known.todo:
        decision = strategy.choose(step, known.look, known.now, allowed)
        may = pods_of(known, allowed)
        assert decision.step == step
        assert decision.pod in may if may else decision == Decision(step, -1)
        assert len(decision.values) in (0, len(strategy.terms)) and all(map(math.isfinite, decision.values))


@EVERY
@given(seed=SEEDS, allowed=ALLOWED)
@settings(max_examples=30, deadline=None)
def test_the_same_outlook_gives_the_same_decisions(name: str, seed: int, allowed: set[int] | None) -> None:
    first, second = world(seed), world(seed)
    one, other = STRATEGIES[name](3), STRATEGIES[name](3)
    again = None if allowed is None else sorted(allowed, reverse=True)
    for step in first.todo:
        decision = one.choose(step, first.look, first.now, allowed)
        assert other.choose(step, second.look, second.now, again) == decision
        for known in (first, second):
            if decision.pod >= 0:
                known.look.give(step, decision.pod, known.now)


@EVERY
@given(seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_choice_changes_nothing_that_is_known(name: str, seed: int) -> None:
    known = world(seed)
    before = copy.deepcopy(known.look)
    for step in known.todo:
        STRATEGIES[name]().choose(step, known.look, known.now)
    for what in ("where", "link", "served", "given", "placed", "rank", "remaining"):
        assert getattr(known.look, what) == getattr(before, what)
    assert [known.look.free(pod, known.now) for pod in known.look.alive] == [before.free(pod, known.now) for pod in before.alive]


def test_decisions_do_not_depend_on_the_seed_of_hashing() -> None:
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from cpods.scheduler.allotment import Allotment\n"
        "from cpods.scheduler.decisions import Chronicle\n"
        "from cpods.scheduler.outlook import Outlook\n"
        "from cpods.scheduler.placement import STRATEGIES\n"
        "for name in STRATEGIES:\n"
        "    told = Chronicle(Allotment(STRATEGIES[name](7), Outlook()), sys.stdout.buffer.write)\n"
        "    for pod in 'abcdefgh': told.pod_is(pod, 2, 10.0, 0.0)\n"
        "    told.add_files([10] * 50)\n"
        "    told.add_steps([1.0] * 50, [[n, n * 7 % 50] for n in range(50)], [[]] * 50)\n"
        "    for pod in range(8): told.hold(pod, [*range(pod, 50, 5)])\n"
        "    for n in range(0, 50, 10):\n"
        "        told.ready([*range(n, n + 10)], float(n), {p * 3 % 11 for p in range(n % 4, 8)})\n"
        "        sent = told.hand_out(float(n))\n"
        "        for step, pod in sent: told.finished(step, n + 5.0)\n"
        "    told.close()\n"
        "assert not {'numpy', 'asyncio', 'random'} & {*sys.modules}, 'placement needs none of these'\n"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-S", "-c", script, *sys.path], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(runs) == 1 and runs.pop().count(b'["decided"') == 50 * len(STRATEGIES)


@EVERY
def test_a_strategy_says_its_name_and_its_seed(name: str) -> None:
    assert (STRATEGIES[name](11).name, STRATEGIES[name](11).seed, STRATEGIES[name]().seed) == (name, 11, 0)
    assert DEFAULT_STRATEGY in STRATEGIES


# -- one by one, beside a plain form -----------------------------------------------------------------------------------


def test_random_is_drawn_from_seed_and_step_alone() -> None:
    look = Outlook()
    for pod in "abcde":
        look.pod_is(pod, 1, 1.0, 0.0)
    look.add_steps([1.0] * 500, [[]] * 500, [[]] * 500)
    first, second = STRATEGIES["random"](1), STRATEGIES["random"](1)
    drawn = [first.choose(step, look, 0.0).pod for step in range(500)]
    assert drawn == [second.choose(step, look, 0.0).pod for step in reversed(range(500))][::-1], "whatever came before"
    assert drawn != [STRATEGIES["random"](2).choose(step, look, 0.0).pod for step in range(500)]
    assert min(Counter(drawn).values()) > 60, "each of five about as often"
    refused = {step: {0, 1, 2, 3, 4} - {drawn[step]} for step in range(500)}
    assert all(first.choose(step, look, 0.0, allowed).pod in allowed for step, allowed in refused.items())


def test_drawn_numbers_are_those_of_splitmix64() -> None:
    # The first values of the generator with state 0, from its reference implementation (Vigna, splitmix64.c).
    assert [mixed(number, 0) for number in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_round_robin_goes_round_whoever_comes_and_goes() -> None:
    look = Outlook()
    for pod in "abcd":
        look.pod_is(pod, 1, 1.0, 0.0)
    look.add_steps([1.0], [[]], [[]])
    strategy = STRATEGIES["round-robin"]()
    assert [strategy.choose(0, look, 0.0).pod for _ in range(5)] == [0, 1, 2, 3, 0]
    look.pod_gone(1, 0.0)
    assert [strategy.choose(0, look, 0.0).pod for _ in range(3)] == [2, 3, 0]
    assert strategy.choose(0, look, 0.0, {1}).pod == -1
    assert [strategy.choose(0, look, 0.0, {2, 0}).pod for _ in range(3)] == [2, 0, 2]


@given(seed=SEEDS, allowed=ALLOWED)
@settings(max_examples=200, deadline=None)
def test_least_loaded_takes_whose_slot_is_free_first_then_the_lowest_number(seed: int, allowed: set[int] | None) -> None:
    known = world(seed)
    for step in known.todo:
        decision = STRATEGIES["least-loaded"]().choose(step, known.look, known.now, allowed)
        if may := pods_of(known, allowed):
            assert decision.pod == min(may, key=lambda pod: (free(known, pod), pod))
            assert decision.values == (known.plain.free(decision.pod, known.now),)


@given(seed=SEEDS, allowed=ALLOWED)
@settings(max_examples=200, deadline=None)
def test_max_locality_takes_who_holds_most_bytes_literally(seed: int, allowed: set[int] | None) -> None:
    known = world(seed)
    for step in known.todo:
        decision = STRATEGIES["max-locality"]().choose(step, known.look, known.now, allowed)
        if may := pods_of(known, allowed):
            most = max(held(known, step, pod) for pod in may)
            ties = [pod for pod in may if held(known, step, pod) == most]
            # Who holds: the one that is free longest; where nobody holds: any free one, the lowest number.
            since = known.plain.free if most else lambda pod, now: max(now, known.plain.free(pod, now))
            assert decision.pod == min(ties, key=lambda pod: (since(pod, known.now), pod))
            assert decision.values[0] == known.plain.missing(step, decision.pod)


@given(seed=SEEDS, allowed=ALLOWED)
@settings(max_examples=200, deadline=None)
def test_earliest_finish_compares_the_ends_then_the_bytes_then_the_numbers(seed: int, allowed: set[int] | None) -> None:
    known = world(seed)
    plain = known.plain
    for step in known.todo:
        decision = STRATEGIES["earliest-finish"]().choose(step, known.look, known.now, allowed)
        if may := pods_of(known, allowed):
            ends = [(plain.finish(step, pod, known.now), plain.missing(step, pod), pod) for pod in may]
            assert (*decision.values, decision.pod) == min(ends)


@given(seed=SEEDS, allowed=ALLOWED)
@settings(max_examples=200, deadline=None)
def test_dask_like_asks_only_who_holds_something(seed: int, allowed: set[int] | None) -> None:
    known = world(seed)
    plain, now = known.plain, known.now
    for step in known.todo:
        decision = STRATEGIES["dask-like"]().choose(step, known.look, now, allowed)
        may = pods_of(known, allowed)
        near = holders(known, step, may)
        if near:
            start = {pod: plain.occupancy(pod, now) + plain.missing(step, pod) / plain.pods[pod].bandwidth for pod in near}
            best = min(start.values())
            assert start[decision.pod] == pytest.approx(best) and decision.values[0] == pytest.approx(best)
        elif may:
            assert decision.pod == min(may, key=lambda pod: (free(known, pod), pod))


class PlainLocality:
    """The objective as PLACEMENT's formula has it, over what the plain outlook knows; see docs/placement.md."""

    def __init__(self, weights: Weights, seed: int) -> None:
        self.weights = weights
        self.seed = seed
        self.end = 0.0

    def attracted(self, known: Known, step: int, pod: int) -> float:
        """Bytes that other inputs of the outputs' readers have on the pod, as far as they can save the move of an output."""
        plain, saved = known.plain, 0.0
        for file in plain.steps[step].outputs if self.weights.lookahead else ():
            readers = plain.readers[file]
            for reader in readers[: self.weights.readers]:
                near = {other: self.near(known, reader, file, other) for other in range(len(plain.pods))}
                heaviest = max(near.values(), default=0)
                least = self.weights.negligible * known.look.seconds_mean * known.look.bandwidth_mean
                if heaviest > least and plain.size[file] > least:
                    saved += min(plain.size[file], heaviest) / len(readers) * near[pod] / heaviest
        return saved

    def near(self, known: Known, reader: int, file: int, pod: int) -> int:
        plain, found = known.plain, 0
        for other in plain.steps[reader].inputs:
            copies = [there for held, there in plain.copies if held == other]
            maker = next((step for step, one in enumerate(plain.steps) if other in one.outputs), None)
            if other != file and (pod in copies or (not copies and maker is not None and known.look.placed[maker] == pod)):
                found += plain.size[other]
        return found

    def costs(self, known: Known, step: int, pods: list[int], compared: list[int]) -> dict[int, float]:
        """By pod of ``pods``; ``compared``: of these the best end counts for the projected end."""
        plain, look, weights, now = known.plain, known.look, self.weights, known.now
        tail = look.rank[step] - plain.steps[step].estimate
        finish = {pod: plain.finish(step, pod, now) for pod in {*pods, *compared}}
        slots = sum(pod.slots for pod in plain.pods)
        best = min((finish[pod] for pod in compared), default=0.0) + tail
        self.end = max(self.end, look.critical, now + plain.left(now) / (slots or 1), best)
        inputs = sum(plain.size[file] for one in plain.steps for file in one.inputs)
        seconds = sum(one.estimate for one in plain.steps)
        price = weights.price / look.bandwidth_mean + (weights.relative * seconds / inputs if inputs else 0.0)
        return {
            pod: max(finish[pod] + tail, weights.slack * self.end)
            - tail
            + weights.ties * finish[pod]
            + price * plain.missing(step, pod)
            - weights.lookahead / plain.pods[pod].bandwidth * self.attracted(known, step, pod)
            for pod in pods
        }

    def candidates(self, known: Known, step: int, may: list[int], allowed: set[int] | None) -> tuple[list[int], list[int]]:
        """Pods that are compared for sure, and those one of which is compared besides."""
        sure = {*holders(known, step, may), min(may, key=lambda pod: (free(known, pod), pod))}
        pull = {pod: self.attracted(known, step, pod) for pod in range(len(known.plain.pods)) if allowed is None or pod in allowed}
        most = max(pull.values(), default=0.0)
        drawn = [pod for pod in pull if most and pull[pod] >= most * (1 - 1e-9) and pod in may]
        if len(drawn) == 1 and not any(pull[pod] >= most * (1 - 1e-9) for pod in pull if pod not in may):
            sure.add(drawn[0])
        return sorted(sure), [pod for pod in drawn if pod not in sure]


WEIGHTS = st.builds(
    Weights,
    slack=st.sampled_from([0.0, 0.9, 1.0, 1.1]),
    ties=st.sampled_from([0.0, 0.05]),
    price=st.sampled_from([0.0, 2.0]),
    relative=st.sampled_from([0.0, 0.1]),
    lookahead=st.sampled_from([0.0, 1.0, 4.0]),
    negligible=st.sampled_from([0.0, 0.001]),
)


@given(seed=SEEDS, allowed=ALLOWED, weights=WEIGHTS)
@settings(max_examples=400, deadline=None)
def test_locality_chooses_the_least_of_its_objective(seed: int, allowed: set[int] | None, weights: Weights) -> None:
    known = world(seed)
    strategy, plain = Locality(seed, weights), PlainLocality(weights, seed)
    for step in known.todo:
        ended = strategy.end
        may = pods_of(known, allowed)
        decision = strategy.choose(step, known.look, known.now, allowed)
        assert strategy.end >= ended, "the projected end only grows"
        if not may:
            continue
        sure, perhaps = plain.candidates(known, step, may, allowed)
        costs = plain.costs(known, step, sure + perhaps, sure)
        assert decision.pod in costs
        if not perhaps:
            assert strategy.end == pytest.approx(plain.end)
            least = min(costs.values())
            assert costs[decision.pod] == pytest.approx(least, abs=1e-6)
            clear = {pod for pod in costs if costs[pod] <= least + 1e-6}
            assert plain_ties(known, step, clear, decision.pod)
        plain.end = strategy.end
        delay, paid, finish, missing, end = decision.values
        slack = weights.slack * end - (known.look.rank[step] - known.look.estimate[step])
        assert delay == pytest.approx(max(0.0, finish - slack) + weights.ties * finish)
        assert [paid, finish, missing] == pytest.approx(
            [
                strategy.price(known.look) * missing,
                known.plain.finish(step, decision.pod, known.now),
                known.plain.missing(step, decision.pod),
            ]
        )
        for one in (known.look, known.plain):
            one.give(step, decision.pod, known.now)


def plain_ties(known: Known, step: int, pods: set[int], chosen: int) -> bool:
    """Whether of pods of one cost the chosen one has to be given fewest bytes; of floats that differ in the last bits any will do."""
    return known.plain.missing(step, chosen) in {known.plain.missing(step, pod) for pod in pods}


@given(seed=SEEDS, allowed=ALLOWED)
@settings(max_examples=100, deadline=None)
def test_locality_without_slack_is_earliest_finish_plus_a_price_for_bytes(seed: int, allowed: set[int] | None) -> None:
    known = world(seed)
    strategy = Locality(seed, Weights(slack=0.0, ties=0.0, lookahead=0.0))
    for step in known.todo:
        decision = strategy.choose(step, known.look, known.now, allowed)
        may = pods_of(known, allowed)
        near = [*holders(known, step, may), decision.pod]
        if may:
            cost = {
                pod: known.plain.finish(step, pod, known.now) + strategy.price(known.look) * known.plain.missing(step, pod) for pod in near
            }
            assert cost[decision.pod] == pytest.approx(min(cost.values()))


@given(seed=SEEDS)
@settings(max_examples=100, deadline=None)
def test_what_a_step_costs_elsewhere_is_measured_with_the_same_objective(seed: int) -> None:
    known = world(seed)
    strategy = Locality(seed, Weights(lookahead=0.0))
    for step in known.todo:
        decision = strategy.choose(step, known.look, known.now)
        costs = {
            pod: strategy.cost(step, pod, known.look, known.plain.finish(step, pod, known.now), known.plain.missing(step, pod))
            for pod in {*holders(known, step, known.plain.alive), decision.pod}
        }
        assert costs[decision.pod] == pytest.approx(min(costs.values()))


# -- by example --------------------------------------------------------------------------------------------------------


def two(seconds: list[float], size: list[int], inputs: list[list[int]], slots: int = 1) -> Outlook:
    """Two pods that pull ten bytes a second; the first holds all."""
    look = Outlook(egress=False)
    for pod in "ab":
        look.pod_is(pod, slots, 10.0, 0.0)
    look.add_files(size)
    look.hold(0, range(len(size)))
    look.add_steps(seconds, inputs, [[]] * len(seconds))
    look.rank_steps([[]] * len(seconds))
    return look


def placed(name: str, look: Outlook) -> list[int]:
    """Pods of all steps, placed one after the other at once."""
    strategy, found = STRATEGIES[name](), []
    for step in range(len(look.estimate)):
        found.append(strategy.choose(step, look, 0.0).pod)
        look.give(step, found[-1], 0.0)
    return found


def test_locality_waits_for_the_holder_as_long_as_the_build_does_not_end_later() -> None:
    # One step of 30 s holds the build up; six of 5 s with 20 bytes each (2 s to move) have time to wait for the first pod.
    many = [[0]] + [[1]] * 6
    assert placed("max-locality", two([30.0] + [5.0] * 6, [0, 20], many)) == [0] * 7
    assert placed("earliest-finish", two([30.0] + [5.0] * 6, [0, 20], many))[1:] == [1] * 6
    look = two([30.0] + [5.0] * 6, [0, 20], [[], *many[1:]], slots=2)
    assert placed("locality", look) == [0] * 7, "on its second slot all six end with the long one"
    look = two([5.0] * 6, [20], [[0]] * 6, slots=1)
    assert placed("locality", look).count(1) == 3, "where waiting would make the build longer, bytes move"


def test_ties_of_dask_like_go_to_who_was_given_least_then_to_the_lowest_number() -> None:
    look = two([1.0, 1.0, 1.0], [0], [[]] * 3)
    look.add_files([10])
    look.add_steps([1.0] * 2, [[1]] * 2, [[]] * 2)
    look.hold(0, [1])
    look.hold(1, [1])
    strategy = STRATEGIES["dask-like"]()
    assert strategy.choose(3, look, 0.0).pod == 0
    look.give(0, 0, 0.0)
    look.started(0, 0.0)
    look.finished(0, 1.0)
    assert strategy.choose(3, look, 1.0) == Decision(3, 1, (0.0, 0.0))
    look.give(3, 1, 1.0)
    assert strategy.choose(4, look, 1.0) == Decision(4, 0, (0.0, 0.0))


def test_inputs_without_a_byte_draw_nobody() -> None:
    look = two([4.0, 1.0], [0], [[], [0]])
    look.give(0, 0, 0.0)
    assert STRATEGIES["max-locality"]().choose(1, look, 0.0) == Decision(1, 1, (0.0, 0.0))


def test_of_more_pods_than_are_compared_the_holders_and_the_least_loaded_are() -> None:
    look = Outlook(egress=False)
    for pod in range(PODS_COMPARED_MAX + 6):
        look.pod_is(f"p{pod:03}", 1, 10.0, 0.0)
    look.add_files([1000, 5])
    look.hold(69, [0])
    look.add_steps([1.0] * 3, [[0], [1], [0]], [[]] * 3)
    strategy = STRATEGIES["earliest-finish"]()
    assert strategy.choose(0, look, 0.0) == Decision(0, 69, (1.0, 0.0))
    look.give(0, 0, 0.0)
    assert strategy.choose(1, look, 0.0) == Decision(1, 1, (1.5, 5.0)), "pod 0 is busy, nobody holds it"
    assert STRATEGIES["max-locality"]().choose(2, look, 0.0).pod == 69, "the copy on its way counts too, but pod 0 has no slot"


def test_a_file_that_nearly_all_pods_hold_still_counts() -> None:
    look = Outlook(egress=False)
    for pod in range(40):
        look.pod_is(f"p{pod:02}", 1, 10.0, 0.0)
    look.add_files([1000, 10])
    for pod in range(35):
        look.hold(pod, [0])
    look.hold(39, [1])
    look.add_steps([1.0], [[0, 1]], [[]])
    look.rank_steps([[]])
    decision = Locality().choose(0, look, 0.0)
    assert decision.pod < 35 and decision.values[3] == 10.0


def test_a_step_is_drawn_to_where_the_other_inputs_of_its_readers_lie() -> None:
    def chosen(lookahead: float) -> int:
        look = Outlook(egress=False)
        for pod in "abc":
            look.pod_is(pod, 1, 10.0, 0.0)
        look.add_files([500, 100])
        look.hold(2, [0])
        look.add_steps([1.0, 1.0], [[], [0, 1]], [[1], []])
        look.rank_steps([[1], []])
        return Locality(weights=Weights(lookahead=lookahead)).choose(0, look, 0.0).pod

    assert [chosen(0.0), chosen(1.0)] == [0, 2]


def test_many_worlds_have_ties_and_gone_pods() -> None:
    """The worlds above are not all simple ones."""
    worlds = [world(random.Random(number).getrandbits(30)) for number in range(200)]
    assert sum(len(known.plain.alive) < len(known.plain.pods) for known in worlds) > 30
    assert sum(len(known.todo) > 3 for known in worlds) > 50
    assert sum(any(step.state == "runs" for step in known.plain.steps) for known in worlds) > 30
