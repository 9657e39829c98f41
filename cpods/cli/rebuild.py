"""``cpods rebuild``: flags to a call, what happens to lines, the ending to an exit code.

Knows no build; see session.
"""

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from cpods.cli.flags import Flags

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cpods.cli.console import Console
    from cpods.session import Call, Done


def run(flags: Flags, wrap: "Callable[[Console], Console] | None" = None) -> int:
    """Builds, prints, writes the report; the exit code. ``wrap``: puts another listener around the one that prints."""
    from cpods.cli.listener import listener_for

    listener = listener_for(flags.json_lines)
    listener.verbose = flags.verbose
    if wrap is not None:
        listener = wrap(listener)
    wrong = wrong_in(flags)
    if wrong:
        from cpods.majordomo.report import bare_report

        listener.failed(wrong)
        _report(flags, bare_report("invalid", 2, 0.0, [wrong], [], flags.seed), listener)
        return 2
    if flags.dry_run:
        from cpods.cli import dryrun

        return asyncio.run(dryrun.run(flags))
    done = asyncio.run(_rebuild(flags, listener))
    listener.ended(done)
    written = _report(flags, done.report, listener)
    return done.ending.exit_code or (0 if written else 1)


def _report(flags: Flags, report: "Mapping[str, Any]", listener: "Console") -> bool:
    """Writes the report if one is wanted; False, and the user is told, if that cannot be done."""
    from cpods.session import write_report

    if flags.report:
        try:
            write_report(flags.report, report)
        except OSError as error:
            listener.failed(f"{flags.report}: the report cannot be written ({error.strerror})")
            return False
    return True


def wrong_in(flags: Flags) -> str:
    """What is wrong with the flags, '' if nothing."""
    if flags.until_stable and flags.once:
        return "--until-stable and --once exclude each other; give one"
    if flags.seed not in ("", "warm", "clean") and not os.path.isdir(flags.seed):
        return f"--seed {flags.seed}: expected warm, clean or a folder with the files to start from"
    if not os.path.isdir(flags.folder):
        return f"-C {flags.folder}: there is no such folder"
    return ""


def call_of(flags: Flags) -> "Call":
    """What a build is asked for."""
    from cpods.cli.glance import key_of
    from cpods.majordomo.context import Choice, Request
    from cpods.scheduler.core import Options
    from cpods.session import Call

    options = Options(
        seed=flags.seed or "warm",
        passes_max=flags.max_passes,
        failures_max=flags.keep_going,
        fail_fast=flags.fail_fast,
        keep_unstable=flags.keep_unstable,
        slots=flags.jobs or len(os.sched_getaffinity(0)),
    )
    seed = os.path.abspath(flags.seed) if flags.seed not in ("", "warm", "clean") else flags.seed
    return Call(
        root=flags.folder,
        goals=flags.goals,
        request=Request(options, seed=seed, force=flags.force),
        until_stable=True if flags.until_stable else False if flags.once else None,
        wait=not flags.no_wait,
        reported=bool(flags.report) or flags.json_lines,
        federation=Choice(flags.federation, flags.placement, flags.leave_remote),
        glance=""
        if flags.federation or flags.force or flags.keep_unstable or seed not in ("", "warm", "clean")
        else key_of(flags._asdict()),
    )


async def _rebuild(flags: Flags, listener: "Console") -> "Done":
    from cpods.cli.interrupts import end_on_signals, too_late
    from cpods.session import rebuild

    end_on_signals()
    done = await rebuild(call_of(flags), os.environ, listener, lambda text: print(f"waiting: {text}", file=sys.stderr))
    too_late()  # the loop is about to take its handlers away, and what was built must be told as built
    return done
