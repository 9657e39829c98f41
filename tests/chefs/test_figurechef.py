"""Externalised pictures: which ones a document's run asks for, and what counts of a picture's run."""

from pathlib import Path

import msgspec
import pytest

from cpods.chefs.figurechef import FigureChef, inside
from cpods.chefs.figurefiles import FILTER, marked, preamble
from cpods.chefs.figures import figure_helpers, without_requests
from cpods.chefs.leftovers import leftovers
from cpods.chefs.recorder import Places
from cpods.model import Exit, Problem, Step
from tests.chefs.realview import RealView, run, snapshot

ENGINE = Step(
    name="latex:doc.tex",
    chef="latex",
    tool="pdflatex",
    argv=("pdflatex", "-recorder", "doc.tex"),
    position=(3,),
    inputs=("doc.tex",),
    outputs=("doc.pdf",),
    open_reads=True,
    may_write=("doc.",),
    main="doc.tex",
    jobname="doc",
)
KEY = "\\def \\tikzexternallastkey {0CCB}%\n"
DOCUMENT = r"""\documentclass{article}
\usepackage{tikz}\usetikzlibrary{external}\tikzexternalize
\begin{document}
Text \undefined.
\begin{tikzpicture}\draw (0,0) -- (1,1);\end{tikzpicture}
\end{document}
"""


def planned(folder: Path, files: dict[str, str], engine: Step = ENGINE, absent: tuple[str, ...] = (), log: str = "") -> list[Step]:
    """The pictures that a run asks for which left these files."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return figure_helpers(engine, RealView(folder, snapshot(folder)), absent, log, 11)


def fls(folder: Path, *events: str) -> str:
    return "".join(line + "\n" for line in (f"PWD {folder}", *events))


def test_pictures_are_told_by_the_hash_of_their_code_in_the_order_of_the_document(tmp_path: Path) -> None:
    recorded = fls(tmp_path, "OUTPUT b.md5", "INPUT ./doc-figure0.md5", "INPUT sums.md5", "INPUT b.md5")
    files = {"doc.fls": recorded, "b.md5": KEY, "doc-figure0.md5": KEY, "sums.md5": "0CCB  a file\n"}
    steps = planned(tmp_path, files)
    assert [(step.name, step.position) for step in steps] == [("figure:b", (3, 11, 0)), ("figure:doc-figure0", (3, 11, 1))]
    first = steps[0]
    assert first.inputs == ("b.md5", "doc.tex") and first.outputs == ("b.pdf",) and first.parallel and first.any_date
    assert first.argv[:1] == ("pdflatex",) and "-jobname=b" in first.argv and first.argv[-1].endswith(r"\input{doc.tex}")


@pytest.mark.parametrize(
    "engine", [{"argv": ("pdflatex", "-shell-escape", "doc.tex")}, {"tool": "latex"}, {"options": (("figures", "none"),)}]
)
def test_none_is_planned_if_pgf_makes_them_or_nobody_can(engine: dict[str, object], tmp_path: Path) -> None:
    changed = msgspec.structs.replace(ENGINE, **engine)
    assert not planned(tmp_path, {"doc.fls": fls(tmp_path, "INPUT a.md5"), "a.md5": KEY}, changed)
    request = Problem("Package tikz Error: Sorry, the system call 'x' did NOT result in a usable output file 'a' (expected one of .pdf:)")
    assert without_requests(changed, [request]) == (request,) and without_requests(ENGINE, [request]) == ()


def test_a_picture_without_a_hash_is_told_by_the_log_and_depends_on_everything(tmp_path: Path) -> None:
    log = (
        "===== 'mode=convert with system call': Invoking 'pdflatex -jobname \"doc-figure0\" \"\\def\\x{doc}\"' ========\n"
        "===== Image 'figs/doc-figure1' is up-to-date. ======\n"
    )
    steps = planned(tmp_path, {"doc.fls": fls(tmp_path)}, log=log)
    assert [step.outputs for step in steps] == [("doc-figure0.pdf",), ("figs/doc-figure1.pdf",)]
    assert all(dict(step.options)["reads"] == "all" and step.inputs == ("doc.tex",) for step in steps)
    assert FigureChef().filter_for(steps[0], "doc.tex") == ""


def test_of_a_list_of_figures_those_count_that_were_looked_for(tmp_path: Path) -> None:
    files = {"doc.fls": fls(tmp_path, "INPUT ./doc-figure1.pdf"), "doc.figlist": "doc-figure0\ndoc-figure1\ndoc-figure2\n"}
    steps = planned(tmp_path, files, absent=("doc-figure0.pdf",))
    assert [step.name for step in steps] == ["figure:doc-figure0", "figure:doc-figure1"]


@pytest.mark.parametrize(
    ("notes", "reads"),
    [("", ""), ("\\gdef \\tikzexternal@systemcall@reschedule@to@end@document {1}", "labels"), ("\\gdef \\cpodslabels {1}", "labels")],
)
def test_a_picture_with_references_reads_the_aux_files_from_then_on(notes: str, reads: str, tmp_path: Path) -> None:
    (step,) = planned(tmp_path, {"doc.fls": fls(tmp_path, "INPUT a.md5"), "a.md5": KEY, "a.dpth": notes})
    assert dict(step.options).get("reads", "") == reads
    assert ("cpodslabels" in step.argv[-1]) == bool(reads) and ("begindocument/before" in step.argv[-1]) != bool(reads)


def test_the_preamble_ends_at_the_last_begin_of_the_document_that_is_no_comment() -> None:
    assert preamble(b"a\n\\begin{document}\ntext") == b"a\n\\begin{document}"
    assert preamble(b"a % \\begin{document}\nb\\%\\begin {document}c") == b"a % \\begin{document}\nb\\%\\begin {document}"
    assert preamble(b"\\begin{filecontents}{x}\n\\begin{document}\n\\end{filecontents}\n\\begin{document}x").endswith(
        b"}\n\\begin{document}"
    )
    assert preamble(b"no document") == b"no document"


def test_reads_are_sorted_by_the_two_marks_and_the_notes_file(tmp_path: Path) -> None:
    null = "INPUT /usr/share/texlive/texmf-dist/tex/generic/knuth-lib/null.tex"
    lines = fls(
        tmp_path,
        "INPUT m.tex",
        "OUTPUT p.dpth",
        null,
        "INPUT c.tex",
        "OUTPUT p.dpth",
        "INPUT i.tex",
        null,
        "INPUT z.tex",
        null,
        "INPUT y.tex",
    )
    step = Step(name="figure:p", chef="figure", tool="pdflatex", argv=(), position=(0,), jobname="p")
    found = marked(lines.encode(), step, Places(str(tmp_path), ".", str(tmp_path)))
    assert [*found.before] == ["m.tex"] and [*found.text] == ["c.tex"] and [*found.inside] == ["i.tex"]
    assert found.told == {"m.tex", "c.tex", "i.tex", "z.tex", "y.tex"}


def test_only_errors_between_the_notes_file_and_the_page_are_the_picture_s() -> None:
    log = "./doc.tex:3: one\n\\openout6 = `p.dpth'.\n\n./doc.tex:4: two\n[1\n\n{pdftex.map}]\n./doc.tex:9: three\n"
    assert "two" in inside(log, "p") and "one" not in inside(log, "p") and "three" not in inside(log, "p")


def test_leftover_pictures_are_told_from_check_sums() -> None:
    listing = ["doc-figure0.md5", "doc-figure0.pdf", "named.md5", "named.dpth", "named.pdf", "data.md5", "data.pdf"]
    found = leftovers([ENGINE], listing, {"named.pdf"})
    assert found.keys() == {"doc-figure0.md5", "doc-figure0.pdf", "named.md5", "named.dpth"}


def test_a_picture_is_good_although_the_text_is_not(tmp_path: Path) -> None:
    (tmp_path / "doc.tex").write_text(DOCUMENT)
    (step,) = planned(tmp_path, {"doc.fls": fls(tmp_path, "INPUT p.md5"), "p.md5": KEY}, log="")
    (tmp_path / "doc.tex").write_text(DOCUMENT.replace("\\tikzexternalize", "\\tikzexternalize\\tikzsetnextfilename{p}"))
    seen, exit = run(FigureChef(), step, tmp_path)
    assert exit.code == 1 and seen.exit_code == 0 and not seen.problems
    assert {"p.pdf", "p.log"} <= set(seen.writes) <= {"p.pdf", "p.log", "p.dpth"}
    assert seen.reads == ("doc.tex", "p.md5") and FigureChef().filter_for(step, "doc.tex") == FILTER


def test_a_program_that_the_picture_may_not_run_is_an_error(tmp_path: Path) -> None:
    files = {"doc.tex": DOCUMENT, "doc.fls": fls(tmp_path, "INPUT p.md5"), "p.md5": KEY, "p.pdf": "%PDF"}
    (step,) = planned(tmp_path, files)
    earlier = snapshot(tmp_path)
    (tmp_path / "p.pdf").write_text("%PDF new")
    (tmp_path / "p.log").write_text("\\openout6 = `p.dpth'.\n\nrunsystem(gnuplot p.x.gnuplot)...disabled (restricted).\n\n[1]\n")
    seen = FigureChef().observe(step, RealView(tmp_path, earlier), Exit(0))
    assert "p.pdf" in seen.writes and seen.exit_code is None
    assert [problem.message for problem in seen.problems] == [
        "the picture p runs `gnuplot p.x.gnuplot`, which the document may not; name the program in the step's shell_escape"
    ]


def test_without_a_picture_the_cause_may_be_anywhere(tmp_path: Path) -> None:
    (step,) = planned(tmp_path, {"doc.tex": DOCUMENT, "doc.fls": fls(tmp_path, "INPUT p.md5"), "p.md5": KEY})
    view = RealView(tmp_path, snapshot(tmp_path))
    seen = FigureChef().observe(step, view, Exit(1, b"! Emergency stop."))
    assert "doc.pdf" in seen.absent and seen.exit_code is None and seen.problems and seen.usable_outputs
