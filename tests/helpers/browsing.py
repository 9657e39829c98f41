"""What a browser does with a preview, over real connections: requests, and listening to its events.

Knows no parts of the preview but its front.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cpods.preview.server import Preview

#: A loopback answer that takes longer does not come.
SECONDS_MAX = 20.0


class Reply:
    """A whole response. ``headers``: names in lower case."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1]) if first else 0
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


class Browser:
    """``url``: as ``Preview.start`` gave it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None and parts.port is not None
        self.host, self.port, self.base = parts.hostname, parts.port, parts.path

    async def get(self, path: str = "", **headers: str) -> Reply:
        """GET of a path below the token."""
        return await self.send("GET", self.base + path, **headers)

    async def send(self, method: str, target: str, **headers: str) -> Reply:
        """Any request line; Host as a browser has it, if not said."""
        headers = {"Host": f"{self.host}:{self.port}", **headers}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return Reply(await self.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"))

    async def raw(self, request: bytes) -> bytes:
        """All that comes back."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), SECONDS_MAX)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Events"]:
        """The stream of events, until the block is left."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(f"GET {self.base}events HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n\r\n".encode())
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS_MAX)
            assert b"200 OK" in head and b"text/event-stream" in head
            yield Events(reader)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class Events:
    """Server-sent events as they come."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def next(self) -> tuple[str, Any]:
        """The next one's name and value; ("", None) when the stream ends."""
        name, value = "", None
        while line := await asyncio.wait_for(self._reader.readline(), SECONDS_MAX):
            field, _, text = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = text
            elif field == "data":
                value = json.loads(text)
            elif not line.strip() and name:
                return name, value
        return "", None

    async def state(self) -> Any:
        """The next state."""
        name, value = await self.next()
        assert name == "state", name
        return value

    async def version(self, number: int, goal: int = 0) -> Any:
        """The first state in which a goal has this version."""
        while (state := await self.state())["goals"][goal]["version"] != number:
            assert state["goals"][goal]["version"] < number
        return state


@contextlib.asynccontextmanager
async def previewed(root: Path, *goals: str) -> AsyncIterator[tuple[Preview, Browser]]:
    """A preview that runs inside the block."""
    preview = Preview(str(root), goals)
    try:
        yield preview, Browser(await preview.start())
    finally:
        await preview.close()


def publish(path: Path, content: bytes) -> None:
    """By rename, as builds do."""
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(content)
    beside.replace(path)


def words(pages: Sequence[str]) -> list[str]:
    """Pages with enough words of their own to be told apart: ten lines of each name."""
    return ["\n".join(f"{page} line {number} of the page {page}" for number in range(10)) for page in pages]
