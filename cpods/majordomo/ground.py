"""What a finished build stood on: every file that it read, missed or made, as it was then.

Knows no catalogue; the null-build check compares these rows with the folder.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from cpods.declaration import Project
from cpods.graph.reach import Entry, reach_of
from cpods.ids import GLOB_FACT, FilePath, is_fact
from cpods.majordomo.context import Build
from cpods.majordomo.slicing import project_parts
from cpods.model import Result
from cpods.ports import FileState
from cpods.store.columns import packed
from cpods.store.filecolumns import ABSENT_SIZE, FileColumns, Row, of_rows
from cpods.store.glance import Ground
from cpods.synctex import ENDINGS as SYNCTEX_ENDINGS


def ground_of(build: Build, others: Iterable[FilePath]) -> Ground | None:
    """The ground of a build that ended well; None if something changed meanwhile, so that nothing can be promised.

    ``others``: files that decide the plan without being read by a step (the project file).
    """
    results = _results(build)
    if _is_torn(build, results):
        return None
    reads = {read.path: read.absent for result in results for read in result.reads if not is_fact(read.path)}
    finished = build.core.finished_steps()
    made = {path for path, written in build.parts.memory.written.items() if written.step in finished}
    patterns = sorted({read.path[len(GLOB_FACT) :] for result in results for read in result.reads if read.path.startswith(GLOB_FACT)})
    rows: list[Row] = []
    for path in {*reads, *made, *others, *build.planned.goals}:
        row = _row(build, path, may_appear=not reads.get(path, False) or path in made or build.scene.is_product(path))
        if row is None:
            return None
        rows.append(row)
    stamps = sorted({stamp for fingerprint in build.parts.keys.used.values() for stamp in fingerprint.stamps})
    return Ground(rows, stamps, {pattern: build.parts.eyes.matches(pattern) for pattern in patterns})


def _is_torn(build: Build, results: Sequence[Result]) -> bool:
    """Whether a file changed after some step had read or made it, and then another step saw it: its state tells of the change no more.

    Or whether files came to match a plain step's pattern, or matched it no more, after it had run.
    """
    changed: Collection[FilePath] = getattr(build.parts.folder, "changed", ())
    matches = build.parts.eyes.matches
    plain = [result for result in results if result.step in build.planned.steps and not _in_knot(build, result.step)]
    facts = {(read.path, read.digest) for result in plain for read in result.reads if read.path.startswith(GLOB_FACT)}
    if any(seen != matches(path[len(GLOB_FACT) :]) for path, seen in facts):
        return True
    if not changed:
        return False
    written, digest = build.parts.memory.written, build.parts.folder.digest
    if any(path in written and written[path].digest != digest(path) and not path.endswith(SYNCTEX_ENDINGS) for path in changed):
        return True
    steps = {**build.planned.steps, **{helper.name: helper for result in results for helper in result.helpers}}
    for result in results:
        for read in result.reads:
            if read.path in changed:
                step = steps.get(result.step)
                now = digest(read.path) if step is None else build.parts.eyes.edge(step, read.path)
                if now != read.digest:
                    return True
    return False


def _in_knot(build: Build, step: str) -> bool:
    unit = build.core.units.of_step(step)
    return unit is None or unit.mirrored


def stands_as_made(build: Build, rows: Iterable[Row]) -> bool:
    """Whether the bytes of every product in the folder are those that its step made, which the store has."""
    written = build.parts.memory.written
    return not any(
        row[0] in written and row[5] and row[5] != written[row[0]].digest and not row[0].endswith(SYNCTEX_ENDINGS) for row in rows
    )


def _results(build: Build) -> list[Result]:
    """Last results of all steps that the goals needed, helpers included."""
    known = build.parts.memory.results
    found: list[Result] = []
    for name in build.core.finished_steps():
        found += _with_helpers(name, known)
    for solution in build.core.solutions.values():
        found += (result for _, result in solution.last)
    return found


def _row(build: Build, path: FilePath, may_appear: bool) -> Row | None:
    state = build.parts.memory.files.get(path)
    if state is not None:
        return _of_state(path, state)
    if os.path.lexists(os.path.join(build.parts.folder.root, path)):
        if not may_appear:
            return None
        build.parts.folder.digest(path)
        state = build.parts.memory.files.get(path)
        return None if state is None else _of_state(path, state)
    return (path, ABSENT_SIZE, 0, 0, 0, "", 0)


def _of_state(path: FilePath, state: FileState) -> Row:
    return (path, state.size, state.mtime_ns, state.ctime_ns, state.inode, state.digest, state.checked_ns)


def columns_of(build: Build, project: Project, ground: Ground) -> tuple[FileColumns, dict[str, bytes]] | None:
    """The files of a ground in columns, and the parts with which a later build can look at the reach of a change only.

    None if they cannot be kept so (digests of two algorithms).
    """
    try:
        files = of_rows(ground.rows)
    except ValueError:
        return None
    numbers = {files.path(number): number for number in range(len(files))}
    reach = reach_of(entries_of(build, numbers.get), len(files))
    wary = [index for index, name in enumerate(reach.names) if build.planned.steps[name].insignificant]
    return files, {"reach": packed((reach.columns(), wary)), **project_parts(project)}


def entries_of(build: Build, number: Callable[[FilePath], int | None]) -> Iterator[Entry]:
    """What the build's finished steps read and make, with what their helpers do; paths that have no number are left out."""
    makes: dict[str, set[FilePath]] = {}
    for path, written in build.parts.memory.written.items():
        makes.setdefault(written.step, set()).add(path)
    known = build.parts.memory.results
    finished = set(build.core.finished_steps())
    for name, step in build.planned.steps.items():
        if name not in finished:
            continue
        traffic = build.core.knowledge.traffic[name]
        reads, writes = set(traffic.reads), traffic.writes | makes.get(name, set())
        for result in _with_helpers(name, known):
            reads.update(read.path for read in result.reads)
            writes |= {output.path for output in result.outputs} | makes.get(result.step, set())
        yield Entry(
            name,
            step.position[0],
            {found for path in reads if (found := number(path)) is not None},
            {found for path in writes if (found := number(path)) is not None},
        )


def _with_helpers(name: str, known: Mapping[str, Result]) -> list[Result]:
    if name not in known:
        return []
    return [known[name], *(known[helper.name] for helper in known[name].helpers if helper.name in known)]
