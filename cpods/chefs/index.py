"""makeindex (after splitindex) and makeglossaries: when a document asks for them, what they read, and what they complain about.

Know no engine: they are planned from the .idx and .aux files that one wrote.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from cpods.chefs import texsystem
from cpods.chefs.helping import engine_date, engine_env
from cpods.chefs.kpathsea import DEBUG_LEVEL, read_trace
from cpods.chefs.recorder import Places, Recording, traffic
from cpods.chefs.splitindex import parts, splitindex_helper
from cpods.chefs.texaux import in_folder, makeglossaries_part, read_aux
from cpods.declaration import Declaration
from cpods.ids import FilePath, normalise
from cpods.model import Exit, Observation, Problem, Remembered, Step
from cpods.ports import Toolbox, View

_GLOSSARIES_AUX = "makeglossaries-aux/1"
_PROBLEMS_MAX = 50
_IMAKEIDX = re.compile(r"Remember to run \S+ again after calling\s+`makeindex ([^'\n]+)'")
_COMPLAINT = re.compile(
    r"^(?:## |!! |\*\* )(?P<kind>Warning|Input index error|Output index error|Input style error) "
    r"\((?:file|input) = (?P<file>[^,]+), line = (?P<line>\d+)\):\n\s*-- (?P<message>.+)$",
    re.MULTILINE,
)


def traced_helper(engine: Step, tool: str, job: str, place: tuple[int, ...]) -> Step:
    """The frame of a helper that prints its searches: ``tool`` on the job ``job``, in the engine's folder."""
    return Step(
        name=f"{tool}:{job}",
        chef=tool,
        tool=tool,
        argv=(tool, job),
        position=(*engine.position, *place),
        cwd=engine.cwd,
        env=(("KPATHSEA_DEBUG", DEBUG_LEVEL), *engine_date(engine)),
        quiet=("KPATHSEA_DEBUG",),
        pass_env=texsystem.PASS_ENV + engine_env(engine),
        open_reads=True,
        always_mirror=True,
        pure=True,
        may_write=(in_folder(engine.cwd, job) + ".",),
        planner=engine.name,
        jobname=job,
        timeout=engine.timeout,
        tool_match=engine.tool_match,
        parallel=True,
    )


def makeindex_helper(engine: Step, entries: FilePath, place: tuple[int, ...], options: Sequence[str] = ()) -> Step:
    """The step that runs makeindex on an .idx file (project path)."""
    job = posixpath.relpath(entries, engine.cwd)[: -len(".idx")]
    made = entries[: -len(".idx")] + ".ind"
    return replace(
        traced_helper(engine, "makeindex", job, place),
        argv=("makeindex", *options, job + ".idx"),
        inputs=(entries,),
        outputs=(made,),
        main=entries,
    )


def makeglossaries_helper(engine: Step, view: View) -> Step | None:
    """The step that runs makeglossaries, if the .aux asks for it and an entry file is there."""
    stem = in_folder(engine.cwd, engine.jobname)
    aux = read_aux(stem + ".aux", engine.cwd, view.read)
    style = aux.glossary_style
    if style is None:
        return None
    wanted = aux.glossary_subset
    pairs = [(f"{stem}.{entry.into}", f"{stem}.{entry.out}") for entry in aux.glossaries if not wanted or entry.name in wanted]
    there = [(into, out) for into, out in pairs if view.exists(into)]
    if not there:
        return None
    inputs = [stem + ".aux", in_folder(engine.cwd, style), *(into for into, _ in there)]
    return replace(
        traced_helper(engine, "makeglossaries", engine.jobname, (3,)),
        inputs=tuple(dict.fromkeys(inputs)),
        optional=tuple(into for into, _ in pairs if (into, _) not in there),
        main=stem + ".aux",
        outputs=tuple(out for _, out in there),
    )


def index_helpers(engine: Step, wanted: str, view: View, written: Sequence[FilePath], log: str = "") -> list[Step]:
    """The index and glossary steps that an engine's outputs ask for now. ``wanted``: the declaration's ``index``."""
    if wanted == "none":
        return []
    main = in_folder(engine.cwd, engine.jobname) + ".idx"
    found = sorted(path for path in written if path.endswith(".idx"))
    ordered = [path for path in found if path == main] + [path for path in found if path != main]
    commands = _commands(log, engine)
    steps: list[Step] = []
    for number, path in enumerate(ordered):
        place = (2,) if path == main else (2, number)
        made = parts(path, view)
        if made:
            steps += [splitindex_helper(engine, path, made, place), *_parted(engine, made, len(ordered))]
        # imakeidx runs makeindex by itself inside the engine's run: its .ind is then the engine's own.
        elif path[: -len(".idx")] + ".ind" not in written:
            steps.append(makeindex_helper(engine, path, place, commands.get(path, ())))
    glossaries = makeglossaries_helper(engine, view)
    return steps + ([glossaries] if glossaries else [])


def _parted(engine: Step, made: Sequence[FilePath], number: int) -> list[Step]:
    return [makeindex_helper(engine, path, (2, number, count)) for count, path in enumerate(made)]


def _commands(log: str, engine: Step) -> dict[FilePath, tuple[str, ...]]:
    """Options of makeindex by .idx file, where imakeidx says how it wants it run (its makeindex would have had them)."""
    lines = re.sub(r"\n\(imakeidx\) +", " ", log)
    words = [found[1].split() for found in _IMAKEIDX.finditer(lines)]
    return {normalise(said[-1], engine.cwd): tuple(said[:-1]) for said in words}


class _TracedChef:
    """A tool whose programs print their searches."""

    name = ""
    version = 1
    tools: tuple[str, ...] = ()
    #: As of bibtex and biber.
    ignores_figures = True

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]) -> Sequence[Step]:
        """Nothing: helpers are asked for by the engine's outputs."""
        return ()

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """Reads and absent files by the search trace; complaints from what the tool printed."""
        seen = traffic(Recording("", ()), read_trace(exit.stderr), view, Places(view.root, step.cwd))
        reads = {*seen.reads, *(path for path in (*step.inputs, *step.optional) if view.before(path))}
        absent = {*seen.absent, *(path for path in step.optional if not view.before(path))}
        return Observation(
            reads=tuple(sorted(reads)),
            absent=tuple(sorted(absent - reads)),
            writes=seen.writes,
            problems=index_problems(exit, step),
            usable_outputs=texsystem.ended_by_itself(exit),
        )

    def filter_for(self, step: Step, path: FilePath) -> str:
        """Identity, unless the tool provably ignores a part."""
        return ""

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """The part of ``data`` that readers with filter ``name`` see."""
        return data

    def fingerprint(self, step: Step, toolbox: Toolbox) -> str:
        """Binaries, owners of the TeX trees, own trees."""
        return texsystem.helper_fingerprint(self.tools, toolbox)


class MakeindexChef(_TracedChef):
    """Runs makeindex."""

    name = "makeindex"
    version = 1
    tools = ("makeindex",)


class MakeglossariesChef(_TracedChef):
    """Runs makeglossaries, a Perl script that starts makeindex or xindy."""

    name = "makeglossaries"
    version = 1
    tools = ("makeglossaries", "makeindex", "xindy", "perl")

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """As traced, and the .aux files that the main one inputs: the script opens those without kpathsea."""
        seen = super().observe(step, view, exit)
        aux = read_aux(step.main, step.cwd, view.read)
        reads = {*seen.reads, *(path for path in aux.files if view.before(path))}
        return replace(seen, reads=tuple(sorted(reads)), absent=tuple(sorted({*seen.absent, *aux.absent} - reads)))

    def filter_for(self, step: Step, path: FilePath) -> str:
        """Of an .aux it sees only the lines that one of its patterns matches."""
        return _GLOSSARIES_AUX if path.endswith(".aux") else ""

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """``makeglossaries-aux``: the lines that its script looks at."""
        return makeglossaries_part(data) if name == _GLOSSARIES_AUX else data


def index_problems(exit: Exit, step: Step) -> tuple[Problem, ...]:
    """What makeindex and makeglossaries complained about. Errors first."""
    text = "\n".join(
        line for data in (exit.stdout, exit.stderr) for line in data.decode("utf-8", "replace").splitlines() if "kdebug:" not in line
    )
    problems = [
        Problem(
            found["message"],
            normalise(found["file"], step.cwd),
            int(found["line"]),
            severity="warning" if found["kind"] == "Warning" else "error",
        )
        for found in _COMPLAINT.finditer(text)
    ]
    if exit.code and not any(problem.severity == "error" for problem in problems):
        tail = [line.strip() for line in text.splitlines() if line.strip()][-3:]
        problems.insert(0, Problem(f"{step.tool} failed with exit code {exit.code}: " + " / ".join(tail), step.main or None))
    unique = dict.fromkeys(problems)
    return tuple(sorted(unique, key=lambda problem: problem.severity != "error")[:_PROBLEMS_MAX])
