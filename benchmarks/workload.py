"""What a workload is: a graph of steps with what each costs; and what can be said of it before it runs.

Knows neither where a workload comes from nor pods, links or strategies.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import msgspec


class Workload(msgspec.Struct, frozen=True, dict=True):
    """A graph of steps with what each costs. Steps and files are numbers from 0."""

    name: str
    #: Seconds, by step.
    runtime: list[float]
    #: Files that each step reads, each once.
    inputs: list[list[int]]
    #: Files that each step makes.
    outputs: list[list[int]]
    #: Bytes, by file.
    size: list[int]
    #: Steps that wait for each step. Explicit: a file may be made by a step that comes after its reader (WfCommons has such),
    #: then it is no edge, and external to that reader.
    followers: list[list[int]]
    #: Names of the steps, if they have any.
    names: list[str] = []

    @cached_property
    def predecessors(self) -> list[int]:
        """How many steps each step waits for."""
        count = [0] * len(self.runtime)
        for waiting in self.followers:
            for step in waiting:
                count[step] += 1
        return count

    @cached_property
    def makers(self) -> list[int]:
        """The step that makes each file; -1 for a file that no step makes. If several do: the last of them."""
        maker = [-1] * len(self.size)
        for step, files in enumerate(self.outputs):
            for file in files:
                maker[file] = step
        return maker


def is_external(workload: Workload, file: int) -> bool:
    """Whether no step makes the file: it is there before the build begins."""
    return workload.makers[file] < 0


def order(workload: Workload) -> list[int]:
    """All steps, each after those that it waits for. Raises ValueError if steps wait for each other in a circle."""
    waits = list(workload.predecessors)
    found = [step for step, count in enumerate(waits) if not count]
    for step in found:
        for follower in workload.followers[step]:
            waits[follower] -= 1
            if not waits[follower]:
                found.append(follower)
    if len(found) < len(waits):
        stuck = next(step for step, count in enumerate(waits) if count)
        raise ValueError(f"Workload {workload.name}: step {stuck} waits for itself in a circle; a knot must be unrolled pass by pass.")
    return found


def ranks(workload: Workload, runtime: Sequence[float] = ()) -> list[float]:
    """Seconds from the begin of each step to the end of the last that waits for it, with no time for transfers (HEFT's upward rank).

    ``runtime`` replaces the workload's own, in seconds by step. Raises as :func:`order`.
    """
    seconds = runtime or workload.runtime
    rank = [0.0] * len(seconds)
    for step in reversed(order(workload)):
        rank[step] = seconds[step] + max((rank[follower] for follower in workload.followers[step]), default=0.0)
    return rank


def check(workload: Workload) -> Workload:
    """The same workload. Raises ValueError with one sentence if its lists do not fit together, or as :func:`order`."""
    steps, files = len(workload.runtime), len(workload.size)
    named = len(workload.names) or steps
    if not steps or {len(workload.inputs), len(workload.outputs), len(workload.followers), named} != {steps}:
        raise ValueError(
            f"Workload {workload.name}: runtime, inputs, outputs, followers (and names) need one entry for each step, and a step."
        )
    for what, lists, count in (
        ("inputs", workload.inputs, files),
        ("outputs", workload.outputs, files),
        ("followers", workload.followers, steps),
    ):
        for step, numbers in enumerate(lists):
            if len(set(numbers)) != len(numbers) or not all(0 <= number < count for number in numbers):
                raise ValueError(f"Workload {workload.name}: {what} of step {step} must be different numbers from 0 to {count - 1}.")
    if any(not 0 <= value < math.inf for value in (*workload.runtime, *workload.size)):
        raise ValueError(f"Workload {workload.name}: seconds and bytes must be finite numbers from 0.")
    order(workload)
    return workload


def work(workload: Workload) -> float:
    """Seconds that all steps take together on one slot."""
    return sum(workload.runtime)


def critical_path(workload: Workload) -> float:
    """Seconds that the longest chain of steps takes. Raises as :func:`order`."""
    return max(ranks(workload), default=0.0)


def lower_bound(workload: Workload, slots: int) -> float:
    """Seconds below which no schedule on so many slots ends, even if moving bytes took no time. Raises as :func:`order`."""
    return max(critical_path(workload), work(workload) / slots)


def edge_bytes(workload: Workload) -> int:
    """Bytes of all reads: each file's size as often as a step reads it."""
    return sum(workload.size[file] for files in workload.inputs for file in files)


def edge_count(workload: Workload) -> int:
    """How many reads there are."""
    return sum(len(files) for files in workload.inputs)
