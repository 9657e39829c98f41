"""Real runs of ConTeXt: every way to read a file shows, and what is looked for in vain."""

import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from cpods.chefs.registry import chefs
from cpods.declaration import ContextDeclaration
from cpods.model import Observation, Step
from tests.chefs.realview import run, snapshot

pytestmark = [pytest.mark.tex, pytest.mark.timeout(600)]

CHEF = chefs()["context"]
DOCUMENT = r"""% a first line that is empty makes the wrapper fail
\usemodule[database]
\usebtxdataset[sub/refs.bib]
\definefont[Own][file:sub/ownfont.otf at 12pt]
\starttext
\typefile{sub/code.c} {\Own own}
\defineseparatedlist[CSV][separator=comma,before=\bTABLE,after=\eTABLE,first=\bTR,last=\eTR,left=\bTD,right=\eTD]
\processseparatedfile[CSV][sub/data.csv]
\xmlprocessfile{main}{sub/x.xml}{}
\startbuffer[b] Hello \stopbuffer
\savebuffer[list=b,file=saved.tmp,prefix=no]\input saved.tmp
\ReadFile{sub/read.tex}
\doiffileelse{sub/opt.tex}{\input sub/opt }{none}
\startluacode
for line in io.lines("sub/lines.txt") do context(line) end
context(table.load("sub/tab.lua").a .. dofile("sub/value.lua"))
context.input("sub/ctx.tex")
\stopluacode
\externalfigure[sub/pic.png]
\externalfigure[sub/drawn.eps]
\startMPcode input sub/fig; draw bar; \stopMPcode
\stoptext
"""
FILES = {
    "sub/refs.bib": "@book{k, title={T}}",
    "sub/code.c": "int x;\n",
    "sub/data.csv": "a,b\n",
    "sub/x.xml": "<x>xml</x>\n",
    "sub/read.tex": "read\n",
    "sub/lines.txt": "line\n",
    "sub/tab.lua": 'return { a = "tab" }\n',
    "sub/value.lua": 'return "value"\n',
    "sub/ctx.tex": "ctx\n",
    "sub/fig.mp": "path bar; bar := fullcircle scaled 1cm;\n",
    "sub/drawn.eps": "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\nnewpath 0 0 moveto 50 50 lineto stroke\nshowpage\n",
    "sub/not-asked-for.tex": "x\n",
}
FONT = "/usr/share/texmf/fonts/opentype/public/lm/lmroman10-regular.otf"


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png() -> bytes:
    """A picture of two by two points."""
    head = bytes([0, 0, 0, 2, 0, 0, 0, 2, 8, 2, 0, 0, 0])
    rows = zlib.compress(bytes(14))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def step_of(root: Path, main: str = "paper.tex", **keys: object) -> Step:
    declaration = ContextDeclaration(main=main, **keys)  # type: ignore[arg-type]
    return CHEF.plan(declaration, 0, sorted(snapshot(root)), {})[0]


def observe(root: Path, main: str = "paper.tex", **keys: object) -> Observation:
    seen, exit = run(CHEF, step_of(root, main, **keys), root)
    assert exit.code == 0, exit.stdout[-3000:]
    return seen


def test_every_way_of_reading(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "paper.tex").write_text(DOCUMENT)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "sub/pic.png").write_bytes(png())
    shutil.copy(FONT, tmp_path / "sub/ownfont.otf")
    wanted = {"paper.tex", "sub/pic.png", "sub/ownfont.otf", *FILES} - {"sub/not-asked-for.tex"}
    for extra in ((), ("paper.tuc",)):  # the second time the font comes out of the cache
        seen = observe(tmp_path)
        assert {path for path in seen.reads if not path.startswith(("@", "saved"))} == {*wanted, *extra}
        assert "sub/opt.tex" in seen.absent
        assert {"paper.pdf", "paper.tuc", "saved.tmp"} <= set(seen.writes)
        (tmp_path / "sub/m_k_i_v_drawn.eps.pdf").unlink()  # the mirror does so: it is not among what is kept
        assert not [path for path in seen.writes if "m_k_i_v" in path]


def test_a_product_and_its_component(tmp_path: Path) -> None:
    """Files of a folder above the one that it runs in, a module on the search path, a job name of its own."""
    for folder in ("book/parts", "style"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "style/t-mine.mkiv").write_text("\\startmodule[mine]\n\\def\\mine{MINE}\n\\stopmodule\n")
    (tmp_path / "book/env.tex").write_text("\\startenvironment env\n\\usemodule[mine]\n\\stopenvironment\n")
    (tmp_path / "book/parts/one.tex").write_text("\\startcomponent one\n\\environment env\nOne \\mine\n\\stopcomponent\n")
    (tmp_path / "book/all.tex").write_text("\\startproduct all\n\\environment env\n\\component parts/one\n\\stopproduct\n")
    whole = observe(tmp_path, "all.tex", cwd="book", path=("../style",))
    assert whole.reads == ("book/all.tex", "book/env.tex", "book/parts/one.tex", "style/t-mine.mkiv")
    part = observe(tmp_path, "parts/one.tex", cwd="book", path=("../style",), jobname="alone", synctex=True)
    assert part.reads == ("book/env.tex", "book/parts/one.tex", "style/t-mine.mkiv")
    assert part.writes == ("book/alone.log", "book/alone.pdf", "book/alone.tuc", "book/one.synctex")
    shown = subprocess.run(["pdftotext", str(tmp_path / "book/alone.pdf"), "-"], capture_output=True, text=True, check=True).stdout
    assert "One MINE" in shown
