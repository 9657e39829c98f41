"""Results and solutions shared with everybody in the federation: asked of its steward, and given to it.

Knows no step's meaning: a shared result is looked at by the very code that looks at an own one.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from cpods.errors import Unavailable
from cpods.model import Result, Solution
from cpods.net import subjects, wire
from cpods.net.questions import AskResults, Okay
from cpods.net.questions import Results as SharedResults
from cpods.ports import Bus, Changes, Memory, Results

_ASK_SECONDS = 5.0
_KEYS_MAX = 2000
_Record = TypeVar("_Record", Result, Solution)
#: Bytes of results in one message; a single result that is longer is not shared.
_PUT_BYTES_MAX = 256 << 10


class SharingResults:
    """The Results port over the own manifests, which remembers what is new so that it can be given on."""

    def __init__(self, own: Results) -> None:
        self._own = own
        self.fresh_results: list[Result] = []
        self.fresh_solutions: list[Solution] = []

    def results(self, static_key: str) -> Sequence[Result]:
        """As in the port."""
        return self._own.results(static_key)

    def add_result(self, result: Result) -> None:
        """As in the port; to be given on."""
        self._own.add_result(result)
        self.fresh_results.append(result)

    def solutions(self, key: str) -> Sequence[Solution]:
        """As in the port."""
        return self._own.solutions(key)

    def add_solution(self, solution: Solution) -> None:
        """As in the port; to be given on."""
        self._own.add_solution(solution)
        self.fresh_solutions.append(solution)

    def take_over(self, shared: SharedResults) -> None:
        """What others found."""
        for result in shared.results:
            self._own.add_result(result)
        for solution in shared.solutions:
            self._own.add_solution(solution)

    def record(self, project: str, changes: Changes) -> None:
        """As in the port."""
        self._own.record(project, changes)

    def recorded(self, project: str) -> Memory:
        """As in the port."""
        return self._own.recorded(project)

    def commit(self) -> None:
        """As in the port."""
        self._own.commit()


class Sharing:
    """Asks for each key once in a build. A steward that does not answer costs a note, not the build."""

    def __init__(self, bus: Bus, federation: str, results: SharingResults, seconds: float = _ASK_SECONDS) -> None:
        self._seconds = seconds
        self._bus = bus
        self._federation = federation
        self._results = results
        self._asked: set[str] = set()
        self.trouble = ""

    async def ask(self, steps: Iterable[str] = (), knots: Iterable[str] = ()) -> list[str]:
        """Takes over what others stored under these keys; the digests of all outputs that came with it."""
        wanted = [key for key in dict.fromkeys(steps) if key not in self._asked]
        circles = [key for key in dict.fromkeys(knots) if key not in self._asked]
        self._asked.update(wanted, circles)
        digests: list[str] = []
        while wanted or circles:
            question = AskResults(tuple(wanted[:_KEYS_MAX]), tuple(circles))
            wanted, circles = wanted[_KEYS_MAX:], []
            shared = await self._put(question, SharedResults)
            if shared is None:
                self._asked.difference_update(question.steps, question.knots, wanted)
                break
            self._results.take_over(shared)
            digests += [output.version.digest for result in shared.results for output in result.outputs]
            digests += [output.version.digest for solution in shared.solutions for _, output in solution.outputs]
            digests += [o.version.digest for s in shared.solutions for _, result in s.last for o in result.outputs]
        return list(dict.fromkeys(digests))

    async def give(self) -> None:
        """Gives on what is new."""
        results, self._results.fresh_results = self._results.fresh_results, []
        solutions, self._results.fresh_solutions = self._results.fresh_solutions, []
        for message in (*map(_of_results, _portions(results)), *map(_of_solutions, _portions(solutions))):
            if await self._put(message, Okay) is None and not self.trouble:  # the broker is away: later
                self._results.fresh_results += message.results
                self._results.fresh_solutions += message.solutions

    async def _put(self, message: wire.Wire, kind: type[wire.Kind]) -> wire.Kind | None:
        if self.trouble or not getattr(self._bus, "is_connected", True):
            return None
        try:
            data = await self._bus.request(subjects.steward(self._federation), wire.encode(message), self._seconds)
            kinds: tuple[type[wire.Wire], ...] = (kind,) if kind is Okay else (kind, Okay)
            answer: wire.Wire = wire.decode(data, *kinds)
            if isinstance(answer, Okay) and (answer.refused or kind is not Okay):
                raise Unavailable(answer.refused or "it gives no answer")
            assert isinstance(answer, kind)
            return answer
        except (Unavailable, TimeoutError) as error:
            if not getattr(self._bus, "is_connected", True):
                return None
            self.trouble = f"the federation's steward did not answer ({str(error) or 'timeout'}); results are not shared in this build"
            return None


def _of_results(results: Sequence[Result]) -> SharedResults:
    return SharedResults(results=tuple(results))


def _of_solutions(solutions: Sequence[Solution]) -> SharedResults:
    return SharedResults(solutions=tuple(solutions))


def _portions(records: Sequence[_Record]) -> Iterator[list[_Record]]:
    """The records in portions that fit into a message; without those that no message can hold."""
    portion: list[_Record] = []
    room = _PUT_BYTES_MAX
    for record in records:
        size = len(msgspec.json.encode(record))
        if size > wire.MESSAGE_BYTES_MAX:
            continue
        if portion and size > room:
            yield portion
            portion, room = [], _PUT_BYTES_MAX
        portion.append(record)
        room -= size
    if portion:
        yield portion
