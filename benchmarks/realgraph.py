"""The form of a workload that can really be run by others than cpods: each step makes one file, and what was external is made by a step.

Knows neither pods nor Dask: both are given the very graph that comes out of here.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.workload import Workload, order

#: No step of a real form takes less: a process that takes no time does not exist, and whoever decides by time alone (the simulator
#: does) would put all that take none on one pod.
LEAST_SECONDS = 0.01

_LETTERS = re.compile(r"[A-Za-z]+")


def scaled(workload: Workload, bytes_factor: float = 1.0, seconds_factor: float = 1.0) -> Workload:
    """The same graph with other sizes (at least one byte each) and runtimes."""
    return Workload(
        workload.name,
        [seconds * seconds_factor for seconds in workload.runtime],
        workload.inputs,
        workload.outputs,
        [max(1, round(size * bytes_factor)) for size in workload.size],
        workload.followers,
        workload.names,
    )


def real_form(workload: Workload) -> Workload:
    """A graph in which step i makes file i and nothing else, so that a task of Dask can stand for each step.

    A step's outputs become one file of their bytes together. External files that the same steps read become one file, which a
    step without inputs makes: whoever runs the graph decides where it lies. Every edge becomes a read of all that its
    step makes. A step stands behind all that it reads. Raises ValueError if the steps wait for each other in a circle.
    """
    sequence = order(workload)
    shared = _external(workload)
    number = {step: len(shared) + place for place, step in enumerate(sequence)}
    reads: list[list[int]] = [[] for _ in range(len(shared) + len(sequence))]
    for source, readers in enumerate(shared):
        for step in readers:
            reads[number[step]].append(source)
    for step in sequence:
        for follower in workload.followers[step]:
            reads[number[follower]].append(number[step])
    made = [sum(workload.size[file] for file in workload.outputs[step]) for step in sequence]
    size = [max(1, total) for total in (*shared.values(), *made)]
    return Workload(
        workload.name,
        [LEAST_SECONDS] * len(shared) + [max(LEAST_SECONDS, workload.runtime[step]) for step in sequence],
        [sorted(dict.fromkeys(files)) for files in reads],
        [[step] for step in range(len(size))],
        size,
        _readers(reads),
        _names(workload, len(shared), sequence),
    )


def _external(workload: Workload) -> Mapping[tuple[int, ...], int]:
    """Bytes of files that are there before the steps that read them run, by those readers; in the order of the files."""
    readers: list[list[int]] = [[] for _ in workload.size]
    waits = [set(followers) for followers in workload.followers]
    for step, files in enumerate(workload.inputs):
        for file in files:
            maker = workload.makers[file]
            if maker < 0 or step not in waits[maker]:
                readers[file].append(step)
    found: dict[tuple[int, ...], int] = {}
    for file, steps in enumerate(readers):
        if steps:
            found[tuple(steps)] = found.get(tuple(steps), 0) + workload.size[file]
    return found


def _readers(reads: Sequence[Iterable[int]]) -> list[list[int]]:
    """By file, which is by maker, who reads it."""
    found: list[list[int]] = [[] for _ in reads]
    for step, files in enumerate(reads):
        for file in dict.fromkeys(files):
            found[file].append(step)
    return found


def _names(workload: Workload, sources: int, sequence: Sequence[int]) -> list[str]:
    """Its kind and a number: the kind is what a recipe calls such steps, without the number that it gives them."""
    kinds = [_LETTERS.match(name) for name in workload.names] or [None] * len(workload.runtime)
    found = [f"source-{number}" for number in range(sources)]
    for step in sequence:
        kind = kinds[step]
        found.append(f"{kind[0] if kind else 'step'}-{step}")
    return found
