"""What the commands on artefacts share: the project's catalogue and store, and the pods that can be asked.

Knows no command.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from cpods.cli.asking import ask_pod, ask_pods, connected, live_pods
from cpods.cli.clean import project_or_defaults
from cpods.cli.desk import check_folder, unknown
from cpods.digest import ABSENT
from cpods.errors import Unavailable, UsageError
from cpods.ids import normalise, within

if TYPE_CHECKING:
    from cpods.net.bus import NatsBus
    from cpods.net.identity import Home
    from cpods.net.pull import Peer
    from cpods.net.questions import PodStatus
    from cpods.ports import Owner
    from cpods.store.catalogue import SqlCatalogue
    from cpods.wiring import Site

#: How the catalogue calls this machine (wiring.POD).
HERE = "here"

#: A large artefact may take that long to be pulled, in seconds.
FETCH_SECONDS = 1800.0

_DIGEST = re.compile(r"(xxh3:[0-9a-f]{32}|blake3:[0-9a-f]{64})\Z")


class Ware(NamedTuple):
    """What the user named: a path with its owner and their version, or ('' and None) a digest alone."""

    path: str
    owner: "Owner | None"
    digest: str

    @property
    def name(self) -> str:
        """How it is spoken of."""
        return self.path or self.digest


class Links(NamedTuple):
    """The federation of a project: the own home, the connection, and the pods that run, with their last statuses."""

    home: "Home"
    bus: "NatsBus"
    live: "Mapping[str, PodStatus]"


class Wares:
    """An open project, and its federation if it has one."""

    def __init__(self, site: "Site", catalogue: "SqlCatalogue", project: str, links: Links | None) -> None:
        self.site = site
        self.project = project
        self.links = links
        self.catalogue = catalogue

    async def find(self, text: str) -> Ware:
        """What ``text`` names. Raises UsageError for a name that means nothing here."""
        if _DIGEST.match(text):
            return Ware("", None, text)
        path = within(text, self.site.where.root) if text.startswith("/") else normalise(text)
        owner = await self.catalogue.ownership.owner(path)
        if owner is not None:
            return Ware(path, owner, owner.digest)
        digest = self.site.folder.digest(path)
        if digest == ABSENT:
            raise unknown(text, [*self.site.memory.written, *self.site.memory.files])
        return Ware(path, None, digest)

    async def owned(self, text: str) -> tuple[Ware, "Owner"]:
        """As :meth:`find`, for what must have an owner. Raises UsageError."""
        ware = await self.find(text)
        if ware.owner is None:
            raise UsageError(f"{text} has no owner: no step of this project has made it, so there is no other version than the one here")
        return ware, ware.owner

    def here(self, digest: str) -> int | None:
        """Bytes of an artefact in the own store, None if it is not there."""
        return self.site.objects.size(digest)

    async def holders(self, digest: str) -> dict[str, int]:
        """Who holds it now, and its bytes: this store, and pods that run (they are asked)."""
        from cpods.net.questions import AskHeld, Held

        found = {}
        size = self.here(digest)
        if size is not None:
            found[HERE] = size
        if self.links is None:
            return found
        home, bus, live = self.links

        async def held(pod: str) -> "Held":
            return await ask_pod(home, bus, pod, AskHeld((digest,)), Held)

        answers = await asyncio.gather(*map(held, live), return_exceptions=True)
        for pod, answer in zip(live, answers, strict=True):
            if isinstance(answer, Held) and digest in answer.artefacts:
                found[pod] = answer.artefacts[digest]
            elif isinstance(answer, BaseException) and not isinstance(answer, Unavailable | UsageError):
                raise answer
        return found

    async def said_holders(self, digest: str) -> list[str]:
        """Who holds it as the catalogue knows."""
        return sorted(await self.catalogue.ownership.holders([digest]))

    def put_here(self, ware: Ware) -> None:
        """Puts the file of a path into the own store, if that is where this version is."""
        if ware.path and self.here(ware.digest) is None and self.site.folder.digest(ware.path) == ware.digest:
            self.site.objects.put_file(self.site.folder.absolute(ware.path))
            self.site.objects.commit()

    async def bring_here(self, ware: Ware) -> Mapping[str, int]:
        """Pulls an artefact into the own store; bytes by the pod that sent them. Raises Unavailable if nobody has it."""
        from cpods.model import Artefact
        from cpods.net.pull import SftpTransfer

        self.put_here(ware)
        if self.here(ware.digest) is not None:
            return {}
        held = await self.holders(ware.digest)
        if not held or self.links is None:
            raise nobody(ware)
        transfer = SftpTransfer(self.links.home.identity.name, self.site.objects, self.peer, self.links.home.identity.ssh_key)
        try:
            await transfer.pull(Artefact(ware.digest, next(iter(held.values()))), list(held))
            self.site.objects.commit()
        finally:
            await transfer.close()
        await self.catalogue.ownership.hold(HERE, {ware.digest: next(iter(held.values()))})
        return dict(transfer.moved)

    async def bring_to(self, pod: str, ware: Ware, pin: bool = False) -> Mapping[str, int]:
        """Lets a pod pull an artefact; bytes by who sent them. Raises UsageError for no such pod, Unavailable if nobody has it."""
        from cpods.model import Artefact
        from cpods.net.questions import Fetch, Fetched

        home, bus, live = self.pods(pod)
        self.put_here(ware)
        held = await self.holders(ware.digest)
        if not held:
            raise nobody(ware)
        artefact = Artefact(ware.digest, next(iter(held.values())))
        async with AsyncExitStack() as stack:
            places = {name: live[name].sftp for name in held if name in live and name != pod}
            if HERE in held and pod not in held:
                places[home.identity.name] = await stack.enter_async_context(self._served())
            order = Fetch((artefact,), {ware.digest: tuple(places)}, places, pin)
            fetched = await ask_pod(home, bus, pod, order, Fetched, seconds=FETCH_SECONDS)
        if fetched.failed:
            raise Unavailable(f"{pod} cannot get {ware.name}: {fetched.failed[ware.digest]}")
        await self.catalogue.ownership.hold(pod, {ware.digest: artefact.size})
        return {(HERE if name == home.identity.name else name): count for name, count in fetched.bytes.items()}

    def pods(self, pod: str) -> Links:
        """The federation, in which ``pod`` runs. Raises UsageError, Unavailable."""
        if self.links is None:
            raise UsageError(f"this project has no federation, so there is no pod {pod}; say which with -F NAME or [federation] name")
        if pod not in self.links.live:
            running = ", ".join(sorted(self.links.live)) or "none"
            raise Unavailable(f"pod {pod} of {self.links.home.federation.name} does not run; running are: {running}")
        return self.links

    def peer(self, pod: str) -> "Peer | None":
        """Where a pod serves its store, with the key that the roster has pinned."""
        from cpods.net.pull import Peer

        assert self.links is not None
        status, member = self.links.live.get(pod), self.links.home.roster.active().get(pod)
        return Peer(*status.sftp, member.host_public) if status is not None and member is not None else None

    @asynccontextmanager
    async def _served(self) -> AsyncIterator[tuple[str, int]]:
        """Serves the own store while a pod pulls from it; where."""
        from cpods.net.addresses import serving_place
        from cpods.net.storeserver import StoreServer

        assert self.links is not None
        home = self.links.home
        host, port = serving_place(os.environ, home.federation.broker)
        server = StoreServer(self.site.where.store, home.identity.host_key, host=host, port=port)
        try:
            yield await server.start({name: member.ssh_public for name, member in home.roster.active().items()})
        finally:
            await server.stop()


def nobody(ware: Ware) -> Unavailable:
    """Nobody who can be asked has it."""
    return Unavailable(f"nobody who runs holds {ware.name} ({ware.digest}); start the pods that do, or rebuild it")


@asynccontextmanager
async def wares(folder: str, federation: str, lock: bool = False, wait: bool = True) -> AsyncIterator[Wares]:
    """A project's wares. ``lock``: under the project's lock, for what a build must not see half-done. Raises CpodsError, OSError."""
    from cpods.session import FEDERATION_VARIABLE
    from cpods.wiring import locked, opened, places, project_id

    check_folder(folder)
    project = project_or_defaults(folder)
    where = places(folder, project.store, os.environ)
    if not os.path.isdir(where.state):
        raise UsageError(f"cpods has built nothing in {where.root} yet: `cpods rebuild` there, or say where with -C DIR")
    async with AsyncExitStack() as stack:
        if lock:
            site, _ = await stack.enter_async_context(locked(where, project.store, os.environ, wait, _on_wait))
        else:
            site = await stack.enter_async_context(opened(where, project.store, os.environ))
        site.folder.begin()
        name = federation or project.federation.name or os.environ.get(FEDERATION_VARIABLE, "")
        links = None
        if name:
            home, bus = await stack.enter_async_context(connected(name))
            pods = await ask_pods(home, bus)
            live = set(live_pods(pods))
            links = Links(home, bus, {status.pod: status for status in pods.statuses if status.pod in live})
        yield Wares(site, await site.full(), project_id(where.state), links)


def _on_wait(text: str) -> None:
    print(f"waiting: {text}", file=sys.stderr)
