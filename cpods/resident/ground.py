"""What a build stood on that came to no good end: so that the change which mends it is seen.

Knows no watch. A good build's ground is in the catalogue (majordomo/ground.py); this one is never an answer to a null build.
"""

import marshal
import os
import time
from collections.abc import Iterable

from cpods.digest import DEFAULT_ALGORITHM, of_bytes, of_file
from cpods.ids import GLOB_FACT, FilePath, is_fact
from cpods.majordomo.context import Build
from cpods.project import PROJECT_FILE
from cpods.resident.footing import ALL_FILES, Footing, folders_digest, footing_from
from cpods.store import glance
from cpods.store.filecolumns import ABSENT_SIZE, Row
from cpods.store.files import stamp_of, stat_regular
from cpods.store.glance import ToolStamp
from cpods.store.tree import is_text, walk

#: Of a project with more files than this, only the project file and the goals are watched until it can be planned.
_TREE_FILES_MAX = 20_000
#: Files that were just written count as looked at long after that.
_PROVEN_NS = 1_000_000_000


def write_ground(path: str, root: str, build: Build | None, goals: Iterable[str]) -> None:
    """Writes what a build looked at, for :func:`cpods.resident.footing.read_ground`. Raises OSError."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        marshal.dump(_content(root, build, goals), file)
    os.replace(temporary, path)


def footing_of(root: str, build: Build | None, goals: Iterable[str]) -> Footing | None:
    """What a build in this process looked at; without a build (it could not be planned): every file of the project."""
    return footing_from(root, *_content(root, build, goals))


def _content(
    root: str, build: Build | None, goals: Iterable[str]
) -> tuple[list[Row], list[ToolStamp], dict[str, str], list[FilePath], str]:
    """Files, tools and patterns that counted, what steps were to make; and the folders' digest, if all of the project counted."""
    paths = {PROJECT_FILE, *(goal for goal in goals if goal)}
    if build is None:
        rows, globs = _tree(root, paths)
        return rows, [], globs, [], folders_digest(root) if globs else ""
    paths |= _looked_at(build)
    patterns = {path[len(GLOB_FACT) :] for path in paths if path.startswith(GLOB_FACT)}
    stamps = sorted({stamp for fingerprint in build.parts.keys.used.values() for stamp in fingerprint.stamps})
    rows = [_row(root, build, path) for path in sorted(paths) if not is_fact(path) and "\0" not in path]
    products = sorted({output for step in build.planned.steps.values() for output in step.outputs})
    return rows, stamps, {pattern: build.parts.eyes.matches(pattern) for pattern in sorted(patterns)}, products, ""


def _tree(root: str, paths: set[FilePath]) -> tuple[list[Row], dict[str, str]]:
    """Anything may mend a project that could not be planned. Its files are not hashed: whatever is saved counts.

    The second: the pattern of all files; nothing if these are too many to be watched.
    """
    files = [path for path in walk(root).files if is_text(path)]
    if len(files) > _TREE_FILES_MAX:
        return [_present(path, os.path.join(root, path)) for path in sorted(paths)], {}
    unhashed = of_bytes(b"")
    rows: list[Row] = []
    for path in sorted({*paths, *files}):
        status = stat_regular(os.path.join(root, path))
        stamp = (ABSENT_SIZE, 0, 0, 0) if status is None else stamp_of(status)
        rows.append((path, *stamp, "" if status is None else unhashed, time.time_ns() + _PROVEN_NS))
    return rows, glance.glob_digests(root, [ALL_FILES])


def _looked_at(build: Build) -> set[FilePath]:
    """Everything that decided how the build went: recorded reads, declared inputs, what failed runs read or missed, products."""
    known, planned = build.parts.memory.results, build.planned
    found: set[FilePath] = set(planned.goals)
    for name, step in planned.steps.items():
        found |= {*step.inputs, *step.optional, *(GLOB_FACT + pattern for pattern in step.globs)}
        if (result := known.get(name)) is not None:
            found |= {read.path for read in result.reads}
            for helper in result.helpers:
                found |= {*helper.inputs, *helper.optional}
                found |= {read.path for read in known[helper.name].reads} if helper.name in known else set()
    for reads in build.core.spoilt_reads.values():
        found |= set(reads)
    for solution in build.core.solutions.values():
        found |= {read.path for _, result in solution.last for read in result.reads}
    finished = build.core.finished_steps()
    return found | {path for path, written in build.parts.memory.written.items() if written.step in finished}


def _row(root: str, build: Build, path: FilePath) -> Row:
    """A file as the build saw it; one that it did not look at as it is now."""
    absolute = path if path[0] == "/" else os.path.join(root, path)
    folder = build.parts.folder
    if path in getattr(folder, "changed", ()):  # some steps may have seen it before that: as if it were new
        return (path, ABSENT_SIZE, 0, 0, 0, "", 0)
    if not hasattr(folder, "known") or folder.known(path, time.time_ns()) is None:
        return _present(path, absolute, build.parts.objects.algorithm)
    state = build.parts.memory.files.get(path)
    if state is None:
        return (path, ABSENT_SIZE, 0, 0, 0, "", 0)
    return (path, state.size, state.mtime_ns, state.ctime_ns, state.inode, state.digest, state.checked_ns)


def _present(path: FilePath, absolute: str, algorithm: str = DEFAULT_ALGORITHM) -> Row:
    """A file as it is now."""
    checked_ns = time.time_ns()
    try:
        status = stat_regular(absolute)
        if status is not None:
            return (path, *stamp_of(status), of_file(absolute, algorithm)[0], checked_ns)
    except OSError:
        pass
    return (path, ABSENT_SIZE, 0, 0, 0, "", 0)
