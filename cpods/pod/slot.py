"""A private workspace on a pod: one step at a time, kept between steps and synchronised by difference.

Knows no chef and no transport: all that it is to hold lies in the store already.
"""

import os
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import NamedTuple

from cpods.digest import ABSENT, of_file
from cpods.ids import FilePath, is_fact, is_outside
from cpods.model import Step, Version
from cpods.pod.bubble import FIXED, BubbleView
from cpods.pod.tree import Visible, above
from cpods.ports import Objects, View
from cpods.store.files import Stamp, read_or_none, stamp_of, stat_regular
from cpods.store.mirror import OVERLAY_MTIME_NS
from cpods.store.views import FolderView, MirrorView, Snapshot, scan


class Placed(NamedTuple):
    """What was put at a path: its digest, whether it was made executable, and its stamp then."""

    digest: str
    executable: bool
    stamp: Stamp


class Aim(NamedTuple):
    """What a slot is to show. ``chosen``: the visible files that must be there; others may, if they are there already.

    ``executable``: digests that may be executed wherever they stand. ``plain``: the step's outputs must not be there before.
    """

    visible: Visible
    chosen: AbstractSet[FilePath]
    step: Step
    executable: frozenset[str]
    plain: bool


class Slot:
    """A folder of its own for one step at a time (:class:`cpods.pod.cook.MirrorLike`). A new one is empty.

    Files are private copies out of the store, all with one mtime in the past, so that any write by a step shows.
    """

    def __init__(self, root: str, objects: Objects, fixed: bool = False) -> None:
        self.root = root
        #: Where the program believes to be.
        self.shown = FIXED if fixed else root
        self._objects = objects
        self._placed: dict[FilePath, Placed] = {}
        self._present = Snapshot({}, set())
        self._aim: Aim | None = None
        self._overlay: Mapping[FilePath, Version | None] = {}
        self._hidden: AbstractSet[FilePath] = frozenset()
        self.wipe()

    def aim(self, aim: Aim) -> None:
        """Says what the next :meth:`prepare` is to show below its overlay."""
        self._aim = aim

    def prepare(self, overlay: Mapping[FilePath, Version | None], hidden: AbstractSet[FilePath] = frozenset()) -> None:
        """Makes the slot show what was aimed at, with ``overlay`` on top. What is right already is left alone.

        Raises KeyError for an object that is not in the store, OSError.
        """
        assert self._aim is not None
        if self._aim.plain:
            overlay = {**overlay, **dict.fromkeys(self._aim.step.outputs)}
        self._overlay, self._hidden = overlay, hidden
        try:
            self._synchronise()
        except OSError:  # a step may leave folders that cannot be entered
            self.wipe()
            self._synchronise()

    def view(self) -> View:
        """The view around the run that follows: of a plain step's declared files, else of everything."""
        view = self._view()
        return view if self.shown == self.root else BubbleView(view)

    def missing(self, paths: Iterable[FilePath]) -> list[FilePath]:
        """Those of the paths that the step may see and that were not there when it ran, in order."""
        return [path for path in dict.fromkeys(paths) if path not in self._placed and not is_fact(path) and self._should(path)]

    def absent(self) -> list[FilePath]:
        """Everything that the step may see and that is not there."""
        assert self._aim is not None
        return self.missing(file.path for file in self._aim.visible)

    def digest(self, path: FilePath) -> str:
        """Digest of the file's bytes now, ABSENT if there is no regular file."""
        absolute = self.absolute(path)
        status = stat_regular(absolute)
        if status is None:
            return ABSENT
        placed = self._placed.get(path)
        if placed is not None and placed.stamp == stamp_of(status):
            return placed.digest
        return of_file(absolute, self._objects.algorithm)[0]

    def read(self, path: FilePath) -> bytes | None:
        """The bytes, None if absent."""
        return read_or_none(self.absolute(path))

    def listing(self) -> Sequence[FilePath]:
        """All files that lie there now, sorted."""
        return sorted(scan(self.root).files)

    def install(self, path: FilePath, digest: str) -> None:
        """Puts a stored artefact there. Raises KeyError, OSError."""
        self._place(path, digest, executable=False)

    def remove(self, path: FilePath) -> None:
        """Deletes a file; absent is no error."""
        self._placed.pop(path, None)
        with suppress(FileNotFoundError):
            os.unlink(self.absolute(path))

    def absolute(self, path: FilePath) -> str:
        """The absolute path of a project path."""
        return path if path.startswith("/") else f"{self.root}/{path}"

    def wipe(self) -> None:
        """Empties the slot, whatever modes a step has left there."""
        self._placed.clear()
        wipe(self.root)
        os.makedirs(self.root, exist_ok=True)

    def _view(self) -> View:
        assert self._aim is not None
        if self._aim.plain:
            step = self._aim.step
            return FolderView(self.root, (*step.inputs, *step.optional, *step.outputs))
        return MirrorView(self.root, scan(self.root).files)

    # -- by difference ---------------------------------------------------------------------------------------------

    def _synchronise(self) -> None:
        self._present = scan(self.root)
        self._clear()
        for path in self._to_place():
            digest, executable = self._wanted(path) or ("", False)
            if digest and path not in self._placed:
                self._place(path, digest, executable)

    def _to_place(self) -> list[FilePath]:
        assert self._aim is not None
        return [*self._aim.chosen, *(path for path, version in self._overlay.items() if version is not None and not is_outside(path))]

    def _should(self, path: FilePath) -> bool:
        return self._wanted(path) is not None

    def _wanted(self, path: FilePath) -> tuple[str, bool] | None:
        """(digest, executable) of what is to stand at a path, None if nothing is."""
        assert self._aim is not None
        if path in self._overlay:
            version = self._overlay[path]
            return None if version is None or is_outside(path) else (version.digest, version.digest in self._aim.executable)
        file = None if path in self._hidden else self._aim.visible.get(path)
        return None if file is None else (file.digest, file.executable or file.digest in self._aim.executable)

    def _clear(self) -> None:
        """Removes what is not as it should be; makes the folders that are to be there."""
        for path, stamp in self._present.files.items():
            placed = self._placed.get(path)
            if placed is None or placed.stamp != stamp or self._wanted(path) != (placed.digest, placed.executable):
                self._placed.pop(path, None)
                os.unlink(self.absolute(path))
        for path in self._placed.keys() - self._present.files.keys():
            del self._placed[path]
        wanted = self._folders()
        for path in sorted(self._present.folders - wanted, reverse=True):
            with suppress(FileNotFoundError):
                shutil.rmtree(self.absolute(path))
        for path in sorted(wanted - self._present.folders):
            os.makedirs(self.absolute(path), exist_ok=True)

    def _folders(self) -> set[FilePath]:
        """The project's folders, those above all that is laid over it, and those that the step is to write to."""
        assert self._aim is not None
        step, visible = self._aim.step, self._aim.visible
        named = [path for path in (*self._overlay, *step.outputs) if not is_outside(path)]
        return {*visible.tree.folders, *above(visible.top), *above(named)}

    def _place(self, path: FilePath, digest: str, executable: bool) -> None:
        absolute = self.absolute(path)
        self._objects.export(digest, absolute)
        if executable:
            mode = os.stat(absolute).st_mode
            os.chmod(absolute, stat.S_IMODE(mode) | (mode & 0o444) >> 2)
        os.utime(absolute, ns=(OVERLAY_MTIME_NS, OVERLAY_MTIME_NS))
        self._placed[path] = Placed(digest, executable, stamp_of(os.lstat(absolute)))


def wipe(folder: str) -> None:
    """Deletes a folder with all in it; folders that a step has closed to everybody are opened first. Absent is no error."""
    for _ in range(2):
        try:
            shutil.rmtree(folder)
            return
        except FileNotFoundError:
            return
        except OSError:
            _open_all(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _open_all(folder: str) -> None:
    with suppress(OSError):
        os.chmod(folder, 0o700)
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            with suppress(OSError):
                os.chmod(os.path.join(parent, name), 0o700)
