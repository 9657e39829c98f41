"""The bus over NATS: messages sealed by who sends them, and opened, checked against the roster, by who gets them.

Knows no message's meaning and no process; the broker is wherever its URL says.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from nats.aio.msg import Msg

from cpods.errors import Unavailable, UsageError
from cpods.net import nkeypair, rights, subjects
from cpods.net.certificates import client_context
from cpods.net.identity import Federation, Home, Identity
from cpods.net.kept import Kept
from cpods.net.natslink import NatsLink
from cpods.net.natslogin import Disconnected, Login
from cpods.net.roster import Roster
from cpods.net.signing import Signer, open_sealed
from cpods.net.subscription import Handler, Subscription, tell
from cpods.net.wire import BadMessage
from cpods.ports import Message

__all__ = ["Disconnected", "NatsBus", "ask_to_join", "connect"]

_NO_RESPONDERS = "503"


async def connect(
    home: Home,
    on_end: Callable[[str], None] | None = None,
    on_alarm: Callable[[str], None] | None = None,
    timeout: float = 5.0,
    credentials: str = "",
) -> "NatsBus":
    """A member's bus. ``credentials``: path of a .creds file for an external broker that wants one (default: the home's).

    ``on_end`` is called, once and with a sentence, if the connection ends for good without close(): "revoked: ..." if this
    member is one no longer. ``on_alarm`` gets a sentence for each message that is refused or lost, and for a connection that
    broke; without it they go to the loop's exception handler. Raises Unavailable in one sentence: not reachable, not this
    federation's certificate, key refused, server too old.
    """
    bus = NatsBus(home.identity, home.federation, home.roster, on_end, on_alarm, credentials or home.credentials)
    await bus.open(timeout)
    return bus


class NatsBus:
    """A member's connection to its federation (:class:`cpods.ports.Bus`); see :func:`connect`.

    What it hands to handlers was signed by a present member, who may speak on that subject, for exactly that subject, and has
    a reply subject only in the sender's own inbox. ``kept``: the broker's memory, for founder and MajorDomos.
    """

    def __init__(
        self,
        identity: Identity,
        federation: Federation,
        roster: Roster,
        on_end: Callable[[str], None] | None = None,
        on_alarm: Callable[[str], None] | None = None,
        credentials: str = "",
    ) -> None:
        self.federation = federation.name
        self.member = identity.name
        self.roster = roster
        self._signer = Signer(identity.nkey_seed)
        self._on_alarm = on_alarm
        self._own: dict[Subscription, None] = {}
        #: Open requests by their reply subject: (the future answer, where the request went).
        self._asked: dict[str, tuple[asyncio.Future[bytes], str]] = {}
        self._inbox = f"{subjects.inbox(identity.name)}.{secrets.token_hex(8)}"
        self._number = 0
        self._link = NatsLink(_login(identity, federation, credentials), on_end or self.alarm, self.alarm)
        self.kept = Kept(self._link, self.federation, self._seal, self.opened, self.alarm)

    @property
    def is_connected(self) -> bool:
        """Whether the broker is there now: tells a dead broker from a dead pod."""
        return self._link.is_connected

    async def back(self) -> None:
        """Waits until the broker is there again, subscriptions included. Raises Unavailable if the connection ends instead."""
        await self._link.back()

    async def open(self, timeout: float) -> None:
        """Connects; see :func:`connect`, which calls it."""
        await self._link.open(timeout)
        try:
            await self._link.subscribe(f"{self._inbox}.*", self._answered)
        except BaseException:
            await self._link.close()
            raise

    async def publish(self, subject: str, payload: bytes) -> None:
        """As in the port; ``subject`` may be a message's reply, to answer it later. While the broker is away up to 2 MiB wait.

        Raises Unavailable beyond that. That this member may not send there is known only later: ``on_alarm`` is told.
        """
        self._check(subject, subjects.is_subject(subject))
        await self._link.publish(subject, self._seal(subject, payload))

    async def request(self, subject: str, payload: bytes, timeout: float) -> bytes:
        """As in the port. Only whom the subject names is believed: a pod for its own, the founder for the steward's.

        Raises Unavailable at once also if this member may not send there, or the answer is not that of a present member
        (BadMessage), or the broker is or goes away (Disconnected: then nobody knows whether it arrived).
        """
        self._check(subject, subjects.is_subject(subject))
        if not self.is_connected:
            raise self._link.down()
        self._number += 1
        reply = f"{self._inbox}.{self._number}"
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[reply] = answer, subject
        self._link.waiting[answer] = subject
        try:
            async with asyncio.timeout(timeout):
                await self._link.publish(subject, self._seal(subject, payload), reply)
                return await answer
        finally:
            del self._asked[reply], self._link.waiting[answer]
            if answer.done() and not answer.cancelled():
                answer.exception()  # Seen; if time was up in the same moment nobody else looks.

    async def subscribe(self, subject: str, handler: Handler) -> Callable[[], Awaitable[None]]:
        """As in the port; the broker knows of it when this returns. One message at a time, in order.

        What a handler raises goes to the loop's exception handler. Raises Unavailable if this member may not listen there.
        """
        return await self._subscribed(subject, handler, self.opened)

    async def answer_guests(self, handler: Handler) -> Callable[[], Awaitable[None]]:
        """Steward only: ``handler`` gets what those send who ask to join (:func:`ask_to_join`).

        Nobody's signature is checked, ``sender`` is '': the message must prove itself. Only a guest's inbox is answered.
        """
        return await self._subscribed(subjects.join(self.federation), handler, _from_guest)

    def update_roster(self, roster: Roster) -> None:
        """Who is a member from now on; an older roster is passed over. Ends the connection if this member is one no longer."""
        self.roster = self.roster.newest(roster)
        if self.member not in self.roster.active():
            self._link.end(f"revoked: {self.member} is a member of {self.federation} no longer")

    async def close(self) -> None:
        """Ends this member's subscriptions, known to the broker when it returns, and its waiting requests. Idempotent."""
        while self._own:
            await self._own.popitem()[0].end()
        if not self._link.ended:
            with contextlib.suppress(Unavailable):  # If it breaks in this moment the broker knows.
                await self._link.sync()
        await self._link.close()

    def opened(self, message: Msg, pattern: str) -> Message:
        """The sealed message that came to a subscription. Raises BadMessage if it is not to be believed."""
        subject = str(message.subject)
        if not subjects.matches(pattern, subject):
            # A consumer of the broker can deliver what was signed for one subject to another.
            raise BadMessage(f"a message for {subject} was delivered to {pattern}: it is refused")
        sender, payload = open_sealed(message.data, subject, self.federation, self.roster)
        wrong = rights.fault(subject, self.federation, sender, self.roster.members[sender].role)
        if wrong:
            raise BadMessage(f"a message on {subject} is from {sender}: {wrong}")
        reply = str(message.reply or "")
        if reply and not reply.startswith(subjects.inbox(sender) + "."):
            raise BadMessage(f"a message on {subject} from {sender} wants its answer sent to {reply}, not to its inbox: it is refused")
        return Message(subject, payload, reply, sender)

    def alarm(self, text: str) -> None:
        """Tells what nobody can be told by an exception."""
        if self._on_alarm is not None:
            self._on_alarm(text)
        else:
            tell(text)

    async def _subscribed(self, subject: str, handler: Handler, opening: Callable[[Msg, str], Message]) -> Callable[[], Awaitable[None]]:
        self._check(subject, subjects.is_pattern(subject))
        subscription = Subscription(subject, handler, opening, self._answer, self.alarm)
        self._own[subscription] = None
        try:
            subscription.leave = await self._link.subscribe(subject, subscription.take)
        except BaseException:
            self._own.pop(subscription, None)
            await subscription.end()
            raise

        async def unsubscribe() -> None:
            if subscription in self._own:
                del self._own[subscription]
                await subscription.end()
                if not self._link.ended:
                    await self._link.sync()

        return unsubscribe

    async def _answer(self, message: Message, payload: bytes) -> None:
        """A guest is no member and has no roster: what it gets proves itself."""
        await self._link.publish(message.reply, self._seal(message.reply, payload) if message.sender else payload)

    def _seal(self, subject: str, payload: bytes) -> bytes:
        return self._signer.seal(self.federation, subject, payload)

    async def _answered(self, message: Msg) -> None:
        answer, subject = self._asked.get(message.subject, (None, ""))
        if answer is None or answer.done():
            return
        if message.headers and message.headers.get("Status") == _NO_RESPONDERS:
            answer.set_exception(Unavailable(f"nobody listens to {subject}: the pod is not running or not connected"))
            return
        try:
            answer.set_result(self._believed(message, subject))
        except BadMessage as error:
            answer.set_exception(error)

    def _believed(self, message: Msg, asked: str) -> bytes:
        """The answer in a message. Raises BadMessage unless it is signed by who alone may answer there."""
        sender, payload = open_sealed(message.data, message.subject, self.federation, self.roster)
        name, role = rights.answerer(asked)
        if (name and sender != name) or (role and self.roster.members[sender].role != role):
            raise BadMessage(f"{sender} answered what was asked of {asked}: it is refused")
        return payload

    def _check(self, subject: str, valid: bool) -> None:
        self._link.check()
        if not valid:
            raise ValueError(f"not a subject: {subject!r}")


async def ask_to_join(federation: Federation, seed: str, payload: bytes, timeout: float, credentials: str = "") -> bytes:
    """Sends a request to join with an invitation's one-time key; the steward's answer, which is not sealed.

    Raises Unavailable: as :func:`connect`, or nobody listens; TimeoutError.
    """
    nkey = Signer(seed).public
    login = _plain_login(federation, "this invitation", subjects.inbox(nkey), seed, credentials)
    link = NatsLink(login, _ignored, _ignored)
    await link.open(timeout)
    try:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        link.waiting[answer] = subjects.join(federation.name)

        async def take(message: Msg) -> None:
            nobody = message.headers and message.headers.get("Status") == _NO_RESPONDERS
            if not answer.done() and nobody:
                answer.set_exception(Unavailable(f"the steward of {federation.name} does not run; `cpods federation start` there"))
            elif not answer.done():
                answer.set_result(message.data)

        inbox = f"{subjects.inbox(nkey)}.{secrets.token_hex(8)}"
        await link.subscribe(inbox, take)
        async with asyncio.timeout(timeout):
            await link.publish(subjects.join(federation.name), payload, inbox)
            return await answer
    finally:
        await link.close()


def _from_guest(message: Msg, pattern: str) -> Message:
    """Raises BadMessage unless the answer goes to the inbox of a key: never to a member's, never to a subject of ours."""
    subject, reply = str(message.subject), str(message.reply or "")
    prefix, _, key = reply.partition(".")[0].rpartition("_")
    try:
        nkeypair.public_bytes(key)
        if subject == pattern and f"{prefix}_{key}" == subjects.inbox(key):
            return Message(subject, message.data, reply)
    except ValueError:
        pass
    raise BadMessage(f"somebody asks to join and wants the answer sent to {reply or 'nowhere'}: it is refused")


def _login(identity: Identity, federation: Federation, credentials: str) -> Login:
    return _plain_login(federation, identity.name, subjects.inbox(identity.name), identity.nkey_seed, credentials)


def _plain_login(federation: Federation, who: str, inbox: str, seed: str, credentials: str) -> Login:
    secure = federation.broker.startswith("tls://")
    if not secure and not federation.external:
        raise UsageError(f"the broker of {federation.name} is at {federation.broker}; one of our own is reached by tls:// only")
    context = client_context(federation.ca_pem) if secure else None
    return Login(federation.broker, who, federation.name, inbox, context, not federation.external, seed, credentials)


def _ignored(_: Any) -> None:
    """Whoever asks only once hears of everything by its exception."""
