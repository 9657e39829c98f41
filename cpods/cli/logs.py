"""``cpods log``: what a step's last run said.

Knows no run; the log lies in the state folder.
"""

import os
import posixpath
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cpods.cli.desk import known_names, looking, told
from cpods.cli.why import bare_goal, steps_named
from cpods.errors import UsageError

if TYPE_CHECKING:
    from cpods.majordomo.context import Build

_NOISE = b"kdebug:"


def run(folder: str, name: str) -> int:
    """Prints a step's log without kpathsea's trace; the exit code."""
    return told(lambda: _log(folder, name))


async def _log(folder: str, name: str) -> int:
    from cpods.majordomo.context import log_name
    from cpods.majordomo.picture import helpers

    async with looking(folder, bare_goal(folder, name), every=True) as build:
        known = [*build.planned.steps, *(helper.name for step in build.planned.steps for helper in helpers(build, step))]
        steps = steps_named(build, name, known)
        if not steps:
            raise UsageError(f"{name} is a source, no step makes it; name one of {', '.join(known_names(build)[:5])}")
        path = os.path.join(build.parts.state, "log", log_name(steps[0]))
        if os.path.isfile(path):
            with open(path, "rb") as file:
                for line in readable(file.read()):
                    print(line)
        elif steps[0] in build.parts.memory.results:
            print(f"cpods: {steps[0]} said nothing when it ran, or its result came from the store", file=sys.stderr)
        else:
            raise UsageError(f"{steps[0]} has no log here: it has not run in this folder")
        pointer = _engine_log(build, steps[0])
    if pointer:
        print(f"cpods: the engine's own log is {pointer}", file=sys.stderr)
    return 0


def readable(data: bytes) -> Iterator[str]:
    """The lines of a log without the search trace; what is no UTF-8 is shown by replacement characters."""
    for line in data.split(b"\n")[: -1 if data.endswith(b"\n") else None]:
        if not line.startswith(_NOISE):
            yield line.decode("utf-8", "replace")


def _engine_log(build: "Build", step: str) -> str:
    """Where an engine's .log lies: what the last unpublished attempt left, else beside the document; '' for other steps."""
    declared = build.planned.steps.get(step)
    if declared is None or not declared.jobname:
        return ""
    path = posixpath.normpath(posixpath.join(declared.cwd, declared.jobname + ".log"))
    beside, last = os.path.join(build.parts.folder.root, path), os.path.join(build.parts.state, "last", path)
    there = [place for place in (beside, last) if os.path.isfile(place)]
    return max(there, key=os.path.getmtime) if there else ""
