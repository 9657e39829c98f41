"""Which Debian package brings a program that a step needs and that is not installed, and the one sentence that says so.

Knows no step: it sees how a process ended and what it said. The names are those of Debian 12 (bookworm); of a TeX engine it
is the package with which its format works, not the one that merely holds the binary.
"""

import re

from msgspec.structs import replace

from cpods.model import Exit, Observation, Problem

_BY_PACKAGE = {
    "texlive-base": "tex etex pdftex luatex luahbtex mktexpk mktextfm mktexmf mf updmap fmtutil",
    "texlive-latex-base": "latex pdflatex lualatex dvilualatex mptopdf",
    "texlive-xetex": "xelatex xetex",
    "texlive-luatex": "luaotfload-tool optex",
    "texlive-lang-japanese": "platex uplatex ptex2pdf",
    "context": "context mtxrun texexec",
    "texlive-binaries": "kpsewhich bibtex bibtex8 bibtexu makeindex upmendex dvips dvipdfmx xdvipdfmx extractbb ebb dvitomp texlua",
    "biber": "biber",
    "xindy": "xindy texindy",
    "texlive-latex-extra": "makeglossaries makeglossaries-lite splitindex",
    "texlive-bibtex-extra": "bib2gls",
    "default-jre-headless": "java",
    "texinfo": "texindex texi2dvi texi2pdf makeinfo",
    "texlive-metapost": "mpost",
    "dvisvgm": "dvisvgm",
    "ghostscript": "gs ps2pdf ps2pdfwr ps2pdf14 eps2eps ps2eps ps2ascii",
    "texlive-font-utils": "epstopdf repstopdf",
    "texlive-extra-utils": "pythontex depythontex pdfcrop arara latexdiff",
    "texlive-pictures": "epspdf",
    "latexmk": "latexmk",
    "gnuplot-nox": "gnuplot",
    "asymptote": "asy",
    "python3-pygments": "pygmentize",
    "librsvg2-bin": "rsvg-convert",
    "inkscape": "inkscape",
    "graphviz": "dot neato fdp sfdp circo twopi",
    "imagemagick": "convert identify mogrify montage",
    "fig2dev": "fig2dev",
    "dia": "dia",
    "pstoedit": "pstoedit",
    "poppler-utils": "pdftotext pdftoppm pdftocairo pdfinfo pdfunite pdfseparate",
    "qpdf": "qpdf",
    "pandoc": "pandoc",
    "r-base-core": "R Rscript",
    "octave": "octave",
    "sagemath": "sage",
    "gcc": "cc gcc",
    "g++": "c++ g++",
    "clang": "clang clang++",
    "make": "make",
    "cmake": "cmake",
    "ninja-build": "ninja",
    "m4": "m4",
    "gawk": "gawk",
    "mawk": "awk mawk",
    "perl": "perl",
    "python3": "python3",
    "python-is-python3": "python",
    "nodejs": "node",
    "dash": "sh",
    "bash": "bash",
}
#: Program -> package.
PACKAGES = {program: package for package, programs in _BY_PACKAGE.items() for program in programs.split()}
#: What Debian 12 has no package of, and where it is to be had.
ELSEWHERE = {"luametatex": "Debian 12 has no package of it; https://wiki.contextgarden.net/Installation tells how to install LMTX"}

#: What a run counts as that wanted a program which is not there: no answer for later, when it may be installed.
NOT_FOUND = 127
_NOT_STARTED = "program not found: "
#: How shells, Perl, env, Python and Java's callers say that a program is not there.
_SAID = re.compile(
    r"^(?:\S*: )?(?:line )?\d+: (?:exec: )?(?P<sh>[\w.+-]+): (?:command )?not found"
    r"|^\S*sh: (?:exec: )?(?P<bash>[\w.+-]+): (?:command )?not found"
    r"|^\S*env: ['‘](?P<env>[\w.+-]+)['’]: No such file or directory"
    r"|Can't exec \"(?P<perl>[^\"\s]+)\""
    r"|Cannot open Ghostscript for piped input: (?P<gs>\S+)"
    r"|No such file or directory: '(?P<python>[\w.+-]+)'$",
    re.MULTILINE,
)
#: A process tells at its end why it gave up; before that its search trace may be megabytes.
_TAIL_BYTES = 1 << 16


def sentence(program: str) -> str | None:
    """What to say of a program that is not installed; None if nothing is known of it."""
    if program in PACKAGES:
        return f"{program} is not installed: on Debian, `apt install {PACKAGES[program]}`"
    return f"{program} is not installed: {ELSEWHERE[program]}" if program in ELSEWHERE else None


def hint(program: str) -> str:
    """The package of a program in brackets, to go on within a sentence; '' if nothing is known of it."""
    return f" (on Debian, `apt install {PACKAGES[program]}` brings {program})" if program in PACKAGES else ""


def named(observed: Observation, exit: Exit) -> Observation:
    """The same observation; if a run failed for want of a program, with the one sentence that says which package brings it.

    Of a tool that could go on (an engine), what else it found wrong in a line of a source stays behind that sentence.
    """
    failed = exit.code != 0 or any(problem.severity == "error" for problem in observed.problems)
    said = sentence(_missing(exit)) if failed and not exit.timed_out else None
    if said is None:
        return observed
    others = tuple(problem for problem in observed.problems if problem.line is not None) if observed.usable_outputs else ()
    return replace(observed, problems=(Problem(said), *others), exit_code=NOT_FOUND)


def _missing(exit: Exit) -> str:
    """The program that was not there: the step's own, or one that it wanted to start; '' if none is known to lack."""
    if exit.error:
        return exit.error.removeprefix(_NOT_STARTED).rpartition("/")[2] if exit.error.startswith(_NOT_STARTED) else ""
    for data in (exit.stderr, exit.stdout):
        for found in _SAID.finditer(data[-_TAIL_BYTES:].decode("utf-8", "replace")):
            name = next(group for group in found.groups() if group).rpartition("/")[2]
            if sentence(name) is not None:
                return name
    return ""
