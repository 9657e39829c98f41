"""Only who was invited gets in, as what it was invited, and knows that it was its federation that took it in."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpods.errors import Unavailable
from cpods.net import membership, wire
from cpods.net.identity import Federation, new_identity
from cpods.net.membership import JoinAnswer, JoinRequest, check_answer, check_request, new_request
from cpods.net.nkeypair import Keypair
from cpods.net.roster import Roster
from cpods.net.tokens import new_token
from cpods.net.wire import BadMessage

FOUNDER = new_identity("boss", "lab", "founder")
SIGNER = Keypair(FOUNDER.nkey_seed)
FEDERATION = Federation("lab", "tls://127.0.0.1:4222", FOUNDER.nkey, "")
TOKEN = new_token(FEDERATION, "a", "pod", 0)
A = new_identity("a", "lab", "pod")
REQUEST = new_request(TOKEN, A)
ROSTER = Roster("lab").with_member(FOUNDER.member())


def test_a_whole_join() -> None:
    asked = wire.decode(wire.encode(REQUEST), JoinRequest)
    member = check_request(asked, "lab", TOKEN.invited, "pod")
    assert member == A.member()
    roster = ROSTER.with_member(member)
    answer = wire.decode(wire.encode(JoinAnswer(roster.encode(SIGNER), FEDERATION)), JoinAnswer)
    assert check_answer(answer, TOKEN, A) == roster


OTHERS = new_identity("b", "lab", "pod")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "b"},
        {"nkey": OTHERS.nkey},
        {"ssh_public": OTHERS.ssh_public},
        {"host_public": OTHERS.host_public},
        {"proof": b""},
        {"proof": REQUEST.proof[:-1]},
        {"proof": new_request(new_token(FEDERATION, "a", "pod", 0), A).proof},
        {"proof": new_request(msgspec.structs.replace(TOKEN, federation="other"), A).proof},
    ],
)
def test_a_request_that_the_invited_did_not_make(change: dict[str, str | bytes]) -> None:
    with pytest.raises(BadMessage, match="without having been invited"):
        check_request(msgspec.structs.replace(REQUEST, **change), "lab", TOKEN.invited, "pod")


@given(st.data())
def test_any_flipped_byte_of_the_proof(data: st.DataObject) -> None:
    proof = bytearray(REQUEST.proof)
    proof[data.draw(st.integers(0, len(proof) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadMessage):
        check_request(msgspec.structs.replace(REQUEST, proof=bytes(proof)), "lab", TOKEN.invited, "pod")


def test_an_invitation_of_another_federation() -> None:
    with pytest.raises(BadMessage, match="without having been invited"):
        check_request(REQUEST, "other", TOKEN.invited, "pod")


@pytest.mark.parametrize("change", [{"name": "a.>"}, {"nkey": "U"}, {"ssh_public": A.ssh_public + "\nmore"}, {"host_public": ""}])
def test_keys_that_are_none_are_refused_before_anything_is_believed(change: dict[str, str]) -> None:
    with pytest.raises(BadMessage, match="a request to join cannot be right"):
        check_request(msgspec.structs.replace(REQUEST, **change), "lab", TOKEN.invited, "pod")


def test_the_one_time_key_does_not_become_a_members_key() -> None:
    lazy = msgspec.structs.replace(A, nkey=TOKEN.invited, nkey_seed=TOKEN.seed)
    with pytest.raises(BadMessage, match="a member has a key of its own"):
        check_request(new_request(TOKEN, lazy), "lab", TOKEN.invited, "pod")


def test_a_refusal_is_told_in_the_stewards_words() -> None:
    with pytest.raises(Unavailable, match="lab does not take a in: the invitation was used"):
        check_answer(JoinAnswer(refused="the invitation was used"), TOKEN, A)


JOINED = ROSTER.with_member(A.member())


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda: JoinAnswer(JOINED.encode(Keypair(A.nkey_seed))), "did not sign"),
        (lambda: JoinAnswer(b""), "no roster"),
        (lambda: JoinAnswer(ROSTER.encode(SIGNER)), "a is not a member"),
        (lambda: JoinAnswer(JOINED.without("a").encode(SIGNER)), "a is not a member"),
        (lambda: JoinAnswer(ROSTER.with_member(new_identity("a", "lab", "pod").member()).encode(SIGNER)), "with the keys it sent"),
        (lambda: JoinAnswer(Roster("other", 1, JOINED.members).encode(SIGNER)), "not a member"),
        (lambda: JoinAnswer(JOINED.encode(SIGNER), Federation("other", "", FOUNDER.nkey, "")), "federation other answered"),
        (lambda: JoinAnswer(JOINED.encode(SIGNER), Federation("lab", "", A.nkey, "")), "another founder"),
    ],
)
def test_an_answer_that_is_not_this_federations(answer: Callable[[], JoinAnswer], sentence: str) -> None:
    with pytest.raises(BadMessage, match=sentence):
        check_answer(answer(), TOKEN, A)


def test_a_role_other_than_the_invited_one_is_noticed() -> None:
    """The steward decides the role from the invitation; the joiner does not accept another."""
    member = check_request(REQUEST, "lab", TOKEN.invited, "majordomo")
    with pytest.raises(BadMessage, match="not a member with the keys"):
        check_answer(JoinAnswer(ROSTER.with_member(member).encode(SIGNER)), TOKEN, A)


def test_the_signature_is_for_joining_only() -> None:
    proven = msgspec.json.encode(["lab", A.name, A.nkey, A.ssh_public, A.host_public])
    forged = msgspec.structs.replace(REQUEST, proof=Keypair(TOKEN.seed).sign(b"cpods seal 1", proven))
    with pytest.raises(BadMessage):
        check_request(forged, "lab", TOKEN.invited, "pod")
    assert membership.RosterNews(b"x").roster == b"x"
