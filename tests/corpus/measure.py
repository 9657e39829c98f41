"""Asks the oracle about the cases below ``ours/`` and writes each case's ``expected.json``.

Knows nothing of cpods. Call: ``python3 tests/corpus/measure.py [NAME...]`` (all cases without an expected.json if none is named).
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
KNOT_KEYS = ("steps", "verdict", "orbit", "tail", "period", "passes", "runs", "feedback", "errors")


def measure(case: Path, *options: str) -> dict[str, Any]:
    """The oracle's answer for a case. Raises CalledProcessError where the oracle gives up."""
    command = [sys.executable, str(HERE / "oracle.py"), str(case), *options]
    answer: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answer


def expected(case: Path) -> dict[str, Any]:
    """What is kept of the oracle's answers: the shape of visible/expected.json."""
    found = measure(case)
    keys = ("name", "verdict", "why", "tail", "period", "runs", "runs_by_step", "pages", "final", "max_engine_s", "wall_s")
    kept = {key: found[key] for key in keys if key in found}
    kept["knots"] = [{key: knot[key] for key in KNOT_KEYS if key in knot} for knot in found.get("knots", [])]
    if kept["verdict"] == "FIXED":
        feedback = {path for knot in kept["knots"] for path in knot.get("feedback", ())}
        kept["final_all"], kept["final"] = found["final"], {p: sha for p, sha in found["final"].items() if p in feedback}
    if (case / "alt_seed").is_dir():
        other = measure(case, "--seed", "alt_seed")
        kept["alternatives_measured"] = {"alt_seed": {key: other.get(key) for key in ("verdict", "tail", "period", "pages", "final")}}
    return kept


def main(names: list[str]) -> int:
    """Measures; the number of cases on which the oracle gave up."""
    folder, failed = HERE / "ours", 0
    cases = [folder / name for name in names] or [c for c in sorted(folder.iterdir()) if not (c / "expected.json").exists()]
    for case in cases:
        try:
            text = json.dumps(expected(case), indent=1, ensure_ascii=False) + "\n"
        except subprocess.CalledProcessError as error:
            failed += 1
            print(f"{case.name}: the oracle gave up: {error.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            continue
        (case / "expected.json").write_text(text, encoding="utf-8")
        print(f"{case.name}: {json.loads(text)['verdict']}", flush=True)
    return failed


if __name__ == "__main__":
    os.environ["PYTHONHASHSEED"] = "0"
    sys.exit(min(main(sys.argv[1:]), 100))
