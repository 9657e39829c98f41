"""bibtex, biber, makeindex, makeglossaries: asked for, run for real, observed."""

from pathlib import Path

import pytest

from cpods.chefs.bibliography import biber_problems, bibtex_problems
from cpods.chefs.index import index_problems
from cpods.chefs.registry import chefs
from cpods.declaration import LatexDeclaration
from cpods.model import Exit, Observation, Problem, Step
from tests.chefs.realview import run, snapshot

CHEFS = chefs()
BIB = "@article{k, title={T}, author={A}, journal={J}, year=1999}\n"
PLAIN = "\\bibliographystyle{plain}\\bibliography{l}"


def document(root: Path, body: str, preamble: str = "", kind: str = "article") -> None:
    (root / "a.tex").write_text(f"\\documentclass{{{kind}}}\n{preamble}\n\\begin{{document}}\n{body}\n\\end{{document}}\n")


def engine(root: Path, main: str = "a.tex", **keys: object) -> tuple[Step, Observation]:
    declaration = LatexDeclaration(main=main, **keys)  # type: ignore[arg-type]
    (step,) = CHEFS["latex"].plan(declaration, 4, sorted(snapshot(root)), {})
    return step, run(CHEFS["latex"], step, root)[0]


def helpers(root: Path, main: str = "a.tex", **keys: object) -> list[Step]:
    return list(engine(root, main, **keys)[1].helpers)


def really(root: Path, step: Step) -> Observation:
    seen, exit = run(CHEFS[step.chef], step, root)
    assert exit.code == 0, exit.stdout
    assert set(step.outputs) <= set(seen.writes)
    return seen


def test_bibtex_reads_databases_styles_and_all_aux_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "part.tex").write_text("\\cite{k}")
    (tmp_path / "l.bib").write_text(BIB)
    document(tmp_path, "\\include{sub/part}" + PLAIN)
    (step,) = helpers(tmp_path)
    assert (step.name, step.argv, step.position, step.planner) == ("bibtex:a", ("bibtex", "a"), (4, 1), "latex:a.tex")
    seen = really(tmp_path, step)
    assert seen.reads == ("a.aux", "l.bib", "sub/part.aux")
    assert "plain.bst" in seen.absent
    assert seen.writes == ("a.bbl", "a.blg")
    assert CHEFS["bibtex"].filter_for(step, "sub/part.aux") == "bibtex-aux/1"
    assert CHEFS["bibtex"].filter_for(step, "l.bib") == ""


def test_a_local_style_is_read(tmp_path: Path) -> None:
    (tmp_path / "l.bib").write_text(BIB)
    (tmp_path / "own.bst").write_text("ENTRY{}{}{}\nREAD\n")
    document(tmp_path, "\\cite{k}\\bibliographystyle{own}\\bibliography{l}")
    (step,) = helpers(tmp_path)
    assert "own.bst" in really(tmp_path, step).reads


def test_bibtex_in_a_folder_with_blanks_in_the_name(tmp_path: Path) -> None:
    (tmp_path / "doc").mkdir()
    (tmp_path / "doc" / "l.bib").write_text(BIB)
    (tmp_path / "doc" / "mein Büchlein.tex").write_text("\\documentclass{article}\\begin{document}\\cite{k}" + PLAIN + "\\end{document}")
    (step,) = helpers(tmp_path, "mein Büchlein.tex", cwd="doc")
    assert (step.argv, step.cwd, step.outputs) == (("bibtex", "mein Büchlein"), "doc", ("doc/mein Büchlein.bbl",))
    assert really(tmp_path, step).reads == ("doc/l.bib", "doc/mein Büchlein.aux")


def test_an_early_failure_is_usable(tmp_path: Path) -> None:
    (tmp_path / "l.bib").write_text(BIB)
    document(tmp_path, "nothing cited" + PLAIN)
    (step,) = helpers(tmp_path)
    seen, exit = run(CHEFS["bibtex"], step, tmp_path)
    assert exit.code == 2
    assert seen.usable_outputs
    assert "I found no \\citation commands" in seen.problems[0].message


def test_none_means_none(tmp_path: Path) -> None:
    (tmp_path / "l.bib").write_text(BIB)
    document(tmp_path, "\\cite{k}\\index{x}" + PLAIN, "\\usepackage{makeidx}\\makeindex")
    assert helpers(tmp_path, bibliography="none", index="none") == []
    assert [step.tool for step in helpers(tmp_path)] == ["bibtex", "makeindex"]


def test_a_bbl_without_a_bib_is_a_source(tmp_path: Path) -> None:
    document(tmp_path, "\\cite{k}\\bibliographystyle{plain}\\bibliography{nowhere}")
    (tmp_path / "a.bbl").write_text("\\begin{thebibliography}{1}\\bibitem{k} K.\\end{thebibliography}")
    assert helpers(tmp_path) == []
    (tmp_path / "nowhere.bib").write_text(BIB)
    assert [step.name for step in helpers(tmp_path)] == ["bibtex:a"]


def test_a_bib_of_the_tex_tree_is_a_bib(tmp_path: Path) -> None:
    document(tmp_path, "\\cite{article-full}\\bibliographystyle{plain}\\bibliography{xampl}")
    (tmp_path / "a.bbl").write_text("old")
    assert [step.name for step in helpers(tmp_path)] == ["bibtex:a"]


def test_multibib_gets_one_run_per_aux_file(tmp_path: Path) -> None:
    (tmp_path / "l.bib").write_text(BIB)
    second = "\\citesec{k}\\bibliographystylesec{plain}\\bibliographysec{l}"
    document(tmp_path, "\\cite{k}" + PLAIN + second, "\\usepackage{multibib}\\newcites{sec}{Secondary}")
    steps = helpers(tmp_path)
    assert [step.name for step in steps] == ["bibtex:a", "bibtex:sec"]
    assert [step.position for step in steps] == [(4, 1), (4, 1, 0)]
    for step in steps:
        really(tmp_path, step)


def test_chapterbib_gets_one_run_per_chapter(tmp_path: Path) -> None:
    (tmp_path / "l.bib").write_text(BIB)
    for name in ("one", "two"):
        (tmp_path / f"{name}.tex").write_text("\\chapter{x}\\cite{k}" + PLAIN)
    document(tmp_path, "\\include{one}\\include{two}", "\\usepackage{chapterbib}", "report")
    steps = helpers(tmp_path)
    assert [step.name for step in steps] == ["bibtex:one", "bibtex:two"]
    assert really(tmp_path, steps[0]).reads == ("l.bib", "one.aux")


def test_biber_reads_control_file_and_databases(tmp_path: Path) -> None:
    (tmp_path / "l.bib").write_text(BIB)
    document(tmp_path, "\\cite{k,z}\\printbibliography", "\\usepackage{biblatex}\\addbibresource{l.bib}\\addbibresource{gone.bib}")
    (step,) = helpers(tmp_path)
    assert (step.name, step.argv, step.outputs) == ("biber:a", ("biber", "a"), ("a.bbl",))
    seen, exit = run(CHEFS["biber"], step, tmp_path)
    assert seen.reads == ("a.bcf", "l.bib")
    assert {"gone.bib", "biber.conf"} <= set(seen.absent)
    assert exit.code != 0
    assert "gone.bib" in seen.problems[0].message
    (tmp_path / "gone.bib").write_text("")
    assert really(tmp_path, step).reads == ("a.bcf", "gone.bib", "l.bib")


def test_biber_does_not_look_behind_the_last_key(tmp_path: Path) -> None:
    (tmp_path / "l.bib").write_text(BIB)
    document(tmp_path, "\\cite{k}\\printbibliography", "\\usepackage{biblatex}\\addbibresource{l.bib}\\addbibresource{more.bib}")
    (tmp_path / "more.bib").write_text("")
    (step,) = helpers(tmp_path)
    assert really(tmp_path, step).reads == ("a.bcf", "l.bib")


def test_biblatex_with_bibtex(tmp_path: Path) -> None:
    (tmp_path / "l.bib").write_text(BIB)
    document(tmp_path, "\\cite{k}\\printbibliography", "\\usepackage[backend=bibtex]{biblatex}\\addbibresource{l.bib}")
    (step,) = helpers(tmp_path)
    assert step.name == "bibtex:a"
    assert {"a-blx.bib", "a.aux", "l.bib"} <= set(really(tmp_path, step).reads)


def test_makeindex_with_a_local_style_file(tmp_path: Path) -> None:
    document(tmp_path, "x\\index{x}", "\\usepackage{makeidx}\\makeindex")
    (step,) = helpers(tmp_path)
    assert (step.argv, step.inputs, step.outputs, step.position) == (("makeindex", "a.idx"), ("a.idx",), ("a.ind",), (4, 2))
    assert really(tmp_path, step).reads == ("a.idx",)
    (tmp_path / "s.ist").write_text("headings_flag 1\n")
    styled = Step(
        name="m",
        chef="makeindex",
        tool="makeindex",
        argv=("makeindex", "-s", "s.ist", "a.idx"),
        position=(0,),
        inputs=("a.idx",),
        env=step.env,
    )
    assert really(tmp_path, styled).reads == ("a.idx", "s.ist")


def test_an_empty_index_still_makes_its_output(tmp_path: Path) -> None:
    document(tmp_path, "x", "\\usepackage{makeidx}\\makeindex")
    (step,) = helpers(tmp_path)
    really(tmp_path, step)


def test_each_index_gets_its_own_run(tmp_path: Path) -> None:
    document(
        tmp_path,
        "x\\index{x}\\index[who]{W}\\printindex\\printindex[who]",
        "\\usepackage[noautomatic]{imakeidx}\\makeindex\\makeindex[name=who]",
    )
    assert [(step.name, step.position) for step in helpers(tmp_path)] == [("makeindex:a", (4, 2)), ("makeindex:who", (4, 2, 1))]


def test_an_index_that_the_engine_had_made_is_not_made_again(tmp_path: Path) -> None:
    document(tmp_path, "x\\index{x}\\printindex", "\\usepackage{imakeidx}\\makeindex")
    _, seen = engine(tmp_path)
    assert "a.ind" in seen.writes
    assert seen.helpers == ()


def test_makeglossaries_reads_entries_and_style(tmp_path: Path) -> None:
    entries = "\\newglossaryentry{x}{name=x,description={d}}\\newacronym{aa}{AA}{Alpha}"
    document(tmp_path, "\\gls{x}\\gls{aa}\\printglossaries", "\\usepackage[acronym]{glossaries}\\makeglossaries" + entries)
    (step,) = helpers(tmp_path)
    assert (step.name, step.position) == ("makeglossaries:a", (4, 3))
    assert step.outputs == ("a.gls", "a.acr")
    assert really(tmp_path, step).reads == ("a.acn", "a.aux", "a.glo", "a.ist")
    chef = CHEFS["makeglossaries"]
    assert chef.filter_for(step, "a.aux") == "makeglossaries-aux/1"
    assert b"newlabel" not in chef.filter("makeglossaries-aux/1", "a.aux", b"\\newlabel{x}{{1}{1}}\n")


def test_empty_glossaries_still_make_their_outputs(tmp_path: Path) -> None:
    document(tmp_path, "x\\printglossaries", "\\usepackage{glossaries}\\makeglossaries\\newglossaryentry{x}{name=x,description={d}}")
    (step,) = helpers(tmp_path)
    really(tmp_path, step)


STEP = Step(name="s", chef="bibtex", tool="bibtex", argv=("bibtex", "a"), position=(0,), cwd="doc", main="doc/a.idx")


def test_bibtex_complaints_have_a_place() -> None:
    text = "I was expecting a `,' or a `}'---line 3 of file l.bib\n : \nWarning--empty year in k\n"
    error, warning = bibtex_problems(text, STEP, Exit(code=2))
    assert (error.message, error.file, error.line, error.severity) == ("I was expecting a `,' or a `}'", "doc/l.bib", 3, "error")
    assert (warning.message, warning.severity) == ("empty year in k", "warning")


def test_bibtex_missing_database() -> None:
    text = "I couldn't open database file gone.bib\n---line 4 of file a.aux\n : \\bibdata{gone\n"
    problems = bibtex_problems(text, STEP, Exit(code=2))
    assert problems == (Problem("I couldn't open database file gone.bib", "doc/a.aux", 4),)


def test_bibtex_says_each_thing_once_and_where() -> None:
    """The shape of an unfinished chapter's bibliography: ``\\bibdata{}`` and no citation."""
    text = (
        "I couldn't open database file .bib\n---line 4 of file ch.aux\n : \\bibdata{}\n"
        "I found no \\citation commands---while reading file ch.aux\n"
    )
    assert bibtex_problems(text, STEP, Exit(code=2)) == (
        Problem("I couldn't open database file .bib", "doc/ch.aux", 4),
        Problem("I found no \\citation commands", "doc/ch.aux"),
    )


def test_biber_complaints_have_a_severity() -> None:
    text = "INFO - x\nERROR - Cannot find 'gone.bib'!\nWARN - I didn't find a database entry for 'k'\n"
    assert [(one.message[:11], one.severity) for one in biber_problems(text, STEP, Exit(code=2))] == [
        ("Cannot find", "error"),
        ("I didn't fi", "warning"),
    ]


def test_makeindex_complaints_have_a_place() -> None:
    text = b"Scanning input file a.idx...\n!! Input index error (file = a.idx, line = 1):\n   -- Argument ... too long (max 1024).\n"
    (problem,) = index_problems(Exit(code=0, stderr=text), STEP)
    assert (problem.file, problem.line, problem.severity) == ("doc/a.idx", 1, "error")


def test_a_failed_makeindex_says_its_last_words() -> None:
    (problem,) = index_problems(Exit(code=1, stderr=b"kdebug:x\nCan't create output index file a.ind.\n"), STEP)
    assert "Can't create output" in problem.message


@pytest.mark.parametrize("name", ["bibtex", "biber", "makeindex", "makeglossaries"])
def test_helpers_plan_nothing_by_themselves(name: str) -> None:
    assert CHEFS[name].plan(LatexDeclaration(main="a.tex"), 0, (), {}) == ()
