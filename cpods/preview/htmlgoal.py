"""An HTML goal: its last good version, and the files beside it that it uses.

Knows no browser and no build. Files are handed out from below the goal's own folder only: no hidden ones, and none that a symbolic
link brings in from elsewhere.
"""

import asyncio
import os
import stat
import urllib.parse
from collections.abc import Sequence
from typing import BinaryIO

#: Files whose change counts as a new version. A page uses a few dozen.
_USED_MAX = 4096

Stamp = tuple[int, int, int]


class HtmlGoal:
    """``name``: its project path."""

    kind = "html"

    def __init__(self, root: str, name: str) -> None:
        self.name = name
        self.version = 0
        self._folder, self._base = os.path.split(os.path.join(root, name))
        self._content: bytes | None = None
        self._used: dict[str, Stamp | None] = {}

    @property
    def address(self) -> str:
        """Of the document, below the goal's number."""
        return "html/" + urllib.parse.quote(self._base)

    async def look(self) -> bool:
        """Takes the document and what it uses as the new version, if anything changed; whether it did."""
        changed = await asyncio.to_thread(self._changed)
        self.version += changed
        return changed

    def read(self, parts: Sequence[str]) -> bytes | BinaryIO | None:
        """The last good document, or a file below its folder; None if there is none to be handed out. Blocks: for a thread."""
        if tuple(parts) == (self._base,):
            return self._content
        path = "/".join(parts)
        file = _open_below(self._folder, parts)
        if path in self._used or len(self._used) < _USED_MAX:
            self._used[path] = _stamp(os.fstat(file.fileno())) if file else None
        return file

    async def close(self) -> None:
        """Nothing is held open."""

    def _changed(self) -> bool:
        try:
            with open(os.path.join(self._folder, self._base), "rb") as file:
                content = file.read()
        except OSError:
            return False  # the last good one stays
        changed = content != self._content
        self._content = content
        for path, before in list(self._used.items()):
            file_now = _open_below(self._folder, path.split("/"))
            stamp = None
            if file_now:
                with file_now:
                    stamp = _stamp(os.fstat(file_now.fileno()))
            if stamp != before:
                self._used[path] = stamp
                changed = True
        return changed


def _open_below(folder: str, parts: Sequence[str]) -> BinaryIO | None:
    """A regular file below ``folder``. Where it really lies is asked after it was opened, so no link can be changed in between."""
    if not parts or any(not _plain(part) for part in parts):
        return None
    try:
        # A pipe would wait for its writer.
        descriptor = os.open(os.path.join(folder, *parts), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    file = os.fdopen(descriptor, "rb", closefd=True) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    if file is None:
        os.close(descriptor)
        return None
    inside = os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), os.path.realpath(folder))
    if all(_plain(part) for part in inside.split("/")):
        return file
    file.close()
    return None


def _plain(part: str) -> bool:
    """A name in a folder: not the folder, not the one above, not hidden."""
    return bool(part) and not part.startswith(".") and "/" not in part and "\0" not in part


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_size, found.st_mtime_ns, found.st_ino
