"""What a build stood on, kept in memory: which of the paths that may have changed really did.

Knows no watch and no step. A good build leaves a Standing, from which slices can be cut; of another only files are known.
"""

import marshal
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from cpods import __version__
from cpods.globs import literal_folder
from cpods.ids import GLOB_FACT, FilePath, is_outside, within
from cpods.scheduler.lookout import Changes
from cpods.standing import Standing
from cpods.store import glance
from cpods.store.columns import Columns
from cpods.store.filecolumns import FileColumns, Row, of_rows
from cpods.store.tree import is_text, walk

#: Links from one to the next are followed this far.
_HOPS_MAX = 40
#: Every file of the project; its hidden ones are told of by their own names.
ALL_FILES = "**/*"


class Footing:
    """Files, tools and patterns that a build stood on; ``standing`` if it came to a good end.

    ``differing``: numbers of files with another content than the build saw. ``circumstances``: whether tools or matches differ.
    ``products``: what its steps were to make, whether they did or not. ``whole``: if every file and folder of the project
    counted, those that were not there included: what :func:`folders_digest` said; else ''.
    """

    def __init__(
        self,
        root: str,
        files: FileColumns,
        stamps: Sequence[Sequence[Any]],
        globs: Mapping[str, str],
        standing: Standing | None = None,
        products: Iterable[FilePath] = (),
        whole: str = "",
    ) -> None:
        self.root = root
        self.standing = standing
        self._whole = whole
        self.products = frozenset(products)
        self._own_files = files
        self._stamps = stamps
        self._globs = dict(globs)
        self.differing: set[int] = set()
        self.accepted: set[int] = set()  # of these, those that are not to be told of until they change again
        self.circumstances = False
        self.linked: set[str] = set()  # absolute paths of files that have more names than one
        self._looked_at = False
        self._noted: FileColumns | None = None
        self._elsewhere: dict[str, list[FilePath]] = {}  # where links lead -> the links, as project paths

    @property
    def files(self) -> FileColumns:
        """The files; a slice may have put new columns in the place of the old."""
        return self.standing.files if self.standing is not None else self._own_files

    def stamps(self) -> Sequence[Sequence[Any]]:
        """The tools' files: (path, size, mtime_ns, inode)."""
        return self.standing.stamps() if self.standing is not None else self._stamps

    def globs(self) -> Mapping[str, str]:
        """Patterns whose matches count, with the digests of these."""
        return self.standing.glob_digests() if self.standing is not None else self._globs

    def folders(self) -> set[str]:
        """Absolute folders whose entries decide whether all of it still holds. They need not exist."""
        if self._noted is not self.files:  # a slice may have put new columns in the place of the old
            self._note_links()
            self._noted = self.files
        files = self.files
        found = {os.path.join(self.root, folder) for folder in files.folders}
        found |= {os.path.dirname(os.path.join(self.root, path)) for path in files.absent}
        found |= {os.path.dirname(path) for path in self._elsewhere}
        found |= {os.path.dirname(str(stamp[0])) for stamp in self.stamps()}
        for base in self._bases():
            found |= {base, *(os.path.join(base, folder) for folder in walk(base).folders)}
        return {os.path.normpath(folder) for folder in found}

    # -- what changed ----------------------------------------------------------------------------------------------

    def concerns(self, changes: Changes) -> bool:
        """Whether something that the build stood on may have changed; looks at no file."""
        return changes.everything or bool(changes.below) or self._touches_circumstances(changes) or any(True for _ in self._named(changes))

    def check(self, changes: Changes) -> list[FilePath]:
        """Looks at what may have changed; the project paths (and glob facts) among these that differ now."""
        if changes.everything:
            return self.check_all()
        suspects = set(self._named(changes))
        found = set(self._touched(suspects))
        self.accepted -= suspects
        self.differing -= suspects - found
        self.differing |= found
        circumstances = self._check_circumstances() if self._touches_circumstances(changes) else []
        return [*(self.files.path(number) for number in sorted(found)), *circumstances]

    def check_all(self) -> list[FilePath]:
        """Looks at everything; what differs now."""
        self.differing = set(self._touched(None))
        return [*(self.files.path(number) for number in sorted(self.differing)), *self._check_circumstances()]

    def relink(self, changes: Changes) -> bool:
        """Takes notice of files that have become links, lead elsewhere, or got a second name, whatever they hold.

        Whether more is to be watched than before: they may now change where nobody listens.
        """
        if changes.everything:
            before = set(self._elsewhere), set(self.linked)
            self._note_links()
            self.find_linked()
            return before != (set(self._elsewhere), self.linked)
        return any([self._relinked(number) for number in set(self._named(changes))])

    def _relinked(self, number: int) -> bool:
        path = self.files.path(number)
        absolute = os.path.join(self.root, path)
        more = False
        with suppress(OSError):
            status = os.lstat(absolute)
            if stat.S_ISLNK(status.st_mode):
                for place in _hops(absolute):
                    if path not in self._elsewhere.get(place, ()):
                        self._elsewhere.setdefault(place, []).append(path)
                        more = True
                status = os.stat(absolute)
            if status.st_nlink > 1 and absolute not in self.linked:
                self.linked.add(absolute)
                more = True
        return more

    def renew(self) -> None:
        """After a slice, of whose own files alone the watch tells: what was known to differ was seen by the build."""
        self.accepted.clear()
        self.differing.clear()

    def follow(self, old: "Footing", pending: Changes) -> set[int] | None:
        """Takes over from the footing of an earlier build what is known by watching: numbers of the files still to be looked at.

        ``pending``: what may have changed since ``old`` was last checked. None if the two do not stand on the same files.
        """
        mine, others = self.files, old.files
        if (
            pending.everything
            or not old._looked_at
            or (mine.folders, mine.names, mine.absent) != (others.folders, others.names, others.absent)
        ):
            return None
        suspects = set(mine.unlike(others)) | mine.racy | old.differing
        self.linked, self._elsewhere, self._noted = old.linked, old._elsewhere, mine
        self.find_linked(suspects)
        return suspects | set(self._named(pending))

    def look(self, suspects: set[int] | None) -> None:
        """Looks at these files (None: at all) and at tools and matches, once everything is watched: what comes later is told."""
        self._looked_at = True
        self.differing = set(self._touched(suspects))
        self._check_circumstances()

    def news(self) -> list[FilePath]:
        """What is known to differ, tools and patterns included, without what was accepted."""
        files = [self.files.path(number) for number in sorted(self.differing - self.accepted)]
        return files + (self._check_circumstances() if self.circumstances else [])

    def knows(self, path: FilePath) -> bool:
        """Whether the build stood on this file, tool or pattern (a glob fact): it has seen what became of it."""
        if path.startswith(GLOB_FACT):
            return bool(self._whole) or path[len(GLOB_FACT) :] in self.globs()
        if self.files.number(path) is not None or (self._whole != "" and not is_outside(path)):
            return True
        return any(str(stamp[0]) == path for stamp in self.stamps())

    def suspects(self, changes: Changes) -> list[FilePath]:
        """Files that these changes may concern; not if that may be all of them. Looks at none."""
        return [self.files.path(number) for number in set(self._named(changes))]

    def is_changed(self, path: FilePath) -> bool:
        """Whether one file has another content than the build saw."""
        return bool(self._touched({number for number in self.file_numbers((path,))}))

    def holds(self) -> bool:
        """Whether, as far as is known, nothing differs. Tools are looked at now."""
        return not self.differing and not self.circumstances and glance.tools_hold(self.stamps())

    def find_linked(self, numbers: Iterable[int] | None = None) -> None:
        """Files (None: all) with more names than one are to be watched themselves."""
        for number in range(self.files.starts[-1]) if numbers is None else numbers:
            absolute = os.path.join(self.root, self.files.path(number))
            with suppress(OSError):
                if os.stat(absolute).st_nlink > 1:
                    self.linked.add(absolute)

    def save(self) -> None:
        """Writes down what slices changed, unless another call wrote the same file meanwhile."""
        if self.standing is not None and self.standing.is_current():
            with suppress(OSError, ValueError):
                self.standing.save()

    def close(self) -> None:
        """Saves what can be saved."""
        if self.standing is not None:
            self.standing.close()

    def _touched(self, numbers: set[int] | None) -> list[int]:
        if self.standing is not None:
            return self.standing.touched(numbers)
        doubtful = self.files.differing(self.root) if numbers is None else [n for n in numbers if self.files.differs(self.root, n)]
        return self.files.changed(self.root, doubtful)[0]

    def file_numbers(self, paths: Iterable[FilePath]) -> Iterator[int]:
        """Numbers of those project paths that count."""
        for path in paths:
            number = self.files.number(path)
            if number is not None:
                yield number

    def _named(self, changes: Changes) -> Iterator[int]:
        """Numbers of files that these changes may concern."""
        for path in changes.paths:
            yield from self.file_numbers((within(path, self.root), *self._elsewhere.get(path, ())))
        for folder in changes.below:
            yield from self._below(folder)

    def _below(self, folder: str) -> Iterator[int]:
        prefix = folder.rstrip("/") + "/"
        for number in range(len(self.files)):
            absolute = os.path.join(self.root, self.files.path(number))
            if absolute.startswith(prefix) or absolute == folder:
                yield number
        for absolute, paths in self._elsewhere.items():
            if absolute.startswith(prefix) or absolute == folder:
                yield from self.file_numbers(paths)

    def _touches_circumstances(self, changes: Changes) -> bool:
        bases = self._bases()
        touched = [*changes.paths, *changes.below]
        if any(f"{path}/".startswith(f"{base}/") or f"{base}/".startswith(f"{path}/") for path in touched for base in bases):
            return True
        return not changes.paths.isdisjoint(str(stamp[0]) for stamp in self.stamps())

    def _check_circumstances(self) -> list[FilePath]:
        now = glance.glob_digests(self.root, list(self.globs()))
        found = [GLOB_FACT + pattern for pattern, digest in self.globs().items() if now[pattern] != digest]
        if self._whole and not found and folders_digest(self.root) != self._whole:
            found.append(GLOB_FACT + ALL_FILES)
        found += [str(stamp[0]) for stamp in self.stamps() if not glance.tools_hold([stamp])]
        self.circumstances = bool(found)
        return found

    def _bases(self) -> set[str]:
        """The folders from which on patterns' matches are looked for."""
        return {os.path.join(self.root, literal_folder(pattern)).rstrip("/") for pattern in self.globs()}

    # -- links -----------------------------------------------------------------------------------------------------

    def _note_links(self) -> None:
        """Files are also changed where links among them lead, and under their other names."""
        self._elsewhere.clear()
        for folder in self.files.folders:
            with suppress(OSError), os.scandir(os.path.join(self.root, folder)) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        path = within(os.path.join(self.root, folder, entry.name), self.root)
                        if self.files.number(path) is not None:
                            for place in _hops(entry.path):
                                self._elsewhere.setdefault(place, []).append(path)
        climbing = [path for path in self.files.absent if path.startswith("../")]
        for folder, names in zip(self.files.folders, self.files.names, strict=True):
            if folder == ".." or folder.startswith("../"):
                climbing += [f"{folder}/{name}" for name in names]
        for path in climbing:
            self._elsewhere.setdefault(os.path.normpath(os.path.join(self.root, path)), []).append(path)


def of_good_build(state: str, root: str, key: str, environment: Mapping[str, str]) -> Footing | None:
    """What the last good build with this key stood on; None if there is none for this environment, or tools or matches changed.

    No file has been looked at yet.
    """
    columns = glance.opened(state, root, key, glance.environment_digest(environment), __version__, alone=False)
    if columns is None:
        return None
    try:
        files = FileColumns.of_parts(columns)
        return Footing(root, files, (), {}, Standing(columns, files, root))
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        columns.close()
        return None


def last_key(state: str, environment_digest: str, version: str) -> str | None:
    """The key of the last good build by this version in this environment; None if there is none."""
    folder = os.path.dirname(glance.place_of(state, ""))
    with suppress(OSError):
        for _, name in sorted(((os.stat(os.path.join(folder, name)).st_mtime_ns, name) for name in os.listdir(folder)), reverse=True):
            with suppress(OSError, ValueError, KeyError, TypeError, EOFError):
                columns = Columns(os.path.join(folder, name))
                try:
                    header = columns.load("header")
                finally:
                    columns.close()
                if (header["version"], header["environment"]) == (version, environment_digest):
                    return str(header["key"])
    return None


def folders_digest(root: str) -> str:
    """A digest of the names of all folders of a project, and of links to folders outside: each may be in the way of a product."""
    from cpods.digest import of_parts

    tree = walk(root)
    return of_parts(sorted(path for path in (*tree.folders, *tree.outside) if is_text(path)))


def read_ground(path: str, root: str) -> Footing | None:
    """What a build stood on that came to no good end, as ground.py wrote it; None if that cannot be read."""
    try:
        with open(path, "rb") as file:
            rows, stamps, globs, products, whole = marshal.load(file)
    except (OSError, ValueError, EOFError, TypeError):
        return None
    return footing_from(root, rows, stamps, globs, products, whole)


def footing_from(
    root: str,
    rows: Iterable[Row],
    stamps: Sequence[Sequence[Any]],
    globs: Mapping[str, str],
    products: Iterable[FilePath] = (),
    whole: str = "",
) -> Footing | None:
    """A footing of these rows; None if their digests are not all of one algorithm (the store was changed for another)."""
    try:
        return Footing(root, of_rows(rows), stamps, globs, products=products, whole=whole)
    except ValueError:
        return None


def _hops(link: str) -> list[str]:
    """Where a link leads, and the links on the way."""
    found: list[str] = []
    here = link
    while len(found) < _HOPS_MAX:
        try:
            there = os.readlink(here)
        except OSError:
            break
        here = os.path.normpath(os.path.join(os.path.dirname(here), there))
        found.append(here)
    return [*found, os.path.realpath(link)]
