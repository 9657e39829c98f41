"""Footings of files as they are now, without a build.

Knows no watch.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from cpods.digest import of_bytes
from cpods.resident.footing import Footing, footing_from
from cpods.store.filecolumns import ABSENT_SIZE, Row
from cpods.store.glance import glob_digests


def row(root: Path, path: str) -> Row:
    """A file as it is now, hashed long after it was written."""
    place = root / path
    if not place.exists():
        return (path, ABSENT_SIZE, 0, 0, 0, "", 0)
    now = place.stat()
    return (path, now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino, of_bytes(place.read_bytes()), time.time_ns() + 10**9)


def footing(root: Path, *paths: str, globs: tuple[str, ...] = (), tools: tuple[str, ...] = (), products: Iterable[str] = ()) -> Footing:
    stamps = [(tool, status.st_size, status.st_mtime_ns, status.st_ino) for tool in tools for status in [os.stat(tool)]]
    found = footing_from(str(root), [row(root, path) for path in paths], stamps, glob_digests(str(root), globs), products)
    assert found is not None
    found.folders()
    return found
