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


NO_MENTIONS: Mapping[str, Set[str]] = {}
#: Before the name of an engine whose job a main file perhaps means: a word of its name stands there.
PERHAPS = "?"


class Traffic(msgspec.Struct, frozen=True):
    """What a step (with its helpers) reads and writes, as far as known. ``known`` is False for an engine that never ran."""

    reads: frozenset[FilePath]
    writes: frozenset[FilePath]
    known: bool = True


def might_make(step: Step, path: FilePath) -> bool:
    """Whether an engine that never ran may be presumed to make ``path``; of other steps, only what bears their name."""
    if is_fact(path) or is_outside(path):
        return False
    if any(path.startswith(prefix) for prefix in step.may_write):
        return True
    if not step.open_reads:
        return False
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


Mentions = Mapping[str, Set[str]]


def build(
    steps: Mapping[str, Step], traffic: Mapping[str, Traffic], present: Callable[[FilePath], bool], mentions: Mentions = NO_MENTIONS
) -> StepGraph:
    """The graph over ``steps`` (in project order). ``present(path)``: whether a source file is there.

    ``mentions``: engines by the engines whose files their main file names: a hint who should go first.
    """
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
    for name in steps:
        if not traffic[name].known:  # what its main file names is as good as read, until a run says what really is
            for named in mentions.get(name, ()):
                if named in steps and _is_named_by(named, name, mentions):
                    hard[named].add(name)
    soft = _presumed(steps, traffic, lacking, mentions)
    for engine, names in _late_makers(steps, lacking, hard).items():
        soft.setdefault(engine, set()).update(names)
    return StepGraph(hard=hard, soft=soft, maker=maker)


def _presumed(
    steps: Mapping[str, Step], traffic: Mapping[str, Traffic], lacking: Mapping[str, Iterable[FilePath]], mentions: Mentions
) -> dict[str, set[str]]:
    """Edges into and out of engines that never ran: they may read every product, and make what others lack.

    Of two engines of which only one names the other, the named one is not presumed to read the other's products; of two that do not
    name each other, neither (they run beside each other); nor an engine what is made of its own DVI, which is then made once, of the
    last. A wrong hint costs a run, never a result.
    """
    fresh = [name for name in steps if not traffic[name].known]
    soft: dict[str, set[str]] = {}
    for engine in fresh:
        for name in steps:
            # A step that finds out what it writes, but is no engine (figures of METAPOST), reads no document's products.
            may_read = steps[engine].open_reads or not (steps[name].open_reads or steps[name].planner or steps[name].may_write)
            reads_it = may_read and steps[name].planner != engine and not _is_named_by(engine, name, mentions)
            if name != engine and reads_it and not _are_strangers(engine, name, mentions):
                soft.setdefault(name, set()).add(engine)
        for name, paths in lacking.items():
            if name != engine and may_feed(steps[engine], steps[name], paths, only_job=_is_named_by(name, engine, mentions)):
                soft.setdefault(engine, set()).add(name)
    return soft


def _is_named_by(one: str, other: str, mentions: Mentions) -> bool:
    return one in mentions.get(other, ()) and other not in mentions.get(one, ())


def _are_strangers(one: str, other: str, mentions: Mentions) -> bool:
    """Whether two engines' main files are known, and neither names the other's job, nor perhaps means it."""
    known = one in mentions and other in mentions
    return known and mentions[other].isdisjoint((one, PERHAPS + one)) and mentions[one].isdisjoint((other, PERHAPS + other))


def _late_makers(steps: Mapping[str, Step], lacking: Mapping[str, Iterable[FilePath]], hard: Mapping[str, Set[str]]) -> dict[str, set[str]]:
    """Edges from engines to steps that feed them but lack an input: a later pass may still write it, so they iterate together."""
    soft: dict[str, set[str]] = {}
    for name, paths in lacking.items():
        required = [] if steps[name].open_reads else [path for path in paths if path in steps[name].inputs]
        for engine in _behind(name, hard) if required else ():
            if steps[engine].open_reads and any(might_make(steps[engine], path) for path in required):
                soft.setdefault(engine, set()).add(name)
    return soft


def _behind(name: str, hard: Mapping[str, Set[str]]) -> set[str]:
    """Everything that depends on a step, directly or not."""
    found: set[str] = set()
    todo = [name]
    while todo:
        fresh = hard[todo.pop()] - found
        found |= fresh
        todo.extend(fresh)
    return found


def may_feed(engine: Step, reader: Step, lacking: Iterable[FilePath], only_job: bool = False) -> bool:
    """Whether an engine that never ran may be presumed to make one of the paths that ``reader`` lacks.

    ``only_job``: only files that bear its job's name count.
    """
    if not reader.open_reads and engine.open_reads:
        # What a METAPOST run merely looked for (it lacks no input) is no reason to wait for a document.
        return not reader.may_write or any(path in reader.inputs for path in lacking)
    others = (path for path in lacking if not any(path.startswith(own) for own in reader.may_write))
    if only_job:
        return any(path.startswith(prefix) for path in others for prefix in engine.may_write)
    return any(might_make(engine, path) for path in others)


def needed(
    goals: Iterable[FilePath],
    steps: Mapping[str, Step],
    traffic: Mapping[str, Traffic],
    present: Callable[[FilePath], bool],
    mentions: Mentions = NO_MENTIONS,
) -> set[str]:
    """The steps that the goals need, as far as known: makers of goals and of what they read, and so on.

    An engine that never ran may need every step that is no engine, and the engines that its main file names; what nobody is
    known to make may come from one.
    """
    maker = makers(traffic)
    fresh = [name for name in steps if not traffic[name].known]
    found: set[str] = set()
    todo: list[str] = []

    def want(path: FilePath, reader: Step | None) -> None:
        sources = maker.get(path)
        if sources is None and not present(path):
            sources = tuple(e for e in fresh if reader is None or e == reader.name or may_feed(steps[e], reader, (path,)))
            sources += tuple(e for e, step in steps.items() if not step.open_reads and any(map(path.startswith, step.may_write)))
            if reader is not None and not reader.open_reads and path in reader.inputs:  # any engine may write it in a later pass
                sources += tuple(e for e, step in steps.items() if step.open_reads and might_make(step, path))
        todo.extend(sources or ())

    for goal in goals:
        want(goal, None)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        if not traffic[name].known:
            named = mentions.get(name, ())
            todo.extend(o for o, step in steps.items() if (not step.open_reads and step.planner != name) or o in named)
        for path in traffic[name].reads:
            want(path, steps[name])
    return found
