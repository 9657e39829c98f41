"""What the commands of a federation share: the own home, a connection, questions with their answers, tables.

Knows no command.
"""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from cpods.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from cpods.net.bus import NatsBus
    from cpods.net.identity import Home
    from cpods.net.questions import Pods
    from cpods.net.wire import Wire

#: Seconds that a question to the steward or to a pod may take.
ANSWER_SECONDS = 5.0

#: A pod that was not heard of for this many seconds is marked: it says how it is every few.
STALE_SECONDS = 16.0

_Kind = TypeVar("_Kind", bound="Wire")


@asynccontextmanager
async def connected(name: str) -> "AsyncIterator[tuple[Home, NatsBus]]":
    """The home of a federation ('' for the only one there is) and a connection to it. Raises UsageError, Unavailable."""
    from cpods.net.bus import connect
    from cpods.net.identity import home_of
    from cpods.net.rollcall import catch_up

    home = home_of(name, os.environ)
    if not is_member(home):
        me, federation = home.identity.name, home.federation.name
        raise Unavailable(f"revoked: {me} is a member of {federation} no longer; `cpods federation leave {federation}` removes its keys")
    bus = await connect(home, on_end=_quiet, on_alarm=_quiet)
    try:
        if not await catch_up(home, bus):
            raise Unavailable(
                f"the steward of {home.federation.name} is not running or does not answer; `cpods federation start` on its machine"
            )
        yield home, bus
    finally:
        await bus.close()


def is_member(home: "Home") -> bool:
    """Whether the newest roster that is here says so."""
    return home.roster.active().get(home.identity.name) == home.identity.member()


def _quiet(text: str) -> None:
    """A command asks and hears by an exception; what else comes to it is not for it."""


async def ask(bus: "NatsBus", subject: str, question: "Wire", *kinds: type[_Kind], who: str, seconds: float = ANSWER_SECONDS) -> _Kind:
    """A question's answer, one of ``kinds``. Raises UsageError with the reason if it is refused, Unavailable if none comes."""
    from cpods.net.questions import Okay
    from cpods.net.wire import BadMessage, decode, encode

    try:
        data = await bus.request(subject, encode(question), seconds)
    except BadMessage:
        raise
    except Unavailable as error:
        if "nobody listens" not in str(error):
            raise
        raise Unavailable(f"{who} is not running or not connected") from error
    except TimeoutError as error:
        raise Unavailable(f"{who} did not answer within {seconds:.0f} s; call again, or look at its log") from error
    answer: Any = decode(data, *kinds, Okay)
    if isinstance(answer, Okay) and (answer.refused or Okay not in kinds):
        raise UsageError(f"{who} refuses: {answer.refused or 'no answer to that question'}")
    kept: _Kind = answer
    return kept


async def ask_steward(home: "Home", bus: "NatsBus", question: "Wire", *kinds: type[_Kind], seconds: float = ANSWER_SECONDS) -> _Kind:
    """As :func:`ask`, of the steward."""
    from cpods.net import subjects

    subject = subjects.steward(home.federation.name)
    return await ask(bus, subject, question, *kinds, who="the steward", seconds=seconds)


async def ask_pod(home: "Home", bus: "NatsBus", pod: str, question: "Wire", *kinds: type[_Kind], seconds: float = ANSWER_SECONDS) -> _Kind:
    """As :func:`ask`, of a pod."""
    from cpods.net import subjects

    subject = subjects.ask(home.federation.name, pod)
    return await ask(bus, subject, question, *kinds, who=f"pod {pod}", seconds=seconds)


async def ask_pods(home: "Home", bus: "NatsBus") -> "Pods":
    """The last statuses of all pods."""
    from cpods.net.questions import AskPods, Pods

    return await ask_steward(home, bus, AskPods(), Pods)


def live_pods(pods: "Pods") -> list[str]:
    """Names of the pods that were heard of lately and have not stopped."""
    return [status.pod for status, age in zip(pods.statuses, pods.ages, strict=True) if age <= STALE_SECONDS and status.state != "stopped"]


def known_pod(home: "Home", name: str) -> None:
    """Raises UsageError unless ``name`` is a pod of the federation."""
    members = home.roster.active()
    if name in members and members[name].role == "pod":
        return
    pods = sorted(other for other, member in members.items() if member.role == "pod")
    there = f"there are {', '.join(pods)}" if pods else "it has no pods yet: `cpods federation invite NAME`"
    raise UsageError(f"{name} is no pod of federation {home.federation.name}; {there}")


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]], dim: Callable[[Sequence[str]], bool] = lambda row: False) -> None:
    """A table on a terminal; aligned plain lines when piped. ``dim`` says which rows are shown faintly."""
    entries = [tuple(row) for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*headings, box=None, pad_edge=False, header_style="bold")
        for row in entries:
            table.add_row(*map(Text, row), style="dim" if dim(row) else "")
        Console(highlight=False).print(table)
        return
    lines = [tuple(headings), *entries]
    widths = [max(len(row[column]) for row in lines) for column in range(len(headings))]
    for row in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_json(content: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document."""
    print(json.dumps(content, indent=1, ensure_ascii=False))


def seconds_of(text: str) -> float:
    """A duration like 90, 90s, 30m, 1h or 2d in seconds. Raises UsageError."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    number, factor = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        seconds = float(number) * factor
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 366 * 86400.0:
        raise UsageError(f"{text!r} is no duration; expected for example 90s, 30m, 1h or 2d, at most a year")
    return seconds


def short_duration(seconds: float) -> str:
    """A duration in its largest fitting unit: 8 s, 12 min, 3 h, 2 d."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def human_age(seconds: float) -> str:
    """How long ago: now, 8 s ago, 12 min ago."""
    return "now" if seconds < 1 else f"{short_duration(seconds)} ago"
