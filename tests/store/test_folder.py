"""What the project folder promises beyond the port: when it hashes, what it records, how it walks links."""

import os
import time
from pathlib import Path

import pytest

from cpods.digest import ABSENT, of_bytes
from cpods.ports import FileState
from cpods.store.files import stamp_of
from cpods.store.objects import ObjectStore
from cpods.store.workspace import RACY_NS, Folder


class Clock:
    """The real wall clock, moved by ``ahead_ns``: a second ahead, every state is old enough to be proof."""

    def __init__(self, ahead_ns: int = 10**9) -> None:
        self.ahead_ns = ahead_ns

    def now_ns(self) -> int:
        return time.time_ns() + self.ahead_ns

    def monotonic(self) -> float:
        return 0.0

    def today(self) -> str:
        return "2026-01-01"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store"))


def folder_of(project: Path, store: ObjectStore, states: dict[str, FileState] | None = None, **options: object) -> Folder:
    return Folder(str(project), store, {} if states is None else states, Clock(), **options)  # type: ignore[arg-type]


def test_a_state_that_proves_saves_hashing(project: Path, store: ObjectStore) -> None:
    (project / "a").write_bytes(b"x")
    stamp = stamp_of(os.stat(project / "a"))
    folder = folder_of(project, store, {"a": FileState(*stamp, "xxh3:as-recorded", stamp[2] + RACY_NS + 1)})
    assert folder.digest("a") == "xxh3:as-recorded"
    assert folder.changed_states == {}


def test_a_state_within_the_clocks_granularity_proves_nothing(project: Path, store: ObjectStore) -> None:
    (project / "a").write_bytes(b"x")
    stamp = stamp_of(os.stat(project / "a"))
    folder = folder_of(project, store, {"a": FileState(*stamp, "xxh3:as-recorded", stamp[2] + RACY_NS)})
    assert folder.digest("a") == of_bytes(b"x")
    assert folder.changed_states["a"] == folder.states["a"]
    assert folder.take_changed_states().keys() == {"a"} and folder.changed_states == {}


def test_states_of_another_algorithm_prove_nothing(project: Path, tmp_path: Path) -> None:
    (project / "a").write_bytes(b"x")
    stamp = stamp_of(os.stat(project / "a"))
    folder = folder_of(project, ObjectStore(str(tmp_path / "b3"), "blake3"), {"a": FileState(*stamp, "xxh3:0", stamp[2] + 10**9)})
    assert folder.digest("a") == of_bytes(b"x", "blake3")


def test_a_build_looks_at_a_file_once_and_again_when_told(project: Path, store: ObjectStore) -> None:
    (project / "a").write_bytes(b"one")
    folder = folder_of(project, store)
    assert folder.digest("a") == of_bytes(b"one")
    (project / "a").write_bytes(b"other")
    assert folder.digest("a") == of_bytes(b"one")
    assert folder.refresh("a") == folder.digest("a") == of_bytes(b"other")
    os.unlink(project / "a")
    folder.begin()
    assert folder.digest("a") == ABSENT
    assert folder.changed_states["a"] is None


def test_an_edit_that_keeps_size_and_mtime_is_seen(project: Path, store: ObjectStore) -> None:
    (project / "a").write_bytes(b"one")
    before = os.stat(project / "a")
    folder = folder_of(project, store)
    folder.digest("a")
    replacement = project / "b"
    replacement.write_bytes(b"two")
    os.utime(replacement, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.rename(replacement, project / "a")
    assert folder.refresh("a") == of_bytes(b"two")


def test_outside_paths_are_digested_and_read(project: Path, store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"o")
    folder = folder_of(project, store)
    for path in (str(tmp_path / "out"), "../out"):
        assert folder.digest(path) == of_bytes(b"o")
        assert folder.read(path) == b"o"
        assert folder.size(path) == 1


def test_names_that_no_file_can_have_are_absent(project: Path, store: ObjectStore) -> None:
    folder = folder_of(project, store)
    os.symlink("circle", project / "circle")
    for path in ("n" * 5000, "nul\0byte", "circle"):
        assert folder.digest(path) == ABSENT
        assert folder.read(path) is None


def test_state_and_version_control_are_not_listed(project: Path, store: ObjectStore) -> None:
    for path in (".cpods/x", ".git/x", "sub/.git/x", ".hg/x", ".svn/x", ".github/x", "sub/y", "objects/z"):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_bytes(b"")
    (project / ".cpods-tmp-1-2").write_bytes(b"")
    os.mkfifo(project / "pipe")
    folder = folder_of(project, store, skip=[str(project / "objects")])
    assert list(folder.listing()) == [".github/x", "sub/y"]


def test_links_are_followed_only_inside_and_without_circles(project: Path, store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_bytes(b"s")
    (tmp_path / "project-neighbour").mkdir()
    (project / "real").mkdir()
    (project / "real" / "a").write_bytes(b"a")
    for link, target in {
        "alias": "real",
        "real/up": "..",
        "self": ".",
        "away": "../elsewhere",
        "near": "../project-neighbour",
        "refs.bib": "../elsewhere/secret",
        "dangling": "nothing",
    }.items():
        os.symlink(target, project / link)
    folder = folder_of(project, store)
    assert list(folder.listing()) == ["alias/a", "real/a", "refs.bib"]
    assert folder.tree().outside == {"away": str(tmp_path / "elsewhere"), "near": str(tmp_path / "project-neighbour")}


def test_names_that_are_not_utf8_are_neither_listed_nor_recorded(project: Path, store: ObjectStore) -> None:
    name = os.fsdecode(b"\xdcbung.tex")
    (project / name).write_bytes(b"u")
    folder = folder_of(project, store)
    assert list(folder.listing()) == []
    assert folder.tree().files == [name]
    assert folder.digest(name) == of_bytes(b"u")
    assert folder.changed_states == {}


def test_an_installed_file_is_known_without_another_look(project: Path, store: ObjectStore) -> None:
    artefact = store.put_bytes(b"made")
    folder = folder_of(project, store)
    folder.install("deep/er/out", artefact.digest)
    assert folder.states["deep/er/out"].digest == artefact.digest
    folder.remove("deep/er/out")
    assert folder.digest("deep/er/out") == ABSENT
    assert folder.changed_states["deep/er/out"] is None


def test_installing_where_a_folder_is_fails_and_leaves_it(project: Path, store: ObjectStore) -> None:
    (project / "out").mkdir()
    artefact = store.put_bytes(b"made")
    with pytest.raises(OSError):
        folder_of(project, store).install("out", artefact.digest)
    assert os.listdir(project) == ["out"]
