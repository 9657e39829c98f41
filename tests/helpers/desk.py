"""A desk at which a test answers the core by hand: one answer at a time, in whatever order, late ones too.

Knows no store and no world; contents are texts, a digest is '=' and the content.
"""

from collections.abc import Mapping, Sequence

from cpods.digest import ABSENT
from cpods.events import Conclude, Concluded, Event, Finish, Instruction, Recall, Settle, Settled, Solved, Spoilt
from cpods.model import Output, Read, Remembered, Result, Solution, Step, Version
from cpods.scheduler.core import Core, Options, Plan


def result_of(
    name: str, reads: Mapping[str, str | None], writes: Mapping[str, str], exit_code: int = 0, helpers: Sequence[Step] = ()
) -> Result:
    """A result from contents; None was looked for and not there."""
    return Result(
        static_key=name,
        step=name,
        reads=tuple(Read(path, ABSENT if content is None else "=" + content) for path, content in sorted(reads.items())),
        outputs=tuple(Output(path, Version("=" + content, len(content))) for path, content in sorted(writes.items())),
        exit_code=exit_code,
        helpers=tuple(helpers),
    )


class Desk:
    """A core and what it has asked for and not been told yet: ``open``, as words like ``settle a``."""

    def __init__(
        self,
        steps: Sequence[Step],
        sources: Sequence[str] = (),
        goals: Sequence[str] = (),
        remembered: Mapping[str, Remembered] | None = None,
        **options: object,
    ) -> None:
        chosen: dict[str, object] = {"until_stable": True, "seed": "clean", "failures_max": 0, **options}
        self.core = Core(
            Plan(
                steps={step.name: step for step in sorted(steps, key=lambda step: step.position)},
                goals=tuple(goals) or tuple(path for step in steps for path in step.outputs),
                remembered=remembered or {},
                present=set(sources).__contains__,
                filter_for=lambda step, path: "",
                options=Options(**chosen),  # type: ignore[arg-type]
            )
        )
        self.open: dict[str, Instruction] = {}
        self.finishes = 0

    def start(self) -> list[str]:
        """The first questions, in words."""
        return self._take(self.core.start())

    def _take(self, instructions: Sequence[Instruction]) -> list[str]:
        asked = []
        for instruction in instructions:
            if isinstance(instruction, Finish):
                self.finishes += 1
                asked.append("finish")
                continue
            about = instruction.step.name if isinstance(instruction, Settle) else instruction.knot
            word = f"{type(instruction).__name__.lower()} {about}"
            assert word not in self.open, f"{word} was asked twice"
            self.open[word] = instruction
            asked.append(word)
        return asked

    def tell(self, word: str, event: Event) -> list[str]:
        """Answers one question; the next ones, in words."""
        del self.open[word]
        return self._take(self.core.handle(event))

    def settled(
        self, name: str, reads: Mapping[str, str | None] | None = None, writes: Mapping[str, str] | None = None, **more: object
    ) -> list[str]:
        """The step has a result. Outputs that are not given are the step's declared ones."""
        instruction = self.open[f"settle {name}"]
        assert isinstance(instruction, Settle)
        made = dict.fromkeys(instruction.step.outputs, "1") if writes is None else writes
        return self.tell(f"settle {name}", Settled(name, result_of(name, reads or {}, made, **more), "ran"))  # type: ignore[arg-type]

    def spoilt(self, name: str, *reads: str, stale: bool = False, told: bool = False) -> list[str]:
        """The step has no result."""
        return self.tell(f"settle {name}", Spoilt(name, exit_code=None if stale else 1, stale=stale, reads=reads, told=told))

    def nothing(self, knot: str) -> list[str]:
        """No stored solution fits."""
        return self.tell(f"recall {knot}", Solved(knot, None))

    def recalled(self, knot: str, solution: Solution) -> list[str]:
        """A stored solution fits."""
        return self.tell(f"recall {knot}", Solved(knot, solution))

    def concluded(self, knot: str, moved_on: bool = False) -> list[str]:
        """The outcome is carried out."""
        return self.tell(f"conclude {knot}", Concluded(knot, moved_on))

    def solution(self, knot: str) -> Solution:
        """What the core wants remembered of a knot that it concludes."""
        instruction = self.open[f"conclude {knot}"]
        assert isinstance(instruction, Conclude)
        return instruction.solution

    def members(self, knot: str) -> list[str]:
        """The members that a recall asks about, in pass order."""
        instruction = self.open[f"recall {knot}"]
        assert isinstance(instruction, Recall)
        return [step.name for step in instruction.members]

    def statuses(self) -> dict[str, str]:
        """Where each unit stands, by its first step."""
        return {unit.name: unit.status.value for unit in self.core.units.all()}
