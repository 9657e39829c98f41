"""Documents that do not compile, through the real CLI: file, line and TeX's words, the last PDF untouched, a good build after mending."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.calls import Zygote, cpods, write  # noqa: F401  a fixture

GOOD = "\\documentclass{article}\n\\begin{document}\nHello.\n\\end{document}\n"
CITING = GOOD.replace("Hello.", "\\cite{knuth}\\bibliographystyle{plain}\\bibliography{refs}")
BIB = "@book{knuth, title={The TeXbook}, author={Donald Knuth}, year={1984}, publisher={Addison}}\n"


class Bad(NamedTuple):
    """One mistake in ``paper.tex`` or in ``more`` (a file's name and text). ``says``: what the one message must match."""

    name: str
    says: tuple[str, ...]
    text: str
    more: tuple[str, str] = ("", "")


def hello(text: str, head: str = "") -> str:
    """The good document with another body."""
    return GOOD.replace("Hello.", text).replace("\\begin", head + "\\begin", 1)


DOCUMENTS = [
    Bad("undefined command", (r"paper\.tex:3: Undefined control sequence", r"\\nosuchcommand"), hello("\\nosuchcommand x")),
    Bad("missing file", (r"paper\.tex:3: .*nosuch\.tex.* not found",), hello("\\input{nosuch}")),
    Bad("missing package", (r"paper\.tex:2: .*nosuchpackage\.sty.* not found",), hello("x", "\\usepackage{nosuchpackage}\n")),
    Bad("missing class", (r"paper\.tex:1: .*nosuchclass\.cls.* not found",), GOOD.replace("{article}", "{nosuchclass}")),
    Bad(
        "missing picture", (r"paper\.tex:4: .*nosuch\.png.* not found",), hello("\\includegraphics{nosuch.png}", "\\usepackage{graphicx}\n")
    ),
    Bad("missing end", (r"paper\.tex:\d+: .*itemize.*ended by",), hello("\\begin{itemize}\\item x")),
    Bad("end of file", (r"paper\.tex(:\d+)?: .*(job aborted|no legal \\end|ended)",), GOOD.replace("\\end{document}\n", "")),
    Bad("missing font", (r"paper\.tex:3: .*nosuchfont", "not loadable"), hello("\\font\\x=nosuchfont \\x x")),
    Bad("missing brace", (r"paper\.tex: File ended while scanning use of .textbf",), hello("\\textbf{x")),
    Bad("math outside", (r"paper\.tex:3: Missing \$ inserted",), hello("a_b")),
    Bad(
        "error in an included file", (r"part\.tex:2: Undefined control sequence",), hello("\\input{part}"), ("part.tex", "fine\n\\broken\n")
    ),
    Bad("endless recursion", (r"paper\.tex:\d+: TeX capacity exceeded",), hello("\\def\\x{\\x\\x}\\x")),
    Bad("bibtex: missing bib", (r"refs\.bib",), CITING, ("refs.bib", "")),
    Bad("bibtex: missing style", (r"nosuchstyle\.bst",), CITING.replace("{plain}", "{nosuchstyle}")),
    Bad("bibtex: broken entry", (r"refs\.bib:\d+: ",), CITING, ("refs.bib", "@book{knuth, title={x}, author {Y}}\n")),
    Bad("not UTF-8", (r"paper\.tex:3: .*(UTF-8|Unicode)",), hello("na\udcefve")),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all, so that the good document is made but once."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.parametrize("bad", DOCUMENTS, ids=lambda bad: bad.name.replace(" ", "-"))
def test_a_broken_document_is_told_by_file_and_line_and_leaves_the_last_pdf(
    cpods: Zygote,  # noqa: F811
    store: Path,
    tmp_path: Path,
    bad: Bad,
) -> None:
    (tmp_path / "refs.bib").write_text(BIB)
    (tmp_path / "paper.pdf").write_bytes(b"an earlier PDF")
    (tmp_path / "paper.tex").write_text(bad.text, errors="surrogateescape")
    if bad.more[0]:
        (tmp_path / bad.more[0]).write_text(bad.more[1])
    if bad.name == "bibtex: missing bib":
        (tmp_path / "refs.bib").unlink()
    said = cpods.run(tmp_path, "rebuild", "paper.tex", env={"CPODS_STORE": str(store)})
    assert said.code == 1 and said.report is not None and said.report["status"] == "failed", said.err
    assert "Traceback" not in said.err
    text = "\n".join(said.messages)
    for pattern in bad.says:
        assert re.search(pattern, text), f"{pattern!r} is not in: {text}"
    assert (tmp_path / "paper.pdf").read_bytes() == b"an earlier PDF"
    write(tmp_path, paper__tex=CITING, refs__bib=BIB)
    good = cpods.run(tmp_path, "rebuild", "paper.tex", env={"CPODS_STORE": str(store)})
    assert good.code == 0, good.err
    assert (tmp_path / "paper.pdf").read_bytes().startswith(b"%PDF")
