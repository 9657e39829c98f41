"""What all helper steps share: their frame, their chef's plain duties, and the files that a script names.

Knows no tool. Tools that do not say what they read are covered by :func:`named_files`: every quoted name in a script that
is a project file counts as read, every one that looks like a file's and is none as looked for.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from cpods.chefs import texsystem
from cpods.chefs.recorder import Places, is_report
from cpods.chefs.shell import failure
from cpods.declaration import Declaration
from cpods.ids import FilePath, is_outside, normalise
from cpods.model import Exit, Observation, Problem, Remembered, Step
from cpods.ports import Toolbox, View

_PROBLEMS_MAX = 50
_QUOTED = re.compile(r"\"([^\"\n]{1,200})\"|'([^'\n]{1,200})'")
_FILE_LIKE = re.compile(r"^[\w@+./ -]*\w\.[A-Za-z]\w{0,7}$")
_NESTED_MAX = 200
_SCRIPT_BYTES_MAX = 4 << 20
#: Files that name no others: they are not looked into.
_DATA = (
    *(".dat", ".csv", ".tsv", ".json", ".xml", ".npy", ".npz", ".h5", ".hdf5", ".parquet", ".bin", ".pkl", ".gz", ".xz", ".bz2", ".zip"),
    *(".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".pdf", ".eps", ".ps"),
)

Nested = Callable[[str], Iterable[str]]


class Asked(msgspec.Struct, frozen=True):
    """What a run tells of files: ``missed`` and ``read`` paths of the project, and those it ``wrote``."""

    view: View
    missed: frozenset[FilePath]
    read: frozenset[FilePath]
    wrote: frozenset[FilePath]

    @property
    def wanted(self) -> list[FilePath]:
        """Files that the run looked for, there or not, and did not write itself; sorted."""
        return sorted(path for path in self.missed | self.read if path not in self.wrote and not is_outside(path))


def engine_date(engine: Step) -> tuple[tuple[str, str], ...]:
    """Variables of the engine's own environment that its helpers get as well: none of those that only shape logs."""
    return tuple(pair for pair in engine.env if pair[0] not in engine.quiet)


def engine_env(engine: Step) -> tuple[str, ...]:
    """Names that the project passes to the engine beyond the chef's list."""
    return tuple(name for name in engine.pass_env if name not in texsystem.PASS_ENV)


def helper_step(engine: Step, name: str, argv: Sequence[str], place: tuple[int, ...], cwd: str | None = None) -> Step:
    """The frame of a helper: ``name`` is ``tool:what``, the chef that of the tool; it runs in the engine's folder unless told.

    ``place``: its place behind the engine. Inputs, outputs and what it may write are the caller's to add.
    """
    tool = name.split(":", 1)[0]
    return Step(
        name=name,
        chef=tool,
        tool=tool,
        argv=tuple(argv),
        position=(*engine.position, *place),
        cwd=engine.cwd if cwd is None else cwd,
        env=engine_date(engine),
        pass_env=texsystem.PASS_ENV + engine_env(engine),
        open_reads=True,
        always_mirror=True,
        pure=True,
        planner=engine.name,
        timeout=engine.timeout,
        tool_match=engine.tool_match,
        parallel=True,
    )


def if_missing(step: Step) -> Step:
    """``step``, planned only while no file stands at its outputs that is not its own (see KnotRun)."""
    return replace(step, options=(*step.options, ("if_missing", "yes")))


def text_of(data: bytes | None) -> str:
    """A script's text; bytes that are no UTF-8 are replaced."""
    return (data or b"").decode("utf-8", "replace")


def said(exit: Exit) -> str:
    """What a tool printed, search traces aside."""
    texts = (text_of(data) for data in (exit.stdout, exit.stderr))
    return "\n".join(line for text in texts for line in text.splitlines() if "kdebug:" not in line)


def quoted(text: str) -> tuple[str, ...]:
    """All quoted words of a script, each once."""
    return tuple(dict.fromkeys(one or two for one, two in _QUOTED.findall(text)))


def named_files(
    start: Iterable[FilePath], cwd: str, view: View, endings: Sequence[str] = (), nested: Nested = lambda text: ()
) -> tuple[set[FilePath], set[FilePath]]:
    """(read, looked for in vain): files that the scripts ``start`` name in quotes, and those that these name in turn.

    ``endings`` are also tried behind a name; ``nested`` finds names that stand without quotes. Names are relative to ``cwd``.
    """
    places = Places(view.root, cwd)
    todo, done = list(start), set[FilePath]()
    reads: set[FilePath] = set()
    absent: set[FilePath] = set()
    while todo and len(done) < _NESTED_MAX:
        script = todo.pop(0)
        if script in done:
            continue
        done.add(script)
        text = text_of((view.read(script) or b"")[:_SCRIPT_BYTES_MAX])
        names = [name + ending for name in (*quoted(text), *nested(text)) for ending in ("", *endings) if _is_name(name)]
        for path in filter(None, map(places.project_path, names)):
            if is_report(path):
                continue
            if view.exists(path) if is_outside(path) else view.before(path):
                reads.add(path)
                if not path.lower().endswith(_DATA):
                    todo.append(path)
            elif not is_outside(path) and _FILE_LIKE.match(path):
                absent.add(path)
    return reads, absent


def _is_name(name: str) -> bool:
    return name.isprintable() and not name.endswith("/") and "://" not in name


class HelperChef:
    """A chef whose steps engines ask for: it plans none by itself. Subclasses say what a run read and complained of."""

    name = ""
    version = 1
    #: Programs whose binaries count, and folders whose owning packages count.
    tools: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]) -> Sequence[Step]:
        """Nothing: helpers are asked for by the engine's outputs."""
        return ()

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """Declared files, what :meth:`seen` adds, every file that the run changed, and what the tool complained of."""
        more, missed = self.seen(step, view, exit)
        declared = (*step.inputs, *step.optional)
        changed = set(view.changed())
        # What a run rewrites, though a script names it, it makes: it is no input.
        reads = {*(more - changed), *(path for path in declared if view.before(path))} - set(step.outputs)
        absent = {*missed, *(path for path in declared if not view.before(path))}
        problems = self.problems(step, exit, view) or failure(step.name, exit)
        writes = tuple(path for path in sorted(changed) if self.is_write(step, path) and view.exists(path))
        if not problems and exit.code == 0:
            problems = tuple(
                Problem(f"step {step.name} ended well but did not make {path}", step.main or None)
                for path in step.outputs
                if not view.exists(path)
            )
        return Observation(
            reads=tuple(sorted(reads)),
            absent=tuple(sorted(absent - reads - set(step.outputs) - set(writes))),
            writes=writes,
            problems=tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem.severity != "error")[:_PROBLEMS_MAX]),
            usable_outputs=texsystem.ended_by_itself(exit),
        )

    def seen(self, step: Step, view: View, exit: Exit) -> tuple[set[FilePath], set[FilePath]]:
        """(read, looked for in vain) beyond what the step declares."""
        return set(), set()

    def problems(self, step: Step, exit: Exit, view: View) -> tuple[Problem, ...]:
        """Complaints with their places; empty: the tool's last words are shown if it failed."""
        return ()

    def is_write(self, step: Step, path: FilePath) -> bool:
        """Whether a file that changed during the run is a product of it."""
        return not path.endswith(".fls")

    def filter_for(self, step: Step, path: FilePath) -> str:
        """Identity, unless the tool provably ignores a part."""
        return ""

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """The part of ``data`` that readers with filter ``name`` see."""
        return data

    def fingerprint(self, step: Step, toolbox: Toolbox) -> str:
        """Binaries, owners of the TeX trees and of the tool's own, own trees."""
        return texsystem.helper_fingerprint(self.tools, toolbox, self.trees)


def placed(pattern: re.Pattern[str], text: str, step: Step, severity: str = "error") -> tuple[Problem, ...]:
    """Problems out of a pattern with the groups ``file``, ``line`` and ``message``; files are relative to the step's folder."""
    return tuple(
        Problem(
            found["message"].strip(),
            normalise(posixpath.normpath(found["file"]), step.cwd),
            int(found["line"]),
            severity="warning" if severity == "warning" else "error",
        )
        for found in pattern.finditer(text)
    )
