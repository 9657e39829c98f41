"""What a chef sees of a folder around one run: the real parts of the View port.

Knows no step; reads only.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cpods.ids import FilePath, is_outside
from cpods.store.files import Stamp, read_or_none, stamp_of, stat_regular
from cpods.store.tree import is_text
from cpods.store.workspace import Folder


class Snapshot(NamedTuple):
    """What lies in a mirror: files and links by path with their own stamps, and the folders."""

    files: dict[FilePath, Stamp]
    folders: set[FilePath]


class MirrorView:
    """The View of a mirror around one run: compares file states from before with those of now."""

    def __init__(self, root: str, before: Mapping[FilePath, Stamp]) -> None:
        self.root = root
        self._before = before

    def read(self, path: FilePath) -> bytes | None:
        """Bytes now, None if absent. Outside paths (absolute) are read too."""
        return read_or_none(_absolute(self.root, path))

    def exists(self, path: FilePath) -> bool:
        """Whether a regular file is there now."""
        return stat_regular(_absolute(self.root, path)) is not None

    def before(self, path: FilePath) -> bool:
        """Whether a regular file was there before the run; of a file outside of the mirror, whether it is there now."""
        if path in self._before:
            return True
        return self._beyond(path) and self.exists(path)

    def changed(self) -> Sequence[FilePath]:
        """Files of the mirror that are new or have another file state than before the run, sorted."""
        now = scan(self.root).files
        return sorted(path for path, stamp in now.items() if self._before.get(path) != stamp and is_text(path) and self.exists(path))

    def _beyond(self, path: FilePath) -> bool:
        """Whether a path lies outside of the mirror, or behind a link to a folder outside of it."""
        if is_outside(path):
            return True
        parts = path.split("/")
        return any("/".join(parts[:count]) in self._before for count in range(1, len(parts)))


class FolderView:
    """The View of a project folder around one plain step: only the watched paths are compared, the tree is not scanned."""

    def __init__(self, root: str, watched: Iterable[FilePath], before: Mapping[FilePath, Stamp | None] | None = None) -> None:
        """``before``: stamps of the watched paths, if they were looked at just now."""
        self.root = root
        self._before = before if before is not None else {path: self._stamp(path) for path in watched}

    def read(self, path: FilePath) -> bytes | None:
        """Bytes now, None if absent."""
        return read_or_none(_absolute(self.root, path))

    def exists(self, path: FilePath) -> bool:
        """Whether a regular file is there now."""
        return stat_regular(_absolute(self.root, path)) is not None

    def before(self, path: FilePath) -> bool:
        """Whether a regular file was there before the run; of a path that is not watched, whether it is there now."""
        if path in self._before:
            return self._before[path] is not None
        return self.exists(path)

    def changed(self) -> Sequence[FilePath]:
        """Watched files that are new or have another file state than before the run, sorted."""
        now = {path: self._stamp(path) for path in self._before}
        return sorted(path for path, stamp in now.items() if stamp is not None and stamp != self._before[path])

    def _stamp(self, path: FilePath) -> Stamp | None:
        status = stat_regular(_absolute(self.root, path))
        return None if status is None else stamp_of(status)


def folder_view(folder: Folder, watched_paths: Iterable[FilePath]) -> FolderView:
    """The view of a plain step: call it before the run, right after its inputs and outputs were looked at in ``folder``."""
    return FolderView(folder.root, (), {path: folder.stamp(path) for path in watched_paths})


def scan(root: str) -> Snapshot:
    """Everything below a folder, links not followed. Names that are not UTF-8 have surrogate escapes. Raises OSError."""
    snapshot = Snapshot({}, set())
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(f"{root}/{prefix}") as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    snapshot.folders.add(path)
                    pending.append(path + "/")
                else:
                    snapshot.files[path] = stamp_of(entry.stat(follow_symlinks=False))
    return snapshot


def _absolute(root: str, path: FilePath) -> str:
    return path if path.startswith("/") else f"{root}/{path}"
