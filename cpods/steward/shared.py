"""Results and solutions that all MajorDomos of a federation share, behind the Results port.

Knows no bus and no file.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from cpods.model import Result, Solution
from cpods.net.questions import AskResults
from cpods.net.questions import Results as Answer
from cpods.ports import Results

#: Bytes of results that go into one answer: what does not fit is missing there, and a missing result is only a miss.
ANSWER_BYTES_MAX = 400 << 10

_T = TypeVar("_T", Result, Solution)
_encode = msgspec.json.Encoder().encode


class SharedResults:
    """What was told once is known to all."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def keep(self, told: Answer) -> None:
        """Stores results and solutions for good. Raises OSError; then they may be told again."""
        for result in told.results:
            self._results.add_result(result)
        for solution in told.solutions:
            self._results.add_solution(solution)
        self._results.commit()

    def answer(self, question: AskResults) -> Answer:
        """What is stored under the keys asked for, oldest first per key; where it is too much, the newest of each key."""
        room = ANSWER_BYTES_MAX
        steps, room = _newest(question.steps, self._results.results, room)
        knots, _ = _newest(question.knots, self._results.solutions, room)
        return Answer(tuple(steps), tuple(knots))


def _newest(keys: Sequence[str], look: Callable[[str], Sequence[_T]], room: int) -> tuple[list[_T], int]:
    """What fits into ``room`` bytes, each key's newest before any key's second newest; and the room that is left."""
    found = [list(look(key)) for key in dict.fromkeys(keys)]
    kept = [0] * len(found)
    closed: set[int] = set()  # a hole in the order would make an older one look like the newest
    for number, entry in _rounds(found):
        size = len(_encode(entry)) + 1
        if number in closed or size > room:
            closed.add(number)
        else:
            room -= size
            kept[number] += 1
    return [entry for entries, count in zip(found, kept, strict=True) for entry in entries[len(entries) - count :]], room


def _rounds(found: Sequence[Sequence[_T]]) -> Iterator[tuple[int, _T]]:
    """(index of the key, entry): all newest ones, then all second newest, and so on."""
    for back in range(1, max(map(len, found), default=0) + 1):
        for number, entries in enumerate(found):
            if back <= len(entries):
                yield number, entries[-back]
