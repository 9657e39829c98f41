"""An object store that packs: what one commit brings of small objects goes into one file.

Knows no federation: a holder's objects are files, since its server shows files (see ObjectStore.unpack).
"""

import errno
import os
from collections.abc import Iterable
from contextlib import suppress

from cpods.digest import DEFAULT_ALGORITHM, algorithm_of, of_bytes
from cpods.model import Artefact
from cpods.store import packs
from cpods.store.files import new_file, sync_filesystem, write_all
from cpods.store.layout import QUARANTINE, quarantine_path
from cpods.store.objects import ObjectStore
from cpods.store.packs import Place, Stored

#: Small objects wait in memory for their commit; more bytes than this become files at once.
_WAITING_BYTES_MAX = 32 << 20


class PackingStore(ObjectStore):
    """As ObjectStore. A packed object is one like any other; only marks of use and the quarantine go by whole packs."""

    def __init__(self, root: str, algorithm: str = DEFAULT_ALGORITHM) -> None:
        super().__init__(root, algorithm)
        self._small: dict[str, Stored] = {}
        self._small_bytes = 0

    def has(self, digest: str) -> bool:
        """Whether the object is here (not whether it is intact)."""
        return digest in self._small or self._packs.find(digest) is not None or self._has_file(digest)

    def size(self, digest: str) -> int | None:
        """Bytes of the object, None if it is not here."""
        small = self._small.get(digest)
        if small is not None:
            return len(small.data)
        place = self._packs.find(digest)
        return super().size(digest) if place is None else place.member.size

    def read(self, digest: str) -> bytes:
        """The bytes, verified. Raises KeyError if absent or damaged; a damaged object is quarantined first."""
        stored = self._stored(digest)
        return super().read(digest) if stored is None else stored.data

    def export(self, digest: str, path: str) -> None:
        """As ObjectStore.export."""
        stored = self._stored(digest)
        if stored is None:
            super().export(digest, path)
            return
        self.place(stored, path)

    def small(self, digest: str) -> Stored | None:
        """A small object's verified bytes, for :meth:`place`; None for one to :meth:`export`. Raises KeyError if it is damaged."""
        return self._stored(digest)

    def place(self, stored: Stored, path: str) -> os.stat_result:
        """As :meth:`export`, of bytes that are at hand; returns the new file's status. Threads may call it. Raises OSError."""
        temporary = self._temporary_for(path)
        with new_file(temporary, 0o777 if stored.executable else 0o666) as target:
            if os.write(target, stored.data) != len(stored.data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            os.rename(temporary, path)
            return os.fstat(target)

    def discard(self, digests: Iterable[str]) -> set[str]:
        """Forgets those of the objects that were put and are not committed yet; returns their digests."""
        wanted = set(digests)
        small = {digest for digest in wanted if self._small.pop(digest, None) is not None}
        return small | super().discard(wanted)

    def close(self) -> None:
        """As ObjectStore.close."""
        self._small.clear()
        self._small_bytes = 0
        super().close()

    def quarantine(self, digest: str) -> None:
        """As ObjectStore.quarantine."""
        self._small.pop(digest, None)
        place = self._packs.find(digest)
        if place is not None:
            self._expel(place, self._packs.read(place) or b"")
        super().quarantine(digest)

    def _put(self, data: bytes, executable: bool) -> Artefact:
        if len(data) > packs.MEMBER_BYTES_MAX or self._small_bytes > _WAITING_BYTES_MAX:
            return super()._put(data, executable)
        artefact = Artefact(of_bytes(data, self.algorithm), len(data))
        if not self._known(artefact, executable):
            self._small[artefact.digest] = Stored(data, executable)
            self._small_bytes += len(data)
        return artefact

    def _known(self, artefact: Artefact, executable: bool) -> bool:
        small = self._small.get(artefact.digest)
        if small is not None:
            if executable and not small.executable:
                self._small[artefact.digest] = Stored(small.data, True)
            return True
        place = self._packs.find_lately(artefact.digest)
        if place is None:
            return self._has_file(artefact.digest) and super()._known(artefact, executable)
        if executable and not place.member.executable:
            packs.rewrite(self.root, place.pack, self._temporary(), frozenset(), frozenset((artefact.digest,)))
            self._packs.forget(place.pack)
        self._touch(self._packs.path(place.pack))
        return True

    def _commit(self) -> None:
        small = dict(self._small)
        made = ("", "", list[packs.Member]())
        if len(small) >= packs.MEMBERS_MIN:
            temporary = self._temporary()
            name = packs.name_for(self._open_session(), next(self._count))
            made = (name, temporary, packs.write_pack(temporary, small))
            if not self._pending:
                sync_filesystem(self.root)
        else:
            for digest, stored in small.items():
                self._pending[digest] = self._written(stored)
        super()._commit()
        name, temporary, members = made
        if name:
            final = self._packs.path(name)
            os.rename(temporary, final)
            self._packs.add(name, members, final)
        for digest, stored in small.items():
            if self._small.get(digest) is stored:
                del self._small[digest]
        self._small_bytes = sum(len(stored.data) for stored in dict(self._small).values())

    def _stored(self, digest: str) -> Stored | None:
        """A small object, waiting or packed, verified; None if it is a file, or nowhere. Raises KeyError if it is damaged."""
        small = self._small.get(digest)
        if small is not None:
            return small
        for _ in range(2):  # a pack may be replaced between the look and the reading
            place = self._packs.find(digest)
            if place is None:
                return None
            data = self._packs.read(place)
            if data is not None:
                if of_bytes(data, algorithm_of(digest)) != digest:
                    self._expel(place, data)
                    raise KeyError(digest)
                self._touch(self._packs.path(place.pack))
                return Stored(data, place.member.executable)
        return None

    def _expel(self, place: Place, data: bytes) -> None:
        """A damaged member goes into the quarantine; its pack goes on without it."""
        folder = os.path.join(self.root, QUARANTINE)
        os.makedirs(folder, exist_ok=True)
        with suppress(FileExistsError), new_file(quarantine_path(self.root, place.member.digest), 0o444) as target:
            write_all(target, data)
        packs.rewrite(self.root, place.pack, self._temporary(), frozenset((place.member.digest,)))
        self._packs.forget(place.pack)
