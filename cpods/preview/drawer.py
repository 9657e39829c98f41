"""The near end of the drawing process: starts it when something is to be drawn, and again after it died.

Knows no PDF and no browser. Questions are answered one after the other; one that nobody waits for any more is not asked.
"""

import asyncio
import contextlib
import importlib.util
import socket
import subprocess
import sys
from collections.abc import Callable

import msgspec

from cpods.errors import CpodsError
from cpods.preview.frames import LENGTHS, Answer, Question, pack

#: What to do where there is no PDFium.
INSTALL_SENTENCE = "pypdfium2 is not installed, so the browser's own viewer shows PDF files: pip install 'cpods[preview]'"

#: A page that takes longer than this is told as one that cannot be drawn.
_ANSWER_SECONDS_MAX = 60.0


class CannotDraw(CpodsError):
    """A document or a page of it that cannot be read or drawn."""


class Unwanted(Exception):
    """Who asked has gone before it was their turn."""


def can_draw() -> bool:
    """Whether PDFium is installed here; says nothing about a file."""
    return importlib.util.find_spec("pypdfium2") is not None


class Drawer:
    """One drawing process. Use from one event loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def process_id(self) -> int | None:
        """Of the drawing process; None while there is none."""
        return self._process.pid if self._process else None

    async def ask(self, question: Question, wanted: Callable[[], bool] = lambda: True) -> tuple[Answer, bytes]:
        """The answer and its body. Raises CannotDraw, and Unwanted if ``wanted`` is false when its turn has come.

        A process that dies over a question is started again for the next one: that question is not repeated.
        """
        async with self._turn:
            if not wanted():
                raise Unwanted
            try:
                answer, body = await asyncio.wait_for(self._exchange(question), _ANSWER_SECONDS_MAX)
            except (OSError, EOFError, TimeoutError) as error:
                await self._end()
                what = "took too long over it" if isinstance(error, TimeoutError) else "ended over it"
                raise CannotDraw(f"the drawing process {what}") from error
            except asyncio.CancelledError:
                await self._end()  # its answer would be taken for that of the next question
                raise
        if answer.error:
            raise CannotDraw(answer.error)
        return answer, body

    async def between(self, action: Callable[[], None]) -> None:
        """Does ``action`` while no question is under way: what a question names can be taken away then."""
        async with self._turn:
            action()

    async def close(self) -> None:
        """Ends the process. A later question would start another."""
        async with self._turn:
            await self._end()

    async def _exchange(self, question: Question) -> tuple[Answer, bytes]:
        if self._streams is None:
            self._streams = await self._start()
        reader, writer = self._streams
        writer.write(pack(question))
        await writer.drain()
        head, body = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
        return msgspec.json.decode(await reader.readexactly(head), type=Answer), await reader.readexactly(body)

    async def _start(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: a folder named cpods in the project is not us. A session of its own: Ctrl-C is for whoever watches, and their end is its.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cpods.preview.draughtsman"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # the terminal shows the build
                start_new_session=True,
            )
        return await asyncio.open_connection(sock=ours)

    async def _end(self) -> None:
        process, self._process = self._process, None
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()
        if process is not None:
            process.kill()
            # It is dead at once: kill is not to be caught, and it holds no device.
            await asyncio.to_thread(process.wait)
