"""What a missing program does: each engine and helper in turn, through the real CLI, gives one sentence with the Debian package.

PATH is a folder of links to all programs but the missing one. Missing engines need no run of TeX; missing helpers need their
engine's run first, and so are long.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from cpods.chefs.debian import PACKAGES, sentence
from tests.helpers.calls import Zygote, cpods  # noqa: F401  a fixture

FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin")


class Lacking(NamedTuple):
    """A program that is not there, and the project that needs it: files by name; ``goal`` empty: what the project file says."""

    program: str
    files: dict[str, str]
    goal: str = ""
    label: str = ""


def latex(body: str, head: str = "", cls: str = "article") -> str:
    """A LaTeX document."""
    return f"\\documentclass{{{cls}}}\n{head}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"


def declared(chef: str, main: str, text: str, more: str = "") -> dict[str, str]:
    """A project of one step."""
    return {"cpods.toml": f'[project]\nuntil_stable = true\n\n[[step]]\nchef = "{chef}"\nmain = "{main}"\n{more}', main: text}


def shell(run: str) -> dict[str, str]:
    """A project of one shell step."""
    return {"cpods.toml": f'[[step]]\nname = "make"\nrun = "{run}"\ninputs = ["in"]\noutputs = ["out"]\n', "in": "x\n"}


def program(source: str) -> dict[str, str]:
    """A project of one compiled program."""
    return {
        "cpods.toml": f'[[step]]\nchef = "compiler"\nprogram = "prog"\nsources = ["{source}"]\n',
        source: "int main(void) { return 0; }\n",
    }


PLAIN = "Hello.\\bye\n"
ENGINES = [
    Lacking("pdflatex", {"a.tex": latex("x")}, "a.tex"),
    *(Lacking(engine, declared("latex", "a.tex", latex("x"), f'engine = "{engine}"\n')) for engine in ("latex", "xelatex", "lualatex")),
    *(
        Lacking(engine, declared("tex", "a.tex", PLAIN, f'engine = "{engine}"\n'))
        for engine in ("tex", "etex", "pdftex", "luatex", "xetex")
    ),
    Lacking("pdftex", {"a.texi": "\\input texinfo\nHello.\n@bye\n"}, "a.texi", "texinfo"),
    Lacking("context", {"a.mkiv": "\\starttext\nHello.\n\\stoptext\n"}, "a.mkiv"),
    Lacking("mpost", declared("metapost", "a.mp", "beginfig(1); draw origin; endfig; end\n", 'outputs = ["a.1"]\n')),
    Lacking("cc", program("main.c")),
    Lacking("c++", program("main.cc")),
    Lacking("python3", shell("python3 gen.py")),
    Lacking("dot", shell("dot -o out in")),
    Lacking("dot", shell("dot in > out"), label="in-a-shell"),
    Lacking("rsvg-convert", shell("cat in | rsvg-convert > out"), label="in-a-pipe"),
    Lacking("sh", shell("cat in > out")),
    Lacking("gs", shell("ps2pdf in out"), label="behind-ps2pdf"),
]
INDEXED = latex("a\\index{a}\\printindex", "\\usepackage{makeidx}\\makeindex")
GLOSSARY = "\\usepackage%s{glossaries}\\makeglossaries\\newglossaryentry{a}{name=a,description={b}}"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>\n'
EPS = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nnewpath 1 1 moveto 9 9 lineto stroke showpage\n"
METAPOST = 'outputtemplate := "%j-%c.mps"; beginfig(1); draw (0,0)--(9,9); endfig; end\n'
BIB = "@book{k, title={T}, author={D. Knuth}, year={1984}, publisher={A}}\n"
RECORDING = latex("\\gls{a}\\printunsrtglossaries", "\\usepackage[record]{glossaries-extra}\\GlsXtrLoadResources[src={a}]", "article")
SPLIT = latex(
    "a\\sindex[one]{a}b\\sindex[two]{b}\\printindex[one]\\printindex[two]",
    "\\usepackage{splitidx}\\makeindex\\newindex[One]{one}\\newindex[Two]{two}",
)
PICTURE = latex("\\includegraphics{p}", "\\usepackage{graphicx}")
HELPERS = [
    Lacking("bibtex", {"a.tex": latex("\\cite{k}\\bibliographystyle{plain}\\bibliography{b}"), "b.bib": BIB}, "a.tex"),
    Lacking(
        "biber", {"a.tex": latex("\\cite{k}\\printbibliography", "\\usepackage{biblatex}\\addbibresource{b.bib}"), "b.bib": BIB}, "a.tex"
    ),
    Lacking("makeindex", {"a.tex": INDEXED}, "a.tex"),
    Lacking(
        "makeindex",
        {"a.tex": latex("a\\nomenclature{a}{b}\\printnomenclature", "\\usepackage{nomencl}\\makenomenclature")},
        "a.tex",
        "nomencl",
    ),
    Lacking("makeglossaries", {"a.tex": latex("\\gls{a}\\printglossaries", GLOSSARY % "")}, "a.tex"),
    Lacking("makeindex", {"a.tex": latex("\\gls{a}\\printglossaries", GLOSSARY % "")}, "a.tex", "behind-makeglossaries"),
    Lacking("xindy", {"a.tex": latex("\\gls{a}\\printglossaries", GLOSSARY % "[xindy]")}, "a.tex", "behind-makeglossaries"),
    Lacking("bib2gls", {"a.tex": RECORDING, "a.bib": "@entry{a,name={a},description={b}}\n"}, "a.tex"),
    Lacking("java", {"a.tex": RECORDING, "a.bib": "@entry{a,name={a},description={b}}\n"}, "a.tex", "behind-bib2gls"),
    Lacking("splitindex", {"a.tex": SPLIT}, "a.tex"),
    Lacking("texindex", {"a.texi": "\\input texinfo\n@cindex a\n@printindex cp\n@bye\n"}, "a.texi"),
    Lacking("dvips", declared("latex", "a.tex", latex("x"), 'engine = "latex"\n')),
    Lacking("ps2pdf", declared("latex", "a.tex", latex("x"), 'engine = "latex"\n')),
    Lacking("gs", declared("latex", "a.tex", latex("x"), 'engine = "latex"\n'), label="behind-ps2pdf"),
    Lacking("dvipdfmx", declared("tex", "a.tex", PLAIN, 'engine = "etex"\ndvi_driver = "dvipdfmx"\n')),
    Lacking("gnuplot", {"a.tex": latex("\\tikz\\draw plot function {x*x};", "\\usepackage{tikz}")}, "a.tex"),
    Lacking("asy", {"a.tex": latex("\\begin{asy}\ndraw((0,0)--(9,9));\n\\end{asy}", "\\usepackage{asymptote}")}, "a.tex"),
    Lacking("pythontex", {"a.tex": latex("\\py{1+1}", "\\usepackage{pythontex}")}, "a.tex"),
    Lacking(
        "pygmentize",
        declared("latex", "a.tex", latex("\\begin{minted}{c}\nint x;\n\\end{minted}", "\\usepackage{minted}"), "shell_escape = true\n"),
    ),
    Lacking("rsvg-convert", {"a.tex": PICTURE, "p.svg": SVG}, "a.tex"),
    Lacking("gs", {"a.tex": PICTURE, "p.eps": EPS}, "a.tex", "behind-epstopdf"),
    Lacking("repstopdf", {"a.tex": PICTURE, "p.eps": EPS}, "a.tex"),
    Lacking("mpost", {"a.tex": latex("\\includegraphics{p-1.mps}", "\\usepackage{graphicx}"), "p.mp": METAPOST}, "a.tex"),
]


class Programs:
    """A folder of links to all programs. ``links``: where each leads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.links: dict[str, str] = {}
        for place in FOLDERS:
            for name in os.listdir(place):
                self.links.setdefault(name, os.path.join(place, name))
        for name, target in self.links.items():
            (folder / name).symlink_to(target)

    @contextmanager
    def without(self, name: str) -> Iterator[str]:
        """The PATH on which one program is missing."""
        (self.folder / name).unlink(missing_ok=True)
        yield str(self.folder)
        if name in self.links:
            (self.folder / name).symlink_to(self.links[name])


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """All programs of this machine."""
    return Programs(tmp_path_factory.mktemp("programs"))


def check(cpods: Zygote, programs: Programs, folder: Path, lacking: Lacking) -> None:  # noqa: F811
    """Builds without the program: exit code 1, and one line that names it and its package."""
    for name, text in lacking.files.items():
        (folder / name).write_text(text)
    with programs.without(lacking.program) as path:
        said = cpods.run(folder, "rebuild", *([lacking.goal] if lacking.goal else []), env={"PATH": path})
    wanted = sentence(lacking.program)
    assert said.code == 1 and wanted is not None
    lines = [line for line in said.err.splitlines() if line.startswith("cpods: ") and "is not installed" in line]
    assert len(lines) == 1 and lines[0].endswith(wanted), said.err
    assert said.report is not None and sum("is not installed" in error for error in said.report["errors"]) == 1


def _name(lacking: Lacking) -> str:
    return "-".join(filter(None, (lacking.program, lacking.label)))


@pytest.mark.parametrize("lacking", ENGINES, ids=_name)
def test_a_missing_engine_or_program(cpods: Zygote, programs: Programs, tmp_path: Path, lacking: Lacking) -> None:  # noqa: F811
    check(cpods, programs, tmp_path, lacking)


@pytest.mark.tex
@pytest.mark.parametrize("lacking", HELPERS, ids=_name)
def test_a_missing_helper(cpods: Zygote, programs: Programs, tmp_path: Path, lacking: Lacking) -> None:  # noqa: F811
    check(cpods, programs, tmp_path, lacking)


@pytest.mark.tex
@pytest.mark.parametrize("name", ["pygmentize", "gs-behind-epstopdf", "makeindex-behind-makeglossaries"])
def test_a_failure_for_want_of_a_program_is_no_answer_once_it_is_there(
    cpods: Zygote,  # noqa: F811
    programs: Programs,
    tmp_path: Path,
    name: str,
) -> None:
    (lacking,) = [lacking for lacking in HELPERS if _name(lacking) == name]
    check(cpods, programs, tmp_path, lacking)
    said = cpods.run(tmp_path, "rebuild", *([lacking.goal] if lacking.goal else []), env={"PATH": str(programs.folder)})
    assert said.code == 0, said.err


def test_lmtx_has_no_package_and_the_sentence_says_where_it_is_to_be_had(cpods: Zygote, programs: Programs, tmp_path: Path) -> None:  # noqa: F811
    check(cpods, programs, tmp_path, Lacking("luametatex", declared("context", "a.tex", "\\starttext x\\stoptext\n", 'engine = "lmtx"\n')))


def test_every_case_is_a_program_of_the_table() -> None:
    lacking = {one.program for one in (*ENGINES, *HELPERS)}
    assert lacking <= PACKAGES.keys()
