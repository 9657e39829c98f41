"""Pulls many small artefacts in packs: grouped by holder, resumed member by member, each verified before it is stored.

Knows no large artefact and no way to ask for one alone: what no pack brings is handed back.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import asyncssh

from cpods.digest import algorithm_of, of_bytes
from cpods.model import Artefact
from cpods.net.confined import REQUEST_LENGTH
from cpods.net.links import Broken, Link, Links, Stalled, Trouble, told
from cpods.net.pack import MEMBERS_MAX, BadPack, Unpacker, pack_path
from cpods.ports import Objects

#: Content of one pack, in bytes and members; packs that travel at once.
PACK_BYTES_MAX = 16 << 20
PACK_MEMBERS_MAX = min(1000, MEMBERS_MAX)
PACKS_MAX = 3

_BLOCK_BYTES, _DEPTH = 256 << 10, 6
_RETRIES_MAX = 2
_HEAD_BYTES = 9

_T = TypeVar("_T")


class OnTime(Protocol):
    """Waits for something that a holder sends. Raises Stalled if nothing comes for long."""

    def __call__(self, work: Awaitable[_T]) -> Coroutine[object, object, _T]: ...


class PackPull:
    """One round of pulls. ``moved`` counts bytes by holder; ``accuse`` is told of a holder with wrong bytes."""

    def __init__(
        self, objects: Objects, links: Links, moved: Counter[str], accuse: Callable[[str, Artefact], None], on_time: OnTime
    ) -> None:
        self._objects = objects
        self._links = links
        self._moved = moved
        self._accuse = accuse
        self._on_time = on_time
        self._slots = asyncio.Semaphore(PACKS_MAX)
        self._left: dict[Artefact, deque[str]] = {}
        self._alone: dict[Artefact, Sequence[str]] = {}
        self._reasons: dict[Artefact, dict[str, str]] = {}

    async def pull(self, wanted: Mapping[Artefact, Sequence[str]], failed: dict[Artefact, str]) -> Mapping[Artefact, Sequence[str]]:
        """Pulls into the store; ``failed`` gets why not. Returns what is to be pulled alone, with the holders to ask."""
        self._left = {artefact: deque(holders) for artefact, holders in wanted.items()}
        self._reasons = {artefact: {} for artefact in wanted}
        while self._left:
            for artefact in [one for one, holders in self._left.items() if not holders]:
                del self._left[artefact]
                failed[artefact] = no_delivery(artefact, self._reasons[artefact])
            tasks = [asyncio.create_task(self._one_pack(holder, pack)) for holder, pack in self._packs()]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return self._alone

    def _packs(self) -> Iterator[tuple[str, list[Artefact]]]:
        """What is left, by the holder whose turn it is and by algorithm, cut into packs."""
        groups: dict[tuple[str, str], list[Artefact]] = {}
        for artefact, holders in self._left.items():
            groups.setdefault((holders[0], algorithm_of(artefact.digest)), []).append(artefact)
        for (holder, _), artefacts in groups.items():
            pack: list[Artefact] = []
            size = 0
            for artefact in artefacts:
                if pack and (len(pack) == PACK_MEMBERS_MAX or size + artefact.size > PACK_BYTES_MAX):
                    yield holder, pack
                    pack, size = [], 0
                pack.append(artefact)
                size += artefact.size
            yield holder, pack

    async def _one_pack(self, holder: str, pack: list[Artefact]) -> None:
        """Gets a pack from a holder; what it does not bring goes to each member's next holder."""
        async with self._slots:
            try:
                await self._resumed(holder, pack)
            except Trouble as trouble:
                for artefact in pack:
                    if artefact in self._left:
                        self._not_from(holder, artefact, str(trouble))

    async def _resumed(self, holder: str, pack: list[Artefact]) -> None:
        """Over new connections, from the first member that has not come, if one breaks. Raises Trouble."""
        tries = 0
        while pack:
            link = await self._links.get(holder)
            if not link.packs:
                return self._pull_alone(holder, pack)
            at = 0

            def take(index: int, data: bytes | None, executable: bool, pack: list[Artefact] = pack) -> None:
                nonlocal at
                self._take(holder, pack[index], data, executable)
                at = index + 1

            unpacker = Unpacker([artefact.size for artefact in pack], take)
            try:
                await self._unpack(link, pack, unpacker)
                return
            except BadPack as error:  # nobody can say where the next member begins
                self._accuse(holder, pack[unpacker.at])
                self._not_from(holder, pack[unpacker.at], f"sent a bad pack: {error}")
                return self._pull_alone(holder, pack[unpacker.at + 1 :])
            except Broken as trouble:
                link.drop()
                tries = 0 if at else tries + 1
                if tries > _RETRIES_MAX or isinstance(trouble, Stalled):
                    raise
            pack = pack[at:]

    async def _unpack(self, link: Link, pack: list[Artefact], unpacker: Unpacker) -> None:
        chunks = (self._stream if link.packs == "stream" else self._file)(link, pack, unpacker)
        try:
            async for chunk in chunks:
                unpacker.feed(chunk)
            if not unpacker.complete:
                raise Broken("ended a pack early")
        except asyncssh.ChannelOpenError:
            link.packs = ""
            raise Broken("makes no packs") from None
        except (asyncssh.Error, ConnectionError) as error:
            raise told(error) or error from None
        finally:
            await chunks.aclose()

    async def _file(self, link: Link, pack: list[Artefact], unpacker: Unpacker) -> AsyncGenerator[bytes, None]:
        """A pack read as the virtual file of an embedded server, some reads ahead."""
        path = pack_path([artefact.digest for artefact in pack])
        file = await self._on_time(link.sftp.open(path, "rb", encoding=None, block_size=0))
        end = sum(artefact.size + _HEAD_BYTES for artefact in pack)
        flights: deque[asyncio.Task[bytes]] = deque()
        offset = 0
        try:
            while not unpacker.complete:
                while len(flights) < _DEPTH and offset < end:
                    flights.append(asyncio.create_task(file.read(min(_BLOCK_BYTES, end - offset), offset)))
                    offset += _BLOCK_BYTES
                if not flights:
                    return
                data = await self._on_time(flights[0])
                flights.popleft()
                if not data:
                    return
                yield data
        finally:
            for flight in flights:
                flight.cancel()
            await asyncio.gather(*flights, return_exceptions=True)
            link.give_up(file)

    async def _stream(self, link: Link, pack: list[Artefact], unpacker: Unpacker) -> AsyncGenerator[bytes, None]:
        """A pack that a private sshd's session makes, over a channel of its own."""
        text = "\n".join(artefact.digest for artefact in pack).encode()
        async with link.pack_stream() as process:
            process.stdin.write(REQUEST_LENGTH.pack(len(text)) + text)
            while not unpacker.complete:
                data = await self._on_time(process.stdout.read(_BLOCK_BYTES))
                if not data:
                    raise Broken("ended a pack early")
                yield data

    def _take(self, holder: str, artefact: Artefact, data: bytes | None, executable: bool) -> None:
        """A member has come, or the word that it is not there. Raises OSError if it cannot be stored."""
        if data is None:
            return self._not_from(holder, artefact, "does not have it any more")
        self._moved[holder] += len(data)
        if of_bytes(data, algorithm_of(artefact.digest)) != artefact.digest:
            self._accuse(holder, artefact)
            return self._not_from(holder, artefact, "sent other bytes")
        incoming = self._objects.incoming(artefact, executable)
        try:
            incoming.write_at(data, 0)
            incoming.accept()
        finally:
            incoming.discard()
        del self._left[artefact]

    def _not_from(self, holder: str, artefact: Artefact, reason: str) -> None:
        """The next holder's turn."""
        self._reasons[artefact][holder] = reason
        self._left[artefact].popleft()

    def _pull_alone(self, holder: str, pack: Sequence[Artefact]) -> None:
        for artefact in pack:
            self._alone[artefact] = list(self._left.pop(artefact))


def no_delivery(artefact: Artefact, reasons: Mapping[str, str]) -> str:
    """The sentence for an artefact that nobody delivers. ``reasons`` by holder."""
    tried = "; ".join(f"{holder} {reason}" for holder, reason in reasons.items()) or "nobody else is said to hold it"
    return f"no pod delivers {artefact.digest}: {tried}"
