"""One call of cpods on a project, from the project file to the ending: what the commands of the CLI share.

Knows no terminal; the listener hears what happens.
"""

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from cpods import __version__, crash
from cpods.chefs.registry import chefs
from cpods.declaration import Project, StoreSettings
from cpods.errors import CpodsError, Interrupted
from cpods.loader import load
from cpods.majordomo.account import Account, Listener, Reason
from cpods.majordomo.context import Build, Choice, Parts, Request
from cpods.majordomo.drive import MajorDomo
from cpods.majordomo.ground import ground_of
from cpods.majordomo.planning import Planned, check_clashes, plan, planned_fact
from cpods.majordomo.report import bare_report, full_report, outcome_lines
from cpods.majordomo.verdict import Ending, ending
from cpods.model import Step
from cpods.ports import Changes, Memory
from cpods.project import PROJECT_FILE
from cpods.store import glance
from cpods.store.collect import collect
from cpods.store.glance import environment_digest
from cpods.store.journal import Journal
from cpods.wiring import POD, Places, Site, locked, places

if TYPE_CHECKING:
    from cpods.federated import Far

#: Under this name and a step's, why it ran or did not is remembered for `cpods why`.
WHY_FACT = "why:"


#: Under this name and a digest it is remembered that the own store is to keep an artefact for good (`cpods artefact pin`).
PIN_FACT = "pin:"

#: A federation may be named here as well as in the project file and by the call.
FEDERATION_VARIABLE = "CPODS_FEDERATION"


class Call(msgspec.Struct, frozen=True):
    """What the user said: folder, goals, request; ``until_stable`` None: as the project says.

    ``glance``: the name under which a null-build check may answer for this call; '' for never. ``federation``: what the
    user said of one.
    """

    root: str
    goals: tuple[str, ...]
    request: Request
    until_stable: bool | None = None
    wait: bool = True
    glance: str = ""
    federation: Choice = Choice()


class Done(msgspec.Struct):
    """A finished call: its report, its ending, and (if it came that far) the build."""

    report: dict[str, Any]
    ending: Ending
    build: Build | None = None
    project: Project | None = None


async def rebuild(call: Call, environment: Mapping[str, str], listener: Listener, on_wait: Callable[[str], None]) -> Done:
    """Builds. Never raises an Exception: each becomes the ending, and the report says so. So does being cancelled."""
    started = time.monotonic()
    account = Account(listener)
    try:
        project, goals = load(call.root, call.goals)
        where = places(call.root, project.store, environment)
        async with locked(where, project.store, environment, call.wait, on_wait) as (site, journal):
            choice = call.federation
            name = choice.name or project.federation.name or environment.get(FEDERATION_VARIABLE, "")
            if name:
                build, moved = await _build_far(name, choice, site, journal, project, goals, call, account)
            else:
                build, moved = await _build(site, journal, project, goals, call, account), {}
                await _keep(build, project)
            end = ending(build)
            report = full_report(build, end, time.monotonic() - started)
            if name:
                report["federation"] = {"name": name, "placement": choice.placement or project.federation.placement, "moved_bytes": moved}
                report["bytes_moved"] = sum(count for by_holder in moved.values() for count in by_holder.values())
            await site.close()
            await collect_garbage(site, project.store.max_bytes, account)
            if end.status == "done" and call.glance and not name:
                _remember(call, where, build, environment, report)
            return Done(report, end, build, project)
    except (Exception, asyncio.CancelledError) as error:
        end = _ending_of(error, call, environment)
        report = bare_report(end.status, end.exit_code, time.monotonic() - started, list(end.errors), account.executions, call.request.seed)
        return Done(report, end)


def _ending_of(error: BaseException, call: Call, environment: Mapping[str, str]) -> Ending:
    if isinstance(error, asyncio.CancelledError):
        error = Interrupted("interrupted; nothing that was finished before is lost")
    if isinstance(error, CpodsError):
        return Ending(error.status, error.exit_code, (str(error),), ())
    if not isinstance(error, OSError):
        return Ending("failed", crash.EXIT_CODE, (crash.crashed(places(call.root, StoreSettings(), environment).state, error),), ())
    where = places(call.root, StoreSettings(), environment)
    what = f"{error.filename}: {error.strerror}" if error.filename else f"{error.strerror or error} (project {where.root})"
    return Ending("failed", 1, (f"{what}; nothing that was finished before is lost, call cpods again when this is mended",), ())


async def _build(
    site: Site, journal: Journal, project: Project, goals: Sequence[str], call: Call, account: Account, far: "Far | None" = None
) -> Build:
    planned = make_plan(site, project, goals)
    iterate = call.until_stable if call.until_stable is not None else project.settings.until_stable
    request = msgspec.structs.replace(call.request, options=msgspec.structs.replace(call.request.options, until_stable=iterate))
    parts = site.parts(project, producers(planned.steps), journal)
    if far is not None:
        parts = await far.start(parts)
    for path in planned.orphans:
        del parts.memory.written[path]
        account.note(f"{path}: no step makes it any more; it is a source now")
    build = Build(parts, planned, request, account)
    build.changes.written.update(dict.fromkeys(planned.orphans))
    check_clashes(planned, parts.memory, parts.folder, lambda step, path, digest: is_known_output(parts, step, path, digest), request.force)
    account.listener.planned(len(planned.steps))
    if far is not None:
        far.attach(build)
    await MajorDomo(build).rebuild()
    return build


async def _build_far(
    name: str, choice: Choice, site: Site, journal: Journal, project: Project, goals: Sequence[str], call: Call, account: Account
) -> tuple[Build, dict[str, dict[str, int]]]:
    """As :func:`_build`, on the pods of a federation; with the bytes that moved, by receiver and holder."""
    from cpods.federated import UNITS_MAX, joined  # NATS and SSH are loaded for a federation only

    options = msgspec.structs.replace(call.request.options, slots=UNITS_MAX)
    call = msgspec.structs.replace(call, request=msgspec.structs.replace(call.request, options=options))
    choice = msgspec.structs.replace(choice, placement=choice.placement or project.federation.placement)
    async with joined(name, site, choice, site.environment) as far:
        await far.prepare()
        build = await _build(site, journal, project, goals, call, account, far)
        await far.deliver(build.planned.goals)
        await _keep(build, project)
        return build, far.moved_bytes()


def make_plan(site: Site, project: Project, goals: Sequence[str]) -> Planned:
    """The plan of a project over what a site remembers. Raises UsageError."""
    site.folder.begin()
    return plan(project, goals, site.folder, site.memory, chefs())


def producers(steps: Mapping[str, Step]) -> dict[str, Step]:
    """Steps by the outputs that have insignificant lines."""
    return {path: step for step in steps.values() if step.insignificant for path in step.outputs}


def is_known_output(parts: Parts, step: Step, path: str, digest: str) -> bool:
    """Whether some stored result of the step made exactly this file."""
    stored = parts.results.results(parts.keys.static(step))
    return any(output.path == path and output.version.digest == digest for result in stored for output in result.outputs)


async def _keep(build: Build, project: Project) -> None:
    """Writes down why each step ran or did not, and which steps there are."""
    changes = Changes()
    for name, reason in _reasons(build).items():
        changes.facts[WHY_FACT + name] = msgspec.json.encode(reason).decode()
    changes.facts[planned_fact(project)] = "\n".join(build.planned.steps)
    known = build.parts.memory.facts
    changes.facts = {name: value for name, value in changes.facts.items() if known.get(name) != value}
    changes.files.update(getattr(build.parts.folder, "take_changed_states", dict)())  # of goals that were brought here
    if changes.facts or changes.files:
        await build.parts.ledger.save(changes)
        known.update({name: value for name, value in changes.facts.items() if value is not None})


def _reasons(build: Build) -> dict[str, Reason]:
    found = dict(build.account.reasons)
    for unit in build.core.blocked():
        blockers = build.core.units.blockers(unit)
        text = f"it needs {blockers[0].name}, which did not come to a good end" if blockers else "its inputs never came"
        found.update((name, Reason("blocked", text=text)) for name in unit.members)
    return found


async def collect_garbage(site: Site, max_bytes: int, account: Account) -> None:
    """Keeps the store below its quota; only a build that ran something can have grown it."""
    if account.executions and site.catalogue is not None:
        done = collect(site.where.store, max_bytes, needed_objects(site.memory))
        if done.digests:
            await site.catalogue.ownership.drop(POD, done.digests)
            await site.close()


def _remember(call: Call, where: Places, build: Build, environment: Mapping[str, str], report: Mapping[str, Any]) -> None:
    """Notes what the build stood on, so that the next call with the same goals and flags need not load it all."""
    ground = ground_of(build, [PROJECT_FILE])
    if ground is not None:
        text = json.dumps({"report": report, "lines": outcome_lines(build, report)})
        with suppress(sqlite3.Error):
            glance.remember(where.catalogue, where.root, call.glance, environment_digest(environment), __version__, ground, text)


def needed_objects(memory: Memory) -> set[str]:
    """Digests that are never evicted: outputs of the last build, the states of knots, and what is pinned."""
    keep = {written.digest for written in memory.written.values()}
    keep.update(name.removeprefix(PIN_FACT) for name in memory.facts if name.startswith(PIN_FACT))
    for knot in memory.knots.values():
        for solution in (knot.good, knot.unstable):
            keep.update(output.version.digest for _, output in (solution.outputs if solution is not None else ()))
    return keep


def write_report(path: str, report: Mapping[str, Any]) -> None:
    """Writes a report beside its place, then by rename. Raises OSError."""
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1, ensure_ascii=False)
        file.write("\n")
    os.replace(temporary, path)


__all__ = ["WHY_FACT", "Call", "Done", "Places", "is_known_output", "make_plan", "needed_objects", "producers", "rebuild", "write_report"]
