"""Which files installed packages answer for: the TeX trees, and the (package, version) list of their owners.

Knows no chef and no step; reads dpkg's or TeX Live's own records, starts no process.
"""

import os
import re
from collections.abc import Collection, Iterable, Sequence

import msgspec

#: Folders whose files come from packages: the tool fingerprint covers them.
COVERED = ("/usr/", "/etc/texmf/", "/etc/fonts/", "/var/lib/texmf/", "/var/lib/tex-common/", "/var/cache/", "/proc/", "/dev/")
#: Below COVERED, but filled by hand.
NOT_COVERED = ("/usr/local/", "/dev/shm/")

#: The trees that TeX tools read from packages.
TEX_TREES = ("/usr/share/texlive", "/usr/share/texmf", "/usr/share/texmf-dist", "/usr/share/fonts", "/etc/texmf", "/var/lib/texmf")

_PACKAGE = re.compile(rb"^Package: (\S+)$", re.MULTILINE)
_VERSION = re.compile(rb"^Version: (\S+)$", re.MULTILINE)
_ARCHITECTURE = re.compile(rb"^Architecture: (\S+)$", re.MULTILINE)
_INSTALLED = re.compile(rb"^Status: \S+ \S+ installed$", re.MULTILINE)
_TOOL_CACHE = re.compile(r"(?:^|/)(?:texmf-var|\.cpods|texmf-cache|luatexbase-cache|luatex-cache|texfonts)(?:/|$)")


def is_covered(path: str) -> bool:
    """Whether an absolute path lies in a folder whose files packages own."""
    return path.startswith(COVERED) and not path.startswith(NOT_COVERED)


def is_tool_cache(path: str) -> bool:
    """Whether a path lies in a tool's own cache (generated fonts, Lua font caches): never part of a key."""
    return path.startswith("/") and _TOOL_CACHE.search(path) is not None


class PackageList(msgspec.Struct, frozen=True):
    """The owners of some trees: sorted (package, version), and the stat stamps that decide whether it still holds."""

    packages: tuple[tuple[str, str], ...]
    stamps: tuple[tuple[str, int, int, int], ...]


def stamp(path: str) -> tuple[str, int, int, int]:
    """(path, size, mtime_ns, inode) of a file or folder; -1 for each number if there is none."""
    try:
        state = os.stat(path)
    except OSError:
        return (path, -1, -1, -1)
    return (path, state.st_size, state.st_mtime_ns, state.st_ino)


def versions(status: bytes, wanted: Collection[str]) -> dict[str, str]:
    """Package (``name`` or ``name:architecture``, as in ``wanted``) -> version of installed packages in a dpkg status file."""
    names = {name.partition(":")[0].encode() for name in wanted}
    found: dict[str, str] = {}
    for stanza in status.split(b"\n\n"):
        head = _PACKAGE.search(stanza)
        version = _VERSION.search(stanza) if head and head[1] in names else None
        if head is None or version is None or not _INSTALLED.search(stanza):
            continue
        architecture = _ARCHITECTURE.search(stanza)
        name, value = head[1].decode("utf-8", "replace"), version[1].decode("utf-8", "replace")
        found[name] = value
        if architecture:
            found[f"{name}:{architecture[1].decode()}"] = value
    return found


def _owns(listing: str, needles: Sequence[bytes]) -> bool:
    try:
        with open(listing, "rb") as file:
            data = file.read()
    except OSError:
        return False
    # Package lists name every file with a leading slash at the start of its line.
    return any(needle in data for needle in needles)


def owners(info: str, trees: Sequence[str]) -> list[str]:
    """Names of the packages in dpkg's ``info`` folder that own a file below one of the trees, sorted."""
    needles = [b"\n" + tree.rstrip("/").encode() + b"/" for tree in trees]
    try:
        names = sorted(entry for entry in os.listdir(info) if entry.endswith(".list"))
    except OSError:
        return []
    return [name[: -len(".list")] for name in names if _owns(os.path.join(info, name), needles)]


def dpkg_packages(status: str, info: str, trees: Sequence[str]) -> PackageList | None:
    """The owners by dpkg, None if there is no dpkg database."""
    stamps = stamp(status), stamp(info)  # before they are read: what changes meanwhile shows
    try:
        with open(status, "rb") as file:
            data = file.read()
    except OSError:
        return None
    names = owners(info, trees)
    known = versions(data, names)
    found = sorted((name, known[name]) for name in names if name in known)
    return PackageList(tuple(found), stamps)


def tlpdb_packages(database: str) -> PackageList | None:
    """The packages and revisions of a TeX Live installation by its ``texlive.tlpdb``, None if there is none."""
    try:
        with open(database, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    found = re.findall(r"^name (\S+)\n(?:(?!\n).*\n)*?revision (\d+)$", text, re.MULTILINE)
    return PackageList(tuple(sorted(found)), (stamp(database),))


def first_existing(paths: Iterable[str]) -> str | None:
    """The first of these paths that is there."""
    return next((path for path in paths if os.path.exists(path)), None)
