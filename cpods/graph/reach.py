"""What a change reaches: which steps read or make which files, in columns, and the steps that follow from changed files.

Knows no file system; files and steps are numbers here. A step follows from a file that it reads, looked for or makes; then
all that read what it makes, and the other steps of its declaration.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: Columns of numbers that say where a step's entries begin, and the entries of all steps.
Lists = tuple["array[int]", "array[int]"]


class Entry(NamedTuple):
    """One step: its name, the number of its declaration, files that it reads or looks for, files that it makes."""

    name: str
    declaration: int
    reads: Iterable[int]
    makes: Iterable[int]


class Reach:
    """The steps of a build, in project order, so that declarations never go down."""

    def __init__(self, names: list[str], declarations: "array[int]", reads: Lists, makes: Lists, files: int) -> None:
        self.names = names
        self._declarations = declarations
        self._reads = reads
        self._makes = makes
        self._files = files
        self._touching: Lists | None = None

    def declaration(self, step: int) -> int:
        """The number of a step's declaration."""
        return self._declarations[step]

    def reads(self, step: int) -> Sequence[int]:
        """Files that a step reads or looks for."""
        return _of(self._reads, step)

    def makes(self, step: int) -> Sequence[int]:
        """Files that a step makes."""
        return _of(self._makes, step)

    def touching(self, file: int) -> Sequence[int]:
        """Steps that read, look for or make a file."""
        if self._touching is None:
            self._touching = _inverse(self._files, self._reads, self._makes)
        return _of(self._touching, file)

    def reached(self, changed: Iterable[int], most: int) -> list[int] | None:
        """Steps that changed files lead to, in order; None if there are more than ``most``: then looking at all is as good."""
        found: set[int] = set()
        todo = list(changed)
        while todo:
            for step in self.touching(todo.pop()):
                if step not in found:
                    for sibling in self._siblings(step):
                        found.add(sibling)
                        todo += self.makes(sibling)
                    if len(found) > most:
                        return None
        return sorted(found)

    def _siblings(self, step: int) -> range:
        declaration = self._declarations[step]
        return range(bisect_left(self._declarations, declaration), bisect_right(self._declarations, declaration))

    def columns(self) -> tuple[list[str], bytes, tuple[bytes, bytes], tuple[bytes, bytes], int]:
        """Plain values that :func:`from_columns` takes."""
        reads, makes = ((starts.tobytes(), entries.tobytes()) for starts, entries in (self._reads, self._makes))
        return self.names, self._declarations.tobytes(), reads, makes, self._files


def reach_of(entries: Iterable[Entry], files: int) -> Reach:
    """The columns of these steps. ``files``: how many files there are."""
    names: list[str] = []
    declarations = array("I")
    reads: Lists = (array("I", [0]), array("I"))
    makes: Lists = (array("I", [0]), array("I"))
    for entry in entries:
        names.append(entry.name)
        declarations.append(entry.declaration)
        for lists, numbers in ((reads, entry.reads), (makes, entry.makes)):
            lists[1].extend(sorted(numbers))
            lists[0].append(len(lists[1]))
    return Reach(names, declarations, reads, makes, files)


def from_columns(columns: Sequence[object]) -> Reach:
    """What :meth:`Reach.columns` gave. Raises TypeError, ValueError."""
    names, declarations, reads, makes, files = columns
    assert isinstance(names, list) and isinstance(files, int)
    return Reach(names, _numbers(declarations), _lists(reads), _lists(makes), files)


def _lists(columns: object) -> Lists:
    assert isinstance(columns, tuple)
    return _numbers(columns[0]), _numbers(columns[1])


def _numbers(data: object) -> "array[int]":
    assert isinstance(data, bytes)
    found = array("I")
    found.frombytes(data)
    return found


def _of(lists: Lists, number: int) -> Sequence[int]:
    starts, entries = lists
    return entries[starts[number] : starts[number + 1]]


def _inverse(files: int, *several: Lists) -> Lists:
    """By file, the steps whose lists name it."""
    starts = array("I", bytes(4 * (files + 1)))
    for _, entries in several:
        for file in entries:
            starts[file + 1] += 1
    for file in range(files):
        starts[file + 1] += starts[file]
    filled = starts[:]
    found = array("I", bytes(4 * starts[files]))
    for begins, entries in several:
        for step in range(len(begins) - 1):
            for file in entries[begins[step] : begins[step + 1]]:
                found[filled[file]] = step
                filled[file] += 1
    return starts, found
