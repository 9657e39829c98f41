"""Many deleted files brought back at once: all of them, or none and a reason; whatever happens nothing half-made stays."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cpods.digest import of_bytes
from cpods.store import layout, mending, packindex, packs
from cpods.store.journal import Journal, recover
from cpods.store.mending import Unmendable, bring_back
from cpods.store.packing import PackingStore
from cpods.store.workspace import Folder
from tests.store.test_restoring import Clock

CROWD = {f"out/{number % 7}/{number}": b"small %d" % (number // 2) for number in range(6 * packs.MEMBERS_MIN)}  # each bytes twice
LARGE = {"large.bin": b"x" * (packs.MEMBER_BYTES_MAX + 1), "deep/er/large.bin": b"y" * (packs.MEMBER_BYTES_MAX + 2)}
ALL = {**CROWD, **LARGE, "tool": b"#!/bin/sh\n", "packed/tool": b"#!/bin/true\n", "empty": b""}
TOOLS = {"tool", "packed/tool"}


class Bench:
    """A project folder without products, its state folder, and a store that has their bytes."""

    def __init__(self, place: Path) -> None:
        self.root, self.store, self.state = place / "project", place / "store", place / "project/.cpods"
        self.state.mkdir(parents=True)
        with closing(PackingStore(str(self.store))) as store:
            self._put(store, "packed/tool", place)
            for path, data in CROWD.items():
                store.put_bytes(data)
                assert path
            store.commit()
            self._put(store, "tool", place)
            for path in (*LARGE, "empty"):
                store.put_bytes(ALL[path])
            store.commit()

    def _put(self, store: PackingStore, path: str, place: Path) -> None:
        tool = place / "a tool"
        tool.write_bytes(ALL[path])
        tool.chmod(0o755)
        store.put_file(str(tool))

    def wanted(self, *paths: str) -> list[tuple[str, bytes, int]]:
        return [(path, bytes.fromhex(of_bytes(ALL[path]).partition(":")[2]), len(ALL[path])) for path in paths or ALL]

    def mend(self, *paths: str) -> bool:
        return bring_back(str(self.state), str(self.root), str(self.store), self.wanted(*paths))

    def standing(self) -> dict[str, bytes]:
        found = [path for path in self.root.rglob("*") if path.is_file() and self.state not in path.parents]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in found}

    def object(self, path: str) -> Path:
        return Path(layout.object_path(str(self.store), of_bytes(ALL[path])))

    def pack(self) -> Path:
        (name,) = packs.names(str(self.store))
        return Path(packs.pack_folder(str(self.store)), name)

    def journal(self) -> bytes:
        return (self.state / "journal.jsonl").read_bytes()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def umask() -> Iterator[int]:
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def test_all_come_back_as_the_store_gives_them(bench: Bench, umask: int) -> None:
    assert bench.mend()
    assert bench.standing() == ALL
    for path in ALL:
        status = (bench.root / path).stat()
        assert status.st_mode & 0o777 == (0o777 if path in TOOLS else 0o666) & ~umask, path
        assert status.st_nlink == 1
    assert bench.journal() == b""
    with pytest.raises(Unmendable):
        bench.mend("empty")  # it stands


def test_a_few_of_a_large_pack(bench: Bench) -> None:
    paths = ("out/0/7", "out/1/8")
    assert bench.mend(*paths)
    assert bench.standing() == {path: ALL[path] for path in paths}


def test_what_is_used_is_marked(bench: Bench) -> None:
    paths = [bench.pack(), bench.object("empty")]
    for path in paths:
        os.utime(path, (1, 1))
    bench.mend()
    assert all(path.stat().st_mtime > 10**9 for path in paths)


def spoil_pack(bench: Bench) -> None:
    member = next(member for member in packs.members(str(bench.pack())) if member.digest == of_bytes(CROWD["out/5/40"]))
    bench.pack().chmod(0o644)
    with open(bench.pack(), "r+b") as file:
        file.seek(member.offset)
        file.write(b"#")


def spoil_index(bench: Bench) -> None:
    bench.pack().chmod(0o644)
    os.truncate(bench.pack(), bench.pack().stat().st_size - 3)


def spoil_object(bench: Bench) -> None:
    bench.object("large.bin").chmod(0o644)
    bench.object("large.bin").write_bytes(b"z" * len(ALL["large.bin"]))


def shorten_object(bench: Bench) -> None:
    bench.object("large.bin").chmod(0o644)
    os.truncate(bench.object("large.bin"), 5)


def lose_object(bench: Bench) -> None:
    bench.object("empty").unlink()


def pipe_for_object(bench: Bench) -> None:
    bench.object("tool").unlink()
    os.mkfifo(bench.object("tool"))


def lay(what: Callable[[Path], object], path: str = "out/3/3") -> Callable[[Bench], None]:
    def act(bench: Bench) -> None:
        (bench.root / path).parent.mkdir(parents=True, exist_ok=True)
        what(bench.root / path)

    return act


def elsewhere(path: Path) -> None:
    (path.parents[1] / "elsewhere").mkdir()
    path.symlink_to("../elsewhere")


def begin_a_step(bench: Bench) -> None:
    with closing(Journal(str(bench.state))) as journal:
        journal.begin("step", {"other": "absent"})


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_pack,
        spoil_index,
        spoil_object,
        shorten_object,
        lose_object,
        pipe_for_object,
        lay(lambda path: path.write_bytes(b"in the way")),
        lay(lambda path: path.mkdir()),
        lay(lambda path: path.symlink_to("nowhere")),
        lay(lambda path: os.mkfifo(path)),
        lay(lambda path: path.write_bytes(b"no folder"), "out/3"),
        lay(elsewhere, "out/3"),
        begin_a_step,
    ],
)
def test_whatever_is_odd_is_left_to_others_and_nothing_is_made(bench: Bench, spoil: Callable[[Bench], None]) -> None:
    spoil(bench)
    before = bench.standing()
    entries = bench.journal() if spoil is begin_a_step else b""
    with pytest.raises(Unmendable):
        bench.mend()
    assert bench.standing() == before
    assert not (bench.state / "journal.jsonl").exists() or bench.journal() == entries


@pytest.mark.parametrize("path", ["/tmp/nowhere/x", "../x", "out/../../x"])
def test_only_files_of_the_project(bench: Bench, path: str) -> None:
    with pytest.raises(Unmendable, match="not in the project"):
        bring_back(str(bench.state), str(bench.root), str(bench.store), [(path, *bench.wanted("empty")[0][1:])])


def test_an_object_that_is_too_large_for_one_piece(bench: Bench) -> None:
    data = b"\0" * (mending.OBJECT_BYTES_MAX + 1)
    with closing(PackingStore(str(bench.store))) as store:
        digest = store.put_bytes(data).digest
        store.commit()
    with pytest.raises(Unmendable, match="one piece"):
        bring_back(str(bench.state), str(bench.root), str(bench.store), [("big", bytes.fromhex(digest[5:]), len(data))])


class Budget(list[int]):
    """Comes true after it was asked so often."""

    def __init__(self, asked_max: int) -> None:
        self.left = asked_max

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_who_gives_up_leaves_whole_files_only(bench: Bench) -> None:
    assert not bring_back(str(bench.state), str(bench.root), str(bench.store), bench.wanted(), Budget(100))
    made = bench.standing()
    assert 90 <= len(made) <= 100 and made.items() <= ALL.items()
    assert bench.journal() == b""


DEADLY = """
import os, signal, sys
from pathlib import Path
from tests.store.test_mending import Bench, Budget, bring_back

class Dagger(Budget):
    def __bool__(self):
        if super().__bool__():
            os.kill(os.getpid(), signal.SIGKILL)
        return False

bench = Bench(Path(sys.argv[1]))
bring_back(str(bench.state), str(bench.root), str(bench.store), bench.wanted(), Dagger(200))
"""


def test_after_a_kill_the_next_call_removes_what_was_made(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", DEADLY, str(tmp_path)], cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -signal.SIGKILL
    bench = Bench.__new__(Bench)
    bench.root, bench.store, bench.state = tmp_path / "project", tmp_path / "store", tmp_path / "project/.cpods"
    assert 0 < len(bench.standing()) < len(ALL)
    (bench.root / "own").write_bytes(b"the user's")
    (bench.root / "large.bin").write_bytes(b"half")
    with closing(PackingStore(str(bench.store))) as store:
        recover(str(bench.state), Folder(str(bench.root), store, {}, Clock()), lambda pid, ticks: None)
    assert bench.standing() == {"own": b"the user's"}
    assert bench.mend()
    assert bench.standing() == {**ALL, "own": b"the user's"}


def test_odd_names_stand_in_the_journal_as_any_other(bench: Bench) -> None:
    paths = ['out/"quoted" \\ name', "out/new\nline", "out/Größe ☃", "out/\udcff"]
    wanted = [(path, *bench.wanted("empty")[0][1:]) for path in paths]
    journal = mending._Journal(str(bench.state), wanted)
    journal.close()
    with closing(Journal(str(bench.state))) as read:
        (entry,) = read.unfinished()
    assert dict(entry.outputs) == dict.fromkeys(paths, "absent")


def test_names_in_a_store_are_those_of_the_layout(bench: Bench) -> None:
    assert mending.PACKS == layout.PACKS
    assert packs.names(str(bench.store))[0].endswith(mending.PACK_ENDING)
    assert bench.object("empty").parents[1] == bench.store / mending.OBJECTS


def test_an_index_is_read_as_it_was_written(bench: Bench) -> None:
    with open(bench.pack(), "rb") as file:
        entries = packindex.entries(packindex.index_bytes(file.fileno()) or b"")
    found = {"xxh3:" + digest.decode(): packindex.place(entry) for digest, entry in entries.items()}
    assert found == {member.digest: (member.offset, member.size, member.executable) for member in packs.members(str(bench.pack()))}


@pytest.mark.parametrize("number", [0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**40])
def test_numbers_of_any_size(number: int) -> None:
    digest = of_bytes(b"")
    index = packs._encode([packs.Member(digest, number, number + 1, bool(number % 2)), packs.Member("blake3:" + "0" * 64, 1, 1)])
    entries = packindex.entries(index)
    assert packindex.place(entries[digest[5:].encode()]) == (number, number + 1, bool(number % 2))


@pytest.mark.parametrize("entry", [b"", b"\x01", b"\x01\x01", b"\x01\x01\x05", b"\xc0\x01\xc2", b"\xcd\x01"])
def test_an_entry_that_is_none(entry: bytes) -> None:
    with pytest.raises(ValueError, match="an entry of a pack"):
        packindex.place(entry)
