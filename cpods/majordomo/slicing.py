"""A slice of a project: only the declarations whose steps a change can reach; all else is as the last good build left it.

Knows no build and no file system. DESIGN.md section 4: what nothing reaches is up to date, since it was then and nothing that
it read, looked for or made has changed.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from cpods import declaration as kinds
from cpods.declaration import Declaration, FederationSettings, Project, ProjectSettings, StoreSettings
from cpods.graph.reach import Reach
from cpods.ids import FilePath
from cpods.store.columns import packed

#: A slice of more than this share of all steps, and of more than so many, is no slice: a whole build looks at them faster.
_SHARE_MAX = 4
_STEPS_MAX = 64

_encode = msgspec.msgpack.Encoder().encode


class _Rest(msgspec.Struct, frozen=True):
    """A project without its declarations."""

    settings: ProjectSettings
    store: StoreSettings
    file: str
    federation: FederationSettings


class Slice(NamedTuple):
    """``steps``: numbers of the steps in it; ``names`` of them; ``paths``: all files that they read, looked for or made."""

    project: Project
    steps: list[int]
    names: frozenset[str]
    paths: frozenset[FilePath]
    total: int

    @property
    def goals(self) -> tuple[str, ...]:
        """Its steps: the goals of the whole needed each of them."""
        return tuple(sorted(self.names))


def project_parts(project: Project) -> dict[str, bytes]:
    """A project as parts of a file of columns, each declaration by itself; ``plain``: a byte each, 1 for one command line."""
    starts, bodies, size = array("Q", [0]), [], 0
    for index, declared in enumerate(project.declarations):
        where = project.where[index] if index < len(project.where) else ""
        body = _encode([type(declared).__name__, where, declared])
        bodies.append(body)
        size += len(body)
        starts.append(size)
    rest = _encode(_Rest(project.settings, project.store, project.file, project.federation))
    plain = bytes(isinstance(declared, kinds.ShellDeclaration) for declared in project.declarations)
    return {"project": packed((rest, starts.tobytes())), "declarations": b"".join(bodies), "plain": plain}


class Parted(Protocol):
    """A file that has the parts which :func:`project_parts` made."""

    def load(self, name: str) -> Any:
        """A part that is one value."""

    def raw(self, name: str) -> bytes:
        """A part's bytes."""


def slice_of(parts: Parted, reach: Reach, wary: Iterable[int], path_of: Callable[[int], FilePath], changed: Sequence[int]) -> Slice | None:
    """The slice that changed files reach; None if it is about the whole, or if a changed file is no step's.

    ``wary``: steps of whose outputs their readers see only a part, which those steps' declarations say. Raises ValueError,
    KeyError.
    """
    steps = steps_of_slice(reach, wary, changed)
    if steps is None:
        return None
    project = _project(parts, sorted({reach.declaration(step) for step in steps}))
    paths = frozenset(path_of(file) for step in steps for file in (*reach.reads(step), *reach.makes(step)))
    return Slice(project, steps, frozenset(reach.names[step] for step in steps), paths, len(reach.names))


def steps_of_slice(reach: Reach, wary: Iterable[int], changed: Sequence[int]) -> list[int] | None:
    """The steps that changed files reach, in order; None if the whole is to be looked at."""
    total = len(reach.names)
    if not all(reach.touching(file) for file in changed):  # the project file, above all
        return None
    steps = reach.reached(changed, max(_STEPS_MAX, total // _SHARE_MAX))
    if not steps or len(steps) >= total:
        return None
    return sorted({*steps, *_seen_in_part(reach, steps, wary)})


def whole_project(parts: Parted) -> Project:
    """The project as it was understood. Raises ValueError, KeyError."""
    return _project(parts, None)


def _project(parts: Parted, numbers: Sequence[int] | None) -> Project:
    """A project with the declarations of these places, or with all."""
    rest, columns = parts.load("project")
    starts = memoryview(columns).cast("Q")
    bodies = parts.raw("declarations")
    known = msgspec.msgpack.decode(rest, type=_Rest)
    places = range(len(starts) - 1) if numbers is None else numbers
    declared = [_declaration(bodies[starts[number] : starts[number + 1]]) for number in places]
    return Project(
        settings=known.settings,
        store=known.store,
        declarations=tuple(declaration for _, declaration in declared),
        where=tuple(where for where, _ in declared) if all(where for where, _ in declared) else (),
        file=known.file,
        federation=known.federation,
        positions=() if numbers is None else tuple(numbers),
    )


def outside_touched(reach: Reach, files: Iterable[int], inside: Iterable[int]) -> bool:
    """Whether a step that is not inside reads, looked for or makes one of these files."""
    known = set(inside)
    return any(step not in known for file in files for step in reach.touching(file))


def _seen_in_part(reach: Reach, steps: Iterable[int], wary: Iterable[int]) -> set[int]:
    """Steps with such outputs of which the given steps read one."""
    careful = set(wary)
    if not careful:
        return set()
    makers = {file: step for step in careful for file in reach.makes(step)}
    return {makers[file] for step in steps for file in reach.reads(step) if file in makers}


def _declaration(body: bytes) -> tuple[str, Declaration]:
    """Where it stands, and the declaration."""
    name, where, fields = msgspec.msgpack.decode(body)
    declared: Declaration = msgspec.convert(fields, getattr(kinds, name), strict=False)
    return where, declared
