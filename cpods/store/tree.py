"""What lies below a project folder: files, folders, links out of it. Standard library only, for the null build.

Knows no digest and no state.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from cpods.ids import STATE_FOLDER, FilePath

#: Every temporary file that cpods puts beside a destination starts like this; listings leave such names out.
TEMPORARY_PREFIX = ".cpods-tmp-"

_SKIPPED_NAMES = frozenset({STATE_FOLDER, ".git", ".hg", ".svn"})


class Tree(NamedTuple):
    """What lies below a root: regular files (links to files included), folders, and links to folders outside of it."""

    files: list[FilePath]
    folders: list[FilePath]
    outside: dict[FilePath, str]


def walk(root: str, skip: frozenset[str] = frozenset(), below: FilePath = "") -> Tree:
    """Everything below ``root`` or its folder ``below``, in no order, without state folders and version control.

    A link to a file counts as a file; a link to a folder is followed only inside the root, never in a circle. ``skip``:
    real paths of folders to leave out. Names that are not UTF-8 have surrogate escapes.
    """
    tree = Tree([], [], {})
    real = os.path.realpath(root)
    above = [real]
    for name in below.split("/") if below else ():
        if name in _SKIPPED_NAMES:
            return tree
        above.append(os.path.realpath(f"{above[-1]}/{name}"))
    if all(_inside(folder, real) for folder in above):
        _walk(root, f"{below}/" if below else "", tuple(above), skip, tree)
    return tree


def is_text(path: str) -> bool:
    """Whether a path is valid Unicode, so that it can be recorded."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _walk(root: str, prefix: str, above: tuple[str, ...], skip: frozenset[str], tree: Tree) -> None:
    """Adds one folder's content; ``above``: the real paths of the folders on the way here, which end a circle."""
    for entry in _entries(f"{root}/{prefix}"):
        if entry.name in _SKIPPED_NAMES or entry.name.startswith(TEMPORARY_PREFIX):
            continue
        path = prefix + entry.name
        with suppress(OSError):  # a link in a circle with itself
            if entry.is_dir():
                _enter(root, entry, path, above, skip, tree)
            elif entry.is_file():
                tree.files.append(path)


def _enter(root: str, entry: "os.DirEntry[str]", path: str, above: tuple[str, ...], skip: frozenset[str], tree: Tree) -> None:
    real = os.path.realpath(entry.path) if entry.is_symlink() else f"{above[-1]}/{entry.name}"
    if real in skip or real in above:
        return
    if not _inside(real, above[0]):
        tree.outside[path] = real
        return
    tree.folders.append(path)
    _walk(root, path + "/", (*above, real), skip, tree)


def _inside(folder: str, root: str) -> bool:
    return f"{folder}/".startswith(f"{root.rstrip('/')}/")


def _entries(folder: str) -> Iterable["os.DirEntry[str]"]:
    """What is in a folder; nothing if it is gone or may not be read, as no step could read it either."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ()
