"""The steward over its real broker, asked by real members: who may ask what, and what it tells them all."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import pytest

from cpods.cli.founding import Wish, _new_home
from cpods.errors import Unavailable
from cpods.model import Read, Result
from cpods.net import subjects
from cpods.net.bus import NatsBus, ask_to_join, connect
from cpods.net.identity import Home, new_identity
from cpods.net.membership import JoinAnswer, RosterNews, check_answer, new_request
from cpods.net.messages import Owned
from cpods.net.questions import AskPods, AskResults, Happened, Okay, Pods, PodStatus, Results
from cpods.net.rollcall import catch_up
from cpods.net.stewardship import (
    AskFederation,
    AskHandovers,
    FederationStatus,
    Handover,
    Handovers,
    Invite,
    Invited,
    Leave,
    OwnerEntry,
    Revoke,
    Revoked,
    StopSteward,
    TookHandovers,
    mirror_key,
)
from cpods.net.tokens import decode as read_token
from cpods.net.wire import Wire, decode, encode
from cpods.ports import Message
from cpods.steward.process import Starter
from cpods.stewarding import Steward

KEY = "xxh3:" + "1" * 32


class Fed:
    """A steward that runs, and members that are connected."""

    def __init__(self, folder: Path, steward: Steward, founder: NatsBus, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.steward = steward
        self.founder = founder
        self._stack = stack

    async def ask(self, bus: NatsBus, question: Wire, *kinds: type[Wire]) -> Wire:
        data = await bus.request(subjects.steward("fed"), encode(question), 20)
        return decode(data, *kinds, Okay)

    async def token(self, name: str, role: str = "pod") -> str:
        invited = await self.ask(self.founder, Invite(name, role, 60), Invited)
        assert isinstance(invited, Invited), invited
        return invited.token

    async def member(self, name: str, role: str = "pod", on_end: Callable[[str], None] | None = None) -> NatsBus:
        """Lets somebody join, and connects it."""
        token = read_token(await self.token(name, role))
        identity = new_identity(name, "fed", role)
        data = await ask_to_join(token.to_federation(), token.seed, encode(new_request(token, identity)), 20)
        answer = decode(data, JoinAnswer)
        check_answer(answer, token, identity)
        home = Home(str(self.folder / name))
        home.save_identity(identity)
        assert answer.federation is not None
        home.save_federation(answer.federation)
        home.save_roster(answer.roster)
        bus = await connect(home, on_end=on_end, on_alarm=print, timeout=20)
        self._stack.push_async_callback(bus.close)
        return bus


@asynccontextmanager
async def stewarded(folder: Path) -> AsyncIterator[Fed]:
    """A founded federation whose steward runs within this process."""
    path = folder / "home"
    if not path.exists():
        _new_home(str(path), Wish("fed", "founder", "127.0.0.1", 0, (), "", "", ""))
    steward = Steward(Home.open(str(path)))
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    ready = asyncio.Event()
    asyncio.get_running_loop().add_reader(reading, ready.set)
    running = asyncio.create_task(steward.run(Starter(writing)))
    try:
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
        assert os.read(reading, 100).startswith(b"ready tls://127.0.0.1:")
        async with AsyncExitStack() as stack:
            founder = await connect(Home.open(str(path)), on_alarm=print, timeout=20)
            stack.push_async_callback(founder.close)
            yield Fed(folder, steward, founder, stack)
    finally:
        asyncio.get_running_loop().remove_reader(reading)
        os.close(reading)
        steward.ended.set()
        assert await running == 0
    assert steward.broker is not None and not steward.broker.running


def play(folder: Path, part: Callable[[Fed], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with stewarded(folder) as fed:
            await part(fed)

    asyncio.run(whole())


def status(pod: str, state: str = "ready") -> PodStatus:
    return PodStatus(pod, 0, state, 2, 1, ("127.0.0.1", 5))


async def heard(bus: NatsBus, subject: str) -> "asyncio.Queue[Message]":
    """Messages that come from now on."""
    queue: asyncio.Queue[Message] = asyncio.Queue()

    async def take(message: Message) -> None:
        queue.put_nowait(message)

    await bus.subscribe(subject, take)
    return queue


def test_statuses_of_pods_are_told_with_ages_and_only_of_themselves(tmp_path: Path) -> None:
    async def part(fed: Fed) -> None:
        events = await heard(fed.founder, "cpods.fed.event.*")
        a = await fed.member("a")
        await a.publish(subjects.status("fed", "a"), encode(status("b")))
        await a.publish(subjects.status("fed", "a"), encode(status("a")))
        while decode((await asyncio.wait_for(events.get(), 20)).payload, Happened).what != "appeared":
            pass
        pods = await fed.ask(a, AskPods(), Pods)
        assert isinstance(pods, Pods) and pods.statuses == (status("a"),) and 0 <= pods.ages[0] < 20
        assert await fed.founder.kept.statuses() == {"a": encode(status("a"))}
        await fed.ask(fed.founder, Revoke("a"), Revoked)
        assert await fed.ask(fed.founder, AskPods(), Pods) == Pods((), ())

    play(tmp_path, part)


def test_results_of_one_are_known_to_all_but_come_from_majordomos_only(tmp_path: Path) -> None:
    async def part(fed: Fed) -> None:
        md, other, pod = await fed.member("md", "majordomo"), await fed.member("other", "majordomo"), await fed.member("pod")
        told = Results((Result(KEY, "step", (Read("in", KEY),), ()),))
        assert await fed.ask(md, told) == Okay()
        assert await fed.ask(other, AskResults((KEY,)), Results) == told
        assert await fed.ask(pod, AskResults((KEY,)), Results) == told
        refused = await fed.ask(pod, told)
        assert isinstance(refused, Okay) and "a pod may not ask this" in refused.refused

    play(tmp_path, part)


def test_only_the_founder_is_obeyed(tmp_path: Path) -> None:
    async def part(fed: Fed) -> None:
        md, pod = await fed.member("md", "majordomo"), await fed.member("pod")
        for bus in (md, pod):
            for question in (Invite("x", "pod", 9), Revoke("pod"), StopSteward()):
                answer = await fed.ask(bus, question, Invited, Revoked)
                assert isinstance(answer, Okay) and "only a founder" in answer.refused
        strange = decode(await md.request(subjects.steward("fed"), b"no message", 20), Okay)
        assert "no message of cpods" in strange.refused
        how = await fed.ask(pod, AskFederation(), FederationStatus)
        assert isinstance(how, FederationStatus) and how.version == 3 and how.pid == os.getpid() and not how.external

    play(tmp_path, part)


def test_a_revoked_member_is_cut_and_all_hear_of_it(tmp_path: Path) -> None:
    async def part(fed: Fed) -> None:
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        a = await fed.member("a", on_end=ended.set_result)
        b = await fed.member("b")
        news = await heard(b, subjects.roster("fed"))
        done = await fed.ask(fed.founder, Revoke("a"), Revoked)
        assert done == Revoked(4)
        founder = fed.steward.home.federation.founder
        version = 0
        while version < 4:
            message = await asyncio.wait_for(news.get(), 20)
            roster = b.roster.decode(decode(message.payload, RosterNews).roster, founder)
            version = roster.version
        assert set(roster.active()) == {"b", "founder"}
        assert "revoked" in await asyncio.wait_for(ended, 20)
        with pytest.raises(Unavailable):
            await fed.ask(a, AskPods(), Pods)
        with pytest.raises(Unavailable):
            await connect(Home.open(str(tmp_path / "a")), timeout=20)

    play(tmp_path, part)


def test_a_member_that_was_away_asks_who_is_one_now_and_who_leaves_hears_the_answer(tmp_path: Path) -> None:
    async def part(fed: Fed) -> None:
        a = await fed.member("a")
        b = await fed.member("b", "majordomo")
        home = Home.open(str(tmp_path / "a"))
        assert set(home.roster.active()) == {"founder", "a"}
        assert await catch_up(home, a)
        assert set(a.roster.active()) == set(Home.open(str(tmp_path / "a")).roster.active()) == {"founder", "a", "b"}
        assert await fed.ask(b, Leave()) == Okay()
        assert set(Home.open(str(tmp_path / "home")).roster.active()) == {"founder", "a"}

    play(tmp_path, part)


def test_handovers_are_mirrored_and_kept_for_the_majordomo(tmp_path: Path) -> None:
    note = Handover("proj", "a", "b", (Owned("x y.txt", 2, KEY, KEY),))

    async def first(fed: Fed) -> None:
        md = await fed.member("md", "majordomo")
        assert await fed.ask(md, note) == Okay()
        entry = await fed.founder.kept.owner(mirror_key("proj", "x y.txt"))
        assert entry is not None and decode(entry, OwnerEntry) == OwnerEntry("proj", "x y.txt", 2, "b", KEY)

    async def second(fed: Fed) -> None:
        md = await connect(Home.open(str(tmp_path / "md")), on_alarm=print, timeout=20)
        try:
            assert await fed.ask(md, AskHandovers("proj"), Handovers) == Handovers((note,), 1)
            assert await fed.ask(md, TookHandovers("proj", 1)) == Okay()
            assert await fed.ask(md, AskHandovers("proj"), Handovers) == Handovers()
        finally:
            await md.close()

    play(tmp_path, first)
    play(tmp_path, second)


def test_a_broker_that_ends_is_started_again_at_the_same_place(tmp_path: Path) -> None:
    async def part(fed: Fed) -> None:
        a = await fed.member("a")
        broker = fed.steward.broker
        assert broker is not None
        before = broker.pid
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(60):
            while True:
                try:
                    answer = await fed.ask(a, AskFederation(), FederationStatus)
                    break
                except (Unavailable, TimeoutError):
                    await asyncio.sleep(0.05)
        assert isinstance(answer, FederationStatus) and broker.pid not in (0, before)
        assert isinstance(await fed.ask(fed.founder, Invite("b", "pod", 9), Invited), Invited)

    play(tmp_path, part)


def test_what_happened_is_on_record(tmp_path: Path) -> None:
    async def part(fed: Fed) -> None:
        await fed.member("a")
        await fed.ask(fed.founder, Revoke("a"), Revoked)
        told = []
        async with aclosing(fed.founder.kept.events(from_start=True, follow=False)) as events:
            async for event in events:
                happened = decode(event.payload, Happened)
                told.append((event.sender, happened.what, happened.pod))
        assert told == [("founder", what, pod) for what, pod in (("started", ""), ("invited", "a"), ("joined", "a"), ("revoked", "a"))]

    play(tmp_path, part)


def test_the_founder_ends_it(tmp_path: Path) -> None:
    async def part(fed: Fed) -> None:
        assert await fed.ask(fed.founder, StopSteward()) == Okay()
        await asyncio.wait_for(fed.steward.ended.wait(), 20)

    play(tmp_path, part)


def test_an_answer_that_takes_long_arrives_also_when_somebody_joins_meanwhile(tmp_path: Path) -> None:
    """A new configuration makes the broker forget whom it let answer."""

    async def part(fed: Fed) -> None:
        pod, md = await fed.member("pod"), await fed.member("md", "majordomo")
        pod.update_roster(fed.steward.home.roster)
        asked, may_answer = asyncio.Event(), asyncio.Event()

        async def slow(message: Message) -> bytes:
            asked.set()
            await may_answer.wait()
            return message.sender.encode()

        await pod.subscribe(subjects.ask("fed", "pod"), slow)
        answer = asyncio.create_task(md.request(subjects.ask("fed", "pod"), b"", 30))
        await asyncio.wait_for(asked.wait(), 20)
        await fed.member("late")
        may_answer.set()
        assert await answer == b"md"

    play(tmp_path, part)
