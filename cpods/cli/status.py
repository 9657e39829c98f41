"""``cpods status``: goals, knots and who builds now, at a glance.

Knows no build; staleness and the last states of knots come from majordomo.
"""

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cpods.cli.desk import check_goals, looking, told

if TYPE_CHECKING:
    from cpods.graph.render import Group
    from cpods.graph.stale import Finding
    from cpods.majordomo.context import Build
    from cpods.model import Solution

_BEHIND_SHOWN = 3


def run(folder: str, goals: tuple[str, ...]) -> int:
    """Prints the state of goals and knots; 0 also if something is stale."""
    return told(lambda: _status(folder, goals))


async def _status(folder: str, goals: tuple[str, ...]) -> int:
    from cpods.majordomo.picture import picture
    from cpods.majordomo.staleness import examine

    async with looking(folder, goals) as build:
        check_goals(build, strict=True)
        findings = examine(build)
        drawn = picture(build, findings)
        holder = lock_holder(os.path.join(build.parts.state, "lock"))
        if holder:
            print(holder)
        for path, maker in drawn.goals:
            print(f"{path}: {_goal(build, path, maker, findings)}")
        for knot in drawn.knots:
            print(f"knot of {', '.join(knot.steps)}: {_knot(build, knot)}")
    return 0


def _goal(build: "Build", path: str, maker: str | None, findings: "Mapping[str, Finding]") -> str:
    from cpods.digest import ABSENT

    there = build.parts.folder.digest(path) != ABSENT
    if maker is None or maker not in findings:
        return "a source" if there else "not built yet"
    finding = findings[maker]
    if finding.state == "current":
        return "current" if there else "not built yet"
    if finding.state == "from_store":
        return f"to be taken from the store ({finding.text})" if finding.text else "to be taken from the store"
    if finding.state in ("failed", "lacking"):
        return f"cannot be built: {finding.text}"
    if finding.state == "blocked":
        return f"cannot be built: it needs {_few(finding.behind)}"
    if _is_unstable(build, maker):
        return "unstable: `cpods rebuild --until-stable` finishes"
    word = "stale" if there else "not built yet"
    return f"{word}: {maker} would run" if finding.state == "would_run" else f"{word}: it depends on {_few(finding.behind)}"


def _is_unstable(build: "Build", step: str) -> bool:
    return any(
        memory.unstable is not None and step in (*memory.unstable.members, *memory.unstable.order)
        for memory in build.parts.memory.knots.values()
    )


def _few(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _BEHIND_SHOWN} more" if len(names) > _BEHIND_SHOWN else ""
    return ", ".join(names[:_BEHIND_SHOWN]) + more


def _knot(build: "Build", knot: "Group") -> str:
    """How a knot ended: the proof that fits its present sources, else its last states."""
    from cpods.graph.order import pass_order
    from cpods.scheduler.conclusion import pass_limit

    members = [build.planned.steps[name] for name in knot.steps if name in build.planned.steps]
    first = min(members, key=lambda step: step.position).name
    if knot.verdict == "NOSTART":
        return "NOSTART: its steps wait for each other"
    memory = build.parts.memory.knots.get(first)
    if memory is not None and memory.unstable is not None:
        return f"unstable after pass {memory.unstable.passes}, not at rest yet"
    proven = build.lookup.solution(pass_order(members), build.scene.hidden(), False, pass_limit(members, None))
    if proven is not None and proven.verdict != "FIXED":
        return _ended(proven)
    if memory is not None and memory.good is not None:
        return _ended(memory.good)
    return _ended(proven) if proven is not None else "never built"


def _ended(solution: "Solution") -> str:
    passes = f"{solution.passes} pass{'es' if solution.passes != 1 else ''}"
    if solution.verdict == "FIXED":
        return f"FIXED, proven in {passes} from a {solution.seed} start"
    if solution.verdict == "PERIOD":
        return f"PERIOD {solution.period}: after {solution.tail} pass{'es' if solution.tail != 1 else ''} the same states come again"
    return f"{solution.verdict} after {passes}"


def lock_holder(path: str) -> str:
    """A sentence that names who builds the project now, '' if nobody does. Looks into /proc/locks and takes no lock."""
    try:
        inode = os.stat(path).st_ino
        with open("/proc/locks", encoding="ascii", errors="replace") as table:
            held = any("FLOCK" in line and f":{inode} " in line and "->" not in line for line in table)
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        return f"being built by process {found['pid']} on {found['host']} since {found['start']}" if held else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""
