"""How things stand, as pages are told: whether a build goes on, and what is wrong.

Knows no connection and no document.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

#: More than these nobody reads.
_PROBLEMS_MAX = 50
_TEXT_CHARACTERS_MAX = 4000


class Complaint(Protocol):
    """What a tool complained about. ``line`` counts from 1; ``source`` is the text of that line. cpods.model.Problem is one."""

    @property
    def message(self) -> str: ...
    @property
    def file(self) -> str | None: ...
    @property
    def line(self) -> int | None: ...
    @property
    def source(self) -> str | None: ...


class Fault(msgspec.Struct, frozen=True):
    """A complaint as a page shows it; any other object that has the four values can stand for it."""

    message: str
    file: str | None = None
    line: int | None = None
    source: str | None = None


class Standing:
    """Changed by what the build tells; ``faults`` of our own come from looking at the files."""

    def __init__(self) -> None:
        self.is_building = False
        self._broken = False
        self._problems: tuple[Fault, ...] = ()
        self._more = 0
        self.faults: tuple[Fault, ...] = ()

    def building(self) -> None:
        """A build goes on. What was wrong still is."""
        self.is_building = True

    def built(self) -> None:
        """All is well."""
        self.is_building = self._broken = False
        self._problems, self._more = (), 0

    def broken(self, problems: Sequence[Complaint]) -> None:
        """The build ended with these; none: it says elsewhere what is wrong."""
        self.is_building, self._broken = False, True
        self._problems = tuple(_fault(problem) for problem in problems[:_PROBLEMS_MAX])
        self._more = max(0, len(problems) - _PROBLEMS_MAX)

    def told(self) -> dict[str, object]:
        """For a page. ``failure``: the same for the same faults, empty if nothing is wrong; ``more``: how many are not listed."""
        problems = self._problems + self.faults
        wrong = self._broken or bool(problems)
        return {
            "building": self.is_building,
            "problems": problems,
            "more": self._more,
            "failure": _digest(problems) if wrong else "",
        }


def _fault(problem: Complaint) -> Fault:
    source = problem.source
    return Fault(
        problem.message[:_TEXT_CHARACTERS_MAX], problem.file, problem.line, source[:_TEXT_CHARACTERS_MAX] if source is not None else None
    )


def _digest(problems: Iterable[Fault]) -> str:
    return hashlib.blake2b(msgspec.json.encode(list(problems)), digest_size=8).hexdigest()
