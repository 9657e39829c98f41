"""Files as placement counts them: a number for each artefact, for a path whose bytes nobody knows yet, for a whole source tree.

Knows no strategy and no step. Numbers are given in the order of asking; what is new is collected until it is told.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from cpods.ids import FilePath
from cpods.net.messages import Input
from cpods.scheduler.decisions import Chronicle


class Copies(Protocol):
    """Who has which artefact: the estate, as placement asks it."""

    def holders(self, digest: str) -> Sequence[str]:
        """Pods that can be reached and hold it, by name."""

    def is_here(self, digest: str) -> bool:
        """Whether it is in the own store."""


#: The own store among the pods: it serves what lies in it and takes no steps.
HERE = ""


class FileNumbers:
    """``sizes``: bytes of what has no number in the chronicle yet; :meth:`tell` gives it. ``size_of``: a product's last known size."""

    def __init__(self, copies: Copies, size_of: Callable[[FilePath], int | None]) -> None:
        self._copies = copies
        self._size_of = size_of
        self._by_digest: dict[str, int] = {}
        self._by_path: dict[FilePath, int] = {}
        self._digests: dict[int, str] = {}
        self._sizes: list[int] = []
        self._trees: dict[str, list[int]] = {}
        self._new_sizes: list[int] = []
        self._resized: dict[int, int] = {}
        self._held: dict[str, list[int]] = {}

    def planned(self, path: FilePath) -> int:
        """What stands, or will stand, at a path."""
        number = self._by_path.get(path)
        if number is None:
            number = self._by_path[path] = self._add(self._size_of(path) or 0)
        return number

    def known(self, path: FilePath, digest: str, size: int, is_new: bool = False) -> int:
        """An artefact that stands at a path: the path's number, if that had no bytes so far. ``is_new``: it was made just now."""
        number = self._by_digest.get(digest)
        if number is None:
            number = self._by_path.get(path, -1)
            if number < 0 or number in self._digests:
                number = self._add(size)
            elif self._sizes[number] != size:
                self._sizes[number] = self._resized[number] = size
            self._by_digest[digest] = number
            self._digests[number] = digest
            if not is_new:
                self._hold(number, self._holders(digest))
        self._by_path[path] = number
        return number

    def of_digest(self, digest: str) -> int | None:
        """The number of an artefact, if it has one."""
        return self._by_digest.get(digest)

    def tree(self, digest: str, files: Mapping[FilePath, Input]) -> list[int]:
        """All files of a source tree, those that the same pods hold in one number: who wants them wants all."""
        numbers = self._trees.get(digest)
        if numbers is None:
            sizes: dict[tuple[str, ...], int] = {}
            for row in files.values():
                holders = self._holders(row.digest)
                sizes[holders] = sizes.get(holders, 0) + row.size
            numbers = self._trees[digest] = []
            for holders, size in sorted(sizes.items()):
                if size:
                    numbers.append(self._add(size))
                    self._hold(numbers[-1], holders)
        return numbers

    def held_by(self, pod: str) -> list[int]:
        """Of all artefacts those that a pod holds."""
        return [number for number, digest in self._digests.items() if pod in self._holders(digest)]

    def forget(self, digest: str) -> int | None:
        """Nobody is known to hold it any more: when it is met again it is asked anew. The number that it had."""
        number = self._by_digest.pop(digest, None)
        if number is not None:
            self._trees.clear()
        return number

    def tell(self, chronicle: Chronicle, pod_number: Callable[[str], int | None]) -> None:
        """Tells what is new since the last time: files, sizes, who holds them. Pods without a number are passed over."""
        if self._new_sizes:
            chronicle.add_files(self._new_sizes)
            self._new_sizes = []
        for number, size in self._resized.items():
            chronicle.resize(number, size)
        self._resized.clear()
        for pod, numbers in self._held.items():
            told = pod_number(pod)
            if told is not None:
                chronicle.hold(told, numbers)
        self._held.clear()

    def _add(self, size: int) -> int:
        number = len(self._sizes)
        self._sizes.append(size)
        self._new_sizes.append(size)
        return number

    def _hold(self, number: int, pods: Iterable[str]) -> None:
        for pod in pods:
            self._held.setdefault(pod, []).append(number)

    def _holders(self, digest: str) -> tuple[str, ...]:
        return (*((HERE,) if self._copies.is_here(digest) else ()), *self._copies.holders(digest))
