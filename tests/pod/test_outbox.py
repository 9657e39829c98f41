"""A pod's notes: what was written is there after any end of the process, and a file that is none is said to be."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cpods.errors import StoreDamaged
from cpods.store.outbox import End, Outbox, OwnedPath

ENDS = [End("boss", "b", "paper", b"1"), End("boss", "a", "paper", b"2"), End("other", "a", "book", b"\xff\0")]


def test_ends_stay_in_order_until_they_are_removed(tmp_path: Path) -> None:
    with closing(Outbox(str(tmp_path / "notes"))) as notes:
        notes.add(ENDS)
        notes.remove("boss", ["b", "unknown"])
        assert notes.ends() == [ENDS[1], ENDS[2]]
        notes.add([End("boss", "a", "paper", b"newer")])
    with closing(Outbox(str(tmp_path / "notes"))) as notes:
        assert notes.ends() == [ENDS[2], End("boss", "a", "paper", b"newer")]


def test_owned_paths_are_kept_by_project(tmp_path: Path) -> None:
    first = OwnedPath("paper", "a/b.pdf", 3, "x", "x", "boss")
    second = OwnedPath("book", "a/b.pdf", 1, "y", "absent", "boss")
    with closing(Outbox(str(tmp_path / "notes"))) as notes:
        notes.own([first, second])
        notes.own([first._replace(epoch=4, now="z")])
    with closing(Outbox(str(tmp_path / "notes"))) as notes:
        assert notes.owned() == {"paper": {"a/b.pdf": first._replace(epoch=4, now="z")}, "book": {"a/b.pdf": second}}
        notes.disown("paper", ["a/b.pdf", "unknown"])
        assert notes.owned() == {"book": {"a/b.pdf": second}}


def test_what_is_pinned_or_owned_is_kept(tmp_path: Path) -> None:
    with closing(Outbox(str(tmp_path / "notes"))) as notes:
        notes.pin(["p", "q"])
        notes.pin(["p"])
        notes.own([OwnedPath("paper", "a", 1, "x", "edited", "boss")])
        assert notes.kept() == {"p", "q", "x"}


def test_what_was_added_outlives_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from cpods.store.outbox import End, Outbox\n"
        "notes = Outbox(sys.argv[1])\n"
        "notes.add([End('boss', 'a', 'paper', b'1')])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "notes")], check=False).returncode == -9
    with closing(Outbox(str(tmp_path / "notes"))) as notes:
        assert notes.ends() == [End("boss", "a", "paper", b"1")]


def test_half_a_batch_is_none(tmp_path: Path) -> None:
    with closing(Outbox(str(tmp_path / "notes"))) as notes:
        with pytest.raises(StoreDamaged):
            notes.add([ENDS[0], End("boss", None, "paper", b"")])  # type: ignore[arg-type]
        assert notes.ends() == []
        notes.add(ENDS)
        assert len(notes.ends()) == 3


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(b"not a database at all, but long enough to be looked at by SQLite as one\n" * 20)
    with pytest.raises(StoreDamaged, match="notes cannot be used"):
        Outbox(str(tmp_path / "notes"))
