"""Content-addressed object files: the real part of the Objects port.

Knows no step, no manifest and no catalogue.
"""

import itertools
import os
import threading
from collections.abc import Iterable
from contextlib import suppress

from cpods.digest import DEFAULT_ALGORITHM, algorithm_of, new_hasher, of_bytes
from cpods.model import Artefact
from cpods.store import packs
from cpods.store.files import SMALL_BYTES, copy_hashed, new_file, open_regular, read_all, sync_filesystem, temporary_beside, write_all
from cpods.store.incoming import FileIncoming
from cpods.store.layout import QUARANTINE, object_path, open_root, quarantine_path
from cpods.store.packs import Packs, Stored
from cpods.store.removal import remove_folder
from cpods.store.sessions import open_session


class ObjectStore:
    """Objects below ``root``; new ones get digests of ``algorithm``. Threads may share one, processes may share a root.

    Files in the store are read-only. Whether a file is executable is kept in its object's own x bits: bytes that were
    ever put as an executable come back executable (an Artefact has no mode). Raises StoreDamaged for a newer format.
    """

    def __init__(self, root: str, algorithm: str = DEFAULT_ALGORITHM) -> None:
        new_hasher(algorithm)  # an unknown algorithm is told here, not at the first put
        self.root = os.path.abspath(root)
        self.algorithm = algorithm
        open_root(self.root)
        self._packs = Packs(self.root)
        self._pending: dict[str, str] = {}
        self._same_device: dict[str, bool] = {}
        self._touched: set[str] = set()
        self._session = ""
        self._session_descriptor = -1
        self._opening = threading.Lock()
        self._committing = threading.Lock()
        #: Held where a pending object ceases to be one: a commit in a thread renames it, its owner meanwhile may drop it.
        self._leaving = threading.Lock()
        self._count = itertools.count()

    def put_file(self, path: str) -> Artefact:
        """Copies a file (absolute path) in. Raises OSError; then nothing is left behind."""
        source = open_regular(path)
        try:
            return self.put_open(source)
        finally:
            os.close(source)

    def put_open(self, descriptor: int) -> Artefact:
        """Copies an open regular file in, from its current position to its end. Raises OSError; then nothing is left behind."""
        status = os.fstat(descriptor)
        executable = bool(status.st_mode & 0o111)
        if status.st_size <= SMALL_BYTES:
            return self._put(read_all(descriptor), executable)
        return self._put_large(descriptor, executable)

    def put_bytes(self, data: bytes) -> Artefact:
        """Stores a byte string. Raises OSError."""
        return self._put(data, executable=False)

    def incoming(self, artefact: Artefact, executable: bool) -> FileIncoming:
        """A place for an object that arrives in pieces; its digest is for who writes it to check. Raises OSError."""
        algorithm_of(artefact.digest)

        def settle(temporary: str) -> None:
            if self._known(artefact, bool(os.stat(temporary).st_mode & 0o111)):
                os.unlink(temporary)
            else:
                self._pending[artefact.digest] = temporary

        return FileIncoming(self._temporary(), executable, settle)

    def has(self, digest: str) -> bool:
        """Whether the object is here (not whether it is intact)."""
        return self._has_file(digest) or self._unpacked(digest)

    def _has_file(self, digest: str) -> bool:
        if digest in self._pending:
            return True
        try:
            return os.path.exists(object_path(self.root, digest))
        except ValueError:
            return False

    def size(self, digest: str) -> int | None:
        """Bytes of the object, None if it is not here."""
        try:
            self._unpacked(digest)
            return os.stat(self._path(digest)).st_size
        except (KeyError, OSError):
            return None

    def read(self, digest: str) -> bytes:
        """The bytes, verified. Raises KeyError if absent or damaged; a damaged object is quarantined first."""
        source, path = self._open(digest)
        try:
            data = read_all(source)
        finally:
            os.close(source)
        if of_bytes(data, algorithm_of(digest)) != digest:
            self._quarantine(digest, path)
            raise KeyError(digest)
        self._touch(path)
        return data

    def export(self, digest: str, path: str) -> None:
        """Writes a verified private copy to ``path`` (absolute): elsewhere first, then by rename.

        Its mode is what a tool would have given it: 0666, or 0777 for an executable, less the umask.
        Raises KeyError as :meth:`read` does, OSError if ``path`` cannot be written.
        """
        source, stored = self._open(digest)
        try:
            mode = 0o777 if os.fstat(source).st_mode & 0o111 else 0o666
            temporary = self._temporary_for(path)
            with new_file(temporary, mode) as target:
                if copy_hashed(source, target, algorithm_of(digest))[0] != digest:
                    self._quarantine(digest, stored)
                    raise KeyError(digest)
                os.rename(temporary, path)
        finally:
            os.close(source)
        self._touch(stored)

    def discard(self, digests: Iterable[str]) -> set[str]:
        """Forgets those of the objects that were put and are not committed yet; returns their digests."""
        dropped = set()
        for digest in digests:
            with self._leaving:
                temporary = self._pending.pop(digest, None)
            if temporary is not None:
                os.unlink(temporary)
                dropped.add(digest)
        return dropped

    def commit(self) -> None:
        """Makes all that was put durable and visible: one syncfs, then the renames. Raises OSError; call it again then.

        May be called in a thread while others put, read and discard; one commit at a time.
        """
        with self._committing:
            self._commit()

    def _commit(self) -> None:
        batch = {digest: (temporary, object_path(self.root, digest)) for digest, temporary in dict(self._pending).items()}
        if not batch:
            return
        for folder in {os.path.dirname(final) for _, final in batch.values()}:
            if not os.path.isdir(folder):
                os.makedirs(folder, exist_ok=True)
        sync_filesystem(self.root)
        for digest, (temporary, final) in batch.items():
            with self._leaving:
                if self._pending.get(digest) == temporary:  # else it was dropped meanwhile
                    _settle(temporary, final)
                    del self._pending[digest]

    def unpack(self) -> None:
        """Makes a file of each packed object, as a holder's server shows them, and deletes the packs. Raises OSError."""
        for name in packs.names(self.root):
            for member in packs.members(self._packs.path(name)):
                self._unpacked(member.digest, committing=True)
            self.commit()
            packs.rewrite(self.root, name, self._temporary(), {member.digest for member in packs.members(self._packs.path(name))})
            self._packs.forget(name)

    def _unpacked(self, digest: str, committing: bool = False) -> bool:
        """Whether the object was in a pack and is a file now. ``committing``: the caller makes it durable."""
        place = self._packs.find(digest)
        data = None if place is None else self._packs.read(place)
        if place is None or data is None:
            return False
        if self._has_file(digest):
            return True
        if of_bytes(data, algorithm_of(digest)) != digest:
            return False
        self._pending[digest] = self._written(Stored(data, place.member.executable))
        if not committing:
            self.commit()
        return True

    def _written(self, stored: Stored) -> str:
        """A small object as a file of its own, not committed."""
        temporary = self._temporary()
        with new_file(temporary, 0o555 if stored.executable else 0o444) as target:
            write_all(target, stored.data)
        return temporary

    def close(self) -> None:
        """Forgets what was put but not committed and gives up the temporary folder. Idempotent."""
        self._packs.close()
        self._pending.clear()
        if self._session_descriptor >= 0:
            remove_folder(self._session)
            os.close(self._session_descriptor)
            self._session, self._session_descriptor = "", -1

    def quarantine(self, digest: str) -> None:
        """Takes a damaged object out of use; it stays in the quarantine folder for inspection. Absent is no error."""
        with suppress(KeyError):
            self._quarantine(digest, self._path(digest))

    def _put(self, data: bytes, executable: bool) -> Artefact:
        artefact = Artefact(of_bytes(data, self.algorithm), len(data))
        if not self._known(artefact, executable):
            self._pending[artefact.digest] = self._written(Stored(data, executable))
        return artefact

    def _put_large(self, source: int, executable: bool) -> Artefact:
        """Hashes the very bytes that are stored, so a file that changes meanwhile cannot give a wrong object."""
        temporary = self._temporary()
        with new_file(temporary, 0o555 if executable else 0o444) as target:
            artefact = Artefact(*copy_hashed(source, target, self.algorithm))
        if self._known(artefact, executable):
            os.unlink(temporary)
        else:
            self._pending[artefact.digest] = temporary
        return artefact

    def _known(self, artefact: Artefact, executable: bool) -> bool:
        """Whether the object is here in full length; it becomes executable if it was not."""
        self._unpacked(artefact.digest)
        try:
            path = self._path(artefact.digest)
            status = os.stat(path)
        except (KeyError, FileNotFoundError):
            return False
        if status.st_size != artefact.size:
            self._quarantine(artefact.digest, path)
            return False
        if executable and not status.st_mode & 0o111:
            os.chmod(path, 0o555)
        self._touch(path)
        return True

    def _path(self, digest: str) -> str:
        """Where the bytes are now. Raises KeyError for a text that is no digest."""
        try:
            return self._pending.get(digest) or object_path(self.root, digest)
        except ValueError:
            raise KeyError(digest) from None

    def _open(self, digest: str) -> tuple[int, str]:
        """(descriptor, path). Tried twice, since a commit in another thread may rename in between."""
        for attempt in range(3):
            path = self._path(digest)
            with suppress(FileNotFoundError):
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC), path
            if attempt == 1 and not self._unpacked(digest):
                break
        raise KeyError(digest)

    def _quarantine(self, digest: str, path: str) -> None:
        os.makedirs(os.path.join(self.root, QUARANTINE), exist_ok=True)
        with self._leaving, suppress(FileNotFoundError):
            self._pending.pop(digest, None)
            os.rename(path, quarantine_path(self.root, digest))

    def _touch(self, path: str) -> None:
        """Marks an object as used, once per process: eviction goes by mtime, since atime is often off."""
        if path not in self._touched:
            self._touched.add(path)
            with suppress(OSError):  # a store that may only be read is evicted from by its owner
                self._open_session()
                os.utime(path)

    def _temporary_for(self, path: str) -> str:
        """Where a copy for ``path`` is made: in the store if it can be renamed from there, so that a kill leaves nothing beside."""
        folder = path.rpartition("/")[0]
        if folder not in self._same_device:
            is_same = False
            with suppress(PermissionError):  # a store that may only be read
                is_same = os.stat(folder or "/").st_dev == os.stat(self._open_session()).st_dev
            self._same_device[folder] = is_same
        return self._temporary() if self._same_device[folder] else temporary_beside(path)

    def _temporary(self) -> str:
        return f"{self._open_session()}/{next(self._count)}"

    def _open_session(self) -> str:
        with self._opening:
            if not self._session:
                self._session, self._session_descriptor = open_session(self.root)
            return self._session


def _settle(temporary: str, final: str) -> None:
    """Renames into place; an object that another process put first stays, and stays executable if either was."""
    try:
        present = os.stat(final)
    except FileNotFoundError:
        os.rename(temporary, final)
        return
    if os.stat(temporary).st_mode & 0o111 and not present.st_mode & 0o111:
        os.chmod(final, 0o555)
    os.unlink(temporary)
