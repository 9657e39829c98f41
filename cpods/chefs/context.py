"""The context chef: one run of ConTeXt a pass, never its wrapper's own loop, with the .tuc file as feedback.

Knows no process: it sees the workspace after a run.

What ConTeXt reads it reports itself, through its sandbox (see contexttrace); the sandbox is told to forbid nothing. The first
run of a job would take its random seed from the clock and keep it in the .tuc for all later ones. So that a clean build is a
function of the sources, a job without a .tuc is given one that holds a seed and nothing else.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence

from cpods.chefs import pdfview, texsystem
from cpods.chefs.contextlog import page_count, read_problems
from cpods.chefs.contexttrace import Calls, folder_of, has_inner_runs, read_calls
from cpods.chefs.helping import named_files
from cpods.chefs.kpathsea import Trace
from cpods.chefs.recorder import Places, Recording, appeared, traffic
from cpods.chefs.texaux import in_folder
from cpods.chefs.texlog import decode
from cpods.declaration import ContextDeclaration, Declaration
from cpods.digest import of_parts
from cpods.errors import ProjectFileError
from cpods.ids import GLOB_FACT, TOOL_CACHE, FilePath, is_outside, normalise
from cpods.model import Exit, Observation, Problem, Remembered, Step
from cpods.ports import Toolbox, View

#: What a main file without an ending may end in, in the order in which ConTeXt looks.
_ENDINGS = (".tex", ".mkxl", ".mkvi", ".mkiv", ".mklx", ".xml", ".lua", ".cld")
#: The sandbox reports all calls. Anything may be read and written, and (by a mode that is given no list) run and loaded.
_SANDBOX = ("--sandbox=calls", "--directives=system.rootlist=/,system.executionmode=list,system.librarymode=list")
#: ConTeXt has a seed between 0 and 1. The .tuc is a Lua program, so that it can name the version that it is for.
_FIRST_TUC = "return { comment = { version = job.version }, job = { variables = { collected = { randomseed = 0.5 } } } }"
_SCRIPT = f'test -e "$1" || printf \'%s\' \'{_FIRST_TUC}\' >"$1" || exit; shift; exec context "$@"'
#: Without LMTX's engine the wrapper would quietly take MkIV's (seen).
_LMTX = "command -v luametatex >/dev/null || { echo 'sh: 1: luametatex: not found' >&2; exit 127; }; "
#: The log's lines are not broken (ConTeXt's own default, see texmfcnf.lua, unless the environment says otherwise).
_LOG_SHAPE = (("max_print_line", "10000"),)
#: Where font caches and file databases go: where the installation says, or else into the project's state folder.
_CACHE = ("TEXMFCACHE", f"$TEXMFSYSVAR:$TEXMFVAR:{TOOL_CACHE}")
_QUIET = ("max_print_line", "TEXMFCACHE")
_PASS_ENV = ("OSFONTDIR", "MPINPUTS", "TEXMFCACHE")
_PROGRAMS = {"mkiv": ("context", "mtxrun", "luatex"), "lmtx": ("context", "mtxrun", "luametatex")}
#: In a file name the wrapper or the shell that it calls takes these for something else (seen).
_UNUSABLE = "\"'`$\\%#{}"
#: Files that may hold Lua.
_SOURCES = (".tex", ".mkiv", ".mkvi", ".mkxl", ".mklx", ".lua", ".cld", ".xml", ".ctx")
#: What a job writes under its own name, not to be mistaken for what it reads.
_OWN_ENDINGS = (".pdf", ".log", ".tuc", ".tua")
#: Functions of Lua and LuaTeX whose file names the sandbox does not see.
_UNSEEN_CALLS = re.compile(rb"\b(?:dofile|pdfe\.open|img\.(?:scan|new)|sqlite\w*\.open)\s*[({\"'\[]")
#: What ConTeXt makes of a source and uses again while its time is not older, which tells nothing where a step made the source.
_AGED = re.compile(r"(?:^|/)(?:m_k_i_v|l_m_t_x)_[^/]+$|\.prep$")
_CALL_LINE = re.compile(rb"sandbox +> call > ")
_BIBDATA = re.compile(rb"^\\bibdata\{([^}\n]*)\}", re.MULTILINE)


class ContextChef:
    """Runs ConTeXt MkIV or LMTX, always in a mirror: its reads are known only after a run."""

    name = "context"
    version = 1
    #: Seen through these filters, a file is given to the engine as the filter leaves it.
    substituted = frozenset({pdfview.FILTER})
    substituted_endings = (".pdf", ".PDF")
    #: Outputs that hold the time of the run, whatever date ConTeXt is told, and the filter that leaves it out: so they are verified.
    clocked = {".pdf": pdfview.FILTER}

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]) -> Sequence[Step]:
        """One step for the engine. Raises ProjectFileError for a name that ConTeXt's wrapper cannot take."""
        if not isinstance(declaration, ContextDeclaration):
            return ()
        argument, main = _main_file(declaration, frozenset(listing))
        stem = posixpath.splitext(posixpath.basename(argument))[0]
        job = declaration.jobname or stem
        prefix = in_folder(declaration.cwd, job)
        return (
            Step(
                name=f"context:{declaration.main}" + (f"#{job}" if declaration.jobname not in ("", stem) else ""),
                chef=self.name,
                tool="context",
                argv=(
                    "sh",
                    "-c",
                    (_LMTX if declaration.engine == "lmtx" else "") + _SCRIPT,
                    "context",
                    job + ".tuc",
                    *_flags(declaration, stem),
                    argument,
                ),
                position=(index,),
                cwd=posixpath.normpath(declaration.cwd),
                inputs=(main,),
                outputs=(prefix + ".pdf",),
                env=(*_LOG_SHAPE, _CACHE),
                quiet=_QUIET,
                pass_env=tuple(dict.fromkeys((*texsystem.PASS_ENV, *_PASS_ENV, *declaration.env))),
                tools=_PROGRAMS[declaration.engine],
                open_reads=True,
                may_write=(prefix + ".",),
                always_mirror=True,
                pure=True,
                main=main,
                jobname=job,
                options=(("engine", declaration.engine), ("stem", stem)),
                max_passes=declaration.max_passes,
                policy=declaration.policy,
                timeout=declaration.timeout,
                tool_match=declaration.tool_match,
            ),
        )

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """Reads, absent files and writes by the sandbox's report; complaints and pages by the log."""
        log = _log(step, view)
        printed = decode(exit.stdout)
        argument = posixpath.relpath(step.main, step.cwd)
        places = Places(view.root, step.cwd, folder_of(log or printed, argument))
        reads, absent, writes = _traffic(step, log, printed, view, places)
        ended = texsystem.ended_by_itself(exit)
        return Observation(
            reads=tuple(sorted(reads)),
            absent=tuple(sorted(absent - reads)),
            writes=tuple(sorted(writes)),
            problems=_problems(step, view, exit, places),
            usable_outputs=ended,
            pages=page_count(log),
        )

    def tidied(self, path: FilePath, data: bytes) -> bytes:
        """A log as its reader wants it, after :meth:`observe`: without the sandbox's calls, most lines of it."""
        return b"".join(line for line in data.splitlines(keepends=True) if not _CALL_LINE.match(line))

    def filter_for(self, step: Step, path: FilePath) -> str:
        """An included PDF without its dates and /ID, which are not copied; everything else byte for byte."""
        return pdfview.FILTER if path.endswith((".pdf", ".PDF")) and path not in step.outputs else ""

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """``pdf``: the bytes with the dates and /ID blanked."""
        return pdfview.without_dates(data) if name == pdfview.FILTER else data

    def fingerprint(self, step: Step, toolbox: Toolbox) -> str:
        """Engine and scripts, owners of the TeX trees (ConTeXt's format is made of nothing else), own trees."""
        engine = step.tools[-1] if step.tools else "luatex"
        scripts = [toolbox.binary(program) for program in step.tools]
        return of_parts([texsystem.engine_fingerprint(engine, toolbox), *step.tools, *scripts])


# -- planning ------------------------------------------------------------------------------------------------------


def _main_file(declaration: ContextDeclaration, listing: frozenset[FilePath]) -> tuple[str, FilePath]:
    """(the wrapper's argument, project path of the main file). ``main`` is relative to ``cwd``, or else to the project."""
    if found := next((char for char in declaration.main if char in _UNUSABLE), ""):
        raise ProjectFileError(declaration.main, f"ConTeXt cannot read a main file with '{found}' in its name; rename the file")
    for folder in (declaration.cwd, "."):
        for ending in ("", *_ENDINGS):
            path = normalise(declaration.main + ending, folder)
            if path in listing:
                return _argument(path, declaration.cwd), path
    path = normalise(declaration.main, declaration.cwd)
    return _argument(path, declaration.cwd), path


def _argument(path: FilePath, cwd: str) -> str:
    name = posixpath.relpath(path, cwd)
    return "./" + name if name.startswith("-") else name


def _flags(declaration: ContextDeclaration, stem: str) -> tuple[str, ...]:
    # Where LMTX is installed, its wrapper runs MkIV only when told; MkIV's own takes no notice.
    found = ["--once", "--nonstopmode", "--luatex" if declaration.engine == "mkiv" else "--engine=luametatex", *_SANDBOX]
    for option, values in (("mode", declaration.mode), ("arguments", declaration.arguments), ("path", declaration.path)):
        if values:
            found.append(f"--{option}={','.join(values)}")
    if declaration.synctex:
        found.append("--synctex")
    if declaration.jobname not in ("", stem):
        found.append(f"--result={declaration.jobname}")
    return tuple(found)


def _option(step: Step, name: str) -> str:
    return dict(step.options).get(name, "")


# -- observing -----------------------------------------------------------------------------------------------------


def _log(step: Step, view: View) -> str:
    """The log of this run; '' if it made none. After some failures the wrapper leaves it under the main file's name."""
    changed = view.changed()
    for name in (step.jobname, _option(step, "stem")):
        path = in_folder(step.cwd, name) + ".log"
        if path in changed:
            return decode(view.read(path) or b"")
    return ""


def _traffic(step: Step, log: str, printed: str, view: View, places: Places) -> tuple[set[FilePath], set[FilePath], set[FilePath]]:
    """(reads, absent, writes) as project paths; among the reads the listing of all files, if it may have counted."""
    calls = read_calls(log or printed)
    # Runs of their own for parts of a document only print what they open.
    inner = read_calls(printed).events if log else ()
    seen = traffic(Recording("", (*calls.events, *inner)), Trace((), calls.missed), view, places)
    job, stem = (in_folder(step.cwd, name) for name in (step.jobname, _option(step, "stem")))
    own = {name + ending for name in (job, stem) for ending in _OWN_ENDINGS}
    # With a job name of its own, the wrapper moves the files of the main file's name away and back again.
    made = [job + ending for ending in (".pdf", ".log", ".tuc") if ending != ".tuc" or not _is_first(view.read(job + ".tuc"))]
    kept = {path for path in seen.writes if path not in own or path in made}
    writes = {path for path in kept if path != stem + "-error.log" and not _AGED.search(path)}
    reads = {path for path in seen.reads if not is_outside(path) or view.exists(path)}
    named, unnamed, blind = _unseen(step, reads, calls, view, places)
    blind = blind or has_inner_runs(printed)
    databases, made_by_bibtex = _bibtex(step, writes, view)
    reads = (reads | named - writes | databases) - own - made_by_bibtex
    absent = ({*seen.absent, *unnamed} | ({*appeared(view)} if blind else set())) - own - {*step.outputs}
    # The engine always looks for its .tuc; what it finds at first is the command's own (see _SCRIPT).
    (reads if view.before(job + ".tuc") else absent).add(job + ".tuc")
    return (reads | {GLOB_FACT + "**"} if blind or any(_lists(folder, places) for folder in calls.folders) else reads), absent, writes


def _is_first(tuc: bytes | None) -> bool:
    """Whether a .tuc is the one that the command made for the first run, which then failed."""
    return tuc is not None and tuc.decode("utf-8", "replace") == _FIRST_TUC


def _unseen(step: Step, reads: Iterable[FilePath], calls: Calls, view: View, places: Places) -> tuple[set[FilePath], set[FilePath], bool]:
    """(read, looked for in vain, whether there may be more) where the sandbox sees nothing.

    Words of commands that were run count, and what sources name in quotes that call such functions of Lua.
    """
    sources = [path for path in sorted(reads) if path.endswith(_SOURCES) and not is_outside(path)]
    callers = [path for path in sources if _UNSEEN_CALLS.search(view.read(path) or b"")]
    read, missed = named_files(callers, step.cwd, view)
    words = {path for word in calls.words if (path := places.project_path(word)) is not None}
    read |= {path for path in words if view.before(path)}
    missed |= {path for path in words if not is_outside(path) and not view.before(path) and "." in posixpath.basename(path)}
    return read, missed, bool(callers or calls.words or not calls.events)


def _bibtex(step: Step, writes: Iterable[FilePath], view: View) -> tuple[set[FilePath], set[FilePath]]:
    """(databases that were read, what was made of them): MkIV's old bibliography module starts bibtex within the run."""
    read: set[FilePath] = set()
    made: set[FilePath] = set()
    for path in writes:
        if path.endswith(".aux") and (named := _BIBDATA.findall(view.read(path) or b"")):
            names = [name.strip().decode("utf-8", "replace") for group in named for name in group.split(b",")]
            read |= {in_folder(step.cwd, name.removesuffix(".bib") + ".bib") for name in names}
            made.add(path.removesuffix(".aux") + ".bbl")
    return {path for path in read if view.before(path)}, made


def _lists(folder: str, places: Places) -> bool:
    """Whether a folder whose files were listed lies in the project."""
    path = places.project_path(posixpath.join(folder, "x"))
    return path is not None and not is_outside(path)


def _problems(step: Step, view: View, exit: Exit, places: Places) -> tuple[Problem, ...]:
    if exit.code == 127 and not exit.error:
        said = texsystem.said(exit.stderr)[-1:]
        return (Problem(f"{step.tool} could not be started{': ' + said[0] if said else ''}", step.main),)
    printed = decode(exit.stdout) + "\n" + decode(exit.stderr)
    failed = texsystem.ended_by_itself(exit) and exit.code != 0
    return (*texsystem.end_problems(step, exit), *read_problems(printed, step.main, places.project_path, view.read, failed))
