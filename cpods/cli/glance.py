"""The short way of a null rebuild: plain flags, nothing changed since the last build, nothing heavy imported.

Knows no build: any doubt, and the long way decides.
"""

from __future__ import annotations

import os
import sys
import time

from cpods import __version__
from cpods.cli.plainflags import spoken
from cpods.store.columns import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from cpods.store.glance import Look

_STATE_FOLDER = ".cpods"
#: What does not change what is up to date, with what it is when nothing is said.
_UNCHANGING = {
    "goals": (),
    "until_stable": False,
    "once": False,
    "seed": "",
    "folder": ".",
    "report": "",
    "jobs": 0,
    "max_passes": None,
}


def try_rebuild(arguments: list[str], tell: Callable[[Look, str, str, float], int | None] | None = None, mends: bool = True) -> int | None:
    """The exit code, if everything is as the last build left it, or was until products were deleted; None if the long way must look.

    ``tell``: says so in another way, given what was found, the project folder, the report's file and the seconds it took.
    ``mends``: whether deleted products may be brought back here.
    """
    started = time.monotonic()
    said = parse(arguments)
    if said is None or os.environ.get("CPODS_FEDERATION"):  # what pods own is to be asked of them
        return None
    root = os.path.abspath(str(said["folder"]))
    state = os.path.abspath(os.environ.get("CPODS_STATE") or os.path.join(root, _STATE_FOLDER))
    descriptor = _lock(state)
    if descriptor is None:
        return None
    try:
        from cpods.store.glance import environment_digest, keep, look

        found = look(state, root, key_of(said), environment_digest(os.environ), __version__)
        if found is not None and found.gone and mends:
            from cpods.cli.mend import try_mend

            code = try_mend(found, state, root, descriptor, str(said["report"]), int(str(said["jobs"])), started)
            if code is not None:
                return code
    finally:
        os.close(descriptor)
    if found is None:
        return None
    if found.changed:
        keep(found)  # so that the long way need not look at every file again
        return None
    return (tell or _tell)(found, root, str(said["report"]), time.monotonic() - started)


def parse(arguments: list[str]) -> dict[str, object] | None:
    """Flags that do not change what is up to date; None if there is any other."""
    spoke = spoken(arguments)
    if spoke is None or not spoke.keys() <= _UNCHANGING.keys():
        return None
    said = {**_UNCHANGING, **spoke}
    return said if said["seed"] in ("", "warm", "clean") and not (said["until_stable"] and said["once"]) else None


def key_of(said: Mapping[str, Any]) -> str:
    """The name of a call's goals and flags, as far as they decide what it makes."""
    return repr((list(said["goals"]), said["until_stable"], said["once"], said["seed"], str(said["max_passes"] or "")))


def _lock(state: str) -> int | None:
    """The project's lock, if nobody holds it and no interrupted build is to be put right."""
    import fcntl

    try:
        if os.path.getsize(os.path.join(state, "journal.jsonl")):
            return None
        descriptor = os.open(os.path.join(state, "lock"), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _tell(found: Look, root: str, report_file: str, seconds: float) -> int | None:
    from cpods.store.summary import lines_of, null_report

    try:
        lines = lines_of(found.load("summary"))
    except (OSError, ValueError, KeyError):
        return None
    if report_file:
        import json

        temporary = f"{report_file}.{os.getpid()}.tmp"
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(json.dumps(null_report(found, root, seconds), indent=1, ensure_ascii=False) + "\n")
            os.replace(temporary, report_file)
        except (OSError, ValueError, KeyError):
            return None
    sys.stdout.write("\n".join([*lines, "everything is up to date, nothing was run"]) + "\n")
    return 0
