"""Asks texoracle.py about the cases below ``tex/`` and writes each case's ``expected.json``.

Knows nothing of cpods. Call: ``python3 tests/corpus/measuretex.py [NAME...]`` (all cases without an expected.json if none is named;
``--draft`` measures once and writes nothing).
"""

import json
import sys
from pathlib import Path
from typing import Any

import texoracle

HERE = Path(__file__).resolve().parent
KNOT_KEYS = ("steps", "verdict", "orbit", "tail", "period", "passes", "runs", "feedback", "errors")


def expected(case: Path) -> dict[str, Any]:
    """What is kept of the oracle's answer. Raises AssertionError where a tool is not deterministic."""
    found = texoracle.answer(case)
    for knot in found.get("knots", []):
        for key in set(knot) - set(KNOT_KEYS):
            del knot[key]
    return found


def main(names: list[str]) -> int:
    """Measures; the number of cases on which the oracle gave up."""
    folder, failed = HERE / "tex", 0
    draft = "--draft" in names
    names = [name for name in names if name != "--draft"]
    cases = [folder / name for name in names] or [c for c in sorted(folder.iterdir()) if not (c / "expected.json").exists()]
    for case in cases:
        try:
            found = texoracle.answer(case) if draft else expected(case)
        except (AssertionError, KeyError) as error:
            failed += 1
            print(f"{case.name}: the oracle gave up: {error!r}", file=sys.stderr)
            continue
        if not draft:
            (case / "expected.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        errors = [knot["errors"] for knot in found.get("knots", ()) if knot.get("errors")]
        way = f"tail {found['tail']} period {found['period']}"
        print(case.name, found["verdict"], way, found["runs_by_step"], found.get("edit_runs", ""), errors, flush=True)
    return min(failed, 100)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
