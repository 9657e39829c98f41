"""Holders that are each wrong in one way: nothing of theirs gets in, the next holder delivers, and the reason is said."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cpods.errors import Unavailable
from cpods.model import Artefact
from cpods.net.pull import SftpTransfer
from cpods.net.sftp_server import ObjectServer
from cpods.store.objects import ObjectStore
from tests.helpers import bad_peers
from tests.helpers.bad_peers import serving
from tests.helpers.yard import new_key

#: Name of the fault -> (server, what is said of it, whether it is told to be a bad holder).
BAD: dict[str, tuple[type[ObjectServer], str, bool]] = {
    "truncates": (bad_peers.Truncates, "ends after|ended a pack early", False),
    "flips a byte": (bad_peers.FlipsAByte, "sent other bytes", True),
    "lies about size": (bad_peers.LiesAboutSize, "bytes", True),
    "stalls": (bad_peers.Stalls, "sent nothing for 0.3 s", False),
    "stalls at opening": (bad_peers.StallsAtOpening, "sent nothing for 0.3 s", False),
    "closes at once": (bad_peers.ClosesAtOnce, "broke the connection off|cannot be reached", False),
    "answers ..": (bad_peers.AnswersDotDot, "bytes|bad pack", True),
    "speaks nonsense": (bad_peers.SpeaksNonsense, "moon phase", False),
}

Pull = Callable[[SftpTransfer, dict[Artefact, list[str]]], Awaitable[dict[Artefact, str]]]


async def alone(transfer: SftpTransfer, wanted: dict[Artefact, list[str]]) -> dict[Artefact, str]:
    failed = {}
    for artefact, holders in wanted.items():
        try:
            await transfer.pull(artefact, holders)
        except Unavailable as error:
            failed[artefact] = str(error)
    return failed


async def together(transfer: SftpTransfer, wanted: dict[Artefact, list[str]]) -> dict[Artefact, str]:
    return dict(await transfer.pull_many(wanted))


WAYS: dict[str, Pull] = {"alone": alone, "in packs": together}


class Place:
    """A store that a bad and a good server show, and one that pulls."""

    def __init__(self, folder: Path) -> None:
        self.theirs = ObjectStore(str(folder / "theirs"))
        self.ours = ObjectStore(str(folder / "ours"))
        self.accused: set[str] = set()
        self.user, self.host_key = new_key(), new_key()

    def put(self, count: int = 3) -> list[Artefact]:
        found = [self.theirs.put_bytes(b"%d " % number * 2000) for number in range(count)]
        self.theirs.commit()
        return found

    async def pull(self, server: type[ObjectServer], way: Pull, wanted: dict[Artefact, list[str]]) -> dict[Artefact, str]:
        async with (
            serving(self.theirs.root, server, self.host_key, self.user) as bad,
            serving(self.theirs.root, ObjectServer, self.host_key, self.user) as good,
        ):
            peers = {"bad": bad, "good": good}
            transfer = SftpTransfer(
                "me", self.ours, peers.get, self.user.private, lambda holder, _: self.accused.add(holder), stall_seconds=0.3
            )
            try:
                return await way(transfer, wanted)
            finally:
                await transfer.close()

    def left_over(self) -> list[Path]:
        """Files in the store that are neither objects nor its own."""
        return [path for path in (Path(self.ours.root) / "tmp").rglob("*") if path.is_file()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("fault", sorted(BAD))
def test_nothing_of_a_bad_holder_gets_in(place: Place, fault: str, way: str) -> None:
    server, said, accused = BAD[fault]
    wanted = place.put()
    failed = asyncio.run(place.pull(server, WAYS[way], {artefact: ["bad"] for artefact in wanted}))
    assert failed
    for artefact, sentence in failed.items():
        assert sentence.startswith(f"no pod delivers {artefact.digest}: bad ")
        assert re.search(said, sentence), sentence
    for artefact in wanted:
        assert (artefact in failed) != place.ours.has(artefact.digest)
    assert ("bad" in place.accused) >= accused
    place.ours.commit()
    assert place.left_over() == []


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("fault", sorted(BAD))
def test_the_next_holder_delivers(place: Place, fault: str, way: str) -> None:
    wanted = place.put()
    failed = asyncio.run(place.pull(BAD[fault][0], WAYS[way], {artefact: ["bad", "good"] for artefact in wanted}))
    assert failed == {}
    assert all(place.ours.read(artefact.digest) for artefact in wanted)
    assert place.accused <= {"bad"}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_connection_that_breaks_is_opened_again_and_what_has_come_stays(place: Place, way: str) -> None:
    """Every connection brings one block, so it takes as many as there are blocks."""
    wanted = [place.theirs.put_bytes(bytes([number]) * (5 << 19)) for number in range(2)]
    if way == "in packs":
        wanted = [place.theirs.put_bytes(bytes([number]) * 200_000) for number in range(6)]
    place.theirs.commit()
    assert asyncio.run(place.pull(bad_peers.ClosesMidRead, WAYS[way], {artefact: ["bad"] for artefact in wanted})) == {}
    assert all(place.ours.read(artefact.digest) for artefact in wanted)
    assert place.accused == set()


def test_wrong_bytes_in_a_mixture_are_found_out_holder_by_holder(place: Place) -> None:
    """Half comes from a holder that breaks off for good, half from one that lies: only the liar is told."""
    artefact = place.theirs.put_bytes(bytes(range(256)) * 16384)
    place.theirs.commit()

    class BreaksThenRefuses(ObjectServer):
        opened = 0

        def open(self, path: bytes, pflags: int, attrs: object) -> object:
            BreaksThenRefuses.opened += 1
            if BreaksThenRefuses.opened > 1:
                raise bad_peers.asyncssh.SFTPFailure("out of order")
            return super().open(path, pflags, attrs)  # type: ignore[arg-type]

        def read(self, file_obj: object, offset: int, size: int) -> bytes:
            if offset:
                self.connection.abort()
            return super().read(file_obj, offset, size)

    class FlipsTheEnd(ObjectServer):
        def read(self, file_obj: object, offset: int, size: int) -> bytes:
            return super().read(file_obj, offset, size)[:-1] + b"!"

    async def scenario() -> None:
        async with (
            serving(place.theirs.root, BreaksThenRefuses, place.host_key, place.user) as first,
            serving(place.theirs.root, FlipsTheEnd, place.host_key, place.user) as liar,
            serving(place.theirs.root, ObjectServer, place.host_key, place.user) as good,
        ):
            peers = {"first": first, "liar": liar, "good": good}
            transfer = SftpTransfer("me", place.ours, peers.get, place.user.private, lambda holder, _: place.accused.add(holder))
            await transfer.pull(artefact, ["first", "liar", "good"])
            await transfer.close()

    asyncio.run(scenario())
    assert place.ours.read(artefact.digest)
    assert place.accused == {"liar"}
