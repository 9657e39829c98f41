"""A sealed message opens only as it was said: by whom, in which federation, to which subject, byte for byte."""

import nkeys
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpods.net import nkeypair, signing
from cpods.net.identity import Identity, new_identity
from cpods.net.nkeypair import Keypair
from cpods.net.roster import Roster
from cpods.net.signing import Signer, open_sealed
from cpods.net.wire import BadMessage

F = "lab"
SUBJECT = "cpods.lab.pod.a.step"
MD, A = new_identity("md", F, "majordomo"), new_identity("a", F, "pod")
STRANGER = new_identity("md", F, "majordomo")
ROSTER = Roster(F, 2, {"md": MD.member(), "a": A.member()})
REVOKED = ROSTER.without("md")

NAMES = st.text("abcXYZ019-_", min_size=1, max_size=64)
SUBJECTS = st.lists(st.text("abc-_", min_size=1, max_size=8), min_size=1, max_size=6).map(".".join)
PAYLOADS = st.binary(max_size=300)


def sealed(payload: bytes = b"run it", subject: str = SUBJECT, who: Identity = MD, federation: str = F) -> bytes:
    """A message as a member would send it."""
    return Signer(who.nkey_seed).seal(federation, subject, payload)


@given(PAYLOADS, SUBJECTS)
def test_what_was_sealed_opens_with_the_name_of_who_said_it(payload: bytes, subject: str) -> None:
    assert open_sealed(sealed(payload, subject), subject, F, ROSTER) == ("md", payload)
    assert open_sealed(sealed(payload, subject, A), subject, F, ROSTER) == ("a", payload)
    assert len(sealed(payload, subject)) - len(payload) <= signing.SEAL_BYTES_MAX


@given(PAYLOADS, st.data())
def test_any_flipped_byte_is_refused(payload: bytes, data: st.DataObject) -> None:
    whole = bytearray(sealed(payload))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadMessage):
        open_sealed(bytes(whole), SUBJECT, F, ROSTER)


def test_every_single_bit_counts() -> None:
    whole = sealed(b"x")
    for position in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(BadMessage):
            open_sealed(bytes(flipped), SUBJECT, F, ROSTER)


@given(PAYLOADS, st.data())
def test_cut_off_or_longer_is_refused(payload: bytes, data: st.DataObject) -> None:
    whole = sealed(payload)
    with pytest.raises(BadMessage):
        open_sealed(whole[: data.draw(st.integers(0, len(whole) - 1))], SUBJECT, F, ROSTER)
    with pytest.raises(BadMessage):
        open_sealed(whole + data.draw(st.binary(min_size=1, max_size=80)), SUBJECT, F, ROSTER)


@given(st.binary(max_size=400))
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadMessage):
        open_sealed(data, SUBJECT, F, ROSTER)
    with pytest.raises(BadMessage):
        open_sealed(b"\x01" + data, SUBJECT, F, ROSTER)


@given(PAYLOADS, SUBJECTS, SUBJECTS)
def test_another_subject_is_refused(payload: bytes, one: str, other: str) -> None:
    if one == other:
        return
    with pytest.raises(BadMessage, match=f"a message for '{one}' came on {other}"):
        open_sealed(sealed(payload, one), other, F, ROSTER)


@given(PAYLOADS, NAMES)
def test_another_federation_is_refused(payload: bytes, other: str) -> None:
    """Also if the key is a member there: a founder may be in two federations."""
    if other == F:
        return
    with pytest.raises(BadMessage, match=f"a message of federation '{other}' came .*, this is lab"):
        open_sealed(sealed(payload, federation=other), SUBJECT, F, ROSTER)
    with pytest.raises(BadMessage, match=f"this is {other}"):
        open_sealed(sealed(payload), SUBJECT, other, Roster(other, 1, ROSTER.members))


@given(PAYLOADS)
def test_a_stranger_is_refused_whatever_name_it_gives_itself(payload: bytes) -> None:
    with pytest.raises(BadMessage, match=f"signed by {STRANGER.nkey}, who is not a member of lab"):
        open_sealed(sealed(payload, who=STRANGER), SUBJECT, F, ROSTER)


@given(PAYLOADS)
def test_a_revoked_member_is_refused_by_name(payload: bytes) -> None:
    with pytest.raises(BadMessage, match="from md, who was revoked from lab"):
        open_sealed(sealed(payload), SUBJECT, F, REVOKED)
    assert open_sealed(sealed(payload, who=A), SUBJECT, F, REVOKED) == ("a", payload)


@given(PAYLOADS)
def test_a_member_cannot_speak_as_another(payload: bytes) -> None:
    """A pod puts the MajorDomo's public key, which everybody knows, over its own signature."""
    own = sealed(payload, who=A)
    forged = own.replace(nkeypair.public_bytes(A.nkey), nkeypair.public_bytes(MD.nkey), 1)
    with pytest.raises(BadMessage, match="says that it is from md, but md did not sign it"):
        open_sealed(forged, SUBJECT, F, ROSTER)


def test_a_rejoined_member_is_known_by_its_new_keys_only() -> None:
    again = new_identity("md", F, "majordomo")
    roster = REVOKED.with_member(again.member())
    assert open_sealed(sealed(who=again), SUBJECT, F, roster) == ("md", b"run it")
    with pytest.raises(BadMessage, match="not a member"):
        open_sealed(sealed(), SUBJECT, F, roster)


def test_a_message_that_ends_too_early_says_so() -> None:
    for length in (1, 5, 60, len(sealed(b"")) - 1):
        with pytest.raises(BadMessage, match="that is cut off"):
            open_sealed(sealed(b"")[:length], SUBJECT, "lab", ROSTER)


def test_another_seal_version_says_what_to_do() -> None:
    with pytest.raises(BadMessage, match=r"seal version 2, expected 1\); run one release on all pods"):
        open_sealed(b"\x02" + sealed()[1:], SUBJECT, F, ROSTER)


@pytest.mark.parametrize("subject", ["", "x" * 256])
def test_no_subject(subject: str) -> None:
    with pytest.raises(ValueError, match="not a subject"):
        Signer(MD.nkey_seed).seal(F, subject, b"")


def test_no_federation() -> None:
    with pytest.raises(ValueError, match="cannot be part of a subject"):
        Signer(MD.nkey_seed).seal("a.b", SUBJECT, b"")


def test_keys_and_signatures_are_those_of_nats() -> None:
    """The same seed gives the same public key and the same signature by the library of NATS."""
    theirs, ours = nkeys.from_seed(MD.nkey_seed.encode()), Keypair(MD.nkey_seed)
    assert theirs.public_key.decode() == ours.public == MD.nkey
    assert nkeypair.public_text(nkeypair.public_bytes(ours.public)) == ours.public
    assert theirs.sign(b"\xffpurpose\0data") == ours.sign(b"purpose", b"data")
    assert nkeypair.is_signed(ours.public, b"purpose", b"data", ours.sign(b"purpose", b"data"))


def test_no_broker_gets_a_message_signed_as_its_nonce() -> None:
    """A client signs the nonce that the broker sends; what we sign is never text, so it cannot be such a nonce."""
    body = sealed()[: -nkeypair.SIGNATURE_BYTES]
    nonce_signature = nkeys.from_seed(MD.nkey_seed.encode()).sign(b"cpods seal 1\0" + body)
    with pytest.raises(BadMessage, match="did not sign"):
        open_sealed(body + nonce_signature, SUBJECT, F, ROSTER)
    with pytest.raises(UnicodeDecodeError):
        (b"\xffcpods seal 1\0" + body).decode()


def test_what_is_signed_for_one_use_is_not_good_for_another() -> None:
    pair = Keypair(MD.nkey_seed)
    assert not nkeypair.is_signed(pair.public, b"cpods seal 1", b"data", pair.sign(b"cpods roster 1", b"data"))


def broken_keys(text: str) -> list[str]:
    """Texts that look like ``text``, each wrong in one way."""
    other = "B" if text[10] != "B" else "C"
    return ["", "U", "é" * 56, text.lower(), text[:-1], text + "A", text[:10] + other + text[11:], " " + text, text + "\n"]


@pytest.mark.parametrize("text", [*broken_keys(MD.nkey), MD.nkey_seed])
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(ValueError, match="not a public NKey"):
        nkeypair.public_bytes(text)


@pytest.mark.parametrize("text", [*broken_keys(MD.nkey_seed), MD.nkey, nkeys.encode_seed(b"x" * 32, nkeys.PREFIX_BYTE_ACCOUNT).decode()])
def test_what_is_no_seed_and_it_is_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="not the seed") as caught:
        Signer(text)
    assert len(text) < 20 or text not in str(caught.value)


def test_the_format_is_as_documented() -> None:
    """The layout put together by hand, signed by the library of NATS."""
    raw = nkeypair.public_bytes(MD.nkey)
    body = b"\x01" + b"\x03lab" + raw + len(SUBJECT).to_bytes(2, "big") + SUBJECT.encode() + b"run it"
    assert sealed() == body + nkeys.from_seed(MD.nkey_seed.encode()).sign(b"\xffcpods seal 1\0" + body)
