"""What the project file may say, and the one sentence for each way of getting it wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpods.declaration import CompilerDeclaration, LatexDeclaration, ShellDeclaration
from cpods.errors import ProjectFileError
from cpods.project import bare, parse

GOOD = """
[project]
name = "thesis"
goals = ["paper.pdf"]
date = 2024-02-29
until_stable = true
env = ["LANG"]

[store]
path = "/big/store"
max_bytes = "500 MB"
algorithm = "blake3"

[[step]]
chef = "latex"
main = "paper.tex"
engine = "lualatex"
bibliography = "biber"
index = "none"
jobname = "final"
synctex = false
shell_escape = true
cwd = "out"
max_passes = 7
policy = "choose"
timeout = 10

[[step]]
name = "numbers"
run = "python3 numbers.py"
inputs = ["numbers.py", "data/*.csv"]
optional = ["last.txt"]
outputs = ["last.txt", "table.tex"]
insignificant = ["^% made on"]
tools = ["python3"]
depfile = "numbers.d"
timeout = 1.5

[[step]]
chef = "compiler"
program = "bin/tool"
sources = ["src/**/*.c"]
include = ["include", "/usr/include/x"]
cflags = ["-O2"]
ldflags = ["-lm"]
std = "c11"
"""


def test_everything_that_can_be_said() -> None:
    project = parse(GOOD.encode())
    assert project.settings.date == "2024-02-29"
    assert project.settings.until_stable
    assert project.store.max_bytes == 500_000_000
    latex, shell, compiler = project.declarations
    assert isinstance(latex, LatexDeclaration)
    assert (latex.engine, latex.jobname, latex.timeout, latex.policy) == ("lualatex", "final", 10.0, "choose")
    assert isinstance(shell, ShellDeclaration)
    assert (shell.tools, shell.optional, shell.max_passes) == (("python3",), ("last.txt",), None)
    assert isinstance(compiler, CompilerDeclaration)
    assert compiler.sources == ("src/**/*.c",)
    assert project.where == ("cpods.toml:14", "cpods.toml:28", "cpods.toml:39")
    assert project.file == "cpods.toml"


def test_an_empty_file_and_a_byte_order_mark_are_projects() -> None:
    assert parse(b"").declarations == ()
    assert parse(b'\xef\xbb\xbf[project]\nname = "x"\n').settings.name == "x"


@pytest.mark.parametrize(
    ("size", "count"), [("1", 1), ("2 GiB", 2 << 30), ("2GB", 2_000_000_000), ("1.5 KiB", 1536), ("3 M", 3_000_000), ("7kB", 7000)]
)
def test_sizes(size: str, count: int) -> None:
    assert parse(f'[store]\nmax_bytes = "{size}"\n'.encode()).store.max_bytes == count


def step(*lines: str) -> str:
    """A good shell step of two keys, on lines 1 to 3, and what follows."""
    return "\n".join(('[[step]]\nname = "a"\nrun = "make a"', *lines))


LATEX = '[[step]]\nchef = "latex"\nmain = "a.tex"\n'
COMPILER = '[[step]]\nchef = "compiler"\nprogram = "a"\nsources = ["a.c"]\n'
TWO = '[[step]]\nname = "a"\nrun = "x"\noutputs = ["o"]\n\n[[step]]\nname = "b"\nrun = "y"\noutputs = [\n  "p",\n  "./o",\n]\n'

BAD: list[tuple[str, str, int, str]] = [
    # broken TOML
    ("no value", "[project]\nname =\n", 2, "broken TOML: Invalid value (column 7); expected key = value or a [table]"),
    ("open string", '[project]\nname = "x\n', 2, "broken TOML: Illegal character '\\n' (column 10); expected key = value or a [table]"),
    ("end of file", '[project]\n\ngoals = ["a"', 3, "broken TOML: Unclosed array (at end of document); expected key = value or a [table]"),
    (
        "twice",
        '[project]\nname = "x"\nname = "y"\n',
        3,
        "broken TOML: Cannot overwrite a value (column 11); expected key = value or a [table]",
    ),
    ("nested", "a = " + "[" * 5000, 1, "broken TOML: lists nested too deep; expected the keys of a project"),
    # tables and keys
    (
        "table",
        "[projct]\n",
        1,
        "unknown table or key `projct`; expected [project], [store], [federation] or [[step]] (did you mean [project]?)",
    ),
    ("stray key", '\ngoals = ["x"]\n', 2, "`goals` stands outside of any table; expected it below [project]"),
    ("nonsense", "zzz = 1\n", 1, "unknown table or key `zzz`; expected [project], [store], [federation] or [[step]]"),
    ("single", '[step]\nname = "a"\n', 1, "[step] has single brackets; expected [[step]], one for each step"),
    ("project", "project = 3\n", 1, "`project` is a whole number; expected one table [project]"),
    ("projects", "[[project]]\n", 1, "`project` is a list; expected one table [project]"),
    ("step", 'step = "x"\n', 1, "`step` is a text; expected [[step]] tables"),
    ("steps", 'step = ["x"]\n', 1, "an entry of `step` is a text; expected [[step]] tables"),
    ("key", step("", 'input = ["x"]'), 5, 'unknown key `input` in a step with chef = "shell"; did you mean `inputs`?'),
    (
        "foreign",
        step('engine = "x"'),
        4,
        'unknown key `engine` in a step with chef = "shell"; it belongs to chef = "latex" or "tex" or "context"',
    ),
    ("far", "[store]\nqqq = 1\n", 2, "unknown key `qqq` in [store]; expected one of path, max_bytes, algorithm"),
    ("near", "[project]\nuntil-stable = true\n", 2, "unknown key `until-stable` in [project]; did you mean `until_stable`?"),
    (
        "chef",
        '[[step]]\nchef = "latx"\n',
        2,
        '`chef` is "latx"; expected one of latex, tex, context, metapost, shell, compiler (did you mean "latex"?)',
    ),
    ("chef number", "[[step]]\nchef = 1\n", 2, "`chef` is a whole number; expected one of latex, tex, context, metapost, shell, compiler"),
    ("no run", '\n[[step]]\nname = "a"\n', 2, 'a step with chef = "shell" lacks `run`; expected a text'),
    (
        "no chef",
        '[[step]]\nmain = "a.tex"\n',
        2,
        'unknown key `main` in a step with chef = "shell"; it belongs to chef = "latex" or "tex" or "context" or "metapost"',
    ),
    ("no main", '[[step]]\nchef = "latex"\n', 1, 'a step with chef = "latex" lacks `main`; expected a text'),
    # types
    ("text for list", step('inputs = "x"'), 4, "`inputs` is a text; expected a list of texts"),
    ("number in list", step('outputs = [\n"x",\n2]'), 6, "`outputs` holds a whole number as number 2; expected a list of texts"),
    ("text for number", step('timeout = "5"'), 4, "`timeout` is a text; expected a number"),
    ("number for text", "[project]\nname = 1.5\n", 2, "`name` is a number; expected a text"),
    ("text for truth", '[project]\nuntil_stable = "yes"\n', 2, "`until_stable` is a text; expected true or false"),
    ("truth for number", step("max_passes = true"), 4, "`max_passes` is true; expected a whole number"),
    ("table for text", step("cwd = { a = 1 }"), 4, "`cwd` is a table; expected a text"),
    ("date for text", step("depfile = 2024-01-01"), 4, "`depfile` is a date or time; expected a text"),
    # values
    (
        "enum",
        LATEX + 'engine = "xetex"\n',
        4,
        '`engine` is "xetex"; expected one of pdflatex, xelatex, lualatex, latex (did you mean "xelatex"?)',
    ),
    ("policy", step('policy = "x"'), 4, '`policy` is "x"; expected one of fail, choose'),
    ("hash", '[store]\nalgorithm = "sha1"\n', 2, '`algorithm` is "sha1"; expected one of xxh3, blake3'),
    ("date", '[project]\ndate = "2023-02-29"\n', 2, '`date` is \'2023-02-29\'; expected "today" or a date such as "2024-02-29"'),
    ("date text", '[project]\ndate = "tomorrow"\n', 2, '`date` is \'tomorrow\'; expected "today" or a date such as "2024-02-29"'),
    ("old date", "[project]\ndate = 1969-12-31\n", 2, '`date` is \'1969-12-31\'; expected "today" or a date such as "2024-02-29"'),
    ("size", '[store]\nmax_bytes = "ten"\n', 2, '`max_bytes` is \'ten\'; expected bytes or a size such as "500 MB" or "2 GiB"'),
    ("no size", "[store]\nmax_bytes = 0\n", 2, "`max_bytes` is 0; expected a size above 0"),
    ("passes", step("max_passes = -1"), 4, "`max_passes` is -1; expected a whole number above 0"),
    ("timeout", step("timeout = -0.5"), 4, "`timeout` is -0.5; expected a number of seconds above 0"),
    ("no time", step("timeout = nan"), 4, "`timeout` is nan; expected a number of seconds above 0"),
    ("endless", LATEX + "timeout = inf\n", 4, "`timeout` is inf; expected a number of seconds above 0"),
    (
        "regex",
        step('insignificant = ["ok", "(x"]'),
        4,
        "`insignificant` holds '(x'; expected a regular expression (missing ), unterminated subpattern at position 0)",
    ),
    ("empty run", '[[step]]\nname = "a"\nrun = "  "\n', 3, "`run` is empty; expected a command line"),
    ("empty name", '[[step]]\nname = ""\nrun = "x"\n', 2, "`name` is empty; expected a name"),
    ("empty main", '[[step]]\nchef = "latex"\nmain = ""\n', 3, "`main` holds an empty path; expected a path inside the project"),
    ("variable", step('env = ["A=b"]'), 4, "`env` holds 'A=b'; expected only the name of a variable, such as LANG"),
    (
        "no sources",
        '[[step]]\nchef = "compiler"\nprogram = "a"\nsources = []\n',
        4,
        "`sources` is empty; expected at least one C or C++ file or pattern",
    ),
    ("tool", step('tools = [""]'), 4, "`tools` holds an empty name; expected the name of a program"),
    ("bracket", step('inputs = ["a["]'), 4, "`inputs`: 'a[' opens a [ that nothing closes; a literal [ is written [[]"),
    # paths
    (
        "climbing",
        step('inputs = ["b", "../x"]'),
        4,
        "`../x` in `inputs` leads out of the project; expected a path below the project folder",
    ),
    (
        "hidden climb",
        step('optional = ["b/../../x"]'),
        4,
        "`b/../../x` in `optional` leads out of the project; expected a path below the project folder",
    ),
    (
        "absolute",
        step('outputs = ["/tmp/x"]'),
        4,
        "`/tmp/x` in `outputs` leads out of the project; expected a path below the project folder",
    ),
    ("cwd", step('cwd = ".."'), 4, "`..` in `cwd` leads out of the project; expected a path below the project folder"),
    (
        "main",
        '[[step]]\nchef = "latex"\nmain = "../a.tex"\n',
        3,
        "`../a.tex` in `main` leads out of the project; expected a path below the project folder",
    ),
    (
        "goal",
        '[project]\ngoals = ["/a.pdf"]\n',
        2,
        "`/a.pdf` in `goals` leads out of the project; expected a path below the project folder",
    ),
    ("jobname", LATEX + 'jobname = "../a"\n', 4, "`jobname` is '../a'; expected a name without a folder (that is `cwd`)"),
    (
        "program",
        COMPILER.replace('"a"', '"../a"'),
        3,
        "`../a` in `program` leads out of the project; expected a path below the project folder",
    ),
    ("nul", step('inputs = ["a\\u0000b"]'), 4, "`inputs` holds a NUL byte; expected text without one"),
    ("nul run", '[[step]]\nname = "a"\nrun = "a\\u0000"\n', 3, "`run` holds a NUL byte; expected text without one"),
    ("fact", step('inputs = ["@date"]'), 4, "`@date` in `inputs` starts with @, which cpods keeps for itself; expected another name"),
    (
        "glob output",
        step('outputs = ["*.o"]'),
        4,
        "`outputs` holds the pattern `*.o`; expected the name of one file (outputs cannot be patterns)",
    ),
    ("folder output", step('outputs = ["out/"]'), 4, "`outputs` names the folder `out/`; expected a file"),
    ("itself", step('outputs = ["./cpods.toml"]'), 4, "`./cpods.toml` is the project file itself; expected another output"),
    ("state", step('outputs = [".cpods/x"]'), 4, "`.cpods/x` lies in cpods' own folder .cpods; expected an output elsewhere"),
    # lists and claims
    ("listed twice", step('outputs = ["x",', '  "y", "./x"]'), 5, "`./x` is listed twice in `outputs`; expected each file once"),
    ("both", step('inputs = ["x"]', 'optional = ["x"]'), 5, "`x` is in `inputs` and in `optional`; expected it in one of them"),
    ("same name", step("", step()), 6, 'a step "a" is already on line 1; expected another name'),
    (
        "two claims",
        TWO,
        11,
        '`o` is an output of step "a" (line 1) and of step "b" (line 6); expected one step to make it',
    ),
    (
        "two documents",
        LATEX + LATEX,
        6,
        '`a.pdf` is an output of step "latex:a.tex" (line 1) and of step "latex:a.tex" (line 4); expected one step to make it',
    ),
    (
        "program claim",
        step('outputs = ["a"]') + "\n" + COMPILER,
        7,
        '`a` is an output of step "a" (line 1) and of step "link:a" (line 5); expected one step to make it',
    ),
]


@pytest.mark.parametrize(("text", "line", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_one_sentence_for_each_mistake(text: str, line: int, message: str) -> None:
    with pytest.raises(ProjectFileError) as caught:
        parse(text.encode(), "cpods.toml")
    assert str(caught.value) == f"cpods.toml:{line}: {message}"
    assert caught.value.exit_code == 2


def test_bytes_that_are_no_text_name_their_line() -> None:
    with pytest.raises(ProjectFileError, match=r"^my.toml:2: byte 0xe9 is no UTF-8; expected a text in UTF-8$"):
        parse(b"# ok\n# caf\xe9\n", "my.toml")


def test_thousands_of_digits_are_an_error_not_a_crash() -> None:
    with pytest.raises(ProjectFileError, match="broken TOML"):
        parse(b"a = 1" + b"0" * 5000)


def test_a_main_file_may_be_named_from_its_folder() -> None:
    declaration = parse((LATEX.replace("a.tex", "../a.tex") + 'cwd = "out"\n').encode()).declarations[0]
    assert isinstance(declaration, LatexDeclaration)
    assert declaration.main == "../a.tex"


def test_two_documents_of_one_main_file_differ_by_jobname() -> None:
    assert len(parse((LATEX + LATEX + 'jobname = "b"\n').encode()).declarations) == 2


def test_a_feedback_file_may_be_optional_and_output() -> None:
    parse(step('optional = ["lock"]', 'outputs = ["lock"]').encode())


@pytest.mark.parametrize(
    ("head", "engine"),
    [
        (b"", "pdflatex"),
        (b"% !TEX program = xelatex\n", "xelatex"),
        (b"\xef\xbb\xbf%!TeX TS-program=LuaLaTeX\r\n", "lualatex"),
        (b"% !TEX program = latexmk\n", "pdflatex"),
        (b"\\documentclass{article}\n% !TEX program = xelatex\n", "pdflatex"),
    ],
)
def test_a_bare_document(head: bytes, engine: str) -> None:
    project = bare("sub/paper.tex", head)
    declaration = project.declarations[0]
    assert isinstance(declaration, LatexDeclaration)
    assert (declaration.main, declaration.engine) == ("sub/paper.tex", engine)
    assert project.settings.until_stable
    assert project.settings.goals == ("paper.pdf",)
    assert project.file == ""


@pytest.mark.parametrize(
    ("main", "head", "engine"),
    [
        ("a.tex", b"\\starttext\nx\n\\stoptext\n", "mkiv"),
        ("a.tex", b"% language=uk\n\n\\environment a-style\n\n\\startdocument[title=x]\n", "mkiv"),
        ("a.tex", b"\\startproduct a\n", "mkiv"),
        ("a.tex", b"  \\startcomponent a\r\n", "mkiv"),
        ("a.tex", b"% interface=en output=pdf\n\\setupbodyfont[10pt]\n", "mkiv"),
        ("a.tex", b"% !TEX program = context\n", "mkiv"),
        ("a.tex", b"% engine=luametatex\n\\starttext\n", "lmtx"),
        ("a.tex", b"\\starttext\n\\starttyping\n\\documentclass{article}\n\\stoptyping\n", "mkiv"),
        ("a.mkiv", b"", "mkiv"),
        ("a.mkvi", b"", "mkiv"),
        ("a.mkxl", b"", "lmtx"),
        ("a.tex", b"\\documentclass{article}\n\\begin{document}\n\\begin{verbatim}\n\\starttext\n\\end{verbatim}", "pdflatex"),
        ("a.tex", b"% \\starttext\n\\documentclass{article}\n", "pdflatex"),
        ("a.tex", b"\\documentstyle{article}\n", "pdflatex"),
        ("a.tex", b"Hello $x$ \\bye\n", "pdftex"),
        ("a.tex", b"\\input eplain\n% \\documentclass is not for us\nHello\n\\bye", "pdftex"),
        ("a.tex", b"\\input preamble % never says \\bye\n\\begin{document}", "pdflatex"),
        ("a.tex", b"% !TEX program = arara\n\\starttext\n", "mkiv"),
        ("a.texi", b"", "pdftex"),
    ],
)
def test_a_document_shows_what_sets_it(main: str, head: bytes, engine: str) -> None:
    declaration = bare(main, head).declarations[0]
    assert getattr(declaration, "engine", None) == engine


def test_an_engine_that_no_chef_runs_is_refused() -> None:
    with pytest.raises(ProjectFileError, match=r"^a\.tex:1: the document asks for platex, which no chef runs; expected pdflatex, "):
        bare("a.tex", b"% !TEX program = platex\n")


def test_a_bare_document_outside_is_refused() -> None:
    with pytest.raises(ProjectFileError, match=r"`\.\./paper\.tex` in `main` leads out of the project"):
        bare("../paper.tex")


LINES = st.sampled_from([row[1] for row in BAD if row[0] != "nested"] + [GOOD, "x = [", '"', "\n", "=", "[[step]]\n", "\x00", "é"])


@given(st.lists(LINES, max_size=3), st.integers(0, 80))
def test_no_text_makes_it_crash(texts: list[str], cut: int) -> None:
    """Any text is a project or one ProjectFileError with a line that exists."""
    text = "\n".join(texts)
    text = text[: max(0, len(text) - cut)]
    try:
        parse(text.encode())
    except ProjectFileError as error:
        line = int(error.where.removeprefix("cpods.toml:"))
        assert 1 <= line <= text.count("\n") + 1
