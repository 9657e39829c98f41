"""The preview of a watched build: PDF and HTML goals on loopback, told what the build says.

Knows no build. The parts: addresses (routes), goals' versions (pdfgoal, htmlgoal), how things stand (standing), open pages (audience).
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Sequence

import msgspec

from cpods.errors import UsageError
from cpods.preview import drawer, exchange
from cpods.preview.audience import Audience
from cpods.preview.drawer import CannotDraw, Drawer
from cpods.preview.exchange import Refused, Response
from cpods.preview.htmlgoal import HtmlGoal
from cpods.preview.pdfgoal import PdfGoal
from cpods.preview.routes import Routes
from cpods.preview.standing import Complaint, Fault, Standing

_ADDRESS = "127.0.0.1"

#: Requests at the same time; more are turned away. A browser has six.
_CONNECTIONS_MAX = 128

#: A request's head is sent at once.
_HEAD_SECONDS_MAX = 10.0

_SUFFIXES = {".pdf": "pdf", ".html": "html", ".htm": "html"}


class Preview:
    """Serves goals to browsers on this machine. Use from one event loop, all calls but ``start`` and ``close`` return at once."""

    def __init__(self, root: str, goals: Sequence[str], port: int = 0) -> None:
        """``goals``: project paths of PDF and HTML products below ``root``; ``port`` 0: a free one. Raises UsageError."""
        if not goals:
            raise UsageError("a preview needs a .pdf or .html goal; name one")
        self._port = port
        self._drawer = Drawer() if drawer.can_draw() else None
        root = os.path.abspath(root)
        self._goals = [self._goal(root, goal) for goal in goals]
        self._token = secrets.token_urlsafe(16)
        self._routes = Routes(self._token, self._goals)
        self._standing = Standing()
        self._audience = Audience(self._state)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._look_again = False

    async def start(self) -> str:
        """Binds a port of the loopback address and takes what is there as the first version; the URL. UsageError: the port is taken."""
        try:
            self._server = await asyncio.start_server(self._connected, _ADDRESS, self._port, limit=exchange.HEAD_BYTES_MAX)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"{_ADDRESS}:{self._port}: the preview cannot listen there ({error}); choose another port, or 0 for a free one"
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]
        await self._look()
        return f"http://{_ADDRESS}:{self._port}/{self._token}/"

    def built(self, problems: Sequence[Complaint] = ()) -> None:
        """A build has been published: looks at the files, then tells open pages. Ends what ``building`` and ``broken`` said.

        ``problems``: of a circle that is not at rest yet, what the last pass complained about.
        """
        self._standing.built()
        if problems:
            self._standing.broken(problems)
        self._look_again = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._look_until_seen())

    def building(self) -> None:
        """A build goes on: a small sign, nothing else changes."""
        self._standing.building()
        self._audience.tell()

    def broken(self, problems: Sequence[Complaint]) -> None:
        """The build ended with these: shown over the last good page until ``built``. None: see the terminal."""
        self._standing.broken(problems)
        self._audience.tell()

    async def close(self) -> None:
        """Tells open pages that it ends; they keep what they show. Frees the port, ends the drawing process."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        self._audience.dismiss()
        if self._connections:
            await asyncio.wait(self._connections, timeout=1.0)
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        for goal in self._goals:
            await goal.close()
        if self._drawer is not None:
            await self._drawer.close()

    def _goal(self, root: str, name: str) -> PdfGoal | HtmlGoal:
        kind = _SUFFIXES.get(os.path.splitext(name)[1].lower())
        if kind is None:
            raise UsageError(f"{name}: a preview shows .pdf and .html goals; leave it out, or name such a goal")
        if os.path.isabs(name) or os.path.normpath(name).startswith(".."):
            raise UsageError(f"{name}: a preview shows goals of the project; name one by its path below {root}")
        return PdfGoal(root, name, self._drawer) if kind == "pdf" else HtmlGoal(root, name)

    async def _look_until_seen(self) -> None:
        while self._look_again:
            self._look_again = False
            await self._look()
            self._audience.tell()

    async def _look(self) -> None:
        faults: list[Fault] = []
        for goal in self._goals:
            try:
                await goal.look()
            except (CannotDraw, OSError) as error:
                sentence = f"this file cannot be shown ({error}); what is shown is the last good version"
                faults.append(Fault(sentence, goal.name))
        self._standing.faults = tuple(faults)

    def _state(self) -> bytes:
        goals = [{"name": goal.name, "kind": goal.kind, "version": goal.version, "address": goal.address} for goal in self._goals]
        note = "" if self._drawer else drawer.INSTALL_SENTENCE
        return msgspec.json.encode({"goals": goals, "note": note, **self._standing.told()})

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            # A browser that goes away in the middle of an answer is nothing to tell anybody.
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                await self._serve(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method = ""
        try:
            if len(self._connections) > _CONNECTIONS_MAX:
                raise Refused(503, "too many requests at a time")
            request = await asyncio.wait_for(exchange.receive(reader, self._port), _HEAD_SECONDS_MAX)
            method = request.method
            if self._routes.asks_for_events(request) and method == "GET":
                await self._audience.attend(reader, writer)
                return
            response = await self._routes.respond(request, lambda: not reader.at_eof())
        except Refused as refusal:
            response = Response(refusal.status, body=f"{refusal}\n".encode())
        except CannotDraw as error:
            response = Response(500, body=f"this page cannot be drawn ({error}); the PDF itself may show it\n".encode())
        await exchange.send(writer, response, head_only=method == "HEAD")
