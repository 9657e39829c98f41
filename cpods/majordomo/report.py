"""The report of a build: one JSON object, described by docs/report.schema.json.

Knows what happened, not how it is shown.
"""

from collections.abc import Container, Mapping
from typing import Any

import msgspec

from cpods.digest import ABSENT
from cpods.ids import FilePath
from cpods.majordomo.context import Build
from cpods.majordomo.publish import is_published
from cpods.majordomo.verdict import Ending
from cpods.model import Problem, Result, Solution
from cpods.orders import Execution
from cpods.store.summary import Shown, counted, goal_entry

VERSION = 1
_WARNINGS_SHOWN = 3
#: Warnings that only sum up others.
_SUMMARIES = ("There were undefined", "There were multiply-defined")


def full_report(build: Build, end: Ending, seconds: float, hashed: bool = True) -> dict[str, Any]:
    """The report of a build that came to an end of its own. ``hashed`` False: goals without SHA-256 and size, for who reads neither."""
    hows = build.core.hows
    return {
        "version": VERSION,
        "status": end.status,
        "exit_code": end.exit_code,
        "seconds": round(seconds, 3),
        "seed": _seed(build),
        "goals": _goals(build, hashed),
        "steps": {
            "total": len(hows),
            "ran": sum(1 for how in hows.values() if how == "ran"),
            "cached": sum(1 for how in hows.values() if how == "cached"),
            "up_to_date": sum(1 for how in hows.values() if how == "up_to_date"),
        },
        "executions": executions(build.account.executions),
        "knots": [
            knot(build, solution)
            for name, solution in build.core.solutions.items()
            if name in build.core.units.by_name and (solution.knot or solution.verdict not in ("FIXED", None))
        ],
        "errors": list(end.errors),
        "notes": [*build.account.notes, *end.notes],
        "bytes_moved": 0,
    }


def bare_report(status: str, exit_code: int, seconds: float, errors: list[str], ran: list[Execution], seed: str) -> dict[str, Any]:
    """The report of a build that could not begin, or was ended early."""
    return {
        "version": VERSION,
        "status": status,
        "exit_code": exit_code,
        "seconds": round(seconds, 3),
        "seed": seed or "warm",
        "goals": [],
        "steps": {"total": 0, "ran": 0, "cached": 0, "up_to_date": 0},
        "executions": executions(ran),
        "knots": [],
        "errors": errors,
        "notes": [],
        "bytes_moved": 0,
    }


def executions(ran: list[Execution]) -> list[dict[str, Any]]:
    """Every process that cpods itself started, in order."""
    return [
        {
            "step": entry.step,
            "chef": entry.chef,
            "tool": entry.tool,
            "argv": list(entry.argv),
            "kind": entry.kind,
            "pass": entry.pass_number,
            "pod": entry.pod,
            "seconds": entry.seconds,
            "exit_code": entry.exit_code,
        }
        for entry in ran
    ]


def knot(build: Build, solution: Solution) -> dict[str, Any]:
    """One knot's entry."""
    return {
        "steps": list(solution.order or solution.members),
        "order": list(solution.order or solution.members),
        "verdict": solution.verdict,
        "passes": solution.passes,
        "tail": solution.tail,
        "period": solution.period,
        "distinct_states": solution.distinct_states,
        "seed": solution.seed,
        "feedback": _feedback(build, solution),
        "moving": [msgspec.structs.asdict(moving) | {"values": list(moving.values)} for moving in solution.moving],
    }


def _feedback(build: Build, solution: Solution) -> list[dict[str, Any]]:
    import hashlib

    versions = {output.path: output.version for _, output in solution.outputs}
    found = []
    for path in solution.feedback:
        if path in versions and is_published(path):  # not a preamble's format: 18 MB
            digest = versions[path].digest
            try:
                sha = hashlib.sha256(build.parts.objects.read(digest)).hexdigest()
            except KeyError:
                sha = None
            found.append({"path": path, "digest": digest, "sha256": sha})
    return found


def _goals(build: Build, hashed: bool) -> list[dict[str, Any]]:
    makers: dict[str, str] = {}
    for name, step in build.planned.steps.items():
        for path in step.outputs:
            makers.setdefault(path, name)
    results = build.parts.memory.results
    made_by = {path: results[maker] for path, maker in makers.items() if maker in results}
    return [_goal(build, path, made_by.get(path), hashed) for path in build.planned.goals]


def _goal(build: Build, path: str, result: Result | None, hashed: bool) -> dict[str, Any]:
    digest = build.parts.folder.digest(path)
    return goal_entry(build.parts.folder.root, path, "" if digest == ABSENT else digest, _pages(result, path, digest), hashed)


def _pages(result: Result | None, path: str, digest: str) -> int | None:
    """Pages of what stands there: of the last run's file, not of one that a broken run could not replace."""
    if result is None or all((output.path, output.version.digest) != (path, digest) for output in result.outputs):
        return None
    return result.pages


def _seed(build: Build) -> str:
    seeds = set(build.seeds.values())
    return build.request.seed or (seeds.pop() if len(seeds) == 1 else "warm")


def goals_told(build: Build, report: Mapping[str, Any], named: bool) -> list[FilePath]:
    """The goals that are there and that a user is told of: all, if they were ``named``; else those that no other step reads.

    Of a circle everything, if another step reads all that it makes.
    """
    there = [goal["path"] for goal in report["goals"] if goal["digest"] is not None]
    if named:
        return there
    makers = {path: name for name, step in build.planned.steps.items() for path in step.outputs}
    circles = {name: unit for unit, solution in build.core.solutions.items() if solution.knot for name in solution.members}
    last = {path for path in there if not build.core.knowledge.is_read(path, makers[path])}
    ending = {None, *(circles.get(makers[path]) for path in last)}
    return [path for path in there if path in last or circles.get(makers[path]) not in ending]


def goal_lines(build: Build, report: Mapping[str, Any], only: Container[str]) -> list[Shown]:
    """What a user is told of each of these goals at a good end."""
    solutions = {output.path: solution for solution in build.core.solutions.values() for _, output in solution.outputs}
    found: list[Shown] = []
    for goal in report["goals"]:
        if goal["digest"] is not None and goal["path"] in only:
            pages = f", {counted(goal['pages'], 'page')}" if goal["pages"] is not None else ""
            solution = solutions.get(goal["path"])
            found.append((goal["path"], [f"{goal['path']}{pages}{_proof(solution)}", *_warnings(solution)]))
    return found


def _proof(solution: Solution | None) -> str:
    if solution is None or not solution.knot or solution.verdict != "FIXED":
        return ""
    return f": fixed point, proven in {counted(solution.passes, 'pass', 'passes')}"


def _warnings(solution: Solution | None) -> list[str]:
    """What the tools warn of at the fixed point, in one line: a document with ?? in it is done, but not finished."""
    if solution is None or solution.verdict != "FIXED":
        return []
    warned = [problem for _, result in solution.last for problem in result.problems if problem.severity == "warning"]
    texts = list(dict.fromkeys(_warning(problem) for problem in warned if not problem.message.startswith(_SUMMARIES)))
    if not texts:
        return []
    more = f"; … {len(texts) - _WARNINGS_SHOWN} more, see `cpods log`" if len(texts) > _WARNINGS_SHOWN else ""
    return [f"  {counted(len(texts), 'warning')}: {'; '.join(texts[:_WARNINGS_SHOWN])}{more}"]


def _warning(problem: Problem) -> str:
    place = f"{problem.file}:{problem.line}" if problem.file and problem.line else problem.file
    return f"{problem.message} ({place})" if place else problem.message
