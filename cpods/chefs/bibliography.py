"""bibtex and biber: when a document asks for them, what they read, and what they complain about.

Know no engine: they are planned from the .aux and .bcf files that one wrote.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from cpods.chefs import texsystem
from cpods.chefs.helping import engine_date as engine_date
from cpods.chefs.helping import engine_env as engine_env
from cpods.chefs.kpathsea import DEBUG_LEVEL, read_trace
from cpods.chefs.recorder import Places, Recording, is_report, traffic
from cpods.chefs.texaux import AuxFiles, bibtex_part, in_folder, read_aux
from cpods.declaration import Declaration
from cpods.ids import FilePath, normalise
from cpods.model import Exit, Observation, Problem, Remembered, Step
from cpods.ports import Toolbox, View

_BIBTEX_AUX = "bibtex-aux/1"
_PROBLEMS_MAX = 50
_SOURCE = re.compile(r"<bcf:datasource[^>]*?type=\"(?P<type>\w+)\"[^>]*?glob=\"(?P<glob>\w+)\"[^>]*>(?P<name>[^<]+)</bcf:datasource>")
_LOOKED_FOR = re.compile(r"(?:Looking for \w+ file|Found \w+ data source) '([^\n]+)'(?: for section \d+)?$", re.MULTILINE)
_BIBTEX_AT = re.compile(
    r"^(?P<message>.*?)---"
    r"(?:line (?P<line>\d+) of file (?P<file>.+)|while reading file (?P<read>.+)|while executing---line \d+ of file .+)$"
)
_BIBER_LINE = re.compile(r"(?:^|> )(?P<severity>ERROR|WARN) - (?P<message>.+)$", re.MULTILINE)
_BIBER_AT = re.compile(r"(?:BibTeX subsystem: )?(?P<file>[^,]+\.bib)_?\S*, line (?P<line>\d+), (?P<message>.+)")


def has_source_bbl(engine: Step) -> bool:
    """Whether the project came with a .bbl that no step wrote (see the latex chef's plan)."""
    return ("bbl", "source") in engine.options


def _databases_found(aux: AuxFiles, engine: Step, view: View) -> bool:
    names = [name if name.endswith(".bib") else name + ".bib" for name in aux.bibdata]
    return any(view.exists(in_folder(engine.cwd, name)) or texsystem.in_tree(name, view.read) for name in names)


def bibtex_helper(engine: Step, aux: FilePath, order: tuple[int, ...]) -> Step:
    """The step that runs bibtex on an .aux file (project path) in the engine's folder."""
    job = posixpath.relpath(aux, engine.cwd)[: -len(".aux")]
    return Step(
        name=f"bibtex:{job}",
        chef="bibtex",
        tool="bibtex",
        argv=("bibtex", job),
        position=(*engine.position, *order),
        cwd=engine.cwd,
        inputs=(aux,),
        outputs=(aux[: -len(".aux")] + ".bbl",),
        env=(("KPATHSEA_DEBUG", DEBUG_LEVEL), *engine_date(engine)),
        quiet=("KPATHSEA_DEBUG",),
        pass_env=texsystem.PASS_ENV + engine_env(engine),
        open_reads=True,
        always_mirror=True,
        pure=True,
        may_write=(aux[: -len("aux")],),
        planner=engine.name,
        main=aux,
        jobname=job,
        timeout=engine.timeout,
        tool_match=engine.tool_match,
        parallel=True,
    )


def biber_helper(engine: Step, control: FilePath) -> Step:
    """The step that runs biber on a .bcf file (project path)."""
    job = posixpath.relpath(control, engine.cwd)[: -len(".bcf")]
    return Step(
        name=f"biber:{job}",
        chef="biber",
        tool="biber",
        argv=("biber", job),
        position=(*engine.position, 1),
        cwd=engine.cwd,
        inputs=(control,),
        outputs=(control[: -len(".bcf")] + ".bbl",),
        env=engine_date(engine),
        pass_env=texsystem.PASS_ENV + engine_env(engine),
        open_reads=True,
        always_mirror=True,
        pure=True,
        may_write=(control[: -len("bcf")],),
        planner=engine.name,
        main=control,
        jobname=job,
        timeout=engine.timeout,
        tool_match=engine.tool_match,
        parallel=True,
    )


def bibliography_helpers(engine: Step, wanted: str, view: View, written: Sequence[FilePath]) -> list[Step]:
    """The bibliography steps that an engine's outputs ask for now. ``wanted``: the declaration's ``bibliography``."""
    if wanted == "none":
        return []
    stem = in_folder(engine.cwd, engine.jobname)
    control = stem + ".bcf"
    if wanted in ("auto", "biber") and view.exists(control) and (control in written or wanted == "biber"):
        return [biber_helper(engine, control)]
    if wanted == "biber":
        return []
    main = read_aux(stem + ".aux", engine.cwd, view.read)
    asking, main_asks = _asking_files(main)
    # multibib and bibunits write .aux files of their own that the main one does not input.
    asking += sorted(path for path in written if path.endswith(".aux") and path not in main.files and _asks(path, view))
    steps = [bibtex_helper(engine, stem + ".aux", (1,))] if main_asks and _may_make_bbl(main, engine, view, written) else []
    for number, path in enumerate(asking):
        if path[: -len(".aux")] + ".bbl" not in written:
            steps.append(bibtex_helper(engine, path, (1, number)))
    return steps


def _asking_files(main: AuxFiles) -> tuple[list[FilePath], bool]:
    """(.aux files that the main one inputs and that get bibtex runs of their own, whether the main one gets one).

    bibtex takes one \\bibdata: with several, each file is a bibliography by itself (chapterbib).
    """
    if not main.files:
        return [], False
    asks = [path for path, text in zip(main.files, main.texts, strict=True) if AuxFiles((path,), (text,)).asks_bibtex]
    if len(asks) <= 1:
        return [], bool(asks)
    return [path for path in asks if path != main.files[0]], main.files[0] in asks


def _asks(path: FilePath, view: View) -> bool:
    return AuxFiles((path,), (view.read(path) or b"",)).asks_bibtex


def _may_make_bbl(aux: AuxFiles, engine: Step, view: View, written: Sequence[FilePath]) -> bool:
    if aux.files[0][: -len(".aux")] + ".bbl" in written:
        return False
    return not has_source_bbl(engine) or _databases_found(aux, engine, view)


class _HelperChef:
    """What bibtex and biber have in common."""

    name = ""
    version = 1
    #: No run opens a figure: those in its folder may be as any other step left them.
    ignores_figures = True

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]) -> Sequence[Step]:
        """Nothing: helpers are asked for by the engine's outputs."""
        return ()

    def filter_for(self, step: Step, path: FilePath) -> str:
        """Identity, unless the tool provably ignores a part."""
        return ""

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """The part of ``data`` that readers with filter ``name`` see."""
        return data


class BibtexChef(_HelperChef):
    """Runs bibtex: reads by its search trace."""

    name = "bibtex"
    version = 1

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """Reads: .aux files, databases and style found locally; absent: local names tried in vain."""
        places = Places(view.root, step.cwd)
        seen = traffic(Recording("", ()), read_trace(exit.stderr), view, places)
        aux = read_aux(step.inputs[0], step.cwd, view.read)
        reads = sorted({*seen.reads, *(path for path in aux.files if view.before(path))})
        absent = sorted({*seen.absent, *aux.absent} - set(reads))
        text = exit.stdout.decode("utf-8", "replace")
        return Observation(
            reads=tuple(reads),
            absent=tuple(absent),
            writes=seen.writes,
            problems=bibtex_problems(text, step, exit),
            usable_outputs=texsystem.ended_by_itself(exit),
        )

    def filter_for(self, step: Step, path: FilePath) -> str:
        """Of an .aux bibtex sees its four commands only."""
        return _BIBTEX_AUX if path.endswith(".aux") else ""

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """``bibtex-aux``: the lines with \\citation, \\bibdata, \\bibstyle, \\@input."""
        return bibtex_part(data) if name == _BIBTEX_AUX else data

    def fingerprint(self, step: Step, toolbox: Toolbox) -> str:
        """Binary, owners of the TeX trees, own trees."""
        return texsystem.helper_fingerprint(("bibtex",), toolbox)


class BiberChef(_HelperChef):
    """Runs biber: reads by its control file and its messages, since it does not print its searches."""

    name = "biber"
    version = 1

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """Reads: .bcf, databases, configuration; absent: the same names where they are not."""
        text = exit.stdout.decode("utf-8", "replace")
        reads: set[FilePath] = {step.inputs[0]}
        absent: set[FilePath] = set()
        for path in self._candidates(step, view, text):
            (reads if view.before(path) or (path.startswith("/") and view.exists(path)) else absent).add(path)
        writes = [path for path in view.changed() if not path.endswith(".fls")]
        return Observation(
            reads=tuple(sorted(path for path in reads if not is_report(path))),
            absent=tuple(sorted(absent)),
            writes=tuple(writes),
            problems=biber_problems(text, step, exit),
            usable_outputs=texsystem.ended_by_itself(exit),
        )

    def _candidates(self, step: Step, view: View, text: str) -> list[FilePath]:
        control = (view.read(step.inputs[0]) or b"").decode("utf-8", "replace")
        places = Places(view.root, step.cwd)
        # biber opens databases until all keys are found: those behind are not looked for.
        names = _LOOKED_FOR.findall(text)
        if not names:
            names = [_unescape(found["name"]) for found in _SOURCE.finditer(control) if found["type"] == "file"]
        names = ["biber.conf", ".biber.conf", *(name for name in names if "://" not in name)]
        paths = [places.project_path(name) for name in names]
        return [path for path in paths if path is not None]

    def fingerprint(self, step: Step, toolbox: Toolbox) -> str:
        """Script, its Perl packages, owners of the TeX trees, own trees."""
        return texsystem.helper_fingerprint(("biber", "perl"), toolbox, ("/usr/share/perl5/Biber", "/usr/share/perl5/Text/BibTeX"))


def _unescape(text: str) -> str:
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text


def bibtex_problems(text: str, step: Step, exit: Exit) -> tuple[Problem, ...]:
    """bibtex's complaints, from its standard output. Errors first."""
    problems: list[Problem] = []
    previous = ""
    for line in text.splitlines():
        if line.startswith("Warning--"):
            problems.append(Problem(line[len("Warning--") :].strip(), severity="warning"))
        elif found := _BIBTEX_AT.match(line):
            # The message stands on the same line, or (the place then has a line of its own) on the one before.
            message, name = found["message"] or previous, found["file"] or found["read"]
            if not found["message"] and problems and problems[-1] == Problem(previous):
                problems.pop()
            file = normalise(name, step.cwd) if name else None
            problems.append(Problem(message, file=file, line=int(found["line"]) if found["line"] else None))
        elif line.startswith(("I found no", "I couldn't open")):
            problems.append(Problem(line))
        previous = line
    return _ordered(problems, exit)


def biber_problems(text: str, step: Step, exit: Exit) -> tuple[Problem, ...]:
    """biber's complaints, from its standard output. Errors first."""
    problems = []
    for found in _BIBER_LINE.finditer(text):
        severity: Literal["error", "warning"] = "error" if found["severity"] == "ERROR" else "warning"
        at = _BIBER_AT.match(found["message"])
        if at:
            problems.append(Problem(at["message"], file=posixpath.basename(at["file"]), line=int(at["line"]), severity=severity))
        else:
            problems.append(Problem(found["message"], severity=severity))
    return _ordered(problems, exit)


def _ordered(problems: Sequence[Problem], exit: Exit) -> tuple[Problem, ...]:
    unique = list(dict.fromkeys(problems))
    if exit.code == 0:
        # What bibtex calls an error although it exits 0 did no harm.
        unique = [Problem(p.message, p.file, p.line, p.source, "warning") for p in unique]
    return tuple(sorted(unique, key=lambda problem: problem.severity != "error")[:_PROBLEMS_MAX])
