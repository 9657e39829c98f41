"""What the founder and the members ask of the steward besides questions of all: invitations, revocations, who owns what.

Knows no connection and no signature. Each is sent to subjects.steward and answered with the struct that its docstring names, or
with questions.Okay whose ``refused`` says why not.
"""

import msgspec

from cpods.digest import of_parts
from cpods.net.messages import Owned
from cpods.net.wire import Wire


class Invite(Wire, frozen=True, tag="invite"):
    """From the founder: let ``name`` join as ``role`` (pod or majordomo) within ``seconds``. Answer: Invited."""

    name: str
    role: str
    seconds: float


class Invited(Wire, frozen=True, tag="invited"):
    """The join token: whoever has it can join once under that name. ``advice``: what an external broker's admin must do before."""

    token: str
    advice: str = ""


class Revoke(Wire, frozen=True, tag="revoke"):
    """From the founder: this member is one no longer, or this open invitation is void. Answer: Revoked."""

    name: str


class Revoked(Wire, frozen=True, tag="revoked"):
    """It is done. ``version``: of the roster that says so; ``invitation``: it was only an open invitation that is void now.

    ``advice``: what the admin of an external broker must do besides.
    """

    version: int
    invitation: bool = False
    advice: str = ""


class AskRoster(Wire, frozen=True, tag="ask-roster"):
    """From a member that was away: who is a member now? Answer: membership.RosterNews."""


class Leave(Wire, frozen=True, tag="leave"):
    """From a member: I am one no longer. Answer: Okay."""


class StopSteward(Wire, frozen=True, tag="stop-steward"):
    """From the founder: end, and the broker with you. Answer: Okay, before it does."""


class OpenInvite(msgspec.Struct, frozen=True, array_like=True):
    """An invitation that nobody has used yet, and for how many seconds it still holds."""

    name: str
    role: str
    seconds: float


class AskFederation(Wire, frozen=True, tag="ask-federation"):
    """How is the federation? Answer: FederationStatus."""


class FederationStatus(Wire, frozen=True, tag="federation-status"):
    """``version``: of the roster. ``uptime``: seconds that the steward runs. ``pid``: its process id on ``host``."""

    version: int
    broker: str
    external: bool
    uptime: float
    host: str
    pid: int
    invites: tuple[OpenInvite, ...] = ()
    handovers: int = 0


class OwnerEntry(Wire, frozen=True, tag="owner"):
    """What the mirror of ownerships says of one path."""

    project: str
    path: str
    epoch: int
    pod: str
    digest: str


def mirror_key(project: str, path: str) -> str:
    """The key of a path in the mirror: keys there may hold hardly more than letters and digits."""
    return of_parts([project, path]).partition(":")[2]


class Handover(Wire, frozen=True, tag="handover"):
    """Paths of ``project`` have passed from ``pod`` to ``to`` without their MajorDomo: its catalogue is to learn it.

    The epochs are the new ones. Answer: Okay.
    """

    project: str
    pod: str
    to: str
    paths: tuple[Owned, ...]


class AskHandovers(Wire, frozen=True, tag="ask-handovers"):
    """From a MajorDomo: what has been handed over in ``project`` that nobody has taken note of? Answer: Handovers."""

    project: str


class Handovers(Wire, frozen=True, tag="handovers"):
    """Notes in the order in which they came; ``count`` goes into :class:`TookHandovers`."""

    notes: tuple[Handover, ...] = ()
    count: int = 0


class TookHandovers(Wire, frozen=True, tag="took-handovers"):
    """From a MajorDomo: the first ``count`` notes of ``project`` are in its catalogue. Answer: Okay."""

    project: str
    count: int
