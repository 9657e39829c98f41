"""The write that a federation makes for every result, made fast: who owns which paths now, and who holds which artefacts.

Knows no SQLAlchemy: its asynchronous way hops between threads for each statement, this makes one hop for a transaction.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence

from cpods.ports import Claim, Owner
from cpods.store.holding import hold
from cpods.store.ownconnection import OwnConnection

#: Compare and set in one statement: makes the row if the claimant saw none, changes it if its epoch is the claimant's.
CLAIM = (
    "INSERT INTO owners (path, epoch, pod, digest) SELECT :path, :epoch + 1, :pod, :digest "
    "WHERE :epoch = 0 OR EXISTS (SELECT 1 FROM owners WHERE path = :path AND epoch = :epoch) "
    "ON CONFLICT (path) DO UPDATE SET epoch = excluded.epoch, pod = excluded.pod, digest = excluded.digest "
    "WHERE owners.epoch = excluded.epoch - 1"
)
_OWNERS = "SELECT owners.path, epoch, pod, digest FROM json_each(?) AS wanted CROSS JOIN owners ON owners.path = wanted.value"
_PRAGMAS = ("busy_timeout = 30000", "synchronous = NORMAL", "mmap_size = 268435456")

Held = Mapping[str, Mapping[str, int]]


class Accounts:
    """Writes into the catalogue at ``path`` in a thread of its own, on a connection that is opened with the first write."""

    def __init__(self, path: str) -> None:
        self._own = OwnConnection(path, "accounts", _PRAGMAS)
        self._pods: dict[str, int] = {}

    async def enter(self, claims: Sequence[Claim], held: Held) -> list[Owner]:
        """All claims, one after the other, and all holdings (pod -> digest -> size) in one transaction.

        The owners of the claimed paths after it, in the order of the claims. Raises StoreDamaged, Locked, OSError; then
        nothing was written.
        """
        return await self._own.run(lambda connection: self._enter(connection, list(claims), held))

    async def close(self) -> None:
        """Releases the file. Idempotent."""
        await self._own.close()

    def _enter(self, connection: sqlite3.Connection, claims: Sequence[Claim], held: Held) -> list[Owner]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for pod, artefacts in held.items():
                hold(connection, pod, artefacts, self._pods)
            owners = self._claim(connection, claims)
            connection.execute("COMMIT")
        except BaseException:
            self._pods.clear()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return owners

    def _claim(self, connection: sqlite3.Connection, claims: Sequence[Claim]) -> list[Owner]:
        if not claims:
            return []
        rows = [{"path": path, "epoch": epoch, "pod": pod, "digest": digest} for path, epoch, pod, digest in claims]
        connection.executemany(CLAIM, rows)
        wanted = json.dumps(list(dict.fromkeys(path for path, *_ in claims)))
        present = {row[0]: Owner(*row) for row in connection.execute(_OWNERS, (wanted,))}
        # Nobody owns it although the claimant saw an epoch: the catalogue was rebuilt; the claimant learns that it is at 0.
        return [present.get(path) or Owner(path, 0, "", "") for path, *_ in claims]
