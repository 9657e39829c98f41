"""What is remembered of a good build besides its files: what was said of it, its goals, the steps and their declarations.

Knows no build: plain values in, plain values out. Standard library only.
"""

from __future__ import annotations

import os

from cpods.store.columns import TYPE_CHECKING, packed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from cpods.ids import FilePath
    from cpods.store.glance import Look

#: So many lines of goals are shown.
GOALS_SHOWN = 20


#: What is shown of one goal: its path and its lines.
Shown = tuple[str, list[str]]


def summary(report: Mapping[str, Any], shown: Sequence[Shown], more: int) -> dict[str, bytes]:
    """The parts that a null build needs to speak; ``shown``: what is said of as many goals as are shown, ``more``: how many are not."""
    goals = report["goals"]
    said = {
        "report": dict(report) | {"goals": [], "executions": [], "notes": []},
        "shown": [(path, list(lines)) for path, lines in shown],
        "more": more,
    }
    pages = {goal["path"]: goal["pages"] for goal in goals if goal["pages"] is not None}
    return {"summary": packed(said), "goals": packed(([goal["path"] for goal in goals], pages))}


def lines_of(said: dict[str, Any]) -> list[str]:
    """The lines on goals that a summary holds."""
    lines = [line for _, lines in said["shown"] for line in lines]
    return [*lines, *more_line(said["more"])]


def more_line(more: int) -> list[str]:
    """What is said of goals that are not shown."""
    return [f"… and {counted(more, 'more goal')}"] if more else []


def null_report(found: Look, root: str, seconds: float, cached: int = 0, hashed: bool = True) -> dict[str, Any]:
    """The report of a build that had nothing to do, or only to bring the products of some steps back. Raises OSError.

    ``hashed`` False: without goals, for who reads none.
    """
    report: dict[str, Any] = found.load("summary")["report"]
    goals, pages = found.load("goals") if hashed else ((), {})
    steps = report["steps"]["total"]
    return report | {
        "seconds": round(seconds, 3),
        "goals": [goal_entry(root, path, _digest(found, path), pages.get(path)) for path in goals],
        "steps": {"total": steps, "ran": 0, "cached": cached, "up_to_date": steps - cached},
        "executions": [],
        "notes": [],
        "knots": [knot | {"passes": 0} for knot in report["knots"]],
    }


def total_line(report: Mapping[str, Any]) -> str:
    """What a user is told of the whole at a good end."""
    steps = report["steps"]
    ran = sum(1 for entry in report["executions"] if entry["kind"] == "run")
    if not ran and not steps["cached"]:
        return "everything is up to date, nothing was run"
    store = f"{steps['cached']} from the store, {steps['up_to_date']} up to date"
    return f"{counted(ran, 'run')}, {store}, {report['seconds']:.1f} s"


def counted(number: int, one: str, many: str = "") -> str:
    """A number of things in words."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def goal_entry(root: str, path: FilePath, digest: str, pages: int | None, hashed: bool = True) -> dict[str, Any]:
    """A goal in a report; ``digest`` '' if it is not there; ``hashed`` False: without SHA-256 and size. Raises OSError."""
    entry: dict[str, Any] = {"path": path, "digest": None, "sha256": None, "size": None, "pages": None}
    if digest:
        entry["digest"], entry["pages"] = digest, pages
    if digest and hashed:
        entry["sha256"], entry["size"] = sha256_of(os.path.join(root, path))
    return entry


def sha256_of(path: str) -> tuple[str | None, int | None]:
    """(SHA-256 in hex, size in bytes) of a file; (None, None) if it is not here: left on the pod that made it.

    Not hashlib.file_digest: its buffer costs more than a small file's hash.
    """
    import hashlib

    hasher = hashlib.sha256(usedforsecurity=False)
    size = 0
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None, None
    try:
        wanted = min(os.fstat(descriptor).st_size + 1, 1 << 20)
        while block := os.read(descriptor, wanted):
            hasher.update(block)
            size += len(block)
    finally:
        os.close(descriptor)
    return hasher.hexdigest(), size


def _digest(found: Look, path: FilePath) -> str:
    number = found.files.number(path)
    return "" if number is None else found.files.digest(number)
