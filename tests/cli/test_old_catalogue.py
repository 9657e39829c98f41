"""A project that an earlier cpods built: the next rebuild upgrades its catalogue, and runs no more than what changed."""

import json
from argparse import Namespace
from pathlib import Path

from alembic import command
from alembic.config import Config

from cpods.store import migrate
from tests.cli.conftest import Cli


def back_to(revision: str, catalogue: Path) -> None:
    """The way that migrations/env.py describes for doing it by hand."""
    config = Config(cmd_opts=Namespace(x=[f"database={catalogue}"]))
    config.set_main_option("script_location", migrate.migrations_folder())
    command.downgrade(config, revision)


def test_the_next_rebuild_upgrades_it_and_runs_what_changed(cli: Cli, line: Path) -> None:
    assert cli("rebuild").code == 0
    catalogue = line / ".cpods" / "catalogue.db"
    back_to("0001", catalogue)
    assert migrate.revision_of(str(catalogue)) == "0001"
    (line / "cpods.toml").write_text((line / "cpods.toml").read_text().replace("sort mid.txt", "sort -r mid.txt"))
    assert cli("rebuild", "--report", "../r.json").code == 0
    assert [entry["step"] for entry in json.loads((line.parent / "r.json").read_text())["executions"]] == ["order"]
    assert migrate.revision_of(str(catalogue)) == migrate.HEAD_REVISION


def test_so_does_one_that_only_looks_and_one_of_a_slice(cli: Cli, line: Path) -> None:
    assert cli("rebuild").code == 0
    catalogue = line / ".cpods" / "catalogue.db"
    back_to("0001", catalogue)
    assert "it is up to date" in cli("why", "order").out and migrate.revision_of(str(catalogue)) == migrate.HEAD_REVISION
    back_to("0001", catalogue)
    (line / "in.txt").write_text("d\nc\n")
    assert cli("rebuild").code == 0 and (line / "out.txt").read_text() == "C\nD\n"
    assert migrate.revision_of(str(catalogue)) == migrate.HEAD_REVISION
