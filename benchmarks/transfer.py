"""How fast artefacts move: from the embedded server and from a private sshd, in turn with sftp, scp and rsync from one sshd.

Knows no broker: the pulls are the Transfer port's own, into a store, with verification and a durable commit.
"""

import asyncio
import os
import pwd
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import asyncssh

from benchmarks import suite
from benchmarks.suite import CannotMeasure
from cpods.errors import CpodsError
from cpods.model import Artefact
from cpods.net.pull import Peer, SftpTransfer
from cpods.net.storeserver import StoreServer
from cpods.store.files import sync_filesystem
from cpods.store.layout import object_path
from cpods.store.objects import ObjectStore

_MIB = 1 << 20


class Plan(NamedTuple):
    """How much is measured. ``folder`` '': a temporary one."""

    repeats: int = 9
    large_bytes: int = 512 * _MIB
    small_files: int = 5000
    small_bytes: int = 4096
    folder: str = ""


class Row(NamedTuple):
    """One way to move the same bytes: seconds, round by round. ``amount`` a run, in ``unit``."""

    kind: str
    way: str
    amount: float
    unit: str
    seconds: list[float]

    def rates(self) -> list[float]:
        """Per second, round by round."""
        return [self.amount / seconds for seconds in self.seconds]


class Aim(NamedTuple):
    """``way`` is to be so many times as fast as ``rival``, both of the rows of ``kind``."""

    kind: str
    way: str
    rival: str
    at_least: float


_LARGE, _SMALL = "large", "small"
#: As far as the peers go: all bytes are there (ours: verified); and until they are on the disk for good.
_DURABLE_SFTP, _DURABLE_OURS = "sftp, then sync", "cpods from sshd, durable"
_FROM_SSHD, _FROM_OURS, _FROM_TWO = "cpods from sshd", "cpods from embedded", "cpods from two sshd"
_SFTP, _SFTP_GCM, _SCP, _RSYNC = "sftp", "sftp, AES-GCM", "scp", "rsync"

AIMS = (
    Aim(_LARGE, _FROM_SSHD, _SFTP, 1.0),
    Aim(_LARGE, _FROM_SSHD, _SFTP_GCM, 0.85),
    Aim(_LARGE, _FROM_OURS, _SFTP, 0.6),
    Aim(_LARGE, _FROM_TWO, _FROM_SSHD, 1.3),
    Aim(_LARGE, _DURABLE_OURS, _DURABLE_SFTP, 1.0),
    Aim(_SMALL, _FROM_SSHD, _RSYNC, 1.1),
    Aim(_SMALL, _FROM_OURS, _RSYNC, 1.5),
)

#: Does one run; the seconds it took.
Run = Callable[[], Awaitable[float]]


def run(plan: Plan, progress: Callable[[str], None] = lambda text: None) -> list[Row]:
    """Measures everything. Raises CannotMeasure."""
    for program in ("sftp", "scp", "rsync", "ssh"):
        if shutil.which(program) is None:
            raise CannotMeasure(f"{program} is not in PATH: install Debian's openssh-client and rsync")
    with tempfile.TemporaryDirectory(prefix="transfer-", dir=plan.folder or None) as place:
        try:
            return asyncio.run(_Bench(place, plan, progress).measure())
        except CpodsError as error:
            raise CannotMeasure(str(error)) from None


def measure(quick: bool, repeats: int, folder: str, progress: suite.Progress) -> Iterator[suite.Row]:
    """All that has an aim beside what it is aimed at, the rest alone."""
    usual = Plan(repeats=3, large_bytes=64 * _MIB, small_files=1000) if quick else Plan()
    return suite_rows(run(usual._replace(repeats=repeats or usual.repeats, folder=folder), progress))


def suite_rows(found: Sequence[Row]) -> Iterator[suite.Row]:
    """As the suite keeps them: rates, round by round."""
    by_way = {(row.kind, row.way): row for row in found}
    compared = {(aim.kind, way) for aim in AIMS for way in (aim.way, aim.rival)}
    for aim in AIMS:
        row, rival = by_way[aim.kind, aim.way], by_way[aim.kind, aim.rival]
        extra = {"kind": row.kind, "way": row.way, "rival": rival.way}
        yield suite.Row(
            "transfer", f"{row.kind}: {row.way}", row.unit, row.rates(), rival.way, rival.rates(), "more", aim.at_least, extra=extra
        )
    for (kind, way), row in by_way.items():
        if (kind, way) not in compared:
            yield suite.Row("transfer", f"{kind}: {way}", row.unit, row.rates(), better="more", extra={"kind": kind, "way": way})


class _Holder:
    """A store with a large and many small artefacts, served."""

    def __init__(self, folder: str, kind: str) -> None:
        self.store = ObjectStore(folder)
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.server = StoreServer(folder, self.key.export_private_key().decode(), kind)
        self.peer: Peer | None = None

    async def start(self, user: asyncssh.SSHKey) -> None:
        host, port = await self.server.start({"me": user.export_public_key().decode()})
        self.peer = Peer(host, port, self.key.export_public_key().decode())


class _Bench:
    """Servers, what they hold, and the ways to get it."""

    def __init__(self, place: str, plan: Plan, progress: Callable[[str], None]) -> None:
        self._place = place
        self._plan = plan
        self._progress = progress
        self._user = asyncssh.generate_private_key("ssh-ed25519")
        self._holders: dict[str, _Holder] = {}
        self._transfers = 0

    async def measure(self) -> list[Row]:
        """All rows."""
        self._progress("making files and starting servers")
        large, small = self._fill()
        try:
            for holder in self._holders.values():
                await holder.start(self._user)
            with _plain_sshd(os.path.join(self._place, "sshd"), self._user) as ssh:
                rows = await self._rounds(_LARGE, self._large(large, ssh), self._plan.large_bytes / _MIB, "MiB/s")
                return rows + await self._rounds(_SMALL, self._small(small, ssh), len(small), "files/s")
        finally:
            for holder in self._holders.values():
                await holder.server.stop()

    def _fill(self) -> tuple[Artefact, list[Artefact]]:
        chance = random.Random(0)
        block = chance.randbytes(_MIB)
        path = os.path.join(self._place, "large")
        with open(path, "wb") as file:
            for number in range(self._plan.large_bytes // _MIB):
                file.write(number.to_bytes(8, "big") + block[8:])
        contents = [chance.randbytes(self._plan.small_bytes) for _ in range(self._plan.small_files)]
        for name, kind in (("sshd", "openssh"), ("second", "openssh"), ("embedded", "embedded")):
            holder = self._holders[name] = _Holder(os.path.join(self._place, f"store-{name}"), kind)
            large = holder.store.put_file(path)
            small = [holder.store.put_bytes(content) for content in contents]
            holder.store.commit()
        return large, small

    async def _rounds(self, kind: str, ways: dict[str, Run], amount: float, unit: str) -> list[Row]:
        """Every way once a round, the order turned round from one to the next; a first round is not counted."""
        rows = {way: Row(kind, way, amount, unit, []) for way in ways}
        for number in range(-1, self._plan.repeats):
            self._progress(f"{kind}, round {number + 1} of {self._plan.repeats}")
            for way in list(ways) if number % 2 else reversed(list(ways)):
                seconds = await ways[way]()
                if number >= 0:
                    rows[way].seconds.append(seconds)
        return list(rows.values())

    def _large(self, artefact: Artefact, ssh: "_Ssh") -> dict[str, Run]:
        source = object_path(self._holders["sshd"].store.root, artefact.digest)
        return {
            _SFTP: self._program(lambda to: [*ssh.words("sftp"), f"{ssh.place}:{source}", to]),
            _SFTP_GCM: self._program(lambda to: [*ssh.words("sftp"), "-c", "aes128-gcm@openssh.com", f"{ssh.place}:{source}", to]),
            _SCP: self._program(lambda to: [*ssh.words("scp"), f"{ssh.place}:{source}", to]),
            _RSYNC: self._program(lambda to: ["rsync", "-W", "-e", ssh.shell, f"{ssh.place}:{source}", to]),
            _FROM_SSHD: self._pull([artefact], "sshd", durable=False),
            _FROM_OURS: self._pull([artefact], "embedded", durable=False),
            _FROM_TWO: self._pull([artefact], "sshd", "second", durable=False),
            _DURABLE_SFTP: self._program(lambda to: [*ssh.words("sftp"), f"{ssh.place}:{source}", to], durable=True),
            _DURABLE_OURS: self._pull([artefact], "sshd"),
        }

    def _small(self, artefacts: list[Artefact], ssh: "_Ssh") -> dict[str, Run]:
        root = self._holders["sshd"].store.root
        names = os.path.join(self._place, "names")
        with open(names, "w", encoding="utf-8") as file:
            file.writelines(os.path.relpath(object_path(root, one.digest), root) + "\n" for one in artefacts)
        return {
            _RSYNC: self._program(lambda to: ["rsync", "-W", "-a", f"--files-from={names}", "-e", ssh.shell, f"{ssh.place}:{root}", to]),
            _FROM_SSHD: self._pull(artefacts, "sshd"),
            _FROM_OURS: self._pull(artefacts, "embedded"),
        }

    def _program(self, words: Callable[[str], list[str]], durable: bool = False) -> Run:
        async def one() -> float:
            folder = tempfile.mkdtemp(dir=self._place)
            await _settle()
            begun = time.monotonic()
            ended = subprocess.run(words(folder + "/"), capture_output=True, text=True, check=False)
            if durable:
                await asyncio.to_thread(sync_filesystem, folder)
            seconds = time.monotonic() - begun
            if ended.returncode:
                raise CannotMeasure(f"{words(folder)[0]} failed: {ended.stderr.strip()[-300:]}")
            _make_room(folder)
            return seconds

        return one

    def _pull(self, artefacts: list[Artefact], *holders: str, durable: bool = True) -> Run:
        """Over a new connection into an empty store: packed and verified; if ``durable``, made so and installed within the time."""

        async def one() -> float:
            self._transfers += 1
            folder = os.path.join(self._place, f"into-{self._transfers}")
            store = ObjectStore(folder)
            await _settle()
            begun = time.monotonic()
            transfer = SftpTransfer("me", store, lambda name: self._holders[name].peer, self._user.export_private_key().decode())
            failed = await transfer.pull_many({artefact: holders for artefact in artefacts})
            if durable:
                store.commit()
            await transfer.close()
            seconds = time.monotonic() - begun
            store.commit()
            if failed or not all(store.has(artefact.digest) for artefact in artefacts):
                raise CannotMeasure(f"{len(failed)} artefacts did not arrive: {next(iter(failed.values()), '')}")
            store.close()
            _make_room(folder)
            return seconds

        return one


async def _settle() -> None:
    """No run pays for what the one before it wrote."""
    await asyncio.to_thread(os.sync)


def _make_room(folder: str) -> None:
    """Empties large files and leaves small ones: for seconds after deletions ext4 is slow to make files."""
    for path, _, names in os.walk(folder):
        for name in names:
            full = os.path.join(path, name)
            if os.path.getsize(full) > _MIB:
                os.chmod(full, 0o600)
                os.truncate(full, 0)


class _Ssh(NamedTuple):
    """How the programs reach the plain sshd."""

    place: str
    port: int
    key: str

    def words(self, program: str) -> list[str]:
        """The program with its options."""
        return [program, "-q", "-P", str(self.port), *self._options]

    @property
    def shell(self) -> str:
        """For rsync."""
        return " ".join(["ssh", "-q", "-p", str(self.port), *self._options])

    @property
    def _options(self) -> list[str]:
        return ["-F", "none", "-i", self.key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]


@contextmanager
def _plain_sshd(folder: str, user: asyncssh.SSHKey) -> Iterator[_Ssh]:
    """A private sshd as the programs need it, with a shell."""
    os.makedirs(folder, mode=0o700)
    for name, key in (("host_key", asyncssh.generate_private_key("ssh-ed25519")), ("user_key", user)):
        key.write_private_key(os.path.join(folder, name))
        os.chmod(os.path.join(folder, name), 0o600)
    user.write_public_key(os.path.join(folder, "authorized_keys"))
    account = pwd.getpwuid(os.geteuid()).pw_name
    port = _free_port()
    config = (
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized_keys\n"
        "PidFile none\nUsePAM no\nStrictModes no\nSubsystem sftp internal-sftp\nMaxStartups 100\n"
    )
    with open(os.path.join(folder, "config"), "w", encoding="utf-8") as file:
        file.write(config)
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", 0o755, exist_ok=True)
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin") or ""
    if not program:
        raise CannotMeasure("sshd is not installed: install openssh-server")
    with subprocess.Popen([program, "-D", "-e", "-f", f"{folder}/config"], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            if "listening" not in line:
                raise CannotMeasure(f"sshd does not start: {line.strip()}")
            yield _Ssh(f"{account}@127.0.0.1", port, os.path.join(folder, "user_key"))
        finally:
            process.terminate()


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


BENCHMARK = suite.Benchmark(
    name="transfer",
    question="how fast do artefacts move from one pod's store to another's, verified and made durable?",
    peers="sftp, scp and rsync, from one sshd with one key",
    unit="MiB/s (one file of 512 MiB), files/s (5,000 of 4 KiB)",
    noise="both ends share this machine, so processor time is the bound; ways in turn, disk settled before each, order turned round",
    quick="64 MiB and 1,000 files, 3 rounds: a minute",
    full="9 rounds: five minutes",
    run=measure,
    programs=("ssh -V", "rsync --version"),
)
