"""One connection to a NATS server: how it is opened and kept, and who waits for what on it.

Knows no seal and no roster: messages are bytes here.
"""

import asyncio
import contextlib
import itertools
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from cpods.errors import Unavailable, UsageError
from cpods.net.natslogin import OUTBOUND_BYTES_MAX, RECONNECT_WAIT, Disconnected, Login, is_refusal
from cpods.net.natsprogram import check_version

Value = TypeVar("Value")

_CLOSE_WITHIN = 3.0
#: A server that reloads its configuration cuts off, or refuses, whoever is just logging in: only so many times mean it.
_TRIES_MAX = 4
_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)

# The client starts TLS on a stream that it has already; asyncio then warns, at every end of a connection, of what cannot matter.
logging.getLogger("asyncio").addFilter(lambda record: "eof_received() has no effect when using ssl" not in record.getMessage())


class NatsLink:
    """A connection. ``on_end`` is called once, with a sentence, if it ends for good without :meth:`close`.

    ``on_alarm`` is told what cannot be raised to anybody. After an outage it reconnects by itself, subscriptions included.
    """

    def __init__(self, login: Login, on_end: Callable[[str], None], on_alarm: Callable[[str], None]) -> None:
        self.login = login
        self.client = Client()
        self.ended = ""
        #: Who waits for something, and the subject it depends on ('$' for the broker's own services).
        self.waiting: dict[asyncio.Future[Any], str] = {}
        #: Called when the connection is back, and when it has ended.
        self.on_change: list[Callable[[], None]] = []
        self.connected = asyncio.Event()
        self._on_end = on_end
        self._on_alarm = on_alarm
        self._lately: Exception | None = None
        self._opened = self._closing = False
        self._refusals = 0
        self._refused: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._opened and not self.ended and bool(self.client.is_connected)

    async def open(self, timeout: float) -> None:
        """Connects. Raises Unavailable, in one sentence, after ``timeout`` seconds at the latest, soon if it is refused."""
        try:
            async with asyncio.timeout(timeout):
                await self._log_in(timeout)
            self._check_server()
            self._opened = True
        except (OSError, errors.Error, TimeoutError, Unavailable) as error:
            raise self.login.sentence(error, self._lately) from None
        finally:
            if not self._opened:
                await self._give_up()
        # It had to fail at once on a refusal; from now on it must not.
        self.client.options.update(allow_reconnect=True, max_reconnect_attempts=-1)
        self.connected.set()

    async def _log_in(self, timeout: float) -> None:
        """The first connection, tried again where the server may only have been reloading."""
        for tries in itertools.count(1):
            try:
                await self.client.connect(**self.login.options(timeout), **self._callbacks())
                return
            except (OSError, errors.Error) as error:
                cause = self._lately if isinstance(error, errors.NoServersError) and self._lately else error
                if tries == _TRIES_MAX or not _may_be_reloading(cause):
                    raise
            await self._give_up()
            self.client, self._lately = Client(), None
            await asyncio.sleep(RECONNECT_WAIT)

    async def close(self) -> None:
        """Ends the connection; whoever waits gets Unavailable. Idempotent."""
        self.ended = self.ended or f"the connection to {self.login.federation} is closed"
        self._closing = True
        self._fail_all(Unavailable(self.ended))
        self._changed()
        await self._drop()
        while self._tasks - {asyncio.current_task()}:
            await asyncio.gather(*self._tasks - {asyncio.current_task()}, return_exceptions=True)

    async def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        """Sends; without a connection it waits in a buffer. Raises Unavailable if that is full, or the connection ended."""
        self.check()
        try:
            await self.client.publish(subject, data, reply=reply)
        except errors.OutboundBufferLimitError:
            raise Disconnected(
                f"the broker at {self.login.url} is away, and {OUTBOUND_BYTES_MAX >> 20} MiB wait to be sent already; "
                f"the message to {subject} is not among them"
            ) from None
        except errors.MaxPayloadError:
            raise Unavailable(f"a message of {len(data)} bytes to {subject} is too long for the broker at {self.login.url}") from None
        except errors.Error as error:
            raise self.login.sentence(error, self._lately) from None

    async def subscribe(self, subject: str, take: Callable[[Msg], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """``take`` gets each message as it comes and must not wait. When this returns the broker knows of it.

        Returns the way to end it. Raises Unavailable if this member may not hear that subject.
        """
        self.check()
        subscription = await self.client.subscribe(subject, cb=take)

        async def unsubscribe() -> None:
            with contextlib.suppress(errors.Error):
                await subscription.unsubscribe()

        await self.sync()
        if subject.lower() in self._refused:
            self._refused.discard(subject.lower())
            await unsubscribe()
            raise Unavailable(f"{self.login.who} may not listen to {subject}")
        return unsubscribe

    async def sync(self) -> None:
        """Waits until the broker has taken all that was sent so far. No-op without a connection."""
        if self.is_connected:
            await self.wait_for(self._flush(), "")

    async def wait_for(self, work: Coroutine[Any, Any, Value], subject: str) -> Value:
        """The value of ``work``; Unavailable at once if the connection breaks meanwhile, or the broker refuses ``subject``."""
        broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting[broken] = subject
        task = asyncio.create_task(work)
        either: set[asyncio.Future[Any]] = {task, broken}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if broken.done():
                broken.result()
            return await task
        except errors.Error as error:
            raise self.login.sentence(error, self._lately) from None
        finally:
            del self.waiting[broken]
            broken.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def back(self) -> None:
        """Waits until there is a connection. Raises Unavailable if it ends for good instead."""
        while not self.connected.is_set():
            self.check()
            with contextlib.suppress(Disconnected):
                await self.wait_for(self.connected.wait(), "")

    def check(self) -> None:
        """Raises Unavailable if this connection has ended for good."""
        if self.ended:
            raise Unavailable(self.ended)

    def end(self, reason: str) -> None:
        """Ends the connection for good, with the sentence that everybody gets from now on. Not for the orderly end."""
        if self.ended:
            return
        self.ended = reason
        self._fail_all(Unavailable(reason))
        self._changed()
        loop = asyncio.get_running_loop()
        loop.call_soon(self._on_end, reason)
        task = loop.create_task(self._drop(), name="dropping a connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def down(self) -> Disconnected:
        """The error for who needs a connection now."""
        return Disconnected(f"the broker of {self.login.federation} at {self.login.url} is away; trying to reach it again")

    def _callbacks(self) -> dict[str, Any]:
        return {
            "error_cb": self._error,
            "disconnected_cb": self._disconnected,
            "reconnected_cb": self._reconnected,
            "closed_cb": self._closed,
        }

    def _check_server(self) -> None:
        """A server that is too old, or that goes on without TLS though the URL says so, is none. Raises Unavailable."""
        said = self.client._server_info
        if self.login.url.startswith("tls://") and not said.get("tls_required"):
            raise Unavailable(f"the broker at {self.login.url} does not speak TLS, though its URL says so")
        try:
            check_version(str(said.get("version", "")), f"the broker at {self.login.url}")
        except UsageError as error:
            raise Unavailable(str(error)) from None

    async def _flush(self) -> None:
        # The client's flush sends its ping past what waits to be sent: that first.
        await self.client._flush_pending(force_flush=True)
        if self.is_connected:  # It swallows being cancelled.
            await self.client.flush()

    async def _give_up(self) -> None:
        """After a connection that did not come about."""
        transport: Any = self.client._transport
        if transport is not None and self.login.context is not None and transport._io_writer is transport._bare_io_writer:
            # TLS did not come about: the client would wait for ever for the end of what has ended.
            transport.close()
            self.client._transport = None
        await self._drop()

    async def _drop(self) -> None:
        tasks = [self.client._reading_task, self.client._ping_interval_task, self.client._flusher_task]
        with contextlib.suppress(OSError, errors.Error, AssertionError, TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN):  # It waits for ever if TLS failed when it tried to connect again.
                await self.client.close()
        # The client cancels its tasks and does not wait for them.
        await asyncio.gather(*(one for one in tasks if one and one is not asyncio.current_task()), return_exceptions=True)

    def _changed(self) -> None:
        for call in list(self.on_change):
            call()

    def _fail_all(self, error: Unavailable) -> None:
        for waiting in self.waiting:
            if not waiting.done():
                waiting.set_exception(error)

    async def _error(self, error: Exception) -> None:
        """Called by the client for whatever it cannot raise."""
        self._lately = error
        violation = _VIOLATION.search(str(error))
        if violation:
            self._violation(violation[1].lower(), violation[2].lower())
        elif is_refusal(error) and self._opened:
            self._refusals += 1
            if self._refusals == _TRIES_MAX:
                self.end(self.login.revoked())
        elif isinstance(error, errors.SlowConsumerError):
            self._on_alarm(f"messages come faster than they are handled, one to {error.subject} is lost")

    def _violation(self, verb: str, subject: str) -> None:
        """The broker tells subjects in lower case."""
        if verb == "subscription":
            self._refused.add(subject)
            return
        concerned = [
            one for one, depends in self.waiting.items() if depends.lower() == subject or (depends == "$" and subject.startswith("$"))
        ]
        for one in concerned:
            if not one.done():
                one.set_exception(Unavailable(f"{self.login.who} may not send to {subject}: the broker refused it"))
        if not concerned:
            self._on_alarm(f"{self.login.who} may not send to {subject}: the broker refused it")

    async def _disconnected(self) -> None:
        self.connected.clear()
        if self._opened and not self._closing and not self.ended:
            self._on_alarm(f"the connection to the broker at {self.login.url} broke; trying again")
        self._fail_all(Disconnected(f"the connection to the broker at {self.login.url} broke, the answer did not come"))

    async def _reconnected(self) -> None:
        try:
            self._check_server()
        except Unavailable as error:
            self.end(str(error))
            return
        self._refusals = 0
        self.connected.set()
        self._changed()

    async def _closed(self) -> None:
        """The client gave up by itself: after a refusal, or because of a mistake of its own."""
        if self._opened and not self._closing and not self.ended:
            error = self.client.last_error
            refused = error is not None and is_refusal(error)
            self.end(self.login.revoked() if refused else f"the connection to the broker at {self.login.url} ended: {error}")


def _may_be_reloading(error: Exception) -> bool:
    """Whether a server that reloads its configuration would fail who logs in just then in this way."""
    cut = isinstance(error, ConnectionError | ssl.SSLEOFError) and not isinstance(error, ConnectionRefusedError)
    return cut or is_refusal(error)
