"""The null-build check: yes only while everything that the build stood on still holds."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cpods.digest import of_bytes
from cpods.store.columns import packed
from cpods.store.filecolumns import Row
from cpods.store.files import stamp_of
from cpods.store.glance import Ground, forget, glob_digests, look, place_of, remember
from cpods.store.migrate import prepare_catalogue

KEY, ENVIRONMENT, VERSION, SUMMARY = "all", "env-digest", "0.1.0", "three steps"


class Bench:
    """A project with a few files, and the catalogue that a build of it left behind."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        (self.root / "src").mkdir(parents=True)
        self.state = str(self.root / ".cpods")
        prepare_catalogue(f"{self.state}/catalogue.db")
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
        globs = glob_digests(str(self.root), ["src/*.c", "**/*.h"])
        return Ground([self.row(path, ahead_ns) for path in paths], stamps, globs)

    def remember(self, ground: Ground | None = None, said: str = SUMMARY, key: str = KEY) -> None:
        ground = ground or self.ground()
        remember(self.state, str(self.root), key, ENVIRONMENT, VERSION, ground, None, {"said": packed(said)})

    def ask(self, key: str = KEY, environment: str = ENVIRONMENT, version: str = VERSION) -> str | None:
        """What was remembered, if all of it still stands."""
        found = look(self.state, str(self.root), key, environment, version)
        if found is None or found.changed:
            return None
        said: str = found.load("said")
        return said

    def changed(self) -> list[str]:
        found = look(self.state, str(self.root), KEY, ENVIRONMENT, VERSION)
        assert found is not None
        return sorted(found.files.path(number) for number in found.changed)


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


def test_which_files_changed_is_told(bench: Bench) -> None:
    (bench.root / "a.c").write_bytes(b"y")
    (bench.root / "src/b.c").write_bytes(b"x")
    bench.outside.unlink()
    assert bench.changed() == sorted(["a.c", str(bench.outside)])


def test_states_that_prove_nothing_are_hashed_once_and_noted(bench: Bench) -> None:
    bench.remember(bench.ground(ahead_ns=-(10**10)))
    place = place_of(bench.state, KEY)
    before = os.stat(place)
    time.sleep(0.03)  # so that a look's own hashing proves something: this is what is tested
    assert bench.ask() == SUMMARY
    noted = os.stat(place)
    assert not os.path.samestat(before, noted)
    assert bench.ask() == SUMMARY
    assert os.path.samestat(noted, os.stat(place))
    (bench.root / "a.c").write_bytes(b"y")
    assert bench.ask() is None


def test_remembering_again_replaces_all(bench: Bench) -> None:
    (bench.root / "a.c").write_bytes(b"new content")
    bench.remember(Ground([bench.row("a.c")]), "second")
    (bench.root / "src/b.c").unlink()
    assert bench.ask() == "second"


def test_keys_are_kept_apart(bench: Bench) -> None:
    bench.remember(Ground([bench.row("a.c")]), "one", "one")
    (bench.root / "src/b.c").write_bytes(b"changed")
    assert (bench.ask("one"), bench.ask()) == ("one", None)


def test_only_so_many_calls_are_remembered(bench: Bench) -> None:
    for number in range(20):
        bench.remember(key=str(number))
    assert len(os.listdir(os.path.dirname(place_of(bench.state, KEY)))) == 16
    assert bench.ask("19") == SUMMARY


def test_forgetting(bench: Bench) -> None:
    forget(bench.state)
    assert bench.ask() is None


@pytest.mark.parametrize("name", ["catalogue.db", "columns"])
@pytest.mark.parametrize("data", [b"", b"garbage" * 1000, None], ids=["empty", "garbage", "gone"])
def test_an_unusable_file_is_no_answer(bench: Bench, name: str, data: bytes | None) -> None:
    path = Path(place_of(bench.state, KEY) if name == "columns" else f"{bench.state}/{name}")
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    assert bench.ask() is None
    assert path.exists() == (data is not None)


def test_a_flipped_bit_is_no_answer(bench: Bench) -> None:
    path = Path(place_of(bench.state, KEY))
    good = path.read_bytes()
    for at in range(0, len(good), 7):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        try:
            answer = bench.ask()
        except ValueError as error:  # in a part that the caller reads
            assert "damaged" in str(error)
        else:
            assert answer is None
    path.write_bytes(good)
    assert bench.ask() == SUMMARY


def test_the_check_loads_no_heavy_library(bench: Bench) -> None:
    script = """
import json, sys
from cpods.store.glance import glob_digests, look
found = look(*sys.argv[1:])
print(json.dumps([found.changed, list(sys.modules)]))
"""
    arguments = [bench.state, str(bench.root), KEY, ENVIRONMENT, VERSION]
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments], env={**os.environ, "PYTHONPATH": os.getcwd()}, capture_output=True, check=True
    )
    changed, modules = json.loads(ended.stdout)
    assert changed == []
    heavy = {"sqlalchemy", "networkx", "msgspec", "alembic", "aiosqlite", "asyncio", "ctypes", "sqlite3", "hashlib"}
    assert heavy & set(modules) == set()
