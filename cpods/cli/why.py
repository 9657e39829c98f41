"""``cpods why``: why a step ran or not in the last build, and what would run now.

Knows no graph; sentences are graph/explain.py's.
"""

import os
from typing import TYPE_CHECKING

from cpods.cli.desk import known_names, looking, told, unknown

if TYPE_CHECKING:
    from cpods.majordomo.context import Build


def run(folder: str, name: str) -> int:
    """Prints one paragraph a step; the exit code."""
    return told(lambda: _why(folder, name))


async def _why(folder: str, name: str) -> int:
    from cpods.graph import explain
    from cpods.majordomo.staleness import examine

    async with looking(folder, bare_goal(folder, name), every=True) as build:
        findings = examine(build)
        steps = steps_named(build, name, list(findings))
        if not steps:
            print(_about_source(build, name, list(findings)))
            return 0
        for step in steps:
            said = (_last(build, step), explain.now(findings[step]), "" if findings[step].state == "lacking" else _knotted(build, step))
            print(" ".join(filter(None, said)))
    return 0


def bare_goal(folder: str, name: str) -> tuple[str, ...]:
    """The name as a goal where there is no project file, so that it leads to its document; else everything is looked at."""
    from cpods.project import PROJECT_FILE

    return () if os.path.exists(os.path.join(folder, PROJECT_FILE)) else (name,)


def steps_named(build: "Build", name: str, known: list[str]) -> list[str]:
    """The steps that a name means: a step or helper itself, the maker of a path, the document of a main file.

    None for a source file. Raises UsageError for what is no name here.
    """
    from cpods.ids import normalise
    from cpods.majordomo.picture import makers

    if name in known:
        return [name]
    path = normalise(name)
    maker = makers(build).get(path)
    if maker is not None and maker in known:
        return [maker]
    mains = [step.name for step in build.planned.steps.values() if step.main == path and step.name in known]
    if mains:
        return mains
    if build.parts.folder.digest(path) == "absent":
        raise unknown(name, known_names(build))
    return []


def _knotted(build: "Build", step: str) -> str:
    """The sentence on the circle that makes a step part of a knot; '' if it is no part of one."""
    from cpods.graph import explain
    from cpods.majordomo.picture import picture

    drawn = picture(build)
    members = next((knot.steps for knot in drawn.knots if step in knot.steps), ())
    if not members:
        return ""
    from cpods.graph.shortest import shortest_circle

    return explain.knotted(shortest_circle(step, members, drawn.edges))


def _is_among(build: "Build", step: str, names: list[str]) -> bool:
    """Whether a step, or the one that asked for it, is among these."""
    results = build.parts.memory.results
    return step in names or any(name in results and any(helper.name == step for helper in results[name].helpers) for name in names)


def _about_source(build: "Build", name: str, known: list[str]) -> str:
    from cpods.ids import normalise
    from cpods.majordomo.picture import readers_of

    readers = readers_of(build, normalise(name), known)
    return f"{name} is a source: no step makes it. " + (f"Read by {', '.join(readers)}." if readers else "No step is known to read it.")


def _last(build: "Build", step: str) -> str:
    """The sentence on the last build, as it was written down then."""
    import msgspec

    from cpods.aftercare import SLICE_FACT, WHY_FACT
    from cpods.graph import explain
    from cpods.majordomo.account import Reason
    from cpods.majordomo.staleness import as_change
    from cpods.store import mended

    brought_back = mended.noted(build.parts.state)
    if brought_back and _is_among(build, step, list(brought_back)):
        return explain.before(step, brought_back.get(step, "up_to_date"), (), (), "")
    said = build.parts.memory.facts.get(WHY_FACT + step)
    looked_at = build.parts.memory.facts.get(SLICE_FACT)
    if said is not None and looked_at and not _is_among(build, step, looked_at.split("\n")):
        return explain.before(step, "up_to_date", (), (), "")
    if said is None:
        return f"{step} was not part of the last build."
    reason = msgspec.json.decode(said.encode(), type=Reason)
    changes, unseen = map(as_change, reason.changes), map(as_change, reason.insignificant)
    return explain.before(step, reason.how, tuple(changes), tuple(unseen), reason.text)
