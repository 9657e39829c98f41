"""The on-disk layout of a store: folder names, object paths, the format version.

Knows no bytes of objects and no manifest lines; docs/on-disk.md tells the same in prose.
"""

import json
import os

from cpods.digest import algorithm_of, of_bytes
from cpods.errors import StoreDamaged, UsageError
from cpods.store.files import replace_file

#: Version of the layout below and of the manifest lines. A store with a higher one is left alone.
FORMAT_VERSION = 1

OBJECTS, PACKS, MANIFESTS, PROJECTS = "objects", "packs", "manifests", "projects"
BATCHES = "batches"  # below MANIFESTS, whose other folders have names of two hex digits
TEMPORARY, QUARANTINE, FORMAT, LOCK = "tmp", "quarantine", "format", "lock"


def open_root(root: str) -> None:
    """Makes or checks a store's folder. Raises StoreDamaged if it is newer than this program or its mark is unreadable.

    Raises UsageError if a file is there.
    """
    mark = os.path.join(root, FORMAT)
    if os.path.exists(root) and not os.path.isdir(root):
        raise UsageError(f"{root}: the store is to be there, but this is a file; expected a folder in CPODS_STORE or [store] path")
    version = _read_version(mark)
    if version is None:
        os.makedirs(root, exist_ok=True)
        replace_file(mark, json.dumps({"cpods-store": FORMAT_VERSION}).encode() + b"\n")
    elif version > FORMAT_VERSION:
        raise StoreDamaged(
            f"{root}: the store has format {version}, this cpods knows {FORMAT_VERSION}: use a newer cpods or another CPODS_STORE"
        )
    for name in (OBJECTS, PACKS, MANIFESTS, PROJECTS, TEMPORARY):
        os.makedirs(os.path.join(root, name), exist_ok=True)


def object_path(root: str, digest: str) -> str:
    """Where an object lies: ``objects/xxh3/ab/cdef…``. Raises ValueError if the text is no digest."""
    algorithm = algorithm_of(digest)
    hexes = digest[len(algorithm) + 1 :]
    return f"{root}/{OBJECTS}/{algorithm}/{hexes[:2]}/{hexes[2:]}"


def quarantine_path(root: str, digest: str) -> str:
    """Where a damaged object is kept for inspection."""
    return f"{root}/{QUARANTINE}/{digest.replace(':', '-')}"


def manifest_path(root: str, key: str) -> str:
    """Where the manifest of a key lies: ``manifests/ab/<key hex>``."""
    name = key_name(key)
    return f"{root}/{MANIFESTS}/{name[:2]}/{name}"


def project_path(root: str, project: str) -> str:
    """Where a project's path records lie."""
    return f"{root}/{PROJECTS}/{key_name(project)}.jsonl"


def key_name(key: str) -> str:
    """A key as a file name: the hex of a digest, or the digest's hex of any other text."""
    try:
        return key[len(algorithm_of(key)) + 1 :]
    except ValueError:
        return of_bytes(key.encode("utf-8", "surrogateescape")).partition(":")[2]


def _read_version(mark: str) -> int | None:
    """The format version of a store, None for a new one."""
    try:
        with open(mark, "rb") as file:
            version = json.load(file)["cpods-store"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        version = None
    if not isinstance(version, int):
        raise StoreDamaged(f"{mark}: not the format mark of a cpods store; restore it or choose another CPODS_STORE")
    return version
