"""Condenses a step graph to its components, in an order that is the same in every process.

Knows names and positions only. Sets have another order with each hash seed, so the order is made here from positions.
"""

import heapq
from collections.abc import Mapping, Set

from cpods.graph.circles import circles

Edges = Mapping[str, Set[str]]


def components(edges: Edges, rank: Mapping[str, int]) -> list[tuple[str, ...]]:
    """Strongly connected components in topological order, ties by rank; members of each by rank.

    ``edges`` maps a step to the steps that depend on it. What has no circle before it is peeled off (Kahn); only the rest is
    searched for circles.
    """
    parts: list[tuple[str, ...]] = [(name,) for name in rank]
    ordered = _ordered(parts, edges, rank)
    if len(ordered) == len(parts):
        return ordered
    peeled = {name for part in ordered for name in part}
    rest = [name for name in rank if name not in peeled]
    ordered += (tuple(sorted(found, key=rank.__getitem__)) for found in circles(rest, edges))
    return _ordered(ordered, edges, rank)


def _ordered(parts: list[tuple[str, ...]], edges: Edges, rank: Mapping[str, int]) -> list[tuple[str, ...]]:
    """The parts in topological order, ties by rank; what lies on or behind a circle of parts is left out."""
    part_of = {name: part for part in parts for name in part}
    followers: dict[tuple[str, ...], set[tuple[str, ...]]] = {part: set() for part in parts}
    waits = dict.fromkeys(parts, 0)
    for a, targets in edges.items():
        for b in targets:
            source, target = part_of[a], part_of[b]
            if source != target and target not in followers[source]:
                followers[source].add(target)
                waits[target] += 1
    heap = [(rank[part[0]], part) for part in parts if not waits[part]]
    heapq.heapify(heap)
    ordered = []
    while heap:
        _, part = heapq.heappop(heap)
        ordered.append(part)
        for follower in followers[part]:
            waits[follower] -= 1
            if not waits[follower]:
                heapq.heappush(heap, (rank[follower[0]], follower))
    return ordered
