"""Invitations: open until used, withdrawn or over; remembered across restarts, so that a refusal says which it was."""

from pathlib import Path

import pytest

from cpods.errors import StoreDamaged, UsageError
from cpods.steward.invites import OPEN_MAX, REMEMBERED_SECONDS, Invites

SECOND = 1_000_000_000


class Time:
    """A wall clock that stands still."""

    def __init__(self) -> None:
        self.now_ns = 1000 * SECOND

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def invites(tmp_path: Path, time: Time) -> Invites:
    return Invites(str(tmp_path / "invites.json"), time)


def open_for(invites: Invites, name: str, key: str, seconds: float = 60) -> None:
    invites.add(name, "pod", key, invites.end_ns(seconds))


def test_an_invitation_ends_by_the_clock_of_who_gave_it(invites: Invites, time: Time) -> None:
    open_for(invites, "a", "U1", 60)
    open_for(invites, "b", "U2", 10)
    assert [(one.name, one.role, one.seconds) for one in invites.told()] == [("a", "pod", 60.0), ("b", "pod", 10.0)]
    assert invites.next_end() == 10
    time.now_ns += 10 * SECOND
    assert [one.name for one in invites.open()] == ["a"] and invites.next_end() == 50
    assert "expired" in invites.fault(invites.of("b")[0]) and invites.fault(invites.of("a")[0]) == ""
    time.now_ns += 50 * SECOND
    assert invites.next_end() is None


def test_used_and_withdrawn_ones_are_told_apart_after_a_restart(invites: Invites, time: Time, tmp_path: Path) -> None:
    open_for(invites, "a", "U1")
    open_for(invites, "b", "U2")
    invites.use(invites.of("a")[0])
    assert invites.withdraw("b") and not invites.withdraw("b") and not invites.withdraw("nobody")
    again = Invites(str(tmp_path / "invites.json"), time)
    assert "used already" in again.fault(again.of("a")[0]) and "withdrawn" in again.fault(again.of("b")[0])
    assert again.open() == [] and again.of("nobody") == []


def test_a_second_invitation_for_a_name_replaces_the_first(invites: Invites) -> None:
    open_for(invites, "a", "U1")
    open_for(invites, "a", "U2")
    assert [one.invited for one in invites.of("a")] == ["U2", "U1"]
    assert "withdrawn" in invites.fault(invites.of("a")[1]) and [one.invited for one in invites.open()] == ["U2"]


def test_old_ones_are_forgotten(invites: Invites, time: Time) -> None:
    open_for(invites, "a", "U1", 1)
    time.now_ns += int((REMEMBERED_SECONDS + 2) * SECOND)
    open_for(invites, "b", "U2")
    assert invites.of("a") == [] and len(invites.of("b")) == 1


def test_there_are_not_too_many(invites: Invites, monkeypatch: pytest.MonkeyPatch) -> None:
    assert OPEN_MAX > 100
    monkeypatch.setattr("cpods.steward.invites.OPEN_MAX", 2)
    open_for(invites, "a", "U1")
    open_for(invites, "b", "U2")
    with pytest.raises(UsageError, match="2 invitations are open"):
        open_for(invites, "c", "U3")
    open_for(invites, "b", "U4")


def test_a_damaged_note_is_named(tmp_path: Path, time: Time) -> None:
    path = tmp_path / "invites.json"
    path.touch(0o600)
    path.write_text("{")
    with pytest.raises(StoreDamaged, match="invites.json"):
        Invites(str(path), time)
    path.chmod(0o644)
    with pytest.raises(UsageError, match="open to others"):
        Invites(str(path), time)
