"""What lies below a folder, asked again and again: walked only if one of the folders has changed since.

Knows no pattern.
"""

import os
import time

from cpods.ids import FilePath
from cpods.store.filecolumns import RACY_NS
from cpods.store.tree import is_text, walk


class Listing:
    """Files below ``below``, a folder of ``root``; ``skip``: real paths of folders to leave out."""

    def __init__(self, root: str, skip: frozenset[str], below: FilePath) -> None:
        self._root = root
        self._skip = skip
        self._below = below
        self._folders: dict[str, int] = {}
        self._files: frozenset[FilePath] = frozenset()

    def files(self) -> frozenset[FilePath]:
        """The files that are there now."""
        if not self._folders or any(_changed_ns(folder) != known for folder, known in self._folders.items()):
            self._walk()
        return self._files

    def _walk(self) -> None:
        looked_ns = time.time_ns()
        tree = walk(self._root, self._skip, self._below)
        folders = [os.path.join(self._root, folder) for folder in (self._below, *tree.folders)]
        self._files = frozenset(path for path in tree.files if is_text(path))
        # A folder that changed just now may change again within one tick of the clock: then it is walked again.
        self._folders = {folder: changed if (changed := _changed_ns(folder)) < looked_ns - RACY_NS else -1 for folder in folders}


def _changed_ns(folder: str) -> int:
    """When entries last came or went; 0 for a folder that is not there."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0
