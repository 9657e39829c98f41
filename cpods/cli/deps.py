"""``cpods deps``: what a document, or any step, read, looked for and wrote, as its last build found out.

Knows no build and runs nothing; see majordomo/dependencies.py and graph/dependencies.py.
"""

from typing import TYPE_CHECKING

from cpods.cli.desk import looking, say_error, told
from cpods.cli.why import bare_goal, steps_named
from cpods.errors import UsageError
from cpods.ids import normalise

if TYPE_CHECKING:
    from cpods.graph.dependencies import Dependencies

FORMATS = ("text", "make", "json", "dot")


def run(folder: str, goal: str, form: str) -> int:
    """Prints a goal's dependencies on stdout, nothing else there; the exit code."""
    return told(lambda: _deps(folder, goal, form))


async def _deps(folder: str, goal: str, form: str) -> int:
    if form not in FORMATS:
        raise UsageError(f"--format {form}: expected one of {', '.join(FORMATS)}")
    from cpods.graph.dependencies import as_dot, as_json, as_text
    from cpods.majordomo.dependencies import Gathering

    async with looking(folder, bare_goal(folder, goal), every=True) as build:
        gathering = Gathering(build)
        steps = steps_named(build, goal, list(gathering.steps))
        if not steps:
            raise UsageError(f"{goal} is a source, no step makes it; `cpods why {goal}` says who reads it")
        found = gathering.of(goal if goal in gathering.steps else normalise(goal), steps[0])
    print({"text": as_text, "make": _depfile, "json": as_json, "dot": as_dot}[form](found), end="")
    return 0


def _depfile(found: "Dependencies") -> str:
    from cpods.graph.dependencies import as_depfile, unnameable

    bad = [path for path in found.targets if "%" in path or path in unnameable(found.targets)]
    if bad or not found.targets:
        raise UsageError(f"{bad[0] if bad else found.goal}: GNU make cannot name this as a target; take another --format")
    for path in unnameable(found.sources):
        say_error(f"{path} is left out: GNU make cannot name a file like this")
    return as_depfile(found)
