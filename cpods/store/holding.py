"""Writes who holds which artefacts: the statements, for every writer of the catalogue by sqlite3.

Knows no transaction: the caller begins it and ends it.
"""

import json
import sqlite3
from array import array
from collections.abc import Mapping

_KNOWN = (
    "SELECT artefacts.digest, artefacts.id, holdings.pods FROM json_each(?) AS wanted "
    "CROSS JOIN artefacts ON artefacts.digest = wanted.value LEFT JOIN holdings ON holdings.id = artefacts.id"
)
_HOLD = "INSERT INTO holdings (id, size, pods) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET size = excluded.size, pods = excluded.pods"


def hold(connection: sqlite3.Connection, pod: str, artefacts: Mapping[str, int], numbers: dict[str, int]) -> None:
    """``pod`` now holds these artefacts (digest -> size), within a transaction of the caller.

    ``numbers``: ids of pods that are known already; a new one is added, to be forgotten if the transaction is rolled back.
    """
    if not artefacts:
        return
    number = numbers[pod] = numbers.get(pod) or _number(connection, pod)
    connection.executemany("INSERT INTO artefacts (digest) VALUES (?) ON CONFLICT DO NOTHING", [(digest,) for digest in artefacts])
    rows = []
    for digest, key, blob in connection.execute(_KNOWN, (json.dumps(list(artefacts)),)):
        holders = array("H", blob or b"")  # two bytes a pod, little-endian as is every machine that this runs on
        if number not in holders:
            rows.append((key, artefacts[digest], array("H", sorted([*holders, number])).tobytes()))
    connection.executemany(_HOLD, rows)


def _number(connection: sqlite3.Connection, pod: str) -> int:
    connection.execute("INSERT INTO pods (name) VALUES (?) ON CONFLICT DO NOTHING", (pod,))
    return int(connection.execute("SELECT id FROM pods WHERE name = ?", (pod,)).fetchone()[0])
