"""Components without networkx, which takes longer to load than a small build: the same, in the same order, as with it."""

import random
import subprocess
import sys

import networkx as nx
import pytest

from cpods.graph.circles import circles
from cpods.graph.condense import Edges, components

_ASKS = "import sys; from cpods.graph.condense import components; components({edges!r}, {rank!r}); print('networkx' in sys.modules)"


@pytest.mark.parametrize("edges", [{"a": {"b"}, "b": {"c"}}, {"a": {"a", "b"}}, {"a": {"b"}, "b": {"a"}}])
def test_networkx_is_not_loaded(edges: dict[str, set[str]]) -> None:
    code = _ASKS.format(edges=edges, rank={"a": 0, "b": 1, "c": 2})
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "False\n"


def graphs(seed: int, count: int) -> list[tuple[list[str], dict[str, set[str]]]]:
    """Random graphs: sparse and dense ones, with steps that nothing is known of, and edges to oneself."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        names = [f"n{number}" for number in range(rng.randint(1, 16))]
        rng.shuffle(names)
        density = rng.choice((0.04, 0.1, 0.2, 0.4))
        edges = {a: {b for b in names if rng.random() < density} for a in names if rng.random() < 0.9}
        made.append((names, edges))
    return made


def by_networkx(names: list[str], edges: Edges) -> list[tuple[str, ...]]:
    """Components in topological order, ties by the place of their first member in ``names``."""
    rank = {name: place for place, name in enumerate(names)}
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from((a, b) for a, followers in edges.items() for b in followers)
    whole = nx.condensation(graph)
    members = {part: tuple(sorted(whole.nodes[part]["members"], key=rank.__getitem__)) for part in whole}
    return [members[part] for part in nx.lexicographical_topological_sort(whole, key=lambda part: rank[members[part][0]])]


def test_components_and_their_order_are_those_of_networkx() -> None:
    found = 0
    for names, edges in graphs(5, 600):
        mine = components(edges, {name: place for place, name in enumerate(names)})
        assert mine == by_networkx(names, edges), (names, edges)
        found += any(len(part) > 1 for part in mine)
    assert found > 200


def test_circles_come_each_after_all_that_it_leads_to_and_strangers_do_not_count() -> None:
    for names, edges in graphs(6, 300):
        some = names[::2]
        inner = {a: followers & set(some) for a, followers in edges.items() if a in some}
        place = {name: index for index, part in enumerate(circles(some, edges)) for name in part}
        assert sorted(map(sorted, circles(some, edges))) == sorted(map(sorted, by_networkx(some, inner)))
        assert all(place[b] <= place[a] for a, followers in inner.items() for b in followers)


def test_a_long_circle_needs_no_recursion() -> None:
    names = [str(number) for number in range(5000)]
    edges = {name: {names[(place + 1) % len(names)]} for place, name in enumerate(names)}
    assert [len(part) for part in circles(names, edges)] == [5000]


def test_a_circle_elsewhere_does_not_change_the_order_of_the_rest() -> None:
    rank = {name: index for index, name in enumerate("cbaxy")}
    acyclic = {"a": {"b"}, "b": {"c"}}
    assert components(acyclic, rank) == [("a",), ("b",), ("c",), ("x",), ("y",)]
    assert components({**acyclic, "x": {"y"}, "y": {"x"}}, rank) == [("a",), ("b",), ("c",), ("x", "y")]
