"""The journal: after a kill nothing that a plain step half-wrote stays under its name."""

from pathlib import Path

import pytest

from cpods.digest import ABSENT, of_bytes
from cpods.store.journal import Journal, Unfinished, recover, restore
from cpods.store.memory import MemoryObjects, MemoryWorkspace


@pytest.fixture
def workspace() -> MemoryWorkspace:
    return MemoryWorkspace(MemoryObjects(), {"old": b"old", "new": b"half", "lost": b"half", "kept": b"kept"})


def test_what_ended_is_finished(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.begin("a", {"a.o": ABSENT}, 10, 100)
    journal.begin("b", {"b.o": "xxh3:1", "é": ABSENT})
    journal.begin("c", {})
    journal.started("b", 20, 200)
    journal.end("a")
    assert list(journal.unfinished()) == [Unfinished("b", {"b.o": "xxh3:1", "é": ABSENT}, 20, 200), Unfinished("c", {}, 0, 0)]
    journal.close()
    journal.close()
    again = Journal(str(tmp_path))
    assert [entry.step for entry in again.unfinished()] == ["b", "c"]
    again.end("b")
    again.clear()
    assert list(again.unfinished()) == []
    again.close()


@pytest.mark.parametrize(
    "torn", [b'{"begin": "x", "outp', b"\x00\xff", b'{"begin": "x"}\n', b'{"started": "nobody", "pid": 1, "start": 2}\n', b"[]\n"]
)
def test_torn_and_foreign_lines_are_skipped(tmp_path: Path, torn: bytes) -> None:
    journal = Journal(str(tmp_path))
    journal.begin("a", {"a.o": ABSENT}, 1, 2)
    journal.close()
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(torn)
    journal = Journal(str(tmp_path))
    journal.begin("b", {})
    assert [entry.step for entry in journal.unfinished()] == ["a", "b"]
    journal.close()


def test_recovery_ends_groups_first_then_removes_or_restores(tmp_path: Path, workspace: MemoryWorkspace) -> None:
    old = workspace.objects.put_bytes(b"very old").digest
    journal = Journal(str(tmp_path))
    journal.begin("a", {"old": old, "new": ABSENT}, 10, 100)
    journal.begin("b", {"lost": of_bytes(b"no longer stored"), "kept": of_bytes(b"kept")}, 20, 200)
    journal.begin("never started", {"nothing": ABSENT})
    journal.close()
    ended: list[tuple[int, int]] = []

    def end_group(pid: int, ticks: int) -> bool:
        assert workspace.read("new") == b"half"
        ended.append((pid, ticks))
        return True

    assert list(recover(str(tmp_path), workspace, end_group)) == ["a", "b", "never started"]
    assert ended == [(10, 100), (20, 200)]
    assert workspace.files == {"old": b"very old", "kept": b"kept"}
    assert list(recover(str(tmp_path), workspace, end_group)) == []


def test_a_recovery_that_fails_can_be_repeated(tmp_path: Path, workspace: MemoryWorkspace) -> None:
    journal = Journal(str(tmp_path))
    journal.begin("a", {"new": ABSENT}, 10, 100)
    journal.close()

    def cannot(pid: int, ticks: int) -> bool:
        raise OSError("not now")

    with pytest.raises(OSError):
        recover(str(tmp_path), workspace, cannot)
    assert list(recover(str(tmp_path), workspace, lambda pid, ticks: True)) == ["a"]


def test_a_failed_step_is_undone_without_a_journal(workspace: MemoryWorkspace) -> None:
    restore(workspace, {"new": ABSENT, "lost": workspace.objects.put_bytes(b"before").digest})
    assert workspace.read("new") is None and workspace.read("lost") == b"before"


def test_the_journal_does_not_grow_for_ever(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    outputs = {f"some/folder/output{number}": of_bytes(b"x") for number in range(300)}
    for number in range(200):
        journal.begin(f"step{number}", outputs, 1, 1)
        journal.end(f"step{number}")
    journal.close()
    assert (tmp_path / "journal.jsonl").stat().st_size < 2 << 20
