"""A project folder some of whose products stand on other pods: the Workspace of a MajorDomo in a federation.

Knows no pod: who holds what is the caller's to say.
"""

from collections.abc import Callable, Iterable, Sequence

from cpods.digest import ABSENT
from cpods.ids import FilePath
from cpods.model import Artefact
from cpods.ports import Clock, FileState
from cpods.store.files import stat_regular
from cpods.store.objects import ObjectStore
from cpods.store.workspace import Folder


class FarObjects(ObjectStore):
    """The own store, which also answers for what others hold: ``has`` is true if some reachable pod has the object.

    Reading and exporting stay local: KeyError for what has not been brought here. ``held``: the size of an artefact that a
    reachable pod holds, None if none does.
    """

    def __init__(self, root: str, algorithm: str, held: Callable[[str], int | None]) -> None:
        super().__init__(root, algorithm)
        self.held = held

    def has(self, digest: str) -> bool:
        """Whether the object is here, or on a pod that can be reached."""
        return super().has(digest) or self.held(digest) is not None

    def has_here(self, digest: str) -> bool:
        """Whether the object is in the own store."""
        return super().has(digest)


class FarFolder(Folder):
    """``far``: products by path that stand on another pod; where a file of that name lies here, that one counts.

    ``edited``: what somebody made of a far product on the pod that owns it.
    """

    def __init__(self, root: str, objects: FarObjects, states: dict[FilePath, FileState], clock: Clock, skip: Iterable[str] = ()) -> None:
        super().__init__(root, objects, states, clock, skip)
        self._store = objects
        self.far: dict[FilePath, Artefact] = {}
        self.edited: dict[FilePath, str] = {}
        self.restored: set[FilePath] = set()

    def place(self, path: FilePath, artefact: Artefact) -> None:
        """A step has made ``path`` on another pod: what lay here under that name is the old one."""
        self.remove(path)
        self.far[path] = artefact
        self.edited.pop(path, None)
        self.refresh(path)

    def note_edited(self, path: FilePath, now: str) -> None:
        """On the pod that owns it, ``path`` holds something else now (ABSENT: nothing). A file that lies here counts all the same."""
        if self.is_far(path):
            self.edited[path] = now
            self.refresh(path)
        else:
            self.restored.add(path)

    def deliver(self, path: FilePath) -> None:
        """Puts a far product, whose object is in the own store by now, into the folder. Raises KeyError, OSError."""
        artefact = self.far.pop(path)
        try:
            super().install(path, artefact.digest)
        except BaseException:
            self.far[path] = artefact
            self.refresh(path)
            raise

    def is_far(self, path: FilePath) -> bool:
        """Whether ``path`` is a product whose bytes are not in this folder."""
        return path in self.far and stat_regular(self.absolute(path)) is None

    def elsewhere(self, path: FilePath) -> Artefact | None:
        """The far product at a path, be it that nobody holds it now; None if there is none, or a file of that name lies here."""
        return self.far[path] if self.is_far(path) else None

    def size(self, path: FilePath) -> int | None:
        """Bytes of the file, None if absent."""
        found = super().size(path)
        return self.far[path].size if found is None and path in self.far else found

    def read(self, path: FilePath) -> bytes | None:
        """The bytes; of a far product those in the own store, None if they were not brought here."""
        data = super().read(path)
        if data is None and path in self.far:
            try:
                return self.objects.read(self.far[path].digest)
            except KeyError:
                return None
        return data

    def listing(self) -> Sequence[FilePath]:
        """All files below the root and all far products, sorted."""
        return sorted({*super().listing(), *(path for path in self.far if self.digest(path) != ABSENT)})

    def install(self, path: FilePath, digest: str) -> None:
        """As Folder.install; an artefact that only others hold becomes a far product. Raises KeyError if nobody does."""
        if path in self.edited:
            self.edited.pop(path)
            self.restored.add(path)
        if self._store.has_here(digest):
            self.far.pop(path, None)
            super().install(path, digest)
            return
        if self.refresh(path) == digest:
            return
        size = self._store.held(digest)
        if size is None:
            raise KeyError(digest)
        self.place(path, Artefact(digest, size))

    def remove(self, path: FilePath) -> None:
        """Deletes a file, or forgets a far product."""
        self.far.pop(path, None)
        super().remove(path)

    def _look(self, path: FilePath) -> str:
        found = super()._look(path)
        if found != ABSENT or path not in self.far:
            return found
        if path in self.edited:
            return self.edited[path]
        digest = self.far[path].digest
        return digest if self._store.has(digest) else ABSENT
