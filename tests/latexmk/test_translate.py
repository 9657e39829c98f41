"""What becomes of an rc file of latexmk: the steps, and one sentence on each line. Each text is Perl (see test_against_perl)."""

import tomllib
from typing import Any, NamedTuple

import pytest

from cpods.latexmk.rcfile import read
from cpods.latexmk.translate import Imported, translate
from cpods.latexmk.writing import project_file
from cpods.project import parse

LISTING = ["main.tex", "talk.tex", "old.tex", "parts/one.tex", "parts/main.tex", "fig.svg"]


def imported(text: str) -> Imported:
    return translate(read(text), LISTING, ["main.tex"])


def step(text: str) -> dict[str, Any]:
    """The only step of an rc file, as the project file that was written for it says."""
    made = project_file(imported(text).steps, "latexmkrc")
    parse(made.encode())
    (found,) = tomllib.loads(made)["step"]
    assert found.pop("chef") == "latex"
    return found


def said(text: str, kind: str) -> list[tuple[int, str]]:
    return [(remark.line, remark.text) for remark in imported(text).remarks if remark.kind == kind]


MAIN = {"main": "main.tex"}


class Rc(NamedTuple):
    text: str
    keys: dict[str, Any]


TAKEN = {
    "nothing said": Rc("", {}),
    "pdflatex": Rc("$pdf_mode = 1;", {}),
    "lualatex": Rc("$pdf_mode = 4; # lualatex\n$postscript_mode = $dvi_mode = 0;", {"engine": "lualatex"}),
    "xelatex": Rc("our $pdf_mode=5;1;", {"engine": "xelatex"}),
    "by way of ps": Rc("$pdf_mode = 2;", {"engine": "latex"}),
    "dvi": Rc("$dvi_mode = 1; $pdf_mode = 0;", {"engine": "latex", "output": "dvi"}),
    "ps": Rc("$postscript_mode = 1;", {"engine": "latex", "output": "ps"}),
    "another program in the command": Rc("$pdf_mode = 1;\n$pdflatex = 'xelatex -interaction=nonstopmode %O %S';", {"engine": "xelatex"}),
    "shell escape": Rc("$pdflatex = 'pdflatex --shell-escape -synctex=1 -file-line-error %O %S';", {"shell_escape": True}),
    "options in a variable": Rc(
        'my $opts = "-shell-escape";\n$pdf_mode = 4;\n$lualatex = "lualatex $opts -synctex=0 " . q(%O %S);',
        {"shell_escape": True, "synctex": False, "engine": "lualatex"},
    ),
    "qq and other brackets": Rc("$pdflatex = qq{pdflatex -jobname=out %O %S};", {"jobname": "out"}),
    "all engines at once": Rc("set_tex_cmds('-shell-escape %O %S');\n$pdf_mode = 5;", {"shell_escape": True, "engine": "xelatex"}),
    "more options": Rc('push @extra_pdflatex_options, "-shell-escape";', {"shell_escape": True}),
    "no bibliography": Rc("$bibtex_use = 0;", {"bibliography": "none"}),
    "passes": Rc("$max_repeat = 12;", {"max_passes": 12}),
    "job name": Rc("$jobname = '%A-draft';", {"jobname": "main-draft"}),
    "variables": Rc("$ENV{'TZ'} = 'UTC';\n$ENV{PROJECT} = \"x\";", {"env": ["PROJECT"]}),
    "a document in a folder": Rc("@default_files = ('parts/one');\n$do_cd = 1;", {"main": "one.tex", "cwd": "parts"}),
    "a document in a folder, without cd": Rc('@default_files = ("parts/one.tex");', {"main": "parts/one.tex"}),
    "excluded": Rc("@default_files = qw(*.tex);\n@default_excluded_files = ('old*', 'talk.tex');", {}),
    "a rule by a list of words": Rc(
        "add_cus_dep('svg', 'pdf', 0, 'svg2pdf');\n"
        'sub svg2pdf { return system(\'inkscape\', "--export-filename=$_[0].pdf", "$_[0].svg"); }',
        {"rules": [{"from": ".svg", "to": ".pdf", "run": "inkscape --export-filename={to} {from}"}]},
    ),
    "a rule by a line, its sub first": Rc(
        'sub f { my ($base) = @_; print "now"; my $ret = system("fig2dev -L pdf \\"$base.fig\\" \'$base.pdf\'"); return $ret; }\n'
        "&add_cus_dep( 'fig' => 'pdf', 0, 'f' );",
        {"rules": [{"from": ".fig", "to": ".pdf", "run": "fig2dev -L pdf {from} {to}"}]},
    ),
    "a rule by Run_subst": Rc(
        "add_cus_dep 'dat', 'tex', 0, 'tab';\nsub tab { Run_subst('python3 table.py %O %S -o %D --log %B.txt') }",
        {"rules": [{"from": ".dat", "to": ".tex", "run": "python3 table.py {from} -o {to} --log {stem}.txt"}]},
    ),
    "a rule by backquotes": Rc(
        "add_cus_dep('m4','tex',0,'m');\nsub m { `m4 $_[0].m4 > $_[0].tex`; }",
        {"rules": [{"from": ".m4", "to": ".tex", "run": "m4 {from} > {to}"}]},
    ),
    "makeindex with a style": Rc(
        "$makeindex = 'makeindex -s style.ist %O -o %D %S';",
        {"index": "none", "rules": [{"from": ".idx", "to": ".ind", "run": "makeindex -s style.ist -o {to} {from}"}]},
    ),
    "what is no statement": Rc(
        "=pod\n$pdf_mode = 4;\n=cut\n# $pdf_mode = 4;\n$x = <<'END';\n$pdf_mode = 4;\nEND\n1;\n__END__\n$pdf_mode = 4;", {}
    ),
    "the last one counts": Rc("$pdf_mode = 4;\n$pdf_mode = 1;", {}),
    "a regular expression with quotes": Rc(
        "$hash_calc_ignore_pattern{'eps'} = '^%%';\n$y = $x =~ /it's \\/ \"/;\n$max_repeat = 7;", {"max_passes": 7}
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken(name: str) -> None:
    assert step(TAKEN[name].text) == {**MAIN, **TAKEN[name].keys}


NOT_TAKEN = {
    "folders": ("$out_dir = 'build';", 1, "$out_dir: cpods puts what a document makes beside it"),
    "a condition": ("if ($^O eq 'linux') {\n  $pdf_mode = 4;\n}", 2, "whether $pdf_mode is reached is for Perl to decide"),
    "a condition behind": ("$pdf_mode = 4 if $ENV{LUA};", 1, "whether $pdf_mode is reached"),
    "a loop": ("foreach my $e ('a', 'b') {\n  add_cus_dep($e, 'pdf', 0, 'x');\n}", 2, "whether add_cus_dep is reached"),
    "a computed value": ("$max_repeat = 2 * 3;", 1, "the value of $max_repeat is computed"),
    "a subroutine as engine": ("$pdflatex = 'internal mine %O %S';", 1, "$pdflatex: it calls a Perl subroutine"),
    "two commands": ("$pdflatex = 'pdflatex %O %S && cp %R.pdf out';", 1, "$pdflatex: it runs more than the engine"),
    "an option without a key": ("$pdflatex = 'pdflatex -draftmode %O %S';", 1, "$pdflatex: -draftmode has no key in cpods.toml"),
    "an output folder": ("$pdflatex = 'pdflatex -output-directory=out %O %S';", 1, "-output-directory: cpods puts"),
    "another engine": ("$pdf_mode = 2;\n$latex = 'uplatex %O %S';", 2, "uplatex is no engine of the latex chef"),
    "code before the document": ("$pre_tex_code = '\\def\\x{}';\nalt_tex_cmds();", 2, "code before the document"),
    "ignored lines": ("$hash_calc_ignore_pattern{'sage'} = '^x';", 1, "may say `insignificant"),
    "a search path": ("ensure_path('TEXINPUTS', './styles//');", 1, "`export TEXINPUTS='./styles//:'` before `cpods rebuild`"),
    "a search path with what was there": ("$ENV{TEXINPUTS} = './s//:' . $ENV{TEXINPUTS};", 1, '`export TEXINPUTS="./s//:$TEXINPUTS"`'),
    "a command afterwards": ("$success_cmd = 'cp %R.pdf /srv';", 1, "$success_cmd: cpods runs no command around a build"),
    "another bibtex": ("$bibtex = 'bibtex8 --wolfgang %O %S';", 1, "$bibtex: cpods runs this tool with the options"),
    "a rule of latexmk": ("$extra_rule_spec{'x'} = ['internal', '', 'y'];", 1, "$extra_rule_spec{x}: declare a [[step]]"),
    "a sub of two commands": (
        "add_cus_dep('a', 'b', 0, 'ab');\nsub ab { system(\"one $_[0].a\"); system(\"two $_[0].b\"); }",
        1,
        "the custom dependency .a -> .b: ab runs 2 commands",
    ),
    "a sub that thinks": (
        "add_cus_dep('a', 'b', 0, 'ab');\nsub ab { if (-e 'x') { system(\"one $_[0].a\"); } }",
        1,
        "only under a condition",
    ),
    "a sub that is elsewhere": ("add_cus_dep('a', 'b', 0, 'ab');", 1, "its subroutine ab is not in this file"),
    "a name among other signs": (
        "add_cus_dep('R', 'tex', 0, 'r');\nsub r { system(\"Rscript -e 'knit(\\\"$_[0].R\\\")'\"); }",
        1,
        "puts a file name between quotes with other signs",
    ),
    "a text without an end": ("$max_repeat = 7;\n$x = 'oh", 2, "from here on the file cannot be read without Perl"),
    "documents that nobody has": ("@default_files = ('main.tex', 'no*.tex');", 1, "@default_files: no document matches no*.tex"),
    "two documents of one name": (
        "@default_files = ('main.tex', 'parts/main.tex');",
        0,
        "parts/main.tex would make the same file as main.tex",
    ),
    "a call": ("do_something('x');", 1, "do_something(…) is Perl that cpods does not run"),
}


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_what_is_not_taken_and_why(name: str) -> None:
    text, line, part = NOT_TAKEN[name]
    found = said(text, "not taken")
    assert len(found) == 1 and found[0][0] == line and part in found[0][1]
    assert imported(text).steps


NOT_NEEDED = {
    "cleaning": "$clean_ext .= ' acn';",
    "a viewer": "$pdf_previewer = 'start evince';",
    "dates": "$hash_calc_ignore_pattern{'pdf'} = '^(/CreationDate|/ModDate|/ID)';",
    "glossaries": "add_cus_dep('glo', 'gls', 0, 'run_mg');\nsub run_mg { return system(\"makeglossaries '$_[0]'\"); }",
    "nomenclature": "add_cus_dep('nlo', 'nls', 0, 'n');\nsub n { system(\"makeindex $_[0].nlo -s nomencl.ist -o $_[0].nls\"); }",
    "bib2gls": "add_cus_dep('aux', 'glstex', 0, 'b');\nsub b { if ($silent) { system \"bib2gls --silent '$_[0]'\"; } }",
    "eps": "add_cus_dep('eps', 'pdf', 0, 'cus_dep_delete_dest');",
    "bibtex always": "$bibtex_use = 2;",
    "the usual biber": "$biber = 'biber %O %S';",
    "the usual engine": "$pdflatex = 'pdflatex -interaction=nonstopmode -halt-on-error %O %S';",
    "go mode": "$go_mode = 1;",
}


@pytest.mark.parametrize("name", NOT_NEEDED)
def test_what_cpods_does_anyway(name: str) -> None:
    text = NOT_NEEDED[name]
    assert [line for line, _ in said(text, "not needed")] == [1] and said(text, "not taken") == [] and step(text) == MAIN


def test_several_documents_are_several_steps_with_the_same_keys() -> None:
    found = imported("@default_files = ('main', 'talk.tex');\n$pdf_mode = 4;").steps
    assert [(one["main"], one["engine"]) for one in found] == [("main.tex", "lualatex"), ("talk.tex", "lualatex")]


def test_every_line_of_a_long_file_gets_its_sentence() -> None:
    lines = ["$pdf_mode = 1;", "$pdflatex = 'pdflatex -shell-escape %O %S';", "$clean_ext = 'x';", "$out_dir = 'o';", "$max_repeat = 9;"]
    remarks = imported("\n".join(lines)).remarks
    assert [(remark.line, remark.kind) for remark in remarks] == [
        (1, "taken"),
        (2, "taken"),
        (3, "not needed"),
        (4, "not taken"),
        (5, "taken"),
    ]
