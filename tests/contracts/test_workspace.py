"""The Workspace and View contracts, kept by a folder on disk and by its twin in memory.

Knows no mirror: what only the real part promises is tested in tests/store.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from cpods.digest import ABSENT, of_bytes
from cpods.ports import View
from cpods.store.memory import MemoryObjects, MemoryWorkspace
from cpods.store.mirror import folder_view
from cpods.store.objects import ObjectStore
from cpods.store.workspace import Folder


class Now:
    """A clock far behind all file times: no state proves anything, every look hashes."""

    def now_ns(self) -> int:
        return 0

    def monotonic(self) -> float:
        return 0.0

    def today(self) -> str:
        return "2026-01-01"


class DiskBench:
    def __init__(self, folder: Path) -> None:
        self.objects = ObjectStore(str(folder / "store"))
        (folder / "project").mkdir()
        self.folder = folder / "project"
        self.workspace = Folder(str(self.folder), self.objects, {}, Now())

    def write(self, path: str, data: bytes) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        self.workspace.begin()

    def view(self, watched: list[str]) -> View:
        return folder_view(self.workspace, watched)


class MemoryBench:
    def __init__(self, folder: Path) -> None:
        self.objects = MemoryObjects()
        self.workspace = MemoryWorkspace(self.objects)

    def write(self, path: str, data: bytes) -> None:
        self.workspace.files[path] = data

    def view(self, watched: list[str]) -> View:
        return self.workspace.view()


@pytest.fixture(params=[DiskBench, MemoryBench], ids=["disk", "memory"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> DiskBench | MemoryBench:
    make: Callable[[Path], DiskBench | MemoryBench] = request.param
    return make(tmp_path)


Bench = DiskBench | MemoryBench


def test_digest_and_bytes_of_a_file(bench: Bench) -> None:
    bench.write("a/b.tex", b"text")
    assert bench.workspace.digest("a/b.tex") == of_bytes(b"text")
    assert bench.workspace.read("a/b.tex") == b"text"
    bench.write("a/b.tex", b"more")
    assert bench.workspace.digest("a/b.tex") == of_bytes(b"more")


@pytest.mark.parametrize("path", ["nothing", "a/nothing", "a.tex/below", "nowhere/at/all"])
def test_what_is_not_there_is_absent(bench: Bench, path: str) -> None:
    bench.write("a.tex", b"x")
    bench.write("a/b", b"x")
    assert bench.workspace.digest(path) == ABSENT
    assert bench.workspace.read(path) is None


def test_a_folder_is_no_file(bench: Bench) -> None:
    bench.write("a/b", b"x")
    assert bench.workspace.digest("a") == ABSENT
    assert bench.workspace.read("a") is None


def test_the_listing_is_sorted(bench: Bench) -> None:
    for path in ("z", "a/b", "a.b", "a/é", "B"):
        bench.write(path, b"")
    assert list(bench.workspace.listing()) == ["B", "a.b", "a/b", "a/é", "z"]


def test_install_puts_an_artefact_there(bench: Bench) -> None:
    artefact = bench.objects.put_bytes(b"made")
    bench.workspace.install("new/folder/out", artefact.digest)
    assert bench.workspace.read("new/folder/out") == b"made"
    assert bench.workspace.digest("new/folder/out") == artefact.digest
    bench.write("new/folder/out", b"edited")
    bench.workspace.install("new/folder/out", artefact.digest)
    assert bench.workspace.read("new/folder/out") == b"made"


def test_installing_what_is_there_needs_no_object(bench: Bench) -> None:
    bench.write("out", b"made by hand")
    bench.workspace.install("out", of_bytes(b"made by hand"))
    with pytest.raises(KeyError):
        bench.workspace.install("out", of_bytes(b"something else"))
    assert bench.workspace.read("out") == b"made by hand"


def test_remove_is_idempotent(bench: Bench) -> None:
    bench.write("a", b"x")
    for _ in range(2):
        bench.workspace.remove("a")
        assert bench.workspace.digest("a") == ABSENT
    assert list(bench.workspace.listing()) == []


def test_a_view_tells_before_from_after(bench: Bench) -> None:
    for path in ("same", "rewritten", "removed"):
        bench.write(path, b"before")
    watched = ["same", "rewritten", "removed", "new", "never"]
    view = bench.view(watched)
    bench.write("rewritten", b"after!")
    bench.write("new", b"new")
    bench.workspace.remove("removed")
    assert list(view.changed()) == ["new", "rewritten"]
    assert [view.before(path) for path in watched] == [True, True, True, False, False]
    assert [view.exists(path) for path in watched] == [True, True, False, True, False]
    assert (view.read("rewritten"), view.read("removed")) == (b"after!", None)
