"""A federation's own broker: nats-server as a child process, with its authority, configuration and data in one folder.

Knows no message, and not who decides on members: it is told them.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterable, Sequence

from cpods.errors import Unavailable, UsageError
from cpods.net import brokerconfig
from cpods.net.certificates import new_authority, server_certificate
from cpods.net.natsprogram import find_server
from cpods.net.privatefiles import read_private, write_private
from cpods.net.roster import Member

#: Seconds that the server gets to be ready, to take a configuration, and to end before it is killed.
READY_WITHIN = 20.0
ENDS_WITHIN = 5.0
_LOOK_EVERY = 0.01
_EVERYWHERE = ("0.0.0.0", "::")
_PORTS_TRIED = 5


class Broker:
    """nats-server in ``folder`` for ``federation``, listening at ``host:port`` (port 0: any free one, then kept for good).

    ``names``: further names or addresses by which it is reached; the first is used in the URL if ``host`` means all
    interfaces. The authority is made at the first :meth:`start` and stays. Members are told by :meth:`reload`, before the
    start or later. If this process dies, the server ends with it; one that is left over is ended by the next start.
    """

    def __init__(self, folder: str, federation: str, host: str = "127.0.0.1", port: int = 0, names: Sequence[str] = ()) -> None:
        self._folder = os.path.abspath(folder)
        self._federation = federation
        self._host = host
        self._wanted_port = port
        self._names = tuple(names)
        self._members: tuple[Member, ...] = ()
        self._guests: tuple[str, ...] = ()
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0
        self._one_at_a_time = asyncio.Lock()

    @property
    def ca_pem(self) -> str:
        """The certificate of the federation's authority. Raises UsageError before the first :meth:`start`."""
        try:
            return read_private(self._path("ca.pem")).decode()
        except FileNotFoundError as error:
            raise UsageError(f"{self._folder} has no broker's files yet: start it first") from error

    @property
    def url(self) -> str:
        """Where members connect; known after the first :meth:`start`."""
        host = self._hosts()[0]
        return f"tls://{f'[{host}]' if ':' in host else host}:{self._port}"

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """The server's process id; 0 if it does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    async def start(self) -> str:
        """Starts the server, with the members told last, and returns its URL when it takes connections. No-op if it runs.

        Raises UsageError if there is no nats-server, or the port is taken; Unavailable, with its last words, if it does not start.
        """
        if self.running:
            return self.url
        program = find_server()
        await self._end_leftover()
        for attempt in range(_PORTS_TRIED):
            self._port = self._wanted_port or self._kept_port() or _free_port(self._host)
            self._prepare()
            if await self._try_start(program):
                write_private(self._path("port"), str(self._port).encode())
                return self.url
            if self._wanted_port or self._kept_port() or attempt == _PORTS_TRIED - 1:
                break
        raise UsageError(f"port {self._port} on {self._host} is taken by another program; choose another port for the broker")

    async def reload(self, members: Iterable[Member], guests: Sequence[str] = ()) -> None:
        """From now on these may connect, and ``guests`` (public NKeys of open invitations) may ask to join.

        Whoever may no longer is cut at once, all others notice nothing. Raises Unavailable if the server does not take it; then
        the former members stay.
        """
        async with self._one_at_a_time:
            before = self._members, self._guests
            self._members, self._guests = tuple(members), tuple(guests)
            if not self.running:
                return
            try:
                await self._checked_config(find_server())
                await self._hang_up()
            except BaseException:
                self._members, self._guests = before
                write_private(self._path("broker.conf"), self._config())
                raise

    async def stop(self) -> None:
        """Ends the server; it is killed if it does not end in time. Idempotent."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(ENDS_WITHIN):
                await process.wait()
        except TimeoutError:
            await self.kill()
        self._process = None

    async def kill(self) -> None:
        """Ends the server as a power failure would (SIGKILL). :meth:`start` brings it back at the same port."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def wait(self) -> int:
        """Waits until the server has ended, by whatever cause; its exit code (negative: the signal)."""
        return 0 if self._process is None else await self._process.wait()

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _place(self) -> brokerconfig.Place:
        files = [self._path(name) for name in ("server.pem", "server.key", "jetstream", "broker.log", "broker.pid")]
        return brokerconfig.Place(self._host, self._port, *files)

    def _config(self) -> bytes:
        return brokerconfig.render(self._federation, self._place(), self._members, self._guests)

    def _hosts(self) -> list[str]:
        """How it is reached, the best first."""
        if self._host in _EVERYWHERE:
            return [*(self._names or (socket.gethostname(),)), "127.0.0.1", "localhost"]
        return [self._host, *self._names]

    def _kept_port(self) -> int:
        try:
            return int(read_private(self._path("port")))
        except FileNotFoundError:
            return 0

    def _prepare(self) -> None:
        """The files: authority (once), a new certificate for the hosts of now, configuration."""
        if not os.path.exists(self._path("ca.pem")):
            key, certificate = new_authority(self._federation)
            write_private(self._path("ca.key"), key.encode())
            write_private(self._path("ca.pem"), certificate.encode())
        authority = read_private(self._path("ca.key")).decode(), self.ca_pem
        key, certificate = server_certificate(authority, list(dict.fromkeys(self._hosts())))
        write_private(self._path("server.key"), key.encode())
        write_private(self._path("server.pem"), certificate.encode())
        write_private(self._path("broker.conf"), self._config())

    async def _checked_config(self, program: str) -> None:
        """Replaces the configuration by one that the server itself finds right."""
        candidate = self._path("broker.conf.new")
        write_private(candidate, self._config())
        tested = await asyncio.create_subprocess_exec(
            program, "-t", "-c", candidate, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await tested.communicate()
        if tested.returncode:
            raise Unavailable(f"nats-server does not take the new configuration: {said.decode(errors='replace').strip()[-500:]}")
        os.rename(candidate, self._path("broker.conf"))

    async def _hang_up(self) -> None:
        """SIGHUP, and the server's own word that it has read its configuration."""
        assert self._process is not None
        log = _Tail(self._path("broker.log"))
        self._process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline and self.running:
            said = log.text()
            if "Reloaded server configuration" in said:
                return
            if "Failed to reload" in said:
                raise Unavailable(f"nats-server does not take the new configuration: {said[said.index('Failed') :].strip()}")
            await asyncio.sleep(_LOOK_EVERY)
        raise Unavailable(f"nats-server did not reload its configuration; see {self._path('broker.log')}")

    async def _try_start(self, program: str) -> bool:
        """Whether it runs now; False if the port was taken."""
        log = _Tail(self._path("broker.log"))
        command = [program, "-c", self._path("broker.conf")]
        setpriv = shutil.which("setpriv")
        if setpriv:  # The kernel ends the server if we are killed.
            command = [setpriv, "--pdeathsig", "TERM", *command]
        null = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(*command, stdin=null, stdout=null, stderr=null, start_new_session=True)
        try:
            await self._ready(log)
        except BaseException as error:
            await self.kill()
            if isinstance(error, Unavailable):
                said = log.text().strip()
                if "address already in use" in said:
                    return False
                raise Unavailable(f"nats-server does not start: {said[-500:] or error}") from None
            raise
        return True

    async def _ready(self, log: "_Tail") -> None:
        deadline = time.monotonic() + READY_WITHIN
        while self.running and time.monotonic() < deadline:
            if "Server is ready" in log.text():
                return
            await asyncio.sleep(_LOOK_EVERY)
        raise Unavailable("it ended" if not self.running else f"it is not ready within {READY_WITHIN:.0f} s")

    async def _end_leftover(self) -> None:
        """Ends a server that an earlier process of ours, killed, has left behind on our files."""
        try:
            pid = int(_read_or_empty(self._path("broker.pid")) or 0)
        except ValueError:
            pid = 0
        if pid and self._path("broker.conf").encode() in _command_line(pid):
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + ENDS_WITHIN
            while self._path("broker.conf").encode() in _command_line(pid) and time.monotonic() < deadline:
                await asyncio.sleep(_LOOK_EVERY)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path("broker.pid"))


def _read_or_empty(path: str) -> bytes:
    """The bytes of a small file, none if it is not there."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _command_line(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            raise UsageError(f"this machine has no address {host} for the broker to listen at: {error.strerror}") from error
        port: int = probe.getsockname()[1]
        return port


class _Tail:
    """What is written to a log from now on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._start = os.path.getsize(path) if os.path.exists(path) else 0

    def text(self) -> str:
        data = _read_or_empty(self._path)
        return data[self._start if len(data) >= self._start else 0 :].decode(errors="replace")
