"""Draws a step graph as a tree, as Graphviz dot or as JSON: knots grouped, feedback edges distinct.

Knows no file and no build: steps, edges and knots come in, text goes out; the same picture always gives the same text.
"""

import json
from collections.abc import Mapping, Sequence, Set
from typing import Any

import msgspec

from cpods.ids import FilePath

VERSION = 1
_SOURCES_SHOWN = 6
_PATHS_SHOWN = 4
_CIRCLES_SHOWN = 4
_CIRCLE_STEPS_SHOWN = 8
#: A chain of thousands of steps does not move to the right for ever: the text would grow with its square.
_INDENT_MAX = 90


class Node(msgspec.Struct, frozen=True):
    """A step. ``sources``: files that it reads and no step makes; ``missing``: inputs that are not there and nobody makes.

    ``helper_of``: the engine that asked for this helper. ``state``: '' if nobody asked whether it is stale.
    """

    name: str
    chef: str
    tool: str
    outputs: tuple[FilePath, ...] = ()
    sources: tuple[FilePath, ...] = ()
    missing: tuple[FilePath, ...] = ()
    helper_of: str | None = None
    state: str = ""


class Edge(msgspec.Struct, frozen=True):
    """``maker`` writes ``paths``, ``reader`` reads them. ``feedback``: goes back in pass order, inside a knot.

    ``presumed``: the reader (or maker) is an engine that never ran, so nothing better is known; ``paths`` is empty then.
    """

    maker: str
    reader: str
    paths: tuple[FilePath, ...] = ()
    feedback: bool = False
    presumed: bool = False


#: A way from a step back to itself: each edge begins where the one before it ends.
Circle = tuple[Edge, ...]


class Group(msgspec.Struct, frozen=True):
    """A knot: its steps in pass order, and how it ended last (None: not known; NOSTART also without a run).

    ``circles``: what makes it a knot, the shortest ones that together hold its steps.
    """

    steps: tuple[str, ...]
    verdict: str | None = None
    passes: int | None = None
    circles: tuple[Circle, ...] = ()


class Picture(msgspec.Struct, frozen=True):
    """All that is drawn. ``nodes`` in project order; ``goals``: each wanted path with the step that makes it, if one does."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()
    knots: tuple[Group, ...] = ()
    goals: tuple[tuple[FilePath, str | None], ...] = ()


def connect(
    order: Sequence[str], reads: Mapping[str, Set[FilePath]], writes: Mapping[str, Set[FilePath]], knots: Sequence[Group]
) -> tuple[Edge, ...]:
    """The edges between steps by what they read and write, in the given order of readers and makers."""
    rank = {name: index for index, name in enumerate(order)}
    makers: dict[FilePath, list[str]] = {}
    for name in order:
        for path in writes[name]:
            makers.setdefault(path, []).append(name)
    place = {name: (number, index) for number, knot in enumerate(knots) for index, name in enumerate(knot.steps)}
    edges = []
    for reader in order:
        paths: dict[str, list[FilePath]] = {}
        for path in sorted(reads[reader]):
            for maker in makers.get(path, ()):
                paths.setdefault(maker, []).append(path)
        edges += [
            Edge(maker, reader, tuple(paths[maker]), feedback=_goes_back(place.get(maker), place.get(reader)))
            for maker in sorted(paths, key=rank.__getitem__)
        ]
    return tuple(edges)


def _goes_back(maker: tuple[int, int] | None, reader: tuple[int, int] | None) -> bool:
    return maker is not None and reader is not None and maker[0] == reader[0] and maker[1] >= reader[1]


def narrowed(picture: Picture, names: Set[str]) -> Picture:
    """The picture of some steps only, with the edges among them."""
    return Picture(
        nodes=tuple(node for node in picture.nodes if node.name in names),
        edges=tuple(edge for edge in picture.edges if edge.maker in names and edge.reader in names),
        knots=tuple(knot for knot in picture.knots if not names.isdisjoint(knot.steps)),
        goals=tuple((path, maker) for path, maker in picture.goals if maker in names),
    )


# -- tree ------------------------------------------------------------------------------------------------------------


def tree(picture: Picture) -> str:
    """Text with one branch a goal; each step is described once, knots as a group. Feedback edges start with ``~``."""
    return "\n".join(_Tree(picture).lines()) + "\n"


class _Tree:
    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._nodes = {node.name: node for node in picture.nodes}
        self._knot = {name: number for number, knot in enumerate(picture.knots) for name in knot.steps}
        self._into: dict[str, list[Edge]] = {}
        for edge in picture.edges:
            self._into.setdefault(edge.reader, []).append(edge)
        self._drawn: set[str | int] = set()
        self._lines: list[str] = []

    def lines(self) -> list[str]:
        for path, maker in self._picture.goals:
            self._lines.append(path if maker is not None else f"{path} (no step makes it)")
            if maker in self._nodes:
                self._branch(self._unit(maker))
        for node in self._picture.nodes:  # what no goal leads to: steps of a narrowed picture
            if self._unit(node.name) not in self._drawn:
                self._branch(self._unit(node.name))
        return self._lines or ["no step"]

    def _unit(self, name: str) -> str | int:
        return self._knot.get(name, name)

    def _branch(self, first: str | int) -> None:
        """Draws a unit and all that it needs; a stack instead of recursion, since chains may be long."""
        stack: list[tuple[str | int, str, bool]] = [(first, "", True)]
        while stack:
            unit, indent, is_last = stack.pop()
            head = indent + ("`- " if is_last else "|- ")
            inner = indent + ("   " if is_last else "|  ") if len(indent) < _INDENT_MAX else indent
            if unit in self._drawn:
                self._lines.append(f"{head}{self._name(unit)} (see above)")
                continue
            self._drawn.add(unit)
            self._lines.append(head + self._title(unit))
            self._describe(unit, inner)
            below = self._needs(unit)
            stack += [(other, inner, index == 0) for index, other in enumerate(reversed(below))]

    def _title(self, unit: str | int) -> str:
        if isinstance(unit, int):
            knot = self._picture.knots[unit]
            ended = f", {knot.verdict}" if knot.verdict else ""
            passes = f" after {_count(knot.passes, 'pass', 'passes')}" if knot.passes is not None else ""
            return f"knot of {_count(len(knot.steps), 'step', 'steps')}, in this order{ended}{passes}:"
        return _title(self._nodes[unit])

    def _name(self, unit: str | int) -> str:
        return f"knot of {_some(self._picture.knots[unit].steps, _PATHS_SHOWN)}" if isinstance(unit, int) else unit

    def _members(self, unit: str | int) -> list[str]:
        return [name for name in self._picture.knots[unit].steps if name in self._nodes] if isinstance(unit, int) else [unit]

    def _describe(self, unit: str | int, indent: str) -> None:
        if isinstance(unit, int):
            self._lines += [indent + text for text in _circles(self._picture.knots[unit].circles)]
        for name in self._members(unit):
            inner = indent
            if isinstance(unit, int):
                self._lines.append(f"{indent}* {_title(self._nodes[name])}")
                inner = indent + "    "
            self._lines += [inner + text for text in self._details(name)]

    def _details(self, name: str) -> list[str]:
        node = self._nodes[name]
        found = [f"reads {_some(node.sources, _SOURCES_SHOWN)}"] if node.sources else []
        found += [f"! needs {path}, which is not there and which no step makes" for path in node.missing]
        for edge in self._into.get(name, ()):
            if not edge.presumed:
                found.append(f"{'~' if edge.feedback else '<'} {_some(edge.paths, _PATHS_SHOWN)} from {edge.maker}")
        presumed = [edge.maker for edge in self._into.get(name, ()) if edge.presumed]
        return [*found, f"? presumably what {_some(presumed, _PATHS_SHOWN)} makes: not known before a run"] if presumed else found

    def _needs(self, unit: str | int) -> list[str | int]:
        makers = [edge.maker for name in self._members(unit) for edge in self._into.get(name, ()) if edge.maker in self._nodes]
        return [other for other in dict.fromkeys(map(self._unit, makers)) if other != unit]


def _circles(circles: Sequence[Circle]) -> list[str]:
    lines = [f"circle: {spelled(circle)}" for circle in circles[:_CIRCLES_SHOWN]]
    return [*lines, f"and {len(circles) - _CIRCLES_SHOWN} more circles"] if len(circles) > _CIRCLES_SHOWN else lines


def spelled(circle: Circle) -> str:
    """A circle as ``a -(file)-> b -(file)-> a``: steps, and what the next one reads. A long one is cut in the middle."""
    parts = [f"{edge.maker} -({_some(edge.paths, 1) if edge.paths else '?'})-> " for edge in circle]
    if len(parts) > _CIRCLE_STEPS_SHOWN:
        half = _CIRCLE_STEPS_SHOWN // 2
        parts[half:-half] = [f"… {len(parts) - 2 * half} more steps … -> "]
    return "".join(parts) + circle[0].maker


def _title(node: Node) -> str:
    helper = f", for {node.helper_of}" if node.helper_of else ""
    state = f" [{node.state}]" if node.state else ""
    return f"{node.name} ({node.tool}{helper}){state}"


def _some(names: Sequence[str], shown: int) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


# -- dot and JSON ----------------------------------------------------------------------------------------------------


def dot(picture: Picture) -> str:
    """A Graphviz graph: a cluster a knot, feedback edges dashed and red, presumed ones dotted and grey."""
    lines = ["digraph cpods {", "  rankdir=LR;", "  node [shape=box];"]
    grouped = {name for knot in picture.knots for name in knot.steps}
    nodes = {node.name: node for node in picture.nodes}
    for number, knot in enumerate(picture.knots):
        label = f"knot: {knot.verdict}" if knot.verdict else "knot"
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(label)};", "    style=rounded;"]
        lines += [f"    {_dot_node(nodes[name])}" for name in knot.steps if name in nodes]
        lines.append("  }")
    lines += [f"  {_dot_node(node)}" for node in picture.nodes if node.name not in grouped]
    lines += [f"  {_dot_edge(edge)}" for edge in picture.edges]
    for path, maker in picture.goals:
        lines.append(f"  {_quoted('goal ' + path)} [label={_quoted(path)}, shape=note];")
        if maker is not None:
            lines.append(f"  {_quoted(maker)} -> {_quoted('goal ' + path)};")
    return "\n".join([*lines, "}"]) + "\n"


def _dot_node(node: Node) -> str:
    looks = ""
    if node.missing:
        looks = ", color=red, xlabel=" + _quoted("needs " + _some(node.missing, _PATHS_SHOWN))
    elif node.state not in ("", "current"):
        looks = ", style=filled, fillcolor=lightyellow"
    label = f"{node.name}\n{node.tool}" + (f"\n{node.state}" if node.state else "")
    return f"{_quoted(node.name)} [label={_quoted(label)}{looks}];"


def _dot_edge(edge: Edge) -> str:
    looks = [f"label={_quoted(_some(edge.paths, _PATHS_SHOWN))}"] if edge.paths else []
    if edge.feedback:
        looks.append("style=dashed, color=red, constraint=false")
    elif edge.presumed:
        looks.append("style=dotted, color=grey")
    return f"{_quoted(edge.maker)} -> {_quoted(edge.reader)}" + (f" [{', '.join(looks)}]" if looks else "") + ";"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def as_json(picture: Picture) -> str:
    """One JSON object with a version; keys as in the structs of this module (``from``/``to`` for an edge's ends)."""
    number = {name: index for index, knot in enumerate(picture.knots) for name in knot.steps}
    steps: list[dict[str, Any]] = [msgspec.to_builtins(node) | {"knot": number.get(node.name)} for node in picture.nodes]
    whole = {
        "version": VERSION,
        "goals": [{"path": path, "step": maker} for path, maker in picture.goals],
        "steps": steps,
        "edges": [_edge(edge) for edge in picture.edges],
        "knots": [
            msgspec.to_builtins(knot) | {"circles": [[_edge(edge) for edge in circle] for circle in knot.circles]} for knot in picture.knots
        ],
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _edge(edge: Edge) -> dict[str, Any]:
    return {"from": edge.maker, "to": edge.reader, "paths": list(edge.paths), "feedback": edge.feedback, "presumed": edge.presumed}
