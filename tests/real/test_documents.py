"""Real LaTeX documents, as Debian ships them: pages as latexmk's, never more engine runs, nothing for nothing."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
DOCUMENTS: list[dict[str, Any]] = json.loads((HERE / "documents.json").read_text())["documents"]
BUILDABLE = [document for document in DOCUMENTS if document["pages"] is not None]
EDITABLE = [document for document in BUILDABLE if document["latexmk_word_edit"] is not None]
ENVIRONMENT = {**os.environ, "SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"}

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]


@pytest.fixture(scope="session")
def library() -> Path:
    """The documents' sources; fetched once (about 300 MB) into a folder that git ignores."""
    folder = HERE / ".documents"
    if not (folder / "complete").exists():
        subprocess.run([str(HERE / "get_documents.sh"), str(folder)], check=True, timeout=1500)
        (folder / "complete").touch()
    return folder


def name_of(document: Mapping[str, Any]) -> str:
    return str(document["main"])


def copied(library: Path, document: Mapping[str, Any], to: Path) -> tuple[Path, str]:
    """A copy of the folder that the main file lies in, and the main file's name."""
    main = library / document["main"]
    shutil.copytree(main.parent, to)
    return to, main.name


class Built:
    """One call of cpods."""

    def __init__(self, folder: Path, main: str) -> None:
        report = folder.parent / "report.json"
        report.unlink(missing_ok=True)
        command = [str(Path(sys.executable).with_name("cpods")), "rebuild", main, "--report", str(report)]
        self.process = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=900)
        self.report = json.loads(report.read_text())
        self.tools = Counter(entry["tool"] for entry in self.report["executions"] if entry["kind"] == "run")


def latexmk(folder: Path, main: str, *options: str) -> Counter[str]:
    """Runs latexmk; how often it started each tool, by its own words."""
    command = ["latexmk", "-pdf", "-recorder", "-interaction=nonstopmode", *options, main]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, timeout=900)
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    return Counter(re.findall(r"^Run number \d+ of rule '(\w+)", text, re.MULTILINE))


def pages_of(pdf: Path) -> int:
    shown = subprocess.run(["pdfinfo", str(pdf)], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"^Pages:\s+(\d+)", shown, re.MULTILINE)[1])  # type: ignore[index]


def feedback(folder: Path) -> dict[str, bytes]:
    endings = (".aux", ".toc", ".lof", ".lot", ".out", ".bbl", ".ind", ".idx", ".bcf")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in endings}


def stops_short(library: Path, document: Mapping[str, Any], to: Path) -> bool:
    """Whether one more forced pass moves a feedback file after latexmk has said that all is up to date."""
    folder, main = copied(library, document, to)
    latexmk(folder, main)
    before = feedback(folder)
    subprocess.run(["pdflatex", "-interaction=nonstopmode", main], cwd=folder, env=ENVIRONMENT, capture_output=True, timeout=300)
    return feedback(folder) != before


def with_one_word_changed(text: str) -> str:
    """The source with its first prose word of six letters or more written backwards."""
    start = text.index("\\begin{document}") + len("\\begin{document}")
    blanked = re.sub(r"(?<!\\)%[^\n]*|\\[A-Za-z@]+\*?(?:\s*(?:\[[^\]]*\]|\{[^{}]*\}))*", lambda m: " " * len(m[0]), text[start:])
    word = re.search(r"(?<![\w\\{\[=@.:/-])[A-Za-z]{6,}(?=[ ,.;\n])", blanked)
    assert word is not None, "no prose word found"
    at = start + word.start()
    return text[:at] + word[0][::-1] + text[at + len(word[0]) :]


@pytest.mark.parametrize("document", BUILDABLE, ids=name_of)
def test_pages_and_runs(library: Path, tmp_path: Path, document: dict[str, Any]) -> None:
    folder, main = copied(library, document, tmp_path / "work")
    built = Built(folder, main)
    assert built.process.returncode == 0, built.process.stderr
    (goal,) = built.report["goals"]
    assert goal["pages"] == document["pages"] == pages_of(folder / goal["path"])
    (knot,) = built.report["knots"]
    assert knot["verdict"] == "FIXED"
    runs, bound = built.tools["pdflatex"], document["latexmk_cold"]["pdflatex"]
    if runs > bound:
        assert stops_short(library, document, tmp_path / "latexmk"), f"{runs} engine runs, latexmk needs {bound} and ends at rest"
        assert runs <= knot["tail"] + knot["period"]
        print(f"{main}: latexmk stops short of the fixed point; bound tail + period = {knot['tail'] + knot['period']} held with {runs}")
    else:
        print(f"{main}: {runs} engine runs, latexmk {bound}; helpers {dict(built.tools - Counter(pdflatex=runs))}")
    for tool in ("bibtex", "biber", "makeindex"):
        assert built.tools[tool] <= max(document["latexmk_cold"].get(tool, 0), 0 if tool != "makeindex" else 1)
    again = Built(folder, main)
    assert again.process.returncode == 0
    assert not again.tools, f"a null rebuild ran {dict(again.tools)}"


@pytest.mark.parametrize("document", EDITABLE, ids=name_of)
def test_one_word_edit_and_its_revert(library: Path, tmp_path: Path, document: dict[str, Any]) -> None:
    folder, main = copied(library, document, tmp_path / "work")
    peer, _ = copied(library, document, tmp_path / "peer")
    assert Built(folder, main).process.returncode == 0
    latexmk(peer, main)
    source = (folder / main).read_text(encoding="latin-1")
    for place in (folder, peer):
        (place / main).write_text(with_one_word_changed(source), encoding="latin-1")
    edited, latexmk_runs = Built(folder, main), latexmk(peer, main)
    assert edited.process.returncode == 0, edited.process.stderr
    print(f"{main}: after the edit cpods {dict(edited.tools)}, latexmk {dict(latexmk_runs)}")
    assert edited.tools.total() <= latexmk_runs.total()
    (folder / main).write_text(source, encoding="latin-1")
    reverted = Built(folder, main)
    assert reverted.process.returncode == 0
    assert not reverted.tools, f"reverting the edit ran {dict(reverted.tools)}"


def test_a_document_that_cannot_be_built(library: Path, tmp_path: Path) -> None:
    (document,) = [document for document in DOCUMENTS if document["main"].startswith("kluwer/")]
    folder, main = copied(library, document, tmp_path / "work")
    pdf = folder / main.replace(".tex", ".pdf")
    pdf.write_bytes(b"%PDF-1.4 the one from last week")
    built = Built(folder, main)
    assert built.process.returncode == 1
    assert built.report["status"] == "failed"
    assert "phvl8t" in built.process.stderr
    assert re.search(r"klups\.sty:\d+: ", built.process.stderr)
    assert pdf.read_bytes() == b"%PDF-1.4 the one from last week"
    assert (folder / ".cpods" / "last" / pdf.name).exists()
    assert ".cpods/last" in built.process.stderr
