"""Brings a catalogue file to the present schema, with Alembic only where an older one is found.

Knows no table's content.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from cpods.errors import StoreDamaged
from cpods.store.emptycatalogue import STATEMENTS
from cpods.store.sqlerrors import REBUILD_HINT, translated

if TYPE_CHECKING:  # Alembic takes 100 ms to load and is needed after an upgrade of cpods only
    from alembic.config import Config
    from sqlalchemy import Connection

#: The newest revision in migrations/versions. A catalogue at it is opened without loading Alembic.
HEAD_REVISION = "0002"


def prepare_catalogue(path: str) -> None:
    """Makes or upgrades the catalogue at ``path``. Raises StoreDamaged (corrupt, or newer than this program), Locked, OSError."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    revision = revision_of(path)
    if revision == HEAD_REVISION:
        return
    if revision is not None and revision not in known_revisions():
        raise StoreDamaged(f"{path}: the catalogue has schema {revision}, this cpods knows {HEAD_REVISION}: use a newer cpods")
    if revision is None:
        create(path)
    else:
        upgrade(path)


def revision_of(path: str) -> str | None:
    """The schema revision of a catalogue; None if it has no tables yet. Raises StoreDamaged if the file is no catalogue."""
    if not os.path.exists(path):
        return None
    try:
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall() if "alembic_version" in names else []
    except sqlite3.DatabaseError as error:
        raise translated(error, path) from error
    if rows:
        return str(rows[0][0])
    if names - {"alembic_version"}:
        raise StoreDamaged(f"{path}: the catalogue has tables but no schema version; {REBUILD_HINT}")
    return None


def create(path: str) -> None:
    """A new catalogue, with the tables that all revisions together would make, in one transaction."""
    try:
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in STATEMENTS:
                connection.execute(statement)
            connection.execute("INSERT OR IGNORE INTO alembic_version VALUES (?)", (HEAD_REVISION,))
            connection.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        raise translated(error, path) from error


def upgrade(path: str) -> None:
    """Runs the missing Alembic revisions, all in one transaction."""
    from alembic import command

    with _transaction(path) as connection:
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def known_revisions() -> list[str]:
    """All revisions that this program has, newest first."""
    from alembic.script import ScriptDirectory

    return [script.revision for script in ScriptDirectory.from_config(_alembic_config()).walk_revisions()]


def migrations_folder() -> str:
    """Where the revisions are: beside the package's modules when installed, else at the top of the repository."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for folder in (os.path.join(package, "_migrations"), os.path.join(os.path.dirname(package), "migrations")):
        if os.path.isfile(os.path.join(folder, "env.py")):
            return folder
    raise StoreDamaged("this installation of cpods has no migrations folder: install it again")


@contextmanager
def _transaction(path: str) -> Iterator["Connection"]:
    """All or nothing, tables included: sqlite3 by itself would begin only at the first INSERT."""
    from sqlalchemy import URL, create_engine
    from sqlalchemy.exc import DatabaseError

    engine = create_engine(URL.create("sqlite", database=path))
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
    except DatabaseError as error:
        raise translated(error.orig, path) from error
    finally:
        engine.dispose()


def _alembic_config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", migrations_folder().replace("%", "%%"))
    return config
