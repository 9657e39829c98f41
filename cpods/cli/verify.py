"""``cpods verify``: is what is published what a clean build ends in, and are the tools deterministic?

Knows no knot; see majordomo/verify.py.
"""

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from cpods.cli.desk import load_project, say_error

if TYPE_CHECKING:
    from cpods.cli.console import Console
    from cpods.declaration import Project
    from cpods.majordomo.account import Account
    from cpods.majordomo.context import Build
    from cpods.majordomo.verdict import Ending
    from cpods.session import Done
    from cpods.store.journal import Journal
    from cpods.wiring import Site


class Flags(NamedTuple):
    """The options of the command as given."""

    folder: str = "."
    goals: tuple[str, ...] = ()
    no_wait: bool = False
    report: str = ""
    json_lines: bool = False


def run(flags: Flags) -> int:
    """Verifies, prints, writes the report; 0 if all is well, 1 if something differs."""
    from cpods.cli.listener import listener_for
    from cpods.session import write_report

    listener = listener_for(flags.json_lines)
    done = asyncio.run(_guarded(flags, listener))
    listener.ended(done)
    if flags.report:
        try:
            write_report(flags.report, done.report)
        except OSError as error:
            say_error(f"{flags.report}: the report cannot be written ({error.strerror})")
            return done.ending.exit_code or 1
    return done.ending.exit_code


async def _guarded(flags: Flags, listener: "Console") -> "Done":
    """As :func:`_verify`; an error becomes the ending."""
    from cpods.cli.interrupts import end_on_signals
    from cpods.errors import CpodsError, Interrupted
    from cpods.majordomo.account import Account
    from cpods.majordomo.report import bare_report
    from cpods.majordomo.verdict import Ending
    from cpods.session import Done

    started = time.monotonic()
    account = Account(listener)
    end_on_signals()
    try:
        return await _verify(flags, account, started)
    except CpodsError as error:
        end = Ending(error.status, error.exit_code, (str(error),), ())
    except OSError as error:
        end = Ending("failed", 1, (f"{error.filename}: {error.strerror}" if error.filename else str(error),), ())
    except asyncio.CancelledError:
        end = Ending(Interrupted.status, Interrupted.exit_code, ("interrupted; nothing was published",), ())
    return Done(bare_report(end.status, end.exit_code, time.monotonic() - started, list(end.errors), account.executions, "clean"), end)


async def _verify(flags: Flags, account: "Account", started: float) -> "Done":
    from cpods.majordomo.report import full_report
    from cpods.majordomo.verify import verify
    from cpods.session import Done
    from cpods.wiring import locked, places

    project, goals = load_project(flags.folder, flags.goals)
    where = places(flags.folder, project.store, os.environ)

    def on_wait(text: str) -> None:
        print(f"waiting: {text}", file=sys.stderr)

    async with locked(where, project.store, os.environ, not flags.no_wait, on_wait) as (site, journal):
        build = _prepared(site, journal, project, goals, account)
        doubts = await verify(build)
        end = _ending(build, [doubt.text for doubt in doubts])
        return Done(full_report(build, end, time.monotonic() - started), end)


def _prepared(site: "Site", journal: "Journal", project: "Project", goals: tuple[str, ...], account: "Account") -> "Build":
    """A build of the goals from the clean seed that publishes nothing. Raises UsageError if what is published is not current."""
    from cpods.cli.desk import check_goals
    from cpods.errors import UsageError
    from cpods.majordomo.context import Build, Request
    from cpods.majordomo.staleness import examine
    from cpods.majordomo.verify import hindrance
    from cpods.scheduler.core import Options
    from cpods.session import make_plan, producers

    planned = make_plan(site, project, goals)
    parts = site.parts(project, producers(planned.steps), journal)
    looked = Build(parts, planned, Request(Options()), account)
    check_goals(looked)
    hindered = hindrance(examine(looked))
    if hindered:
        raise UsageError(hindered)
    options = Options(until_stable=True, seed="clean", failures_max=0, slots=len(os.sched_getaffinity(0)))
    return Build(parts, planned, Request(options, seed="clean", publish=False), account)


def _ending(build: "Build", doubts: list[str]) -> "Ending":
    from cpods.majordomo.verdict import Ending

    if doubts:
        return Ending("failed", 1, tuple(doubts), ())
    count = sum(1 for solution in build.core.solutions.values() if solution.knot)
    single = len(build.core.solutions) - count
    also = f" and {single} other document{'s' if single != 1 else ''}" if single else ""
    what = f"{count} knot{'s' if count != 1 else ''}{also}"
    note = f"verified {what}: a clean build ends in what is published, and one more pass changes nothing"
    return Ending("done", 0, (), (note,))
