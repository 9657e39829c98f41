"""What the last good build of a call left standing: every file it stood on, who reads and makes it, and what was said.

Kept in columns (a file's name, its state, its digest; steps as numbers), so that 100,000 steps take some ten megabytes. From
it comes what a change reaches: the slice of the project that the next build has to look at. Knows no terminal and no socket.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from cpods import __version__
from cpods.declaration import Project
from cpods.graph.reach import Entry, Reach, from_columns, reach_of
from cpods.ids import FilePath
from cpods.majordomo.context import Build
from cpods.majordomo.ground import entries_of, ground_of, stands_as_made
from cpods.majordomo.slicing import Slice, outside_touched, slice_of, whole_project
from cpods.project import PROJECT_FILE
from cpods.store import glance
from cpods.store.columns import Columns, packed, write
from cpods.store.filecolumns import ABSENT_SIZE, RACY_NS, FileColumns, Row, of_rows
from cpods.store.glance import Look, ToolStamp
from cpods.store.summary import Shown, goal_entry, lines_of

_DAMAGES = (OSError, ValueError, KeyError, TypeError, EOFError, AssertionError)


class Standing:
    """One call's ground, in memory. ``changed``: numbers of files that the look at all of them found changed."""

    def __init__(self, columns: Columns, files: FileColumns, root: str) -> None:
        self._columns = columns
        self._root = root
        self.files = files
        reach, wary = columns.load("reach")
        self.reach: Reach = from_columns(reach)
        self._wary: list[int] = wary
        self._header: dict[str, Any] = columns.load("header")
        self._summary: dict[str, Any] = columns.load("summary")
        self._dirty = False

    @classmethod
    def of_look(cls, look: Look, root: str) -> "Standing | None":
        """What a look at the ground stands for; None if its file cannot be read."""
        try:
            return cls(look.columns, look.files, root)
        except _DAMAGES:
            return None

    # -- what a resident MajorDomo asks ----------------------------------------------------------------------------

    def stamps(self) -> list[ToolStamp]:
        """The tools' files as they were."""
        return list(self._header["stamps"])

    def glob_digests(self) -> dict[str, str]:
        """Patterns whose matches count, with the digests of these."""
        return dict(self._header["globs"])

    def touched(self, numbers: Iterable[int] | None = None) -> list[int]:
        """Of these files (None: of all), those whose content is not as it was. What only has newer times is noted."""
        doubtful = self.files.differing(self._root) if numbers is None else [n for n in set(numbers) if self.files.differs(self._root, n)]
        changed, renewed = self.files.changed(self._root, doubtful)
        self._dirty = self._dirty or renewed
        return changed

    def circumstances_hold(self, environment: Mapping[str, str]) -> bool:
        """Whether tools, matches of patterns, environment and version are as they were. Looks at some files."""
        made = (self._header["version"], self._header["environment"])
        same = made == (__version__, glance.environment_digest(environment))
        return same and glance.circumstances_hold(self._root, self._header)

    def lines(self, own: Mapping[FilePath, list[str]] | None = None) -> list[str]:
        """What is said of the goals; ``own``: of these, said otherwise."""
        shown = [(path, (own or {}).get(path, lines)) for path, lines in self._summary["shown"]]
        return lines_of(self._summary | {"shown": shown})

    def shown(self) -> list[FilePath]:
        """The goals of which something is said."""
        return [path for path, _ in self._summary["shown"]]

    def is_current(self) -> bool:
        """Whether no other call wrote this file since it was read."""
        return self._columns.is_current()

    @property
    def total(self) -> int:
        """How many steps there are."""
        return int(self._summary["report"]["steps"]["total"])

    def look(self) -> Look:
        """As the null-build check has it, nothing changed."""
        return Look(self._columns, self.files, [])

    # -- slices ----------------------------------------------------------------------------------------------------

    def slice(self, changed: Sequence[int]) -> Slice | None:
        """What these changed files reach; None if the whole is to be looked at."""
        try:
            return slice_of(self._columns, self.reach, self._wary, self.files.path, changed)
        except _DAMAGES:
            return None

    def project(self, stamp: tuple[int, int, int, int] | None) -> Project | None:
        """What the project file said, if it still has the state that it had then; None too for a document without one."""
        number = self.files.number(PROJECT_FILE)
        if number is None or number in self.files.racy or stamp is None or self.files.state(number) != stamp:
            return None
        try:
            known = whole_project(self._columns)
        except _DAMAGES:
            return None
        return known if known.file else None

    def holds_outside(self, cut: Slice, build: Build) -> bool:
        """After a build of a slice: whether nothing outside of it reads, looked for or makes what it wrote or removed anew."""
        new: list[int] = []
        for entry in self._entries(build, {}):
            step = self._step(cut, entry.name)
            known = set(self.reach.makes(step)) if step is not None else set()
            new += [number for number in entry.makes if number not in known]
        return not outside_touched(self.reach, new, cut.steps) and glance.globs_hold(self._root, self._header["globs"])

    def absorb(self, cut: Slice, build: Build, report: dict[str, Any], shown: Sequence[Shown]) -> bool:
        """Takes over how a slice ended well; False if that cannot be told, so that this holds no longer."""
        ground = ground_of(build, [])
        if ground is None:
            return False
        rows = list(ground.rows)
        moved = [
            number for row in rows if (number := self.files.number(row[0])) is not None and _digest_of(row) != self.files.digest(number)
        ]
        if outside_touched(self.reach, moved, cut.steps):  # it changed during the build, and steps outside stand on what it was
            return False
        self._header["stamps"] = _merged(self._header["stamps"], ground.stamps)
        self._header["globs"].update(ground.globs)
        self._header["catalogue"] = []
        if not stands_as_made(build, rows):
            self._header["store"] = ""
        self._tell(report, dict(shown))
        try:
            if not self._fits(cut, build, rows):
                self._regrow(cut, build, rows)
            else:
                for row in rows:
                    number = self.files.number(row[0])
                    if row[1] != ABSENT_SIZE and number is not None:
                        self.files.take(number, row)
        except ValueError:
            return False
        self._dirty = True
        return True

    def note_catalogue(self, state: str) -> None:
        """What was taken over last is all that the catalogue knows besides. It must be closed."""
        self._header["catalogue"] = glance.catalogue_stamp(state)

    def save(self) -> None:
        """Writes down what was taken over since. Raises OSError, ValueError."""
        if not self._dirty:
            return
        names = self._columns.names()
        parts = {
            **{name: b"" for name in names},
            "header": packed(self._header),
            **self.files.parts(),
            "reach": packed((self.reach.columns(), self._wary)),
            "summary": packed(self._summary),
        }
        write(self._columns.path, {name: data or self._columns.raw(name) for name, data in parts.items()})
        fresh = Columns(self._columns.path)
        self._columns.close()
        self._columns = fresh
        self._dirty = False

    def close(self) -> None:
        """Saves what can be saved, unless another call wrote the file meanwhile, and releases it."""
        if self.is_current():
            with suppress(OSError, ValueError):
                self.save()
        self._columns.close()

    def report(self, build_report: dict[str, Any], cut: Slice, hashed: bool) -> dict[str, Any]:
        """The whole project's report out of a slice's. ``hashed`` False: no goals in it."""
        before = self._summary["report"]
        steps = build_report["steps"]
        outside = self.total - steps["total"]
        own = {knot["steps"][0]: knot for knot in build_report["knots"]}
        inside = {name for knot in build_report["knots"] for name in knot["steps"]} | cut.names
        knots = [knot | {"passes": 0} for knot in before["knots"] if not inside.intersection(knot["steps"])]
        whole = build_report | {
            "steps": steps | {"total": self.total, "up_to_date": steps["up_to_date"] + outside},
            "knots": [*own.values(), *knots],
        }
        if hashed:
            whole["goals"] = self._goals({goal["path"]: goal for goal in build_report["goals"]})
        return whole

    def _goals(self, own: Mapping[FilePath, dict[str, Any]]) -> list[dict[str, Any]]:
        goals, pages = self._columns.load("goals")
        return [own[path] if path in own else goal_entry(self._root, path, self._digest(path), pages.get(path)) for path in goals]

    def _digest(self, path: FilePath) -> str:
        number = self.files.number(path)
        return "" if number is None else self.files.digest(number)

    def _tell(self, report: dict[str, Any], own: Mapping[FilePath, list[str]]) -> None:
        self._summary["report"] = report | {"goals": [], "executions": [], "notes": []}
        self._summary["shown"] = [(path, own.get(path, lines)) for path, lines in self._summary["shown"]]

    # -- growing ---------------------------------------------------------------------------------------------------

    def _entries(self, build: Build, more: Mapping[FilePath, int]) -> list[Entry]:
        """The slice's steps in numbers of this; paths that have none are left out unless ``more`` has them."""
        return list(entries_of(build, lambda path: more[path] if path in more else self.files.number(path)))

    def _step(self, cut: Slice, name: str) -> int | None:
        return next((step for step in cut.steps if self.reach.names[step] == name), None)

    def _fits(self, cut: Slice, build: Build, rows: Sequence[Row]) -> bool:
        """Whether only states and digests of files changed: no file and no edge came or went."""
        if not all(self.files.fits(self.files.number(row[0]), row) for row in rows):
            return False
        for entry in self._entries(build, {}):
            step = self._step(cut, entry.name)
            if step is None or sorted(entry.reads) != list(self.reach.reads(step)) or sorted(entry.makes) != list(self.reach.makes(step)):
                return False
        return True

    def _regrow(self, cut: Slice, build: Build, rows: Sequence[Row]) -> None:
        """Columns anew: what the steps outside touch, as it was, and the slice's own. Raises ValueError."""
        inside = set(cut.steps)
        outside = [step for step in range(len(self.reach.names)) if step not in inside]
        own = {row[0] for row in rows}
        kept = {number for step in outside for number in (*self.reach.reads(step), *self.reach.makes(step))}
        kept.update(number for number in range(len(self.files)) if not self.reach.touching(number))  # the project file
        old = {number: self._row(number) for number in kept}
        files = of_rows([*rows, *(row for row in old.values() if row[0] not in own)])
        place = {files.path(number): number for number in range(len(files))}
        moved = {number: place[row[0]] for number, row in old.items()}
        fresh = {entry.name: entry for entry in entries_of(build, place.get)}
        entries = [
            fresh[name] if name in fresh else self._moved(step, moved)
            for step, name in enumerate(self.reach.names)
            if step not in inside or name in fresh
        ]
        wary = {self.reach.names[step] for step in self._wary}
        self.files, self.reach = files, reach_of(entries, len(files))
        self._wary = [step for step, name in enumerate(self.reach.names) if name in wary]

    def _moved(self, step: int, numbers: Mapping[int, int]) -> Entry:
        reads, makes = ([numbers[file] for file in files] for files in (self.reach.reads(step), self.reach.makes(step)))
        return Entry(self.reach.names[step], self.reach.declaration(step), reads, makes)

    def _row(self, number: int) -> Row:
        state = self.files.state(number)
        if state is None:
            return (self.files.path(number), ABSENT_SIZE, 0, 0, 0, "", 0)
        proven_ns = state[2] if number in self.files.racy else state[2] + RACY_NS + 1
        return (self.files.path(number), *state, self.files.digest(number), proven_ns)


def _digest_of(row: Row) -> str:
    return "" if row[1] == ABSENT_SIZE else row[5]


def _merged(old: Sequence[Sequence[Any]], new: Sequence[ToolStamp]) -> list[tuple[Any, ...]]:
    stamps = {stamp[0]: tuple(stamp) for stamp in old}
    stamps.update((stamp[0], tuple(stamp)) for stamp in new)
    return sorted(stamps.values())
