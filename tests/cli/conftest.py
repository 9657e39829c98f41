"""What the tests of the commands share: a project folder, a way to call cpods in this process, golden files."""

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

GOLDEN = Path(__file__).parent.parent / "golden"


class Outcome(NamedTuple):
    """What one call came to."""

    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the present one, in an environment that is the same everywhere."""
    for name in ("CPODS_STORE", "CPODS_STATE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("SOURCE_DATE_EPOCH", "0"), ("FORCE_SOURCE_DATE", "1"), ("TZ", "UTC"), ("LC_ALL", "C.UTF-8")):
        monkeypatch.setenv(name, value)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def cli(project: Path) -> Cli:
    """Calls the real command line in this process."""

    def call(*arguments: str) -> Outcome:
        from cpods.cli.app import _typer
        from cpods.cli.interrupts import heard_again

        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                _typer(list(arguments))
                code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 1
            finally:
                heard_again()
        return Outcome(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares a text with a golden file; with CPODS_UPDATE_GOLDEN set it writes the file instead (look at the diff then)."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("CPODS_UPDATE_GOLDEN"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return check


LINE = """\
[project]
goals = ["out.txt"]

[[step]]
name = "upper"
run = "tr a-z A-Z < in.txt > mid.txt"
inputs = ["in.txt"]
outputs = ["mid.txt"]

[[step]]
name = "order"
run = "sort mid.txt > out.txt"
inputs = ["mid.txt"]
outputs = ["out.txt"]
"""


@pytest.fixture
def line(project: Path) -> Path:
    """Two shell steps, one behind the other."""
    (project / "cpods.toml").write_text(LINE)
    (project / "in.txt").write_text("b\na\n")
    return project


def circle(expression: str, extra: str = "", more_outputs: str = "", more_run: str = "") -> str:
    """A project of one step that reads a number from x.txt (else start.txt) and writes the next one."""
    return f"""\
[project]
goals = ["x.txt"]

[[step]]
name = "turn"
run = "n=$(cat x.txt 2>/dev/null || cat start.txt); echo $(( {expression} )) > x.txt{more_run}"
inputs = ["start.txt"]
optional = ["x.txt"]
outputs = ["x.txt"{more_outputs}]
tools = ["cat"]
{extra}
"""


@pytest.fixture
def turning(project: Path) -> Callable[..., Path]:
    """Makes a project of one circular shell step out of an arithmetic expression in n."""

    def make(expression: str, start: int = 10, extra: str = "", more_outputs: str = "", more_run: str = "") -> Path:
        (project / "cpods.toml").write_text(circle(expression, extra, more_outputs, more_run))
        (project / "start.txt").write_text(f"{start}\n")
        return project

    return make


PAPER = r"""\documentclass{article}
\begin{document}
\tableofcontents
\section{One}\label{one}
See \ref{one} and \cite{knuth}.
\bibliographystyle{plain}
\bibliography{books}
\end{document}
"""
BOOKS = "@book{knuth, author={D. Knuth}, title={The Book}, publisher={AW}, year={1984}}\n"


@pytest.fixture
def paper(project: Path) -> Path:
    """A small document with a table of contents and a citation."""
    (project / "cpods.toml").write_text('[project]\nuntil_stable = true\n\n[[step]]\nchef = "latex"\nmain = "paper.tex"\n')
    (project / "paper.tex").write_text(PAPER)
    (project / "books.bib").write_text(BOOKS)
    return project


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files of a project but for cpods' own."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".cpods" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def files() -> Callable[[Path], dict[str, bytes]]:
    """All files of a project but for cpods' own, by path."""
    return snapshot
