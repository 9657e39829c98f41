"""The circles that make a knot one: real, shortest, enough to hold every member, and the same in every process."""

import os
import random
import subprocess
import sys
from collections import deque
from collections.abc import Sequence

from cpods.graph.circles import circles
from cpods.graph.render import Circle, Edge, Group, Picture, spelled
from cpods.graph.shortest import circled, in_circle, shortest_circle, shortest_circles

PROBE = """
import sys
from cpods.graph.render import Edge, spelled
from cpods.graph.shortest import shortest_circles
edges = [Edge(a, b, (a + b,)) for a in 'abcdef' for b in 'fedcba' if a != b]
print(*map(spelled, shortest_circles('abcdef', edges)), sep='\\n')
"""


def steps_of(circle: Circle) -> list[str]:
    return [edge.maker for edge in circle]


def arrows(*pairs: str, presumed: bool = False) -> list[Edge]:
    """Edges from texts such as ``ab``: from a to b, by a file ab."""
    return [Edge(pair[0], pair[1], () if presumed else (pair,), presumed=presumed) for pair in pairs]


def length_through(name: str, edges: Sequence[Edge]) -> int:
    """Edges of the shortest way from a step back to it, 0 if there is none: one step further at a time."""
    far, todo = {name: 0}, deque([name])
    while todo:
        here = todo.popleft()
        for edge in edges:
            if edge.maker == here and edge.reader == name:
                return far[here] + 1
            if edge.maker == here and edge.reader not in far:
                far[edge.reader] = far[here] + 1
                todo.append(edge.reader)
    return 0


def test_circles_are_real_and_shortest_and_hold_all_that_lies_on_one() -> None:
    rng = random.Random(7)
    for _ in range(200):
        names = [f"s{number}" for number in range(rng.randint(1, 9))]
        pairs = dict.fromkeys((rng.choice(names), rng.choice(names)) for _ in range(rng.randint(0, 16)))
        edges = [Edge(a, b, (f"{a}{b}",)) for a, b in pairs]
        found = shortest_circles(names, edges)
        for circle in found:
            assert set(circle) <= set(edges) and len(set(steps_of(circle))) == len(circle)
            assert all(a.reader == b.maker for a, b in zip(circle, (*circle[1:], circle[0]), strict=True))
            assert steps_of(circle)[0] == min(steps_of(circle), key=names.index)
        lengths = {name: length_through(name, edges) for name in names}
        assert {name for circle in found for name in steps_of(circle)} == {name for name, length in lengths.items() if length}
        for name in names:
            one = shortest_circle(name, names, edges)
            assert len(one) == lengths[name] and steps_of(one)[:1] == [name] * bool(one)
        knots = [part for part in circles(names, {a: {e.reader for e in edges if e.maker == a} for a in names}) if len(part) > 1]
        assert all(any(set(steps_of(circle)) <= set(knot) for circle in found) for knot in knots)


def test_each_circle_brings_a_step_that_none_before_it_had() -> None:
    found = shortest_circles("lbt", arrows("ll", "lb", "bl", "lt", "tl"))
    assert [spelled(circle) for circle in found] == ["l -(ll)-> l", "l -(lb)-> b -(bl)-> l", "l -(lt)-> t -(tl)-> l"]
    assert [steps_of(circle) for circle in shortest_circles("abc", arrows("ab", "bc", "ca"))] == [["a", "b", "c"]]


def test_what_is_only_presumed_counts_only_where_nothing_better_is_known() -> None:
    known, presumed = arrows("ab", "bc", "ca"), arrows("ba", presumed=True)
    assert steps_of(shortest_circle("a", "abc", known + presumed)) == ["a", "b", "c"]
    assert spelled(shortest_circle("a", "abc", known[:2] + presumed)) == "a -(ab)-> b -(?)-> a"


def test_a_helper_that_nobody_reads_lies_on_none_and_others_edges_do_not_count() -> None:
    assert shortest_circle("h", "ah", arrows("aa", "ah")) == ()
    assert shortest_circles("ab", arrows("ac", "ca", "ab")) == ()


def test_a_long_circle_is_found_at_once_and_cut_where_it_is_spelled() -> None:
    names = [f"s{number}" for number in range(600)]
    edges = [Edge(a, b, (a,)) for a, b in zip(names, [*names[1:], names[0]], strict=True)]
    (circle,) = shortest_circles(names, edges)
    text = spelled(circle)
    assert len(circle) == 600 and text.startswith("s0 -(s0)-> s1 ") and text.endswith("s599 -(s599)-> s0")
    assert " -> s596 " in text and "… 592 more steps …" in text


def test_the_hash_seed_does_not_matter() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", PROBE],
            env={**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1 and said.pop().count(b"\n") == 5


def test_a_picture_gets_the_circles_of_each_of_its_knots() -> None:
    drawn = circled(Picture((), tuple(arrows("ab", "ba", "bc", "cc")), (Group(("a", "b")), Group(("c",)))))
    assert [[steps_of(circle) for circle in knot.circles] for knot in drawn.knots] == [[["a", "b"]], [["c"]]]
    assert circled(Picture(())) == Picture(())


def test_of_many_steps_that_wait_a_short_circle_is_told() -> None:
    ring = [(f"s{number}", f"f{number}", (f"s{(number + 1) % 6}",)) for number in range(6)]
    short = [("p", "q.txt", ("q",)), ("q", "p.txt", ("p", "other"))]
    behind = [("s0", "p.txt", ("p",)), ("last", "f0", ("s0",))]
    assert in_circle([*ring, *behind]) == ring
    assert in_circle([*ring, *behind, *short]) == short
    assert in_circle(behind + short[:1]) == behind + short[:1]
    assert in_circle(ring[:5]) == ring[:5]
