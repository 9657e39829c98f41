"""``cpods pod list | stop``: how the pods are, and the end of one.

Knows no step.
"""

from typing import TYPE_CHECKING

import msgspec

from cpods.cli.asking import STALE_SECONDS, ask_pod, ask_pods, connected, human_age, known_pod, show_json, show_table
from cpods.cli.desk import told
from cpods.cli.store import human

if TYPE_CHECKING:
    from cpods.net.questions import PodStatus

_COLUMNS = ("pod", "state", "slots", "load", "disk free", "holds", "heard of")


def run(federation: str, wide: bool, as_json: bool) -> int:
    """Prints all pods; the exit code."""
    return told(lambda: _list(federation, wide, as_json))


def run_stop(federation: str, pod: str) -> int:
    """Ends a pod; the exit code."""
    return told(lambda: _stop(federation, pod))


async def _list(federation: str, wide: bool, as_json: bool) -> int:
    async with connected(federation) as (home, bus):
        pods = await ask_pods(home, bus)
        names = [name for name, member in sorted(home.roster.active().items()) if member.role == "pod"]
    known = {status.pod: (status, age) for status, age in zip(pods.statuses, pods.ages, strict=True)}
    if as_json:
        show_json([_entry(name, *known[name]) if name in known else {"pod": name, "state": "not running"} for name in names])
    elif not names:
        print(f"federation {home.federation.name} has no pods yet: `cpods federation invite NAME`")
    else:
        rows = [_row(*known[name]) if name in known else (name, "not running", "", "", "", "", "never") for name in names]
        show_table(_COLUMNS, rows, dim=lambda row: not row[1].startswith(("ready", "draining")))
        if wide:
            for name in names:
                _show_wide(*known[name]) if name in known else None
    return 0


def shown_state(status: "PodStatus", age: float) -> str:
    """The state, or ``stale`` for a pod that was not heard of lately."""
    return "stale" if age > STALE_SECONDS and status.state != "stopped" else status.state


def _row(status: "PodStatus", age: float) -> tuple[str, ...]:
    return (
        status.pod,
        shown_state(status, age),
        f"{status.free_slots}/{status.slots} free",
        f"{status.load:.2f}",
        human(status.disk_free_bytes),
        f"{human(status.held_bytes)} in {status.held_objects}",
        human_age(age),
    )


def _show_wide(status: "PodStatus", age: float) -> None:
    print(f"{status.pod}: cpods {status.version or '?'}, {status.algorithm}, store at {status.sftp[0]}:{status.sftp[1]}")
    print(f"  chefs: {', '.join(status.chefs) or 'none'}")
    for tool, version in status.tools:
        print(f"  {tool}: {version}")
    if status.tags:
        print(f"  tags: {', '.join(f'{key}={value}' for key, value in status.tags)}")


def _entry(name: str, status: "PodStatus", age: float) -> dict[str, object]:
    fields = {key: value for key, value in msgspec.to_builtins(status).items() if key not in ("kind", "sent_ns")}
    return {**fields, "state": shown_state(status, age), "age_seconds": round(age, 1)}


async def _stop(federation: str, pod: str) -> int:
    from cpods.net.questions import Okay, Stop

    async with connected(federation) as (home, bus):
        known_pod(home, pod)
        await ask_pod(home, bus, pod, Stop(), Okay)
    print(f"pod {pod} ends; `cpods pod start` on its machine brings it back")
    return 0
