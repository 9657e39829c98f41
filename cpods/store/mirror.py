"""A private copy of the project in which a knot's steps run: the project's files, with the knot's own state laid over them.

Knows no pass and no step: the caller says what stands at which path.
"""

import os
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import NamedTuple

from cpods.ids import FilePath, is_outside
from cpods.model import Version
from cpods.ports import Objects
from cpods.store.files import Stamp, copy, new_file, open_regular, stamp_of, stat_regular, temporary_beside
from cpods.store.removal import remove_folder, remove_tree
from cpods.store.views import FolderView, MirrorView, Snapshot, folder_view, scan
from cpods.store.workspace import RACY_NS, Folder

__all__ = ["FolderView", "Mirror", "MirrorView", "folder_view"]

#: The mtime of files laid over the project's: fixed, so that nothing that asks for it differs between two runs, and past,
#: so that any write by a step shows.
OVERLAY_MTIME_NS = 946_684_800 * 10**9


class Placed(NamedTuple):
    """What :meth:`Mirror.prepare` put at a path. ``origin``: a digest, the project file's stamp, or a link's target.

    ``sure``: an equal stamp of the project's file proves equal bytes. ``digest`` is '' where it was not needed.
    """

    origin: object
    stamp: Stamp
    digest: str
    sure: bool


class Mirror(Folder):
    """A folder below the state folder, kept between builds and synchronised by file state.

    A step never gets a writable inode of the store or of the project, save that project files above
    ``link_above_bytes`` are links to the project's own: a write through one shows when the project's file is looked at again.
    """

    def __init__(self, root: str, project: Folder, objects: Objects, link_above_bytes: int = 32 << 20) -> None:
        super().__init__(root, objects, {}, project.clock)
        self._project = project
        self._link_above = link_above_bytes
        self._placed: dict[FilePath, Placed] = {}
        self._present = Snapshot({}, set())

    def digest(self, path: FilePath) -> str:
        """As Folder.digest, but looks every time: steps write here all the while."""
        return self.refresh(path)

    def prepare(self, overlay: Mapping[FilePath, Version | None], hidden: AbstractSet[FilePath] = frozenset()) -> None:
        """Makes the mirror equal to the project without ``hidden``, with ``overlay`` on top (None: absent).

        What is right already is left alone; what is not known from this process is compared by content. Raises KeyError
        for an object that is not in the store, OSError.
        """
        os.makedirs(self.root, exist_ok=True)
        tree = self._project.tree()
        objects = {path: version.digest for path, version in overlay.items() if version is not None and not is_outside(path)}
        files = [path for path in tree.files if path not in overlay and path not in hidden]
        links, opened = _outside_links(tree.outside, {*overlay, *hidden})
        self._present = scan(self.root)
        self._clear({*files, *objects, *links}, {*tree.folders, *opened, *_parents(objects)})
        for path, target in links.items():
            self._link(path, target)
        for path in files:
            self._place_file(path)
        for path, digest in objects.items():
            self._place_object(path, digest)

    def view(self) -> "MirrorView":
        """The mirror as it is now, before a run, and as it will be after it."""
        return MirrorView(self.root, scan(self.root).files)

    def forget(self) -> None:
        """Deletes the mirror's folder. Idempotent."""
        remove_folder(self.root)
        self.states.clear()
        self._placed.clear()

    def _clear(self, wanted: set[FilePath], folders: set[FilePath]) -> None:
        """Removes everything else, then makes the folders; nothing is written before no foreign link is left."""
        for path in self._present.files.keys() - wanted:
            os.unlink(self.absolute(path))
            self.states.pop(path, None)
            self._placed.pop(path, None)
        for path in sorted(self._present.folders - folders, reverse=True):
            with suppress(FileNotFoundError):
                remove_tree(self.absolute(path))
        for path in sorted(folders - self._present.folders):
            absolute = self.absolute(path)
            if os.path.lexists(absolute):
                os.unlink(absolute)
            os.makedirs(absolute, exist_ok=True)

    def _place_file(self, path: FilePath) -> None:
        source = self._project.absolute(path)
        status = stat_regular(source)
        if status is None:  # gone since it was listed
            self._drop(path)
        elif status.st_size > self._link_above:
            self._link(path, source)
        else:
            placed = self._placed.get(path)
            intact = placed is not None and self._present.files.get(path) == placed.stamp
            if not (placed and intact and placed.sure and placed.origin == stamp_of(status)):
                self._bring(path, source, status)

    def _bring(self, path: FilePath, source: str, status: os.stat_result) -> None:
        """Takes over what an earlier process left there if its content is right, else copies."""
        started_ns = self.clock.now_ns()
        left = self._present.files.get(path)
        digest = ""
        if left is not None and left[0] == status.st_size and not os.path.islink(self.absolute(path)):
            digest = self._project.refresh(path)
            if self._look(path) != digest:
                digest = ""
        if digest:
            os.utime(self.absolute(path), ns=(started_ns, status.st_mtime_ns))
        elif not self._copy(path, source, status):
            return
        sure = status.st_ctime_ns < started_ns - RACY_NS
        self._note(path, stamp_of(status), digest, sure)

    def _copy(self, path: FilePath, source: str, status: os.stat_result) -> bool:
        """Whether a private copy with the source's mtime is there now; unreadable files become links, as they are no use to copy."""
        absolute = self.absolute(path)
        try:
            descriptor = open_regular(source)
        except PermissionError:
            self._link(path, source)
            return False
        except FileNotFoundError:
            self._drop(path)
            return False
        try:
            temporary = temporary_beside(absolute)
            with new_file(temporary, (status.st_mode & 0o777) | 0o600) as target:
                copy(descriptor, target)
                os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))
                self._rename(temporary, absolute)
        finally:
            os.close(descriptor)
        return True

    def _place_object(self, path: FilePath, digest: str) -> None:
        placed = self._placed.get(path)
        if placed and placed.origin == digest and self._present.files.get(path) == placed.stamp:
            return
        absolute = self.absolute(path)
        left = self._present.files.get(path)
        if left is None or os.path.islink(absolute) or self._look(path) != digest:
            if os.path.isdir(absolute) and not os.path.islink(absolute):
                remove_tree(absolute)
            self.objects.export(digest, absolute)
        os.utime(absolute, ns=(OVERLAY_MTIME_NS, OVERLAY_MTIME_NS))
        self._note(path, digest, digest, sure=True)

    def _link(self, path: FilePath, target: str) -> None:
        absolute = self.absolute(path)
        placed = self._placed.get(path)
        if placed is None or placed.origin != target or self._present.files.get(path) != placed.stamp:
            temporary = temporary_beside(absolute)
            os.symlink(target, temporary)
            self._rename(temporary, absolute)
            self._placed[path] = Placed(target, stamp_of(os.lstat(absolute)), "", sure=True)

    def _note(self, path: FilePath, origin: object, digest: str, sure: bool) -> None:
        status = os.lstat(self.absolute(path))
        self._placed[path] = Placed(origin, stamp_of(status), digest, sure)

    def _drop(self, path: FilePath) -> None:
        self.remove(path)
        self._placed.pop(path, None)

    def _rename(self, temporary: str, absolute: str) -> None:
        try:
            os.rename(temporary, absolute)
        except IsADirectoryError:
            remove_tree(absolute)
            os.rename(temporary, absolute)

    def _look(self, path: FilePath) -> str:
        """What was placed and is untouched is known without hashing: its mtime was set to the past, any write shows."""
        placed = self._placed.get(path)
        if placed is not None and placed.digest and placed.stamp[1] < placed.stamp[2] - RACY_NS:
            status = stat_regular(self.absolute(path))
            if status is not None and stamp_of(status) == placed.stamp:
                return placed.digest
        return super()._look(path)


def _outside_links(outside: Mapping[FilePath, str], taken: set[FilePath]) -> tuple[dict[FilePath, str], set[FilePath]]:
    """(links to make, folders to make instead of a link): a linked folder below which a path is taken is opened up.

    Else a file laid over the project's would be written through the link, outside of the mirror.
    """
    above = _parents(taken) if outside else set()
    links: dict[FilePath, str] = {}
    opened: set[FilePath] = set()
    pending = list(outside.items())
    while pending:
        path, target = pending.pop()
        if path in above:
            opened.add(path)
            pending += [(f"{path}/{name}", f"{target}/{name}") for name in os.listdir(target)]
        elif path not in taken:
            links[path] = target
    return links, opened


def _parents(paths: Iterable[FilePath]) -> set[FilePath]:
    """All folders above these paths."""
    parents: set[FilePath] = set()
    for path in paths:
        while (path := os.path.dirname(path)) and path not in parents:
            parents.add(path)
    return parents
