"""Who becomes a member and who is one no longer: the keeper over a founder's real home, without a broker."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from cpods.errors import UsageError
from cpods.net.identity import Federation, Home, Identity, new_identity
from cpods.net.membership import JoinAnswer, JoinRequest, check_answer, new_request
from cpods.net.nkeypair import Keypair
from cpods.net.roster import Roster
from cpods.net.tokens import JoinToken, decode
from cpods.steward.invites import Invites
from cpods.steward.keeper import LINGER_SECONDS, Admitted, Keeper


class Office:
    """A keeper, what it has put out, and clocks that stand still."""

    def __init__(self, folder: Path) -> None:
        identity = new_identity("founder", "fed", "founder")
        self.home = Home(str(folder))
        self.home.save_identity(identity)
        self.home.save_federation(Federation("fed", "tls://127.0.0.1:1", identity.nkey, ""))
        self.home.save_roster(Roster("fed").with_member(identity.member()).encode(Keypair(identity.nkey_seed)))
        self.now = 0.0
        self.put_out: list[tuple[Admitted, bytes | None]] = []
        self.keeper = Keeper(self.home, Invites(str(folder / "invites.json"), lambda: int(self.now * 1e9)), self._put_out, lambda: self.now)

    async def _put_out(self, admitted: Admitted, roster: bytes | None) -> None:
        self.put_out.append((admitted, roster))

    def invite(self, name: str, role: str = "pod", seconds: float = 60) -> JoinToken:
        return decode(asyncio.run(self.keeper.invite(name, role, seconds)))

    def ask(self, token: JoinToken, identity: Identity | None = None) -> tuple[Identity, JoinRequest]:
        who = identity or new_identity(token.name, token.federation, token.role)
        return who, new_request(token, who)

    def join(self, request: JoinRequest) -> JoinAnswer:
        return asyncio.run(self.keeper.join(request))

    def members(self) -> list[str]:
        """Whom the broker lets in, as it was told last."""
        return sorted(member.name for member in self.put_out[-1][0].members)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_who_was_invited_is_taken_in_once(office: Office) -> None:
    token = office.invite("alpha")
    assert token.broker == "tls://127.0.0.1:1" and token.founder == office.home.identity.nkey
    assert office.put_out[-1][0].guests == [token.invited]
    who, request = office.ask(token)
    answer = office.join(request)
    assert check_answer(answer, token, who).version == 2
    assert Home.open(office.home.folder).roster.active()["alpha"] == who.member()
    assert office.members() == ["alpha", "founder"] and office.put_out[-1][1] == answer.roster
    assert office.join(request) == answer, "who did not hear the answer may ask again"
    assert "used already" in office.join(office.ask(token)[1]).refused
    assert office.keeper.roster.version == 2


def test_the_broker_lets_a_guest_in_until_the_answer_is_out(office: Office) -> None:
    token = office.invite("alpha")
    office.join(office.ask(token)[1])
    assert office.put_out[-1][0].guests == [token.invited] and office.keeper.next_change() == LINGER_SECONDS
    office.now += LINGER_SECONDS
    asyncio.run(office.keeper.refresh())
    assert office.put_out[-1] == (Admitted(list(office.keeper.roster.active().values()), []), None)
    assert office.keeper.next_change() is None


def test_who_has_no_right_to_it_is_refused_and_told_why(office: Office) -> None:
    token = office.invite("alpha")
    other = office.invite("beta", seconds=5)
    _, request = office.ask(token)
    assert "without having been invited" in office.join(msgspec.structs.replace(request, name="beta")).refused
    exchanged = msgspec.structs.replace(request, ssh_public=new_identity("x", "fed", "pod").ssh_public)
    assert "without having been invited" in office.join(exchanged).refused
    assert "nobody called 'gamma' was invited" in office.join(msgspec.structs.replace(request, name="gamma")).refused
    office.now += 5
    assert "expired" in office.join(office.ask(other)[1]).refused
    asyncio.run(office.keeper.revoke("alpha"))
    assert "withdrawn" in office.join(request).refused
    assert list(office.keeper.roster.active()) == ["founder"] and office.put_out[-1][0].guests == []


def test_a_key_cannot_be_two_members(office: Office) -> None:
    who, request = office.ask(office.invite("alpha"))
    office.join(request)
    same = msgspec.structs.replace(who, name="beta")
    assert "same key" in office.join(office.ask(office.invite("beta"), same)[1]).refused


def test_invitations_that_cannot_be(office: Office) -> None:
    office.join(office.ask(office.invite("alpha"))[1])
    for name, role, reason in (
        ("alpha", "pod", "is a member already"),
        ("founder", "pod", "is a member already"),
        ("a b", "pod", "cannot be a name"),
        ("b", "founder", "nobody can be invited as 'founder'"),
        ("b", "king", "nobody can be invited as 'king'"),
    ):
        with pytest.raises(UsageError, match=reason):
            office.invite(name, role)


def test_the_revoked_go_at_once_and_their_names_are_free(office: Office) -> None:
    office.join(office.ask(office.invite("alpha"))[1])
    member = asyncio.run(office.keeper.revoke("alpha"))
    assert member is not None and member.name == "alpha" and office.members() == ["founder"]
    assert office.keeper.roster.members["alpha"].revoked and office.keeper.roster.version == 3
    with pytest.raises(UsageError, match="alpha is not a member"):
        asyncio.run(office.keeper.revoke("alpha"))
    with pytest.raises(UsageError, match="cannot be revoked"):
        asyncio.run(office.keeper.revoke("founder"))
    who, request = office.ask(office.invite("alpha", "majordomo"))
    assert office.join(request).refused == "" and office.keeper.roster.active()["alpha"].role == "majordomo"


def test_who_leaves_still_hears_the_answer(office: Office) -> None:
    office.join(office.ask(office.invite("alpha"))[1])
    asyncio.run(office.keeper.leave("alpha"))
    assert office.keeper.roster.members["alpha"].revoked and office.members() == ["alpha", "founder"]
    office.now += LINGER_SECONDS
    asyncio.run(office.keeper.refresh())
    assert office.members() == ["founder"]
    with pytest.raises(UsageError, match="cannot be revoked"):
        asyncio.run(office.keeper.leave("founder"))
