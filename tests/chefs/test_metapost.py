"""Figures by MetaPost: found out, read by a document in the same build, and drawn again only when what they read changed."""

from pathlib import Path

import pytest

from cpods.chefs.registry import chefs
from cpods.declaration import MetapostDeclaration
from cpods.errors import ProjectFileError
from cpods.model import Step
from tests.helpers.sandbox import Sandbox

_FIGURES = """verbatimtex \\input macros
etex
input lib;
outputtemplate := "%j-%c.mps";
beginfig(1); draw (0,0)--(10,len); label(btex $x$ \\hello etex, (5,5)); endfig;
end
"""
_PAPER = """\\documentclass{minimal}\\usepackage{graphicx}
\\begin{document}\\IfFileExists{fig-1.mps}{\\includegraphics{fig-1.mps}}{none}\\end{document}
"""
_LATEX = '[[step]]\nchef = "latex"\nmain = "a.tex"\nsynctex = false\n'
_METAPOST = '[[step]]\nchef = "metapost"\nmain = "fig.mp"\n'


def plan(main: str = "fig.mp", listing: tuple[str, ...] = ("fig.mp",), **keys: object) -> Step:
    declaration = MetapostDeclaration(main=main, **keys)  # type: ignore[arg-type]
    (step,) = chefs()["metapost"].plan(declaration, 2, listing, {})
    return step


def test_the_command_line() -> None:
    step = plan(tex="latex")
    assert step.argv == ("mpost", "-recorder", "-interaction=nonstopmode", "-file-line-error", "-tex=latex", "fig.mp")
    assert (step.name, step.inputs, step.outputs) == ("metapost:fig.mp", ("fig.mp",), ("fig.log",))
    assert plan(outputs=("fig.1", "./fig.2")).outputs == ("fig.1", "fig.2")


def test_main_without_ending_and_in_a_folder() -> None:
    assert plan("fig", ("fig.mp",)).inputs == ("fig.mp",)
    step = plan("fig.mp", ("art/fig.mp",), cwd="art")
    assert (step.inputs, step.outputs, step.may_write) == (("art/fig.mp",), ("art/fig.log",), ("art/fig.", "art/fig-"))


def test_names_that_metapost_cannot_read_are_refused() -> None:
    with pytest.raises(ProjectFileError, match="rename"):
        plan("a%b.mp", ("a%b.mp",))


@pytest.fixture
def place(tmp_path: Path) -> Sandbox:
    found = Sandbox(tmp_path / "project")
    found.write("fig.mp", _FIGURES)
    found.write("lib.mp", "len := 10;\n")
    found.write("macros.tex", "\\def\\hello{hello}\n")
    found.write("a.tex", _PAPER)
    return found


def test_figures_that_nobody_declared_are_found_in_the_same_build(place: Sandbox) -> None:
    place.write("cpods.toml", _LATEX + _METAPOST)
    built = place.build("a.pdf")
    assert (built.exit_code, built.tools) == (0, ("mpost", "pdflatex", "pdflatex"))
    assert {"fig-1.mps", "fig.log"} <= set(place.files())
    assert not [name for name in place.files() if name.endswith(".mpx") or "mpx" in name]
    assert place.build("a.pdf").tools == ()
    place.write("macros.tex", "\\def\\hello{hi}\n")  # read by the TeX that sets the labels
    assert place.build("a.pdf").tools == ("mpost", "pdflatex")
    place.write("lib.mp", "len := 10; % the same\n")
    assert place.build("a.pdf").tools == ("mpost",)


def test_a_step_that_comes_later_makes_what_a_known_document_misses(place: Sandbox) -> None:
    place.write("cpods.toml", _LATEX)
    place.write("fig.mp", 'write "from a table" to "fig-table.tex";\nend\n')
    place.write("a.tex", "\\documentclass{minimal}\\begin{document}\\InputIfFileExists{fig-table}{}{none}\\end{document}\n")
    assert place.build("a.pdf").exit_code == 0
    place.write("cpods.toml", _LATEX + _METAPOST)
    built = place.build("a.pdf")
    assert (built.exit_code, built.tools) == (0, ("mpost", "pdflatex"))
    assert place.build("a.pdf").tools == ()


def test_complaints_have_file_and_line_and_what_tex_said(tmp_path: Path) -> None:
    place = Sandbox(tmp_path / "project")
    place.write("cpods.toml", _METAPOST.replace("fig.mp", "bad.mp"))
    place.write("bad.mp", "beginfig(1);\ndraw (0,0)--;\ndraw btex \\undefinedthing etex;\nendfig;\nend\n")
    built = place.build()
    assert built.exit_code == 1
    assert "bad.mp:2: A tertiary expression can't begin with `;'" in built.said
    assert "bad.mp:3: TeX cannot set a label: Undefined control sequence \\undefinedthing" in built.said


def test_a_declared_figure_must_be_made(tmp_path: Path) -> None:
    place = Sandbox(tmp_path / "project")
    place.write("cpods.toml", '[[step]]\nchef = "metapost"\nmain = "fig.mp"\noutputs = ["fig.7"]\n')
    place.write("fig.mp", "beginfig(1); draw (0,0)--(1,1); endfig;\nend\n")
    built = place.build()
    assert built.exit_code == 1
    assert "fig.7" in built.said
