"""From a project to steps: asks the chefs, resolves goals, tells sources from products.

Knows no scheduling and runs nothing.
"""

import os
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

import msgspec

from cpods.chefs.leftovers import leftovers
from cpods.chefs.mentions import mentioned, touched
from cpods.declaration import Project
from cpods.digest import ABSENT
from cpods.errors import UsageError
from cpods.globs import is_pattern
from cpods.graph.build import PERHAPS
from cpods.ids import FilePath, normalise
from cpods.model import Remembered, Result, Step
from cpods.ports import Chef, Memory, Workspace

_NAMED_MAX = 5
#: Chefs that plan by what lies in the folder.
_LISTING_CHEFS = ("latex", "tex", "context", "metapost")
_PLANNED_FACT = "planned:"


class Planned(msgspec.Struct, frozen=True):
    """What is to be built, before anything is known of its state.

    ``leftovers``: files that some earlier tool left where a step will write, neither source nor product, by owner.
    ``mentions``: documents by the documents whose files they name in their main file, as a hint who goes first.
    ``orphans``: recorded products of steps that this project file no longer declares; they count as sources now.
    ``dropped``: recorded products of steps that declare now that they make others: a build from nothing would not see them.
    """

    steps: Mapping[str, Step]
    goals: tuple[FilePath, ...]
    remembered: Mapping[str, Remembered]
    leftovers: Mapping[FilePath, str]
    orphans: tuple[FilePath, ...]
    where: Mapping[str, str]
    mentions: Mapping[str, frozenset[str]] = {}
    dropped: tuple[FilePath, ...] = ()


def plan(project: Project, goals: Sequence[str], folder: Workspace, memory: Memory, chefs: Mapping[str, Chef]) -> Planned:
    """All steps of the project in order, and the wanted goals as paths. Raises UsageError."""
    remembered = _recollections(memory)
    patterned = any(is_pattern(p) for d in project.declarations for p in (*getattr(d, "inputs", ()), *getattr(d, "sources", ())))
    listing = list(folder.listing()) if patterned or any(d.chef in _LISTING_CHEFS for d in project.declarations) else []
    known = [*listing, *(output for d in project.declarations for output in map(normalise, getattr(d, "outputs", ())))]
    known = sorted(set(known))
    steps: dict[str, Step] = {}
    where: dict[str, str] = {}
    for index, declaration in enumerate(project.declarations):
        position = project.positions[index] if project.positions else index
        for step in chefs[declaration.chef].plan(declaration, position, known, remembered):
            place = project.where[index] if index < len(project.where) else project.file
            if step.name in steps:
                raise UsageError(f"{place}: step {step.name} is declared twice; give one of them another name")
            steps[step.name] = step
            where[step.name] = place
    steps = dict(sorted(steps.items(), key=lambda item: item[1].position))
    _check_outputs(steps, where)
    _check_places(steps, folder.root)
    before = set(memory.facts.get(planned_fact(project), "").split("\n"))
    gone = before - steps.keys()
    return Planned(
        steps=steps,
        goals=resolve_goals(goals, steps, where),
        remembered={name: known_now for name, known_now in remembered.items() if name in steps},
        leftovers=leftovers([step for step in steps.values() if step.open_reads], listing, memory.written),
        orphans=tuple(sorted(path for path, written in memory.written.items() if written.step in gone)),
        where=where,
        mentions=_mentions([step for step in steps.values() if step.open_reads], folder),
        dropped=tuple(path for path, written in memory.written.items() if written.step in steps and _is_dropped(path, steps[written.step])),
    )


def _is_dropped(path: FilePath, step: Step) -> bool:
    """Whether a step that makes what it declares and nothing else made ``path`` once, and does not declare it any more."""
    return not (step.open_reads or step.may_write) and path not in step.outputs and path != step.depfile


def planned_fact(project: Project) -> str:
    """The fact that remembers, one a line, the steps that this project file, or this bare document, declared at the last build."""
    return _PLANNED_FACT + (project.file or project.settings.name)


def _mentions(engines: Sequence[Step], folder: Workspace) -> dict[str, frozenset[str]]:
    """By engine, the others whose jobs its main file names, or perhaps means. Read only where there are several documents."""
    if len(engines) < 2:
        return {}
    found: dict[str, frozenset[str]] = {}
    for step in engines:
        main, others = folder.read(step.main) or b"", [other for other in engines if other is not step]
        found[step.name] = mentioned(main, others) | {PERHAPS + name for name in touched(main, others)}
    return found


def _recollections(memory: Memory) -> dict[str, Remembered]:
    """What the last result of every step tells of its traffic."""
    written: dict[str, list[FilePath]] = {}
    for path, entry in memory.written.items():
        written.setdefault(entry.step, []).append(path)
    return {name: _recollect(result, memory, written.get(result.step, ())) for name, result in memory.results.items()}


def _recollect(result: Result, memory: Memory, written: Iterable[FilePath]) -> Remembered:
    """What the last result of a step (with its helpers' last results), and what it wrote, tells of its traffic."""
    results = [result, *(memory.results[helper.name] for helper in result.helpers if helper.name in memory.results)]
    reads = frozenset(read.path for each in results for read in each.reads)
    return Remembered(reads, frozenset(written) | frozenset(output.path for each in results for output in each.outputs), result.helpers)


def resolve_goals(goals: Sequence[str], steps: Mapping[str, Step], where: Mapping[str, str]) -> tuple[FilePath, ...]:
    """Goals as paths: a step's name stands for its outputs; no goal at all for everything that any step makes."""
    if not goals:
        return tuple(path for step in steps.values() for path in step.outputs)
    wanted: list[FilePath] = []
    for goal in goals:
        if goal in steps:
            wanted += steps[goal].outputs
        else:
            wanted.append(normalise(goal))
    return tuple(dict.fromkeys(wanted))


def _check_outputs(steps: Mapping[str, Step], where: Mapping[str, str]) -> None:
    claimed: dict[FilePath, str] = {}
    for name, step in steps.items():
        for path in step.outputs:
            if path in claimed:
                raise UsageError(
                    f"{path}: both {claimed[path]} ({where[claimed[path]]}) and {name} ({where[name]}) make it; a file has one maker"
                )
            claimed[path] = name


def _check_places(steps: Mapping[str, Step], root: str) -> None:
    """Nothing that a step names may lead out of the project by a link, and its working folder must be there."""
    real_root = os.path.realpath(root)
    real = cache(lambda folder: os.path.realpath(os.path.join(root, folder)))
    is_folder = cache(lambda path: os.path.isdir(os.path.join(root, path)))
    for step in steps.values():
        for path in step.outputs:
            folder = real(posixpath.dirname(path))
            if folder != real_root and not folder.startswith(real_root + os.sep):
                raise UsageError(f"{path}: step {step.name} would write it outside of the project, as a link leads to {folder}")
            if is_folder(path):
                raise UsageError(f"{path}: step {step.name} makes a file of that name, but a folder is there; move it away")
        for path in step.inputs:
            if is_folder(path):
                raise UsageError(
                    f"{path}: step {step.name} reads it as a file, but it is a folder; name its files or a pattern like {path}/*"
                )
        if not is_folder(step.cwd):
            raise UsageError(f"step {step.name}: its folder {step.cwd} is not there; make it or change cwd")


def check_clashes(
    planned: Planned, memory: Memory, folder: Workspace, is_known_output: Callable[[Step, FilePath, str], bool], force: bool
) -> None:
    """Refuses to write over sources: files at a step's outputs that cpods did not make. Raises UsageError; ``force`` allows it."""
    foreign = []
    for step in planned.steps.values():
        for path in () if step.open_reads or step.planner or force else step.outputs:
            found = folder.digest(path)
            if found != ABSENT and path not in memory.written and path not in step.optional and not is_known_output(step, path, found):
                foreign.append((step.name, path))
    if not foreign:
        return
    names = ", ".join(f"{path} (made by step {name})" for name, path in foreign[:_NAMED_MAX])
    more = f" and {len(foreign) - _NAMED_MAX} more" if len(foreign) > _NAMED_MAX else ""
    raise UsageError(
        f"there already, but not made by cpods: {names}{more}; move them away, or call `cpods rebuild --force`, which replaces them "
        "and keeps their content in the store (a file that a step starts from is named in both optional and outputs)"
    )
