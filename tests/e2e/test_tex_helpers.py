"""Helpers that documents ask for, with their real tools: run as often as they must be, right at the end, null 0 runs.

Knows no chef: each case is a small document, the runs of its first build, and edits with the runs that they must cause.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.sandbox import Outcome, Sandbox

Make = Callable[..., Sandbox]


class Edit(NamedTuple):
    """A change of one file, and the steps that must run for it, in order. ``old`` empty: the file is new."""

    path: str
    old: str
    new: str
    runs: tuple[str, ...]


class Case(NamedTuple):
    """A project, the runs of its first build, and edits one after the other."""

    files: dict[str, str]
    runs: tuple[str, ...]
    edits: tuple[Edit, ...] = ()


def _tex(body: str, preamble: str = "", kind: str = "article") -> str:
    return f"\\documentclass{{{kind}}}\n{preamble}\n\\begin{{document}}\nText\n{body}\n\\end{{document}}\n"


def _toml(more: str = "") -> str:
    return f'[[step]]\nchef = "latex"\nmain = "a.tex"\nsynctex = false\n{more}'


ENGINE = "latex:a.tex"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="50" height="50"><circle cx="25" cy="25" r="20"/></svg>\n'
PICTURE = "\\documentclass{standalone}\n\\begin{document}\ntwo\n\\end{document}\n"

CASES = {
    "nomencl": Case(
        {"a.tex": _tex("$a$\\nomenclature{$a$}{The a}\\printnomenclature", "\\usepackage{nomencl}\\makenomenclature")},
        (ENGINE, "makeindex:a.nlo", ENGINE),
        (
            Edit("a.tex", "Text", "Words", (ENGINE,)),
            Edit("a.tex", "The a", "An a", (ENGINE, "makeindex:a.nlo", ENGINE)),
        ),
    ),
    "splitidx": Case(
        {
            "a.tex": _tex(
                "x\\sindex[one]{x}\\sindex[two]{y}\\printindex*", "\\usepackage{splitidx}\\makeindex\\newindex{one}\\newindex{two}"
            )
        },
        (ENGINE, "splitindex:a", "makeindex:a-one", "makeindex:a-two", ENGINE, ENGINE),
        (Edit("a.tex", "{y}", "{z}", (ENGINE, "splitindex:a", "makeindex:a-two", ENGINE)),),
    ),
    "gnuplot": Case(
        {"a.tex": _tex("\\begin{tikzpicture}\\draw plot[id=s,samples=5] function{x};\\end{tikzpicture}", "\\usepackage{tikz}")},
        (ENGINE, "gnuplot:a.s.gnuplot", ENGINE),
        (
            Edit("a.tex", "Text", "Words", (ENGINE,)),
            Edit("a.tex", "{x}", "{x/2}", (ENGINE, "gnuplot:a.s.gnuplot", ENGINE)),
        ),
    ),
    "rules": Case(
        {
            "cpods.toml": _toml('rules = [{ from = ".calc", to = ".sout", run = "sh -c \'sed s/a/b/ <{from} >{to}\'" }]\n'),
            "a.tex": _tex(
                "\\newwrite\\out\\immediate\\openout\\out=a.calc \\immediate\\write\\out{aha}\\immediate\\closeout\\out\n"
                "\\InputIfFileExists{a.sout}{}{none}\\includegraphics{fig}",
                "\\usepackage{graphicx}",
            ),
            "fig.svg": SVG,
        },
        (ENGINE, "rule:a.sout", "rule:fig.pdf", ENGINE),
        (
            Edit("fig.svg", 'r="20"', 'r="10"', ("rule:fig.pdf", ENGINE)),
            Edit("a.tex", "aha", "oha", (ENGINE, "rule:a.sout", ENGINE)),
            Edit("a.tex", "\\includegraphics{fig}", "", (ENGINE,)),
        ),
    ),
    "imakeidx": Case(
        {
            "a.tex": _tex(
                "x\\index{x}\\index[two]{y}\\printindex\\printindex[two]",
                "\\usepackage[noautomatic]{imakeidx}\\makeindex\\makeindex[name=two,options=-s s.ist]",
            ),
            "s.ist": 'delim_0 " is at "\n',
        },
        (ENGINE, "makeindex:a", "makeindex:two", ENGINE, ENGINE),
        (Edit("s.ist", "is at", "at", ("makeindex:two", ENGINE)),),
    ),
    "asymptote": Case(
        {
            "a.tex": _tex(
                "\\begin{asy}\nsize(1cm); draw(unitcircle);\n\\end{asy}\n\\begin{asy}\nimport own; size(1cm); f();\n\\end{asy}",
                "\\usepackage{asymptote}",
            ),
            "own.asy": "void f() { draw((0,0)--(1,1)); }\n",
        },
        (ENGINE, "asy:a-1", "asy:a-2", ENGINE),
        (
            Edit("a.tex", "unitcircle", "unitsquare", (ENGINE, "asy:a-1", ENGINE)),
            Edit("own.asy", "(1,1)", "(1,2)", ("asy:a-2", ENGINE)),
            Edit("a.tex", "Text", "Words", (ENGINE,)),
        ),
    ),
    "pythontex": Case(
        {
            "a.tex": _tex("\\begin{pycode}\nimport own\n\\end{pycode}\n\\py{own.value}", "\\usepackage{pythontex}"),
            "own.py": "value = open('data.txt').read()\n",
            "data.txt": "7",
        },
        (ENGINE, "pythontex:a", ENGINE),
        (
            Edit("a.tex", "Text", "Words\n\n", (ENGINE,)),
            Edit("data.txt", "7", "8", ("pythontex:a", ENGINE)),
            Edit("own.py", "read()", "read() + '1'", ("pythontex:a", ENGINE)),
        ),
    ),
    "bib2gls": Case(
        {
            "a.tex": _tex("\\gls{x}\\printunsrtglossaries", "\\usepackage[record]{glossaries-extra}\\GlsXtrLoadResources[src={e}]"),
            "e.bib": "@entry{x, name={x}, description={The x}}\n@entry{y, name={y}, description={The y}}\n",
        },
        (ENGINE, "bib2gls:a", ENGINE),
        (
            # A new label is in the .aux, of which bib2gls does not see it.
            Edit("a.tex", "Text", "\\label{l}Words", (ENGINE, ENGINE)),
            Edit("e.bib", "The x", "An x", ("bib2gls:a", ENGINE)),
        ),
    ),
    "standalone": Case(
        {
            "a.tex": _tex("\\includestandalone{figs/two}", "\\usepackage[mode=image]{standalone}\\usepackage{graphicx}"),
            "figs/two.tex": PICTURE,
        },
        (ENGINE, "latex:figs/two.tex", ENGINE, "latex:figs/two.tex"),
        (
            Edit("a.tex", "Text", "Words", (ENGINE,)),
            Edit("figs/two.tex", "two", "three", ("latex:figs/two.tex", ENGINE)),
        ),
    ),
    "minted": Case(
        {
            "cpods.toml": _toml("shell_escape = true\n"),
            "a.tex": _tex("\\begin{minted}{python}\ndef f(): pass\n\\end{minted}", "\\usepackage{minted}"),
        },
        (ENGINE, ENGINE),
        (Edit("a.tex", "def f", "def g", (ENGINE, ENGINE)),),
    ),
    "gnuplottex": Case(
        {
            "a.tex": _tex("\\begin{gnuplot}[terminal=pdf]\nplot 'data.dat'\n\\end{gnuplot}", "\\usepackage{gnuplottex,graphicx}"),
            "data.dat": "0 0\n1 1\n",
        },
        (ENGINE, "gnuplot:a-gnuplottex-fig1.gnuplot", ENGINE),
        (Edit("data.dat", "1 1", "1 2", ("gnuplot:a-gnuplottex-fig1.gnuplot", ENGINE)),),
    ),
    "svg": Case(
        {"a.tex": _tex("\\includesvg{fig}", "\\usepackage[inkscapelatex=false]{svg}"), "fig.svg": SVG},
        (ENGINE, "rule:svg-inkscape/fig_svg-raw.pdf", ENGINE),
    ),
    "metapost": Case(
        {
            "a.tex": _tex("\\includegraphics{p.1}", "\\usepackage{graphicx}\\DeclareGraphicsRule{*}{mps}{*}{}"),
            "p.mp": "beginfig(1); draw fullcircle scaled 1cm; endfig; end\n",
        },
        # Without the figure the engine gives up before it has written its .aux to the end.
        (ENGINE, "metapost:p.mp", ENGINE, ENGINE),
        (Edit("p.mp", "1cm", "2cm", ("metapost:p.mp", ENGINE)),),
    ),
}
#: Cheap enough for each call of the default suite.
QUICK = ("nomencl", "splitidx", "gnuplot", "rules")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A project folder from its files, with the least cpods.toml unless they hold one."""

    def made(files: dict[str, str]) -> Sandbox:
        place = Sandbox(tmp_path / "project")
        for path, text in {"cpods.toml": _toml(), **files}.items():
            place.write(path, text)
        return place

    return made


def _good(outcome: Outcome) -> tuple[str, ...]:
    assert outcome.exit_code == 0, outcome.said
    assert set(outcome.verdicts.values()) == {"FIXED"}
    return outcome.runs


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.tex) for name in CASES])
def test_each_helper_runs_when_what_it_reads_changed(name: str, make: Make) -> None:
    case = CASES[name]
    place = make(case.files)
    assert _good(place.build()) == case.runs
    assert _good(place.build()) == ()
    for edit in case.edits:
        text = place.read(edit.path).decode()
        assert edit.old in text
        place.write(edit.path, text.replace(edit.old, edit.new, 1))
        assert _good(place.build()) == edit.runs
    assert _good(place.build()) == ()


def test_a_picture_that_is_there_is_not_made_and_what_a_dropped_rule_made_goes(make: Make, tmp_path: Path) -> None:
    place = make({"a.tex": _tex("\\includegraphics{fig}", "\\usepackage{graphicx}"), "fig.svg": SVG})
    assert _good(place.build()) == (ENGINE, "rule:fig.pdf", ENGINE)
    other = Sandbox(tmp_path / "other")
    for path in ("cpods.toml", "a.tex", "fig.svg"):
        other.write(path, place.read(path))
    other.write("fig.pdf", place.read("fig.pdf"))
    assert _good(other.build()) == (ENGINE, ENGINE)
    place.write("a.tex", _tex("no picture", "\\usepackage{graphicx}"))
    assert _good(place.build()) == (ENGINE,)
    assert "fig.pdf" not in place.files()
    assert "fig.svg" in place.files()


@pytest.mark.tex
def test_two_documents_with_one_picture_have_one_maker_of_it(make: Make) -> None:
    text = _tex("\\includegraphics{fig}", "\\usepackage{graphicx}")
    other = '[[step]]\nchef = "latex"\nmain = "b.tex"\nsynctex = false\n'
    place = make({"cpods.toml": _toml(other), "a.tex": text, "b.tex": text, "fig.svg": SVG})
    runs = _good(place.build())
    assert (runs.count("rule:fig.pdf"), runs.count(ENGINE), runs.count("latex:b.tex")) == (1, 2, 2)
    place.write("fig.svg", SVG.replace('r="20"', 'r="10"'))
    assert _good(place.build()) == ("rule:fig.pdf", ENGINE, "latex:b.tex")
    place.write("a.tex", _tex("no picture"))
    assert "rule:fig.pdf" not in _good(place.build())
    assert "fig.pdf" in place.files()
    assert _good(place.build()) == ()


@pytest.mark.tex
def test_a_declared_step_comes_before_rule_and_picture(make: Make) -> None:
    shell = '[[step]]\nname = "f"\nrun = "rsvg-convert -f pdf -o fig.pdf fig.svg"\ninputs = ["fig.svg"]\noutputs = ["fig.pdf"]\n'
    document = '[[step]]\nchef = "latex"\nmain = "two.tex"\n'
    place = make(
        {
            "cpods.toml": _toml(shell + document),
            "a.tex": _tex("\\includegraphics{fig}\\includegraphics{two.pdf}", "\\usepackage{graphicx}"),
            "fig.svg": SVG,
            "two.tex": PICTURE,
        }
    )
    runs = _good(place.build())
    assert runs.count("f") == 1
    assert not [name for name in runs if name.startswith("rule:")]
    assert runs.count("latex:two.tex") == 2
    assert _good(place.build()) == ()


@pytest.mark.tex
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.tex": _tex("\\begin{minted}{c}\nint x;\n\\end{minted}", "\\usepackage{minted}")}, "write shell_escape = true into"),
        ({"a.tex": _tex("\\includesvg{fig}", "\\usepackage{svg}"), "fig.svg": SVG}, "inkscapelatex=false"),
        (
            {"a.tex": _tex("\\begin{pycode}\nx = 1\ny = q\n\\end{pycode}", "\\usepackage{pythontex}")},
            "a.tex:7: NameError: name 'q' is not defined",
        ),
        ({"a.tex": _tex("\\begin{asy}\ndrw(unitcircle);\n\\end{asy}", "\\usepackage{asymptote}")}, "no matching variable 'drw'"),
        (
            {
                "a.tex": _tex("\\gls{x}", "\\usepackage[record]{glossaries-extra}\\GlsXtrLoadResources[src={e}]"),
                "e.bib": "@entry{x, name={x}\n@entry{y\n",
            },
            "e.bib:3: Expecting ',' or '}'",
        ),
        (
            {
                "a.tex": _tex(
                    "\\begin{tikzpicture}\\draw plot[id=s] function{x**};\\end{tikzpicture}",
                    "\\usepackage{tikz}",
                )
            },
            "a.s.gnuplot:2: invalid expression",
        ),
        ({"a.tex": _tex("\\includegraphics{fig}", "\\usepackage{graphicx}"), "fig.svg": "<svg\n"}, "step rule:fig.pdf failed"),
    ],
    ids=["minted", "svg", "pythontex", "asymptote", "bib2gls", "gnuplot", "rule"],
)
def test_what_fails_says_where_and_what_to_do(files: dict[str, str], said: str, make: Make) -> None:
    outcome = make(files).build()
    assert outcome.exit_code == 1
    assert said in outcome.said
