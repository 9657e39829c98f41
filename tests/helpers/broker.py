"""A federation to test with: its own real nats-server in a temporary folder, and the homes of its members.

Knows no steward: whoever uses this decides on members by :meth:`Running.admit` and :meth:`Running.revoke`.

How to use it::

    async with running(tmp_path, {"md": "majordomo", "a": "pod"}) as federation:   # a founder named "founder" comes for free
        bus = await federation.connect("a")            # a NatsBus, closed at the end
        home = federation.home("a")                    # its Home, complete; home.folder is CPODS_HOME/<federation>/ of that member
        await federation.revoke("a")                   # cut at the broker; the new roster is in the homes, and known to open buses
        await federation.broker.kill(); await federation.broker.start()

The home of a member lies in ``<folder>/<member>/<federation>``, so ``CPODS_HOME=<folder>/<member>`` (:meth:`Running.environment`)
is what a process of that member is to be started with. Broker and all connections are ended when the block ends.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.client import Client

from cpods.net.broker import Broker
from cpods.net.bus import NatsBus, connect
from cpods.net.identity import Federation, Home, Identity, new_identity
from cpods.net.nkeypair import Keypair
from cpods.net.roster import FOUNDER, Roster

FOUNDER_NAME = "founder"
MEMBERS = {"md": "majordomo", "a": "pod", "b": "pod"}


async def flushed(client: Client) -> None:
    """Of a raw client: the server has taken all that was sent. The client's own flush sends its ping past what waits to be sent."""
    await client._flush_pending(force_flush=True)
    await client.flush()


class Running:
    """What :func:`running` gives. ``roster`` and ``federation`` as they are now; ``guests``: NKeys of open invitations."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.identities: dict[str, Identity] = {}
        self.roster = Roster(name)
        self.guests: tuple[str, ...] = ()
        self.broker = Broker(str(folder / FOUNDER_NAME / name / "founder" / "broker"), name)
        self.buses: list[NatsBus] = []
        self.federation = Federation(name, "", "", "")

    @property
    def url(self) -> str:
        """Where the broker is."""
        return self.broker.url

    def stand_still(self) -> None:
        """Stops the broker's process until SIGCONT. A signal that was sent is not yet heeded: on a busy machine it answered still."""
        os.kill(self.broker.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.broker.pid, os.WSTOPPED | os.WNOWAIT)  # tells when all its threads stand

    def home(self, member: str) -> Home:
        """The member's home, read anew from its folder."""
        return Home.open(self._home_folder(member))

    def environment(self, member: str) -> dict[str, str]:
        """What a process of this member finds its home by."""
        return {"CPODS_HOME": str(self.folder / member)}

    async def connect(
        self, member: str, on_end: Callable[[str], None] | None = None, on_alarm: Callable[[str], None] | None = None, timeout: float = 20.0
    ) -> NatsBus:
        """The member's bus, with the roster of now; closed at the end of the block."""
        bus = await connect(self.home(member), on_end, on_alarm, timeout)
        self.buses.append(bus)
        return bus

    async def admit(self, member: str, role: str) -> Home:
        """A new member: known to the broker, in the roster of all homes and open buses."""
        self._add(member, role)
        await self._changed()
        return self.home(member)

    async def revoke(self, member: str) -> None:
        """A member less: its connection is cut; all others learn the new roster."""
        self.roster = self.roster.without(member)
        await self._changed(but=member)

    async def start(self, members: Mapping[str, str]) -> None:
        """Called by :func:`running`."""
        for member, role in {FOUNDER_NAME: FOUNDER, **members}.items():
            self._add(member, role)
        await self.broker.reload(self.roster.members.values())
        url = await self.broker.start()
        self.federation = Federation(self.name, url, self.identities[FOUNDER_NAME].nkey, self.broker.ca_pem)
        self._save_homes()

    async def end(self) -> None:
        """Called by :func:`running`."""
        for bus in self.buses:
            await bus.close()
        await self.broker.stop()

    def _add(self, member: str, role: str) -> None:
        self.identities[member] = new_identity(member, self.name, role)
        self.roster = self.roster.with_member(self.identities[member].member())

    async def _changed(self, but: str = "") -> None:
        await self.broker.reload(self.roster.members.values(), self.guests)
        self._save_homes(but)
        for bus in self.buses:
            if bus.member != but:
                bus.update_roster(self.roster)

    def _save_homes(self, but: str = "") -> None:
        data = self.roster.encode(Keypair(self.identities[FOUNDER_NAME].nkey_seed))
        for member, identity in self.identities.items():
            if member != but:
                home = Home(self._home_folder(member))
                home.save_identity(identity)
                home.save_federation(self.federation)
                home.save_roster(data)

    def _home_folder(self, member: str) -> str:
        return os.path.join(self.folder, member, self.name)


@asynccontextmanager
async def running(folder: Path, members: Mapping[str, str] = MEMBERS, name: str = "fed") -> AsyncIterator[Running]:
    """A running federation in ``folder`` (empty, of this test alone): ``members`` as name -> role, and a founder."""
    federation = Running(folder, name)
    try:
        await federation.start(members)
        yield federation
    finally:
        await federation.end()
