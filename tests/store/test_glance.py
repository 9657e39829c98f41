"""The null-build check: yes only while everything that the build stood on still holds."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cpods.digest import of_bytes
from cpods.store.files import stamp_of
from cpods.store.glance import Ground, Row, forget, is_current, remember
from cpods.store.migrate import prepare_catalogue

KEY, ENVIRONMENT, VERSION, SUMMARY = "all", "env-digest", "0.1.0", '{"steps": 3}'


class Bench:
    """A project with a few files, and the catalogue that a build of it left behind."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        (self.root / "src").mkdir(parents=True)
        self.catalogue = str(self.root / ".cpods" / "catalogue.db")
        prepare_catalogue(self.catalogue)
        self.tool = folder / "tool"
        self.tool.write_bytes(b"tool")
        self.outside = folder / "own.sty"
        for path in ("a.c", "src/b.c"):
            (self.root / path).write_bytes(b"x")
        self.outside.write_bytes(b"sty")

    def row(self, path: str, ahead_ns: int = 10**9) -> Row:
        absolute = self.root / path
        if not absolute.exists():
            return (path, -1, 0, 0, 0, "absent", 0)
        return (path, *stamp_of(os.stat(absolute)), of_bytes(absolute.read_bytes()), time.time_ns() + ahead_ns)

    def ground(self, ahead_ns: int = 10**9) -> Ground:
        paths = ["a.c", "src/b.c", "missing.h", str(self.outside)]
        status = os.stat(self.tool)
        stamps = [(str(self.tool), status.st_size, status.st_mtime_ns, status.st_ino), ("/no/such/tool", -1, 0, 0)]
        return Ground([self.row(path, ahead_ns) for path in paths], stamps, ["src/*.c", "**/*.h"])

    def remember(self, ahead_ns: int = 10**9) -> None:
        remember(self.catalogue, str(self.root), KEY, ENVIRONMENT, VERSION, self.ground(ahead_ns), SUMMARY)

    def ask(self, key: str = KEY, environment: str = ENVIRONMENT, version: str = VERSION) -> str | None:
        return is_current(self.catalogue, str(self.root), key, environment, version)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.remember()
    return bench


def test_an_untouched_project_is_current(bench: Bench) -> None:
    assert bench.ask() == SUMMARY
    assert bench.ask() == SUMMARY


@pytest.mark.parametrize("asked", [{"key": "other"}, {"environment": "other"}, {"version": "0.2.0"}])
def test_other_goals_environment_or_program_are_not(bench: Bench, asked: dict[str, str]) -> None:
    assert bench.ask(**asked) is None
    assert bench.ask() == SUMMARY


@pytest.mark.parametrize(
    "touch",
    [
        lambda bench: (bench.root / "a.c").write_bytes(b"y"),
        lambda bench: (bench.root / "a.c").write_bytes(b"longer"),
        lambda bench: (bench.root / "src/b.c").unlink(),
        lambda bench: (bench.root / "missing.h").write_bytes(b""),
        lambda bench: bench.outside.write_bytes(b"STY"),
        lambda bench: bench.tool.write_bytes(b"newer tool"),
        lambda bench: bench.tool.unlink(),
        lambda bench: (bench.root / "src/c.c").write_bytes(b""),
        lambda bench: (bench.root / "src/deep.h").write_bytes(b""),
    ],
    ids=["edit", "grow", "remove", "appear", "outside", "tool", "no-tool", "glob", "deep-glob"],
)
def test_any_change_is_seen(bench: Bench, touch: object) -> None:
    touch(bench)  # type: ignore[operator]
    assert bench.ask() is None


@pytest.mark.parametrize(
    "touch",
    [
        lambda bench: os.utime(bench.root / "a.c"),
        lambda bench: (bench.root / "a.c").write_bytes(b"x"),
        lambda bench: (bench.root / "missing.h").mkdir(),
        lambda bench: (bench.root / "src/unrelated.txt").write_bytes(b""),
        lambda bench: (bench.root / ".cpods/own.h").write_bytes(b""),
    ],
    ids=["times", "same-bytes", "folder", "no-match", "own-state"],
)
def test_what_changes_nothing_is_still_current(bench: Bench, touch: object) -> None:
    touch(bench)  # type: ignore[operator]
    assert bench.ask() == SUMMARY


def test_states_that_prove_nothing_are_hashed_once_and_noted(bench: Bench) -> None:
    bench.remember(ahead_ns=-(10**10))
    # Times that lie back, as after a pause: ctime cannot be set, so the rows are told that they were checked long ago.
    assert bench.ask() == SUMMARY
    import sqlite3

    connection = sqlite3.connect(bench.catalogue)
    checked = [at for (at,) in connection.execute("SELECT checked_ns FROM glance_files WHERE size >= 0")]
    connection.close()
    assert all(at > time.time_ns() - 10**9 * 5 for at in checked)
    (bench.root / "a.c").write_bytes(b"y")
    assert bench.ask() is None


def test_remembering_again_replaces_rows_and_summary(bench: Bench) -> None:
    (bench.root / "a.c").write_bytes(b"new content")
    ground = Ground([bench.row("a.c")])
    remember(bench.catalogue, str(bench.root), KEY, ENVIRONMENT, VERSION, ground, "second")
    (bench.root / "src/b.c").unlink()
    assert bench.ask() == "second"


def test_keys_are_kept_apart(bench: Bench) -> None:
    remember(bench.catalogue, str(bench.root), "one", ENVIRONMENT, VERSION, Ground([bench.row("a.c")]), "one")
    (bench.root / "src/b.c").write_bytes(b"changed")
    assert (bench.ask("one"), bench.ask()) == ("one", None)


def test_forgetting(bench: Bench) -> None:
    forget(bench.catalogue)
    assert bench.ask() is None


@pytest.mark.parametrize("data", [b"", b"garbage" * 1000, None])
def test_an_unusable_catalogue_is_no_answer(bench: Bench, data: bytes | None) -> None:
    path = Path(bench.catalogue)
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    assert bench.ask() is None
    assert path.exists() == (data is not None)


def test_the_check_loads_no_heavy_library(bench: Bench) -> None:
    script = """
import json, sys
from cpods.store.glance import is_current
print(json.dumps([is_current(*sys.argv[1:]), [name for name in sys.argv[0:0] + list(sys.modules)]]))
"""
    arguments = [bench.catalogue, str(bench.root), KEY, ENVIRONMENT, VERSION]
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments], env={**os.environ, "PYTHONPATH": os.getcwd()}, capture_output=True, check=True
    )
    summary, modules = json.loads(ended.stdout)
    assert summary == SUMMARY
    assert {"sqlalchemy", "networkx", "msgspec", "alembic", "aiosqlite", "asyncio", "ctypes"} & set(modules) == set()
