"""What running tools say, passed on while they run: at most a few messages a second for each.

Knows no executor and no bus: blocks come in by order, texts go out by order.
"""

import asyncio
from collections.abc import Awaitable, Callable

#: Between two messages of one order.
CHUNK_SECONDS = 0.2
_CHUNK_BYTES_MAX = 32 << 10
_NOISE = b"kdebug:"


class Voice:
    """One order's tool: what it has said since the last message, in whole lines if it speaks in lines."""

    def __init__(self, majordomo: str, id: str, spoke: Callable[["Voice"], None]) -> None:
        self.majordomo = majordomo
        self.id = id
        self._spoke = spoke
        self._said = bytearray()
        self._dropped = 0

    def hear(self, block: bytes) -> None:
        """Takes a block; TeX's search trace is for its chef alone, and of a flood only the end is passed on."""
        if _NOISE in block:
            block = b"".join(line for line in block.splitlines(keepends=True) if _NOISE not in line)
        self._said += block
        surplus = len(self._said) - _CHUNK_BYTES_MAX
        if surplus > 0:
            del self._said[:surplus]
            self._dropped += surplus
        self._spoke(self)

    def take(self) -> str:
        """The text since the last call; bytes that are no UTF-8 are replaced. An unfinished line waits for its end."""
        cut = self._said.rfind(b"\n") + 1 or (len(self._said) if len(self._said) > 1024 else 0)
        return self._text(cut)

    def rest(self) -> str:
        """All that is left, at the end."""
        return self._text(len(self._said))

    def _text(self, length: int) -> str:
        if not length:
            return ""
        note = f"[{self._dropped} bytes left out]\n" if self._dropped else ""
        text = note + self._said[:length].decode("utf-8", "replace")
        del self._said[:length]
        self._dropped = 0
        return text


class Voices:
    """All tools that run now. ``tell(majordomo, id, text)`` passes a text on; what it raises is lost with the text."""

    def __init__(self, tell: Callable[[str, str, str], Awaitable[None]]) -> None:
        self._tell = tell
        self._speaking: dict[Voice, None] = {}
        self._something = asyncio.Event()

    def begin(self, majordomo: str, id: str) -> Voice:
        """The voice of an order that starts now."""
        return Voice(majordomo, id, self._note)

    async def end(self, voice: Voice) -> None:
        """The order is done: what was not told yet goes out before its result does."""
        self._speaking.pop(voice, None)
        if text := voice.rest():
            await self._tell(voice.majordomo, voice.id, text)

    async def run(self) -> None:
        """Passes on until cancelled."""
        while True:
            await self._something.wait()
            await asyncio.sleep(CHUNK_SECONDS)
            self._something.clear()
            speaking, self._speaking = self._speaking, {}
            for voice in speaking:
                if text := voice.take():
                    await self._tell(voice.majordomo, voice.id, text)

    def _note(self, voice: Voice) -> None:
        self._speaking[voice] = None
        self._something.set()
