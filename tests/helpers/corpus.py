"""Builds a corpus case in an empty folder with the real CLI and says where the outcome differs from the oracle's.

Knows the oracle's numbers (expected.json) and the report; nothing of how cpods finds its verdict.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
NO_INPUTS = shutil.ignore_patterns("case.toml", "expected.json", "alt_seed*")
EXIT_CODES = {"FIXED": 0, "FAILED": 1, "NOSTART": 2, "PERIOD": 3, "DIVERGES": 4}
ENGINES = {"pdflatex", "lualatex", "xelatex"}
TEX_TOOLS = ("pdflatex", "lualatex", "xelatex", "bibtex", "biber", "makeindex", "makeglossaries", "kpsewhich")
ENVIRONMENT = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
#: What the console script of the package does; it need not be in PATH.
_CPODS = "import sys; from cpods.cli import main; sys.exit(main())"
#: Notes itself (once, not what it starts in turn), then becomes the real tool.
_WRAPPER = """#!/bin/sh
if [ -z "$CORPUS_NESTED" ]; then echo "{name}" >> {log}; fi
CORPUS_NESTED=1; export CORPUS_NESTED
exec {real} "$@"
"""


@dataclass(frozen=True)
class Case:
    """One case: its folder, and what the oracle found."""

    folder: Path
    expected: dict[str, Any]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name


def visible() -> list[Case]:
    """The cases handed to us, with their common expected.json."""
    folder = CORPUS / "visible"
    return [Case(folder / entry["name"], entry) for entry in json.loads((folder / "expected.json").read_text(encoding="utf-8"))]


def ours() -> list[Case]:
    """Our own cases, each with an expected.json that measure.py wrote.

    Where the oracle's model is too coarse for a case, a table ``[corrected]`` in its case.toml says what holds, and why.
    """
    return [read_case(file) for file in sorted((CORPUS / "ours").glob("*/expected.json"))]


def read_case(file: Path) -> Case:
    """The case whose measured expected.json is ``file``, corrected by its case.toml."""
    about = tomllib.loads((file.parent / "case.toml").read_text(encoding="utf-8"))
    measured: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    corrected: dict[str, Any] = about.get("corrected", {})
    return Case(file.parent, measured | corrected)


@dataclass(frozen=True)
class Built:
    """One call of ``cpods rebuild``: its exit code, its report, the tools that really started, what it printed."""

    exit_code: int
    report: dict[str, Any]
    started: Counter[str]
    output: str


class Site:
    """A copy of a case in a folder of its own, with wrappers first in PATH that write down every tool that starts."""

    def __init__(self, case: Case, place: Path, tools: Iterable[str] = TEX_TOOLS) -> None:
        self.case = case
        self.root = place / "p"
        self._bin, self._log, self._report = place / "bin", place / "tools.log", place / "report.json"
        shutil.copytree(case.folder, self.root, ignore=NO_INPUTS)
        self._bin.mkdir()
        for tool in {"sh", "python3", *tools, *self._first_words()}:
            self._wrap(tool)

    def _first_words(self) -> set[str]:
        text = (self.case.folder / "cpods.toml").read_text(encoding="utf-8")
        return {word for line in re.findall(r'^run = "(.*)"$', text, re.M) if re.fullmatch(r"[\w.-]+", word := line.split()[0])}

    def _wrap(self, tool: str) -> None:
        real = shutil.which(tool)
        if real is None:
            return
        script = self._bin / tool
        script.write_text(_WRAPPER.format(name=tool, log=shlex.quote(str(self._log)), real=shlex.quote(real)), encoding="utf-8")
        script.chmod(0o755)

    def rebuild(self, *options: str) -> Built:
        """``cpods rebuild --until-stable OPTIONS``."""
        self._log.write_text("", encoding="utf-8")
        self._report.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-c", _CPODS, "rebuild", "--until-stable", "--report", str(self._report), *options]
        search = f"{self._bin}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**os.environ, **ENVIRONMENT, "PATH": search},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        report = json.loads(self._report.read_text(encoding="utf-8")) if self._report.exists() else {}
        return Built(done.returncode, report, Counter(self._log.read_text(encoding="utf-8").split()), done.stdout + done.stderr)


def runs_by_kind(built: Built) -> dict[str, int]:
    """Runs in the oracle's classes: ``latex`` is an engine, ``shell`` a started shell step, others by their name."""
    counts: Counter[str] = Counter()
    for entry in built.report["executions"]:
        if entry["kind"] == "run":
            counts["latex" if entry["tool"] in ENGINES else "shell" if entry["chef"] == "shell" else entry["tool"]] += 1
    return dict(counts)


def pages(pdf: Path) -> int:
    """Pages of a PDF, by pdfinfo."""
    text = subprocess.run(["pdfinfo", str(pdf)], check=True, capture_output=True, text=True, errors="replace").stdout
    found = re.search(r"^Pages:\s*(\d+)", text, re.M)
    return int(found.group(1)) if found else 0


def verdict(built: Built) -> str:
    """The worst verdict, by the exit code and the report together."""
    return next((name for name, code in EXIT_CODES.items() if code == built.exit_code), f"exit {built.exit_code}")


def disagreements(site: Site, built: Built) -> list[str]:
    """Where a clean build differs from what the oracle says of the case; empty if nowhere."""
    expected = site.case.expected
    wrong = _verdict_differs(expected, built)
    if expected["verdict"] not in ("DIVERGES",):
        wrong += _more_runs(expected["runs"], runs_by_kind(built))
    wrong += _reported_differs(built)
    wrong += _knots_differ(expected, built)
    if expected["verdict"] == "FIXED":
        wrong += _files_differ(site)
    return wrong


def _verdict_differs(expected: dict[str, Any], built: Built) -> list[str]:
    wanted = expected["verdict"]
    if wanted == "ERROR":
        never = not expected.get("knots")  # no tool failed: every step that is left waits for what nobody can make
        wanted = "NOSTART" if never else "FAILED"
    got = verdict(built)
    return [] if got == wanted else [f"verdict: {got} instead of {wanted}: {built.output.strip()[-300:]}"]


def _more_runs(allowed: dict[str, int], ran: dict[str, int]) -> list[str]:
    """Kinds that the oracle does not list were not counted by it (beside a circle that cannot start)."""
    return [f"runs: {kind} {ran[kind]} times, {count} suffice" for kind, count in allowed.items() if ran.get(kind, 0) > count]


def _reported_differs(built: Built) -> list[str]:
    """Every tool that started is in the report, and the other way round."""
    reported = Counter(entry["tool"] for entry in built.report["executions"])
    return [] if reported == built.started else [f"started {dict(built.started)}, but reported {dict(reported)}"]


def _knots_differ(expected: dict[str, Any], built: Built) -> list[str]:
    wrong = []
    declared = {frozenset(knot["steps"]): knot for knot in built.report.get("knots", [])}
    for knot in expected.get("knots", []):
        got = declared.get(frozenset(knot["steps"]))
        if got is None:
            if knot["verdict"] != "ERROR" and expected["verdict"] == "FIXED":
                wrong.append(f"knot {knot['steps']} is not reported; there are {[sorted(names) for names in declared]}")
            continue
        if knot["verdict"] == "DIVERGES" or knot["period"] is None or (got["verdict"] == "FAILED" and got["period"] is None):
            continue
        wrong += _way_differs(knot, got)
    return wrong


def _way_differs(knot: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """The period is a fact; the tail too for a step alone, while another order inside a pass may shorten that of several.

    The oracle always adds a confirming pass, so ours may be fewer. A knot stopped by a fatal error has no tail.
    """
    wrong = [f"period {got['period']} instead of {knot['period']}"] if got["period"] != knot["period"] else []
    several = sum(1 for name in knot["steps"] if ":" not in name or name.startswith("latex:")) > 1
    if got["tail"] > knot["tail"] or (got["tail"] < knot["tail"] and not several):
        wrong.append(f"tail {got['tail']} instead of {knot['tail']}")
    if got["passes"] > knot["passes"]:
        wrong.append(f"{got['passes']} passes, {knot['passes']} suffice")
    return [f"knot {knot['steps']}: {text}" for text in wrong]


def _files_differ(site: Site) -> list[str]:
    wrong = []
    for main, count in site.case.expected.get("pages", {}).items():
        pdf = site.root / (os.path.splitext(os.path.basename(main))[0] + ".pdf")
        got = pages(pdf) if pdf.exists() else None
        if got != count:
            wrong.append(f"{pdf.name}: {got} pages instead of {count}")
    return wrong + file_disagreements(site.root, site.case.expected)


def file_disagreements(root: Path, expected: dict[str, Any]) -> list[str]:
    """Feedback files that are not byte for byte those of the oracle's fixed point."""
    wrong = []
    for path, sha in expected.get("final", {}).items():
        file = root / path
        got_sha = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "absent"
        if got_sha != sha:
            wrong.append(f"{path}: {got_sha[:12]} instead of {sha[:12]}")
    return wrong


def null_disagreements(site: Site, first: Built) -> list[str]:
    """What is wrong with the rebuilds after: no tool starts (only crashed ones and failed shell steps, once more), and the answer stays."""
    wrong = []
    for options in ((), ("--seed", "clean")):
        again = site.rebuild(*options)
        allowed = _runs_to_repeat(first)
        if sum(again.started.values()) > allowed:
            wrong.append(f"rebuild {' '.join(options)}: started {dict(again.started)}; at most {allowed} may run again")
        if again.exit_code != first.exit_code:
            wrong.append(f"rebuild {' '.join(options)}: exit {again.exit_code} instead of {first.exit_code}: {again.output.strip()[-300:]}")
    return wrong


def _runs_to_repeat(built: Built) -> int:
    """Shell steps that failed, and tools that crashed (pdfTeX aborts over its own PDF while its searches are traced): once more each."""
    failed = (e for e in built.report["executions"] if e["exit_code"])
    return len({e["step"] for e in failed if e["chef"] == "shell" or e["exit_code"] < 0})
