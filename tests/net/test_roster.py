"""The roster is what its founder signed, and nothing else; an older one never comes back."""

import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpods.errors import UsageError
from cpods.net.identity import new_identity
from cpods.net.nkeypair import Keypair, new_seed
from cpods.net.roster import Member, Roster, check_ssh_public
from cpods.net.wire import BadMessage

FOUNDER = new_identity("boss", "lab", "founder")
SIGNER = Keypair(FOUNDER.nkey_seed)
MD, A, B = (new_identity(name, "lab", role) for name, role in (("md", "majordomo"), ("a", "pod"), ("b", "pod")))
ROSTER = Roster("lab").with_member(FOUNDER.member()).with_member(MD.member()).with_member(A.member())
SIGNED = ROSTER.encode(SIGNER)


def test_there_and_back() -> None:
    back = Roster.decode(SIGNED, FOUNDER.nkey)
    assert back == ROSTER and back.version == 3
    assert back.encode(SIGNER) == SIGNED


def test_equal_rosters_give_equal_bytes() -> None:
    other = Roster("lab", 3, dict(reversed(list(ROSTER.members.items()))))
    assert other.encode(SIGNER) == SIGNED


@given(st.data())
def test_any_flipped_byte_is_refused(data: st.DataObject) -> None:
    whole = bytearray(SIGNED)
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadMessage):
        Roster.decode(bytes(whole), FOUNDER.nkey)


@given(st.data())
def test_anything_put_in_or_left_out_is_refused(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(SIGNED)))
    inserted = data.draw(st.one_of(st.sampled_from([b" ", b"\n", b'"x":1,']), st.binary(min_size=1, max_size=20)))
    with pytest.raises(BadMessage):
        Roster.decode(SIGNED[:position] + inserted + SIGNED[position:], FOUNDER.nkey)
    if position < len(SIGNED):
        with pytest.raises(BadMessage):
            Roster.decode(SIGNED[:position], FOUNDER.nkey)


@given(st.binary(max_size=200))
def test_foreign_bytes(data: bytes) -> None:
    with pytest.raises(BadMessage, match="no roster"):
        Roster.decode(data, FOUNDER.nkey)


@pytest.mark.parametrize("who", [Keypair(MD.nkey_seed), Keypair(new_seed())], ids=["a member", "a stranger"])
def test_only_the_founder_signs_it(who: Keypair) -> None:
    with pytest.raises(BadMessage, match="founder of this federation did not sign"):
        Roster.decode(ROSTER.encode(who), FOUNDER.nkey)


def test_the_signature_of_one_roster_does_not_carry_another() -> None:
    content = json.loads(SIGNED)
    content["roster"] = json.loads(ROSTER.without("md").encode(SIGNER))["roster"]
    with pytest.raises(BadMessage, match="did not sign"):
        Roster.decode(msgspec.json.encode(content), FOUNDER.nkey)


def test_a_signed_roster_of_a_later_release_that_cannot_be_read() -> None:
    broken = msgspec.json.encode({"federation": "lab", "version": 1, "members": {"a": {"name": "a"}}})
    signature = SIGNER.sign(b"cpods roster 1", broken).hex()
    with pytest.raises(BadMessage, match="cannot be read by this release"):
        Roster.decode(b'{"signature":"' + signature.encode() + b'","roster":' + broken + b"}", FOUNDER.nkey)


def test_revoked_members_stay_known_but_are_not_active() -> None:
    revoked = ROSTER.without("md")
    assert revoked.version == ROSTER.version + 1
    assert sorted(revoked.active()) == ["a", "boss"]
    member = revoked.by_nkey(MD.nkey)
    assert member is not None and member.revoked and member.name == "md"
    assert ROSTER.members["md"].revoked is False
    assert revoked.by_nkey(B.nkey) is None
    assert Roster.decode(revoked.encode(SIGNER), FOUNDER.nkey) == revoked


def test_who_was_revoked_may_join_again_with_new_keys() -> None:
    again = new_identity("md", "lab", "majordomo").member()
    roster = ROSTER.without("md").with_member(again)
    assert roster.active()["md"] == again and roster.by_nkey(MD.nkey) is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda: ROSTER.with_member(new_identity("a", "lab", "pod").member()), "a is a member of lab already; `cpods federation revoke a`"),
        (lambda: ROSTER.with_member(msgspec.structs.replace(A.member(), name="c")), "c cannot become a member: .* same key"),
        (lambda: ROSTER.without("md").with_member(msgspec.structs.replace(MD.member(), name="c")), "same key"),
        (lambda: ROSTER.with_member(msgspec.structs.replace(B.member(), ssh_public=A.ssh_public)), "same key"),
        (lambda: ROSTER.without("zoe"), "zoe is not a member of lab; members are a, boss, md"),
        (lambda: ROSTER.without("md").without("md"), "md is not a member"),
        (lambda: ROSTER.without("boss"), "boss founded lab and cannot be revoked"),
        (lambda: Roster("lab").without("a"), "members are nobody"),
    ],
)
def test_changes_that_cannot_be(change: Callable[[], Roster], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        change()


@given(st.permutations(range(4)))
def test_the_newest_wins_in_whatever_order_they_come(order: list[int]) -> None:
    versions = [Roster("lab", number) for number in range(4)]
    present = Roster("lab", 0)
    seen = [(present := present.newest(versions[number])).version for number in order]
    assert seen == sorted(seen) and present.version == 3


def test_of_two_of_one_version_the_present_one_stays() -> None:
    assert ROSTER.newest(Roster("lab", ROSTER.version)) is ROSTER


def test_a_roster_of_another_federation() -> None:
    with pytest.raises(BadMessage, match="of federation other came, this is lab"):
        ROSTER.newest(Roster("other", 99))


def test_a_member_under_anothers_name() -> None:
    with pytest.raises(ValueError, match="another's name"):
        Roster("lab", 1, {"b": A.member()})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a.b"),
        ("name", ""),
        ("role", "king"),
        ("nkey", "U"),
        ("nkey", A.nkey_seed),
        ("ssh_public", ""),
        ("ssh_public", A.ssh_public + "\nssh-ed25519 AAAA"),
        ("ssh_public", A.ssh_public + "\n"),
        ("ssh_public", A.ssh_public + " comment"),
        ("ssh_public", 'command="x" ' + A.ssh_public),
        ("ssh_public", A.ssh_public[:-4]),
        ("ssh_public", A.ssh_public.replace("ssh-ed25519", "ssh-rsa")),
        ("host_public", "ssh-ed25519 AAAA"),
        ("host_public", "ssh-ed25519 A"),
    ],
)
def test_a_member_that_cannot_be(field: str, value: str) -> None:
    """Names get into subjects, keys into the broker's configuration and into files of authorised keys."""
    with pytest.raises(ValueError):
        msgspec.structs.replace(A.member(), **{field: value}).__post_init__()
    with pytest.raises(ValueError):
        Member(**{**msgspec.structs.asdict(A.member()), field: value})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode({**msgspec.structs.asdict(A.member()), field: value}), type=Member)


def test_a_fresh_ssh_key_is_one() -> None:
    assert check_ssh_public(A.ssh_public) == A.ssh_public
