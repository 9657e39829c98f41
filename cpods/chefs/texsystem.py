"""What all TeX tools share: the variables that they obey, how a run ended, and the fingerprint of the installation.

Knows no single tool's files.
"""

import posixpath
from collections.abc import Callable, Sequence

from cpods.chefs.packages import TEX_TREES
from cpods.digest import of_parts
from cpods.model import Exit, Problem, Step
from cpods.ports import Toolbox

#: Variables that change what a TeX tool finds or makes.
PASS_ENV = (
    "TEXINPUTS",
    "TEXINPUTS_pdflatex",
    "TEXINPUTS_lualatex",
    "TEXINPUTS_xelatex",
    "TEXINPUTS_latex",
    "TEXINPUTS_pdftex",
    "TEXINPUTS_luatex",
    "TEXINPUTS_xetex",
    "TEXINPUTS_tex",
    "TEXINPUTS_etex",
    "MPINPUTS",
    "LUAINPUTS",
    "BIBINPUTS",
    "BSTINPUTS",
    "INDEXSTYLE",
    "TEXMFHOME",
    "TEXMFLOCAL",
    "TEXMFCNF",
    "TEXMFDBS",
    "TEXMF",
    "TEXFORMATS",
    "TEXFONTS",
    "TFMFONTS",
    "VFFONTS",
    "ENCFONTS",
    "T1FONTS",
    "OPENTYPEFONTS",
    "TTFONTS",
    "TEXFONTMAPS",
    "TEXPSHEADERS",
    "TEXPICTS",
    "TEXMF_CASEFOLD_SEARCH",
    "texmf_casefold_search",
    "OSFONTDIR",
    "openin_any",
    "openout_any",
    "shell_escape",
    "shell_escape_commands",
    "main_memory",
    "extra_mem_top",
    "extra_mem_bot",
    "save_size",
    "pool_size",
    "buf_size",
    "PERL5LIB",
)

_LS_R = ("/usr/share/texlive/texmf-dist/ls-R", "/usr/share/texmf/ls-R", "/var/lib/texmf/ls-R", "/usr/share/texmf-dist/ls-R")
#: What decides the content of a format, besides packages: it is dumped with the date in it, so its bytes tell nothing.
_FORMAT_FILES = (
    "/usr/share/texmf/web2c/fmtutil.cnf",
    "/etc/texmf/web2c/fmtutil.cnf",
    "/var/lib/texmf/web2c/fmtutil.cnf",
    "/var/lib/texmf/tex/generic/config/language.dat",
    "/var/lib/texmf/tex/generic/config/language.def",
    "/var/lib/texmf/tex/generic/config/language.dat.lua",
)
#: Made on the machine out of packages and the administrator's choices.
_MADE_FILES = ("/etc/texmf/web2c/texmf.cnf", "/etc/texmf/web2c/mktex.cnf", "/var/lib/texmf/fonts/map/pdftex/updmap/pdftex.map")


def ended_by_itself(exit: Exit) -> bool:
    """Whether the tool ran to an end of its own, good or bad: then its outputs follow from its inputs."""
    return exit.code >= 0 and exit.code != 127 and not exit.timed_out and not exit.error


def end_problems(step: Step, exit: Exit) -> tuple[Problem, ...]:
    """What to say of a run that did not come to an end of its own; nothing of others."""
    if exit.timed_out:
        return (Problem(f"{step.tool} took longer than {step.timeout} s and was ended", step.main or None),)
    if exit.error:
        return (Problem(f"{step.tool} could not be started: {exit.error}"),)
    if exit.code < 0:
        return (Problem(f"{step.tool} was killed by signal {-exit.code}{last_words(exit)}", step.main or None),)
    return ()


def said(data: bytes) -> list[str]:
    """The lines that a tool printed, search trace and empty ones aside."""
    lines = data.decode("utf-8", "replace").splitlines()
    return [line.strip() for line in lines if line.strip() and "kdebug:" not in line]


def last_words(exit: Exit) -> str:
    """What a dying tool said last on standard error, to go on with behind a sentence."""
    lines = said(exit.stderr)
    return f": {lines[-1][:200]}" if lines else ""


def in_tree(name: str, read: Callable[[str], bytes | None]) -> bool:
    """Whether a file of this base name is listed in the ls-R of an installed TeX tree."""
    needle = b"\n" + posixpath.basename(name).encode() + b"\n"
    return any(needle in (read(listing) or b"") for listing in _LS_R)


def tree_names(read: Callable[[str], bytes | None]) -> frozenset[bytes]:
    """The base names of all files of the installed TeX trees (and a few lines more of their listings)."""
    return frozenset(name for listing in _LS_R for name in (read(listing) or b"").split(b"\n"))


def _own_trees(toolbox: Toolbox) -> list[str]:
    home = toolbox.environment("HOME") or ""
    trees = {
        "TEXMFHOME": toolbox.environment("TEXMFHOME") or (home + "/texmf" if home else ""),
        "TEXMFLOCAL": toolbox.environment("TEXMFLOCAL") or "/usr/local/share/texmf",
    }
    return [f"{name}={toolbox.names(tree)}" for name, tree in trees.items() if tree]


def _system(toolbox: Toolbox) -> list[str]:
    return [toolbox.packages(TEX_TREES), *_own_trees(toolbox), *(toolbox.content(path) for path in _MADE_FILES)]


def engine_fingerprint(engine: str, toolbox: Toolbox, programs: Sequence[str] = ()) -> str:
    """Digest of an engine: binary, format by name and by the files that decide its content (not its bytes: they hold the
    date of the dump), owners of the TeX trees, own trees; and of the programs that it may run, by name and content.
    """
    made_from = [toolbox.content(path) for path in _FORMAT_FILES]
    may_run = [part for program in programs for part in (program, toolbox.binary(program))]
    return of_parts([engine, toolbox.binary(engine), f"{engine}.fmt", *made_from, *_system(toolbox), *may_run])


def helper_fingerprint(programs: Sequence[str], toolbox: Toolbox, trees: Sequence[str] = ()) -> str:
    """Digest of a helper: its programs, owners of the TeX trees (and of ``trees``), own trees."""
    extra = [toolbox.packages(trees)] if trees else []
    return of_parts([*programs, *(toolbox.binary(program) for program in programs), *extra, *_system(toolbox)])
