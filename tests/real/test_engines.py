"""Real documents for XeLaTeX, LuaLaTeX, DVI mode and Texinfo, as Debian ships them: as latexmk or texi2pdf makes them, in no more runs.

The peer is measured in the same run of the test. The fonts lie in a home of the tests' own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.real.test_documents import with_one_word_changed

HERE = Path(__file__).parent

pytestmark = [pytest.mark.tex, pytest.mark.timeout(1800)]


#: The .aux of a one-page document without references.
TRIVIAL = b"\\relax \n\\gdef \\@abspage@last{1}\n"


class Document(NamedTuple):
    """``folder/main`` in the library; ``engine`` as in a project file."""

    folder: str
    main: str
    engine: str

    @property
    def is_texinfo(self) -> bool:
        """Whether texi2pdf is the peer."""
        return self.main.endswith(".texi")

    @property
    def product(self) -> str:
        """What is made."""
        return self.main.rpartition(".")[0] + ".pdf"


DOCUMENTS = [
    Document("fontspec", "fontspec-example.tex", "xelatex"),
    Document("unicode-math", "unimath-example.ltx", "xelatex"),
    Document("xespotcolor", "spotcolor-test.tex", "xelatex"),
    Document("xecyr-index", "rumakeindex-ex-x.tex", "xelatex"),
    Document("xecyr-graphics", "xecyr-ex7-ru-x.tex", "xelatex"),
    Document("odsfile", "odsfile.tex", "lualatex"),
    Document("luatruthtable", "luatruthtable.tex", "lualatex"),
    Document("luaset", "luaset.tex", "lualatex"),
    Document("luamaths", "luamaths.tex", "lualatex"),
    Document("amsmath", "amsldoc.tex", "latex"),
    Document("bzip2", "manual.texi", "pdftex"),
    Document("mf2pt1", "mf2pt1.texi", "pdftex"),
]


@pytest.fixture(scope="session")
def library() -> Path:
    """The documents' sources and fonts; fetched once into a folder that git ignores."""
    folder = HERE / ".documents" / "engines"
    if not (folder / "complete").exists():
        subprocess.run([str(HERE / "get_engines.sh"), str(folder)], check=True, timeout=1500)
        (folder / "complete").touch()
    return folder


class Place:
    """A copy of a document's folder, built by cpods or by its peer."""

    def __init__(self, library: Path, document: Document, folder: Path) -> None:
        shutil.copytree(library / document.folder, folder)
        self.document, self.folder = document, folder
        home = {"HOME": str(library / "home"), "SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"}
        self.environment = {**os.environ, **home}

    def cpods(self) -> tuple[Counter[str], dict[str, Any]]:
        """Builds; (how often each tool ran, the report)."""
        chef = "tex" if self.document.is_texinfo else "latex"
        keys = {"chef": chef, "main": self.document.main, "engine": self.document.engine}
        declared = "[[step]]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items())
        (self.folder / "cpods.toml").write_text(declared)
        report = self.folder.parent / f"{self.folder.name}.json"
        command = [str(Path(sys.executable).with_name("cpods")), "rebuild", "--until-stable", "--report", str(report)]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        found = json.loads(report.read_text())
        return Counter(entry["tool"] for entry in found["executions"] if entry["kind"] == "run"), found

    def peer(self) -> Counter[str]:
        """Builds with latexmk or texi2pdf; how often it started each tool, by its own words."""
        main, engine = self.document.main, self.document.engine
        if self.document.is_texinfo:
            text = self._run("texi2pdf", "--verbose", "--batch", main)
            return Counter({engine: text.count("Running pdf"), "texindex": text.count("Running texindex")})
        mode = {"latex": "-pdfps"}.get(engine, f"-{engine}")
        text = self._run("latexmk", mode, "-recorder", "-interaction=nonstopmode", main)
        return Counter(re.findall(r"^Run number \d+ of rule '(\w+)", text, re.MULTILINE))

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=900)
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    def edit(self) -> None:
        """Changes one word of the text."""
        path = self.folder / self.document.main
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        path.write_text(_edited(text, self.document), encoding="utf-8", errors="surrogateescape")

    def feedback(self) -> bytes:
        """The .aux, empty if there is none."""
        aux = self.folder / (self.document.main.rpartition(".")[0] + ".aux")
        return aux.read_bytes() if aux.exists() else b""

    def pages(self) -> int:
        """Pages of the product."""
        shown = self._run("pdfinfo", self.document.product)
        return int(re.search(r"^Pages:\s+(\d+)", shown, re.MULTILINE)[1])  # type: ignore[index]

    def text(self) -> str:
        """What a reader can read in the product."""
        return self._run("pdftotext", self.document.product, "-")


def _edited(text: str, document: Document) -> str:
    """The source with one prose word written backwards: Texinfo's in its first chapter, a Russian one if there is no English."""
    if document.is_texinfo:
        start, pattern = text.index("\n\n", text.index("@chapter")), r"(?<=\n)([a-z]{6,})(?= [a-z]+ )"
    elif document.folder == "xecyr-graphics":
        start, pattern = text.index("\\begin{document}"), r"(?<=Конец )([а-я]{6,})"
    else:
        return with_one_word_changed(text)
    word = re.compile(pattern).search(text, start)
    assert word is not None
    return text[: word.start()] + word[0][::-1] + text[word.end() :]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: f"{document.engine}-{document.folder}")
def test_as_the_peer_in_no_more_runs(library: Path, tmp_path: Path, document: Document) -> None:
    ours, theirs = Place(library, document, tmp_path / "ours"), Place(library, document, tmp_path / "theirs")
    peer_runs = theirs.peer()
    runs, report = ours.cpods()
    print(f"{document.folder}/{document.main}: {ours.pages()} pages; {dict(runs)}, peer {dict(peer_runs)}")
    assert ours.pages() == theirs.pages()
    assert report["goals"][0]["pages"] == ours.pages()
    assert ours.text() == theirs.text()
    bound = peer_runs[document.engine]
    if bound == 1 and theirs.feedback() == TRIVIAL:
        # latexmk writes such an .aux before its first run; cpods starts from nothing, and proves with one more run.
        bound = 2
    assert runs[document.engine] <= bound
    null, _ = ours.cpods()
    assert not null, f"a null rebuild ran {dict(null)}"
    ours.edit()
    theirs.edit()
    peer_runs = theirs.peer()
    runs, _ = ours.cpods()
    print(f"{document.folder}/{document.main}: after a one-word edit {dict(runs)}, peer {dict(peer_runs)}")
    assert runs[document.engine] <= peer_runs[document.engine]
    assert ours.text() == theirs.text()


_OWN_CACHE = """% !TEX program = lualatex
\\documentclass{article}\\usepackage{fontspec}\\setmainfont{lmsans10-regular.otf}
\\begin{document}\\tableofcontents\\section{One}\\label{a}\\pageref{a} \\the\\fontdimen6\\font\\end{document}
"""


def test_a_user_who_may_write_nothing_but_the_project(tmp_path: Path) -> None:
    """Neither the installation's cache folders nor a home: the fonts are kept in the project's state folder."""
    feedback = []
    for name, wrapper in (("alone", ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind"]), ("free", [])):
        folder = tmp_path / name / "project"
        folder.mkdir(parents=True)
        report = folder.parent / "report.json"
        (folder / "a.tex").write_text(_OWN_CACHE)
        wrapped = [*wrapper, str(folder.parent), str(folder.parent), "--tmpfs", "/run", "--"] if wrapper else []
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": "0"}
        for runs in (2, 0):
            command = [*wrapped, str(Path(sys.executable).with_name("cpods")), "rebuild", "a.tex", "--report", str(report)]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            executions = json.loads(report.read_text())["executions"]
            assert [entry["tool"] for entry in executions if entry["kind"] == "run"] == ["lualatex"] * runs
        feedback.append([(folder / file).read_bytes() for file in ("a.aux", "a.toc")])
        assert (folder / ".cpods" / "tool-cache" / "luatex-cache").is_dir() == bool(wrapper)
    assert feedback[0] == feedback[1]
