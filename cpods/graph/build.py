"""Builds the step graph from what is declared, remembered and seen, with presumptions for steps that never ran.

Knows no file system: which paths are there is given.
"""

import posixpath
from collections.abc import Callable, Iterable, Mapping, Set

import msgspec

from cpods.ids import FilePath, is_fact, is_outside
from cpods.model import Step

#: Endings of files that a document reads as macros, options or fonts: no step that merely never ran is presumed to make one.
#: A wrong guess costs a run, never a result: what was looked for and appears later makes the reader stale.
_STYLE_ENDINGS = frozenset(
    {
        ".cfg",
        ".cls",
        ".sty",
        ".def",
        ".fd",
        ".clo",
        ".ldf",
        ".tfm",
        ".vf",
        ".pk",
        ".map",
        ".enc",
        ".pfb",
        ".otf",
        ".ttf",
        ".fmt",
        ".bst",
        ".ist",
        ".mkii",
        ".lua",
        ".rtx",
        ".cbx",
        ".bbx",
        ".lbx",
        ".dbx",
        ".cnf",
    }
)


class Traffic(msgspec.Struct, frozen=True):
    """What a step (with its helpers) reads and writes, as far as known. ``known`` is False for an engine that never ran."""

    reads: frozenset[FilePath]
    writes: frozenset[FilePath]
    known: bool = True


def might_make(step: Step, path: FilePath) -> bool:
    """Whether an engine that never ran may be presumed to make ``path``."""
    if is_fact(path) or is_outside(path):
        return False
    if any(path.startswith(prefix) for prefix in step.may_write):
        return True
    ending = posixpath.splitext(path)[1]
    return ending != "" and ending not in _STYLE_ENDINGS and not ending.endswith(".aux")


class StepGraph(msgspec.Struct, frozen=True):
    """Edges from makers to readers. ``hard``: known; ``soft``: presumed, they group and order but never block."""

    hard: Mapping[str, Set[str]]
    soft: Mapping[str, Set[str]]
    maker: Mapping[FilePath, tuple[str, ...]]

    def joined(self) -> dict[str, set[str]]:
        """Hard and soft edges together."""
        return {name: set(self.hard.get(name, ())) | set(self.soft.get(name, ())) for name in {*self.hard, *self.soft}}


def makers(traffic: Mapping[str, Traffic]) -> dict[FilePath, tuple[str, ...]]:
    """The steps that write each path, in the order of ``traffic``."""
    found: dict[FilePath, list[str]] = {}
    for name, known in traffic.items():
        for path in known.writes:
            found.setdefault(path, []).append(name)
    return {path: tuple(names) for path, names in found.items()}


def build(steps: Mapping[str, Step], traffic: Mapping[str, Traffic], present: Callable[[FilePath], bool]) -> StepGraph:
    """The graph over ``steps`` (in project order). ``present(path)``: whether a source file is there."""
    maker = makers(traffic)
    hard: dict[str, set[str]] = {name: set() for name in steps}
    lacking: dict[str, list[FilePath]] = {}
    for name in steps:
        for path in traffic[name].reads:
            sources = maker.get(path)
            if sources:
                for source in sources:
                    hard[source].add(name)
            elif not present(path):
                lacking.setdefault(name, []).append(path)
    soft = _presumed(steps, traffic, lacking)
    return StepGraph(hard=hard, soft=soft, maker=maker)


def _presumed(steps: Mapping[str, Step], traffic: Mapping[str, Traffic], lacking: Mapping[str, Iterable[FilePath]]) -> dict[str, set[str]]:
    """Edges into and out of engines that never ran: they may read every product, and make what others lack."""
    fresh = [name for name in steps if not traffic[name].known]
    soft: dict[str, set[str]] = {}
    for engine in fresh:
        for name in steps:
            if name != engine:
                soft.setdefault(name, set()).add(engine)
        for name, paths in lacking.items():
            if name != engine and may_feed(steps[engine], steps[name], paths):
                soft.setdefault(engine, set()).add(name)
    return soft


def may_feed(engine: Step, reader: Step, lacking: Iterable[FilePath]) -> bool:
    """Whether an engine that never ran may be presumed to make one of the paths that ``reader`` lacks."""
    if not reader.open_reads:
        return True
    return any(might_make(engine, path) for path in lacking if not any(path.startswith(own) for own in reader.may_write))


def needed(
    goals: Iterable[FilePath], steps: Mapping[str, Step], traffic: Mapping[str, Traffic], present: Callable[[FilePath], bool]
) -> set[str]:
    """The steps that the goals need, as far as known: makers of goals and of what they read, and so on.

    An engine that never ran may need every step that is no engine; what nobody is known to make may come from one.
    """
    maker = makers(traffic)
    fresh = [name for name in steps if not traffic[name].known]
    found: set[str] = set()
    todo: list[str] = []

    def want(path: FilePath, reader: Step | None) -> None:
        sources = maker.get(path)
        if sources is None and not present(path):
            sources = tuple(e for e in fresh if reader is None or e == reader.name or may_feed(steps[e], reader, (path,)))
        todo.extend(sources or ())

    for goal in goals:
        want(goal, None)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        if not traffic[name].known:
            todo.extend(other for other, step in steps.items() if not step.open_reads)
        for path in traffic[name].reads:
            want(path, steps[name])
    return found
