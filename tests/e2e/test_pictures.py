"""Externalised TikZ pictures: each made once, beside the others, and again only when it changes."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers import pictures
from tests.helpers.lab import Built, Lab, local


def text_of(pdf: Path) -> str:
    return subprocess.run(["pdftotext", str(pdf), "-"], capture_output=True, text=True, check=True).stdout


def built(result: Built) -> list[str]:
    """The steps that ran, a picture by its number. Raises AssertionError for a build that failed."""
    assert result.exit_code == 0, result.output
    return [step.removeprefix("figure:doc-figure") for step in result.steps]


def runs(result: Built) -> tuple[int, int]:
    """(runs of the document, runs of pictures)."""
    names = built(result)
    return names.count("latex:doc.tex"), len(names) - names.count("latex:doc.tex")


def test_three_pictures(tmp_path: Path) -> None:
    document = pictures.write(tmp_path / "p", 3)
    cold = built(local(document.parent, "doc.tex"))
    assert Counter(cold) == {"latex:doc.tex": 2, "0": 1, "1": 1, "2": 1} and cold[0] == "latex:doc.tex"
    assert {f"P{number}" for number in range(3)} <= set(text_of(tmp_path / "p" / "doc.pdf").split())
    pictures.edit_text(document)
    assert built(local(document.parent, "doc.tex")) == ["latex:doc.tex"]
    pictures.edit_picture(document)
    assert built(local(document.parent, "doc.tex")) == ["latex:doc.tex", "1", "latex:doc.tex"]
    assert "Q1" in text_of(tmp_path / "p" / "doc.pdf")
    assert built(local(document.parent, "doc.tex")) == []


@pytest.mark.tex
def test_references_in_a_picture_follow_the_document(tmp_path: Path) -> None:
    picture = r"\begin{tikzpicture}\node {see \ref{part1} on p. \pageref{part1}};\end{tikzpicture}" + "\n"
    document = pictures.write(tmp_path / "p", 2, extra=picture)
    assert runs(local(document.parent, "doc.tex")) == (3, 4), "the picture with references is made a second time, with them"
    assert "see 2 on p. 1" in text_of(tmp_path / "p" / "doc.pdf")
    pictures.edit(document, "Text 0.", "Text 0.\\clearpage")
    assert Counter(built(local(document.parent, "doc.tex"))) == {"latex:doc.tex": 2, "2": 1}
    assert "see 2 on p. 2" in text_of(tmp_path / "p" / "doc.pdf")
    pictures.edit_text(document)
    assert built(local(document.parent, "doc.tex")) == ["latex:doc.tex"]


@pytest.mark.tex
def test_an_error_in_a_picture_is_its_own_and_one_in_the_text_is_the_document_s(tmp_path: Path) -> None:
    document = pictures.write(tmp_path / "p", 2)
    pictures.edit(document, "{P1}", "{P1 \\oops}")
    failed = local(document.parent, "doc.tex")
    assert failed.exit_code == 1 and "Undefined control sequence \\oops" in failed.output and "doc.tex:10" in failed.output
    pictures.edit(document, "{P1 \\oops}", "{P1}")
    pictures.edit(document, "Text 0.", "Text \\oops 0.")
    again = local(document.parent, "doc.tex")
    assert again.exit_code == 1 and "doc.tex:7" in again.output and again.steps.count("figure:doc-figure0") == 0
    pictures.edit(document, "Text \\oops 0.", "Text 0.")
    assert "1" not in built(local(document.parent, "doc.tex")), "the picture made beside a broken text was a good one"


@pytest.mark.tex
def test_what_is_read_before_the_document_and_inside_of_a_picture_counts_and_nothing_else(tmp_path: Path) -> None:
    inner = r"\begin{tikzpicture}\input{inner}\end{tikzpicture}" + "\n" + r"\input{text}" + "\n"
    document = pictures.write(tmp_path / "p", 1, extra=inner)
    pictures.edit(document, "\\usetikzlibrary", "\\input{macros}\\usetikzlibrary")
    files = {"macros": "\\newcommand\\size{1}", "inner": "\\draw (0,0) circle (\\size);", "text": "words"}
    for name, text in files.items():
        (tmp_path / "p" / f"{name}.tex").write_text(text)
    assert runs(local(document.parent, "doc.tex"))[1] == 2
    (tmp_path / "p" / "text.tex").write_text("other words")
    assert runs(local(document.parent, "doc.tex"))[1] == 0
    (tmp_path / "p" / "inner.tex").write_text("\\draw (0,0) circle (\\size) circle (2);")
    assert built(local(document.parent, "doc.tex")) == ["1", "latex:doc.tex"]
    (tmp_path / "p" / "macros.tex").write_text("\\newcommand\\size{3}")
    assert runs(local(document.parent, "doc.tex"))[1] == 2


@pytest.mark.tex
@pytest.mark.parametrize(
    ("options", "engine"),
    [
        ("", "xelatex"),
        ("", "lualatex"),
        ("[mode=list and make]", "pdflatex"),
        ("[prefix=figs/]", "pdflatex"),
        ("[up to date check=diff]", "pdflatex"),
        ("{doc}", "pdflatex"),
    ],
)
def test_each_mode_and_engine_makes_a_picture_once(options: str, engine: str, tmp_path: Path) -> None:
    document = pictures.write(tmp_path / "p", 2, options)
    (tmp_path / "p" / "figs").mkdir()
    (tmp_path / "p" / "cpods.toml").write_text(f'[[step]]\nchef = "latex"\nmain = "doc.tex"\nengine = "{engine}"\n')
    assert runs(local(document.parent)) == (2, 2)
    pictures.edit_text(document)
    assert runs(local(document.parent)) == (1, 0)
    pictures.edit_picture(document)
    assert runs(local(document.parent)) == (2, 1)
    assert {"P0", "Q1"} <= set(text_of(tmp_path / "p" / "doc.pdf").split())


@pytest.mark.tex
def test_without_a_hash_of_its_code_a_picture_depends_on_the_whole_text(tmp_path: Path) -> None:
    document = pictures.write(tmp_path / "p", 2, "[mode=graphics if exists,figure list=true]")
    assert runs(local(document.parent, "doc.tex"))[1] == 2
    pictures.edit_text(document)
    assert runs(local(document.parent, "doc.tex"))[1] == 2


@pytest.mark.tex
def test_pictures_that_an_earlier_tool_left_are_no_sources(tmp_path: Path) -> None:
    document = pictures.write(tmp_path / "p", 2)
    subprocess.run(["pdflatex", "-shell-escape", "-interaction=batchmode", "doc.tex"], cwd=tmp_path / "p", stdout=subprocess.DEVNULL)
    assert (tmp_path / "p" / "doc-figure1.pdf").exists()
    assert runs(local(document.parent, "doc.tex"))[1] == 2
    pictures.edit_picture(document)
    assert runs(local(document.parent, "doc.tex")) == (2, 1)


@pytest.mark.tex
@pytest.mark.parametrize("jobs", ["1", "4"])
def test_thirty_pictures_on_one_pod(jobs: str, tmp_path: Path) -> None:
    document = pictures.write(tmp_path / "p", 30)
    cold = local(document.parent, "doc.tex", "-j", jobs)
    assert runs(cold) == (3, 30)
    pictures.edit_text(document)
    assert runs(local(document.parent, "doc.tex", "-j", jobs)) == (1, 0)
    pictures.edit_picture(document)
    assert runs(local(document.parent, "doc.tex", "-j", jobs)) == (2, 1)
    assert runs(local(document.parent, "doc.tex", "-j", jobs)) == (0, 0)


@pytest.mark.tex
def test_as_few_runs_of_the_document_as_latexmk_needs(tmp_path: Path) -> None:
    """latexmk with shell escape makes the pictures inside of the document's runs; those are counted from its log."""
    document = pictures.write(tmp_path / "p", 3)
    shutil.copytree(tmp_path / "p", tmp_path / "l")
    there = [latexmk_runs(tmp_path / "l")]
    here = [runs(local(document.parent, "doc.tex"))[0]]
    for change in (pictures.edit_text, pictures.edit_picture):
        change(document)
        change(tmp_path / "l" / "doc.tex")
        there.append(latexmk_runs(tmp_path / "l"))
        here.append(runs(local(document.parent, "doc.tex"))[0])
    print(f"runs of the document, cold, after a text edit, after a picture edit: cpods {here}, latexmk {there}")
    assert all(mine <= its for mine, its in zip(here, there, strict=True))
    assert text_of(tmp_path / "p" / "doc.pdf") == text_of(tmp_path / "l" / "doc.pdf")


def latexmk_runs(folder: Path) -> int:
    command = ["latexmk", "-pdf", "-norc", "-pdflatex=pdflatex -shell-escape -interaction=batchmode %O %S", "doc.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return (done.stdout + done.stderr).count("Run number ")


@pytest.mark.federation
@pytest.mark.parametrize("options", ["", "[prefix=figs/]"])
def test_thirty_pictures_on_four_pods(options: str, tmp_path: Path) -> None:
    document = pictures.write(tmp_path / "p", 30, options)
    (tmp_path / "p" / "figs").mkdir()
    with Lab(tmp_path / "lab") as lab:
        lab.pods_at_once(["a", "b", "c", "d"], slots=1)
        cold = lab.rebuild(document.parent, "doc.tex")
        assert runs(cold) == (3, 30)
        makers = Counter(entry["pod"] for entry in cold.report["executions"] if entry["step"].startswith("figure:"))
        assert set(makers) == {"a", "b", "c", "d"} and min(makers.values()) >= 3, makers
        pictures.edit_text(document)
        assert runs(lab.rebuild(document.parent, "doc.tex")) == (1, 0)
        pictures.edit_picture(document)
        assert runs(lab.rebuild(document.parent, "doc.tex")) == (2, 1)
        assert runs(lab.rebuild(document.parent, "doc.tex")) == (0, 0)
    alone = pictures.write(tmp_path / "q", 30, options)
    (tmp_path / "q" / "figs").mkdir()
    pictures.edit_text(alone)
    pictures.edit_picture(alone)
    assert runs(local(alone.parent, "doc.tex")) == (3, 30)
    assert text_of(tmp_path / "p" / "doc.pdf") == text_of(tmp_path / "q" / "doc.pdf")


@pytest.mark.tex
def test_a_picture_that_came_with_the_project_is_not_made_where_pgf_takes_what_is_there(tmp_path: Path) -> None:
    document = pictures.write(tmp_path / "p", 2, "[mode=graphics if exists,figure list=true]")
    (tmp_path / "p" / "own.tex").write_text("\\documentclass{article}\\begin{document}OWN\\end{document}")
    subprocess.run(["pdflatex", "-jobname=doc-figure1", "own"], cwd=tmp_path / "p", stdout=subprocess.DEVNULL, check=True)
    (tmp_path / "p" / "doc-figure1.log").unlink()
    (tmp_path / "p" / "doc-figure1.aux").unlink()
    result = local(document.parent, "doc.tex")
    assert Counter(built(result))["0"] == 1 and "1" not in built(result)
    assert {"OWN", "P0"} <= set(text_of(tmp_path / "p" / "doc.pdf").split())


@pytest.mark.tex
def test_what_a_picture_needs_is_made_although_the_document_does_not_ask_for_it_any_more(tmp_path: Path) -> None:
    image = r"\begin{tikzpicture}\node {\includegraphics[width=1cm]{drawing}};\end{tikzpicture}" + "\n"
    plot = r"\begin{tikzpicture}[domain=0:4]\draw plot[id=curve] function{x/8};\end{tikzpicture}" + "\n"
    document = pictures.write(tmp_path / "p", 1, extra=image + plot)
    drawing = tmp_path / "p" / "drawing.svg"
    drawing.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9" fill="red"/></svg>')
    cold = Counter(built(local(document.parent, "doc.tex")))
    assert cold == {"latex:doc.tex": 3, "0": 1, "1": 2, "2": 2, "rule:drawing.pdf": 1, "gnuplot:doc.curve.gnuplot": 1}
    pictures.edit(document, "Text 0.", "Word 0.")
    assert built(local(document.parent, "doc.tex")) == ["latex:doc.tex"]
    pictures.edit(drawing, "red", "blue")
    assert built(local(document.parent, "doc.tex")) == ["rule:drawing.pdf", "1", "latex:doc.tex"]
    pictures.edit(document, "x/8", "x/9")
    assert built(local(document.parent, "doc.tex"))[-1] == "latex:doc.tex"
    assert built(local(document.parent, "doc.tex")) == []
