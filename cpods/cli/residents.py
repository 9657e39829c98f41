"""What the resident MajorDomo is told by the command line: what a call means, what a null build says, and what a build is.

Knows no socket and no watch.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from cpods.cli import glance, nearby
from cpods.ids import STATE_FOLDER
from cpods.resident.server import Meant
from cpods.store.glance import Look
from cpods.store.summary import lines_of, null_report


class CallMeans:
    """See :class:`cpods.resident.server.Means`."""

    entry = (__name__, "build")

    def meant(self, arguments: list[str], cwd: str, environment: Mapping[str, str]) -> Meant | None:
        """As the short way of a null build has it."""
        root = os.path.normpath(os.path.join(cwd, nearby.folder_of(arguments)))
        state = os.path.normpath(os.path.join(cwd, environment.get("CPODS_STATE") or os.path.join(root, STATE_FOLDER)))
        said = glance.parse(arguments[1:])
        if said is None or environment.get("CPODS_FEDERATION"):  # what pods own is to be asked of them
            return Meant(root, state)
        report = str(said["report"])
        return Meant(root, state, glance.key_of(said), os.path.join(cwd, report) if report else "")

    def told(self, look: Look, root: str, reported: bool, seconds: float) -> tuple[str, str]:
        """As the short way says it."""
        out = "\n".join([*lines_of(look.load("summary")), "everything is up to date, nothing was run"]) + "\n"
        return out, json.dumps(null_report(look, root, seconds), indent=1, ensure_ascii=False) + "\n" if reported else ""


def build(request: dict[str, Any], link: int) -> int:
    """A build in a process of its own, forked from the nursery: what ``cpods`` does with the same arguments."""
    if "watched" in request:
        from cpods.cli.watchedbuild import build_watched

        return build_watched(request, link)
    from cpods import cli

    sys.argv = [request["program"], *request["arguments"]]
    sys.modules["__main__"].__package__ = None  # else typer's help names the nursery
    return cli.call(cli.run_here)
