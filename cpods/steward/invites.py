"""Invitations: who may join under which name until when, each by a one-time key that only the token's holder has.

Knows no bus and no token text; the times are the founder's machine's own, so nobody else's clock counts.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from cpods.errors import UsageError
from cpods.net.stewardship import OpenInvite
from cpods.steward import papers

#: Invitations that are open no longer are remembered this long, so that a refusal can say why.
REMEMBERED_SECONDS = 7 * 86400.0

#: Open invitations at once; each is a user of the broker.
OPEN_MAX = 1000

_NS = 1_000_000_000


class Invitation(msgspec.Struct, frozen=True):
    """``invited``: the public half of the token's one-time key. ``ends_ns``: wall clock. ``state``: what became of it."""

    name: str
    role: str
    invited: str
    ends_ns: int
    state: Literal["open", "used", "withdrawn"] = "open"


class Invites:
    """The invitations of a federation, kept in a file. ``now_ns``: wall clock in nanoseconds."""

    def __init__(self, path: str, now_ns: Callable[[], int]) -> None:
        self._path = path
        self._now_ns = now_ns
        self._all = papers.load(path, list[Invitation], [])

    def open(self) -> list[Invitation]:
        """Those that can be used now."""
        return [one for one in self._all if one.state == "open" and one.ends_ns > self._now_ns()]

    def told(self) -> tuple[OpenInvite, ...]:
        """The open ones, as others are told of them."""
        return tuple(OpenInvite(one.name, one.role, self._seconds_left(one)) for one in self.open())

    def next_end(self) -> float | None:
        """Seconds until the next open invitation ends; None if there is none."""
        return min(map(self._seconds_left, self.open()), default=None)

    def end_ns(self, seconds: float) -> int:
        """When an invitation for that long would end."""
        return self._now_ns() + int(seconds * _NS)

    def add(self, name: str, role: str, invited: str, ends_ns: int) -> None:
        """Opens an invitation; an earlier one for the same name is void. Raises UsageError if there are too many."""
        self.withdraw(name)
        if len(self.open()) >= OPEN_MAX:
            raise UsageError(f"{OPEN_MAX} invitations are open; withdraw some (cpods federation revoke NAME) or wait until they end")
        kept = [one for one in self._all if one.ends_ns > self._now_ns() - int(REMEMBERED_SECONDS * _NS)]
        self._save([*kept, Invitation(name, role, invited, ends_ns)])

    def withdraw(self, name: str) -> bool:
        """Makes the open invitation for a name void; whether there was one."""
        gone = [one for one in self.open() if one.name == name]
        if gone:
            self._save([msgspec.structs.replace(one, state="withdrawn") if one in gone else one for one in self._all])
        return bool(gone)

    def of(self, name: str) -> Sequence[Invitation]:
        """All that are remembered for a name, newest first."""
        return [one for one in reversed(self._all) if one.name == name]

    def fault(self, invitation: Invitation) -> str:
        """Why nobody can join by it, '' if somebody can."""
        if invitation.state == "used":
            return f"this token has been used already, {invitation.name} has joined by it; ask for a new one"
        if invitation.state == "withdrawn":
            return "this token was withdrawn; ask for a new one"
        if invitation.ends_ns <= self._now_ns():
            return "this token has expired; ask for a new one"
        return ""

    def use(self, invitation: Invitation) -> None:
        """Nobody else can join by it."""
        self._save([msgspec.structs.replace(one, state="used") if one == invitation else one for one in self._all])

    def _seconds_left(self, invitation: Invitation) -> float:
        return (invitation.ends_ns - self._now_ns()) / _NS

    def _save(self, invitations: list[Invitation]) -> None:
        papers.save(self._path, invitations)
        self._all = invitations
