"""One query, made fast: how many bytes of the given artefacts each pod holds, by the standard library's sqlite3.

Knows no SQLAlchemy (its asynchronous way costs 1.5 ms a call, more than the whole query) and writes nothing.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from struct import Struct

from cpods.store.ownconnection import OwnConnection

#: Ids of artefacts never change, so they are remembered; about 150 bytes each.
_REMEMBERED_MAX = 1 << 20

_BY_ID = "SELECT holdings.size, holdings.pods FROM json_each(?) AS wanted CROSS JOIN holdings ON holdings.id = wanted.value"
_BY_DIGEST = (
    "SELECT holdings.size, holdings.pods, artefacts.digest, artefacts.id FROM json_each(?) AS wanted "
    "CROSS JOIN artefacts ON artefacts.digest = wanted.value CROSS JOIN holdings ON holdings.id = artefacts.id"
)
_PRAGMAS = ("query_only = 1", "busy_timeout = 30000", "mmap_size = 1073741824")


class _Unpack(dict[int, Callable[[bytes], tuple[int, ...]]]):
    """By the length of a blob of holders: what makes pod numbers of it. Cheaper than an array for one to three of them."""

    def __missing__(self, length: int) -> Callable[[bytes], tuple[int, ...]]:
        unpack = self[length] = Struct(f"<{length // 2}H").unpack  # two bytes a pod, little-endian
        return unpack


class Holders:
    """Reads the catalogue at ``path`` in a thread of its own, on a connection that is opened with the first question.

    What was asked for once is found by its id from then on: ids follow the order of creation, so that the inputs of a step
    lie near each other, while their digests are strewn over the whole index.
    """

    def __init__(self, path: str) -> None:
        self._own = OwnConnection(path, "holders", _PRAGMAS)
        self._ids: dict[str, int] = {}
        self._names: list[str] = []
        self._unpack = _Unpack()

    async def bytes_by_pod(self, digests: Sequence[str]) -> dict[str, int]:
        """Bytes of the given artefacts that each pod holds; each digest counts once. Raises StoreDamaged, Locked, OSError."""
        return await self._own.run(lambda connection: self._answer(connection, list(dict.fromkeys(digests))))

    async def close(self) -> None:
        """Releases the file. Idempotent."""
        await self._own.close()

    def _answer(self, connection: sqlite3.Connection, digests: list[str]) -> dict[str, int]:
        rows = self._rows(connection, digests)
        try:
            return self._counted(rows)
        except IndexError:  # a pod is new
            self._names = _by_number(dict(connection.execute("SELECT id, name FROM pods")))
            return self._counted(rows)

    def _rows(self, connection: sqlite3.Connection, digests: list[str]) -> list[tuple[int, bytes]]:
        """Size and holders of each artefact that is known to the catalogue."""
        found = list(map(self._ids.get, digests))
        unknown = [digest for digest, number in zip(digests, found, strict=True) if number is None] if None in found else []
        known = [number for number in found if number is not None] if unknown else found
        # Python's text of a list of whole numbers is JSON
        rows: list[tuple[int, bytes]] = connection.execute(_BY_ID, (str(known),)).fetchall() if known else []
        if unknown:
            new = connection.execute(_BY_DIGEST, (json.dumps(unknown),)).fetchall()
            rows += [(size, holders) for size, holders, _, _ in new]
            if len(self._ids) > _REMEMBERED_MAX:
                self._ids.clear()
            self._ids.update((digest, number) for _, _, digest, number in new)
        return rows

    def _counted(self, rows: list[tuple[int, bytes]]) -> dict[str, int]:
        """Raises IndexError for a pod that has no name here."""
        held = [0] * len(self._names)
        unpack = self._unpack
        for size, holders in rows:
            for pod in unpack[len(holders)](holders):
                held[pod] += size
        # Who holds nothing but empty artefacts is a holder too
        there = {pod for size, holders in rows if not size for pod in unpack[len(holders)](holders)}
        return {name: size for pod, (name, size) in enumerate(zip(self._names, held, strict=True)) if size or pod in there}


def _by_number(names: Mapping[int, str]) -> list[str]:
    """Names in a list by id: ids are given from 1 on without gaps, and a list is counted in faster than a dictionary."""
    return [names.get(number, "") for number in range(max(names, default=0) + 1)]
