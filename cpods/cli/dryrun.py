"""``cpods rebuild --dry-run``: what a build would run, what may run behind it; runs nothing.

Knows no staleness; see majordomo/staleness.py.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cpods.cli.desk import check_goals, looking, say_error
from cpods.errors import CpodsError

if TYPE_CHECKING:
    from cpods.cli.flags import Flags
    from cpods.graph.stale import Finding


async def run(flags: "Flags") -> int:
    """Prints the plan and writes the report; the exit code (0 also if something would run)."""
    from cpods.majordomo.context import Request
    from cpods.majordomo.report import bare_report
    from cpods.majordomo.staleness import examine
    from cpods.scheduler.core import Options
    from cpods.session import write_report

    started = time.monotonic()
    seed = os.path.abspath(flags.seed) if flags.seed not in ("", "warm", "clean") else flags.seed
    request = Request(Options(passes_max=flags.max_passes), seed=seed, force=flags.force)
    status, code, errors, findings = "done", 0, [], {}
    try:
        async with looking(flags.folder, flags.goals, request) as build:
            check_goals(build)
            findings = examine(build)
    except (CpodsError, OSError) as error:
        status, code = (error.status, error.exit_code) if isinstance(error, CpodsError) else ("failed", 1)
        errors = [str(error)]
    report = bare_report(status, code, time.monotonic() - started, errors, [], seed)
    report["steps"]["total"] = len(findings)
    report["steps"]["up_to_date"] = sum(finding.state == "current" for finding in findings.values())
    report["plan"] = plan(findings)
    if flags.json_lines:
        print(json.dumps({"event": "ended", **report}, ensure_ascii=False))
    else:
        _tell(findings, errors)
    if flags.report:
        try:
            write_report(flags.report, report)
        except OSError as error:
            say_error(f"{flags.report}: the report cannot be written ({error.strerror})")
            return code or 1
    return code


def plan(findings: "Mapping[str, Finding]") -> dict[str, Any]:
    """Names of steps by what would happen to them."""
    return {
        state: [name for name, finding in findings.items() if finding.state == state]
        for state in ("would_run", "may_run", "from_store", "failed", "lacking", "blocked")
    }


def _tell(findings: "Mapping[str, Finding]", errors: list[str]) -> None:
    from cpods.graph import explain

    for text in errors:
        say_error(text)
    words = {"would_run": "would run", "may_run": "may run", "from_store": "from the store"}
    for name, finding in findings.items():
        if finding.state in words:
            print(f"{words[finding.state]}: {name}")
        elif finding.state != "current":
            print(f"cannot run: {name}: {explain.now(finding)}", file=sys.stderr)
    if not errors and all(finding.state == "current" for finding in findings.values()):
        print("everything is up to date, nothing would run")
