"""One call of cpods on a project, from the project file to the ending: what the commands of the CLI share.

Knows no terminal; the listener hears what happens.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from cpods import crash
from cpods.aftercare import collect_garbage, keep_reasons, remember
from cpods.chefs.headers import unseen_headers
from cpods.chefs.registry import chefs
from cpods.declaration import Project, StoreSettings
from cpods.errors import CpodsError, Interrupted
from cpods.loader import load
from cpods.majordomo.account import Account, Listener
from cpods.majordomo.context import Build, Choice, Parts, Request
from cpods.majordomo.drive import MajorDomo
from cpods.majordomo.planning import Planned, check_clashes, plan
from cpods.majordomo.report import bare_report, full_report, goal_lines, goals_told
from cpods.majordomo.verdict import Ending, ending
from cpods.model import Step
from cpods.project import PROJECT_FILE
from cpods.standing import Standing
from cpods.store import glance
from cpods.store.files import Stamp, stamp_of, stat_regular
from cpods.store.journal import Journal
from cpods.store.summary import GOALS_SHOWN, more_line, summary, total_line
from cpods.wiring import Places, Site, locked, places

if TYPE_CHECKING:
    from cpods.federated import Far

#: A federation may be named here as well as in the project file and by the call.
FEDERATION_VARIABLE = "CPODS_FEDERATION"


class Call(msgspec.Struct, frozen=True):
    """What the user said: folder, goals, request; ``until_stable`` None: as the project says.

    ``glance``: the name under which a null-build check may answer for this call; '' for never. ``federation``: what the
    user said of one. ``reported``: whether somebody reads the report's goals, which have to be hashed for it.
    """

    root: str
    goals: tuple[str, ...]
    request: Request
    until_stable: bool | None = None
    wait: bool = True
    glance: str = ""
    federation: Choice = Choice()
    reported: bool = True


class Done(msgspec.Struct):
    """A finished call: its report, its ending, what is said of its goals, and (if it came that far) the build.

    ``remembered``: what it stood on lies where null builds look.
    """

    report: dict[str, Any]
    ending: Ending
    lines: list[str] = []
    build: Build | None = None
    project: Project | None = None
    remembered: bool = False


async def rebuild(
    call: Call,
    environment: Mapping[str, str],
    listener: Listener,
    on_wait: Callable[[str], None],
    standing: Standing | None = None,
    changed: Sequence[int] = (),
) -> Done:
    """Builds. Never raises an Exception: each becomes the ending, and the report says so. So does being cancelled.

    ``standing`` and ``changed``: what the last good build of this call left, and which of its files have another content
    now; only what they reach is looked at. Without them, what the null-build check found in this process is taken.
    """
    started = time.monotonic()
    account = Account(listener)
    try:
        owned = standing is None
        if standing is None:
            standing, changed = _looked(call, environment)
        stamp = project_stamp(call.root)
        known = None
        try:
            done = await _rebuild_slice(call, environment, on_wait, account, started, standing, changed) if standing is not None else None
            if done is None and standing is not None:
                known = standing.project(stamp)
            if done is not None and owned and standing is not None:
                with suppress(OSError, ValueError):
                    standing.save()
        finally:
            if owned and standing is not None:
                standing.close()
        return done if done is not None else await _rebuild_all(call, environment, on_wait, account, started, known, stamp)
    except (Exception, asyncio.CancelledError) as error:
        return _broken_off(error, call, environment, account, started)


async def rebuild_slice(
    call: Call,
    environment: Mapping[str, str],
    listener: Listener,
    on_wait: Callable[[str], None],
    standing: Standing,
    changed: Sequence[int],
) -> Done | None:
    """As :func:`rebuild`, but None if what these changes reach is not all that has to be looked at; what was done stays done."""
    started = time.monotonic()
    account = Account(listener)
    try:
        return await _rebuild_slice(call, environment, on_wait, account, started, standing, changed)
    except (Exception, asyncio.CancelledError) as error:
        return _broken_off(error, call, environment, account, started)


def _broken_off(error: BaseException, call: Call, environment: Mapping[str, str], account: Account, started: float) -> Done:
    end = _ending_of(error, call, environment)
    report = bare_report(end.status, end.exit_code, time.monotonic() - started, list(end.errors), account.executions, call.request.seed)
    return Done(report, end)


def project_stamp(root: str) -> Stamp | None:
    """The state of the project file; None if there is none. One that was edited during a build is not what the build stood on."""
    status = stat_regular(os.path.join(root, PROJECT_FILE))
    return None if status is None else stamp_of(status)


def _looked(call: Call, environment: Mapping[str, str]) -> tuple[Standing | None, Sequence[int]]:
    """What the null-build check found for this call in this process."""
    if not call.glance:
        return None, ()
    where = places(call.root, StoreSettings(), environment)
    look = glance.taken(glance.place_of(where.state, call.glance))
    return (None, ()) if look is None else (Standing.of_look(look, where.root), look.changed)


async def _rebuild_all(
    call: Call,
    environment: Mapping[str, str],
    on_wait: Callable[[str], None],
    account: Account,
    started: float,
    known: Project | None,
    stamp: Stamp | None,
) -> Done:
    """Looks at the whole project. ``known``: what its file says; ``stamp``: of that file, from before it was read."""
    project, goals = load(call.root, call.goals, known)
    where = places(call.root, project.store, environment)
    async with locked(where, project.store, environment, call.wait, on_wait) as (site, journal):
        choice = call.federation
        name = choice.name or project.federation.name or environment.get(FEDERATION_VARIABLE, "")
        if name:
            build, moved = await _build_far(name, choice, site, journal, project, goals, call, account)
        else:
            build, moved = await _build(site, journal, project, goals, call, account), {}
            await keep_reasons(build, project)
        end = ending(build)
        report = full_report(build, end, time.monotonic() - started, call.reported)
        if name:
            report["federation"] = {"name": name, "placement": choice.placement or project.federation.placement, "moved_bytes": moved}
            report["bytes_moved"] = sum(count for by_holder in moved.values() for count in by_holder.values())
        is_good = end.status in ("done", "unstable")
        told = goals_told(build, report, bool(goals)) if is_good else []
        shown = goal_lines(build, report, frozenset(told[:GOALS_SHOWN]))
        more = len(told) - len(shown)
        await site.close()
        await collect_garbage(site, project.store.max_bytes, build.parts.ledger.added_bytes)
        stands = end.status == "done" and call.glance and not name and project_stamp(call.root) == stamp
        remembered = bool(stands) and remember(call.glance, where, build, project, environment, summary(report, shown, more))
        lines = [*(line for _, lines in shown for line in lines), *more_line(more), total_line(report)] if is_good else []
        return Done(report, end, lines, build, project, remembered)


async def _rebuild_slice(
    call: Call,
    environment: Mapping[str, str],
    on_wait: Callable[[str], None],
    account: Account,
    started: float,
    standing: Standing,
    changed: Sequence[int],
) -> Done | None:
    """Looks only at what changed files reach; None if that turned out not to be enough: what was done stays done."""
    cut = standing.slice(changed)
    if cut is None or cut.project.federation.name or environment.get(FEDERATION_VARIABLE):
        return None
    where = places(call.root, cut.project.store, environment)
    async with locked(where, cut.project.store, environment, call.wait, on_wait, (cut.names, cut.paths)) as (site, journal):
        if not standing.is_current():  # another call came in between
            return None
        build = await _build(site, journal, cut.project, cut.goals, call, account)
        await keep_reasons(build, cut.project, cut.names)
        end = ending(build)
        if not standing.holds_outside(cut, build):
            return None
        report = full_report(build, end, time.monotonic() - started, call.reported)
        shown = goal_lines(build, report, standing.shown()) if end.status in ("done", "unstable") else []
        whole = standing.report(report, cut, call.reported)
        if end.status == "done" and not standing.absorb(cut, build, whole, shown):
            return None
        await site.close()
        await collect_garbage(site, cut.project.store.max_bytes, build.parts.ledger.added_bytes, slice_only=True)
        standing.note_catalogue(where.state)
        lines = [*standing.lines(dict(shown)), total_line(whole)] if end.status in ("done", "unstable") else []
        return Done(whole, end, lines, build, cut.project, end.status == "done")


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
    if blind := unseen_headers(planned.steps.values()):
        account.note(blind)
    build = Build(parts, planned, request, account)
    build.changes.written.update(dict.fromkeys(planned.orphans))
    for path in planned.dropped:
        if parts.folder.digest(path) == parts.memory.written[path].digest:
            parts.folder.remove(path)  # the store has it
        build.disown(path)
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
        await keep_reasons(build, project)
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


def write_report(path: str, report: Mapping[str, Any]) -> None:
    """Writes a report beside its place, then by rename. Raises OSError."""
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1, ensure_ascii=False)
        file.write("\n")
    os.replace(temporary, path)


__all__ = [
    "Call",
    "Done",
    "Places",
    "is_known_output",
    "make_plan",
    "producers",
    "rebuild",
    "rebuild_slice",
    "write_report",
]
