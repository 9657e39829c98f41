"""Mirrors: what a knot's step finds, what it cannot harm, what is left alone between runs."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpods.digest import ABSENT, of_bytes
from cpods.model import Version
from cpods.store.mirror import Mirror, folder_view
from cpods.store.objects import ObjectStore
from cpods.store.workspace import Folder


class Clock:
    def now_ns(self) -> int:
        import time

        return time.time_ns()

    def monotonic(self) -> float:
        return 0.0

    def today(self) -> str:
        return "2026-01-01"


class Bench:
    """A project, a store and a mirror of the project."""

    def __init__(self, folder: Path, link_above_bytes: int = 1 << 20) -> None:
        self.project = folder / "project"
        self.project.mkdir()
        self.store = ObjectStore(str(folder / "store"))
        self.folder = Folder(str(self.project), self.store, {}, Clock())
        self.work = self.project / ".cpods" / "work" / "k"
        self.limit = link_above_bytes
        self.mirror = self.another()

    def another(self) -> Mirror:
        """As a new process would open it."""
        return Mirror(str(self.work), self.folder, self.store, self.limit)

    def write(self, path: str, data: bytes) -> None:
        (self.project / path).parent.mkdir(parents=True, exist_ok=True)
        (self.project / path).write_bytes(data)

    def version(self, data: bytes) -> Version:
        artefact = self.store.put_bytes(data)
        return Version(artefact.digest, artefact.size)

    def content(self) -> Mapping[str, bytes]:
        """What a step finds: path -> bytes; folders end in a slash and have no bytes."""
        found = {}
        for place, folders, names in os.walk(self.work):
            below = os.path.relpath(place, self.work)
            for name in names:
                found[os.path.normpath(f"{below}/{name}")] = Path(place, name).read_bytes()
            for name in folders:
                found[os.path.normpath(f"{below}/{name}") + "/"] = b""
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_project_without_hidden_with_the_overlay_on_top(bench: Bench) -> None:
    bench.write("p.tex", b"tex")
    bench.write("p.aux", b"old aux")
    bench.write("p.toc", b"old toc")
    bench.write("p.lof", b"old lof")
    (bench.project / "chapters" / "empty").mkdir(parents=True)
    bench.mirror.prepare({"p.aux": bench.version(b"new aux"), "p.toc": None, "deep/er/x": bench.version(b"x")}, {"p.lof"})
    assert bench.content() == {
        "p.tex": b"tex",
        "p.aux": b"new aux",
        "deep/": b"",
        "deep/er/": b"",
        "deep/er/x": b"x",
        "chapters/": b"",
        "chapters/empty/": b"",
    }


def test_what_a_step_left_is_gone_and_what_it_changed_is_back(bench: Bench) -> None:
    bench.write("p.tex", b"tex")
    bench.write("a/b", b"b")
    overlay = {"p.aux": bench.version(b"aux")}
    bench.mirror.prepare(overlay, set())
    wanted = bench.content()
    (bench.work / "p.tex").write_bytes(b"TEX")
    (bench.work / "p.aux").write_bytes(b"AUX")
    (bench.work / "new").mkdir()
    (bench.work / "new" / "file").write_bytes(b"")
    (bench.work / "a" / "b").unlink()
    (bench.work / "a").rmdir()
    os.symlink(bench.project, bench.work / "a")
    bench.mirror.prepare(overlay, set())
    assert bench.content() == wanted
    assert (bench.project / "a" / "b").read_bytes() == b"b"


def test_what_is_right_is_left_alone(bench: Bench) -> None:
    bench.write("p.tex", b"tex")
    old = os.stat(bench.project / "p.tex").st_ctime_ns
    bench.mirror.clock = LaterClock(old + 10**9)
    overlay = {"p.aux": bench.version(b"aux")}
    bench.mirror.prepare(overlay, set())
    before = {name: os.stat(bench.work / name) for name in ("p.tex", "p.aux")}
    bench.mirror.prepare(overlay, set())
    assert {name: os.stat(bench.work / name) for name in before} == before


class LaterClock(Clock):
    def __init__(self, now: int) -> None:
        self._now = now

    def now_ns(self) -> int:
        return self._now


def test_an_edit_in_the_project_arrives(bench: Bench) -> None:
    bench.write("p.tex", b"one")
    bench.mirror.prepare({}, set())
    bench.folder.digest("p.tex")
    bench.write("p.tex", b"two")
    bench.mirror.prepare({}, set())
    assert (bench.work / "p.tex").read_bytes() == b"two"
    (bench.project / "p.tex").unlink()
    bench.mirror.prepare({}, set())
    assert bench.content() == {}


@pytest.mark.parametrize("left", [b"one", b"ONE", b"longer"])
def test_left_overs_of_an_earlier_process_are_not_believed(bench: Bench, left: bytes) -> None:
    bench.write("p.tex", b"one")
    overlay = {"p.aux": bench.version(b"two")}
    bench.mirror.prepare(overlay, set())
    (bench.work / "p.tex").write_bytes(left)
    (bench.work / "p.aux").write_bytes(left)
    (bench.work / "stranger").write_bytes(left)
    mirror = bench.another()
    mirror.prepare(overlay, set())
    assert bench.content() == {"p.tex": b"one", "p.aux": b"two"}
    assert mirror.view().changed() == []


def test_a_step_never_gets_a_writable_inode_of_store_or_project(bench: Bench) -> None:
    bench.write("p.tex", b"tex")
    version = bench.version(b"aux")
    bench.store.commit()
    bench.mirror.prepare({"p.aux": version}, set())
    for name in ("p.tex", "p.aux"):
        with (bench.work / name).open("r+b") as file:
            file.write(b"#")
    assert (bench.project / "p.tex").read_bytes() == b"tex"
    assert bench.store.read(version.digest) == b"aux"


def test_large_project_files_are_links_and_a_write_through_one_shows(tmp_path: Path) -> None:
    bench = Bench(tmp_path, link_above_bytes=10)
    bench.write("data", b"d" * 11)
    bench.mirror.prepare({"big": bench.version(b"o" * 20)}, set())
    assert os.path.islink(bench.work / "data") and not os.path.islink(bench.work / "big")
    before = bench.folder.digest("data")
    view = bench.mirror.view()
    with (bench.work / "data").open("r+b") as file:
        file.write(b"#")
    assert view.before("data") and view.exists("data")
    assert bench.folder.refresh("data") != before
    bench.write("data", b"small")
    bench.mirror.prepare({}, set())
    assert not os.path.islink(bench.work / "data")
    assert bench.content() == {"data": b"small"}


def test_files_become_folders_and_back(bench: Bench) -> None:
    bench.write("a/b", b"1")
    bench.mirror.prepare({}, set())
    (bench.project / "a" / "b").unlink()
    (bench.project / "a").rmdir()
    bench.write("a", b"2")
    bench.mirror.prepare({}, set())
    assert bench.content() == {"a": b"2"}
    (bench.project / "a").unlink()
    bench.mirror.prepare({"a/b": bench.version(b"3")}, set())
    assert bench.content() == {"a/": b"", "a/b": b"3"}


def test_linked_outside_folders_can_be_read_but_the_overlay_stays_inside(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "figures" / "sub").mkdir(parents=True)
    (tmp_path / "figures" / "a").write_bytes(b"a")
    (tmp_path / "figures" / "b").write_bytes(b"b")
    os.symlink("../figures", bench.project / "figures")
    bench.mirror.prepare({}, set())
    assert (bench.work / "figures" / "a").read_bytes() == b"a"
    assert bench.mirror.view().before("figures/a")
    bench.mirror.prepare({"figures/a": bench.version(b"new")}, set())
    assert (bench.work / "figures" / "a").read_bytes() == b"new"
    assert (bench.work / "figures" / "b").read_bytes() == b"b"
    assert (tmp_path / "figures" / "a").read_bytes() == b"a"


def test_executables_stay_executable(bench: Bench) -> None:
    bench.write("gen.sh", b"#!/bin/sh\n")
    os.chmod(bench.project / "gen.sh", 0o755)
    bench.mirror.prepare({}, set())
    assert os.access(bench.work / "gen.sh", os.X_OK)


def test_an_object_that_is_gone_is_a_key_error(bench: Bench) -> None:
    with pytest.raises(KeyError):
        bench.mirror.prepare({"p.aux": Version("xxh3:" + "0" * 32, 1)}, set())


def test_the_view_sees_what_the_run_did(bench: Bench) -> None:
    bench.write("p.tex", b"tex")
    bench.write("same", b"same")
    bench.mirror.prepare({"p.aux": bench.version(b"aux"), "p.toc": bench.version(b"toc")}, set())
    view = bench.mirror.view()
    (bench.work / "p.aux").write_bytes(b"AUX")
    (bench.work / "p.pdf").write_bytes(b"pdf")
    (bench.work / "p.toc").unlink()
    assert list(view.changed()) == ["p.aux", "p.pdf"]
    assert [view.before(path) for path in ("p.tex", "p.aux", "p.pdf", "p.toc", "x")] == [True, True, False, True, False]
    assert [view.exists(path) for path in ("p.aux", "p.pdf", "p.toc")] == [True, True, False]
    assert view.read("p.pdf") == b"pdf" and view.read("p.toc") is None
    outside = str(bench.project / "p.tex")
    assert view.read(outside) == b"tex" and view.before(outside)


def test_a_rewrite_of_equal_length_right_after_is_seen(bench: Bench) -> None:
    bench.mirror.prepare({"p.aux": bench.version(b"aux")}, set())
    view = bench.mirror.view()
    with (bench.work / "p.aux").open("r+b") as file:
        file.write(b"AUX")
    assert list(view.changed()) == ["p.aux"]
    assert bench.mirror.digest("p.aux") == of_bytes(b"AUX")


def test_digests_are_those_of_the_mirror(bench: Bench) -> None:
    bench.write("p.tex", b"tex")
    version = bench.version(b"aux")
    bench.mirror.prepare({"p.aux": version}, set())
    assert bench.mirror.digest("p.aux") == version.digest
    assert bench.mirror.digest("p.tex") == of_bytes(b"tex")
    assert bench.mirror.digest("p.toc") == ABSENT
    (bench.work / "p.tex").write_bytes(b"TEX")
    assert bench.mirror.digest("p.tex") == of_bytes(b"TEX")
    assert bench.folder.states == {}


def test_forgetting_deletes_the_folder(bench: Bench) -> None:
    bench.write("p.tex", b"tex")
    bench.mirror.prepare({}, set())
    bench.mirror.forget()
    bench.mirror.forget()
    assert not bench.work.exists()
    bench.mirror.prepare({}, set())
    assert bench.content() == {"p.tex": b"tex"}


def test_the_plain_view_watches_only_its_paths(bench: Bench) -> None:
    bench.write("in", b"i")
    view = folder_view(bench.folder, ["in", "out"])
    bench.write("out", b"o")
    bench.write("stranger", b"s")
    assert list(view.changed()) == ["out"]
    assert view.before("in") and not view.before("out") and view.before("stranger")


PATHS = ("a", "b", "d/a", "d/e/a")
BYTES = st.sampled_from([b"", b"x", b"y", b"zz"])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(PATHS), BYTES),
            st.dictionaries(st.sampled_from(PATHS), st.none() | BYTES),
            st.sets(st.sampled_from(PATHS)),
            st.dictionaries(st.sampled_from(PATHS), BYTES),
            st.booleans(),
        ),
        max_size=5,
    )
)
def test_whatever_happened_before_the_mirror_is_exact(tmp_path_factory: pytest.TempPathFactory, turns: list[tuple]) -> None:
    """Each turn: edits in the project, an overlay, hidden paths, what a step scribbles, whether a new process goes on."""
    bench = Bench(tmp_path_factory.mktemp("mirror"))
    mirror = bench.mirror
    for edits, overlay, hidden, scribbles, restart in turns:
        for path, data in edits.items():
            bench.write(path, data)
        mirror = bench.another() if restart else mirror
        mirror.prepare({path: None if data is None else bench.version(data) for path, data in overlay.items()}, hidden)
        wanted = {path: (bench.project / path).read_bytes() for path in PATHS if (bench.project / path).exists() and path not in hidden}
        wanted = {path: data for path, data in {**wanted, **overlay}.items() if data is not None}
        assert {path: data for path, data in bench.content().items() if not path.endswith("/")} == wanted
        assert all(mirror.digest(path) == of_bytes(data) for path, data in wanted.items())
        for path, data in scribbles.items():
            (bench.work / path).parent.mkdir(parents=True, exist_ok=True)
            (bench.work / path).write_bytes(data)
