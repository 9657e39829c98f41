"""What engines' runs make of helpers, without an engine: a view over a few files, and the steps that follow."""

from pathlib import Path

import pytest

from cpods.chefs.glossaries import Bib2glsChef
from cpods.chefs.helpers import Ended, helpers
from cpods.chefs.helping import named_files
from cpods.chefs.hints import advised
from cpods.chefs.pythontex import PythontexChef, imported
from cpods.chefs.registry import chefs
from cpods.chefs.rules import as_options
from cpods.declaration import LatexDeclaration, Rule
from cpods.model import Exit, Observation, Problem, Step
from tests.chefs.realview import RealView, run, snapshot

CHEFS = chefs()


def _engine(**fields: object) -> Step:
    known = {"name": "latex:a.tex", "chef": "latex", "tool": "pdflatex", "argv": ("pdflatex", "a"), "position": (4,)}
    return Step(**{**known, "main": "a.tex", "jobname": "a", "outputs": ("a.pdf",), **fields})  # type: ignore[arg-type]


def _planned(root: Path, files: dict[str, str], engine: Step | None = None, **traffic: object) -> list[Step]:
    """The helpers after a run that wrote ``files``, unless ``traffic`` says otherwise."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    ended = {"writes": tuple(files), "absent": (), "log": "", "reads": (), **traffic}
    return helpers(engine or _engine(), Ended(RealView(root, {}), **ended))  # type: ignore[arg-type]


def _really(root: Path, step: Step) -> Observation:
    seen, exit = run(CHEFS[step.chef], step, root)
    assert exit.code == 0, exit.stderr
    assert set(step.outputs) <= set(seen.writes)
    return seen


def test_gnuplot_scripts_name_what_they_make_and_read(tmp_path: Path) -> None:
    script = "set table \"a.x.table\"; load 'more.gp'\nplot 'data.dat', 'gone.dat' w l\n"
    files = {"a.x.gnuplot": script, "more.gp": "f(x) = x\n# 'deep.dat'\n", "data.dat": "0 0\n"}
    (step,) = _planned(tmp_path, files, writes=("a.x.gnuplot",))
    assert (step.name, step.outputs, step.parallel) == ("gnuplot:a.x.gnuplot", ("a.x.table",), True)
    seen = CHEFS["gnuplot"].observe(step, RealView(tmp_path, snapshot(tmp_path)), Exit(code=0))
    assert seen.reads == ("a.x.gnuplot", "data.dat", "more.gp")
    assert {"gone.dat", "deep.dat"} <= set(seen.absent)


def test_a_gnuplot_script_that_the_engine_only_read_is_run_if_its_table_is_wanted(tmp_path: Path) -> None:
    files = {"a.x.gnuplot": "set table 'a.x.table'\nplot x\n"}
    assert _planned(tmp_path, files, writes=(), reads=("a.x.gnuplot",)) == []
    assert len(_planned(tmp_path, files, writes=(), reads=("a.x.gnuplot", "a.x.table"))) == 1
    assert len(_planned(tmp_path, files, writes=(), reads=("a.x.gnuplot",), absent=("a.x.table",))) == 1


def test_what_the_engine_made_by_itself_is_not_asked_for(tmp_path: Path) -> None:
    files = {"a.x.gnuplot": "set table 'a.x.table'\nplot x\n", "a.x.table": "0 0\n"}
    assert _planned(tmp_path, files) == []
    for engine in (_engine(argv=("pdflatex", "-shell-escape", "a")), _engine(tools=("gnuplot",))):
        assert _planned(tmp_path, files, engine, writes=(), reads=tuple(files)) == []


def test_asymptote_hides_the_aux_unless_the_picture_names_labels(tmp_path: Path) -> None:
    plain = 'settings.tex="pdflatex";\ndraw(unitcircle);\n'
    inline = 'settings.tex="pdflatex";\nsettings.inlinetex=true;\nlabel("$\\ref{x}$",(0,0));\n'
    files = {"a-2.asy": inline, "a-10.asy": plain, "a-1.asy": "draw(unitcircle);", "other-1.asy": plain, "a.aux": ""}
    steps = _planned(tmp_path, files)
    assert [(step.name, step.outputs) for step in steps] == [
        ("asy:a-1", ("a-1.eps",)),
        ("asy:a-2", ("a-2.tex",)),
        ("asy:a-10", ("a-10.pdf",)),
    ]
    assert steps[1].argv == ("asy", "-vv", "a-2.asy")
    assert steps[1].optional == ("a.aux",)
    assert steps[2].argv[:2] == ("sh", "-c")
    assert "a.aux" in steps[2].argv


def test_asymptote_leaves_the_documents_aux_alone(tmp_path: Path) -> None:
    (tmp_path / "own.asy").write_text("void f() { draw(unitcircle); }\n")
    picture = 'settings.outformat="pdf";\nimport own;\nsize(1cm);\nf();\nlabel("$x$",(0,0));\n'
    (step,) = _planned(tmp_path, {"a-1.asy": 'settings.tex="pdflatex";\n' + picture, "a.aux": "\\relax\n"})
    seen = _really(tmp_path, step)
    assert seen.reads == ("a-1.asy", "own.asy")
    assert "a.aux" not in seen.writes


def test_nomencl_and_split_indexes(tmp_path: Path) -> None:
    entries = "\\indexentry[one]{x}{1}\n\\indexentry[two]{y}{1}\n\\indexentry[one]{z}{2}\n"
    steps = _planned(tmp_path, {"a.idx": entries, "a.nlo": "\\nomenclatureentry{a@[{a}]\\begingroup A}{1}\n"})
    assert [step.name for step in steps] == ["splitindex:a", "makeindex:a-one", "makeindex:a-two", "makeindex:a.nlo"]
    assert steps[0].outputs == ("a-one.idx", "a-two.idx")
    for step in steps:
        _really(tmp_path, step)
    assert (tmp_path / "a-one.idx").read_text().count("indexentry") == 2
    assert [
        step.name for step in _planned(tmp_path, {"a.nlo": ""}, log="(nomentbl.sty)", engine=_engine(options=(("index", "none"),)))
    ] == []


def test_bib2gls_is_planned_by_resources_and_reads_databases(tmp_path: Path) -> None:
    aux = "\\providecommand*{\\glsxtr@resource}[2]{}\n\\glsxtr@resource{src={one,two}}{a}\n\\glsxtr@resource{}{b}\n"
    (step,) = _planned(tmp_path, {"a.aux": aux, "a.log": "Package: x\n", "one.bib": ""})
    assert (step.argv, step.outputs, step.inputs) == (("bib2gls", "a"), ("a.glstex", "b.glstex"), ("a.aux",))
    seen = Bib2glsChef().observe(step, RealView(tmp_path, snapshot(tmp_path)), Exit(code=0, stdout=b"Reading one.bib\n"))
    assert seen.reads == ("a.aux", "a.log", "one.bib")
    assert seen.absent == ("a.bib", "two.bib")


def test_bib2gls_sees_no_labels_and_of_the_log_only_packages() -> None:
    chef, step = Bib2glsChef(), _engine()
    aux = b"\\relax\n\\newlabel{x}{{1}{1}}\n\\@writefile{toc}{x}\n\\glsxtr@record{x}{}{page}{f}{1}\n"
    assert chef.filter(chef.filter_for(step, "a.aux"), "a.aux", aux) == b"\\relax\n\\glsxtr@record{x}{}{page}{f}{1}\n"
    log = b"This is pdfTeX\nPackage: amsmath 2022/04/08 v2.17n\nOverfull\n"
    assert chef.filter(chef.filter_for(step, "a.log"), "a.log", log) == b"Package: amsmath 2022/04/08 v2.17n\n"
    assert chef.filter_for(step, "e.bib") == ""


def test_pythontex_sees_the_code_and_not_where_it_stands() -> None:
    chef = PythontexChef()
    code = b"=>PYTHONTEX#py#default#default#0#code#####3#\nx = 1\n=>PYTHONTEX:SETTINGS#\nmakestderr=false\n"
    assert chef.filter("pytxcode/1", "a.pytxcode", code) == chef.filter("pytxcode/1", "a.pytxcode", code.replace(b"#3#", b"#77#"))
    typeset = code.replace(b"=false", b"=true")
    assert chef.filter("pytxcode/1", "a.pytxcode", typeset) == typeset


def test_imports_name_files() -> None:
    names = set(imported("import own, other.part as p\nfrom pack import deep\nx = 'import no'\n"))
    assert {"own.py", "other/part.py", "other/part/__init__.py", "pack.py", "pack/deep.py"} <= names
    assert "no.py" not in names


def test_named_files_follow_names(tmp_path: Path) -> None:
    for name, text in {"a": "'b' \"gone.txt\" 'https://x.org/y.txt'", "b": "'c.txt'", "c.txt": "'a'"}.items():
        (tmp_path / name).write_text(text)
    reads, absent = named_files(("a",), ".", RealView(tmp_path, snapshot(tmp_path)))
    assert (reads, absent) == ({"a", "b", "c.txt"}, {"gone.txt"})


def test_rules_make_what_was_missed_or_made_before(tmp_path: Path) -> None:
    rules = (Rule(source=".dia", to=".pdf", run="dia -e {to} {from} {stem}"),)
    engine = _engine(options=as_options(LatexDeclaration(main="a.tex", rules=rules)), cwd="doc")
    files = {"doc/my fig.dia": "", "doc/my fig.svg": ""}
    (step,) = _planned(tmp_path, files, engine, writes=(), absent=("doc/my fig.pdf", "doc/other.pdf"))
    assert step.argv == ("dia", "-e", "my fig.pdf", "my fig.dia", "my fig")
    assert (step.name, step.cwd, step.inputs, step.outputs) == ("rule:my fig.pdf", "doc", ("doc/my fig.dia",), ("doc/my fig.pdf",))
    assert ("if_missing", "yes") in step.options
    (again,) = _planned(tmp_path, files, engine, writes=(), reads=("doc/my fig.pdf",))
    assert again == step


def test_built_in_rules(tmp_path: Path) -> None:
    files = {"v.svg": "<svg/>", "p.asy": "draw(unitcircle);", "m.mp": "end", "s.svg": "<svg/>", "s.png": ""}
    absent = ("v.pdf", "p.pdf", "m.1", "m-2.mps", "s.pdf", "none.pdf")
    steps = _planned(tmp_path, files, writes=(), absent=absent, reads=("s.png",))
    assert [step.name for step in steps] == ["metapost:m.mp", "asy:p", "rule:v.pdf"]
    assert steps[2].argv == ("rsvg-convert", "-f", "pdf", "-o", "v.pdf", "v.svg")


def test_a_drawing_reads_the_pictures_in_it(tmp_path: Path) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="in.png"/></svg>\n'
    (step,) = _planned(tmp_path, {"v.svg": svg}, writes=(), absent=("v.pdf",))
    assert "in.png" in _really(tmp_path, step).absent


@pytest.mark.parametrize(
    ("text", "log", "wanted"),
    [
        ("\\documentclass{standalone}", "", True),
        ("\\documentclass[tikz]{standalone}", "(./fig.tex)", False),
        ("\\documentclass{article}", "", False),
        ("\\documentclass{article}", "standalone.sty", True),
        ("text", "standalone.sty", False),
    ],
)
def test_a_picture_that_is_a_document_gets_an_engine(text: str, log: str, wanted: bool, tmp_path: Path) -> None:
    steps = _planned(tmp_path, {"fig.tex": text}, _engine(tool="xelatex"), writes=(), absent=("fig.pdf",), log=log)
    assert [(step.name, step.argv[0], step.outputs) for step in steps] == ([("latex:fig.tex", "xelatex", ("fig.pdf",))] if wanted else [])


def test_advice_is_added_to_what_is_recognised() -> None:
    problems = (Problem("Package minted Error: You must invoke LaTeX with the -shell-escape flag.", "a.tex", 2), Problem("Undefined"))
    minted, other = advised(problems)
    assert minted.message.endswith("write shell_escape = true into the document's [[step]] in cpods.toml")
    assert (minted.file, minted.line, other) == ("a.tex", 2, Problem("Undefined"))


@pytest.mark.parametrize("name", ["bib2gls", "splitindex", "pythontex", "gnuplot", "asy", "rule"])
def test_helper_chefs_plan_nothing_by_themselves(name: str) -> None:
    assert CHEFS[name].plan(LatexDeclaration(main="a.tex"), 0, (), {}) == ()
