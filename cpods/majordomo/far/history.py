"""What earlier builds tell placement: how long steps take, how large their outputs are, how fast pods pull.

Knows no strategy and no wire. Seconds and sizes are those of the last results, which the catalogue has anyway; only what
a link gives is written down on top of them.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress

import msgspec

from cpods.ids import FilePath
from cpods.model import Output, Step
from cpods.net.messages import StepDone
from cpods.ports import Changes, Memory

#: Under this name and a pod's, the catalogue remembers the bytes and seconds of its pulls, older ones fading.
LINK_FACT = "link:"

#: What a newer measurement leaves of the weight of those before it: of a link's bytes and seconds, of a step's seconds.
_LINK_FADES, _STEP_FADES = 0.75, 0.5


class History:
    """For one build, over the ``memory`` that its catalogue was loaded into. ``write`` keeps changes for good.

    :meth:`attach` is called once the build is planned.
    """

    def __init__(self, memory: Memory, write: Callable[[Changes], Awaitable[None]]) -> None:
        self._memory = memory
        self._write = write
        self._seconds: dict[str, float] = {}
        self._tools: dict[str, _Mean] = {}
        self._sizes: dict[FilePath, int] | None = None
        self._links = _links(memory.facts)
        self._measured: set[str] = set()

    def attach(self, steps: Iterable[Step]) -> None:
        """These steps will be asked about: what is known of them makes the means of their tools."""
        for step in steps:
            known = self._own_seconds(step.name)
            if known is not None:
                self._tools.setdefault(step.tool, _Mean()).put(step.name, known)

    def seconds(self, step: Step) -> float | None:
        """How long a step takes: as it did before, else the mean of the known steps of its tool, else None."""
        known = self._own_seconds(step.name)
        if known is None and step.tool in self._tools:
            return self._tools[step.tool].value
        return known

    def size(self, path: FilePath) -> int | None:
        """Bytes of the last version of a step's output; None for what no step is known to have made."""
        if self._sizes is None:
            self._sizes = self._last_sizes()
        return self._sizes.get(path)

    def bytes_per_second(self, pod: str) -> float | None:
        """What a pod's pulls of some size gave, small latencies included; None if it was never measured."""
        moved, seconds = self._links.get(pod, (0.0, 0.0))
        return moved / seconds if seconds > 0 else None

    def note_end(self, pod: str, step: Step | None, done: StepDone) -> None:
        """An order has ended at ``pod``; ``step`` None: it was an earlier build's."""
        self.note_link(pod, *done.pulled)
        result = done.cooked.result
        if step is not None and result is not None and result.usable:
            self.note_run(step, result.seconds, result.outputs)

    def note_run(self, step: Step, seconds: float, outputs: Iterable[Output]) -> None:
        """A run came to a good end. That its pod may be faster or slower than others makes it one sample among others."""
        before = self._own_seconds(step.name)
        if seconds > 0:
            now = seconds if before is None else before * _STEP_FADES + seconds * (1 - _STEP_FADES)
            self._seconds[step.name] = now
            self._tools.setdefault(step.tool, _Mean()).put(step.name, now)
        if self._sizes is not None:
            self._sizes.update((output.path, output.version.size) for output in outputs)

    def note_link(self, pod: str, moved: int, seconds: float) -> None:
        """So many bytes came to ``pod`` in so many seconds of pulling; nothing if it was too little to measure."""
        if moved > 0 and seconds > 0:
            before = self._links.get(pod, (0.0, 0.0))
            self._links[pod] = before[0] * _LINK_FADES + moved, before[1] * _LINK_FADES + seconds
            self._measured.add(pod)

    async def save(self) -> None:
        """Writes down what was measured of links since the last time; nothing if nothing was. Raises StoreDamaged, Locked, OSError."""
        if not self._measured:
            return
        facts = {LINK_FACT + pod: _text(self._links[pod]) for pod in sorted(self._measured)}
        await self._write(Changes(facts=dict(facts)))
        self._memory.facts.update(facts)
        self._measured.clear()

    def _own_seconds(self, name: str) -> float | None:
        if name in self._seconds:
            return self._seconds[name]
        last = self._memory.results.get(name)
        return last.seconds if last is not None and last.usable and last.seconds > 0 else None

    def _last_sizes(self) -> dict[FilePath, int]:
        """By path. Where two steps made a file, the one whose version stands in the project counts."""
        found: dict[FilePath, int] = {}
        for name, result in self._memory.results.items():
            for output in result.outputs:
                written = self._memory.written.get(output.path)
                if output.path not in found or (written is not None and written.step == name):
                    found[output.path] = output.version.size
        return found


class _Mean:
    """The mean of one number by name, as it changes."""

    def __init__(self) -> None:
        self._by_name: dict[str, float] = {}
        self._sum = 0.0

    @property
    def value(self) -> float:
        """Of at least one."""
        return self._sum / len(self._by_name)

    def put(self, name: str, number: float) -> None:
        """The number of this name is this now."""
        self._sum += number - self._by_name.get(name, 0.0)
        self._by_name[name] = number


def _links(facts: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """(bytes, seconds) by pod. What cannot be read is measured anew: it is only an estimate."""
    found = {}
    for name, text in facts.items():
        if name.startswith(LINK_FACT):
            with suppress(msgspec.MsgspecError):
                found[name.removeprefix(LINK_FACT)] = msgspec.json.decode(text, type=tuple[float, float])
    return found


def _text(link: tuple[float, float]) -> str:
    return msgspec.json.encode((round(link[0]), round(link[1], 4))).decode()
