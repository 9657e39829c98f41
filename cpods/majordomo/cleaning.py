"""Removes generated files that are still as cpods made them; what was edited since stays.

Knows no step and no store: the next build takes everything back from there.
"""

import os
import posixpath
from collections.abc import Collection, Iterable, Mapping

import msgspec

from cpods.digest import ABSENT
from cpods.ids import FilePath
from cpods.ports import Workspace, Written


class Cleaning(msgspec.Struct, frozen=True):
    """What is to go. ``remove``: unmodified; ``gone``: not there any more; ``edited``: changed since, they stay."""

    remove: tuple[FilePath, ...]
    gone: tuple[FilePath, ...]
    edited: tuple[FilePath, ...]


def survey(folder: Workspace, written: Mapping[FilePath, Written]) -> Cleaning:
    """Looks at every generated file. Raises OSError for one that cannot be read."""
    remove: list[FilePath] = []
    gone: list[FilePath] = []
    edited: list[FilePath] = []
    for path in sorted(written):
        present = folder.digest(path)
        kind = gone if present == ABSENT else remove if present == written[path].digest else edited
        kind.append(path)
    return Cleaning(tuple(remove), tuple(gone), tuple(edited))


def carry_out(cleaning: Cleaning, folder: Workspace, kept_folders: Iterable[str]) -> list[str]:
    """Removes the files, then the folders that held them and are empty now. Returns those folders. Raises OSError.

    ``kept_folders``: project paths of folders that steps run in; they stay, with those above them.
    """
    for path in cleaning.remove:
        folder.remove(path)
    kept = {above for name in kept_folders for above in _upwards(posixpath.normpath(name))}
    return _remove_empty(folder.root, {posixpath.dirname(path) for path in (*cleaning.remove, *cleaning.gone)}, kept)


def _remove_empty(root: str, candidates: Collection[str], kept: Collection[str]) -> list[str]:
    removed = []
    every = {above for name in candidates for above in _upwards(name)}
    for name in sorted(every, key=lambda path: path.count("/"), reverse=True):
        absolute = os.path.join(root, name)
        if name not in kept and os.path.isdir(absolute) and not os.path.islink(absolute) and not os.listdir(absolute):
            os.rmdir(absolute)
            removed.append(name)
    return sorted(removed)


def _upwards(path: str) -> list[str]:
    """A folder's path and those above it, without the project folder itself."""
    found = []
    while path not in ("", ".", "/"):
        found.append(path)
        path = posixpath.dirname(path)
    return found
