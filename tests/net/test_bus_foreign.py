"""The bus on a broker of somebody else: no permissions and no revocation there, so what members refuse by themselves counts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client

from cpods.errors import Unavailable
from cpods.net import subjects
from cpods.net.bus import NatsBus, ask_to_join
from cpods.net.identity import Federation, Identity, new_identity
from cpods.net.roster import Roster
from cpods.net.signing import Signer
from cpods.ports import Message
from tests.helpers.foreignbroker import accounts, foreign

FED = "fed"
STEP_B = subjects.step(FED, "b")


class Members:
    """Who is in the federation, and how to connect as one of them."""

    def __init__(self, url: str, credentials: str = "") -> None:
        roles = {"founder": "founder", "md": "majordomo", "a": "pod", "b": "pod"}
        self.identities: dict[str, Identity] = {name: new_identity(name, FED, role) for name, role in roles.items()}
        self.roster = Roster(FED, 1, {name: one.member() for name, one in self.identities.items()})
        self.federation = Federation(FED, url, self.identities["founder"].nkey, "", external=True)
        self.credentials = credentials
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self._buses: list[NatsBus] = []

    async def connect(self, name: str) -> NatsBus:
        bus = NatsBus(self.identities[name], self.federation, self.roster, None, self.told.put_nowait, self.credentials)
        await bus.open(20)
        self._buses.append(bus)
        return bus

    async def close(self) -> None:
        for bus in self._buses:
            await bus.close()


@asynccontextmanager
async def members(folder: Path, with_accounts: bool = False) -> AsyncIterator[Members]:
    settings, credentials = accounts(folder) if with_accounts else ({}, "")
    async with foreign(folder, settings) as url:
        group = Members(url, credentials)
        try:
            yield group
        finally:
            await group.close()


Scenario = Callable[[Members], Awaitable[None]]


def play(folder: Path, scenario: Scenario, with_accounts: bool = False) -> None:
    async def all_of_it() -> None:
        async with members(folder, with_accounts) as group:
            await scenario(group)

    asyncio.run(all_of_it())


async def lease(message: Message) -> bytes:
    return b"lease for " + message.sender.encode()


@pytest.mark.parametrize("with_accounts", [False, True], ids=["open", "with a .creds file"])
def test_all_works_there(tmp_path: Path, with_accounts: bool) -> None:
    async def scenario(group: Members) -> None:
        founder, md, b = [await group.connect(name) for name in ("founder", "md", "b")]
        await founder.kept.prepare()
        await b.subscribe(STEP_B, lease)
        assert await md.request(STEP_B, b"order", 20) == b"lease for md"
        with pytest.raises(Unavailable, match="nobody listens"):
            await md.request(subjects.step(FED, "a"), b"order", 3600)
        await md.kept.put_owner("01", b"b")
        assert await founder.kept.owner("01") == b"b"

    play(tmp_path, scenario, with_accounts)


def test_without_its_credentials_nobody_gets_in(tmp_path: Path) -> None:
    async def scenario(group: Members) -> None:
        group.credentials = ""
        with pytest.raises(Unavailable, match="refuses the key of md"):
            await group.connect("md")

    play(tmp_path, scenario, with_accounts=True)


def test_members_refuse_by_themselves_what_the_broker_lets_pass(tmp_path: Path) -> None:
    async def scenario(group: Members) -> None:
        md, b = await group.connect("md"), await group.connect("b")
        seen: list[Message] = []

        async def keep(message: Message) -> bytes:
            seen.append(message)
            return b"ok"

        await b.subscribe(STEP_B, keep)
        await b.subscribe(subjects.roster(FED), keep)
        await md.subscribe(subjects.statuses(FED), keep)
        thief = Client()
        await thief.connect(group.federation.broker)
        seal = Signer(group.identities["a"].nkey_seed).seal
        for subject, said in (
            (STEP_B, "a pod commands no pod"),
            (subjects.roster(FED), "a pod publishes no roster"),
            (subjects.status(FED, "b"), "it is not b"),
        ):
            await thief.publish(subject, seal(FED, subject, b"forged"))
            assert said in await group.told.get()
        await thief.close()
        assert await md.request(STEP_B, b"true", 20) == b"ok"
        assert [message.sender for message in seen] == ["md"]

    play(tmp_path, scenario)


def test_a_revoked_member_is_refused_by_all_who_know(tmp_path: Path) -> None:
    async def scenario(group: Members) -> None:
        md, a, b = [await group.connect(name) for name in ("md", "a", "b")]
        await b.subscribe(STEP_B, lease)
        await a.subscribe(subjects.step(FED, "a"), lease)
        without = group.roster.without("md")
        b.update_roster(without)
        with pytest.raises(TimeoutError):
            await md.request(STEP_B, b"order", 0.2)
        assert "is from md, who was revoked from fed" in await group.told.get()
        assert await md.request(subjects.step(FED, "a"), b"order", 20) == b"lease for md"  # It has not heard.
        md.update_roster(without)
        with pytest.raises(Unavailable, match="revoked: md is a member of fed no longer"):
            await md.request(subjects.step(FED, "a"), b"order", 20)

    play(tmp_path, scenario)


def test_a_guest_joins_there(tmp_path: Path) -> None:
    async def scenario(group: Members) -> None:
        founder, guest = await group.connect("founder"), new_identity("c", FED, "pod")

        async def welcome(message: Message) -> bytes:
            return b"welcome, " + message.payload

        await founder.answer_guests(welcome)
        answer = await ask_to_join(group.federation, guest.nkey_seed, b"c", 20, group.credentials)
        assert answer == b"welcome, c"

    play(tmp_path, scenario, with_accounts=True)


def test_a_federation_is_not_disturbed_by_another_on_the_same_broker(tmp_path: Path) -> None:
    async def scenario(group: Members) -> None:
        md, b = await group.connect("md"), await group.connect("b")
        await b.subscribe(STEP_B, lease)
        other = Members(group.federation.broker)
        other.federation = msgspec.structs.replace(other.federation, name="other")
        stranger = await other.connect("md")
        with pytest.raises(Unavailable, match="nobody listens"):
            await stranger.request(subjects.step("other", "b"), b"order", 20)
        with pytest.raises(TimeoutError):
            await stranger.request(STEP_B, b"order", 0.2)
        assert "of federation 'other'" in await group.told.get()
        assert await md.request(STEP_B, b"order", 20) == b"lease for md"
        await other.close()

    play(tmp_path, scenario)
