"""Builds a case of all of TeX with the real CLI and says where the outcome differs from what texoracle.py found.

Knows the oracle's numbers (expected.json) and the report; nothing of how cpods finds its verdict.
"""

import os
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from tests.helpers.corpus import CORPUS, Built, Case, Site, file_disagreements, pages, read_case, verdict

FOLDER = CORPUS / "tex"
TOOLS = (
    *("pdflatex", "xelatex", "lualatex", "latex", "tex", "etex", "pdftex", "luatex", "xetex", "context", "mpost"),
    *("dvips", "dvipdfmx", "ps2pdf", "bibtex", "biber", "makeindex", "makeglossaries", "bib2gls", "splitindex", "texindex"),
    *("gnuplot", "asy", "pythontex", "rsvg-convert", "tr", "printf"),
)
WANTED = {"FIXED": "FIXED", "PERIOD": "PERIOD", "DIVERGES": "DIVERGES", "ERROR": "FAILED"}


def cases() -> list[Case]:
    """All measured cases below tests/corpus/tex."""
    return [read_case(file) for file in sorted(FOLDER.glob("*/expected.json"))]


def site(case: Case, place: Path) -> Site:
    """A copy of the case in ``place``, every tool of TeX watched."""
    return Site(case, place, TOOLS)


def runs_by_tool(built: Built) -> dict[str, int]:
    """Runs in the oracle's classes: a declared program is ``shell``, a picture's run ``ENGINE (figure)``, others by their name."""
    counts: Counter[str] = Counter()
    for entry in built.report.get("executions", []):
        if entry["kind"] == "run":
            counts[_tool(entry)] += 1
    return dict(sorted(counts.items()))


def _tool(entry: dict[str, Any]) -> str:
    if entry["chef"] == "shell":
        return "shell"
    name = os.path.basename(entry["tool"])
    return name + " (figure)" if _is_figure(entry) else name


def _is_figure(entry: dict[str, Any]) -> bool:
    return any("tikzexternalrealjob" in word for word in entry["argv"])


def build_disagreements(at: Site, built: Built) -> list[str]:
    """Where a clean build differs from what the oracle says; empty if nowhere."""
    expected = at.case.expected
    got, wanted = verdict(built), WANTED[expected["verdict"]]
    wrong = [] if got == wanted else [f"verdict: {got} instead of {wanted}: {built.output.strip()[-300:]}"]
    if expected["verdict"] != "DIVERGES":
        wrong += run_disagreements(expected["runs"], built)
    wrong += _start_disagreements(built)
    for knot in expected["knots"]:
        wrong += _knot_disagreements(knot, built)
    if expected["verdict"] == "FIXED":
        wrong += file_disagreements(at.root, expected) + _page_disagreements(at)
    return wrong


def run_disagreements(wanted: dict[str, int], built: Built) -> list[str]:
    """As many runs of each tool as the oracle needs, no more and no fewer."""
    ran = runs_by_tool(built)
    needed = {tool: count for tool, count in sorted(wanted.items()) if count}
    return [] if ran == needed else [f"runs: {ran} instead of {needed}"]


def _start_disagreements(built: Built) -> list[str]:
    """Every tool that really started is reported, and the other way round; one that a shell starts in its turn counts as the shell."""
    reported = Counter(os.path.basename(entry["tool"]) for entry in built.report.get("executions", []) if entry["kind"] == "run")
    by_shell = built.started - reported
    same = built.started.total() == reported.total() and set(by_shell) <= {"sh"}
    return [] if same else [f"started {dict(built.started)}, but reported {dict(reported)}"]


def _declared(names: list[str]) -> set[str]:
    """The documents and programs among a knot's steps: how helpers are named is nobody's promise."""
    return {name for name in names if ":" not in name or name.partition(":")[0] in ("latex", "tex", "context", "metapost")}


def _knot_disagreements(knot: dict[str, Any], built: Built) -> list[str]:
    if knot["verdict"] == "DIVERGES" or knot["period"] is None or "feedback" not in knot:
        return []
    declared = _declared(knot["steps"])
    got = next((found for found in built.report.get("knots", []) if _declared(found["steps"]) == declared), None)
    if got is None:
        return [f"knot {sorted(declared)} is not reported; there are {[found['steps'] for found in built.report.get('knots', [])]}"]
    wrong = [f"knot {sorted(declared)}: {key} {got[key]} instead of {knot[key]}" for key in ("tail", "period") if got[key] != knot[key]]
    if got["passes"] > knot["passes"]:
        wrong.append(f"knot {sorted(declared)}: {got['passes']} passes, {knot['passes']} suffice")
    return wrong


def _page_disagreements(at: Site) -> list[str]:
    wrong = []
    steps = tomllib.loads((at.root / "cpods.toml").read_text(encoding="utf-8"))["step"]
    for step in steps:
        count = at.case.expected["pages"].get(f"{step.get('chef')}:{step.get('main')}")
        if count is None or step.get("output", "pdf") != "pdf":
            continue
        pdf = at.root / step.get("cwd", ".") / ((step.get("jobname") or Path(step["main"]).stem) + ".pdf")
        got = pages(pdf) if pdf.exists() else None
        if got != count:
            wrong.append(f"{pdf.name}: {got} pages instead of {count}")
    return wrong


def edit(at: Site) -> None:
    """Applies the case's ``[edit]``."""
    about = tomllib.loads((at.case.folder / "case.toml").read_text(encoding="utf-8"))["edit"]
    file = at.root / about["file"]
    text = file.read_text(encoding="utf-8")
    assert about["old"] in text
    file.write_text(text.replace(about["old"], about["new"]), encoding="utf-8")
