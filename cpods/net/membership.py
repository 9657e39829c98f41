"""How somebody becomes a member, and how members hear who is one: the messages, and what each side checks.

Knows no connection, and no list of invitations: that is the steward's.

Who joins is in no roster yet, so these messages prove themselves. A :class:`JoinRequest` is signed with the one-time key of
the invitation (module nkeypair, purpose ``cpods join 1``, over the JSON array of federation, name, nkey, ssh_public,
host_public); the roster in :class:`JoinAnswer` and :class:`RosterNews` is signed by the founder, whose key is in the token.
"""

import msgspec

from cpods.errors import Unavailable
from cpods.net import nkeypair
from cpods.net.identity import Federation, Identity
from cpods.net.nkeypair import Keypair
from cpods.net.roster import Member, Roster
from cpods.net.tokens import JoinToken
from cpods.net.wire import BadMessage, Wire

_PURPOSE = b"cpods join 1"


class JoinRequest(Wire, frozen=True, tag="join"):
    """To the steward, with the invitation's key: take me in, these are my public keys. Answer: JoinAnswer."""

    name: str
    nkey: str
    ssh_public: str
    host_public: str
    proof: bytes


class JoinAnswer(Wire, frozen=True, tag="join-answer"):
    """``roster``: signed bytes, with the new member in it. ``refused`` not empty: it is not taken in, and why."""

    roster: bytes = b""
    federation: Federation | None = None
    refused: str = ""


class RosterNews(Wire, frozen=True, tag="roster"):
    """To all: the roster has changed. Signed bytes; a reader keeps the highest version."""

    roster: bytes


def new_request(join: JoinToken, identity: Identity) -> JoinRequest:
    """The request of somebody who was invited and has made its keys."""
    request = JoinRequest(identity.name, identity.nkey, identity.ssh_public, identity.host_public, b"")
    proof = Keypair(join.seed).sign(_PURPOSE, _proven(request, join.federation))
    return msgspec.structs.replace(request, proof=proof)


def check_request(request: JoinRequest, federation: str, invited: str, role: str) -> Member:
    """The member who asks, if it holds the invitation whose public NKey is ``invited``, to be one in ``role``.

    Raises BadMessage if it does not, or if a key is none. Whether the invitation is still open is for the caller.
    """
    try:
        member = Member(request.name, role, request.nkey, request.ssh_public, request.host_public)
    except ValueError as error:
        raise BadMessage(f"a request to join cannot be right: {error}") from error
    if member.nkey == invited:
        raise BadMessage(f"{member.name} asks to join with the one-time key of its invitation; a member has a key of its own")
    if not nkeypair.is_signed(invited, _PURPOSE, _proven(request, federation), request.proof):
        raise BadMessage(f"somebody asks to join as {member.name} without having been invited as that")
    return member


def check_answer(answer: JoinAnswer, join: JoinToken, identity: Identity) -> Roster:
    """The roster that has ``identity`` in it, as the founder named in the token signed it.

    Raises Unavailable if the steward refused, BadMessage if the answer is not this federation's.
    """
    if answer.refused:
        raise Unavailable(f"federation {join.federation} does not take {identity.name} in: {answer.refused}")
    if answer.federation is not None and (answer.federation.name, answer.federation.founder) != (join.federation, join.founder):
        raise BadMessage(f"federation {answer.federation.name} answered, the token is for {join.federation} of another founder or name")
    roster = Roster.decode(answer.roster, join.founder)
    if roster.federation != join.federation or roster.active().get(identity.name) != identity.member():
        raise BadMessage(f"{join.federation} answered with a roster in which {identity.name} is not a member with the keys it sent")
    return roster


def _proven(request: JoinRequest, federation: str) -> bytes:
    return msgspec.json.encode([federation, request.name, request.nkey, request.ssh_public, request.host_public])
