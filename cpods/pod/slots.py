"""The slot folders of a pod, by project: made when first needed, given back after each step, the last used one first.

Knows no step.
"""

import os
import re

from cpods.digest import of_parts
from cpods.pod.kitchen import Places
from cpods.pod.slot import Slot, wipe
from cpods.ports import Objects

_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}\Z")
_OWNED = "owned"


class Slots:
    """Below ``work``: ``<project>/slot-1/``, ``<project>/tmp-1/`` and so on. What an earlier process left there is wiped."""

    def __init__(self, work: str, objects: Objects) -> None:
        #: Whether programs see their slot at one fixed path (module bubble).
        self.fixed = False
        self._work = work
        self._objects = objects
        self._free: dict[str, list[Places]] = {}
        self._made: dict[str, int] = {}
        self.wipe()

    def take(self, project: str) -> Places:
        """A slot that nobody uses."""
        free = self._free.setdefault(project, [])
        if free:
            return free.pop()
        self._made[project] = number = self._made.get(project, 0) + 1
        state = project_folder(self._work, project)
        slot = Slot(os.path.join(state, f"slot-{number}"), self._objects, self.fixed)
        return Places(slot, os.path.join(state, f"tmp-{number}"))

    def give_back(self, project: str, places: Places) -> None:
        """The step is over. What it left in its TMPDIR goes."""
        if os.path.isdir(places.temporary) and os.listdir(places.temporary):
            wipe(places.temporary)
        self._free[project].append(places)

    def wipe(self) -> None:
        """Empties all slots of all projects; only owned files stay."""
        self._free.clear()
        self._made.clear()
        for project in os.listdir(self._work) if os.path.isdir(self._work) else ():
            folder = os.path.join(self._work, project)
            if os.path.isdir(folder):
                for name in os.listdir(folder):
                    if name != _OWNED:
                        wipe(os.path.join(folder, name))


def project_folder(work: str, project: str) -> str:
    """A project's folder in the work folder: its own name if that is a plain one, else a digest of it."""
    return os.path.join(work, project if _PLAIN.match(project) else of_parts([project]).partition(":")[2])


def owned_folder(work: str, project: str) -> str:
    """Where a project's owned files lie."""
    return os.path.join(project_folder(work, project), _OWNED)
