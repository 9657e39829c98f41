"""Real runs of engines: what the chef sees of them."""

import os
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from cpods.chefs.registry import chefs
from cpods.declaration import LatexDeclaration
from cpods.model import Exit, Observation, Step
from tests.chefs.realview import RealView, run, snapshot

CHEF = chefs()["latex"]
PACKED = Path("/var/lib/texmf/web2c/pdftex/pdflatex.fmt")
HEAD = "\\documentclass{article}\n"


def write(root: Path, **files: str) -> None:
    """``files``: content by name, with ``__`` for a slash and ``_`` for a dot."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def document(root: Path, body: str, preamble: str = "") -> None:
    write(root, a_tex=f"{HEAD}{preamble}\\begin{{document}}\n{body}\n\\end{{document}}\n")


def step_of(root: Path, main: str = "a.tex", **keys: object) -> Step:
    declaration = LatexDeclaration(main=main, **keys)  # type: ignore[arg-type]
    return CHEF.plan(declaration, 0, sorted(snapshot(root)), {})[0]


def observe(root: Path, main: str = "a.tex", environment: dict[str, str] | None = None, **keys: object) -> Observation:
    return run(CHEF, step_of(root, main, **keys), root, environment)[0]


def test_first_run_misses_what_the_second_reads(tmp_path: Path) -> None:
    document(tmp_path, "\\tableofcontents\\section{One}\\label{x}\\ref{x}")
    first, second = observe(tmp_path), observe(tmp_path)
    assert {"a.aux", "a.toc"} <= set(first.absent)
    assert first.reads == ("a.tex",)
    assert second.reads == ("a.aux", "a.tex", "a.toc")
    assert not {"a.aux", "a.toc"} & set(second.absent)
    assert second.writes == ("a.aux", "a.log", "a.pdf", "a.synctex.gz", "a.toc")
    assert (second.pages, second.problems) == (1, ())


def test_a_run_that_something_outside_stopped_is_not_kept_as_the_document_s_failure(tmp_path: Path) -> None:
    document(tmp_path, "x")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "pdflatex.fmt").write_bytes(PACKED.read_bytes()[:100_000])
    step = replace(step_of(tmp_path), env=(("TEXFORMATS", f"{tmp_path}/half:"),))
    seen, exit = run(CHEF, step, tmp_path)
    assert exit.code == 1
    assert (seen.usable_outputs, seen.follows) == (False, False)
    assert seen.problems[0].message.startswith("the engine failed without an error in its log: ")
    assert seen.problems[0].message.endswith("/half/pdflatex.fmt.") and "Could not undump" in seen.problems[0].message
    document(tmp_path, "\\nonsense")
    seen = observe(tmp_path)
    assert (seen.usable_outputs, seen.follows) == (True, True), "its own errors are the document's"


def test_a_local_class_could_appear(tmp_path: Path) -> None:
    document(tmp_path, "x")
    assert "article.cls" in observe(tmp_path).absent
    shutil.copy("/usr/share/texlive/texmf-dist/tex/latex/base/article.cls", tmp_path)
    seen = observe(tmp_path)
    assert "article.cls" in seen.reads
    assert "article.cls" not in seen.absent


@pytest.mark.parametrize("engine", ["pdflatex", "lualatex"])
def test_if_file_exists_in_every_form(tmp_path: Path, engine: str) -> None:
    asks = [
        "\\IfFileExists{tune}{}{}",
        "\\InputIfFileExists{my part}{}{}",
        '\\openin1="chapter one" \\closein1',
        "\\IfFileExists{süb/x.tex}{}{}",
    ]
    document(tmp_path, "x" + "".join(asks) + "\\openin1={two words} \\closein1 \\IfFileExists{./dot.tex}{}{}")
    absent = observe(tmp_path, engine=engine).absent
    wanted = {"tune", "tune.tex", "my part", "my part.tex", "chapter one", "chapter one.tex", "süb/x.tex", "two words.tex", "dot.tex"}
    assert wanted <= set(absent)


def test_a_file_that_was_asked_for_and_came(tmp_path: Path) -> None:
    document(tmp_path, "\\IfFileExists{tune}{\\input{tune}}{none}")
    assert "tune.tex" in observe(tmp_path).absent
    write(tmp_path, tune_tex="here")
    assert "tune.tex" in observe(tmp_path).reads


def test_own_writes_are_not_read(tmp_path: Path) -> None:
    body = "\\newwrite\\w\\immediate\\openout\\w=own.dat \\immediate\\write\\w{x}\\immediate\\closeout\\w \\input{own.dat}"
    document(tmp_path, body)
    first, second = observe(tmp_path), observe(tmp_path)
    assert "own.dat" in first.writes
    assert "own.dat" not in first.reads
    assert "own.dat" not in second.reads


def test_filecontents_reads_what_was_there_in_the_second_run(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_tex="\\begin{filecontents}{part.tex}\nhello\n\\end{filecontents}\n" + HEAD + "\\begin{document}\\input{part}\\end{document}",
    )
    first, second = observe(tmp_path), observe(tmp_path)
    assert "part.tex" in first.absent
    assert "part.tex" in first.writes
    assert "part.tex" in second.reads


def test_a_document_that_measures_its_own_pdf(tmp_path: Path) -> None:
    document(tmp_path, "size \\pdffilesize{a.pdf}")
    first, second = observe(tmp_path), observe(tmp_path)
    assert "a.pdf" in first.absent
    assert "a.pdf" in second.reads


def test_blanks_and_letters_and_subfolders(tmp_path: Path) -> None:
    write(tmp_path, sub__part_tex="part \\label{p}")
    (tmp_path / "ein Büchlein.tex").write_text(HEAD + "\\begin{document}\\include{sub/part}\\ref{p}\\end{document}")
    first, second = observe(tmp_path, "ein Büchlein.tex"), observe(tmp_path, "ein Büchlein.tex")
    assert "sub/part.aux" in first.writes
    assert second.reads == ("ein Büchlein.aux", "ein Büchlein.tex", "sub/part.aux", "sub/part.tex")
    assert "ein Büchlein.pdf" in second.writes


def test_running_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path, doc__a_tex=HEAD + "\\begin{document}\\input{../common}\\end{document}", common_tex="shared")
    seen = observe(tmp_path, cwd="doc")
    assert seen.reads == ("common.tex", "doc/a.tex")
    assert {"doc/a.pdf", "doc/a.aux"} <= set(seen.writes)


def test_a_project_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    document(tmp_path / "real", "\\input{\\detokenize{" + str(tmp_path / "real" / "part.tex") + "}}")
    write(tmp_path / "real", part_tex="x")
    os.symlink(tmp_path / "real", tmp_path / "link")
    assert observe(tmp_path / "link").reads == ("a.tex", "part.tex")


def test_texinputs_inside_and_outside_the_project(tmp_path: Path) -> None:
    root, outside = tmp_path / "p", tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "far.tex").write_text("far")
    root.mkdir()
    write(root, styles__deep__near_tex="near")
    document(root, "\\input{near}\\input{far}")
    seen = observe(root, environment={"TEXINPUTS": f".:./styles//:{outside}:"})
    assert {"styles/deep/near.tex", str(outside / "far.tex")} <= set(seen.reads)
    assert {"near.tex", "far.tex", "styles/far.tex"} <= set(seen.absent)


def test_another_document_s_aux_file(tmp_path: Path) -> None:
    document(tmp_path, "\\ref{other}", "\\usepackage{xr}\\externaldocument{b}")
    assert "b.aux" in observe(tmp_path).absent
    write(tmp_path, b_aux="\\newlabel{other}{{1}{1}}\n")
    assert "b.aux" in observe(tmp_path).reads


def test_included_pictures(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parent / "data" / "matplotlib.pdf", tmp_path / "plot.pdf")
    document(tmp_path, "\\includegraphics{plot}", "\\usepackage{graphicx}")
    assert "plot.pdf" in observe(tmp_path).reads


def test_the_log_s_shape_leaves_files_alone(tmp_path: Path) -> None:
    document(tmp_path, "\\section{" + "long words " * 30 + "}\\label{x}\\write1{" + "y" * 500 + "}")
    step = step_of(tmp_path)
    run(CHEF, step, tmp_path)
    shaped = (tmp_path / "a.aux").read_bytes()
    (tmp_path / "a.aux").unlink()
    plain = Step(name=step.name, chef=step.chef, tool=step.tool, argv=step.argv, position=step.position, jobname="a", main="a.tex")
    run(CHEF, plain, tmp_path)
    assert (tmp_path / "a.aux").read_bytes() == shaped


def test_an_error_is_usable_and_points_at_the_line(tmp_path: Path) -> None:
    document(tmp_path, "fine\n\\foo bar")
    seen = observe(tmp_path)
    assert seen.usable_outputs
    (problem,) = seen.problems
    assert (problem.message, problem.file, problem.line, problem.source) == ("Undefined control sequence \\foo", "a.tex", 4, "\\foo bar")


def test_an_error_in_an_included_file_is_reported_there(tmp_path: Path) -> None:
    document(tmp_path, "\\input{sub/part}")
    write(tmp_path, sub__part_tex="one\n$x_1_2$\n")
    (problem,) = observe(tmp_path).problems
    assert (problem.message, problem.file, problem.line, problem.source) == ("Double subscript.", "sub/part.tex", 2, "$x_1_2$")


def test_a_run_that_stops_early_still_tells_what_it_missed(tmp_path: Path) -> None:
    document(tmp_path, "x", "\\usepackage{nosuchpackage}\n")
    seen = observe(tmp_path)
    assert seen.usable_outputs
    assert "nosuchpackage.sty" in seen.absent
    assert seen.problems[0].line == 2


def test_a_main_file_that_is_not_there(tmp_path: Path) -> None:
    seen = observe(tmp_path, "gone.tex")
    assert "gone.tex" in seen.absent
    assert "gone.tex" in seen.problems[0].message
    assert seen.writes == ()


def test_a_log_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.tex").write_bytes(
        (HEAD + "\\usepackage[latin1]{inputenc}\\begin{document}\\typeout{\xe9}\n\\nopé\n\\end{document}").encode("latin-1")
    )
    assert observe(tmp_path).problems[0].line == 3


def test_undefined_references_are_warnings(tmp_path: Path) -> None:
    document(tmp_path, "\\ref{nowhere}")
    problems = observe(tmp_path).problems
    assert [problem.severity for problem in problems] == ["warning", "warning"]
    assert "nowhere" in problems[0].message


@pytest.mark.parametrize(
    ("exit", "message"),
    [
        (Exit(code=-9), "killed by signal 9"),
        (Exit(code=-15, timed_out=True), "took longer than"),
        (Exit(code=127, error="no such program"), "could not be started: no such program"),
    ],
)
def test_runs_that_did_not_end_by_themselves_are_not_usable(tmp_path: Path, exit: Exit, message: str) -> None:
    document(tmp_path, "x")
    seen = CHEF.observe(step_of(tmp_path), RealView(tmp_path, snapshot(tmp_path)), exit)
    assert not seen.usable_outputs
    assert message in seen.problems[0].message
    assert seen.helpers == ()


def test_lualatex_counts_new_files_as_looked_for(tmp_path: Path) -> None:
    document(tmp_path, "\\directlua{local f = io.open('count.dat', 'w') f:write('1') f:close()}x")
    seen = observe(tmp_path, engine="lualatex")
    assert "count.dat" in seen.writes
    assert "count.dat" in seen.absent
    assert not {"a.log", "a.synctex.gz", "a.fls"} & set(seen.absent)


def test_shell_escape_counts_new_files_as_looked_for(tmp_path: Path) -> None:
    document(tmp_path, "\\immediate\\write18{test -e made || touch made}x")
    assert "made" in observe(tmp_path, shell_escape=True).absent


def test_a_document_without_pages(tmp_path: Path) -> None:
    document(tmp_path, "")
    assert observe(tmp_path).pages == 0
