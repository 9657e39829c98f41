"""The nouns: artefacts, steps, results, knots, pods. All frozen, none with behaviour beyond look-ups.

Knows no file system, no process and no graph.
"""

from typing import Literal

import msgspec

from cpods.digest import ABSENT
from cpods.ids import FilePath

Seed = str  # "warm", "clean" or a folder
Verdict = Literal["FIXED", "PERIOD", "DIVERGES", "FAILED", "NOSTART"]


class Artefact(msgspec.Struct, frozen=True, array_like=True):
    """One version of one file."""

    digest: str
    size: int


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that a tool complained about. ``line`` counts from 1; ``source`` is the text of that line."""

    message: str
    file: str | None = None
    line: int | None = None
    source: str | None = None
    severity: Literal["error", "warning"] = "error"


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One command: the unit of dispatch and of caching.

    ``position`` orders steps: place in the project file, then place behind the step that planned it. ``inputs`` must be
    there, ``optional`` are used if there, ``outputs`` must be made. ``env`` is the whole environment that the chef adds;
    of it ``quiet`` names do not count for the key. ``open_reads``: reads are known only after a run (an engine).
    ``may_write``: prefixes of paths that an open step may make. ``planner``: the step whose run asked for this helper.
    ``globs``: patterns whose listing is part of the reads. ``pure``: failed results may be kept.
    ``always_mirror``: run in a mirror even outside of a knot. ``tool_match``: whether a pod must have the same tools.
    ``parallel``: neighbours in pass order that have it (and one planner) run beside each other; all see the state before the
    first of them. ``any_date``: a result of another day counts, even if the step's engine runs today. ``ahead``: helpers that
    run in front of this step in each pass, known before it ever ran; ``argv_after``: its command where all their outputs are there.
    """

    name: str
    chef: str
    tool: str
    argv: tuple[str, ...]
    position: tuple[int, ...]
    cwd: str = "."
    inputs: tuple[FilePath, ...] = ()
    optional: tuple[FilePath, ...] = ()
    outputs: tuple[FilePath, ...] = ()
    globs: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    quiet: tuple[str, ...] = ()
    pass_env: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    open_reads: bool = False
    may_write: tuple[str, ...] = ()
    always_mirror: bool = False
    pure: bool = False
    planner: str | None = None
    depfile: FilePath = ""
    insignificant: tuple[str, ...] = ()
    main: FilePath = ""
    jobname: str = ""
    options: tuple[tuple[str, str], ...] = ()
    max_passes: int | None = None
    policy: Literal["fail", "choose"] = "fail"
    timeout: float | None = None
    tool_match: Literal["same", "any"] = "same"
    parallel: bool = False
    any_date: bool = False
    ahead: tuple["Step", ...] = ()
    argv_after: tuple[str, ...] = ()


class Exit(msgspec.Struct, frozen=True):
    """How a process ended. ``code`` is negative for a signal, as in subprocess; 127 if it could not be started."""

    code: int
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_bytes_max: int = 0
    timed_out: bool = False
    error: str = ""


class Observation(msgspec.Struct, frozen=True):
    """What a chef saw of one run. All paths are project paths.

    ``reads``: files whose content before the run was read. ``absent``: looked for, not there before the run.
    ``writes``: files that the run made or rewrote. ``helpers``: steps that its outputs ask for now.
    ``usable_outputs``: after a failure, whether what it wrote may be used on (LaTeX in nonstopmode). ``exit_code``: what
    the run counts as, where the program's own exit code is about more than the step. ``follows``: whether how it ended
    follows from what it read; a failure that does not is never kept.
    """

    reads: tuple[FilePath, ...] = ()
    absent: tuple[FilePath, ...] = ()
    writes: tuple[FilePath, ...] = ()
    problems: tuple[Problem, ...] = ()
    usable_outputs: bool = False
    helpers: tuple[Step, ...] = ()
    pages: int | None = None
    exit_code: int | None = None
    follows: bool = True


class Read(msgspec.Struct, frozen=True, array_like=True):
    """A recorded read: a path (or fact) and the edge digest that the reader saw, or ABSENT."""

    path: FilePath
    digest: str

    @property
    def absent(self) -> bool:
        """Whether the file was looked for and not there."""
        return self.digest == ABSENT


class Version(msgspec.Struct, frozen=True, array_like=True):
    """A written file: artefact and what filtered readers see of it, as (filter name, edge digest)."""

    digest: str
    size: int
    views: tuple[tuple[str, str], ...] = ()

    def seen(self, filter_name: str) -> str:
        """The edge digest for a reader with this filter ('' = identity)."""
        for name, digest in self.views:
            if name == filter_name:
                return digest
        return self.digest


class Output(msgspec.Struct, frozen=True, array_like=True):
    """A file that a step wrote."""

    path: FilePath
    version: Version


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run of a step, as stored in the manifest of its static key.

    ``date`` is the SOURCE_DATE_EPOCH of the run. ``usable``: the outputs may be used (always, if ``exit_code`` is 0).
    """

    static_key: str
    step: str
    reads: tuple[Read, ...]
    outputs: tuple[Output, ...]
    exit_code: int = 0
    problems: tuple[Problem, ...] = ()
    helpers: tuple[Step, ...] = ()
    usable: bool = True
    date: int = 0
    seconds: float = 0.0
    pages: int | None = None


class Remembered(msgspec.Struct, frozen=True):
    """What an earlier build knew of a step, by name: used to group steps, never to order them or to trust results."""

    reads: frozenset[FilePath]
    writes: frozenset[FilePath]
    helpers: tuple[Step, ...] = ()


class Moving(msgspec.Struct, frozen=True):
    """One thing that still changes in a knot: the artefact, the label if it is one, its values, where it is set."""

    artefact: FilePath
    label: str | None
    values: tuple[str, ...]
    source: str | None


class Solution(msgspec.Struct, frozen=True, omit_defaults=True):
    """What iterating a knot ended in. ``reads`` are the reads from outside the knot, over the whole way.

    ``outputs``: all files written by members, with the member that wrote each. ``last``: members' last results by name.
    ``verdict`` None: one pass was asked for. ``tail``/``period`` in passes (None where there is none).
    ``cap``: the pass limit that DIVERGES was found under.
    ``members``: declared steps in project order; ``order``: all in pass order, helpers too. ``knot``: False for one step
    without feedback. ``cycle``: feedback files after each pass of the cycle (or the last passes), for the diagnosis.
    ``settled``: by step, also one that was dropped on the way, the passes in which it got a result, run or stored.
    """

    key: str
    seed: str
    verdict: Verdict | None
    members: tuple[str, ...]
    reads: tuple[tuple[str, tuple[Read, ...]], ...]
    outputs: tuple[tuple[str, Output], ...]
    last: tuple[tuple[str, Result], ...]
    feedback: tuple[FilePath, ...] = ()
    passes: int = 0
    tail: int | None = None
    period: int | None = None
    distinct_states: int = 0
    cap: int = 0
    date: int = 0
    order: tuple[str, ...] = ()
    knot: bool = True
    failed: tuple[str, ...] = ()
    cycle: tuple[tuple[Output, ...], ...] = ()
    moving: tuple[Moving, ...] = ()
    settled: tuple[tuple[str, tuple[int, ...]], ...] = ()


class Knot(msgspec.Struct, frozen=True):
    """A strongly connected component with more than one step, or a step that reads what it writes; steps in pass order."""

    steps: tuple[str, ...]


class Pod(msgspec.Struct, frozen=True):
    """A machine's worker as placement sees it. ``slots``: steps it runs at once; ``tools``: fingerprint by program."""

    name: str
    slots: int
    chefs: tuple[str, ...] = ()
    tools: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
