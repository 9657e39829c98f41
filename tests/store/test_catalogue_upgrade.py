"""A catalogue of an earlier schema is brought to the present one with all that it knows, and is used as if it had been made by it."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cpods.errors import StoreDamaged
from cpods.ports import Changes, Memory, Owner
from cpods.store import migrate
from cpods.store.catalogue import SqlCatalogue, open_catalogue
from cpods.store.quickcatalogue import QuickCatalogue, open_quickly

DUMP = Path(__file__).parent / "data" / "catalogue-0001.sql"
MADE = "xxh3:3c9fd088b9bc01a62add78c0c5b25d62"
Opened = Callable[[str, str], SqlCatalogue | QuickCatalogue]


@pytest.fixture
def old(tmp_path: Path) -> str:
    """What an earlier cpods left, with a pod of a federation besides."""
    path = str(tmp_path / "catalogue.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.read_text(encoding="utf-8"))
        connection.executescript(
            "INSERT INTO pods VALUES (2, 'far'); UPDATE holdings SET pods = x'01000200' WHERE id = 2;"
            "INSERT INTO owners VALUES ('away.txt', 3, 'far', 'xxh3:7815bf9b5e0085f2a513b754cb978abc')"
        )
    return path


def content(path: str) -> dict[str, list[tuple[Any, ...]]]:
    """table -> its rows."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {name: sorted(connection.execute(f"SELECT * FROM {name}")) for name in names}


@pytest.mark.parametrize("opened", [open_catalogue, open_quickly], ids=["sqlite", "quick"])
def test_all_but_the_dropped_tables_is_kept_and_can_be_used(old: str, opened: Opened) -> None:
    before = content(old)
    assert before.pop("glances") and before.pop("glance_files") and before.pop("alembic_version") == [("0001",)]

    async def used() -> Memory:
        catalogue = opened(old, "here")
        try:
            await catalogue.save(Changes(facts={"after": "1"}, owned={"x.txt": MADE}))
            return await catalogue.load()
        finally:
            await catalogue.close()

    memory = asyncio.run(used())
    after = content(old)
    assert after.pop("alembic_version") == [(migrate.HEAD_REVISION,)]
    before["facts"] = sorted([*before["facts"], ("after", "1")])
    before["owners"] = [(path, epoch + (path == "x.txt"), pod, digest) for path, epoch, pod, digest in before["owners"]]
    assert after == before
    assert memory.results["turn"].outputs[0].version.digest == MADE and set(memory.results) == {"upper", "turn"}
    good = memory.knots["turn"].good
    assert good is not None and (good.verdict, good.passes) == ("FIXED", 4)


def test_what_pods_hold_and_own_is_still_known(old: str) -> None:
    async def asked() -> tuple[dict[str, int], list[Owner]]:
        catalogue = open_catalogue(old, "here")
        try:
            held = dict(await catalogue.ownership.holders(["xxh3:7815bf9b5e0085f2a513b754cb978abc", MADE]))
            return held, list(await catalogue.ownership.enter([("away.txt", 3, "here", MADE)], {}))
        finally:
            await catalogue.close()

    held, owners = asyncio.run(asked())
    assert held == {"here": 4, "far": 2} and owners == [Owner("away.txt", 4, "here", MADE)]


def test_an_upgrade_that_fails_leaves_the_old_catalogue(old: str) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("DROP TABLE glances")
    before = content(old)
    with pytest.raises(StoreDamaged, match="fsck --rebuild"):
        migrate.prepare_catalogue(old)
    assert content(old) == before


def test_processes_that_open_it_at_once_upgrade_it_once(old: str) -> None:
    script = "import sys; from cpods.store.quickcatalogue import open_quickly; open_quickly(sys.argv[1], 'here')"
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    processes = [subprocess.Popen([sys.executable, "-c", script, old], env=environment) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert migrate.revision_of(old) == migrate.HEAD_REVISION
