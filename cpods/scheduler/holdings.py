"""Which pods hold which artefacts, in memory by integer id: the mirror that placement asks at each decision.

Knows no database: what it says is as true as what it is told. numpy is loaded here and nowhere else.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

#: Holders of an artefact that lie in its row of the table.
_IN_ROW = 4
_FIRST_ROWS = 1024
#: Set in the size of an artefact that has more holders.
_CROWDED = np.iinfo(np.int64).min
_PODS_MAX = np.iinfo(np.uint16).max

Ids = NDArray[np.int64]


class Holdings:
    """Artefacts by id (0, 1, … in the order of :meth:`add`) with size and holders. Sizes in bytes; an artefact's never changes.

    An artefact is 16 bytes of one table, so that a question about a thousand of them is one gathering (a cache miss each) and
    a few operations on whole arrays: its size, and the numbers of up to four pods (0: nobody). Further holders are in a
    dictionary, and the sign bit of the size says so.
    """

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._table: NDArray[np.int64] = np.zeros((_FIRST_ROWS, 2), np.int64)
        self._more: dict[int, set[int]] = {}
        self._numbers: dict[str, int] = {}
        self._names: list[str] = [""]

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, digest: str, size: int) -> int:
        """The artefact's id: a new one, or the one that it has."""
        number = self._ids.get(digest)
        if number is None:
            number = self._ids[digest] = len(self._ids)
            self._grow()
            self._table[number, 0] = size
        return number

    def add_many(self, artefacts: Mapping[str, int]) -> Ids:
        """Ids of many artefacts (digest -> size), in their order; new ones for those that have none."""
        known = self._ids
        before = len(known)
        ids = np.fromiter((known.setdefault(digest, len(known)) for digest in artefacts), np.int64, len(artefacts))
        self._grow()
        new = ids >= before
        self._table[ids[new], 0] = np.fromiter(artefacts.values(), np.int64, len(artefacts))[new]
        return ids

    def ids(self, digests: Iterable[str]) -> list[int]:
        """Ids of those of the digests that have one, in their order."""
        return [number for number in map(self._ids.get, digests) if number is not None]

    def hold(self, pod: str, ids: Sequence[int] | Ids) -> None:
        """``pod`` now holds these artefacts. Idempotent. Raises IndexError for an id that was never given."""
        number = self._number(pod)
        wanted = self._without_held(self._checked(ids), number)
        holders = self._holders()
        free = holders[wanted] == 0
        has_room = free.any(axis=1)
        holders[wanted[has_room], free[has_room].argmax(axis=1)] = number
        for artefact in wanted[~has_room].tolist():
            self._more.setdefault(artefact, set()).add(number)
            self._table[artefact, 0] |= _CROWDED

    def hold_digests(self, pod: str, artefacts: Mapping[str, int]) -> None:
        """``pod`` now holds these artefacts (digest -> size), known ones and new ones. Idempotent."""
        self.hold(pod, self.add_many(artefacts))

    def drop(self, pod: str, ids: Sequence[int] | Ids | None = None) -> None:
        """``pod`` holds these no longer; None: it holds nothing any more (it is lost, or told anew). Idempotent."""
        number = self._numbers.get(pod)
        if number is None:
            return
        holders = self._holders()
        if ids is None:
            holders[holders == number] = 0
            crowded = list(self._more)
        else:
            wanted = self._checked(ids)
            rows = holders[wanted]
            holders[wanted] = np.where(rows == number, 0, rows)
            crowded = wanted[self._table[wanted, 0] < 0].tolist()
        for artefact in crowded:
            self._less(artefact, number)

    def bytes_by_pod(self, ids: Sequence[int] | Ids) -> dict[str, int]:
        """Bytes of these artefacts that each pod holds, pods without any left out; each id counts once."""
        found = self._table.take(wanted := self._checked(ids), axis=0)
        sizes = found[:, 0]
        crowded = wanted[sizes < 0]
        if crowded.size:
            sizes = sizes & ~_CROWDED
        # Sums of floats are exact up to 2^53 bytes, which is more than a build has
        sums = np.bincount(found[:, 1].copy().view(np.uint16), sizes.repeat(_IN_ROW), len(self._names)).tolist()
        for artefact, size in zip(crowded.tolist(), sizes[found[:, 0] < 0].tolist(), strict=True):
            for number in self._more[artefact]:
                sums[number] += size
        return {name: int(held) for name, held in zip(self._names, sums, strict=True) if held and name}

    def bytes_by_pod_of(self, digests: Iterable[str]) -> dict[str, int]:
        """As :meth:`bytes_by_pod` by digest; those that have no id are held by nobody."""
        return self.bytes_by_pod(self.ids(digests))

    def holders(self, digest: str) -> list[str]:
        """The pods that hold an artefact, by name; none for an unknown digest."""
        artefact = self._ids.get(digest)
        if artefact is None:
            return []
        numbers = set(self._holders()[artefact].tolist()) | self._more.get(artefact, set())
        return sorted(self._names[number] for number in numbers - {0})

    def size(self, digest: str) -> int | None:
        """Bytes of an artefact; None for an unknown digest."""
        artefact = self._ids.get(digest)
        return None if artefact is None else int(self._table[artefact, 0] & ~_CROWDED)

    def _holders(self) -> NDArray[np.uint16]:
        """The table's pod numbers: a row of four an artefact, behind its size, which takes four places too."""
        numbers: NDArray[np.uint16] = self._table.view(np.uint16)
        return numbers[:, _IN_ROW:]

    def _without_held(self, wanted: Ids, number: int) -> Ids:
        """Those that the pod does not hold yet."""
        wanted = wanted[~(self._holders()[wanted] == number).any(axis=1)]
        crowded: Ids = wanted[self._table[wanted, 0] < 0]
        held = [artefact for artefact in crowded.tolist() if number in self._more[artefact]]
        return np.setdiff1d(wanted, held, assume_unique=True) if held else wanted

    def _less(self, artefact: int, number: int) -> None:
        """Takes one of the further holders away; the dictionary keeps only artefacts that have some."""
        more = self._more[artefact]
        more.discard(number)
        if not more:
            del self._more[artefact]
            self._table[artefact, 0] &= ~_CROWDED

    def _number(self, pod: str) -> int:
        number = self._numbers.get(pod)
        if number is None:
            if len(self._names) > _PODS_MAX:
                raise ValueError(f"the table of holders has numbers for {_PODS_MAX} pods only")
            number = self._numbers[pod] = len(self._names)
            self._names.append(pod)
        return number

    def _checked(self, ids: Sequence[int] | Ids) -> Ids:
        """Each id once, ascending. Raises IndexError for one that was never given: the table has rows beyond the last."""
        wanted = np.array(ids, np.int64)
        wanted.sort()
        if (wanted[1:] == wanted[:-1]).any():
            wanted = np.unique(wanted)
        if wanted.size and not 0 <= wanted[0] <= wanted[-1] < len(self._ids):
            raise IndexError(f"no artefact has the id {wanted[0] if wanted[0] < 0 else wanted[-1]}")
        return wanted

    def _grow(self) -> None:
        rows = len(self._table)
        if len(self._ids) > rows:
            added = max(len(self._ids), 2 * rows) - rows
            self._table = np.concatenate([self._table, np.zeros((added, 2), np.int64)])
