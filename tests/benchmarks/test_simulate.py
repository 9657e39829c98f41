"""The simulation: builds that can be worked out by hand, and what holds for every build."""

import json
import random
from collections.abc import Collection, Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulate import Config, Deadlock, Outcome, lower_bound, main, simulate
from benchmarks.synthetic import layered
from benchmarks.workload import Workload, check
from cpods.scheduler.outlook import Outlook
from cpods.scheduler.placement import STRATEGIES, Decision, Locality

EVERY = pytest.mark.parametrize("name", sorted(STRATEGIES))


class Told(Locality):
    """Each step goes to the pod that the test says."""

    name = "told"
    steals = False

    def __init__(self, pods: Mapping[int, int]) -> None:
        super().__init__()
        self.pods = pods

    def choose(self, step: int, look: Outlook, now: float, allowed: Collection[int] | None = None) -> Decision:
        return Decision(step, self.pods[step])


#: Two steps, the first of which reads file 0 (100 bytes), and a third that reads what they make (50 and 20 bytes).
JOIN = Workload("join", [2.0, 3.0, 1.0], [[0], [], [1, 2]], [[1], [2], [3]], [100, 50, 20, 10], [[2], [2], []])
#: Two pods of one slot that pull ten bytes a second; all external files lie on the first.
TWO = Config(pods=2, slots=1, bandwidth=10.0, origin="one")


def built(workload: Workload, pods: Mapping[int, int], config: Config = TWO, **changed: object) -> tuple[float, int, int]:
    """Makespan, bytes moved, fetches."""
    found = simulate(check(workload), Told(pods), msgspec.structs.replace(config, **changed))
    assert found.runs == found.steps == found.decisions == len(workload.runtime)
    return found.makespan, found.moved_bytes, found.fetches


def test_a_step_waits_for_what_its_pod_lacks() -> None:
    # 0 to 2 and 0 to 3; then 20 bytes take until 5; then one second.
    assert built(JOIN, {0: 0, 1: 1, 2: 0}) == (6.0, 20, 1)
    # 100 bytes until 10, runs until 12; 50 bytes until 17; one second.
    assert built(JOIN, {0: 1, 1: 0, 2: 0}) == (18.0, 150, 2)
    assert built(JOIN, {0: 0, 1: 0, 2: 0}) == (6.0, 0, 0)
    # The third reads both one after the other over its own link: 3 + 5 + 2, then one second.
    assert built(JOIN, {0: 0, 1: 0, 2: 1}) == (5.0 + 7.0 + 1.0, 70, 2)


def test_each_file_takes_the_latency_besides() -> None:
    assert built(JOIN, {0: 0, 1: 1, 2: 0}, latency=0.5) == (6.5, 20, 1)
    assert built(JOIN, {0: 1, 1: 0, 2: 0}, latency=0.5) == (19.0, 150, 2)


def test_a_fast_pod_needs_less_time_for_steps_not_for_bytes() -> None:
    assert built(JOIN, {0: 0, 1: 1, 2: 1}, speeds=(1.0, 2.0)) == (2.0 + 5.0 + 0.5, 50, 1)


def test_the_figures_of_a_build() -> None:
    found = simulate(JOIN, Told({0: 0, 1: 1, 2: 0}), TWO)
    assert (found.edge_bytes, found.steps, found.stolen, found.lower_bound) == (170, 3, 0, 4.0)
    assert (lower_bound(JOIN, 1), lower_bound(JOIN, 2)) == (6.0, 4.0)


#: The first reads 100 bytes and takes two seconds, the second reads nothing and takes one.
PAIR = Workload("pair", [2.0, 1.0], [[0], []], [[], []], [100], [[], []])


def test_a_slot_is_held_while_inputs_come_or_given_to_who_can_start() -> None:
    assert built(PAIR, {0: 1, 1: 1}) == (12.0, 100, 1), "the second runs while the first waits"
    assert built(PAIR, {0: 1, 1: 1}, held=True) == (13.0, 100, 1), "the second waits for the slot of the first"
    assert built(PAIR, {0: 1, 1: 1}, ahead=0) == (13.0, 100, 1), "the second is not at the pod yet"


def test_a_copy_is_pulled_once_and_serves_all_that_come_later() -> None:
    twice = Workload("twice", [1.0, 1.0], [[0], [0]], [[], []], [100], [[], []])
    assert built(twice, {0: 1, 1: 1}) == (12.0, 100, 1)
    assert built(twice, {0: 1, 1: 1}, slots=2) == (11.0, 100, 1)


def test_a_holder_may_serve_one_after_the_other() -> None:
    same = Workload("same", [1.0, 1.0], [[0], [0]], [[], []], [100], [[], []])
    chain = Workload("chain", [1.0, 1.0, 1.0], [[0], [0], [0]], [[], [], []], [100], [[1], [2], []])
    three = msgspec.structs.replace(TWO, pods=3)
    assert built(same, {0: 1, 1: 2}, three) == (11.0, 200, 2)
    assert built(same, {0: 1, 1: 2}, three, egress=True) == (21.0, 200, 2)
    # The second pod has it whole at 10 and runs until 11; then pod 0 (free since 10) serves pod 2 until 21; it runs until 22.
    assert built(chain, {0: 1, 1: 2, 2: 0}, three, egress=True) == (23.0, 200, 2)


def test_a_file_that_is_made_later_is_external_to_who_reads_it_before() -> None:
    early = Workload("early", [1.0, 1.0], [[0], []], [[], [0]], [100], [[1], []])
    assert built(early, {0: 1, 1: 1}) == (12.0, 100, 1)


def test_a_straggler_takes_longer_and_nobody_knows_before() -> None:
    found = simulate(JOIN, Told({0: 0, 1: 1, 2: 0}), msgspec.structs.replace(TWO, stragglers=1.0, straggling=3.0))
    assert (found.makespan, found.lower_bound) == (9.0 + 2.0 + 3.0, 4.0)


def test_a_circle_never_starts() -> None:
    with pytest.raises(Deadlock, match="2 steps never started"):
        simulate(Workload("circle", [1.0, 1.0], [[], []], [[], []], [], [[1], [0]]), "random", Config(driver="counting"))


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(KeyError):
        simulate(JOIN, "best")


# -- what holds for every build ----------------------------------------------------------------------------------------


def drawn(draw: random.Random) -> Workload:
    """Up to 25 steps; some files are empty, some are made after a step that reads them, some runtimes are 0."""
    steps, external = draw.randint(1, 25), draw.randint(0, 4)
    inputs, followers = [], [[] for _ in range(steps)]
    for step in range(steps):
        reads = draw.sample(range(external), draw.randint(0, min(2, external)))
        for other in draw.sample(range(step), min(step, draw.randint(0, 3))):
            reads.append(external + other)
            followers[other].append(step)
        if step + 1 < steps and draw.random() < 0.1:
            reads.append(external + draw.randrange(step + 1, steps))
        inputs.append(sorted(reads))
    runtime = [draw.choice([0.0, 1.0, 2.5, 6.0]) for _ in range(steps)]
    size = [draw.choice([0, 1, 50, 400]) for _ in range(external + steps)]
    return check(Workload("drawn", runtime, inputs, [[external + step] for step in range(steps)], size, followers))


def config(draw: random.Random, deaths: int = 0) -> Config:
    return Config(
        pods=draw.randint(1, 4),
        slots=draw.randint(1, 2),
        bandwidth=100.0,
        latency=draw.choice([0.0, 0.5]),
        origin=draw.choice(["hash", "one"]),
        egress=draw.random() < 0.5,
        held=draw.random() < 0.2,
        ahead=draw.choice([0, 2, None]),
        sigma=draw.choice([0.0, 0.7]),
        stragglers=draw.choice([0.0, 0.2]),
        deaths=deaths,
        seed=draw.randrange(1000),
    )


def timeless(found: Outcome) -> Outcome:
    """Without the processor's time."""
    return msgspec.structs.replace(found, decision_seconds=0.0, handing_seconds=0.0, seconds=0.0)


def run(workload: Workload, name: str, config: Config) -> tuple[Outcome, bytes]:
    parts: list[bytes] = []
    return timeless(simulate(workload, name, config, parts.append)), b"".join(parts)


SEEDS = st.integers(0, 1 << 40)


@EVERY
@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_every_step_runs_once_and_no_build_beats_the_lower_bound(name: str, seed: int) -> None:
    draw = random.Random(seed)
    workload, setting = drawn(draw), config(draw)
    found, log = run(workload, name, setting)
    assert found.runs == found.steps == len(workload.runtime)
    assert found.makespan >= found.lower_bound * (1 - 1e-9)
    assert found.moved_bytes <= found.edge_bytes
    assert (found.moved_bytes, found.fetches) == moved(workload, log)
    assert run(workload, name, setting) == (found, log), "the same seed is the same build"


@EVERY
@given(seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_when_pods_die_all_is_done_nevertheless(name: str, seed: int) -> None:
    draw = random.Random(seed)
    workload, setting = drawn(draw), config(draw, deaths=draw.randint(1, 6))
    found, log = run(workload, name, setting)
    assert found.runs >= found.steps
    assert {json.loads(line)[1] for line in log.splitlines() if line.startswith(b'["finished"')} == {*range(found.steps)}
    assert (found.moved_bytes, found.fetches) == moved(workload, log)
    assert run(workload, name, setting) == (found, log)


def moved(workload: Workload, log: bytes) -> tuple[int, int]:
    """Bytes and files that must have moved, from who was sent where and who had what.

    No step is sent whose inputs are nowhere, none twice unless what it made is lost; what a step has made nobody else brings.
    """
    there: dict[int, set[int]] = {}
    placed: dict[int, int] = {}
    done, made, early = set[int](), set[int](), set[int]()
    total = fetches = 0
    for kind, *arguments in map(json.loads, log.splitlines()):
        if kind == "hold":
            there.setdefault(arguments[0], set()).update(arguments[1])
            early.update({*arguments[1]} - made)
            assert early.issuperset(arguments[1])
        elif kind == "pod_gone":
            there.pop(arguments[0], None)
        elif kind == "undone":
            done.remove(arguments[0])
        elif kind == "finished":
            done.add(arguments[0])
            made.update(workload.outputs[arguments[0]])
            there.setdefault(placed[arguments[0]], set()).update(workload.outputs[arguments[0]])
        elif kind == "sent":
            step, pod = arguments
            placed[step] = pod
            reads = {*workload.inputs[step]}
            assert step not in done
            assert all(any(file in held for held in there.values()) for file in reads), f"step {step} reads what nobody has"
            lacking = reads - there.setdefault(pod, set())
            there[pod] |= lacking
            total += sum(workload.size[file] for file in lacking)
            fetches += len(lacking)
    return total, fetches


@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_the_scheduler_s_core_and_plain_counting_make_the_same_build(seed: int) -> None:
    draw = random.Random(seed)
    workload, name = drawn(draw), draw.choice(sorted(STRATEGIES))
    setting = msgspec.structs.replace(config(draw, draw.choice([0, 0, 3])), held=False)
    assert run(workload, name, setting) == run(workload, name, msgspec.structs.replace(setting, driver="counting"))


def test_what_was_lost_with_its_pod_is_made_again() -> None:
    # One pod: each death takes all that was made; the chain begins again as far as somebody needs it.
    steps = 8
    chain = Workload(
        "chain", [1.0] * steps, [[step] for step in range(steps)], [[step + 1] for step in range(steps)], [10] * (steps + 1),
        [[step + 1] for step in range(steps - 1)] + [[]],
    )  # fmt: skip
    found, log = run(check(chain), "locality", Config(pods=1, slots=1, deaths=2, seed=3))
    deaths = [json.loads(line)[2] for line in log.splitlines() if line.startswith(b'["pod_gone"')]
    assert len(deaths) == 2 and 0 < deaths[0] < deaths[1] < steps
    # All eight once without a pause, behind the last death: external file 0 is brought once more, the rest is made.
    assert found.makespan == pytest.approx(deaths[1] + steps)
    assert found.runs == steps + sum(int(later - before) + 1 for before, later in zip([0.0, *deaths], deaths, strict=False))


def test_another_seed_is_another_build_where_something_is_drawn() -> None:
    workload = layered(60)
    setting = Config(pods=3, slots=1, bandwidth=1e5, sigma=0.7)
    assert run(workload, "locality", setting) != run(workload, "locality", msgspec.structs.replace(setting, seed=2))


def test_a_pod_that_took_what_waited_for_another_helps_when_estimates_are_wrong() -> None:
    workload = layered(300)
    setting = Config(pods=4, slots=2, bandwidth=1e6, sigma=0.7)
    alone = simulate(workload, "locality", msgspec.structs.replace(setting, steals=False))
    helped = simulate(workload, "locality", setting)
    assert alone.stolen == 0 < helped.stolen
    assert helped.makespan < alone.makespan


def test_bytes_against_time_as_the_strategies_promise() -> None:
    workload = layered(400)
    setting = Config(pods=8, slots=2, bandwidth=1e6)
    found = {name: simulate(workload, name, setting) for name in STRATEGIES}
    assert found["locality"].moved_bytes < 0.8 * found["earliest-finish"].moved_bytes
    assert found["locality"].makespan < 1.1 * found["earliest-finish"].makespan
    assert found["max-locality"].moved_bytes < found["locality"].moved_bytes
    assert found["max-locality"].makespan > 1.5 * found["locality"].makespan
    assert found["random"].moved_bytes > found["dask-like"].moved_bytes


def test_the_command_says_it_side_by_side_or_in_one_sentence_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layered:40", "--pods", "3", "--strategy", "locality", "--strategy", "random"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("layered:40:1: 40 steps; 3 pods x 4 slots")
    assert [line.split()[0] for line in said[2:]] == ["locality", "random"]
    assert main(["nothing:1"]) == 2
    assert capsys.readouterr().err.startswith("simulate: Workload 'nothing:1' is unknown")
