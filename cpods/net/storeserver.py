"""A store's server as its pod or MajorDomo sees it: a child process that is started, told who may read, and stopped.

Knows no SSH: that is in the child, the embedded server or a private sshd.
"""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping

import msgspec

from cpods.errors import CpodsError, Unavailable, UsageError
from cpods.net.serving import LINE_BYTES_MAX, Order, Setup, State

#: What can serve a store: the module that is run as a process.
KINDS = {"embedded": "cpods.net.sftp_server", "openssh": "cpods.net.sshd"}

_START_SECONDS_MAX = 30.0
_STOP_SECONDS_MAX = 5.0


class StoreServer:
    """Serves the objects of the store at ``store_root``, read-only, by SFTP, to members alone.

    ``host_key``: the private key in OpenSSH's text form. ``kind``: see KINDS; UsageError for another. ``port`` 0: any.
    ``served``: bytes that each member was sent, not older than half a second; :meth:`count` makes it exact.
    ``error``: why it has ended, if it did so by itself.
    """

    def __init__(self, store_root: str, host_key: str, kind: str = "embedded", host: str = "127.0.0.1", port: int = 0) -> None:
        if kind not in KINDS:
            raise UsageError(f"sftp_server = {kind!r} is not known; choose one of {', '.join(KINDS)}")
        self.served: Counter[str] = Counter()
        self.error = ""
        self.pid = 0
        self._module = KINDS[kind]
        self._setup = Setup(os.path.abspath(store_root), host_key, host, port, {})
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[State]] = {}
        self._number = 0

    async def start(self, keys: Mapping[str, str]) -> tuple[str, int]:
        """Starts it for these members (name -> public SSH key); where it listens: (host, port).

        Raises Unavailable, or UsageError if this kind of server can never serve a store on this machine; both in one sentence.
        """
        run = tempfile.mkdtemp(prefix="cpods-serve-")
        setup = msgspec.structs.replace(self._setup, keys=dict(keys), run=run)
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", self._module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))},
            cwd="/",
            start_new_session=True,
            limit=LINE_BYTES_MAX,
        )
        self._process, self.pid, self.error = process, process.pid, ""
        begun: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._answers[-1] = begun
        self._reading = asyncio.create_task(self._read(process, run))
        try:
            await self._send(setup)
            async with asyncio.timeout(_START_SECONDS_MAX):
                state = await begun
        except (CpodsError, TimeoutError) as error:
            await self.stop()
            raise error if isinstance(error, CpodsError) else Unavailable("the store's server did not start in time") from None
        except BaseException:
            await self.stop()
            raise
        return self._setup.host, state.port

    async def admit(self, keys: Mapping[str, str]) -> None:
        """Only these members from now on; when it returns, sessions of those that are gone are cut. Raises Unavailable."""
        await self._ask(dict(keys))

    async def count(self) -> Mapping[str, int]:
        """:attr:`served`, exact. Raises Unavailable if the server has ended."""
        await self._ask(None)
        return self.served

    async def stop(self) -> None:
        """Ends the server and all its connections. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS_MAX):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._reading is not None:
            await self._reading

    async def _ask(self, keys: dict[str, str] | None) -> None:
        self._number += 1
        answer: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._answers[self._number] = answer
        await self._send(Order(self._number, keys))
        await answer

    async def _send(self, line: Setup | Order) -> None:
        process = self._process
        if process is None or process.stdin is None or process.returncode is not None:
            raise Unavailable(f"the store's server has ended: {self.error or 'it was stopped'}")
        with contextlib.suppress(ConnectionError):  # its end is told by _read, with the reason
            process.stdin.write(msgspec.json.encode(line) + b"\n")
            await process.stdin.drain()

    async def _read(self, process: asyncio.subprocess.Process, run: str) -> None:
        """Takes what the server says, until it ends."""
        assert process.stdout is not None
        failure: CpodsError | None = None
        while line := await process.stdout.readline():
            state = msgspec.json.decode(line, type=State)
            if state.error:
                failure = UsageError(state.error) if state.usage else Unavailable(state.error)
                continue
            self.served.update({name: count - self.served[name] for name, count in state.served.items()})
            waiting = self._answers.pop(state.answer, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(state)
        code = await process.wait()
        await asyncio.to_thread(shutil.rmtree, run, True)
        self.error = str(failure) if failure else "" if self._process is None else f"it ended with exit code {code}"
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(failure or Unavailable(f"the store's server has ended: {self.error or 'it was stopped'}"))
        self._answers.clear()
