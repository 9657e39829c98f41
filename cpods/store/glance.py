"""The null-build check: whether everything that a finished build stood on is still as it was.

Knows no graph and no step; standard library and xxhash only, since its imports are a good part of a null build's time.
What a build stood on lies in columns, one file for each combination of goals and flags, rewritten after each good build.
"""

from __future__ import annotations

import gc
import os

from xxhash import xxh3_128_hexdigest

from cpods.store.columns import TYPE_CHECKING, Columns, packed, write
from cpods.store.filecolumns import ABSENT_SIZE, FileColumns, of_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from cpods.ids import FilePath
    from cpods.store.filecolumns import Row

#: A tool's file as it was: (path, size, mtime_ns, inode).
ToolStamp = tuple[str, int, int, int]

_DATABASE = b"SQLite format 3\0"
_FOLDER = "standing"
#: So many combinations of goals and flags are remembered; the one written longest ago gives way.
_FILES_MAX = 16
_INODE_MASK = (1 << 63) - 1


class Ground:
    """What a finished build stood on. ``globs``: digests of patterns' matches, see :func:`glob_digests`. All must hold for a null build."""

    def __init__(self, rows: Iterable[Row], stamps: Sequence[ToolStamp] = (), globs: Mapping[str, str] | None = None) -> None:
        self.rows = rows
        self.stamps = stamps
        self.globs = dict(globs or {})


class Look:
    """What a look at the ground of a build found. ``changed``: numbers of files with another content; none: it still stands.

    ``gone``: those of them that were there and are not, in order.
    """

    def __init__(self, columns: Columns, files: FileColumns, changed: list[int], gone: Sequence[int] = ()) -> None:
        self.columns = columns
        self.files = files
        self.changed = changed
        self.gone = gone

    def load(self, part: str) -> Any:
        """A part of what was remembered with it. Raises ValueError, KeyError, OSError."""
        return self.columns.load(part)


_kept: list[Look] = []


def keep(found: Look) -> None:
    """Keeps what a look found for whoever goes the long way in this process."""
    _kept[:] = [found]


def taken(place: str) -> Look | None:
    """What was kept of this file of columns, if the file is still the same. It is given away once."""
    found = _kept.pop() if _kept else None
    return found if found is not None and found.columns.path == place and found.columns.is_current() else None


#: Variables that say nothing about a build: they differ between two calls from one shell.
_VOLATILE = (
    "_",
    "CPODS_MAJORDOMO",
    "SHLVL",
    "PWD",
    "OLDPWD",
    "COLUMNS",
    "LINES",
    "WINDOWID",
    "TERM",
    "DISPLAY",
    "SSH_TTY",
    "SSH_CLIENT",
    "SSH_CONNECTION",
)


def environment_digest(environment: Mapping[str, str]) -> str:
    """A text that is the same for two environments in which a build would do the same."""
    text = "\0".join(f"{name}={value}" for name, value in sorted(environment.items()) if name not in _VOLATILE)
    return xxh3_128_hexdigest(text.encode("utf-8", "surrogateescape"))


def place_of(state_folder: str, key: str) -> str:
    """The file that remembers what builds with this key (goals and flags) stood on."""
    return os.path.join(state_folder, _FOLDER, xxh3_128_hexdigest(key.encode("utf-8", "surrogateescape")))


def opened(state_folder: str, root: str, key: str, environment: str, version: str, alone: bool = True) -> Columns | None:
    """What the last good build with this key stood on, if it was made by this version in this environment, and tools and
    matches of patterns are the same; else None. Files are still to be looked at.

    ``alone``: this process has no connection to the catalogue. Else its file is not opened: closing it again would end all
    locks that SQLite holds on it here, and another process would take the log away from under us (seen: a damaged catalogue).
    """
    catalogue = os.path.join(state_folder, "catalogue.db")
    try:
        if not (_is_database(catalogue) if alone else os.stat(catalogue).st_size >= len(_DATABASE)):
            return None
        columns = Columns(place_of(state_folder, key))
    except (OSError, ValueError):
        return None
    try:
        header = columns.load("header")
        made = (header["key"], header["root"], header["version"], header["environment"])
        if made == (key, root, version, environment) and circumstances_hold(root, header):
            return columns
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        pass
    columns.close()
    return None


def _is_database(path: str) -> bool:
    """Whether there is a catalogue that begins as one does: without it nothing is known of the steps. Raises OSError."""
    with open(path, "rb") as file:
        return file.read(len(_DATABASE)) == _DATABASE


def look(state_folder: str, root: str, key: str, environment: str, version: str) -> Look | None:
    """Looks at every file that the last good build with this key stood on. None: there is nothing to go by.

    Any doubt is None: the long way then tells what is wrong. Changes nothing, save that files which had to be hashed, because
    their times proved nothing, are noted with their present times.
    """
    enabled = gc.isenabled()
    gc.disable()  # rows are many and hold no circles: looking for some would cost as much as reading them
    try:
        columns = opened(state_folder, root, key, environment, version)
        return None if columns is None else _looked(columns, root)
    finally:
        if enabled:
            gc.enable()


def _looked(columns: Columns, root: str) -> Look | None:
    try:
        files = FileColumns.of_parts(columns)
        gone, doubtful = files.survey(root)
        changed, renewed = files.changed(root, doubtful)
        return Look(_renewed(columns, files) if renewed else columns, files, gone + changed, gone)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        columns.close()
        return None


def _renewed(columns: Columns, files: FileColumns) -> Columns:
    """The columns with files' present times, as far as they can be written: it only saves the next call some hashing."""
    try:
        return rewrite(columns, files.parts())
    except (OSError, ValueError, KeyError):
        return columns


def rewrite(columns: Columns, parts: Mapping[str, bytes]) -> Columns:
    """Writes a file of columns again with some parts replaced, and opens it in the place of the old. Raises OSError, ValueError."""
    old = {name: columns.raw(name) for name in columns.names() if name not in parts}
    write(columns.path, {**old, **parts})
    columns.close()
    return Columns(columns.path)


def remember(
    state_folder: str,
    root: str,
    key: str,
    environment: str,
    version: str,
    ground: Ground,
    files: FileColumns | None = None,
    parts: Mapping[str, bytes] | None = None,
    store: str = "",
) -> None:
    """Notes at the end of a build what it stood on, with further ``parts`` of the caller's. Raises OSError.

    ``files``: the columns of ``ground.rows``, if the caller made them already. ``store``: the folder of the store that has
    every product as it stands; the catalogue must be closed then.
    """
    if files is None:
        files = of_rows(ground.rows)
    header = {
        "key": key,
        "root": root,  # a project that was moved or copied names its old place in files such as SyncTeX's
        "version": version,
        "environment": environment,
        "stamps": [tuple(stamp) for stamp in ground.stamps],
        "globs": ground.globs,
        "store": store,
        "catalogue": catalogue_stamp(state_folder),
    }
    place = place_of(state_folder, key)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    write(place, {"header": packed(header), **files.parts(), **(parts or {})})
    _thin_out(os.path.dirname(place))


def catalogue_stamp(state_folder: str) -> list[tuple[int, ...]]:
    """Tells whether anything was written to the catalogue since. Opens nothing."""
    found: list[tuple[int, ...]] = []
    for name in ("catalogue.db", "catalogue.db-wal"):
        try:
            now = os.stat(os.path.join(state_folder, name))
        except OSError:
            found.append(())
        else:  # an empty log is as good as none
            found.append((now.st_size, now.st_mtime_ns, now.st_ino) if now.st_size else ())
    return found


def forget(state_folder: str) -> None:
    """Drops all that was remembered: the next build looks at everything. Raises OSError."""
    folder = os.path.join(state_folder, _FOLDER)
    if os.path.isdir(folder):
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))


def _thin_out(folder: str) -> None:
    names = os.listdir(folder)
    if len(names) > _FILES_MAX:
        try:
            ages = sorted((os.stat(os.path.join(folder, name)).st_mtime_ns, name) for name in names)
            for _, name in ages[:-_FILES_MAX]:
                os.unlink(os.path.join(folder, name))
        except OSError:
            pass  # another process does the same


def tools_hold(stamps: Iterable[Sequence[Any]]) -> bool:
    """Whether files of tools are as they were: (path, size, mtime_ns, inode)."""
    for path, size, mtime_ns, inode in stamps:
        try:
            now = os.stat(path)
        except OSError:
            if size != ABSENT_SIZE:
                return False
            continue
        if (now.st_size, now.st_mtime_ns, now.st_ino & _INODE_MASK) != (size, mtime_ns, inode & _INODE_MASK):
            return False
    return True


def circumstances_hold(root: str, header: Mapping[str, Any]) -> bool:
    """Whether the tools behind a remembered build are the same, and patterns match the same files."""
    return tools_hold(header["stamps"]) and globs_hold(root, header["globs"])


def globs_hold(root: str, globs: Mapping[str, str]) -> bool:
    """Whether patterns match the same files as when these digests were taken."""
    return not globs or glob_digests(root, list(globs)) == globs


def glob_digests(root: str, patterns: Sequence[str]) -> dict[str, str]:
    """Pattern -> digest of its sorted matches; only the folders that a pattern names literally are walked."""
    if not patterns:
        return {}
    from cpods.digest import of_parts
    from cpods.globs import expand, literal_folder
    from cpods.store.tree import is_text, walk

    listings: dict[str, list[FilePath]] = {}
    digests = {}
    for pattern in patterns:
        below = literal_folder(pattern)
        if below not in listings:
            listings[below] = [path for path in walk(root, below=below).files if is_text(path)]
        digests[pattern] = of_parts(expand(pattern, listings[below]))
    return digests
