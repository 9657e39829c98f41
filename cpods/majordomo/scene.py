"""What stands where, and for whom: which files of the project a knot may see while others are still to be made.

Knows no step's meaning: it goes by who made a file and whether that step is done in this build.
"""

from collections.abc import Callable, Collection

from cpods.digest import ABSENT
from cpods.ids import FilePath
from cpods.majordomo.planning import Planned
from cpods.ports import Memory, Workspace


class Scene:
    """The project folder during one build. ``finished()``: declared steps whose outputs stand there now."""

    def __init__(self, folder: Workspace, memory: Memory, planned: Planned, finished: Callable[[], Collection[str]]) -> None:
        self._folder = folder
        self._memory = memory
        self._planned = planned
        self._finished = finished
        self._declared = {path: step.name for step in planned.steps.values() for path in step.outputs}

    def hidden(self) -> frozenset[FilePath]:
        """Products of steps that are not done: a knot must not see them (its own come from its state)."""
        done = self._finished()
        return frozenset(
            [path for path, written in self._memory.written.items() if written.step not in done and written.step in self._planned.steps]
            + [path for path, name in self._declared.items() if name not in done]
            + [path for path, name in self._planned.leftovers.items() if path not in self._memory.written]
        )

    def is_product(self, path: FilePath) -> bool:
        """Whether some step makes ``path``, or an earlier tool left it where one will write."""
        return path in self._declared or path in self._planned.leftovers or path in self._memory.written

    def present(self, path: FilePath) -> bool:
        """Whether a source file is there: a product is no source, changed by hand or not."""
        written = self._memory.written.get(path)
        if path in self._declared or path in self._planned.leftovers or (written is not None and written.step in self._planned.steps):
            return False
        return self._folder.digest(path) != ABSENT
