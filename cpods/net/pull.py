"""Pulls artefacts from the members that hold them, by SFTP, into the own store: the real part of the Transfer port.

Knows no store but by its port, and of members only what it is told: where they serve, with which host key.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import asyncssh

from cpods.digest import algorithm_of
from cpods.errors import Unavailable
from cpods.model import Artefact
from cpods.net.arrival import Arrival, Extent
from cpods.net.links import Broken, Link, Links, Lying, Peer, Stalled, Trouble, told
from cpods.net.pack import object_path
from cpods.net.packpull import PackPull, no_delivery
from cpods.ports import Objects

__all__ = ["Peer", "SftpTransfer"]

#: From this size on several holders send one artefact together.
LARGE_BYTES = 64 << 20

#: Up to this size artefacts travel in packs when many are wanted.
SMALL_BYTES = 256 << 10

#: Holders that send one artefact together.
TOGETHER_MAX = 4

#: Artefacts that are pulled at once, packs apart, and bytes that may be on the way for all of them.
PULLS_MAX = 8
FLYING_BYTES_MAX = 24 << 20

#: Times that a broken connection is opened again without a byte in between.
RETRIES_MAX = 2

_T = TypeVar("_T")
_Failure = tuple[frozenset[str], str]
_Flight = tuple[Extent, "asyncio.Task[bytes]"]
_RemoteFile = asyncssh.SFTPClientFile


class _Turn:
    """One turn at an artefact. ``failure``: of the pull that was waited for, then of this one: the holders asked, and the sentence."""

    def __init__(self) -> None:
        self.failure: _Failure | None = None


class SftpTransfer:
    """Pulls for the member ``pod`` into ``objects``. ``peers``: where a holder serves now; None if it cannot be asked.

    ``ssh_key``: the private key, text in OpenSSH's form. ``on_bad_holder`` is called with a holder whose bytes did not match.
    ``has``: whether an object is really here, for Objects whose own ``has`` also answers for others.
    ``stall_seconds``: a holder that sends nothing for so long is given up. ``moved``: bytes received, by holder.
    As with every put, what was pulled is durable after the store's commit. The own disk's errors are raised as OSError.
    """

    def __init__(
        self,
        pod: str,
        objects: Objects,
        peers: Callable[[str], Peer | None],
        ssh_key: str,
        on_bad_holder: Callable[[str, Artefact], None] | None = None,
        has: Callable[[str], bool] | None = None,
        stall_seconds: float = 30.0,
    ) -> None:
        self.moved: Counter[str] = Counter()
        self.pod = pod
        self._objects = objects
        self._links = Links(peers, ssh_key)
        self._on_bad_holder = on_bad_holder
        self._has = has or objects.has
        self._stall_seconds = stall_seconds
        self._running: dict[str, asyncio.Future[_Failure | None]] = {}
        self._slots = asyncio.Semaphore(PULLS_MAX)
        self._flying_bytes = 0

    async def pull(self, artefact: Artefact, holders: Sequence[str]) -> None:
        """As in the port. Asked for twice at a time, it is pulled once; holders are tried in the order given.

        Large ones come from several at once. Raises Unavailable, which names each holder's reason; OSError.
        """
        async with self._single_flight([artefact.digest]) as turn:
            if self._has(artefact.digest):
                return
            asked = self._askable(artefact, holders)
            if turn.failure is None or not turn.failure[0].issuperset(asked):
                reasons: dict[str, str] = {}
                async with self._slots:
                    if await self._deliver(artefact, asked, reasons):
                        return
                turn.failure = frozenset(asked), no_delivery(artefact, reasons)
            raise Unavailable(turn.failure[1])

    async def pull_many(self, wanted: Mapping[Artefact, Sequence[str]]) -> Mapping[Artefact, str]:
        """As in the port: small ones in packs, others as :meth:`pull` does. Returns those that failed, and why."""
        small = {artefact: holders for artefact, holders in wanted.items() if artefact.size <= SMALL_BYTES}
        alone = {artefact: holders for artefact, holders in wanted.items() if artefact.size > SMALL_BYTES}
        failed: dict[Artefact, str] = {}
        packs = self._in_packs(small, failed) if len(small) > 1 else self._one_by_one(small, failed)
        await _together([packs, self._one_by_one(alone, failed)])
        return failed

    async def close(self) -> None:
        """Ends all connections; what is still being pulled fails."""
        await self._links.close()

    async def _one_by_one(self, wanted: Mapping[Artefact, Sequence[str]], failed: dict[Artefact, str]) -> None:
        async def one(artefact: Artefact, holders: Sequence[str]) -> None:
            try:
                await self.pull(artefact, holders)
            except Unavailable as error:
                failed[artefact] = str(error)

        await _together([one(artefact, holders) for artefact, holders in wanted.items()])

    async def _in_packs(self, wanted: Mapping[Artefact, Sequence[str]], failed: dict[Artefact, str]) -> None:
        """What another call pulls already, and what no pack brings, is pulled alone."""
        asked: dict[Artefact, list[str]] = {}
        rest: dict[Artefact, Sequence[str]] = {}
        for artefact, holders in wanted.items():
            if self._has(artefact.digest):
                continue
            try:
                named = self._askable(artefact, holders)
            except Unavailable as error:
                failed[artefact] = str(error)
                continue
            if artefact.digest in self._running:
                rest[artefact] = holders
            else:
                asked[artefact] = named
        async with self._single_flight([artefact.digest for artefact in asked]):
            left = await PackPull(self._objects, self._links, self.moved, self.accuse, self.on_time).pull(asked, failed)
        await self._one_by_one({**rest, **left}, failed)

    def _askable(self, artefact: Artefact, holders: Iterable[str]) -> list[str]:
        """The holders in order, without this pod itself. Raises Unavailable for an algorithm that this store does not use."""
        if algorithm_of(artefact.digest) != self._objects.algorithm:
            told_of = f"the store there names objects by {self._objects.algorithm}"
            raise Unavailable(f"{artefact.digest} cannot be brought to {self.pod}: {told_of}")
        return [holder for holder in dict.fromkeys(holders) if holder != self.pod]

    @contextlib.asynccontextmanager
    async def _single_flight(self, digests: Sequence[str]) -> AsyncIterator[_Turn]:
        """While this is entered nobody else pulls these; several are only entered when nobody pulls any of them."""
        turn = _Turn()
        while running := next((self._running[digest] for digest in digests if digest in self._running), None):
            await asyncio.wait([running])
            turn.failure = running.result()
        ended: asyncio.Future[_Failure | None] = asyncio.get_running_loop().create_future()
        self._running.update(dict.fromkeys(digests, ended))
        try:
            yield turn
        finally:
            for digest in digests:
                del self._running[digest]
            ended.set_result(turn.failure)

    async def _deliver(self, artefact: Artefact, holders: list[str], reasons: dict[str, str]) -> bool:
        """Whether it is in the store now. ``reasons`` gets why not, by holder.

        If bytes of several holders together were wrong, nobody knows whose: then each is asked alone.
        """
        groups = deque([holders] if holders else [])
        while groups:
            group = groups.popleft()
            arrival = Arrival(artefact, self._objects.incoming(artefact, False))
            try:
                await self._collect(arrival, group, reasons)
                if arrival.matches:
                    arrival.incoming.accept()
                    return True
            finally:
                arrival.incoming.discard()
            if not arrival.complete:
                continue
            rest = [holder for holder in group if holder not in reasons and holder not in arrival.sent]
            if len(arrival.sent) > 1:
                groups.extend([holder] for holder in [*arrival.sent, *rest])
                continue
            for holder in arrival.sent:
                self.accuse(holder, artefact)
                reasons[holder] = "sent other bytes"
            if rest := [holder for holder in rest if holder not in reasons]:
                groups.append(rest)
        return False

    async def _collect(self, arrival: Arrival, group: list[str], reasons: dict[str, str]) -> None:
        """Asks the holders of a group, several together for a large artefact, until all bytes are here or none is left.

        What has come stays when a holder fails: the next ones send the rest.
        """
        left = list(group)
        at_once = TOGETHER_MAX if arrival.artefact.size >= LARGE_BYTES else 1
        while left and not arrival.complete:
            for holder, trouble in (await self._ask(arrival, left[:at_once])).items():
                left.remove(holder)
                reasons[holder] = str(trouble)
                if isinstance(trouble, Lying):
                    self.accuse(holder, arrival.artefact)

    async def _ask(self, arrival: Arrival, holders: list[str]) -> dict[str, Trouble]:
        """Lets holders send together until all is here or all have ended; the troubles of those that failed."""
        tasks = {asyncio.create_task(self._fetch(holder, arrival)): holder for holder in holders}
        try:
            waiting = set(tasks)
            while waiting and not arrival.complete:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        troubles: dict[str, Trouble] = {}
        for task, holder in tasks.items():
            error = None if task.cancelled() else task.exception()
            if isinstance(error, Trouble):
                troubles[holder] = error
            elif error is not None:
                raise error
        return troubles

    async def _fetch(self, holder: str, arrival: Arrival) -> None:
        """Has a holder send as long as something is missing, over a new connection if one breaks. Raises Trouble."""
        tries = 0
        while True:
            sent = arrival.sent[holder]
            link = None
            try:
                link = await self._links.get(holder)
                await self._window(link, holder, arrival)
                return
            except Broken as trouble:
                if link is not None:
                    link.drop()
                tries = 0 if arrival.sent[holder] > sent else tries + 1
                if tries > RETRIES_MAX or isinstance(trouble, Stalled):
                    raise

    async def _window(self, link: Link, holder: str, arrival: Arrival) -> None:
        """Keeps reads under way over one connection and takes them in order. Raises Trouble."""
        try:
            file = await self.on_time(link.sftp.open(object_path(arrival.artefact.digest), "rb", encoding=None, block_size=0))
        except Exception as error:
            raise told(error) or error from None
        flights: deque[_Flight] = deque()
        checking: asyncio.Task[asyncssh.SFTPAttrs] | None = asyncio.create_task(file.stat())
        try:
            while True:
                self._take_off(link, holder, arrival, file, flights)
                if checking is not None:
                    await self._check(arrival, await self.on_time(checking))
                    checking = None
                if not flights:
                    return
                extent, task = flights[0]
                data = await self.on_time(task)
                arrival.land(holder, extent[0], data)
                self.moved[holder] += len(data)
                self._settle(holder, arrival, flights.popleft())
        except (asyncssh.Error, ConnectionError) as error:
            raise told(error) or error from None
        finally:
            waiting: list[asyncio.Task[Any]] = [task for _, task in flights]
            for task in [*waiting, checking] if checking is not None else waiting:
                task.cancel()
                await asyncio.wait([task])
            while flights:
                self._settle(holder, arrival, flights.popleft())
            link.give_up(file)

    def _take_off(self, link: Link, holder: str, arrival: Arrival, file: _RemoteFile, flights: deque[_Flight]) -> None:
        """Fills the window; beyond the bytes that all pulls together may have on the way it holds one read."""
        while len(flights) < link.depth and (not flights or self._flying_bytes < FLYING_BYTES_MAX):
            extent = arrival.take(holder, link.block, idle=not flights)
            if extent is None:
                return
            self._flying_bytes += extent[1]
            flights.append((extent, asyncio.create_task(_read_whole(file, *extent))))

    def _settle(self, holder: str, arrival: Arrival, flight: _Flight) -> None:
        """A read has ended, well or not."""
        self._flying_bytes -= flight[0][1]
        arrival.give_back(holder, flight[0])

    async def _check(self, arrival: Arrival, status: asyncssh.SFTPAttrs) -> None:
        if status.size is not None and status.size != arrival.artefact.size:
            raise Lying(f"has {status.size} bytes under this name instead of {arrival.artefact.size}")
        if (status.permissions or 0) & 0o111:
            arrival.incoming.set_executable()

    async def on_time(self, work: Awaitable[_T]) -> _T:
        """Waits for something that a holder sends. Raises Stalled if nothing comes."""
        try:
            async with asyncio.timeout(self._stall_seconds):
                return await work
        except TimeoutError:
            raise Stalled(f"sent nothing for {self._stall_seconds:g} s") from None

    def accuse(self, holder: str, artefact: Artefact) -> None:
        """A holder's bytes were not those of the artefact."""
        if self._on_bad_holder is not None:
            self._on_bad_holder(holder, artefact)


async def _read_whole(file: _RemoteFile, offset: int, length: int) -> bytes:
    """A block, asked for again where a server gives less. Raises Lying where the file ends before."""
    data: bytes = await file.read(length, offset)
    while len(data) < length:
        more: bytes = await file.read(length - len(data), offset + len(data))
        if not more:
            raise Lying(f"has a file under this name that ends after {offset + len(data)} bytes")
        data += more
    return data


async def _together(work: Iterable[Awaitable[None]]) -> None:
    """All of them; the first error ends the others and is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
