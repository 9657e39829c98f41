"""Components and orders are the same in every process, whatever the hash seed; the graph groups, orders and presumes as told."""

import json
import os
import random
import subprocess
import sys

import pytest

from cpods.graph.build import Traffic, build, makers, might_make, needed
from cpods.graph.condense import components
from cpods.graph.order import pass_order
from cpods.model import Step
from tests.helpers.bench import step

PROGRAM = """
import json, random
from cpods.graph.condense import components
rng = random.Random(7)
answer = []
for _ in range(60):
    names = [f"n{i}" for i in range(rng.randint(1, 14))]
    rng.shuffle(names)
    edges = {a: {b for b in names if rng.random() < 0.15} for a in names}
    answer.append(components(edges, {name: place for place, name in enumerate(names)}))
print(json.dumps(answer))
"""


def test_components_do_not_depend_on_the_hash_seed() -> None:
    answers = []
    for hash_seed in ("1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        answers.append(subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True).stdout)
    assert answers[0] == answers[1] and len(json.loads(answers[0])) == 60


def test_components_are_strongly_connected_and_in_order() -> None:
    rng = random.Random(3)
    for _ in range(200):
        names = [f"n{i}" for i in range(rng.randint(1, 9))]
        edges = {a: {b for b in names if rng.random() < 0.2} for a in names}
        reach = {name: reachable(edges, name) for name in names}
        parts = components(edges, {name: place for place, name in enumerate(names)})
        place = {name: index for index, part in enumerate(parts) for name in part}
        assert sorted(place) == sorted(names)
        for a in names:
            for b in names:
                assert (place[a] == place[b]) == (a == b or (b in reach[a] and a in reach[b]))
                assert b not in edges[a] or place[a] <= place[b]


def reachable(edges: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    todo = list(edges[start])
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += edges[name]
    return found


def test_ties_go_by_rank_and_members_too() -> None:
    rank = {"c": 0, "a": 1, "b": 2, "d": 3}
    assert components({"d": {"a"}, "a": {"d"}}, rank) == [("c",), ("a", "d"), ("b",)]


def names(steps: list[Step]) -> list[str]:
    return [each.name for each in steps]


def test_pass_order_puts_required_declared_edges_first() -> None:
    steps = [step("link", 0, inputs=("o",)), step("compile", 1, outputs=("o",)), step("last", 2)]
    assert names(pass_order(steps)) == ["compile", "link", "last"]


def test_optional_inputs_do_not_order_a_pass() -> None:
    assert names(pass_order([step("b", 1, outputs=("o",)), step("a", 0, optional=("o",))])) == ["a", "b"]


def test_a_circle_of_required_edges_is_cut_at_its_first_step() -> None:
    circle = [step(name, place, inputs=(needs,), outputs=(makes,)) for place, (name, needs, makes) in enumerate(("azx", "bxy", "cyz"))]
    assert names(pass_order(list(reversed(circle)))) == ["a", "b", "c"]


def table(*steps: Step, fresh: tuple[str, ...] = ()) -> tuple[dict[str, Step], dict[str, Traffic]]:
    """Steps by name and their declared traffic; engines in ``fresh`` never ran."""
    traffic = {s.name: Traffic(frozenset(s.inputs) | frozenset(s.optional), frozenset(s.outputs), s.name not in fresh) for s in steps}
    return {s.name: s for s in steps}, traffic


def nothing_there(path: str) -> bool:
    return False


def test_edges_go_from_makers_to_readers() -> None:
    steps, traffic = table(step("a", outputs=("x",)), step("b", 1, inputs=("x",)), step("c", 2, optional=("x",)))
    graph = build(steps, traffic, nothing_there)
    assert graph.hard["a"] == {"b", "c"} and not graph.soft and graph.maker == {"x": ("a",)}


def test_an_engine_that_never_ran_is_presumed_to_read_everything() -> None:
    steps, traffic = table(step("e", open_reads=True, outputs=("pdf",)), step("a", 1, outputs=("x.csv",)), fresh=("e",))
    graph = build(steps, traffic, nothing_there)
    assert graph.soft["a"] == {"e"} and graph.hard == {"e": set(), "a": set()} and graph.joined()["a"] == {"e"}


def test_and_to_make_what_others_lack() -> None:
    reader = step("a", 1, inputs=("list.txt",), outputs=("x",))
    steps, traffic = table(step("e", open_reads=True), reader, fresh=("e",))
    assert build(steps, traffic, nothing_there).soft["e"] == {"a"}
    assert "e" not in build(steps, traffic, lambda path: path == "list.txt").soft


@pytest.mark.parametrize(
    ("path", "expected"),
    [("out.txt", True), ("e.aux", True), ("other.aux", False), ("my.sty", False), ("noending", False), ("/abs.txt", False)],
)
def test_what_an_engine_may_be_presumed_to_make(path: str, expected: bool) -> None:
    assert might_make(step("e", open_reads=True, may_write=("e.",)), path) is expected


def test_needed_follows_makers_backwards() -> None:
    steps, traffic = table(step("a", outputs=("x",)), step("b", 1, inputs=("x",), outputs=("y",)), step("c", 2, outputs=("z",)))
    assert needed(["y"], steps, traffic, nothing_there) == {"a", "b"}
    assert needed(["x"], steps, traffic, nothing_there) == {"a"}


def test_an_engine_that_never_ran_may_need_every_step_that_is_no_engine() -> None:
    other = step("f", 2, open_reads=True)
    steps, traffic = table(step("e", open_reads=True, outputs=("pdf",)), step("a", 1, outputs=("x",)), other, fresh=("e",))
    assert needed(["pdf"], steps, traffic, nothing_there) == {"e", "a"}


def test_a_goal_that_nobody_is_known_to_make_may_come_from_a_fresh_engine() -> None:
    steps, traffic = table(step("e", open_reads=True), step("a", 1, outputs=("x",)), fresh=("e",))
    assert "e" in needed(["notes.txt"], steps, traffic, nothing_there)
    assert needed(["notes.txt"], steps, traffic, lambda path: True) == set()


def test_all_makers_of_a_path_are_known_in_order() -> None:
    traffic = {"b": Traffic(frozenset(), frozenset({"x"})), "a": Traffic(frozenset(), frozenset({"x", "y"}))}
    assert makers(traffic) == {"x": ("b", "a"), "y": ("a",)}
