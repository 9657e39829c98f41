"""What fault tests of a federation need besides its Lab: steps that say that they run and wait, and the members' own keys.

Knows no test. Everything here waits for something that happens, up to a deadline.
"""

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, TypeVar

from nats.aio.client import Client

from cpods.net import subjects, wire
from cpods.net.bus import NatsBus, connect
from cpods.net.certificates import client_context
from cpods.net.identity import Home
from cpods.net.messages import Owned
from cpods.net.questions import AskOwned, OwnedPaths
from tests.helpers.broker import flushed
from tests.helpers.lab import NAME, Lab, Running

SECONDS_MAX = 60.0
T = TypeVar("T")


def until(look: Callable[[], T], what: str, seconds: float = SECONDS_MAX) -> T:
    """Looks again and again until something true comes; that. Raises AssertionError with ``what`` after the time."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return found


class Gate:
    """A place outside of all pods, where a command says that it runs, and waits until it is let go."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._runs, self._go = folder / "runs", folder / "go"

    @property
    def tick(self) -> str:
        """Shell words that note a run."""
        return f'echo "$PWD" >> {self._runs}'

    @property
    def wait(self) -> str:
        """Shell words that note a run, and wait."""
        return f"{self.tick}; while test ! -e {self._go}; do sleep 0.05; done"

    def meeting(self, other: "Gate") -> str:
        """Shell words that note a run, and wait until something has come to the other gate (or this one is opened)."""
        return f"{self.tick}; while test ! -e {other._runs} && test ! -e {self._go}; do sleep 0.05; done"

    @property
    def runs(self) -> list[str]:
        """The folders in which it ran so far, in order."""
        return self._runs.read_text().splitlines() if self._runs.exists() else []

    @property
    def pods(self) -> list[str]:
        """The pods on which it ran so far, in order."""
        return [run.partition("/homes/")[2].partition("/")[0] for run in self.runs]

    def reached(self, running: Running) -> None:
        """Waits until a build has come here."""

        def here() -> bool:
            assert running.process.popen.poll() is None or self.runs, running.process.text()
            return bool(self.runs)

        until(here, f"a run of {self._runs.parent.name}")

    def open(self) -> None:
        """Lets it go, now and from now on."""
        self._go.touch()


def step(name: str, run: str, inputs: Sequence[str] = (), outputs: Sequence[str] = (), **more: str) -> str:
    """A shell step of a project file."""
    table = {"name": name, "run": run, "inputs": list(inputs), "outputs": list(outputs), **more}
    return "[[step]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def project(folder: Path, *steps: str, goals: Sequence[str] = (), **files: str) -> Path:
    """A project folder with these steps and files (``a_txt="..."`` makes a.txt)."""
    folder.mkdir(parents=True)
    head = f"[project]\ngoals = {json.dumps(list(goals))}\n" if goals else ""
    (folder / "cpods.toml").write_text(head + "\n".join(steps))
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


# -- processes -------------------------------------------------------------------------------------------------------


def founder_folder(lab: Lab) -> Path:
    """The steward's folder."""
    return lab.home("founder") / NAME / "founder"


def broker_pid(lab: Lab) -> int:
    """The process id of nats-server, 0 while it says none."""
    file = founder_folder(lab) / "broker" / "broker.pid"
    return int((file.read_text() if file.exists() else "").strip() or 0)


def steward_log(lab: Lab) -> str:
    """What the steward has logged."""
    return (founder_folder(lab) / "steward.log").read_text()


def steward_pid(lab: Lab) -> int:
    """The process id of the steward."""
    return int((founder_folder(lab) / "steward.pid").read_text())


def unread_bytes(pid: int) -> int:
    """Bytes that wait in this process's TCP sockets because it does not read them (a process that was stopped)."""
    descriptors = Path(f"/proc/{pid}/fd")
    inodes = {os.readlink(entry)[8:-1] for entry in descriptors.iterdir() if os.readlink(entry).startswith("socket:")}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].partition(":")[2], 16) for row in rows if row[9] in inodes and row[3] == "01")


# -- what a pod believes ---------------------------------------------------------------------------------------------


def unacknowledged(lab: Lab, pod: str) -> int:
    """How many ends of steps a pod keeps because no MajorDomo has taken them yet."""
    notes = lab.home(pod) / NAME / "work" / "notes.db"
    with closing(sqlite3.connect(f"file:{notes}?mode=ro", uri=True)) as connection:
        return int(connection.execute("select count(*) from ends").fetchone()[0])


def owned_file(lab: Lab, pod: str, folder: Path, path: str) -> Path:
    """Where a pod keeps the file of a path that it owns."""
    name = (folder / ".cpods" / "project").read_text().strip()
    return lab.home(pod) / NAME / "work" / name / "owned" / path


def owned(lab: Lab, pod: str, folder: Path) -> dict[str, Owned]:
    """What a pod says that it owns of a project, by path."""
    name = (folder / ".cpods" / "project").read_text().strip()

    async def asked(bus: NatsBus) -> OwnedPaths:
        return wire.decode(await bus.request(subjects.ask(NAME, pod), wire.encode(AskOwned(name)), 10), OwnedPaths)

    return {row.path: row for row in as_member(lab, "founder", asked).projects.get(name, ())}


# -- a member's own keys ---------------------------------------------------------------------------------------------


def home_of(lab: Lab, member: str) -> Home:
    """A member's keys, as whoever has its machine has them."""
    return Home.open(str(lab.home(member) / NAME))


def as_member(lab: Lab, member: str, work: Callable[[NatsBus], Awaitable[T]]) -> T:
    """What ``work`` returns, on a connection of this member."""

    async def whole() -> T:
        bus = await connect(home_of(lab, member), on_end=_passed_over, on_alarm=_passed_over, timeout=20)
        try:
            return await work(bus)
        finally:
            await bus.close()

    return asyncio.run(whole())


@asynccontextmanager
async def raw(lab: Lab, member: str, complaints: list[str]) -> AsyncIterator[Client]:
    """A connection with a member's rights but without our code; what the broker complains of goes into ``complaints``."""
    home = home_of(lab, member)
    client = Client()

    async def complain(error: Exception) -> None:
        complaints.append(str(error))

    await client.connect(
        home.federation.broker,
        tls=client_context(home.federation.ca_pem),
        tls_handshake_first=True,
        nkeys_seed_str=home.identity.nkey_seed,
        inbox_prefix=subjects.inbox(member),
        error_cb=complain,
        allow_reconnect=False,
    )
    try:
        yield client
        if client.is_connected:
            await flushed(client)
    finally:
        await client.close()
        await asyncio.sleep(0)


async def heard(complaints: list[str], part: str) -> None:
    """Waits until the broker has complained with ``part``."""
    async with asyncio.timeout(SECONDS_MAX):
        while not any(part.lower() in one.lower() for one in complaints):
            await asyncio.sleep(0.02)


def shown(lab: Lab, *arguments: str, member: str = "founder", cwd: Path | None = None) -> Any:
    """The JSON that a command prints."""
    return json.loads(lab.cpods(*arguments, "--json", member=member, cwd=cwd).stdout)


def _passed_over(_: str) -> None: ...
