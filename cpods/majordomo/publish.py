"""Brings a knot's files into the project folder, each by rename, and keeps what they replace.

Knows no passes; a solution's files come from the store.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from cpods.digest import ABSENT
from cpods.ids import FilePath, is_outside
from cpods.model import Output, Solution
from cpods.ports import Memory, Objects, Workspace
from cpods.synctex import ENDINGS as SYNCTEX_ENDINGS
from cpods.synctex import local_synctex

#: Reports of tools, and formats of preambles, that stay in the mirror.
_UNPUBLISHED = (".fls", ".blg", ".ilg", ".glg", ".cpods.fmt")


class Publisher:
    """Publishes into one project folder. ``intend(files)`` is told (path -> new digest) before anything is touched."""

    def __init__(self, folder: Workspace, objects: Objects, memory: Memory, intend: Callable[[str, dict[FilePath, str]], None]) -> None:
        self._folder = folder
        self._objects = objects
        self._memory = memory
        self._intend = intend

    def publish(self, owner: Mapping[FilePath, str], solution: Solution) -> tuple[dict[FilePath, tuple[str, str] | None], list[str]]:
        """Installs the solution's files, removes what its members made earlier and make no more.

        ``owner``: the declared step by path. Returns (step, digest) by path (None: no product any more), and notes for
        the user. Raises KeyError for an object that is gone, OSError.
        """
        published: dict[FilePath, tuple[str, str] | None] = {}
        notes: list[str] = []
        wanted = {output.path: self._final(output) for _, output in solution.outputs if is_published(output.path)}
        self._objects.commit()
        self._intend(solution.members[0], wanted)
        for path, digest in wanted.items():
            present = self._folder.digest(path)
            if present != digest:
                notes += self._keep(path, present)
                self._folder.install(path, digest)
            published[path] = (owner[path], digest)
        members = set(solution.members)
        for path in [p for p, w in self._memory.written.items() if w.step in members and p not in wanted]:
            if self._folder.digest(path) == self._memory.written[path].digest:
                self._folder.remove(path)
            published[path] = None
        return published, notes

    def stands(self, solution: Solution) -> bool:
        """Whether all of a solution's published files stand in the folder."""
        try:
            return all(self._folder.digest(o.path) == self._final(o) for _, o in solution.outputs if is_published(o.path))
        except KeyError:  # it is in the store of another pod only
            return False

    def _final(self, output: Output) -> str:
        """The digest of the file as it stands in the folder: SyncTeX names the user's own files there."""
        if not output.path.endswith(SYNCTEX_ENDINGS):
            return output.version.digest
        return self._objects.put_bytes(local_synctex(self._objects.read(output.version.digest), self._folder.root)).digest

    def _keep(self, path: FilePath, present: str) -> list[str]:
        """Keeps a file that was changed by hand (or that nobody knows) before it is replaced."""
        written = self._memory.written.get(path)
        if present == ABSENT or (written is not None and written.digest == present):
            return []
        with suppress(FileNotFoundError):  # it was changed on the pod that owns it, which keeps it
            self._objects.put_file(os.path.join(self._folder.root, path))
        self._objects.commit()
        if written is None:
            return []
        return [f"{path} was changed by hand since it was made; it is replaced, its old content stays in the store as {present}"]


def is_published(path: FilePath) -> bool:
    """Whether a file that a member wrote belongs into the project folder."""
    return not path.endswith(_UNPUBLISHED) and not is_outside(path)


def keep_last(state: str, solution: Solution, objects: Objects, root: str) -> str:
    """Puts what an unfinished knot's last pass made into ``last/`` of the state folder, and returns that folder."""
    last = os.path.join(state, "last")
    import shutil  # which loads all kinds of compression

    shutil.rmtree(last, ignore_errors=True)
    for _, output in solution.outputs:
        target = os.path.join(last, output.path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            if output.path.endswith(SYNCTEX_ENDINGS):
                with open(target, "wb") as file:
                    file.write(local_synctex(objects.read(output.version.digest), root))
            else:
                objects.export(output.version.digest, target)
        except KeyError:
            continue
    return last
