"""The decision log: from what was told alone everything is decided again, byte for byte; a changed strategy and damage are noticed."""

import json
import random
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmarks.simulate import Config, simulate
from benchmarks.synthetic import layered
from cpods.scheduler.allotment import Allotment, Decided, Stolen
from cpods.scheduler.decisions import Chronicle, decisions, replay
from cpods.scheduler.outlook import Outlook
from cpods.scheduler.placement import STRATEGIES, Locality, Weights
from tests.helpers.placementworlds import graph

EVERY = pytest.mark.parametrize("name", sorted(STRATEGIES))
PODS = "abcde"


class Day:
    """All that can be told, in any order that makes sense: pods come and go, files spread and turn out larger, steps come back."""

    def __init__(self, name: str, seed: int, keep: Callable[[bytes], None] | None) -> None:
        self.draw = draw = random.Random(seed)
        self.look = Outlook(draw.random() < 0.5, draw.random() < 0.8)
        self.told = Chronicle(Allotment(STRATEGIES[name](seed), self.look, ahead=draw.choice([0, 2, None])), keep)
        self.graph = graph(draw, 30)
        self.new, self.out, self.done = list(range(30)), set[int](), set[int]()
        self.now = 0.0

    def live(self) -> Chronicle:
        told, made, draw = self.told, self.graph, self.draw
        told.add_files(made.size)
        told.add_steps(made.seconds, made.inputs, made.outputs)
        told.rank_steps(made.followers)
        told.name_steps(0, [f"step {number}" for number in range(30)])
        for _ in range(150):
            self.now += draw.choice([0.0, 0.1, 1 / 3, 2.0])
            if not self.look.pods or draw.random() < 0.4:
                self.news_of_the_world()
            elif draw.random() < 0.5:
                self.news_of_steps()
            elif self.new:
                some, self.new = self.new[:5], self.new[5:]
                told.ready(some, self.now, set(draw.sample(range(5), 3)) if draw.random() < 0.3 else None)
            self.out.update(step for step, _ in told.hand_out(self.now))
        told.close()
        return told

    def news_of_the_world(self) -> None:
        draw, told, made = self.draw, self.told, self.graph
        what, file, pods = draw.randrange(6), draw.randrange(len(made.size)), len(self.look.pods)
        if what == 0 or not pods:
            told.pod_is(draw.choice(PODS), draw.randrange(4), draw.choice([0.0, 8.0, 1e7 / 3]), self.now, draw.randrange(3))
        elif what == 1:
            self.new += told.pod_gone(draw.randrange(pods), self.now)
            self.out &= {step for step in range(30) if self.look.placed[step] >= 0}
        elif what == 2:
            told.hold(draw.randrange(pods), [file])
            told.drop(draw.randrange(pods), [draw.randrange(len(made.size))])
        elif what == 3:
            told.resize(file, draw.randrange(1000))
        elif what == 4 and self.new:
            step = self.new[-1]
            told.reads(step, draw.sample(range(len(made.size)), 3))
            told.makes(step, made.outputs[step])
            told.expect([step], draw.random() * 5)
        elif what == 5:
            told.set_ahead(draw.choice([0, 1, 3]))

    def news_of_steps(self) -> None:
        draw, told = self.draw, self.told
        what, out = draw.randrange(5), sorted(self.out)
        if what == 0 and self.done:
            step = min(self.done)
            told.undone(step)
            self.done.discard(step)
            self.new.append(step)
        elif what == 1 and out:
            step = draw.choice(out)
            told.came_back(step, self.now)
            self.out.discard(step)
            self.new.append(step)
        elif what == 2 and self.new and self.look.alive:
            step = self.new.pop(0)
            told.assigned(step, draw.choice(self.look.alive), self.now)
            self.out.add(step)
        elif what == 3:
            told.reconsider(self.now)
        elif out:
            step = draw.choice(out)
            told.finished(step, self.now)
            self.out.discard(step)
            self.done.add(step)


def a_day(name: str, seed: int, keep: Callable[[bytes], None] | None) -> Chronicle:
    return Day(name, seed, keep).live()


def log_of(name: str, seed: int) -> bytes:
    parts: list[bytes] = []
    told = a_day(name, seed, parts.append)
    assert told.size == len(b"".join(parts))
    return b"".join(parts)


@EVERY
@given(seed=st.integers(0, 1 << 40))
@settings(max_examples=20, deadline=None)
def test_a_log_decides_again_byte_for_byte(name: str, seed: int) -> None:
    log = log_of(name, seed)
    assert replay(log) == log


@EVERY
def test_days_are_not_dull(name: str) -> None:
    kinds = {json.loads(line)[0] for seed in range(12) for line in log_of(name, seed).splitlines()}
    told = {kind for kind, method in vars(Chronicle).items() if callable(method) and not kind.startswith("_") and kind != "close"}
    assert kinds == told | {"begun", "decided", "sent"} | ({"stolen"} if name == "locality" else set())


@EVERY
@pytest.mark.parametrize(
    "config",
    [
        Config(pods=4, slots=2, bandwidth=2e5, deaths=3, sigma=0.7, stragglers=0.1, egress=True),
        Config(pods=3, slots=1, bandwidth=1e6, held=True, origin="one"),
        Config(pods=5, slots=1, bandwidth=1e5, sigma=1.0, ahead=0, driver="counting"),
    ],
    ids=["deaths", "held", "wrong"],
)
def test_a_simulated_build_is_decided_again_from_its_log(name: str, config: Config) -> None:
    parts: list[bytes] = []
    found = simulate(layered(120), name, config, parts.append)
    log = b"".join(parts)
    assert replay(log) == log
    assert found.log_bytes == len(log) < 1000 * found.steps
    made = list(decisions(log))
    assert sum(isinstance(one, Decided) for one in made) >= found.decisions
    assert sum(isinstance(one, Stolen) for one in made) == found.stolen
    terms = STRATEGIES[name]().terms
    assert all(len(one.values) == len(terms) for one in made if isinstance(one, Decided))


def test_without_a_reader_nothing_is_written_and_the_same_is_decided() -> None:
    parts: list[bytes] = []
    silent, loud = a_day("locality", 5, None), a_day("locality", 5, parts.append)
    assert (silent.size, silent.stolen) == (0, loud.stolen)
    assert silent.look.placed == loud.look.placed and silent.look.where == loud.look.where


@pytest.mark.parametrize("other", sorted(set(STRATEGIES) - {"locality"}))
def test_a_changed_strategy_is_noticed(other: str) -> None:
    log = log_of("locality", 5)
    assert replay(log, {"locality": STRATEGIES[other]}) != log


def test_changed_weights_are_noticed_and_a_strategy_of_ones_own_is_replayed() -> None:
    log = log_of("locality", 5)

    def dearer(seed: int = 0) -> Locality:
        return Locality(seed, Weights(price=50.0))

    assert replay(log, {"locality": dearer}) != log
    mine = log.replace(b'"locality"', b'"mine"', 1)
    with pytest.raises(ValueError, match="no decision log of a strategy"):
        replay(mine)
    assert replay(mine, {"mine": Locality}) == log


def test_a_changed_answer_is_noticed() -> None:
    log = log_of("earliest-finish", 3)
    line = next(line for line in log.splitlines() if line.startswith(b'["decided"'))
    kind, step, pod, values = json.loads(line)
    changed = log.replace(line, json.dumps([kind, step, pod + 1, values]).encode())
    assert changed != log and replay(changed) == log


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (b"", "no decision log"),
        (b"\n", "line 1: .* JSON array"),
        (b"hello\n", "line 1: .* JSON array"),
        (b"[]\n", "line 1: .* what happened"),
        (b"[[1]]\n", "line 1: .* what happened"),
        (b'{"begun": 1}\n', "line 1: .* JSON array"),
        (b'["begun"]\n', "no decision log"),
        (b'["begun",["locality"],0,true,true,2,true]\n', "no decision log"),
        (b'["pod_is","a",1,1.0,0.0,0]\n', "no decision log"),
        (b'["begun","locality",0,true,true,2,true]\n["begin"]\n', "line 2: .* no line 'begin'"),
        (b'["begun","locality",0,true,true,2,true]\n["close"]\n', "line 2: .* no line 'close'"),
        (b'["begun","locality",0,true,true,2,true]\n["finished",3,0.0]\n', "line 2: 'finished' does not fit"),
        (b'["begun","locality",0,true,true,2,true]\n["hand_out"]\n', "line 2: 'hand_out' does not fit"),
    ],
)
def test_what_is_no_log_is_refused_in_one_sentence(log: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replay(log)


WHOLE = log_of("locality", 1)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_log_is_refused_or_does_not_replay_the_same(data: st.DataObject) -> None:
    lines = WHOLE.splitlines(keepends=True)
    place = data.draw(st.integers(0, len(lines) - 1))
    line = lines[place]
    how = data.draw(st.sampled_from(["lost", "twice", "cut", "changed"]))
    if how == "lost":
        lines[place] = b""
    elif how == "twice":
        lines[place] = line * 2
    elif how == "cut":
        lines[place] = line[: data.draw(st.integers(1, len(line) - 2))]
    else:
        value = json.loads(line)
        assume(len(value) > 1)
        value[data.draw(st.integers(1, len(value) - 1))] = data.draw(st.sampled_from([None, "x", [], 3, -1, {}]))
        lines[place] = json.dumps(value).encode() + b"\n"
    damaged = b"".join(lines)
    try:
        again = replay(damaged)
    except ValueError as error:
        assert "\n" not in str(error)
        return
    told = json.loads(line)[0] not in ("decided", "stolen", "sent")
    assert again != damaged or told, "only what was told may be another story; an answer that nobody gave is noticed"
