"""The pages that are open: each is told how things stand, at once and whenever that changes.

Knows no document: what is told is made by whoever owns us. A slow page misses states in between, never the last one.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from cpods.preview import exchange

#: A browser has six connections for one address; pages beyond these wait until they are looked at again.
LIVE_MAX = 4

#: A sign of life, so that a connection whose other end vanished is noticed.
_QUIET_SECONDS_MAX = 20.0
_DRAIN_SECONDS_MAX = 30.0


class Listener:
    """One open page."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.news.set()
        self.last_word = ""  # the name of a last event

    def end(self, word: str) -> None:
        """Sends ``word`` as the last event."""
        self.last_word = word
        self.news.set()


class Audience:
    """``state``: how things stand, in JSON without line breaks."""

    def __init__(self, state: Callable[[], bytes]) -> None:
        self._state = state
        self._listeners: list[Listener] = []

    def __len__(self) -> int:
        return len(self._listeners)

    def tell(self) -> None:
        """Something has changed."""
        for listener in self._listeners:
            listener.news.set()

    def dismiss(self) -> None:
        """The preview ends; pages say so and keep what they show."""
        for listener in self._listeners:
            listener.end("ended")

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one page until it goes, or must."""
        listener = Listener()
        while len(self._listeners) >= LIVE_MAX:
            self._listeners.pop(0).end("retired")
        self._listeners.append(listener)
        leaving = asyncio.ensure_future(_left(reader))
        try:
            exchange.begin_events(writer)
            while await self._one(listener, writer, leaving):
                pass
        finally:
            leaving.cancel()
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)

    async def _one(self, listener: Listener, writer: asyncio.StreamWriter, leaving: asyncio.Future[None]) -> bool:
        """Waits for news and tells them; whether to go on."""
        news = asyncio.ensure_future(listener.news.wait())
        either: set[asyncio.Future[Any]] = {news, leaving}
        try:
            await asyncio.wait(either, timeout=_QUIET_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        if leaving.done():
            return False
        if listener.last_word:
            writer.write(exchange.event(listener.last_word, b"{}"))
        elif listener.news.is_set():
            listener.news.clear()
            writer.write(exchange.event("state", self._state()))
        else:
            writer.write(b": still here\n\n")
        await asyncio.wait_for(writer.drain(), _DRAIN_SECONDS_MAX)
        return not listener.last_word


async def _left(reader: asyncio.StreamReader) -> None:
    """Until the other end has closed. It has nothing more to say; what it says all the same is dropped."""
    with contextlib.suppress(OSError):
        while await reader.read(1024):
            pass
