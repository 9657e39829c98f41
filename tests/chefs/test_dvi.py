"""DVI made into PostScript and PDF: run once, on the fixed point's DVI, and again only when what they read changed."""

import subprocess
from pathlib import Path

import pytest

from cpods.chefs.dvi import chain
from cpods.chefs.helping import HelperChef
from cpods.chefs.registry import chefs
from cpods.declaration import LatexDeclaration
from cpods.model import Exit
from tests.chefs.realview import RealView
from tests.helpers.sandbox import Sandbox

_EPS = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\nnewpath 10 10 moveto 40 40 lineto stroke\nshowpage\n%%EOF\n"
_PAPER = r"""% !TEX program = latex
\documentclass{article}\usepackage{graphicx}
\begin{document}\section{A}\label{a}Section \ref{a}. \includegraphics{fig}\end{document}
"""


@pytest.fixture
def place(tmp_path: Path) -> Sandbox:
    found = Sandbox(tmp_path / "project")
    found.write("a paper.tex", _PAPER)
    found.write("fig.eps", _EPS)
    return found


def test_the_chain_runs_once_behind_the_fixed_point(place: Sandbox) -> None:
    place.write("a paper.pdf", "of an earlier tool")
    built = place.build("a paper.tex")
    assert (built.exit_code, built.tools) == (0, ("latex", "latex", "dvips", "ps2pdf"))
    assert built.report["goals"][0] | {"path": "a paper.pdf", "pages": 1} == built.report["goals"][0]
    assert place.build("a paper.tex").tools == ()
    first = place.read("a paper.pdf")
    assert place.build("a paper.tex", force=True).exit_code == 0
    assert place.read("a paper.pdf") == first
    place.write("fig.eps", _EPS.replace("40 40 lineto", "30 40 lineto"))  # the DVI stays as it is
    assert place.build("a paper.tex").tools == ("latex", "dvips", "ps2pdf")
    place.write("a paper.tex", _PAPER + "% no more\n")
    assert place.build("a paper.tex").tools == ("latex",)


def test_dvipdfmx_and_an_error_of_a_driver(tmp_path: Path) -> None:
    place = Sandbox(tmp_path / "project")
    step = '[[step]]\nchef = "tex"\nengine = "tex"\nmain = "a.tex"\n'
    place.write("cpods.toml", step + 'dvi_driver = "dvipdfmx"\n')
    place.write("a.tex", "\\shipout\\hbox{one}\\shipout\\hbox{two}\\end\n")
    built = place.build()
    assert (built.exit_code, built.tools, built.report["goals"][0]["pages"]) == (0, ("tex", "dvipdfmx"), 2)
    assert "two" in subprocess.run(["pdftotext", "a.pdf", "-"], cwd=place.root, capture_output=True, text=True, check=True).stdout
    place.write("cpods.toml", step)
    place.write("a.tex", "\\shipout\\hbox{\\special{ps: 1 0 div}one}\\end\n")
    built = place.build()
    assert (built.exit_code, built.tools) == (1, ("tex", "dvips", "ps2pdf"))
    assert "a.ps: Error: /undefinedresult in --div--" in built.said


@pytest.mark.parametrize(
    ("tool", "code", "said", "severity", "message"),
    [
        (
            "dvips",
            0,
            "dvips: Could not find figure file nosuch.eps; continuing.",
            "warning",
            "Could not find figure file nosuch.eps; continuing.",
        ),
        ("dvips", 1, "dvips: Could not find figure file no.eps; continuing.", "error", "Could not find figure file no.eps; continuing."),
        ("dvips", 1, "dvips: ! Bad DVI file: first byte not preamble", "error", "Bad DVI file: first byte not preamble"),
        ("dvipdfmx", 1, "dvipdfmx:fatal: Could not open specified DVI (or XDV) file: a.dvi", "error", "Could not open specified DVI"),
        ("dvips", 3, "kdebug:fopen(a.dvi, rb) => (nil)\nstrange words", "error", "dvips failed with exit code 3: strange words"),
    ],
)
def test_what_a_driver_complains_of(tool: str, code: int, said: str, severity: str, message: str, tmp_path: Path) -> None:
    engine = chefs()["latex"].plan(LatexDeclaration(main="a.tex", engine="latex"), 0, ["a.tex"], {})[0]
    step = chain(engine, "pdf", "dvips" if tool == "dvips" else "dvipdfmx")[0]
    chef = chefs()[tool]
    assert isinstance(chef, HelperChef)
    (problem,) = chef.problems(step, Exit(code, stderr=said.encode()), RealView(tmp_path, {}))
    assert (problem.severity, problem.file) == (severity, "a.dvi")
    assert problem.message.startswith(message)
