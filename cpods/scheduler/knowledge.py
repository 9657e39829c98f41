"""What is known of each step's reads and writes: declared, remembered from earlier builds, seen in this one.

Knows no file system: whether a source is there is asked of a given function.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from cpods.errors import UsageError
from cpods.graph.build import NO_MENTIONS, Mentions, StepGraph, Traffic, build, makers, needed
from cpods.ids import FilePath
from cpods.model import Remembered, Step


def _declared(step: Step) -> tuple[frozenset[FilePath], frozenset[FilePath]]:
    return frozenset(step.inputs) | frozenset(step.optional), frozenset(step.outputs)


def _first_traffic(step: Step, remembered: Remembered | None, claimed: Mapping[FilePath, str]) -> Traffic:
    """What is known before the build. What others declare to make now is no more one's own.

    A step that reads and writes what it declares and no more is not held to what it declared at an earlier build.
    """
    reads, writes = _declared(step)
    finds_out = step.open_reads or bool(step.may_write)
    if remembered is None or not (finds_out or step.depfile):
        return Traffic(reads, writes, known=not finds_out)
    own = (path for path in remembered.writes if claimed.get(path, step.name) == step.name) if finds_out else ()
    return Traffic(reads | remembered.reads, writes | frozenset(own))


class Knowledge:
    """Reads and writes of the declared steps (those of helpers count as their engine's), and the graph made from them."""

    def __init__(
        self,
        steps: Mapping[str, Step],
        remembered: Mapping[str, Remembered],
        present: Callable[[FilePath], bool],
        mentions: Mentions = NO_MENTIONS,
    ) -> None:
        self._mentions = mentions
        self.steps = steps
        self.rank = {name: index for index, name in enumerate(steps)}
        claimed = {path: name for name, step in steps.items() for path in step.outputs}
        self.traffic = {name: _first_traffic(step, remembered.get(name), claimed) for name, step in steps.items()}
        self.graph = StepGraph({}, {}, {})
        self._present = present
        self._seen: set[str] = set()
        self._readers: dict[FilePath, set[str]] = {}
        for name, traffic in self.traffic.items():
            self._note_readers(name, traffic.reads)
        self._makers = makers(self.traffic)

    def ran(self, step: str) -> bool:
        """Whether a declared step's own result, or a helper's, was learned in this build."""
        return step in self._seen

    def suspect(self, step: str, reads: Iterable[FilePath]) -> bool:
        """Takes what a run without a result read or looked for; it still counts as never run. True as for :meth:`learn`."""
        before = self.traffic[step]
        now = Traffic(before.reads | frozenset(reads), before.writes, before.known)
        self.traffic[step] = now
        self._note_readers(step, now.reads - before.reads)
        news = now.reads - before.reads
        return any(self._makers.get(path) for path in news) or (bool(news) and self._has_fresh())

    def _has_fresh(self) -> bool:
        """Whether an engine never ran: it may be presumed to make what another step just missed."""
        return any(not traffic.known for traffic in self.traffic.values())

    def learn(self, step: str, reads: Iterable[FilePath], writes: Iterable[FilePath], helped: Iterable[FilePath] = ()) -> bool:
        """Takes what a declared step (or a helper of it) really read and wrote. True if the graph may look different now.

        What earlier builds remembered gives way to the first run of this one, but for files that its helpers still make
        (``helped``); further runs add to it.
        """
        known_reads, known_writes = _declared(self.steps[step])
        before = self.traffic[step]
        known_writes |= before.writes.intersection(helped)
        if step in self._seen:
            known_reads, known_writes = before.reads, before.writes
        self._seen.add(step)
        now = Traffic(known_reads | frozenset(reads), known_writes | frozenset(writes))
        if now == before:
            return False
        self.traffic[step] = now
        self._note_readers(step, now.reads - before.reads)
        for path in now.writes - before.writes:
            self._makers[path] = (*self._makers.get(path, ()), step)
        if not before.known:
            return True
        return any(self._makers.get(p) for p in now.reads ^ before.reads) or any(self._readers.get(p) for p in now.writes ^ before.writes)

    def _note_readers(self, step: str, paths: Iterable[FilePath]) -> None:
        for path in paths:
            self._readers.setdefault(path, set()).add(step)

    def regraph(self, goals: Sequence[FilePath]) -> dict[str, Step]:
        """Makes the graph anew over the steps that the goals need now, and returns them in project order."""
        self._makers = makers(self.traffic)
        self._check_makers()
        wanted = needed(goals, self.steps, self.traffic, self._present, self._mentions)
        steps = {name: step for name, step in self.steps.items() if name in wanted}
        self.graph = build(steps, {name: self.traffic[name] for name in steps}, self._present, self._mentions)
        return steps

    def is_read(self, path: FilePath, maker: str) -> bool:
        """Whether a step besides its maker reads a file."""
        return any(name != maker and path in self.traffic[name].reads for name in self._readers.get(path, ()))

    def reads_own_writes(self, step: str) -> bool:
        """Whether a step reads what it writes."""
        return not self.traffic[step].reads.isdisjoint(self.traffic[step].writes)

    def _check_makers(self) -> None:
        for path, names in self._makers.items():
            sure = [name for name in names if name in self._seen or path in self.steps[name].outputs]
            if len(sure) > 1:
                raise UsageError(
                    f"{path}: both {sure[0]} and {sure[1]} write it; a file has one maker, so let one of them write another name"
                )
