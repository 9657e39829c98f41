"""What readers see: changes that a reader cannot notice run nothing behind them, and changes that it can do.

All through the real CLI and with real tools; knows the report, the files, and what `cpods why` says.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.sandbox import Outcome, Sandbox

MakeSandbox = Callable[..., Sandbox]

_LATEX = '[[step]]\nchef = "latex"\nmain = "paper.tex"\n'
_BIB = """@article{knuth, author = {Donald Knuth}, title = {Literate Programming}, journal = {CJ}, year = 1984}
%s
@article{lamport, author = {Leslie Lamport}, title = {Time and Clocks}, journal = {CACM}, year = 1978}
"""
#: Writes a one-page PDF whose only date comes from date.txt; offsets and length do not depend on it.
_FIGURE = r"""
date = open("date.txt").read().strip()
objects = [
    "<</Type/Catalog/Pages 2 0 R>>",
    "<</Type/Pages/Kids[3 0 R]/Count 1>>",
    "<</Type/Page/Parent 2 0 R/MediaBox[0 0 20 20]/Contents 4 0 R/Resources<<>>>>",
    "<</Length 19>>stream\n0 0 m 20 20 l S    \nendstream",
    "<</Producer(figure)/CreationDate(D:%s)/ModDate(D:%s)>>" % (date, date),
]
text, places = "%PDF-1.4\n", []
for number, body in enumerate(objects, 1):
    places.append(len(text))
    text += "%d 0 obj\n%s\nendobj\n" % (number, body)
start = len(text)
text += "xref\n0 6\n0000000000 65535 f \n" + "".join("%010d 00000 n \n" % place for place in places)
text += "trailer\n<</Size 6/Root 1 0 R/Info 5 0 R>>\nstartxref\n%d\n%%%%EOF\n" % start
open("figure.pdf", "w").write(text)
"""
_MAKES_FIGURE = f"""
[[step]]
name = "figure"
run = "{sys.executable} figure.py"
inputs = ["figure.py", "date.txt"]
outputs = ["figure.pdf"]
"""


@pytest.fixture
def sandbox(tmp_path: Path) -> MakeSandbox:
    """Makes a project folder from its files; the CLI builds it."""

    def make(files: dict[str, str], **environment: str) -> Sandbox:
        place = Sandbox(tmp_path / "project", environment, cli=True)
        for path, text in files.items():
            place.write(path, text)
        return place

    return make


def _paper(*body: str, head: str = "\\nofiles") -> str:
    """A document; without an .aux file, and so of one pass, unless it says otherwise."""
    return "\n".join(["\\documentclass{article}", head, "\\begin{document}", *body, "\\end{document}", ""])


def _built(place: Sandbox) -> Outcome:
    """A build that ends well."""
    outcome = place.build()
    assert outcome.exit_code == 0, outcome.said
    return outcome


def _why(place: Sandbox, name: str) -> str:
    done = place.run("why", name)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _clean_twin(place: Sandbox, tmp_path: Path) -> Sandbox:
    """A build of the same sources from nothing."""
    twin = Sandbox(tmp_path / "twin", place.environment, cli=True)
    sources = (path for path in place.files() if path.endswith((".tex", ".toml", ".py", ".txt", ".bib", ".sh")))
    for path in sources:
        twin.write(path, place.read(path))
    _built(twin)
    return twin


# -- what a reader cannot see ----------------------------------------------------------------------------------------


def test_comment_between_bib_entries_does_not_reach_the_engine(sandbox: MakeSandbox) -> None:
    place = sandbox(
        {
            "cpods.toml": _LATEX,
            "paper.tex": _paper("\\cite{knuth,lamport}", "\\bibliographystyle{plain}\\bibliography{refs}", head=""),
            "refs.bib": _BIB % "a comment",
        }
    )
    _built(place)
    pdf = place.read("paper.pdf")
    place.write("refs.bib", _BIB % "quite another comment")
    outcome = _built(place)
    assert outcome.tools in ((), ("bibtex",))
    assert place.read("paper.pdf") == pdf
    assert "refs.bib" in _why(place, "bibtex:paper")
    assert "did not run in the last build" in _why(place, "latex:paper.tex")


def test_figure_with_another_date_runs_no_engine(sandbox: MakeSandbox, tmp_path: Path) -> None:
    place = sandbox(
        {
            "cpods.toml": _MAKES_FIGURE + _LATEX,
            "figure.py": _FIGURE,
            "date.txt": "20200101000000Z",
            "paper.tex": _paper("\\includegraphics{figure.pdf}", head="\\nofiles\\usepackage{graphicx}"),
        }
    )
    _built(place)
    old = place.read("figure.pdf")
    place.write("date.txt", "20210203040506Z")
    outcome = _built(place)
    assert outcome.runs == ("figure",)
    assert place.read("figure.pdf") != old
    assert "reused: insignificant change in figure.pdf" in outcome.said
    assert "figure.pdf" in _why(place, "latex:paper.tex") and "but not in what latex:paper.tex reads" in _why(place, "latex:paper.tex")
    twin = _clean_twin(place, tmp_path)
    assert twin.read("figure.pdf") == place.read("figure.pdf")
    assert twin.read("paper.pdf") == place.read("paper.pdf"), "the document is not what a clean build makes"


def test_figure_with_another_drawing_runs_the_engine(sandbox: MakeSandbox, tmp_path: Path) -> None:
    place = sandbox(
        {
            "cpods.toml": _MAKES_FIGURE + _LATEX,
            "figure.py": _FIGURE,
            "date.txt": "20200101000000Z",
            "paper.tex": _paper("\\includegraphics{figure.pdf}", head="\\nofiles\\usepackage{graphicx}"),
        }
    )
    _built(place)
    place.write("figure.py", _FIGURE.replace("20 20 l", "20 10 l"))
    outcome = _built(place)
    assert outcome.tools.count("pdflatex") == 1
    assert _clean_twin(place, tmp_path).read("paper.pdf") == place.read("paper.pdf")


_STAMPED = """
[[step]]
name = "table"
run = "sh table.sh > table.txt"
inputs = ["table.sh", "when.txt"]
outputs = ["table.txt"]
insignificant = ["^# generated "]

[[step]]
name = "sum"
run = "grep -v '^# generated ' table.txt | cksum > sum.txt"
inputs = ["table.txt"]
outputs = ["sum.txt"]

[[step]]
name = "last"
run = "cat sum.txt > last.txt"
inputs = ["sum.txt"]
outputs = ["last.txt"]
"""


def test_insignificant_lines_run_nothing_behind_them(sandbox: MakeSandbox) -> None:
    place = sandbox({"cpods.toml": _STAMPED, "when.txt": "monday\n", "table.sh": 'echo "# generated $(cat when.txt)"; echo 1 2 3\n'})
    _built(place)
    place.write("when.txt", "tuesday\n")
    outcome = _built(place)
    assert outcome.runs == ("table",)
    assert place.read("table.txt") == b"# generated tuesday\n1 2 3\n"
    assert "sum: reused: insignificant change in table.txt" in outcome.said
    assert "table.txt" in _why(place, "sum") and "but not in what sum reads" in _why(place, "sum")


def test_significant_line_beside_insignificant_ones_counts(sandbox: MakeSandbox) -> None:
    place = sandbox({"cpods.toml": _STAMPED, "when.txt": "monday\n", "table.sh": 'echo "# generated $(cat when.txt)"; echo 1 2 3\n'})
    _built(place)
    place.write("table.sh", 'echo "# generated $(cat when.txt)"; echo 1 2 4\n')
    assert _built(place).runs == ("table", "sum", "last")


# -- what it can see: TeX --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("% one", "% two", id="comment inside verbatim"),
        pytest.param("\\label{x1}", "\\label{x2}", id="digit in a label"),
        pytest.param("Some text", "Same text", id="a letter"),
    ],
)
def test_edit_that_counts_runs_the_engine(sandbox: MakeSandbox, tmp_path: Path, old: str, new: str) -> None:
    text = _paper("\\section{A}\\label{x1} Some text \\ref{x1}", "\\begin{verbatim}", "% one", "\\end{verbatim}", head="")
    place = sandbox({"cpods.toml": _LATEX, "paper.tex": text})
    _built(place)
    place.write("paper.tex", text.replace(old, new))
    assert "pdflatex" in _built(place).tools
    twin = _clean_twin(place, tmp_path)
    assert twin.read("paper.pdf") == place.read("paper.pdf") and twin.read("paper.aux") == place.read("paper.aux")


def test_new_local_class_counts(sandbox: MakeSandbox) -> None:
    place = sandbox({"cpods.toml": _LATEX, "paper.tex": _paper("text")})
    _built(place)
    plain = place.read("paper.pdf")
    place.write("article.cls", "\\LoadClass[12pt]{report}\n\\endinput\n")
    assert "pdflatex" in _built(place).tools
    assert place.read("paper.pdf") != plain
    assert "article.cls" in _why(place, "latex:paper.tex")
    (place.root / "article.cls").unlink()
    assert _built(place).tools == (), "gone again: the earlier result is in the store"
    assert place.read("paper.pdf") == plain


def test_file_that_was_looked_for_counts_when_it_appears_and_goes(sandbox: MakeSandbox) -> None:
    place = sandbox({"cpods.toml": _LATEX, "paper.tex": _paper("\\IfFileExists{tune}{\\input{tune}}{no tune}")})
    _built(place)
    without = place.read("paper.pdf")
    place.write("tune.tex", "a tune\n")
    assert "pdflatex" in _built(place).tools
    assert place.read("paper.pdf") != without
    (place.root / "tune.tex").unlink()
    _built(place)
    assert place.read("paper.pdf") == without
    place.write("tune.tex", "another tune\n")
    assert "pdflatex" in _built(place).tools


def test_shadowing_file_in_a_texinputs_folder_counts(sandbox: MakeSandbox) -> None:
    place = sandbox(
        {"cpods.toml": _LATEX, "paper.tex": _paper("\\part"), "late/part.sty": "\\def\\part{late}\n", "first/other.sty": ""},
        TEXINPUTS="./first:./late:",
    )
    place.write("paper.tex", _paper("\\part", head="\\nofiles\\usepackage{part}"))
    _built(place)
    late = place.read("paper.pdf")
    place.write("first/part.sty", "\\def\\part{first}\n")
    assert "pdflatex" in _built(place).tools
    assert place.read("paper.pdf") != late


# -- what it can see: machine and environment ------------------------------------------------------------------------


def _status_copy(tmp_path: Path) -> Path:
    copy = tmp_path / "dpkg" / "status"
    copy.parent.mkdir()
    shutil.copy("/var/lib/dpkg/status", copy)
    return copy


def _new_version(status: Path, package: str) -> None:
    text = status.read_text(encoding="utf-8")
    pattern = rf"(^Package: {re.escape(package)}\n(?:.+\n)*?Version: \S+)"
    changed, count = re.subn(pattern, r"\1+changed", text, flags=re.M)
    assert count == 1
    status.write_text(changed, encoding="utf-8")


def test_another_version_of_a_tex_package_counts(sandbox: MakeSandbox, tmp_path: Path) -> None:
    status = _status_copy(tmp_path)
    place = sandbox({"cpods.toml": _LATEX, "paper.tex": _paper("text")}, CPODS_DPKG_STATUS=str(status))
    assert _built(place).tools == ("pdflatex",)
    _new_version(status, "coreutils")
    assert _built(place).tools == ()
    _new_version(status, "texlive-latex-base")
    assert _built(place).tools == ("pdflatex",)


def _own_format(place: Sandbox) -> Path:
    """Puts a copy of pdflatex's format into the user's own tree, which comes before the system's."""
    ask = [["kpsewhich", "-var-value", "TEXMFVAR"], ["kpsewhich", "-engine=pdftex", "pdflatex.fmt"]]
    tree, present = (subprocess.check_output(words, env=place.environment, text=True).strip() for words in ask)
    target = Path(tree) / "web2c" / "pdftex" / "pdflatex.fmt"
    target.parent.mkdir(parents=True)
    return Path(shutil.copy(present, target))


def _dump_again(place: Sandbox, tmp_path: Path, target: Path, date: str) -> None:
    folder = tmp_path / "dump"
    folder.mkdir()
    subprocess.run(
        ["pdftex", "-ini", "-jobname=pdflatex", "-progname=pdflatex", "-etex", "pdflatex.ini"],
        cwd=folder,
        env={**place.environment, "SOURCE_DATE_EPOCH": date},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    shutil.copy(folder / "pdflatex.fmt", target)


def test_format_dumped_again_under_another_date_is_the_same_format(sandbox: MakeSandbox, tmp_path: Path) -> None:
    place = sandbox({"cpods.toml": _LATEX, "paper.tex": _paper("text")})
    own = _own_format(place)
    before = own.read_bytes()
    assert _built(place).tools == ("pdflatex",)
    used = [path for path in (place.root / ".cpods/work").rglob("paper.fls") if "pdflatex.fmt" in path.read_text()]
    assert used and str(own) in used[0].read_text(), "the test's own format is the one in use"
    _dump_again(place, tmp_path, own, "1200000000")
    assert own.read_bytes() != before
    assert _built(place).tools == ()


_FLAVOUR = """
[[step]]
name = "taste"
run = "sh taste.sh > taste.txt"
inputs = ["taste.sh"]
outputs = ["taste.txt"]
env = ["FLAVOUR"]
"""


def test_only_variables_that_are_named_count(sandbox: MakeSandbox) -> None:
    place = sandbox({"cpods.toml": _FLAVOUR, "taste.sh": 'echo "$FLAVOUR $COLOUR"\n'}, FLAVOUR="sweet", COLOUR="red")
    assert _built(place).runs == ("taste",)
    assert place.read("taste.txt") == b"sweet \n", "a variable that does not count is not handed on either"
    place.environment["COLOUR"] = "blue"
    assert _built(place).runs == ()
    place.environment["FLAVOUR"] = "sour"
    assert _built(place).runs == ("taste",)
    assert place.read("taste.txt") == b"sour \n"
    place.environment["FLAVOUR"] = "sweet"
    assert _built(place).runs == ()
    assert place.read("taste.txt") == b"sweet \n"


def test_another_program_of_the_same_name_and_size_counts(sandbox: MakeSandbox, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    tool = programs / "mytool"
    tool.write_text("#!/bin/sh\necho 1\n")
    tool.chmod(0o755)
    step = '[[step]]\nname = "use"\nrun = "mytool > out.txt"\noutputs = ["out.txt"]\n'
    place = sandbox({"cpods.toml": step}, PATH=f"{programs}:/usr/bin:/bin")
    assert _built(place).runs == ("use",)
    times = tool.stat()
    tool.write_text("#!/bin/sh\necho 2\n")
    assert _built(place).runs == ("use",)
    assert place.read("out.txt") == b"2\n"
    os.utime(tool, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))
    assert _built(place).runs == ()


_PROGRAM = """
[[step]]
chef = "compiler"
program = "hello"
sources = ["main.c"]
include = ["first", "second"]
"""


def test_new_header_earlier_on_the_search_path_counts(sandbox: MakeSandbox) -> None:
    main = '#include <stdio.h>\n#include "size.h"\nint main(void) { return printf("%d\\n", SIZE) < 0; }\n'
    place = sandbox({"cpods.toml": _PROGRAM, "main.c": main, "second/size.h": "#define SIZE 2\n", "first/other.h": "\n"})
    _built(place)
    assert subprocess.check_output([place.root / "hello"]) == b"2\n"
    assert _built(place).runs == ()
    place.write("first/other.h", "/* read by nobody */\n")
    assert _built(place).runs == ()
    place.write("first/size.h", "#define SIZE 1\n")
    assert _built(place).runs
    assert subprocess.check_output([place.root / "hello"]) == b"1\n"
    (place.root / "first/size.h").unlink()
    _built(place)
    assert subprocess.check_output([place.root / "hello"]) == b"2\n"
