"""Puts together what `cpods graph show` draws: steps, edges and knots as declared, and as earlier runs found them.

Knows no format; graph/render.py draws.
"""

from collections.abc import Mapping

from cpods.digest import ABSENT
from cpods.graph.condense import components
from cpods.graph.order import pass_order
from cpods.graph.render import Edge, Group, Node, Picture, connect
from cpods.graph.stale import Finding, stuck
from cpods.ids import FilePath, is_fact, is_outside
from cpods.majordomo.context import Build
from cpods.model import Step


def picture(build: Build, findings: Mapping[str, Finding] | None = None) -> Picture:
    """The graph of all steps that the build's goals need, helpers included; ``findings`` add what would run."""
    knowledge = build.core.knowledge
    declared = knowledge.regraph(build.planned.goals)
    parts = components(knowledge.graph.joined(), {name: knowledge.rank[name] for name in declared})
    steps: dict[str, Step] = {}
    for name, step in declared.items():
        steps[name] = step
        steps.update((helper.name, helper) for helper in helpers(build, name))
    reads = {name: _reads(build, step) for name, step in steps.items()}
    writes = {name: _writes(build, step) for name, step in steps.items()}
    knots = [group for part in parts if (group := _group(build, part)) is not None]
    edges = connect(list(steps), reads, writes, knots)
    made = frozenset(path for paths in writes.values() for path in paths)
    maker = makers(build)
    return Picture(
        nodes=tuple(_node(build, step, reads[name], made, findings) for name, step in steps.items()),
        edges=(*edges, *_presumed(build, edges)),
        knots=tuple(knots),
        goals=tuple((goal, maker.get(goal)) for goal in build.planned.goals),
    )


def helpers(build: Build, name: str) -> tuple[Step, ...]:
    """The helpers that a step's last run asked for, in pass order."""
    result = build.parts.memory.results.get(name)
    return tuple(sorted(result.helpers, key=lambda helper: (helper.position, helper.name))) if result is not None else ()


def makers(build: Build) -> dict[FilePath, str]:
    """The step that writes each path: a helper that is known to have written it, else a declared step."""
    found = {path: names[0] for path, names in build.core.knowledge.graph.maker.items()}
    for name, step in build.planned.steps.items():
        found.update((path, name) for path in step.outputs)
        for helper in helpers(build, name):
            found.update((path, helper.name) for path in _writes(build, helper))
    return found


def _reads(build: Build, step: Step) -> frozenset[FilePath]:
    result = build.parts.memory.results.get(step.name)
    seen = (read.path for read in result.reads) if result is not None else ()
    return frozenset(path for path in (*step.inputs, *step.optional, *seen) if not is_fact(path))


def _writes(build: Build, step: Step) -> frozenset[FilePath]:
    result = build.parts.memory.results.get(step.name)
    return frozenset(step.outputs) | frozenset(output.path for output in (result.outputs if result is not None else ()))


def _group(build: Build, part: tuple[str, ...]) -> Group | None:
    """A component as a knot, None if it is a single step that does not read what it (or a helper of it) writes."""
    if len(part) == 1 and not build.core.knowledge.reads_own_writes(part[0]):
        return None
    order: list[str] = []
    for step in pass_order([build.planned.steps[name] for name in part]):
        order += [step.name, *(helper.name for helper in helpers(build, step.name))]
    memory = build.parts.memory.knots.get(part[0])
    good = memory.good if memory is not None and memory.unstable is None else None
    if memory is None and stuck([build.planned.steps[name] for name in part], lambda path: _is_there(build, part, path)):
        return Group(tuple(order), "NOSTART")
    return Group(tuple(order), good.verdict if good is not None else None, good.passes if good is not None else None)


def _is_there(build: Build, part: tuple[str, ...], path: FilePath) -> bool:
    """Whether a path stands there, or some step outside of the component makes it."""
    made = build.core.knowledge.graph.maker.get(path, ())
    return any(name not in part for name in made) if made else build.core.plan.present(path)


def _node(build: Build, step: Step, reads: frozenset[FilePath], made: frozenset[FilePath], findings: Mapping[str, Finding] | None) -> Node:
    digest = build.parts.folder.digest
    finding = findings.get(step.name) if findings is not None else None
    own = sorted(path for path in reads if not is_outside(path) and path not in made)
    return Node(
        name=step.name,
        chef=step.chef,
        tool=step.tool,
        outputs=step.outputs,
        sources=tuple(path for path in own if digest(path) != ABSENT),
        missing=tuple(path for path in step.inputs if path not in made and digest(path) == ABSENT),
        helper_of=step.planner,
        state=finding.state.replace("_", " ") if finding is not None else "",
    )


def _presumed(build: Build, known: tuple[Edge, ...]) -> list[Edge]:
    """Edges that are only presumed, since an engine has never run, and that are not known besides."""
    there = {(edge.maker, edge.reader) for edge in known}
    soft = build.core.knowledge.graph.soft
    found = []
    rank = build.core.knowledge.rank
    for maker in sorted(soft, key=rank.__getitem__):
        found += [
            Edge(maker, reader, presumed=True) for reader in sorted(soft[maker], key=rank.__getitem__) if (maker, reader) not in there
        ]
    return found


def readers_of(build: Build, path: FilePath, names: list[str]) -> list[str]:
    """Which of the named steps (helpers too) read a path, as declared or as their last run showed."""
    steps = dict(build.planned.steps)
    for name in build.planned.steps:
        steps.update((helper.name, helper) for helper in helpers(build, name))
    return [name for name in names if name in steps and path in _reads(build, steps[name])]
