"""A folder that steps run in, with the digests of its files: the real part of the Workspace port.

Knows no step and no graph; which files matter is for the caller to say.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress

from cpods.digest import ABSENT, of_file
from cpods.ids import FilePath
from cpods.model import Artefact
from cpods.ports import Clock, FileState, Objects
from cpods.store.files import Stamp, open_regular, read_or_none, stamp_of, stat_regular
from cpods.store.listings import Listing
from cpods.store.packing import PackingStore
from cpods.store.restoring import Restored, Restorer, Wanted
from cpods.store.tree import Tree, is_text, walk

#: A file whose ctime is nearer than this to the moment it was hashed may have changed since within one clock tick.
RACY_NS = 20_000_000


class Folder:
    """A project folder. ``states`` is shared with the caller and kept up to date; what changed is in ``changed_states``.

    :meth:`digest` looks at a file once per :meth:`begin`; :meth:`refresh` looks again. ``skip``: absolute folders that are
    not part of the project although they lie in it (a store, a state folder elsewhere).
    """

    def __init__(self, root: str, objects: Objects, states: dict[FilePath, FileState], clock: Clock, skip: Iterable[str] = ()) -> None:
        self.root = os.path.abspath(root)
        self.objects = objects
        self.clock = clock
        self.states = states
        self.changed_states: dict[FilePath, FileState | None] = {}
        self._skip = frozenset(os.path.realpath(folder) for folder in skip)
        self._memo: dict[FilePath, str] = {}
        self._since_ns: dict[FilePath, int] = {}
        self._stamps: dict[FilePath, Stamp | None] = {}
        #: Files that somebody else changed since the build began, as far as that was noticed.
        self.changed: set[FilePath] = set()
        self._listings: dict[FilePath, Listing] = {}
        self._coming: set[FilePath] = set()
        self._restorer = Restorer(objects.place, clock.now_ns) if isinstance(objects, PackingStore) else None

    def begin(self) -> None:
        """Starts a build: every file is looked at anew."""
        self.settle()
        self._memo.clear()
        self.changed.clear()
        self._since_ns.clear()
        self._stamps.clear()

    def absolute(self, path: FilePath) -> str:
        """The absolute path of a project path; outside paths are absolute already or climb out."""
        return path if path.startswith("/") else f"{self.root}/{path}"

    def digest(self, path: FilePath) -> str:
        """Digest of the file's bytes, ABSENT if there is no regular file. Raises OSError if it cannot be read."""
        known = self._memo.get(path)
        return self.refresh(path) if known is None else known

    def known(self, path: FilePath, before_ns: int) -> str | None:
        """What was found of a file in this build, if it has been so since before ``before_ns``; does not look."""
        since_ns = self._since_ns.get(path)
        return self._memo[path] if since_ns is not None and since_ns < before_ns else None

    def refresh(self, path: FilePath) -> str:
        """As :meth:`digest`, looking at the file again."""
        before = self._memo.get(path)
        digest = self._found(path, self._look(path))
        if before is not None and before != digest:
            self.changed.add(path)
        return digest

    def _found(self, path: FilePath, digest: str) -> str:
        if self._memo.get(path) != digest:
            self._memo[path] = digest
            self._since_ns[path] = self.clock.now_ns()
        return digest

    def stamp(self, path: FilePath) -> Stamp | None:
        """The stamp that the last look found, None for no regular file; looks if nobody did yet. Raises OSError."""
        self._await(path)
        if path not in self._stamps:
            self.refresh(path)
        return self._stamps.get(path)

    def take(self, path: FilePath) -> Artefact:
        """Puts a file into the store; its digest is known from then on: its bytes are read once. Raises OSError."""
        self._await(path)
        descriptor = open_regular(self.absolute(path))
        try:
            stamp = stamp_of(os.fstat(descriptor))
            checked_ns = self.clock.now_ns()  # before the bytes are read, see _hash
            artefact = self.objects.put_open(descriptor)
        finally:
            os.close(descriptor)
        self._stamps[path] = stamp
        self._remember(path, FileState(*stamp, artefact.digest, checked_ns))
        self._found(path, artefact.digest)
        return artefact

    def size(self, path: FilePath) -> int | None:
        """Bytes of the file now, None if absent."""
        self._await(path)
        status = stat_regular(self.absolute(path))
        return None if status is None else status.st_size

    def read(self, path: FilePath) -> bytes | None:
        """The bytes, None if absent."""
        self._await(path)
        return read_or_none(self.absolute(path))

    def listing(self) -> Sequence[FilePath]:
        """All files below the root, sorted. Names that are not UTF-8 are left out: no project file can name them.

        A link to a file counts as a file; a link to a folder is followed only inside the root, never in a circle.
        """
        return sorted(path for path in self.tree().files if is_text(path))

    def below(self, folder: FilePath) -> frozenset[FilePath]:
        """All files below a folder as they are right now."""
        self.settle()
        if folder not in self._listings:
            self._listings[folder] = Listing(self.root, self._skip, folder)
        return self._listings[folder].files()

    def tree(self) -> Tree:
        """Files, folders and links to outside folders, in no order; names that are not UTF-8 with surrogate escapes."""
        self.settle()
        return walk(self.root, self._skip)

    def install(self, path: FilePath, digest: str) -> None:
        """Puts a stored artefact there by rename; nothing happens if it is there already. Raises KeyError, OSError."""
        if self.refresh(path) == digest:
            return
        absolute = self.absolute(path)
        try:
            self.objects.export(digest, absolute)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(absolute), exist_ok=True)
            self.objects.export(digest, absolute)
        except NotADirectoryError as error:
            error.filename = absolute  # the user knows nothing of the temporary name
            raise
        self._installed(path, absolute, digest)

    def install_soon(self, path: FilePath, digest: str) -> None:
        """As :meth:`install`, but a file that is absent may be made by :meth:`settle` only. Whoever asks here for it waits.

        Nobody may look past this folder, and no step may start, before :meth:`settle`. Raises KeyError, OSError.
        """
        if self._restorer is not None and self.digest(path) == ABSENT:
            assert isinstance(self.objects, PackingStore)
            stored = self.objects.small(digest)
            if stored is not None:
                self._found(path, digest)
                self._coming.add(path)
                self._restorer.give(Wanted(path, self.absolute(path), digest, stored))
                return
        self.install(path, digest)

    def settle(self, abandon: bool = False) -> None:
        """All that was to be installed soon is there now. ``abandon``: or is not, if nobody has begun it. Raises OSError."""
        if not self._coming or self._restorer is None:
            return
        for restored in self._restorer.abandon() if abandon else self._restorer.drain():
            self._coming.discard(restored.path)
            self._take_in(restored)
        for path in self._coming:  # nobody knows what is there: look when asked
            self._memo.pop(path, None)
            self._since_ns.pop(path, None)
            self._stamps.pop(path, None)
        self._coming.clear()
        error = self._restorer.error()
        if error is not None:
            raise error

    def _await(self, path: FilePath) -> None:
        if path in self._coming:
            self.settle()

    def _take_in(self, restored: Restored) -> None:
        self._stamps[restored.path] = restored.stamp
        self._remember(restored.path, FileState(*restored.stamp, restored.digest, restored.checked_ns))

    def remove(self, path: FilePath) -> None:
        """Deletes a file or link; absent is no error, and a folder (which no step may write for a file) stays."""
        self._await(path)
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            os.unlink(self.absolute(path))
        self._stamps[path] = None
        self._found(path, ABSENT)
        self._forget(path)

    def take_changed_states(self) -> dict[FilePath, FileState | None]:
        """``changed_states``, for Changes.files; a new, empty one takes its place."""
        changed, self.changed_states = self.changed_states, {}
        return changed

    def _look(self, path: FilePath) -> str:
        self._await(path)
        absolute = self.absolute(path)
        status = stat_regular(absolute)
        if status is None:
            self._stamps[path] = None
            self._forget(path)
            return ABSENT
        stamp = self._stamps[path] = stamp_of(status)
        state = self.states.get(path)
        if state is not None and proves(state, stamp) and state.digest.startswith(self.objects.algorithm):
            return state.digest
        return self._hash(path, absolute, stamp)

    def _hash(self, path: FilePath, absolute: str, stamp: Stamp) -> str:
        # The moment is taken before the bytes are read: a later write then has a later ctime, or the state proves nothing.
        checked_ns = self.clock.now_ns()
        try:
            digest, _ = of_file(absolute, self.objects.algorithm)
        except FileNotFoundError:
            self._forget(path)
            return ABSENT
        self._remember(path, FileState(*stamp, digest, checked_ns))
        return digest

    def _installed(self, path: FilePath, absolute: str, digest: str) -> None:
        checked_ns = self.clock.now_ns()
        self._found(path, digest)
        status = stat_regular(absolute)
        self._stamps[path] = None if status is None else stamp_of(status)
        if status is not None:
            self._remember(path, FileState(*stamp_of(status), digest, checked_ns))

    def _remember(self, path: FilePath, state: FileState) -> None:
        if is_text(path):
            self.states[path] = self.changed_states[path] = state

    def _forget(self, path: FilePath) -> None:
        if self.states.pop(path, None) is not None:
            self.changed_states[path] = None


def proves(state: FileState, stamp: Stamp) -> bool:
    """Whether a recorded state with this stamp still tells the file's digest."""
    return (state.size, state.mtime_ns, state.ctime_ns, state.inode) == stamp and state.ctime_ns < state.checked_ns - RACY_NS
