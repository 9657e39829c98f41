"""The recorder file of a TeX engine (.fls), and what a run read, missed and wrote, out of it and of the search trace.

Knows no tool options: it only joins what was reported with what was there before the run.
"""

import re
from collections.abc import Iterable

import msgspec

from cpods.chefs.kpathsea import Trace
from cpods.chefs.packages import is_covered, is_tool_cache
from cpods.ids import STATE_FOLDER, FilePath, is_outside, normalise
from cpods.ports import View

#: Reports of tools about a run: never read back as state.
NEVER_READ = (".log", ".fls", ".synctex.gz", ".synctex", ".synctex(busy)", ".synctex.gz(busy)", ".blg", ".ilg", ".glg")
#: Of these the folder never sees any.
NEVER_WRITTEN = (".fls", ".synctex(busy)", ".synctex.gz(busy)")

_STRAY = re.compile(r"(?:^|/)(?:texput\.\w+|missfont\.log)$")
#: Own font trees are covered by their listing in the fingerprint; a candidate in every folder of them tells nothing new.
_OWN_TREE = re.compile(r"/(?:\.texlive\d*|[^/]*texmf[^/]*)(?:/|$)")


class Recording(msgspec.Struct, frozen=True):
    """What an engine recorded. ``folder``: where it ran; ``events``: (``INPUT`` or ``OUTPUT``, path) in time order."""

    folder: str
    events: tuple[tuple[str, str], ...]


class Traffic(msgspec.Struct, frozen=True):
    """Project paths that a run read (content from before it), missed, and wrote; sorted."""

    reads: tuple[FilePath, ...]
    absent: tuple[FilePath, ...]
    writes: tuple[FilePath, ...]


def parse_fls(data: bytes) -> Recording:
    """Reads an .fls file. Lines repeat there; the first of each kind is kept."""
    folder = ""
    events: dict[tuple[str, str], None] = {}
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        kind, _, path = line.partition(" ")
        if kind == "PWD":
            folder = path
        elif kind in ("INPUT", "OUTPUT") and path:
            events[(kind, path.strip('"'))] = None
    return Recording(folder, tuple(events))


class Places:
    """Turns paths as a tool named them into project paths."""

    def __init__(self, root: str, cwd: str, folder: str = "") -> None:
        """``folder``: the working folder as the tool saw it (symlinks resolved), which tells the real root."""
        self._cwd = cwd
        self._roots = [root.rstrip("/") + "/"]
        tail = "" if cwd == "." else "/" + cwd
        if folder and folder.endswith(tail):
            self._roots.append((folder[: -len(tail)] if tail else folder).rstrip("/") + "/")

    def project_path(self, path: str) -> FilePath | None:
        """The project path; an absolute one outside; None for what never counts (package trees, tool caches, cpods' own)."""
        named = normalise(path, self._cwd)
        if named.startswith("../"):
            named = normalise(self._roots[0] + named)
        for root in self._roots:
            if named.startswith(root):
                named = named[len(root) :]
        if is_covered(named) or is_tool_cache(named) or named.split("/", 1)[0] == STATE_FOLDER:
            return None
        return named if named not in (".", "") and named.isprintable() else None


def is_report(path: FilePath) -> bool:
    """Whether a path is a tool's report on a run (.log, .fls, .synctex.gz, ...), which no reader depends on."""
    return path.endswith(NEVER_READ) or _STRAY.search(path) is not None


def _kept_write(path: FilePath) -> bool:
    return not path.endswith(NEVER_WRITTEN) and _STRAY.search(path) is None and not is_outside(path)


def _first_reads(events: Iterable[tuple[str, str]], places: Places) -> tuple[list[FilePath], set[FilePath]]:
    """Paths read before the same run wrote them, and all paths written."""
    reads: dict[FilePath, None] = {}
    written: set[FilePath] = set()
    for kind, name in events:
        path = places.project_path(name)
        if path is None:
            continue
        if kind == "OUTPUT":
            written.add(path)
        elif path not in written:
            reads[path] = None
    return list(reads), written


def _missed(names: Iterable[str], places: Places, view: View) -> set[FilePath]:
    absent = set()
    for name in names:
        path = places.project_path(name)
        if path is None or is_report(path) or (is_outside(path) and _OWN_TREE.search(path)):
            continue
        if not (view.exists(path) if is_outside(path) else view.before(path)):
            absent.add(path)
    return absent


def traffic(recording: Recording, trace: Trace, view: View, places: Places) -> Traffic:
    """Joins recorder and trace.

    A file read before it was written, and there before the run, was read; one that was not there is the run's own (even
    if another program, such as a converter, wrote it) and counts as absent only if a search missed it first.
    """
    recorded, written = _first_reads(recording.events, places)
    traced, opened = _first_reads(trace.events, places)
    # A path that only the trace names, and whose write only the recorder saw: the order is unknown, a write came first.
    late = {path for path in traced if path in written - opened and path not in recorded}
    written |= opened
    reads = {path for path in [*recorded, *traced] if path not in late and not is_report(path) and (is_outside(path) or view.before(path))}
    changed = set(view.changed())
    writes = {path for path in changed | written if _kept_write(path) and view.exists(path)}
    absent = _missed(trace.missed, places, view)
    return Traffic(tuple(sorted(reads)), tuple(sorted(absent - reads)), tuple(sorted(writes)))


def appeared(view: View) -> tuple[FilePath, ...]:
    """Files that were not there before the run and are there now, reports aside: what a tool may have looked for unseen."""
    return tuple(path for path in view.changed() if not view.before(path) and not is_report(path))
