"""How long steps are taken to last: as they did, else as others of their tool do; guesses are corrected while the build runs.

Knows no pod and no decision. Seconds.
"""

from collections.abc import Callable
from typing import Protocol

from cpods.ids import FilePath
from cpods.model import Step

#: A step of which nothing is known is taken to last so long.
SECONDS_UNKNOWN = 0.2
#: A guess that is off by this factor is corrected.
_OFF = 1.5


class Experience(Protocol):
    """What earlier builds tell, and this one so far: see History."""

    def seconds(self, step: Step) -> float | None:
        """How long a step takes."""

    def size(self, path: FilePath) -> int | None:
        """Bytes of the last version of an output."""

    def bytes_per_second(self, pod: str) -> float | None:
        """What a pod's link gives."""


class Estimates:
    """By tool, the steps that never ran: what they are taken to last is the mean of those that did."""

    def __init__(self, history: Experience) -> None:
        self._history = history
        self._guesses: dict[str, float] = {}
        self._guessed: dict[str, dict[int, Step]] = {}

    def of(self, step: Step, number: int, has_run: bool) -> float:
        """The estimate of the step of this number, which did not run yet in this build. ``has_run``: an earlier one knows it."""
        known = self._history.seconds(step)
        if has_run and known is not None:
            return _rounded(known)
        guess = self._guesses.setdefault(step.tool, _rounded(known or SECONDS_UNKNOWN))
        self._guessed.setdefault(step.tool, {})[number] = step
        return guess

    def again(self, step: Step, told: float) -> float | None:
        """What a step that ran already takes, if that is not about what was ``told``."""
        known = self._history.seconds(step)
        return None if not known or 1 / _OFF < known / told < _OFF else _rounded(known)

    def ran(self, step: Step, number: int) -> None:
        """This one has run: it is known now."""
        self._guessed.get(step.tool, {}).pop(number, None)

    def correction(self, tool: str, is_open: Callable[[int], bool]) -> tuple[list[int], float] | None:
        """Steps of a tool that have to be told anew how long they will last, and how long; None: the guess will do.

        ``is_open``: whether a step still can be told.
        """
        guessed = self._guessed.get(tool)
        if not guessed:
            return None
        mean = self._history.seconds(next(iter(guessed.values())))
        if not mean or 1 / _OFF < mean / self._guesses[tool] < _OFF:
            return None
        self._guesses[tool] = _rounded(mean)
        steps = [number for number in guessed if is_open(number)]
        return (steps, self._guesses[tool]) if steps else None


def _rounded(seconds: float) -> float:
    """As much of it as means anything; never 0."""
    return max(round(seconds, 4), 1e-4)
