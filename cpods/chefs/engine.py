"""What all TeX engines have in common as steps: their command line, what a run read and wrote, what it complained about.

Knows no format: which macros an engine runs, and what is planned around it, is a matter of the chefs latex and tex.

LuaTeX's fonts come out of its loader's cache once they were seen, and no tool says then from which file: a font file of the
project counts as read if the cache entry of its name was read, or if the log names it as embedded.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence

from cpods.chefs import pdfview, rules, texsystem
from cpods.chefs.figures import without_requests
from cpods.chefs.helpers import Ended, helpers
from cpods.chefs.hints import advised
from cpods.chefs.kpathsea import DEBUG_LEVEL, read_trace
from cpods.chefs.recorder import Places, Recording, appeared, is_report, parse_fls, traffic
from cpods.chefs.texaux import in_folder
from cpods.chefs.texlog import decode, embedded_fonts, page_count, read_problems
from cpods.chefs.unseen import named
from cpods.declaration import LatexDeclaration, TexDeclaration
from cpods.errors import ProjectFileError
from cpods.ids import TOOL_CACHE, FilePath, normalise
from cpods.model import Exit, Observation, Problem, Remembered, Step
from cpods.ports import Toolbox, View

EngineDeclaration = LatexDeclaration | TexDeclaration

#: Lines of the log are not wrapped, and source lines in it are cut late; seen to leave .aux and PDF as they are.
_LOG_SHAPE = (("max_print_line", "10000"), ("error_line", "254"), ("half_error_line", "238"))
#: Where Lua font loaders keep what they have parsed: where the installation says, or else in the project's state folder.
_FONT_CACHE = ("TEXMFCACHE", f"$TEXMFSYSVAR:$TEXMFVAR:{TOOL_CACHE}")
_QUIET = ("KPATHSEA_DEBUG", "max_print_line", "error_line", "half_error_line")
#: Engines that open files without asking kpathsea.
UNSEEN_LOOKUPS = ("lualatex", "luatex", "dvilualatex")
#: What TeX Live lets a document run in any case (shell_escape_commands of its texmf.cnf, 2022).
_HARMLESS = ("bibtex", "bibtex8", "extractbb", "gregorio", "kpsewhich", "makeindex", "repstopdf", "r-mpost", "texosquery-jre8")
_FONTS = (".otf", ".ttf", ".ttc", ".otc", ".pfb", ".OTF", ".TTF", ".TTC")
_CACHED_FONT = re.compile(r"/luatex-cache/[^/]+/fonts/\w+/([^/]+)\.lu[abc]$")
#: In a file name on the command line TeX takes these for itself (all seen to fail with pdflatex and lualatex).
_UNUSABLE = re.compile(r"[~%\\#{}]|\^\^|  |\"")
_PID_FLS = re.compile(r"(?:^|/)(?:\w*tex\d+|texput)\.fls$")


class EngineChef:
    """One run of an engine, always in a mirror: its reads are known only after a run."""

    name = ""
    version = 1
    #: Seen through these filters, a file is given to the engine as the filter leaves it: pdfTeX copies an included
    #: figure's dates without looking at them.
    substituted = frozenset({pdfview.FILTER})
    substituted_endings = (".pdf", ".PDF")

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """Reads, absent files and writes by .fls and search trace; complaints by the log; helpers by .aux, .bcf, .idx."""
        recording = _recording(step, view)
        places = Places(view.root, step.cwd, recording.folder)
        seen = traffic(recording, read_trace(exit.stderr), view, places)
        log = _log(step, view, exit)
        reads, absent = set(seen.reads), set(seen.absent)
        if _is_lua(step.tool):
            reads |= _fonts_read(step, recording, log, view, places)
        names: Sequence[FilePath] = ()
        if _is_lua(step.tool) or option(step, "shell_escape"):
            absent.update(path for path in appeared(view) if path not in step.outputs)
            names = named(seen.reads, view.read, step.cwd, step.jobname)
        if option(step, "shell_escape"):
            reads.update(path for path in names if view.before(path) and path not in seen.writes and not is_report(path))
        ended = texsystem.ended_by_itself(exit)
        missed = tuple(sorted(absent - reads))
        return Observation(
            reads=tuple(sorted(reads)),
            absent=tuple(sorted(absent.union(path for path in names if not (view.before(path) or view.exists(path))) - reads)),
            writes=seen.writes,
            problems=_problems(log, step, view, places, exit),
            usable_outputs=ended,
            helpers=tuple(helpers(step, Ended(view, seen.writes, missed, log, tuple(reads)))) if ended else (),
            pages=page_count(log),
        )

    def filter_for(self, step: Step, path: FilePath) -> str:
        """An included PDF without its dates and /ID, which no engine copies; everything else byte for byte."""
        return pdfview.FILTER if path.endswith((".pdf", ".PDF")) and path not in step.outputs else ""

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """``pdf``: the bytes with the dates and /ID blanked."""
        return pdfview.without_dates(data) if name == pdfview.FILTER else data

    def fingerprint(self, step: Step, toolbox: Toolbox) -> str:
        """Engine, format by what decides it, owners of the TeX trees, own trees, and the programs that it may run."""
        return texsystem.engine_fingerprint(step.tool, toolbox, step.tools)


def engine_step(
    chef: str,
    declaration: EngineDeclaration,
    index: int,
    listing: Sequence[FilePath],
    recorded: Mapping[str, Remembered],
    flags: Sequence[str],
    endings: Sequence[str] = (".tex",),
) -> Step:
    """The step of a document's engine. ``flags``: options of its command line besides those that all engines get.

    ``endings``: what a main file without one may end in. Raises ProjectFileError for a name that TeX cannot read.
    """
    argument, main = _main_file(declaration, frozenset(listing), endings)
    stem = posixpath.splitext(posixpath.basename(argument))[0]
    job = declaration.jobname or stem
    prefix = in_folder(declaration.cwd, job)
    return Step(
        name=f"{chef}:{declaration.main}" + (f"#{job}" if declaration.jobname not in ("", stem) else ""),
        chef=chef,
        tool=declaration.engine,
        argv=(declaration.engine, *_flags(declaration, flags), argument),
        position=(index,),
        cwd=posixpath.normpath(declaration.cwd),
        inputs=(main,),
        outputs=(prefix + (".dvi" if makes_dvi(declaration) else ".pdf"),),
        env=(("KPATHSEA_DEBUG", DEBUG_LEVEL), *_LOG_SHAPE, *_environment(declaration)),
        quiet=_QUIET + ((_FONT_CACHE[0],) if _is_lua(declaration.engine) else ()),
        pass_env=texsystem.PASS_ENV + declaration.env,
        tools=declaration.shell_escape if isinstance(declaration.shell_escape, tuple) else (),
        open_reads=True,
        # Look-ups that nobody sees: any file that appears or goes may have been looked for.
        globs=("**",) if _looks_unseen(declaration) else (),
        may_write=(prefix + ".",),
        always_mirror=True,
        pure=True,
        main=main,
        jobname=job,
        options=_options(declaration, prefix, listing, recorded),
        max_passes=declaration.max_passes,
        policy=declaration.policy,
        timeout=declaration.timeout,
        tool_match=declaration.tool_match,
    )


def makes_dvi(declaration: EngineDeclaration) -> bool:
    """Whether the engine makes DVI; all others make PDF."""
    return declaration.engine in ("latex", "tex", "etex")


def option(step: Step, name: str) -> str:
    """What plan() noted in an engine's step under a name; '' for nothing."""
    return dict(step.options).get(name, "")


# -- planning ------------------------------------------------------------------------------------------------------


def _main_file(declaration: EngineDeclaration, listing: frozenset[FilePath], endings: Sequence[str]) -> tuple[str, FilePath]:
    """(the engine's argument, project path of the main file). ``main`` is relative to ``cwd``, or else to the project."""
    for ending in ("", *endings):
        beside = normalise(declaration.main + ending, declaration.cwd)
        if beside in listing:
            return _argument(declaration.main, ending), beside
    for ending in ("", *endings):
        if normalise(declaration.main + ending) in listing:
            return _argument(posixpath.relpath(declaration.main, declaration.cwd), ending), normalise(declaration.main + ending)
    return _argument(declaration.main), normalise(declaration.main, declaration.cwd)


def _argument(main: str, ending: str = "") -> str:
    """``main`` so that an engine takes it for a file name: not an option, a format or a home folder."""
    if found := _UNUSABLE.search(main):
        what = "two blanks in a row" if found[0].isspace() else f"'{found[0]}'"
        raise ProjectFileError(main, f"TeX cannot read a main file with {what} in its name; rename the file")
    if ending not in ("", ".tex"):  # .tex is added by TeX itself
        main += ending
    return "./" + main if main.startswith(("-", "&", "*")) else main


def _flags(declaration: EngineDeclaration, flags: Sequence[str]) -> tuple[str, ...]:
    found = ["-recorder", "-interaction=nonstopmode", "-file-line-error", *flags]
    if declaration.shell_escape is True:
        found.append("-shell-escape")
    elif declaration.shell_escape:
        found.append("-shell-restricted")
    if declaration.jobname:
        found.append(f"-jobname={declaration.jobname}")
    return tuple(found)


def _environment(declaration: EngineDeclaration) -> tuple[tuple[str, str], ...]:
    named = declaration.shell_escape if isinstance(declaration.shell_escape, tuple) else ()
    allowed = (("shell_escape", "p"), ("shell_escape_commands", ",".join(dict.fromkeys((*_HARMLESS, *named))))) if named else ()
    return (*((_FONT_CACHE,) if _is_lua(declaration.engine) else ()), *allowed)


def _is_lua(engine: str) -> bool:
    return engine in UNSEEN_LOOKUPS


def _looks_unseen(declaration: EngineDeclaration) -> bool:
    return _is_lua(declaration.engine) or bool(declaration.shell_escape)


def _options(
    declaration: EngineDeclaration, prefix: str, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]
) -> tuple[tuple[str, str], ...]:
    options: list[tuple[str, str]] = [("bibliography", declaration.bibliography), ("index", declaration.index)]
    options.append(("figures", getattr(declaration, "figures", "none")))
    options += rules.as_options(declaration)
    if declaration.shell_escape:
        options.append(("shell_escape", "yes"))
    if _looks_unseen(declaration):
        options.append(("unseen_lookups", "yes"))
    fonts = [path for path in listing if path.endswith(_FONTS)] if _is_lua(declaration.engine) else []
    if fonts:
        options.append(("fonts", "\n".join(fonts)))
    bbl = prefix + ".bbl"
    if bbl in listing and not any(bbl in known.writes for known in recorded.values()):
        # A .bbl that came with the project may be its only bibliography: arXiv sources have no .bib.
        options.append(("bbl", "source"))
    return tuple(options)


# -- observing -----------------------------------------------------------------------------------------------------


def _recording(step: Step, view: View) -> Recording:
    """The .fls of this run: under the job's name, or (if the engine gave up early) under its process id or texput."""
    regular = in_folder(step.cwd, step.jobname) + ".fls"
    changed = [path for path in view.changed() if path.endswith(".fls")]
    chosen = regular if regular in changed else next((path for path in changed if _PID_FLS.search(path)), None)
    return parse_fls((view.read(chosen) or b"") if chosen else b"")


def _fonts_read(step: Step, recording: Recording, log: str, view: View, places: Places) -> set[FilePath]:
    """Font files that the log names as embedded, and those of the project whose entries in the loader's cache were read."""
    named = {path for name in embedded_fonts(log) if (path := places.project_path(name)) is not None}
    cached = [found[1] for kind, path in recording.events if kind == "INPUT" and (found := _CACHED_FONT.search(path))]
    for font in filter(None, option(step, "fonts").split("\n")):
        stem = _cache_name(posixpath.splitext(posixpath.basename(font))[0])
        if any(name.startswith(stem) for name in cached):
            named.add(font)
    return {path for path in named if view.before(path)}


def _cache_name(stem: str) -> str:
    """The name under which ConTeXt's font loader, which luaotfload uses, keeps a font (containers.cleanname)."""
    return re.sub(r"[^\w\x80-\U0010ffff]+", "-", stem.lower())


def _log(step: Step, view: View, exit: Exit) -> str:
    """The log of this run; what it printed if there is none."""
    path = in_folder(step.cwd, step.jobname) + ".log"
    return decode((view.read(path) or b"") if path in view.changed() else exit.stdout)


def _problems(log: str, step: Step, view: View, places: Places, exit: Exit) -> tuple[Problem, ...]:
    ended = texsystem.ended_by_itself(exit)
    problems = read_problems(log, step.main, places.project_path, view.read, failed=ended and exit.code != 0)
    return (*texsystem.end_problems(step, exit), *advised(without_requests(step, problems)))
