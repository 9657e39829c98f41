"""One artefact on its way: which of its bytes are missing, on the way or here; hashed from the front as far as they are whole.

Knows no connection and no holder but by name.
"""

import heapq
from collections import Counter

from cpods.digest import algorithm_of, finish, new_hasher
from cpods.model import Artefact
from cpods.ports import Incoming

#: (offset, length) in bytes.
Extent = tuple[int, int]


class Arrival:
    """``sent``: bytes that each holder has contributed. Blocks are taken, and landed or given back."""

    def __init__(self, artefact: Artefact, incoming: Incoming) -> None:
        self.artefact = artefact
        self.incoming = incoming
        self.sent: Counter[str] = Counter()
        self._algorithm = algorithm_of(artefact.digest)
        self._hasher = new_hasher(self._algorithm)
        self._missing: list[Extent] = [(0, artefact.size)]  # of an empty artefact too: somebody has to have it
        self._flying: dict[Extent, set[str]] = {}
        self._landed: dict[int, int] = {}
        self._front = 0

    @property
    def complete(self) -> bool:
        """Whether all bytes are here."""
        return not (self._missing or self._flying or self._landed)

    @property
    def matches(self) -> bool:
        """Whether they are the right ones, once complete."""
        return self.complete and finish(self._hasher, self._algorithm) == self.artefact.digest

    def take(self, holder: str, size: int, idle: bool = True) -> Extent | None:
        """The next block that ``holder`` is to send, of ``size`` bytes at most; None if there is nothing for it to do.

        When nothing is missing any more, an ``idle`` holder gets what only one other is asked for, so that a slow one
        delays nobody; one block at a time, since most of those are about to land.
        """
        if self._missing:
            offset, length = heapq.heappop(self._missing)
            if length > size:
                heapq.heappush(self._missing, (offset + size, length - size))
                length = size
            self._flying[offset, length] = {holder}
            return offset, length
        for extent, holders in self._flying.items() if idle else ():
            if len(holders) == 1 and holder not in holders:
                holders.add(holder)
                return extent
        return None

    def give_back(self, holder: str, extent: Extent) -> None:
        """It will not come from this holder."""
        holders = self._flying.get(extent, set())
        holders.discard(holder)
        if not holders and self._flying.pop(extent, None) is not None:
            heapq.heappush(self._missing, extent)

    def land(self, holder: str, offset: int, data: bytes) -> None:
        """A taken block has come, whole; a second time it is dropped. Raises OSError if it cannot be written."""
        if (offset, len(data)) not in self._flying:
            return
        self.incoming.write_at(data, offset)
        del self._flying[offset, len(data)]
        self.sent[holder] += len(data)
        if offset != self._front:
            self._landed[offset] = len(data)
            return
        self._hasher.update(data)
        self._front += len(data)
        while (length := self._landed.pop(self._front, 0)) > 0:
            self._hasher.update(self.incoming.read_at(length, self._front))
            self._front += length
