"""The catalogue as a file: schema versions, damage, a full disk, a crash in the middle of a transaction."""

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from cpods.errors import Locked, StoreDamaged
from cpods.ports import Changes, Written
from cpods.store import migrate
from cpods.store.catalogue import SqlCatalogue, open_catalogue
from cpods.store.quickcatalogue import QuickCatalogue, open_quickly

AnyCatalogue = SqlCatalogue | QuickCatalogue
Opened = Callable[[str, str], AnyCatalogue]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "with % and ?" / "catalogue.db")


@pytest.fixture(params=[open_catalogue, open_quickly], ids=["sqlite", "quick"])
def opened(request: pytest.FixtureRequest) -> Opened:
    """Both ways to open a catalogue."""
    return request.param


def using(path: str, opened: Opened, body: Callable[[AnyCatalogue], Awaitable[None]]) -> None:
    async def whole() -> None:
        catalogue = opened(path, "here")
        try:
            await body(catalogue)
        finally:
            await catalogue.close()

    asyncio.run(whole())


def schema_of(path: str) -> dict[str, list[tuple[object, ...]]]:
    """table -> its columns and its unique indexes, as SQLite reports them."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {
            name: [
                *connection.execute(f"PRAGMA table_info({name})"),
                *(row[2:] for row in connection.execute(f"PRAGMA index_list({name})")),
                *connection.execute("SELECT wr FROM pragma_table_list WHERE name = ?", (name,)),
            ]
            for name in names
        }


def test_a_new_catalogue_has_the_schema_that_the_revisions_make(path: str, tmp_path: Path) -> None:
    migrate.prepare_catalogue(path)
    migrated = str(tmp_path / "migrated.db")
    migrate.upgrade(migrated)
    assert schema_of(path) == schema_of(migrated)
    assert migrate.revision_of(migrated) == migrate.revision_of(path) == migrate.HEAD_REVISION


def test_the_head_is_the_newest_revision() -> None:
    assert migrate.known_revisions()[0] == migrate.HEAD_REVISION


def test_making_and_opening_a_catalogue_loads_no_alembic_and_the_quick_way_no_sqlalchemy(path: str) -> None:
    script = (
        "import sys; from cpods.store.quickcatalogue import open_quickly as o; o(sys.argv[1], 'p'); o(sys.argv[1], 'p');"
        "assert 'sqlalchemy' not in sys.modules;"
        "from cpods.store.catalogue import open_catalogue as o; o(sys.argv[1], 'p');"
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, path], env={**os.environ, "PYTHONPATH": os.getcwd()}, check=True)


def test_revisions_are_found_when_installed(path: str, tmp_path: Path) -> None:
    shutil.copytree("cpods", tmp_path / "site" / "cpods", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree("migrations", tmp_path / "site" / "cpods" / "_migrations", ignore=shutil.ignore_patterns("__pycache__"))
    script = "import sys; from cpods.store import migrate as m; m.upgrade(sys.argv[1]); print(m.migrations_folder())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    upgraded = str(tmp_path / "installed.db")
    ended = subprocess.run([sys.executable, "-c", script, upgraded], env=environment, cwd=tmp_path, capture_output=True, check=True)
    assert ended.stdout.decode().strip() == str(tmp_path / "site" / "cpods" / "_migrations")
    assert migrate.revision_of(upgraded) == migrate.HEAD_REVISION


def test_a_newer_schema_is_left_alone(path: str) -> None:
    migrate.prepare_catalogue(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreDamaged, match="schema 9999.*newer cpods"):
        open_catalogue(path, "here")


def test_a_file_that_is_no_catalogue_is_told(path: str) -> None:
    os.makedirs(os.path.dirname(path))
    Path(path).write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreDamaged, match="cpods store fsck --rebuild"):
        open_catalogue(path, "here")


def test_tables_without_a_version_are_told(path: str) -> None:
    os.makedirs(os.path.dirname(path))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE stranger (x)")
    with pytest.raises(StoreDamaged, match="fsck --rebuild"):
        open_catalogue(path, "here")


def test_damage_inside_the_file_is_told_when_it_is_read(path: str, opened: Opened) -> None:
    async def fill(catalogue: AnyCatalogue) -> None:
        await catalogue.save(Changes(written={f"path{number:05}": Written("s" * 100, "d") for number in range(2000)}))

    async def look(catalogue: AnyCatalogue) -> None:
        with pytest.raises(StoreDamaged, match="fsck --rebuild"):
            await catalogue.load()

    using(path, opened, fill)
    with open(path, "r+b") as file:
        file.seek(4096 * 40)
        file.write(b"\xff" * (os.path.getsize(path) - 4096 * 40))
    using(path, opened, look)


def test_a_catalogue_that_somebody_holds_is_not_called_damaged(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    os.makedirs(os.path.dirname(path))
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda database, **options: connect(database, **{**options, "timeout": 0}))
    with closing(connect(path)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Locked, match="another process"):
            migrate.revision_of(path)


def test_an_entry_that_cannot_be_decoded_is_told(path: str, opened: Opened) -> None:
    migrate.prepare_catalogue(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO results VALUES ('s', x'ff00')")

    async def look(catalogue: AnyCatalogue) -> None:
        with pytest.raises(StoreDamaged, match="cannot be read"):
            await catalogue.load()

    using(path, opened, look)


def test_a_full_disk_is_an_os_error_and_nothing_is_saved(path: str, opened: Opened) -> None:
    async def body(catalogue: AnyCatalogue) -> None:
        await catalogue.save(Changes(facts={"before": "1"}))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
        try:
            with pytest.raises(OSError):
                await catalogue.save(Changes(facts={str(number): "x" * 1000 for number in range(1000)}))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (await catalogue.load()).facts == {"before": "1"}
        await catalogue.save(Changes(facts={"after": "2"}))
        assert (await catalogue.load()).facts == {"before": "1", "after": "2"}

    using(path, opened, body)


def test_an_error_in_the_middle_saves_nothing(path: str, opened: Opened) -> None:
    async def body(catalogue: AnyCatalogue) -> None:
        with pytest.raises(OverflowError):
            await catalogue.save(Changes(facts={"a": "1"}, artefacts={"d": 1 << 70}))
        assert (await catalogue.load()).facts == {}

    using(path, opened, body)


def test_two_connections_see_each_others_commits(path: str, opened: Opened) -> None:
    async def body(first: AnyCatalogue) -> None:
        second = opened(path, "there")
        try:
            await asyncio.gather(
                *(catalogue.save(Changes(facts={f"{catalogue.pod}{n}": "x"})) for n in range(10) for catalogue in (first, second))
            )
            assert len((await first.load()).facts) == len((await second.load()).facts) == 20
        finally:
            await second.close()

    using(path, opened, body)


def test_a_writer_that_somebody_keeps_waiting_hears_signals_and_then_writes(path: str) -> None:
    async def body(catalogue: AnyCatalogue) -> None:
        with closing(sqlite3.connect(path)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            saving = asyncio.ensure_future(catalogue.save(Changes(facts={"a": "1"})))
            for _ in range(3):  # the loop goes on while it waits
                await asyncio.sleep(0)
            assert not saving.done()
            holder.rollback()
        await saving
        assert (await catalogue.load()).facts == {"a": "1"}

    using(path, open_quickly, body)


def test_a_save_that_is_cancelled_while_it_waits_writes_nothing(path: str) -> None:
    async def body(catalogue: AnyCatalogue) -> None:
        with closing(sqlite3.connect(path)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            saving = asyncio.ensure_future(catalogue.save(Changes(facts={"a": "1"})))
            await asyncio.sleep(0)
            saving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await saving
        await catalogue.save(Changes(facts={"b": "2"}))
        assert (await catalogue.load()).facts == {"b": "2"}

    using(path, open_quickly, body)


def test_a_file_that_is_gone_is_told_and_not_made_anew(path: str) -> None:
    async def body(catalogue: AnyCatalogue) -> None:
        os.unlink(path)
        with pytest.raises(OSError, match="cannot be opened"):
            await catalogue.load()
        assert not os.path.exists(path)

    using(path, open_quickly, body)


def test_both_ways_write_into_one_file(path: str) -> None:
    async def body(quick: AnyCatalogue) -> None:
        full = open_catalogue(path, "there")
        try:
            batches = [catalogue.save(Changes(facts={f"{catalogue.pod}{n}": "x"})) for n in range(10) for catalogue in (quick, full)]
            await asyncio.gather(*batches)
            assert (await quick.load()).facts == (await full.load()).facts and len((await quick.load()).facts) == 20
        finally:
            await full.close()

    using(path, open_quickly, body)
