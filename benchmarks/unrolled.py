"""Makes a workload of runs of steps, in the order in which they ran: what a knot did, unrolled pass by pass.

Knows no program and no folder: the runs are given, with what each read and wrote.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from benchmarks.workload import Workload


class Content(msgspec.Struct, frozen=True):
    """One version of one file; ``size`` in bytes."""

    path: str
    digest: str
    size: int


class Run(msgspec.Struct, frozen=True):
    """One run of a step. ``knot``: the name of its knot, "" for a plain step; ``turn``: the pass, counted from 1."""

    step: str
    seconds: float
    knot: str
    turn: int
    reads: list[str]
    writes: list[Content]


def unrolled(name: str, runs: Sequence[Run], source_size: Callable[[str], int | None]) -> Workload:
    """A step for each run and a file for each version of a path that a run read or made.

    A run waits for the runs that last wrote what it reads, and a pass of a knot for the pass before. Content that a run makes again is
    the same file, made by the first: nobody has to move it twice. ``source_size``: bytes of a file that no run made before it is read;
    None for what is not there.
    """
    board = _Board(source_size)
    made = [board.run(number, run) for number, run in enumerate(runs)]
    before = [sorted(waits | passed) for (_, _, waits), passed in zip(made, _passes(runs, [waits for _, _, waits in made]), strict=True)]
    followers: list[list[int]] = [[] for _ in runs]
    for number, waits in enumerate(before):
        for earlier in waits:
            followers[earlier].append(number)
    names = [f"pass {run.turn}: {run.step}" if run.knot else run.step for run in runs]
    seconds = [run.seconds for run in runs]
    return Workload(name, seconds, [reads for reads, _, _ in made], [writes for _, writes, _ in made], board.size, followers, names)


class _Board:
    """Which version of each path is there, and who made it, while the runs go by."""

    def __init__(self, source_size: Callable[[str], int | None]) -> None:
        self.size: list[int] = []
        self._source_size = source_size
        self._version: dict[str, int] = {}
        self._known: dict[Content, tuple[int, int]] = {}
        self._writers: dict[str, set[int]] = {}

    def run(self, number: int, run: Run) -> tuple[list[int], list[int], set[int]]:
        """The files that a run reads, those that it makes, and the runs that it waits for."""
        reads = [file for path in dict.fromkeys(run.reads) if (file := self._read(path)) is not None]
        waits = {writer for path in run.reads for writer in self._writers.get(path, ())}
        return reads, [file for content in run.writes if (file := self._write(number, content)) is not None], waits

    def _read(self, path: str) -> int | None:
        if path not in self._version:
            size = self._source_size(path)
            if size is None:
                return None
            self._version[path] = self._file(size)
        return self._version[path]

    def _write(self, number: int, content: Content) -> int | None:
        """The number of the file; None if a run made it before: then readers wait for that run too, which has the bytes."""
        known = self._known.get(content)
        if known is None:
            self._known[content] = known = (self._file(content.size), number)
        file, maker = known
        self._version[content.path] = file
        self._writers[content.path] = {maker, number}
        return file if maker == number else None

    def _file(self, size: int) -> int:
        self.size.append(size)
        return len(self.size) - 1


def _passes(runs: Sequence[Run], waits: Sequence[set[int]]) -> Iterable[set[int]]:
    """For each run those of the pass before that it waits for, read or not: no pass of a knot begins before the last ended."""
    members: dict[tuple[str, int], list[int]] = {}
    for number, run in enumerate(runs):
        if run.knot:
            members.setdefault((run.knot, run.turn), []).append(number)
    for number, run in enumerate(runs):
        own = set(members.get((run.knot, run.turn), ()))
        if not run.knot or waits[number] & own:
            yield set()
            continue
        yield set(members.get((run.knot, run.turn - 1), ()))
