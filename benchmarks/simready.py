"""Who says which steps of a simulated build are ready: the scheduler's own core, or plain counting.

Knows no pods and no time.
"""

from collections.abc import Iterable
from typing import Protocol

from benchmarks.workload import Workload
from cpods.events import Finish, Instruction, Settle, Settled
from cpods.model import Result, Step
from cpods.scheduler.core import Core, Options, Plan


class Driver(Protocol):
    """Asked once for the first steps, then after each end."""

    def first(self) -> list[int]:
        """Steps that are ready at the beginning."""

    def done(self, step: int) -> list[int]:
        """Steps that are ready now that this one is done, which is said once."""


class Counting:
    """What is ready: steps all of whose predecessors are done."""

    def __init__(self, workload: Workload) -> None:
        self._followers = workload.followers
        self._waits = list(workload.predecessors)

    def first(self) -> list[int]:
        return [step for step, count in enumerate(self._waits) if not count]

    def done(self, step: int) -> list[int]:
        ready = []
        for other in self._followers[step]:
            self._waits[other] -= 1
            if not self._waits[other]:
                ready.append(other)
        return ready


class ByCore:
    """What is ready, as the core of the scheduler says it: each step makes a token that its followers read."""

    def __init__(self, workload: Workload) -> None:
        count = len(workload.runtime)
        before: list[list[str]] = [[] for _ in range(count)]
        for step, followers in enumerate(workload.followers):
            for other in followers:
                before[other].append(f"t{step}")
        steps = {
            f"s{step}": Step(
                name=f"s{step}", chef="shell", tool="sh", argv=("sh",), position=(step,), inputs=tuple(before[step]), outputs=(f"t{step}",)
            )
            for step in range(count)
        }
        self._numbers = {name: number for number, name in enumerate(steps)}
        goals = [f"t{step}" for step in range(count)]
        options = Options(slots=count + 1)
        self._core = Core(Plan(steps, goals, {}, lambda path: False, lambda step, path: "", options))
        self.finished = False

    def first(self) -> list[int]:
        return self._ready(self._core.start())

    def done(self, step: int) -> list[int]:
        result = Result(static_key="", step=f"s{step}", reads=(), outputs=())
        return self._ready(self._core.handle(Settled(result.step, result, "ran")))

    def _ready(self, instructions: Iterable[Instruction]) -> list[int]:
        instructions = list(instructions)
        self.finished = self.finished or any(isinstance(one, Finish) for one in instructions)
        return [self._numbers[one.step.name] for one in instructions if isinstance(one, Settle)]
