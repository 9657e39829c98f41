"""Who owns which path and who holds which artefact, in the catalogue's database: the real part of the Ownership port.

Knows no bus: claims that come from other pods reach it through the MajorDomo.
"""

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cpods.ids import FilePath
from cpods.ports import Owner
from cpods.store.database import Database
from cpods.store.schema import artefacts, holdings, owners, pods


class SqlOwnership:
    """Ownership in the catalogue's database. Each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def owner(self, path: FilePath) -> Owner | None:
        """The present owner."""
        async with self._database.reading() as connection:
            return await _owner(connection, path)

    async def claim(self, path: FilePath, epoch: int, pod: str, digest: str) -> Owner:
        """Takes ``path`` if its epoch is ``epoch`` (0: nobody owns it) and returns the owner now, at epoch + 1.

        If the epoch has moved on, changes nothing and returns the present owner.
        """
        values = {"path": path, "epoch": epoch + 1, "pod": pod, "digest": digest}
        async with self._database.writing() as connection:
            if epoch == 0:
                await connection.execute(insert(owners).values(values).on_conflict_do_nothing())
            else:
                await connection.execute(update(owners).where(owners.c.path == path, owners.c.epoch == epoch).values(values))
            owner = await _owner(connection, path)
        # Nobody owns it although the claimant saw an epoch: the catalogue was rebuilt; the claimant learns that it is at 0.
        return owner or Owner(path, 0, "", "")

    async def holders(self, digests: Sequence[str]) -> Mapping[str, int]:
        """Bytes of the given artefacts that each pod holds; each digest counts once."""
        wanted = func.json_each(json.dumps(list(dict.fromkeys(digests)))).table_valued("value")
        query = (
            select(holdings.c.size, holdings.c.pods)
            .select_from(wanted)
            .join(artefacts, artefacts.c.digest == wanted.c.value)
            .join(holdings, holdings.c.id == artefacts.c.id)
        )
        held: Counter[int] = Counter()
        async with self._database.reading() as connection:
            names = {pod: name for pod, name in await connection.execute(select(pods.c.id, pods.c.name))}
            for size, holders in await connection.execute(query):
                for pod in _pod_ids(holders):
                    held[pod] += size
        return {names[pod]: size for pod, size in held.items()}

    async def hold(self, pod: str, artefacts: Mapping[str, int]) -> None:
        """``pod`` now holds these artefacts (digest -> size). Idempotent."""
        if artefacts:
            async with self._database.writing() as connection:
                await self.hold_within(connection, pod, artefacts)

    async def drop(self, pod: str, digests: Iterable[str]) -> None:
        """``pod`` holds these no longer. Idempotent."""
        async with self._database.writing() as connection:
            number = await _pod_id(connection, pod)
            known = await _known(connection, list(digests))
            changed = [{"key": key, "holders": _without(holders, number)} for key, _, holders in known.values()]
            await _write_holders(connection, changed)

    async def hold_within(self, connection: AsyncConnection, pod: str, sizes: Mapping[str, int]) -> None:
        """As :meth:`hold`, in a transaction of the caller."""
        number = await _pod_id(connection, pod)
        await connection.execute(insert(artefacts).on_conflict_do_nothing(), [{"digest": digest} for digest in sizes])
        known = await _known(connection, list(sizes))
        rows = [
            {"id": key, "size": sizes[digest], "pods": _with(holders, number)}
            for digest, (key, _, holders) in known.items()
            if holders is None or number not in _pod_ids(holders)
        ]
        if rows:
            statement = insert(holdings)
            changed = {"size": statement.excluded.size, "pods": statement.excluded.pods}
            await connection.execute(statement.on_conflict_do_update(index_elements=[holdings.c.id], set_=changed), rows)

    async def own_within(self, connection: AsyncConnection, pod: str, owned: Mapping[FilePath, str]) -> None:
        """Takes paths (path -> digest) for ``pod`` at their next epoch, in a transaction of the caller."""
        statement = insert(owners)
        changed = {"epoch": owners.c.epoch + 1, "pod": statement.excluded.pod, "digest": statement.excluded.digest}
        rows = [{"path": path, "epoch": 1, "pod": pod, "digest": digest} for path, digest in owned.items()]
        await connection.execute(statement.on_conflict_do_update(index_elements=[owners.c.path], set_=changed), rows)


async def _owner(connection: AsyncConnection, path: FilePath) -> Owner | None:
    row = (await connection.execute(select(owners).where(owners.c.path == path))).first()
    return None if row is None else Owner(*row)


async def _pod_id(connection: AsyncConnection, pod: str) -> int:
    await connection.execute(insert(pods).values(name=pod).on_conflict_do_nothing())
    return int((await connection.execute(select(pods.c.id).where(pods.c.name == pod))).scalar_one())


async def _known(connection: AsyncConnection, digests: Sequence[str]) -> dict[str, tuple[int, int | None, bytes | None]]:
    """digest -> (id, size, holders) of the artefacts that have an id."""
    wanted = func.json_each(json.dumps(digests)).table_valued("value")
    query = (
        select(artefacts.c.digest, artefacts.c.id, holdings.c.size, holdings.c.pods)
        .select_from(wanted)
        .join(artefacts, artefacts.c.digest == wanted.c.value)
        .outerjoin(holdings, holdings.c.id == artefacts.c.id)
    )
    return {digest: (key, size, holders) for digest, key, size, holders in await connection.execute(query)}


async def _write_holders(connection: AsyncConnection, rows: Sequence[Mapping[str, object]]) -> None:
    if rows:
        statement = update(holdings).where(holdings.c.id == bindparam("key")).values(pods=bindparam("holders"))
        await connection.execute(statement, [dict(row) for row in rows])


def _pod_ids(holders: bytes) -> "array[int]":
    """Pod ids of a holders blob: two bytes each, little-endian (as is every machine that this runs on)."""
    return array("H", holders)


def _with(holders: bytes | None, pod: int) -> bytes:
    return array("H", sorted({*_pod_ids(holders or b""), pod})).tobytes()


def _without(holders: bytes | None, pod: int) -> bytes:
    return array("H", [other for other in _pod_ids(holders or b"") if other != pod]).tobytes()
