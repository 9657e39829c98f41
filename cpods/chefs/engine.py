"""What all TeX engines have in common as steps: their command line, their environment, what a declaration says of the rest.

Knows no format and no run: what a run read and wrote is module enginechef's.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence

from cpods.chefs import rules, texsystem
from cpods.chefs.kpathsea import DEBUG_LEVEL
from cpods.chefs.texaux import in_folder
from cpods.declaration import LatexDeclaration, TexDeclaration
from cpods.errors import ProjectFileError
from cpods.ids import TOOL_CACHE, FilePath, normalise
from cpods.model import Remembered, Step

EngineDeclaration = LatexDeclaration | TexDeclaration

#: Lines of the log are not wrapped, and source lines in it are cut late; seen to leave .aux and PDF as they are.
_LOG_SHAPE = (("max_print_line", "10000"), ("error_line", "254"), ("half_error_line", "238"))
#: Where Lua font loaders keep what they have parsed: where the installation says, or else in the project's state folder.
_FONT_CACHE = ("TEXMFCACHE", f"$TEXMFSYSVAR:$TEXMFVAR:{TOOL_CACHE}")
_QUIET = ("KPATHSEA_DEBUG", "max_print_line", "error_line", "half_error_line")
#: Engines that open files without asking kpathsea.
_UNSEEN_LOOKUPS = ("lualatex", "luatex", "dvilualatex")
#: What TeX Live lets a document run in any case (shell_escape_commands of its texmf.cnf, 2022).
_HARMLESS = ("bibtex", "bibtex8", "extractbb", "gregorio", "kpsewhich", "makeindex", "repstopdf", "r-mpost", "texosquery-jre8")
_FONTS = (".otf", ".ttf", ".ttc", ".otc", ".pfb", ".OTF", ".TTF", ".TTC")
#: In a file name on the command line TeX takes these for itself (all seen to fail with pdflatex and lualatex).
_UNUSABLE = re.compile(r"[~%\\#{}]|\^\^|  |\"")


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
        quiet=_QUIET + ((_FONT_CACHE[0],) if is_lua(declaration.engine) else ()),
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
    return (*((_FONT_CACHE,) if is_lua(declaration.engine) else ()), *allowed)


def is_lua(engine: str) -> bool:
    """Whether an engine opens files without asking kpathsea."""
    return engine in _UNSEEN_LOOKUPS


def _looks_unseen(declaration: EngineDeclaration) -> bool:
    return is_lua(declaration.engine) or bool(declaration.shell_escape)


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
    fonts = [path for path in listing if path.endswith(_FONTS)] if is_lua(declaration.engine) else []
    if fonts:
        options.append(("fonts", "\n".join(fonts)))
    bbl = prefix + ".bbl"
    if bbl in listing and not any(bbl in known.writes for known in recorded.values()):
        # A .bbl that came with the project may be its only bibliography: arXiv sources have no .bib.
        options.append(("bbl", "source"))
    return tuple(options)
