"""The demo: the document that `make demo` builds, and nothing to do the second time."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("cpods.toml", "book.tex", "book.bib", "orbit.py", "coverage.py")


def rebuild(folder: Path) -> dict[str, Any]:
    report = folder.parent / "report.json"
    command = [str(Path(sys.executable).with_name("cpods")), "rebuild", "--until-stable", "-C", str(folder), "--report", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SOURCE_DATE_EPOCH": "0"}, timeout=110)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("demo") / "book"
    folder.mkdir()
    for name in SOURCES:
        shutil.copy(ROOT / "examples" / "book" / name, folder)
    return folder, rebuild(folder)


def test_the_book_comes_to_rest(built: tuple[Path, dict[str, Any]]) -> None:
    _, report = built
    (knot,) = report["knots"]
    assert knot["verdict"] == "FIXED"
    assert knot["passes"] == knot["tail"] + knot["period"]
    assert {"latex:book.tex", "bibtex:book", "makeindex:book", "coverage"} == set(knot["steps"])


def test_it_has_all_that_a_book_has(built: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = built
    text = subprocess.run(["pdftotext", "-layout", str(folder / "book.pdf"), "-"], capture_output=True, text=True, check=True).stdout
    for word in ("Contents", "References", "Index", "Figure", "Table"):
        assert word in text
    assert "??" not in text and "[?]" not in text


def test_nothing_runs_the_second_time(built: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = built
    assert rebuild(folder)["executions"] == []
