"""The shortest circles of a knot: why its steps are one. By networkx, which is loaded for this and for nothing else.

Knows steps' names and the edges of a picture only. circles.py tells which steps form a knot; no build needs more than that.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from cpods.graph.render import Circle, Edge, Picture
from cpods.ids import FilePath

if TYPE_CHECKING:
    import networkx as nx

#: What a step waits for: (step, path, the steps that make it).
Need = tuple[str, FilePath, Sequence[str]]

_NEEDS_SHOWN = 3
#: Circles are looked for from so many steps at most: nobody reads more, and each is a search of its own.
_STARTS_MAX = 100

#: Where the search ends: the step that it began at, seen as another one. No step has an empty name.
_END = ""


def circled(picture: Picture) -> Picture:
    """The picture with each knot's circles."""
    knots = (msgspec.structs.replace(knot, circles=shortest_circles(knot.steps, picture.edges)) for knot in picture.knots)
    return msgspec.structs.replace(picture, knots=tuple(knots))


def shortest_circles(members: Sequence[str], edges: Sequence[Edge]) -> tuple[Circle, ...]:
    """The shortest circle through any member, then those that hold members which none before it holds, by length.

    ``members`` in pass order, of which ties and a circle's beginning are chosen. All members that lie on a circle are held;
    in a knot of more than 100 steps, all of the first 100. Presumed edges are used only where known ones make no circle.
    """
    search = _Search(members, edges)
    circles = filter(None, map(search.through, members[:_STARTS_MAX]))
    found: list[Circle] = []
    held: set[str] = set()
    for circle in sorted(circles, key=len):
        makers = {edge.maker for edge in circle}
        if not makers <= held:
            held |= makers
            found.append(circle)
    return tuple(found)


def shortest_circle(member: str, members: Sequence[str], edges: Sequence[Edge]) -> Circle:
    """The shortest circle through one member of a knot, beginning there; empty if it lies on none (a helper may not)."""
    return _turned(_Search(members, edges).through(member), (member,))


def in_circle(needs: Sequence[Need]) -> list[Need]:
    """Of all that steps wait for, a short circle of steps that wait for each other; everything if there is none, or little."""
    if len(needs) <= _NEEDS_SHOWN:
        return list(needs)
    edges = [Edge(maker, step, (path,)) for step, path, makers in needs for maker in makers]
    names = list(dict.fromkeys(step for step, _, _ in needs))
    found = shortest_circles(names, edges)
    inside = {(edge.reader, *edge.paths) for circle in found[:1] for edge in circle}
    return [need for need in needs if (need[0], need[1]) in inside] or list(needs)


class _Search:
    def __init__(self, members: Sequence[str], edges: Sequence[Edge]) -> None:
        self._members = members
        self._graph = _graph(members, edges)

    def through(self, name: str) -> Circle:
        """The shortest circle through a step; empty if there is none."""
        import networkx as nx

        graph = self._graph
        graph.add_node(_END)
        graph.add_edges_from((maker, _END, data) for maker, data in graph.pred[name].items())
        try:
            _, way = nx.bidirectional_dijkstra(graph, name, _END, "weight")
        except nx.NetworkXNoPath:
            return ()
        finally:
            graph.remove_node(_END)
        return _turned(tuple(self._edges([*way[:-1], name])), self._members)

    def _edges(self, way: Sequence[str]) -> Iterator[Edge]:
        for maker, reader in zip(way, way[1:], strict=False):
            yield self._graph.edges[maker, reader]["edge"]


def _graph(members: Sequence[str], edges: Sequence[Edge]) -> "nx.DiGraph[str]":
    """The members and the edges among them; a presumed edge is longer than all known ones together."""
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(members)
    inside = set(members)
    for edge in edges:
        if edge.maker in inside and edge.reader in inside and not graph.has_edge(edge.maker, edge.reader):
            graph.add_edge(edge.maker, edge.reader, edge=edge, weight=len(inside) + 1 if edge.presumed else 1)
    return graph


def _turned(circle: Circle, order: Sequence[str]) -> Circle:
    """The circle, begun at the first of its steps in some order."""
    makers = [edge.maker for edge in circle]
    start = next((makers.index(name) for name in order if name in makers), 0)
    return circle[start:] + circle[:start]
