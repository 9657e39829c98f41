"""Who owns which path and who holds which artefact, in the catalogue's database: the real part of the Ownership port.

Knows no bus: claims that come from other pods reach it through the MajorDomo.
"""

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cpods.ids import FilePath
from cpods.ports import Claim, Owner
from cpods.store.accounts import Accounts
from cpods.store.database import Database
from cpods.store.holders import Holders
from cpods.store.schema import artefacts, holdings, owners, pods


class SqlOwnership:
    """Ownership in the catalogue's database. Each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holders = Holders(database.path)
        self._accounts = Accounts(database.path)

    async def owner(self, path: FilePath) -> Owner | None:
        """The present owner."""
        async with self._database.reading() as connection:
            return await _owner(connection, path)

    async def claim(self, path: FilePath, epoch: int, pod: str, digest: str) -> Owner:
        """Takes ``path`` if its epoch is ``epoch`` (0: nobody owns it) and returns the owner now, at epoch + 1.

        If the epoch has moved on, changes nothing and returns the present owner.
        """
        return (await self.claim_many([(path, epoch, pod, digest)]))[0]

    async def claim_many(self, claims: Sequence[Claim]) -> list[Owner]:
        """As :meth:`claim` for many, one after the other in one transaction; returns the owners after all of them.

        The first statement writes, so that SQLite's one writer is this transaction from its beginning to its end: nobody
        claims in between. A claim that is repeated finds its own epoch + 1, pod and digest, and changes nothing.
        """
        return await self.enter(claims, {})

    async def enter(self, claims: Sequence[Claim], held: Mapping[str, Mapping[str, int]]) -> list[Owner]:
        """As :meth:`claim_many`, and in the same transaction as :meth:`hold` for many (pod -> digest -> size)."""
        if not claims and not any(held.values()):
            return []
        async with self._database.turn:
            return await self._accounts.enter(claims, held)

    async def owners(self) -> Mapping[FilePath, Owner]:
        """All owners by path: what a MajorDomo starts from."""
        async with self._database.reading() as connection:
            return {row.path: Owner(*row) for row in await connection.execute(select(owners))}

    async def holders(self, digests: Sequence[str]) -> Mapping[str, int]:
        """Bytes of the given artefacts that each pod holds; each digest counts once."""
        return await self._holders.bytes_by_pod(digests)

    async def held(self) -> Mapping[str, Mapping[str, int]]:
        """pod -> the artefacts that it holds (digest -> size): what a mirror starts from."""
        query = select(artefacts.c.digest, holdings.c.size, holdings.c.pods).join(holdings, holdings.c.id == artefacts.c.id)
        async with self._database.reading() as connection:
            found: dict[int, dict[str, int]] = {}
            for digest, size, holders in await connection.execute(query):
                for pod in _pod_ids(holders):
                    found.setdefault(pod, {})[digest] = size
            names = {pod: name for pod, name in await connection.execute(select(pods.c.id, pods.c.name))}
        return {names[pod]: held for pod, held in found.items()}

    async def hold(self, pod: str, artefacts: Mapping[str, int]) -> None:
        """``pod`` now holds these artefacts (digest -> size). Idempotent."""
        await self.enter([], {pod: artefacts})

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

    async def close(self) -> None:
        """Releases the database. Idempotent."""
        await self._holders.close()
        await self._accounts.close()

    async def own_within(
        self, connection: AsyncConnection, pod: str, owned: Mapping[FilePath, str], elsewhere: Mapping[FilePath, str]
    ) -> None:
        """Takes paths (path -> digest) at their next epoch, in a transaction of the caller.

        They become owned by ``pod``, or by the pod that ``elsewhere`` (path -> pod) names.
        """
        statement = insert(owners)
        changed = {"epoch": owners.c.epoch + 1, "pod": statement.excluded.pod, "digest": statement.excluded.digest}
        rows = [{"path": path, "epoch": 1, "pod": elsewhere.get(path, pod), "digest": digest} for path, digest in owned.items()]
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
