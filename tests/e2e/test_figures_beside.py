"""PDFs that lie beside a document: those that nobody reads cost nothing, those that it reads count, however it names them."""

from pathlib import Path

import pytest

from tests.helpers.minipdf import pdf
from tests.helpers.sandbox import Sandbox

_NAMED = r"\includegraphics[width=3cm]{plot}"
_COMPUTED = r"\newcommand\drawn[2]{\includegraphics[width=3cm]{#1lo#2}}\drawn{p}{t}"


def dated(colour: str, year: int) -> bytes:
    """A PDF with a date, which pdfTeX copies unread into the document."""
    plain = pdf(["x"], colour=colour)
    info = b"9 0 obj\n<< /CreationDate (D:%d0101000000Z) >>\nendobj\n" % year
    at = plain.index(b"xref")
    entry = b"trailer << /Info 9 0 R"
    return (
        (plain[:at] + info + plain[at:]).replace(b"trailer <<", entry).replace(b"startxref\n%d" % at, b"startxref\n%d" % (at + len(info)))
    )


def project(folder: Path, body: str, *more: str) -> Sandbox:
    box = Sandbox(folder / "project")
    box.write("a.tex", "\\documentclass{article}\\usepackage{graphicx}\\begin{document}" + body + "\\end{document}\n")
    box.write("cpods.toml", '[[step]]\nchef = "latex"\nmain = "a.tex"\nsynctex = false\n' + "\n".join(more))
    box.write("plot.pdf", dated("1 0 0", 2001))
    for name in ("manual.pdf", "sub/guide.pdf"):
        box.write(name, dated("0 1 0", 2002))
    return box


def brought(box: Sandbox) -> set[str]:
    """PDFs in the folders that the document's steps ran in."""
    folders = (box.root / ".cpods" / "work").iterdir()
    return {str(path.relative_to(folder)) for folder in folders for path in folder.rglob("*.pdf")}


def test_what_the_document_does_not_name_is_left_alone(tmp_path: Path) -> None:
    box = project(tmp_path, _NAMED)
    built = box.build()
    assert built.status == "done" and len(built.runs) == 2
    assert brought(box) - {"a.pdf"} == {"plot.pdf"}
    box.write("manual.pdf", dated("0 0 1", 2003))
    assert box.build().runs == ()


@pytest.mark.parametrize("body", [_NAMED, _COMPUTED])
def test_a_figure_counts_without_its_date(tmp_path: Path, body: str) -> None:
    box = project(tmp_path, body)
    assert box.build().status == "done"
    first = box.read("a.pdf")
    box.write("plot.pdf", dated("1 0 0", 2019))
    assert box.build().runs == ()
    assert box.build(force=True).status == "done"
    assert box.read("a.pdf") == first
    assert b"20190101" not in first and b"20010101" not in first
    box.write("plot.pdf", dated("0 0 1", 2019))
    assert box.build().runs != ()
    assert box.read("a.pdf") != first


def test_a_figure_whose_name_is_computed_costs_one_run_once(tmp_path: Path) -> None:
    named, computed = project(tmp_path / "named", _NAMED), project(tmp_path / "computed", _COMPUTED)
    ran, more = named.build(), computed.build()
    assert len(more.runs) == len(ran.runs) + 1
    assert computed.read("a.pdf") == named.read("a.pdf")
    computed.write("a.tex", computed.read("a.tex").replace(b"\\end{document}", b"word\\end{document}"))
    named.write("a.tex", named.read("a.tex").replace(b"\\end{document}", b"word\\end{document}"))
    assert len(computed.build().runs) == len(named.build().runs) == 1
    assert computed.read("a.pdf") == named.read("a.pdf")


def test_all_figures_are_there_for_programs_that_a_document_starts(tmp_path: Path) -> None:
    box = project(tmp_path, r"\immediate\write18{cp *.pdf copy.txt || ls *.pdf > found.txt}\input{found.txt}", "shell_escape = true")
    assert box.build().status == "done"
    assert {"manual.pdf", "plot.pdf"} <= set(box.read("found.txt").decode().split())


def test_figures_of_a_document_whose_helpers_run_are_not_brought_by_them(tmp_path: Path) -> None:
    body = r"\cite{k}\index{x}\bibliographystyle{plain}\bibliography{b}" + _NAMED
    box = project(tmp_path, body)
    box.write("a.tex", box.read("a.tex").replace(b"{graphicx}", b"{graphicx}\\usepackage{makeidx}\\makeindex"))
    box.write("b.bib", "@misc{k, title={T}, author={A}, year=2000}\n")
    built = box.build()
    assert built.status == "done" and {"bibtex", "makeindex"} <= set(built.tools)
    assert brought(box) - {"a.pdf"} == {"plot.pdf"}
