"""ConTeXt's own documents: pages and text as its wrapper makes them, never more runs, nothing for nothing.

What the wrapper needs is measured here, not recorded. Some documents start ConTeXt for parts of themselves; runs of the
document itself are counted, which are named by its job.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

CONTENT: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "context.json").read_text())
SOURCES = Path("/usr/share/texmf/doc/context/sources/general/manuals")
ENVIRONMENT = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "FORCE_SOURCE_DATE": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"}

pytestmark = [pytest.mark.tex, pytest.mark.timeout(3600)]


def name_of(document: Mapping[str, Any]) -> str:
    return f"{document['folder']}/{document['main']}"


def copied(document: Mapping[str, Any], to: Path) -> Path:
    shutil.copytree(SOURCES / document["folder"], to)
    return to


def wrapper(folder: Path, main: str) -> int:
    """Builds with ConTeXt's wrapper; how often that ran the document."""
    done = subprocess.run(["context", "--nonstopmode", main], cwd=folder, env=ENVIRONMENT, capture_output=True, timeout=1800)
    assert done.returncode == 0, done.stdout[-2000:]
    return len(re.findall(rf'run luatex format\'.* --jobname="{re.escape(Path(main).stem)}" '.encode(), done.stdout))


class Built:
    """One call of cpods: its process, and how often it ran the document."""

    def __init__(self, folder: Path, main: str) -> None:
        report = folder.parent / "report.json"
        report.unlink(missing_ok=True)
        command = [str(Path(sys.executable).with_name("cpods")), "rebuild", main, "--report", str(report)]
        self.process = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=1800)
        self.runs = sum(entry["kind"] == "run" for entry in json.loads(report.read_text())["executions"])


def shown(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def pages(pdf: Path) -> int:
    return int(re.search(r"^Pages:\s+(\d+)", shown("pdfinfo", str(pdf)), re.MULTILINE)[1])  # type: ignore[index]


def text(pdf: Path) -> str:
    return shown("pdftotext", "-layout", str(pdf), "-")


def assert_same(one: Path, other: Path, main: str) -> int:
    pdf = Path(main).with_suffix(".pdf").name
    assert pages(one / pdf) == pages(other / pdf)
    assert text(one / pdf) == text(other / pdf)
    return pages(one / pdf)


def edit(folder: Path, change: list[str]) -> None:
    file, old, new = change
    before = (folder / file).read_text(encoding="utf-8")
    assert before.count(old) == 1
    (folder / file).write_text(before.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("document", CONTENT["documents"], ids=name_of)
def test_a_document(document: dict[str, Any], tmp_path: Path) -> None:
    main = document["main"]
    theirs, ours = copied(document, tmp_path / "theirs" / "doc"), copied(document, tmp_path / "ours" / "doc")
    wanted, built = wrapper(theirs, main), Built(ours, main)
    assert built.process.returncode == 0, built.process.stderr
    count = assert_same(ours, theirs, main)
    null = Built(ours, main)
    line = f"{name_of(document)}: {count} pages; runs: wrapper {wanted}, cpods {built.runs}; null {null.runs}"
    assert built.runs <= wanted
    assert null.runs == 0
    if document["edit"]:
        edit(theirs, document["edit"])
        edit(ours, document["edit"])
        again, changed = wrapper(theirs, main), Built(ours, main)
        line += f"; after a one-word edit: wrapper {again}, cpods {changed.runs}"
        assert_same(ours, theirs, main)
        assert changed.runs <= again
    print(line)


@pytest.mark.parametrize("document", CONTENT["errors"], ids=name_of)
def test_a_document_that_does_not_build(document: dict[str, Any], tmp_path: Path) -> None:
    folder = copied(document, tmp_path / "doc")
    old = folder / Path(document["main"]).with_suffix(".pdf").name
    old.write_bytes(b"%PDF-1.4 from before")
    built = Built(folder, document["main"])
    assert built.process.returncode == 1
    found = [line for line in built.process.stderr.splitlines() if line.startswith(f"cpods: {document['file']}")]
    assert len(found) == 1, built.process.stderr
    assert document["message"] in found[0]
    assert old.read_bytes() == b"%PDF-1.4 from before"


def test_a_mistake_later_keeps_the_good_pdf(tmp_path: Path) -> None:
    folder = copied({"folder": "templates"}, tmp_path / "doc")
    assert Built(folder, "templates-mkiv.tex").process.returncode == 0
    good = (folder / "templates-mkiv.pdf").read_bytes()
    edit(folder, ["templates-mkiv.tex", "First of all, using", "First of all, \\nosuchcommand using"])
    built = Built(folder, "templates-mkiv.tex")
    assert built.process.returncode == 1
    assert "Undefined control sequence \\nosuchcommand" in built.process.stderr
    assert (folder / "templates-mkiv.pdf").read_bytes() == good


def test_verify_looks_past_the_time_of_the_run(tmp_path: Path) -> None:
    """ConTeXt writes the clock's time into its PDF, whatever date it is told: pages, text and all else are compared."""
    (tmp_path / "cpods.toml").write_text('[project]\nuntil_stable = true\n[[step]]\nchef = "context"\nmain = "a.tex"\n')
    (tmp_path / "a.tex").write_text(
        "\\setupinteraction[state=start]\n\\starttext\n\\completecontent\n\\chapter{One}\\index{x}\\input ward\n"
        "\\startMPcode draw (0,0)--(uniformdeviate 99,9); \\stopMPcode\n\\completeindex\n\\stoptext\n"
    )
    program = str(Path(sys.executable).with_name("cpods"))
    for command in ("rebuild", "verify"):
        done = subprocess.run([program, command], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    assert "verified 1 knot" in done.stdout
    (tmp_path / "a.tex").write_text("\\starttext\n\\ctxlua{context(os.clock() .. tostring({}))}\n\\stoptext\n")
    for command, code in (("rebuild", 0), ("verify", 1)):
        done = subprocess.run([program, command], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stderr
    assert "is not deterministic" in done.stderr
