"""A private OpenSSH server as a store's server (``python -m cpods.net.sshd``): own port, own keys, confined to the objects.

Knows no bus and no roster: who may log in comes in over standard input (see :mod:`cpods.net.serving`).

As an ordinary user sshd serves all that this user can read. So every session runs :mod:`cpods.net.confined`, which gives up all
but the objects by Landlock before anything is served; where the kernel has none, root may use sshd's own chroot; else it is refused.

sshd starts that program with the user's login shell, and a shell reads what it finds at home (bash its .bashrc, zsh .zshenv): that
may take long, print, or wait for a lock. So HOME is this server's own folder, where there is nothing to read.
"""

import asyncio
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import struct
import sys
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress

import asyncssh

from cpods.net import landlock
from cpods.net.confined import ADMITTED, CONTROL, PACK, SFTP, SFTP_REQUESTS
from cpods.net.processes import children_of, die_with_parent, parent_of
from cpods.net.serving import CannotServe, Setup, serve_forever

#: Added to the server's version line, with the one user name that it can log in.
USER_MARK = "cpods-user:"

_SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server", "/usr/libexec/sftp-server")
_CHECK = "-"  # the name of the login that tries the server out; no member can have it
_SENT = re.compile(rb'close ".*" bytes read (\d+) written')
_INSTEAD = 'use sftp_server = "embedded"'

_CONFIG = """\
Port {port}
ListenAddress {host}
HostKey "{run}/host_key"
AuthorizedKeysFile "{keys}"
PidFile none
UsePAM no
StrictModes no
AuthenticationMethods publickey
AllowUsers {user}
PermitRootLogin prohibit-password
DisableForwarding yes
PermitTTY no
PermitUserRC no
PermitTunnel no
PermitUserEnvironment no
SetEnv "HOME={run}"
VersionAddendum {mark}{user}
Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr
Compression no
UseDNS no
MaxSessions 64
MaxStartups 100:30:200
LoginGraceTime 20
ClientAliveInterval 15
ClientAliveCountMax 3
"""


class _Session:
    """One session at work. ``pid``: its process, which lives as long as its line to us is open."""

    def __init__(self, pid: int, member: str) -> None:
        self.pid = pid
        self.member = member


class PrivateSshd:
    """The serving side of :func:`cpods.net.serving.serve_forever`.

    ``confinement``: "landlock" or "chroot", by default the best there is. In a chroot bytes are not counted and there are no packs.
    """

    def __init__(self, setup: Setup, confinement: str = "") -> None:
        self._setup = setup
        self._run = setup.run
        self._confinement = confinement or ("landlock" if landlock.version() else "chroot" if os.geteuid() == 0 else "")
        self._keys: dict[str, str] = {}
        self._served: Counter[str] = Counter()
        self._sessions: set[_Session] = set()
        self._process: asyncio.subprocess.Process | None = None
        self._said: deque[str] = deque(maxlen=20)
        self._hearing: asyncio.Task[None] | None = None
        self._control: asyncio.Server | None = None

    async def start(self, keys: Mapping[str, str]) -> int:
        """Begins to listen and logs in once to see that it works and is confined; the port. Raises CannotServe."""
        if not self._confinement:
            raise CannotServe(f"sshd cannot be confined to the store here: no Landlock in this kernel, and not root; {_INSTEAD}", True)
        program, sftp_server = _programs()
        port = self._setup.port or _free_port(self._setup.host)
        self._write_files(port, sftp_server)
        self._control = await asyncio.start_unix_server(self._session, os.path.join(self._run, CONTROL))
        await self._launch(program)
        try:
            await self._try_out(port)
        except CannotServe:
            await self.stop()
            raise
        await self.admit(keys)
        return port

    async def admit(self, keys: Mapping[str, str]) -> None:
        """Only these members from now on; sessions of all others are ended."""
        gone = {name for name, key in self._keys.items() if keys.get(name) != key}
        self._keys = dict(keys)
        self._write_keys()
        for session in list(self._sessions):
            if session.member in gone:
                self._end(session)
        if gone and self._confinement == "chroot" and self._process is not None:
            _kill(children_of(self._process.pid))  # nobody knows whose they are: all log in anew who may

    def served(self) -> Mapping[str, int]:
        """Bytes by member, since the start; a file counts when it is closed."""
        return self._served

    async def stop(self) -> None:
        """Ends sshd and all its sessions."""
        process, self._process = self._process, None
        if process is not None:
            sessions = children_of(process.pid)
            with suppress(ProcessLookupError):
                process.kill()
            _kill(sessions | children_of(process.pid))
            await process.wait()
        if self._hearing is not None:
            await self._hearing
        if self._control is not None:
            self._control.close()

    def _write_files(self, port: int, sftp_server: str) -> None:
        user = pwd.getpwuid(os.geteuid()).pw_name
        words = {"port": port, "host": self._setup.host, "run": self._run, "user": user, "mark": USER_MARK}
        config = _CONFIG.format(**words, keys=f"{self._run}/authorized_keys".replace("%", "%%"))
        if self._confinement == "chroot":
            config += f'Subsystem sftp internal-sftp\nChrootDirectory "{self._setup.store.replace("%", "%%")}"\n'
            config += f"ForceCommand internal-sftp -R -p {SFTP_REQUESTS} -d /\n"
        else:
            config += f"Subsystem sftp {SFTP}\nSubsystem {PACK} {PACK}\n"
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        call = f"main({self._run!r}, {self._setup.store!r}, {sftp_server!r}, sys.argv[1])"
        script = f"import sys\nsys.path.insert(0, {root!r})\nfrom cpods.net.confined import main\nsys.exit({call})\n"
        key = self._setup.host_key
        for name, text in (("config", config), ("session.py", script), ("host_key", key if key.endswith("\n") else key + "\n")):
            _write(os.path.join(self._run, name), text)

    def _write_keys(self) -> None:
        """The file that sshd reads at every login; each member's sessions begin with a command that names it."""
        start = shlex.join([sys.executable, "-I", "-S", "-B", os.path.join(self._run, "session.py")])
        lines = []
        for name, key in self._keys.items():
            forced = f"{start} {shlex.quote(name)}".replace("\\", "\\\\").replace('"', '\\"')
            option = "restrict" if self._confinement == "chroot" else f'restrict,command="{forced}"'
            lines.append(f"{option} {' '.join(key.split()[:2])}\n")
        _write(os.path.join(self._run, "authorized_keys"), "".join(lines))

    async def _launch(self, program: str) -> None:
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", 0o755, exist_ok=True)  # where its unprivileged part lives
        process = await asyncio.create_subprocess_exec(
            *(program, "-D", "-e", "-f", os.path.join(self._run, "config")),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        self._process = process
        listening = asyncio.Event()
        self._hearing = asyncio.create_task(self._hear(process, listening))
        await listening.wait()
        if process.returncode is not None:
            raise CannotServe(f"sshd does not start: {self._last_words()}")

    async def _hear(self, process: asyncio.subprocess.Process, listening: asyncio.Event) -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            text = line.decode(errors="replace").strip()
            self._said.append(text)
            if text.startswith("Server listening"):
                listening.set()
        await process.wait()
        listening.set()

    def _last_words(self) -> str:
        quiet = ("Server listening", "Cannot bind any address", "Connection closed", "Connection reset", "Disconnected")
        telling = [line for line in self._said if line and not line.startswith(quiet)]
        return telling[-1] if telling else "it says nothing"

    async def _try_out(self, port: int) -> None:
        """Logs in as a member does: the objects are there, and the host key, which this very user can read, is not."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        self._keys = {_CHECK: key.export_public_key().decode()}
        self._write_keys()
        host_key = asyncssh.import_private_key(self._setup.host_key).convert_to_public()
        user = pwd.getpwuid(os.geteuid()).pw_name
        try:
            async with (
                asyncio.timeout(20),
                asyncssh.connect(
                    *(self._setup.host, port),
                    username=user,
                    client_keys=[key],
                    known_hosts=([host_key], [], []),
                    config=None,
                    agent_path=None,
                ) as connection,
                connection.start_sftp_client() as sftp,
            ):
                await sftp.stat("objects")
                await self._check_confined(sftp)
        except (OSError, asyncssh.Error, TimeoutError) as error:
            raise CannotServe(
                f"the private sshd takes no login as {user}: {self._last_words()} ({str(error) or 'no answer in time'}); {_INSTEAD}", True
            ) from error

    async def _check_confined(self, sftp: asyncssh.SFTPClient) -> None:
        for path in (os.path.join(self._run, "host_key"), "format"):
            with suppress(asyncssh.SFTPError):
                async with sftp.open(path, "rb") as file:
                    await file.read(1)
                if path != "format" or self._confinement == "landlock":
                    raise CannotServe(f"the private sshd shows {path}, which is no object; {_INSTEAD}", True)

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One session's line: who it is, then what sftp-server says of each file."""
        session = _Session(_peer(writer), (await reader.readline()).decode(errors="replace").strip())
        try:
            if session.member not in self._keys:
                return
            self._sessions.add(session)
            writer.write(ADMITTED)
            while line := await reader.readline():
                found = _SENT.search(line)
                if found and session.member != _CHECK:
                    self._served[session.member] += int(found[1])
        except (ConnectionError, ValueError):
            return  # a process that was killed, or a line without end
        finally:
            self._sessions.discard(session)
            writer.close()

    def _end(self, session: _Session) -> None:
        """Kills the session's process and those above it up to our sshd, which are that connection's own."""
        ours = self._process.pid if self._process is not None else 0
        doomed, pid = {session.pid}, session.pid
        while (pid := parent_of(pid)) not in (0, 1, ours):
            doomed.add(pid)
        if not ours or pid != ours:  # not below our sshd any more: nothing else may be touched
            doomed = {session.pid}
        _kill(doomed)


def _peer(writer: asyncio.StreamWriter) -> int:
    """The process at the other end of a Unix socket."""
    credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[0])


def _kill(pids: set[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _programs() -> tuple[str, str]:
    """(sshd, sftp-server). Raises CannotServe."""
    program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin:" + os.environ.get("PATH", ""))
    sftp_server = next((path for path in _SFTP_SERVERS if os.access(path, os.X_OK)), "")
    if not program or not sftp_server:
        raise CannotServe(f"{'sshd' if not program else 'sftp-server'} is not installed: install openssh-server, or {_INSTEAD}", True)
    return os.path.abspath(program), sftp_server


def _free_port(host: str) -> int:
    """sshd cannot choose one itself."""
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        return int(probe.getsockname()[1])


def _write(path: str, text: str) -> None:
    """By rename, readable for this user alone."""
    descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


if __name__ == "__main__":
    sys.exit(serve_forever(PrivateSshd))
