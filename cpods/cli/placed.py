"""``cpods why --placement``: which pod a step went to in the last build that had pods run steps, and what spoke for it.

Knows no strategy: it reads the log of decisions, with the terms of the strategy that is named there.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cpods.cli.desk import looking, told
from cpods.cli.store import human
from cpods.cli.why import bare_goal, steps_named
from cpods.errors import UsageError

if TYPE_CHECKING:
    from cpods.majordomo.context import Build

#: Where the time is in a line of each kind.
_TIMES = {"pod_is": 4, "pod_gone": 2, "ready": 2, "finished": 2, "came_back": 2, "assigned": 3, "hand_out": 1, "reconsider": 1}
#: Values of decisions that are no times: how they are told.
_BYTES = "_bytes"
_WORDS = {
    "slot_free": "a slot is free there from {} on",
    "start": "it can start there at {}",
    "finish": "it ends there at {}",
    "missing_bytes": "{} to move",
    "drawn": "drawn: {}",
}


class Event(msgspec.Struct, frozen=True):
    """What happened to a step. ``at``: seconds after the first step of the build was ready. ``values``: of a decision.

    ``what``: decided, stolen (from ``other``), sent, assigned, came_back, finished, or gone (its pod is).
    """

    at: float
    what: str
    pod: str = ""
    values: tuple[float, ...] = ()
    other: str = ""


def run(folder: str, name: str) -> int:
    """Prints a paragraph for each step that the name means; the exit code."""
    return told(lambda: _why(folder, name))


async def _why(folder: str, name: str) -> int:
    from cpods.majordomo.far.placing import PLACEMENT_LOG
    from cpods.majordomo.picture import helpers

    async with looking(folder, bare_goal(folder, name), every=True) as build:
        path = os.path.join(build.parts.state, "log", PLACEMENT_LOG)
        known = [*build.planned.steps, *(helper.name for step in build.planned.steps for helper in helpers(build, step))]
        steps = _named(build, name, known)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise UsageError(
            "no pod was ever chosen for a step of this project: build it with `cpods rebuild --federation NAME`, then ask again"
        ) from None
    print("\n".join(text for step in steps for text in told_of(data, step)))
    return 0


def _named(build: "Build", name: str, known: list[str]) -> list[str]:
    steps = steps_named(build, name, known)
    if not steps:
        raise UsageError(f"{name} is a source, no step makes it: there is nothing to place")
    return steps


def told_of(data: bytes, step: str) -> list[str]:
    """A log's story of a step, a sentence each. Raises UsageError for what is no such log."""
    lines = _decoded(data)
    begun = next(lines, ())
    if not begun or begun[0] != "begun":
        raise UsageError("the log of placement is damaged; the next build that has pods run steps writes it anew: ask again then")
    strategy = str(begun[1])
    events = _events(lines, step)
    if not any(event.what in ("decided", "assigned") for event in events):
        return [f"{step} had no need of a pod in the last build that had pods run steps (placement {strategy})."]
    heading = f"{step}, placed by {strategy} in the last build that had pods run steps:"
    return [heading, *(f"  {_sentence(strategy, event)}" for event in events)]


def _decoded(data: bytes) -> Iterator[Sequence[Any]]:
    """The lines up to the first that is none: a build that was killed may have left half of one."""
    for line in data.splitlines():
        try:
            found = msgspec.json.decode(line)
        except msgspec.DecodeError:
            return
        if isinstance(found, list) and found:
            yield found


def _events(lines: Iterable[Sequence[Any]], step: str) -> list[Event]:
    """What happened to the step of this name, under each of its numbers."""
    pods: dict[str, int] = {}
    names: list[str] = []
    numbers: dict[int, str] = {}
    found: list[Event] = []
    now = 0.0
    for kind, *more in lines:
        if kind in _TIMES:
            now = more[_TIMES[kind] - 1]
        if kind == "name_steps":
            numbers |= {number: "" for number, name in enumerate(more[1], more[0]) if name == step}
        elif kind == "pod_is" and more[0] not in pods:
            pods[more[0]] = len(pods)
            names.append(more[0])
        elif kind == "pod_gone":
            found += [Event(now, "gone", names[more[0]]) for number, pod in numbers.items() if pod == names[more[0]]]
        elif kind in ("decided", "stolen", "sent", "assigned") and more[0] in numbers:
            pod = names[more[1]]
            values = tuple(more[2]) if kind == "decided" else tuple(more[2:4]) if kind == "stolen" else ()
            found.append(Event(now, kind, pod, values, numbers[more[0]]))
            numbers[more[0]] = pod
        elif kind in ("came_back", "finished") and numbers.get(more[0]):
            found.append(Event(now, kind, numbers[more[0]]))
            numbers[more[0]] = ""
    return found


def _sentence(strategy: str, event: Event) -> str:
    pod, at = event.pod, f"{seconds(event.at)}:"
    if event.what == "decided":
        reasons = _reasons(strategy, event.values)
        return f"{at} {pod} was chosen{f': {reasons}' if reasons else ''}"
    if event.what == "stolen":
        here, there = map(seconds, event.values)
        return f"{at} {pod}, which had nothing to do, took it over from {event.other}: it costs {here} there now, against {there}"
    return {
        "sent": f"{at} it was sent to {pod}",
        "assigned": f"{at} {pod} ran it already, for an earlier call of cpods",
        "came_back": f"{at} it left {pod} without a result: refused, not answered, given up, or to be put elsewhere",
        "gone": f"{at} {pod} was lost, or stopped",
        "finished": f"{at} it ended on {pod}",
    }[event.what]


def _reasons(strategy: str, values: Sequence[float]) -> str:
    """A decision's values in words."""
    from cpods.scheduler.placement import STRATEGIES, WEIGHTS, Locality

    terms = STRATEGIES[strategy]().terms if strategy in STRATEGIES else ()
    told_by = dict(zip(terms, values, strict=False))
    if strategy != Locality.name:
        return ", ".join(_WORDS[name].format(_value(name, value)) for name, value in told_by.items())
    ties = WEIGHTS.ties * told_by["finish"]
    late = max(0.0, told_by["delay"] - ties)
    finish, end = seconds(told_by["finish"]), seconds(told_by["projected_end"])
    within = f"it ends at {finish}, within the projected build time of {end}"
    over = f"it ends at {finish}, which is too late for the projected build time of {end}"
    return (
        f"delay {seconds(late)} ({over if late > 1e-6 else within}), {human(int(told_by['missing_bytes']))} to move "
        f"(price {seconds(told_by['bytes_price'])}), {seconds(ties)} more as the earlier end of two is the better one"
    )


def _value(name: str, value: float) -> str:
    return human(int(value)) if name.endswith(_BYTES) else f"{value:g}" if name == "drawn" else seconds(value)


def seconds(value: float) -> str:
    """A duration, or a time, for people."""
    if abs(value) < 0.0005:
        return "0 s"
    return f"{value * 1e3:.0f} ms" if abs(value) < 0.1 else f"{value:.2f} s" if abs(value) < 100 else f"{value:.0f} s"
