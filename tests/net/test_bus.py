"""The bus over a real nats-server: who is let in, who is believed, what an outage looks like.

What it has in common with its twin is in tests/contracts/test_bus.py.
"""

import asyncio
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from nats.aio.client import Client

from cpods.errors import Unavailable, UsageError
from cpods.net import subjects
from cpods.net.bus import Disconnected, NatsBus, ask_to_join, connect
from cpods.net.certificates import client_context, new_authority
from cpods.net.identity import Federation, new_identity
from cpods.net.natslogin import OUTBOUND_BYTES_MAX
from cpods.net.signing import Signer
from cpods.net.wire import BadMessage
from cpods.ports import Message
from tests.helpers.broker import MEMBERS, Running, flushed, running

FED = "fed"
STEP_A, STEP_B = subjects.step(FED, "a"), subjects.step(FED, "b")

Scenario = Callable[[Running], Awaitable[None]]


def play(folder: Path, scenario: Scenario) -> None:
    """Runs it in a fresh federation with founder, md, a and b, and sees that no task is left."""

    async def all_of_it() -> None:
        async with running(folder, MEMBERS) as federation:
            await scenario(federation)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(all_of_it())


class Told:
    """Sentences in the order in which they came."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, text: str) -> None:
        self._queue.put_nowait(text)

    async def of(self, part: str) -> str:
        """The next sentence with ``part`` in it."""
        while True:
            text = await self._queue.get()
            if part in text:
                return text

    def none(self) -> bool:
        return self._queue.empty()


class Box:
    """A handler that keeps what it gets."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.queue: asyncio.Queue[Message] = asyncio.Queue()
        self._answer = answer

    async def __call__(self, message: Message) -> bytes | None:
        self.queue.put_nowait(message)
        return self._answer

    async def payload(self) -> bytes:
        return (await self.queue.get()).payload


async def raw(federation: Running, member: str) -> Client:
    """A connection with a member's own rights but without our code: what somebody who took over its machine has."""
    client = Client()
    await client.connect(
        federation.url,
        tls=client_context(federation.federation.ca_pem),
        tls_handshake_first=True,
        nkeys_seed_str=federation.identities[member].nkey_seed,
        inbox_prefix=subjects.inbox(member),
        error_cb=_passed_over,
        allow_reconnect=False,
    )
    return client


async def _passed_over(_: Exception) -> None: ...


async def end(client: Client) -> None:
    await flushed(client)
    await client.close()
    await asyncio.sleep(0)


# Who is let in


def test_a_handler_knows_who_sent_it(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        md, a, box = await federation.connect("md"), await federation.connect("a"), Box(b"lease")
        await a.subscribe(STEP_A, box)
        assert await md.request(STEP_A, b"order", 20) == b"lease"
        message = await box.queue.get()
        assert (message.sender, message.subject, message.payload) == ("md", STEP_A, b"order")
        assert message.reply.startswith("_INBOX_md.")
        assert (md.member, md.federation, md.is_connected) == ("md", FED, True)

    play(tmp_path, scenario)


def test_a_broker_of_another_authority(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        home = federation.home("a")
        home.save_federation(Federation(FED, federation.url, federation.federation.founder, new_authority()[1]))
        with pytest.raises(Unavailable, match="has a certificate that is not of fed"):
            await connect(home, timeout=20)

    play(tmp_path, scenario)


def test_an_unknown_key_is_refused_at_once(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        stranger = new_identity("a", FED, "pod")
        bus = NatsBus(stranger, federation.federation, federation.roster)
        started = time.monotonic()
        with pytest.raises(Unavailable, match=r"refuses the key of a: it was revoked, or never was"):
            await bus.open(3600)
        assert time.monotonic() - started < 1800  # It did not go on trying.

    play(tmp_path, scenario)


def test_no_broker_there(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        await federation.broker.stop()
        with pytest.raises(Unavailable, match=rf"at {federation.url} cannot be reached: .*federation start"):
            await federation.connect("a")

    play(tmp_path, scenario)


def test_our_own_broker_is_reached_by_tls_only(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        home = federation.home("a")
        home.save_federation(Federation(FED, federation.url.replace("tls://", "nats://"), federation.federation.founder, ""))
        with pytest.raises(UsageError, match="tls:// only"):
            await connect(home)

    play(tmp_path, scenario)


def test_refused_while_the_broker_reloads_it_tries_again(tmp_path: Path) -> None:
    """A server that reloads refuses whoever is just logging in: once means nothing, neither at first nor when coming back."""

    async def scenario(federation: Running) -> None:
        ended = Told()
        a = await federation.connect("a", on_end=ended, on_alarm=Told())
        members = [member for name, member in federation.roster.members.items() if name != "a"]
        await federation.broker.kill()
        await federation.broker.reload(members)
        await federation.broker.start()
        while not a._link._refusals:
            await asyncio.sleep(0.01)
        first = asyncio.create_task(connect(federation.home("a"), timeout=20))
        await asyncio.sleep(0)
        # Who is refused tries again a limited number of times: meanwhile the server stands still, however long the rest takes.
        federation.stand_still()
        reload = asyncio.create_task(federation.broker.reload(federation.roster.members.values()))
        while not is_pending(federation.broker.pid, signal.SIGHUP):
            await asyncio.sleep(0.01)
        os.kill(federation.broker.pid, signal.SIGCONT)
        await reload
        await a.back()
        await (await first).close()
        assert ended.none()

    play(tmp_path, scenario)


def is_pending(pid: int, number: int) -> bool:
    """Whether a signal waits for a process."""
    found = re.search(r"^ShdPnd:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> number - 1 & 1)


async def pretender(greeting: bytes) -> asyncio.Server:
    """Something at a port that greets like a server of NATS, and says PONG to whatever it is told."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        while await reader.readline():
            writer.write(b"PONG\r\n")
        writer.close()

    return await asyncio.start_server(meet, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("scheme", "greeting", "said"),
    [
        ("nats", b'INFO {"version":"2.9.10","max_payload":1048576}\r\n', r"is NATS 2\.9\.10, cpods needs 2\.10 or newer"),
        ("tls", b'INFO {"version":"2.15.1","max_payload":1048576}\r\n', "does not speak TLS, though its URL says so"),
        ("nats", b"SSH-2.0-OpenSSH_9.2p1\r\n", "empty response from server"),
    ],
    ids=["too old", "without TLS", "no NATS"],
)
def test_an_external_broker_that_will_not_do(scheme: str, greeting: bytes, said: str) -> None:
    async def scenario() -> None:
        identity = new_identity("a", FED, "pod")
        server = await pretender(greeting)
        async with server:
            port = server.sockets[0].getsockname()[1]
            federation = Federation(FED, f"{scheme}://127.0.0.1:{port}", identity.nkey, "", external=True)
            with pytest.raises(Unavailable, match=said):
                await NatsBus(identity, federation, Running(Path(), FED).roster).open(20)

    asyncio.run(scenario())


# Who is not let in any more


def test_revoked_it_is_cut_and_told_and_others_go_on(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        ended, b_told = Told(), Told()
        md = await federation.connect("md")
        a = await federation.connect("a", on_end=ended, on_alarm=Told())
        b = await federation.connect("b", on_end=b_told, on_alarm=b_told)
        silent = Box(None)
        await md.subscribe(subjects.result(FED, "md", "a", "done"), silent)
        for bus, subject in ((a, STEP_A), (b, STEP_B)):
            await bus.subscribe(subject, Box(b"yes"))
        waiting = asyncio.create_task(a.request(subjects.result(FED, "md", "a", "done"), b"", 3600))
        await silent.payload()
        await federation.revoke("a")
        assert (await ended.of("revoked")).startswith("revoked: the broker of fed refuses the key of a")
        with pytest.raises(Unavailable):
            await waiting
        with pytest.raises(Unavailable, match="revoked"):
            await a.publish(subjects.status(FED, "a"), b"")
        assert not a.is_connected
        with pytest.raises(Unavailable, match="nobody listens"):
            await md.request(STEP_A, b"", 3600)
        assert await md.request(STEP_B, b"", 20) == b"yes"
        assert b.is_connected and b_told.none()
        with pytest.raises(Unavailable, match="revoked"):
            await federation.connect("a")

    play(tmp_path, scenario)


def test_a_message_of_who_was_revoked_meanwhile_is_refused(tmp_path: Path) -> None:
    """As on a broker of somebody else, that still lets it in."""

    async def scenario(federation: Running) -> None:
        told, box = Told(), Box()
        md, a = await federation.connect("md", on_alarm=told), await federation.connect("a")
        await md.subscribe(subjects.statuses(FED), box)
        await a.publish(subjects.status(FED, "a"), b"1")
        assert await box.payload() == b"1"
        md.update_roster(federation.roster.without("a"))
        await a.publish(subjects.status(FED, "a"), b"2")
        assert "is from a, who was revoked from fed" in await told.of("revoked")
        md.update_roster(federation.roster)  # An older one changes nothing.
        await a.publish(subjects.status(FED, "a"), b"3")
        await told.of("revoked")
        assert box.queue.empty()

    play(tmp_path, scenario)


def test_who_is_not_in_a_new_roster_ends(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        ended = Told()
        a = await federation.connect("a", on_end=ended)
        a.update_roster(federation.roster.without("a"))
        assert await ended.of("revoked: a is a member of fed no longer")
        with pytest.raises(Unavailable, match="revoked"):
            await a.request(STEP_B, b"", 20)

    play(tmp_path, scenario)


def test_a_new_member_gets_in_and_nobody_notices(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        told = Told()
        md = await federation.connect("md", on_alarm=told)
        await federation.admit("c", "pod")
        c = await federation.connect("c")
        await c.subscribe(subjects.step(FED, "c"), Box(b"here"))
        assert await md.request(subjects.step(FED, "c"), b"", 20) == b"here"
        assert told.none()

    play(tmp_path, scenario)


# What a member may not do


def test_a_pod_hears_nothing_that_is_for_another(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        a = await federation.connect("a")
        for subject in (f"{subjects.inbox('md')}.>", f"{subjects.inbox('b')}.>", STEP_B, f"cpods.{FED}.pod.*.step", "_INBOX.>", ">"):
            with pytest.raises(Unavailable, match="a may not listen to"):
                await a.subscribe(subject, Box())
        await a.subscribe(STEP_A, Box())

    play(tmp_path, scenario)


def test_a_pod_may_not_speak_as_another(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        told, box = Told(), Box(b"yes")
        a = await federation.connect("a", on_alarm=told)
        await (await federation.connect("b")).subscribe(STEP_B, box)
        with pytest.raises(Unavailable, match="a may not send to cpods.fed.pod.b.step"):
            await a.request(STEP_B, b"forged", 3600)
        await a.publish(subjects.status(FED, "b"), b"forged")
        await told.of("may not send to cpods.fed.status.b")
        with pytest.raises(Unavailable, match="may not send"):
            await a.kept.put_status("a", b"forged")
        with pytest.raises(Unavailable, match="may not send"):
            await a.kept.owners()
        assert box.queue.empty()

    play(tmp_path, scenario)


def test_steps_by_reply_and_by_deliver_subject_are_not_obeyed(tmp_path: Path) -> None:
    """NETWORK: permissions alone do not keep a pod from having the broker, or a MajorDomo, send to another's step subject.

    The forged message arrives, and is refused because nobody signed it for that subject.
    """

    async def scenario(federation: Running) -> None:
        founder, told, md_told, box, events = await federation.connect("founder"), Told(), Told(), Box(b"lease"), Box(b"echo")
        await founder.kept.prepare()
        b = await federation.connect("b", on_alarm=told)
        md = await federation.connect("md", on_alarm=md_told)
        await b.subscribe(STEP_B, box)
        await md.subscribe(f"cpods.{FED}.event.*", events)
        thief = await raw(federation, "a")
        event, seal = subjects.event(FED, "a"), Signer(federation.identities["a"].nkey_seed).seal

        # An event whose reply is the victim's subject: the MajorDomo does not answer it, the stream's answer is no order.
        await thief.publish(event, seal(FED, event, b"forged"), reply=STEP_B)
        await md_told.of("wants its answer sent to cpods.fed.pod.b.step")
        await told.of("no sealed message")
        assert events.queue.empty()

        # The broker's own services, with the rights of a MajorDomo (a pod has none): a stored value fetched with a reply subject,
        strong = await raw(federation, "md")
        key = "$KV.cpods-fed-owners.x"
        await strong.request(key, b"forged", timeout=20)
        await strong.publish(f"$JS.API.DIRECT.GET.KV_cpods-fed-owners.{key}", b"", reply=STEP_B)
        await told.of("no sealed message")
        await strong.request(key, seal(FED, STEP_B, b"forged"), timeout=20)
        await strong.publish(f"$JS.API.DIRECT.GET.KV_cpods-fed-owners.{key}", b"", reply=STEP_B)
        assert "is from a: a pod commands no pod" in await told.of("pod.b.step")
        # and a consumer of the events that delivers to the victim.
        await strong.jetstream().add_consumer("cpods-fed-events", deliver_subject=STEP_B, ack_policy="none")
        assert await told.of("a message for cpods.fed.event.a was delivered to cpods.fed.pod.b.step")

        # The pod has not even these rights: nothing comes of it.
        await thief.publish(f"$JS.API.DIRECT.GET.KV_cpods-fed-owners.{key}", b"", reply=STEP_B)
        await end(thief)
        await end(strong)
        assert await md.request(STEP_B, b"true", 20) == b"lease"
        assert [await box.payload(), box.queue.empty(), told.none()] == [b"true", True, True]

    play(tmp_path, scenario)


def test_sent_again_on_another_subject_it_is_refused(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        told, box = Told(), Box()
        b = await federation.connect("b", on_alarm=told)
        await b.subscribe(f"cpods.{FED}.pod.b.>", box)
        strong = await raw(federation, "md")
        order = Signer(federation.identities["md"].nkey_seed).seal(FED, STEP_A, b"order for a")
        await strong.publish(STEP_B, order)
        assert f"a message for '{STEP_A}' came on {STEP_B}" in await told.of(STEP_B)
        await strong.publish(STEP_B, order[:-1] + bytes([order[-1] ^ 1]))
        await told.of("came on")
        other = Signer(federation.identities["md"].nkey_seed).seal("other", STEP_B, b"order of another federation")
        await strong.publish(STEP_B, other)
        assert "federation 'other'" in await told.of(STEP_B)
        stranger = Signer(new_identity("md", FED, "majordomo").nkey_seed).seal(FED, STEP_B, b"order of a stranger")
        await strong.publish(STEP_B, stranger)
        assert "who is not a member of fed" in await told.of(STEP_B)
        await end(strong)
        assert box.queue.empty()

    play(tmp_path, scenario)


def test_an_answer_is_believed_from_whom_was_asked_only(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        founder, md = await federation.connect("founder"), await federation.connect("md")
        await founder.subscribe(STEP_A, Box(b"I am a"))
        with pytest.raises(BadMessage, match="founder answered what was asked of cpods.fed.pod.a.step"):
            await md.request(STEP_A, b"", 20)
        liar = await raw(federation, "a")

        async def unsealed(message: object) -> None:
            await message.respond(b"trust me")  # type: ignore[attr-defined]

        await liar.subscribe(subjects.ask(FED, "a"), cb=unsealed)
        await flushed(liar)
        with pytest.raises(BadMessage, match="no sealed message"):
            await md.request(subjects.ask(FED, "a"), b"", 20)
        await end(liar)

    play(tmp_path, scenario)


# Those who want to become members


def test_a_guest_asks_to_join(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        founder, box, guest = await federation.connect("founder"), Box(b"welcome"), new_identity("c", FED, "pod")
        with pytest.raises(Unavailable, match="refuses the key of this invitation"):
            await ask_to_join(federation.federation, guest.nkey_seed, b"me", 20)
        federation.guests = (guest.nkey,)
        await federation.broker.reload(federation.roster.members.values(), federation.guests)
        with pytest.raises(Unavailable, match="steward of fed does not run"):
            await ask_to_join(federation.federation, guest.nkey_seed, b"me", 20)
        unsubscribe = await founder.answer_guests(box)
        assert await ask_to_join(federation.federation, guest.nkey_seed, b"me", 20) == b"welcome"
        message = await box.queue.get()
        assert (message.payload, message.sender) == (b"me", "")
        await unsubscribe()

    play(tmp_path, scenario)


def test_a_guest_may_do_nothing_else_and_its_answer_goes_nowhere_else(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        told, b_told, box = Told(), Told(), Box(b"an order from the founder")
        founder, b = await federation.connect("founder", on_alarm=told), await federation.connect("b", on_alarm=b_told)
        federation.identities["guest"] = guest = new_identity("guest", FED, "pod")
        await federation.broker.reload(federation.roster.members.values(), [guest.nkey])
        await founder.answer_guests(box)
        await b.subscribe(STEP_B, box)
        client = await raw(federation, "guest")
        for reply in (STEP_B, f"{subjects.inbox('b')}.x", f"_INBOX_{'U' * 56}.x", ""):
            await client.publish(subjects.join(FED), b"me", reply=reply)
            await told.of(f"sent to {reply or 'nowhere'}")
        await client.publish(STEP_B, b"order")
        await client.publish(subjects.steward(FED), b"question")
        await end(client)
        assert box.queue.empty() and b_told.none()

    play(tmp_path, scenario)


# Outages


def test_the_broker_is_killed_and_comes_back(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        founder, md_told = await federation.connect("founder"), Told()
        md, a = await federation.connect("md", on_alarm=md_told), await federation.connect("a", on_alarm=Told())
        await founder.kept.prepare()
        await md.kept.put_owner("0123", b"a owns it")
        silent = Box(None)
        await a.subscribe(STEP_A, Box(b"lease"))
        await a.subscribe(subjects.ask(FED, "a"), silent)
        assert await md.request(STEP_A, b"", 20) == b"lease"
        in_flight = asyncio.create_task(md.request(subjects.ask(FED, "a"), b"", 3600))
        await silent.payload()
        await federation.broker.kill()
        with pytest.raises(Disconnected, match="broke, the answer did not come"):
            await in_flight
        with pytest.raises(Disconnected, match=f"{federation.url} is away; trying to reach it again"):
            await md.request(STEP_A, b"", 3600)
        with pytest.raises(Disconnected):
            await md.kept.owner("0123")
        await md_told.of("trying again")
        assert not md.is_connected
        await federation.broker.start()
        for bus in (md, a, founder):
            await bus.back()
        assert await md.request(STEP_A, b"", 20) == b"lease"
        assert await md.kept.owner("0123") == b"a owns it"
        await founder.kept.prepare()
        assert await md.kept.owners() == {"0123": b"a owns it"}

    play(tmp_path, scenario)


def test_while_the_broker_is_away_publishing_waits_up_to_a_limit(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        told, box = Told(), Box()
        founder, a = await federation.connect("founder", on_alarm=Told()), await federation.connect("a", on_alarm=told)
        await founder.subscribe(subjects.statuses(FED), box)
        await federation.broker.kill()
        await told.of("trying again")
        size, sent = 64 << 10, 0
        with pytest.raises(Disconnected, match="2 MiB wait to be sent already"):
            for number in range(100):
                await a.publish(subjects.status(FED, "a"), b"%d" % number + bytes(size))
                sent += 1
        assert 0 < sent * size < OUTBOUND_BYTES_MAX
        await federation.broker.start()
        await founder.back()
        await a.back()
        await a.publish(subjects.status(FED, "a"), b"again")
        # What waited goes out after the reconnection, and may have been before the listener was back: none comes twice or late.
        numbers = []
        while (payload := await box.payload()) != b"again":
            numbers.append(int(payload.rstrip(b"\0")))
        assert numbers == sorted(set(numbers))

    play(tmp_path, scenario)


def test_revoked_while_the_broker_was_away(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        ended = Told()
        a = await federation.connect("a", on_end=ended, on_alarm=Told())
        await federation.broker.kill()
        await federation.revoke("a")
        await federation.broker.start()
        assert await ended.of("revoked: the broker of fed refuses the key of a")
        with pytest.raises(Unavailable, match="revoked"):
            await a.back()

    play(tmp_path, scenario)


def test_a_broker_that_comes_back_as_another_is_not_trusted(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        told = Told()
        a = await federation.connect("a", on_alarm=told)
        await federation.broker.kill()
        for name in ("ca.pem", "ca.key"):
            (Path(federation.home("founder").founder_folder) / "broker" / name).unlink()
        await federation.broker.start()
        with pytest.raises(Unavailable, match="has a certificate that is not of fed"):
            await federation.connect("b")
        assert not a.is_connected
        await a.close()

    play(tmp_path, scenario)


def test_a_broker_that_hangs(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        md, a = await federation.connect("md"), await federation.connect("a")
        await a.subscribe(STEP_A, Box(b"lease"))
        federation.stand_still()
        with pytest.raises(TimeoutError):
            await md.request(STEP_A, b"", 0.05)
        with pytest.raises(Unavailable, match="does not answer in time"):
            await federation.connect("b", timeout=0.2)
        os.kill(federation.broker.pid, signal.SIGCONT)
        assert await md.request(STEP_A, b"", 20) == b"lease"

    play(tmp_path, scenario)


def test_a_message_that_is_too_long(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        a = await federation.connect("a")
        with pytest.raises(Unavailable, match="too long for the broker"):
            await a.publish(subjects.status(FED, "a"), bytes(2 << 20))
        assert a.is_connected

    play(tmp_path, scenario)


def test_closed_while_the_broker_is_away(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        told = Told()
        a = await federation.connect("a", on_alarm=told)
        await a.subscribe(STEP_A, Box())
        await federation.broker.kill()
        await told.of("trying again")
        back = asyncio.create_task(a.back())
        await asyncio.sleep(0)
        await a.close()
        with pytest.raises(Unavailable, match="closed"):
            await back

    play(tmp_path, scenario)


# What the broker remembers


def test_statuses_and_owners(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        founder, md = await federation.connect("founder"), await federation.connect("md")
        with pytest.raises(Unavailable):
            await md.kept.statuses()
        await founder.kept.prepare()
        assert (await md.kept.statuses(), await md.kept.owner("01")) == ({}, None)
        await founder.kept.put_status("a", b"ready")
        await founder.kept.put_status("a", b"draining")
        await founder.kept.put_status("b", b"ready")
        assert await md.kept.statuses() == {"a": b"draining", "b": b"ready"}
        await md.kept.put_owner("01", b"a")
        assert await founder.kept.owner("01") == b"a"
        with pytest.raises(Unavailable, match="may not send"):
            await md.kept.put_status("a", b"gone")
        with pytest.raises(ValueError):
            await md.kept.put_owner("a path.tex", b"a")

    play(tmp_path, scenario)


def test_a_value_that_no_member_signed_is_refused(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        founder, md = await federation.connect("founder"), await federation.connect("md")
        await founder.kept.prepare()
        strong = await raw(federation, "md")
        await strong.request("$KV.cpods-fed-owners.01", b"unsigned", timeout=20)
        await end(strong)
        with pytest.raises(BadMessage):
            await md.kept.owner("01")

    play(tmp_path, scenario)


def test_events_from_the_start_and_across_a_restart(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        founder, md, a = [await federation.connect(name, on_alarm=Told()) for name in ("founder", "md", "a")]
        await founder.kept.prepare()
        await md.kept.publish_event(subjects.event(FED, "md"), b"1")
        async with aclosing(md.kept.events(from_start=True)) as all_:
            assert [(one.payload, one.sender, one.reply) async for one in first(all_, 1)] == [(b"1", "md", "")]
            await a.publish(subjects.event(FED, "a"), b"2")  # A pod has no acknowledgement: the stream listens.
            assert (await anext(all_)).payload == b"2"
            await md.kept.publish_event(subjects.event(FED, "md"), b"3")
            assert (await anext(all_)).payload == b"3"
            later = asyncio.create_task(anext(all_))
            await federation.broker.kill()
            await federation.broker.start()
            for bus in (founder, md, a):
                await bus.back()
            await md.kept.publish_event(subjects.event(FED, "md"), b"4")
            assert (await later).payload == b"4"
        async with aclosing(md.kept.events(from_start=True)) as again:
            assert [one.payload async for one in first(again, 4)] == [b"1", b"2", b"3", b"4"]

    play(tmp_path, scenario)


def test_events_from_now_on(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        founder, md = await federation.connect("founder"), await federation.connect("md")
        await founder.kept.prepare()
        await md.kept.publish_event(subjects.event(FED, "md"), b"long ago")
        async with aclosing(founder.kept.events()) as new:
            came, number = asyncio.create_task(anext(new)), 0
            while not came.done():  # It begins to listen some time after it was asked to.
                await md.kept.publish_event(subjects.event(FED, "md"), b"%d" % number)
                number += 1
            begun = int((await came).payload)
            await md.kept.publish_event(subjects.event(FED, "md"), b"the last")
            rest = [one.payload async for one in first(new, number - begun)]
            assert rest == [*(b"%d" % one for one in range(begun + 1, number)), b"the last"]

    play(tmp_path, scenario)


async def first(messages: object, number: int) -> object:
    for _ in range(number):
        yield await anext(messages)  # type: ignore[call-overload]


def test_waiting_for_events_ends_with_the_connection(tmp_path: Path) -> None:
    async def scenario(federation: Running) -> None:
        founder, md = await federation.connect("founder"), await federation.connect("md")
        await founder.kept.prepare()
        events = md.kept.events(from_start=True)
        await founder.kept.publish_event(subjects.event(FED, "founder"), b"1")
        assert (await anext(events)).payload == b"1"
        waiting = asyncio.create_task(anext(events))
        await asyncio.sleep(0)
        await md.close()
        with pytest.raises(Unavailable, match="closed"):
            await waiting

    play(tmp_path, scenario)
