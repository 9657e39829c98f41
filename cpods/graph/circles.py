"""Strongly connected components of a graph: Tarjan's algorithm (1972), without recursion.

Knows names and edges only. networkx does the same, and the tests compare with it; but to load it takes longer than a small
build, and to fill its graph longer than this whole search.
"""

from collections.abc import Iterable, Iterator, Mapping, Set

#: The mark of names whose component is known, and of strangers: higher than any number.
_DONE = 1 << 62


def circles(names: Iterable[str], edges: Mapping[str, Set[str]]) -> Iterator[list[str]]:
    """The components of the graph over ``names``, each after all that it leads to. Edges to other names do not count."""
    search = _Search(names, edges)
    for name, mark in search.marks.items():
        if not mark:
            yield from search.components_from(name)


class _Search:
    """``marks``: 0 for a name that was not seen yet, else its number, or the least number that it was found to lead back to."""

    def __init__(self, names: Iterable[str], edges: Mapping[str, Set[str]]) -> None:
        self.marks = dict.fromkeys(names, 0)
        self._edges = edges
        self._seen: list[str] = []  # without a component yet, in the order of their numbers
        self._count = 0

    def components_from(self, start: str) -> Iterator[list[str]]:
        """Components of all that a name leads to, itself included, as far as they are not known."""
        marks = self.marks
        way = [self._enter(start)]
        while way:
            name, number, followers = way[-1]
            fresh = self._fresh(name, followers)
            if fresh is not None:
                way.append(self._enter(fresh))
                continue
            way.pop()
            if marks[name] == number:
                yield self._close(name)
            elif marks[name] < marks[way[-1][0]]:
                marks[way[-1][0]] = marks[name]

    def _enter(self, name: str) -> tuple[str, int, Iterator[str]]:
        self._count += 1
        self.marks[name] = self._count
        self._seen.append(name)
        return name, self._count, iter(self._edges.get(name, ()))

    def _fresh(self, name: str, followers: Iterator[str]) -> str | None:
        """The next follower that was not seen yet; those before it tell how far back ``name`` leads."""
        marks = self.marks
        for other in followers:
            mark = marks.get(other, _DONE)
            if not mark:
                return other
            if mark < marks[name]:
                marks[name] = mark
        return None

    def _close(self, first: str) -> list[str]:
        """All that were seen since ``first`` are its component."""
        place = len(self._seen) - 1
        while self._seen[place] != first:
            place -= 1
        found = self._seen[place:]
        del self._seen[place:]
        for name in found:
            self.marks[name] = _DONE
        return found
