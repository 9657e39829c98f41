"""What a step sees of a file: its edge digest, through the filter of its chef or of the step that makes the file.

Knows no schedule: the caller says what stands over the project's files.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

from cpods import digest
from cpods.chefs.figurenames import Names, Reader, unnamed
from cpods.chefs.shell import ShellChef
from cpods.digest import ABSENT
from cpods.globs import expand, literal_folder
from cpods.ids import GLOB_FACT, FilePath
from cpods.model import Artefact, Result, Step, Version
from cpods.ports import Chef, Objects, Workspace

_SHELL = ShellChef()
NOTHING: Mapping[FilePath, Version | None] = {}


class Eyes:
    """Edge digests over one workspace. ``producers``: steps by the outputs whose insignificant lines they declare.

    ``last``: the last result of a step by its name, a hint what it reads.
    """

    def __init__(
        self,
        folder: Workspace,
        objects: Objects,
        chefs: Mapping[str, Chef],
        producers: Mapping[FilePath, Step],
        last: Callable[[str], Result | None] = lambda name: None,
    ) -> None:
        self._folder = folder
        self._objects = objects
        self._chefs = chefs
        self._producers = producers
        self._last = last
        self._memo: dict[tuple[str, str], str] = {}
        self._plains: dict[tuple[str, str], Version | None] = {}
        self._listing: set[FilePath] | None = None
        self._texts = Reader()

    def appeared(self, path: FilePath) -> None:
        """A file is in the folder now that may not have been there when it was listed."""
        if self._listing is not None:
            self._listing.add(path)

    def vanished(self, path: FilePath) -> None:
        """A file is gone from the folder."""
        if self._listing is not None:
            self._listing.discard(path)

    def filter_for(self, step: Step, path: FilePath) -> str:
        """Name of the filter through which ``step`` sees ``path``; '' for every byte."""
        name = self._chefs[step.chef].filter_for(step, path)
        if not name and path in self._producers and self._producers[path].name != step.name:
            name = _SHELL.insignificant_filter(self._producers[path], path)
        return name

    def edge(
        self,
        step: Step,
        path: FilePath,
        overlay: Mapping[FilePath, Version | None] = NOTHING,
        hidden: AbstractSet[FilePath] = frozenset(),
    ) -> str:
        """The edge digest of what stands at ``path`` for ``step``, ABSENT if nothing does."""
        if path.startswith(GLOB_FACT):
            return self._glob(path[len(GLOB_FACT) :], hidden)
        if path in overlay:
            version = overlay[path]
            return ABSENT if version is None else self.seen(step, path, version)
        raw = ABSENT if path in hidden else self._folder.digest(path)
        name = "" if raw == ABSENT else self.filter_for(step, path)
        return raw if not name else self._filtered(step, name, path, raw, None)

    def raw(self, path: FilePath, overlay: Mapping[FilePath, Version | None] = NOTHING, hidden: AbstractSet[FilePath] = frozenset()) -> str:
        """The digest of all bytes at ``path``, ABSENT if there are none."""
        if path in overlay:
            version = overlay[path]
            return ABSENT if version is None else version.digest
        return ABSENT if path in hidden else self._folder.digest(path)

    def seen(self, step: Step, path: FilePath, version: Version) -> str:
        """The edge digest of a written file for ``step``; from its object if its views lack the filter."""
        name = self.filter_for(step, path)
        if not name or any(view[0] == name for view in version.views):
            return version.seen(name)
        return self._filtered(step, name, path, version.digest, version)

    def version(self, path: FilePath, artefact: Artefact, readers: Iterable[Step]) -> Version:
        """A written file with the views of all filtered readers."""
        names = {name: reader for reader in readers if (name := self.filter_for(reader, path))}
        views = tuple((name, self._filtered(names[name], name, path, artefact.digest, artefact)) for name in sorted(names))
        return Version(artefact.digest, artefact.size, views)

    def substituted(
        self,
        step: Step,
        overlay: Mapping[FilePath, Version | None],
        hidden: AbstractSet[FilePath],
        without: AbstractSet[FilePath] = frozenset(),
    ) -> dict[FilePath, Version]:
        """Files that ``step`` must get as its filter leaves them, since it copies the rest without reading it; none of ``without``.

        A figure's dates are copied into the document by the engine: only with blanked ones the result is a function of
        what the engine sees.
        """
        found: dict[FilePath, Version] = {}
        for path in self._figures(step, overlay, hidden):
            plain = None if path in without else self._plain(step, path, overlay)
            if plain is not None:
                found[path] = plain
        return found

    def withheld(self, step: Step, overlay: Mapping[FilePath, Version | None], hidden: AbstractSet[FilePath]) -> frozenset[FilePath]:
        """Files of the project that ``step`` would get through its filter, but is not likely to look for.

        A run without them is as good if it turns out not to have looked for any. So nobody reads, filters and copies all the
        manuals that lie beside a document.
        """
        withholds: Callable[[Step], bool] = getattr(self._chefs[step.chef], "withholds", lambda step: False)
        if not withholds(step):
            return frozenset()
        last = self._last(step.name)
        known = {read.path for read in last.reads} if last is not None else set()
        figures = [path for path in self._figures(step, overlay, hidden) if path not in overlay and path not in known]
        texts = {*(self._listing or ()), *overlay} - (hidden - overlay.keys())

        def names_of(path: FilePath) -> Names:
            return self._texts.names(self.raw(path, overlay, hidden), lambda: self._bytes(path, overlay))

        return frozenset(unnamed(figures, step.main, texts, names_of))

    def _figures(self, step: Step, overlay: Mapping[FilePath, Version | None], hidden: AbstractSet[FilePath]) -> list[FilePath]:
        """What is there for a step to see through a filter whose rest it copies, sorted."""
        names: frozenset[str] = getattr(self._chefs[step.chef], "substituted", frozenset())
        endings: tuple[str, ...] = getattr(self._chefs[step.chef], "substituted_endings", ())
        if not names:
            return []
        found = sorted(path for path in {*self._listed(), *overlay} if path.endswith(endings))
        return [path for path in found if path not in hidden - overlay.keys() and self.filter_for(step, path) in names]

    def _plain(self, step: Step, path: FilePath, overlay: Mapping[FilePath, Version | None]) -> Version | None:
        """What the step's filter leaves of a file, stored; None if that is all of it. Looked at once for each content:
        a manual's folder may hold hundreds of figures, and each pass asks for all of them.
        """
        raw, name = self.raw(path, overlay), self.filter_for(step, path)
        known = self._plains.get((name, raw))
        if (name, raw) not in self._plains or (known is not None and not self._objects.has(known.digest)):
            data = self._bytes(path, overlay)
            if data is None:
                return None
            plain = self._apply(step, name, path, data)
            artefact = self._objects.put_bytes(plain) if plain != data else None
            self._plains[name, raw] = Version(artefact.digest, artefact.size) if artefact else None
        return self._plains[name, raw]

    def _bytes(self, path: FilePath, overlay: Mapping[FilePath, Version | None]) -> bytes | None:
        if path not in overlay:
            return self._folder.read(path)
        version = overlay[path]
        return None if version is None else self._read(version.digest)

    def _filtered(self, step: Step, name: str, path: FilePath, raw: str, stored: Artefact | Version | None) -> str:
        known = self._memo.get((name, raw))
        if known is None:
            data = self._folder.read(path) if stored is None else self._read(raw)
            if data is None:
                return raw
            known = self._memo[name, raw] = digest.of_bytes(self._apply(step, name, path, data), digest.algorithm_of(raw))
        return known

    def _read(self, raw: str) -> bytes | None:
        try:
            return self._objects.read(raw)
        except KeyError:
            return None

    def _apply(self, step: Step, name: str, path: FilePath, data: bytes) -> bytes:
        chef = "shell" if name.startswith("drop-lines/") else step.chef
        return self._chefs[chef].filter(name, path, data)

    def matches(self, pattern: str) -> str:
        """Digest of a pattern's matches as steps saw them in this build; a file that somebody added since is none of them."""
        return self._glob(pattern, frozenset())

    def sees_all_matches(self, step: Step) -> bool:
        """Whether the step's patterns match right now what they matched when they were last looked at, its own outputs aside."""
        below: Callable[[FilePath], AbstractSet[FilePath]] | None = getattr(self._folder, "below", None)
        if below is None:
            return True
        for pattern in step.globs:
            now, listed = set(expand(pattern, below(literal_folder(pattern)))), set(expand(pattern, self._listed()))
            if now.difference(step.outputs) != listed.difference(step.outputs):
                return False
        return True

    def matched(self, step: Step) -> list[FilePath]:
        """What the step's patterns match, its own outputs aside, sorted. More than when it was planned, if others have made some since."""
        return sorted({path for pattern in step.globs for path in expand(pattern, self._listed())}.difference(step.outputs))

    def _listed(self) -> set[FilePath]:
        if self._listing is None:
            self._listing = set(self._folder.listing())
        return self._listing

    def _glob(self, pattern: str, hidden: AbstractSet[FilePath]) -> str:
        return digest.of_parts(path for path in expand(pattern, self._listed()) if path not in hidden)
