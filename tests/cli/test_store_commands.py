"""`cpods store`: size, verification, a catalogue made anew, the quota."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cpods.cli.store import human
from cpods.store.collect import stat
from tests.cli.conftest import Cli

Files = Callable[[Path], dict[str, bytes]]


def ran(folder: Path) -> list[str]:
    return [entry["step"] for entry in json.loads((folder.parent / "r.json").read_text())["executions"]]


def objects(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / ".cpods" / "objects" / "objects").rglob("*") if path.is_file())


def damage(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"spoilt")


def test_stat_counts_what_is_there(cli: Cli, line: Path) -> None:
    assert "objects: 0, 0 B of at most 10.0 GiB" in cli("store", "stat").out and not (line / ".cpods").exists()
    cli("rebuild")
    shown = cli("store", "stat")
    assert shown.code == 0 and f"objects: {len(objects(line))}," in shown.out and "quarantined" not in shown.out


@pytest.mark.parametrize("kind", ["lost", "garbage", "empty"])
def test_a_lost_or_damaged_catalogue_is_made_anew_and_nothing_runs(cli: Cli, line: Path, files: Files, kind: str) -> None:
    cli("rebuild")
    before = files(line)
    catalogue = line / ".cpods" / "catalogue.db"
    if kind == "lost":
        catalogue.unlink()
    else:
        catalogue.write_bytes(b"" if kind == "empty" else b"no database at all, but long enough to be looked at" * 99)
    made = cli("store", "fsck", "--rebuild")
    assert made.code == 0, made.err
    assert "catalogue made anew: 2 results, 0 knots, 2 generated files" in made.out
    assert cli("rebuild", "--report", "../r.json").code == 0
    assert ran(line) == [] and files(line) == before


def test_a_document_survives_the_loss_of_the_catalogue(cli: Cli, paper: Path, files: Files) -> None:
    cli("rebuild")
    before = files(paper)
    (paper / ".cpods" / "catalogue.db").unlink()
    assert cli("store", "fsck", "--rebuild").code == 0
    rebuilt = cli("rebuild", "--report", "../r.json")
    assert rebuilt.code == 0 and "everything is up to date" in rebuilt.out
    assert ran(paper) == [] and files(paper) == before


def test_a_damaged_catalogue_is_named_with_the_way_out(cli: Cli, line: Path) -> None:
    cli("rebuild")
    (line / ".cpods" / "catalogue.db").write_bytes(b"no database at all" * 99)
    for command in (("status",), ("why", "upper"), ("rebuild",)):
        shown = cli(*command)
        assert shown.code == 6 and "cpods store fsck --rebuild" in shown.err and shown.err.count("\n") == 1


def test_fsck_sets_damaged_objects_aside_and_the_next_build_makes_them_again(cli: Cli, line: Path, files: Files) -> None:
    cli("rebuild")
    before = files(line)
    assert cli("store", "fsck").code == 0
    for path in objects(line):
        damage(path)
    found = cli("store", "fsck")
    assert found.code == 6 and "damaged and set aside: xxh3:" in found.err
    assert f"quarantined: {len(before) - 2} damaged objects" in cli("store", "stat").out
    assert cli("store", "fsck").code == 0
    held = sqlite3.connect(line / ".cpods" / "catalogue.db").execute("SELECT count(*) FROM holdings WHERE length(pods) > 0").fetchone()
    assert held == (0,)
    assert cli("rebuild").code == 0 and files(line) == before


def test_collect_goes_down_to_the_quota_but_keeps_the_last_build(cli: Cli, line: Path) -> None:
    text = (line / "cpods.toml").read_text()
    (line / "cpods.toml").write_text(text + "[store]\nmax_bytes = 10000000\n")
    for number in range(5):
        (line / "in.txt").write_text(f"{number}\n" * 3000)
        cli("rebuild")
    many = len(objects(line))
    (line / "cpods.toml").write_text(text + "[store]\nmax_bytes = 20000\n")
    done = cli("store", "collect")
    assert done.code == 0 and 2 <= len(objects(line)) < many
    assert f"{many - len(objects(line))} objects" in done.out
    store = line / ".cpods" / "objects"
    assert (store / "growth").read_text() == f"{stat(str(store)).object_bytes}\n"  # no later build need measure it again
    assert cli("rebuild", "--report", "../r.json").code == 0 and ran(line) == []


def test_where_there_is_no_store_yet(cli: Cli, line: Path) -> None:
    assert cli("store", "fsck").code == cli("store", "collect").code == 0
    assert not (line / ".cpods").exists()
    assert cli("store", "fsck", "--rebuild", "-C", "nowhere").code == 2


def test_sizes_are_readable() -> None:
    assert [human(size) for size in (0, 1023, 1536, 10 << 30, 3 << 40)] == ["0 B", "1023 B", "1.5 KiB", "10.0 GiB", "3.0 TiB"]
