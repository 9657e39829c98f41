"""Empties a pod that is to leave: its running steps end, its only copies and its ownerships go to other pods.

Knows no connection and no terminal: how pods and the steward are asked is handed in.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from cpods.errors import Unavailable, UsageError
from cpods.model import Artefact
from cpods.net.messages import Owned
from cpods.net.questions import AskHeld, AskOwned, AskStatus, Disown, Drain, Fetch, Fetched, Held, Okay, Own, OwnedPaths, PodStatus
from cpods.net.stewardship import Handover
from cpods.net.wire import Wire

#: Digests in one question, artefacts and bytes in one order to fetch, paths in one note: each answer comes in time.
DIGESTS_MAX = 4000
FETCH_MAX = 500
FETCH_BYTES_MAX = 256 << 20
PATHS_MAX = 1000

#: Seconds that fetching one batch may take, and between two looks at the steps that still run.
FETCH_SECONDS = 1800.0
LOOK_SECONDS = 0.5

_Kind = TypeVar("_Kind", bound=Wire)


class Asking(NamedTuple):
    """``pod(name, question, kind, seconds)`` and ``steward(question)`` raise Unavailable or UsageError; ``say`` tells progress."""

    pod: Callable[[str, Wire, type[Wire], float], Awaitable[Wire]]
    steward: Callable[[Wire], Awaitable[Okay]]
    say: Callable[[str], None]


class Emptied(NamedTuple):
    """What was handed on. ``edited``: paths that were not, since somebody changed them there and no MajorDomo knows it yet."""

    copies: int
    bytes: int
    paths: int
    edited: tuple[str, ...]


class Emptying:
    """The emptying of one pod. ``others``: statuses of the pods that can take what it has."""

    def __init__(self, pod: PodStatus, others: Sequence[PodStatus], asking: Asking) -> None:
        self._pod = pod
        self._others = {status.pod: status for status in others if status.algorithm == pod.algorithm}
        self._asking = asking
        self._holders: dict[str, str] = {}

    async def run(self) -> Emptied:
        """Empties it. May be called again after any failure. Raises Unavailable, UsageError."""
        name = self._pod.pod
        await self._ask(name, Drain(), Okay)
        self._asking.say(f"{name} takes no more steps")
        await self._wait_for_steps()
        held = await self._held()
        await self._find_copies(held)
        only = {digest: size for digest, size in held.items() if digest not in self._holders}
        await self._copy(only)
        paths, edited = await self._hand_over()
        return Emptied(len(only), sum(only.values()), paths, tuple(edited))

    async def _wait_for_steps(self) -> None:
        said = -1
        while True:
            status = await self._ask(self._pod.pod, AskStatus(), PodStatus)
            running = status.slots - status.free_slots
            if not running:
                return
            if running != said:
                self._asking.say(f"{running} step{'s' if running != 1 else ''} still run{'s' if running == 1 else ''} there")
                said = running
            await asyncio.sleep(LOOK_SECONDS)

    async def _held(self) -> dict[str, int]:
        """Everything that the pod holds: digest -> bytes."""
        held: dict[str, int] = {}
        after = ""
        while True:
            page = await self._ask(self._pod.pod, AskHeld(None, after), Held)
            held.update(page.artefacts)
            if not page.next or page.next == after:
                return held
            after = page.next

    async def _find_copies(self, held: Mapping[str, int]) -> None:
        """Who else holds what."""
        digests = sorted(held)
        for other in self._others:
            for start in range(0, len(digests), DIGESTS_MAX):
                page = await self._ask(other, AskHeld(tuple(digests[start : start + DIGESTS_MAX])), Held)
                self._holders.update(dict.fromkeys(page.artefacts, other))

    async def _copy(self, only: Mapping[str, int]) -> None:
        """Lets others pull what only this pod holds."""
        done = 0
        for other, artefacts in shared_out(only, {name: status.disk_free_bytes for name, status in self._others.items()}).items():
            for batch in batches(artefacts):
                holders = {one.digest: (self._pod.pod,) for one in batch}
                order = Fetch(tuple(batch), holders, {self._pod.pod: self._pod.sftp})
                fetched = await self._ask(other, order, Fetched, FETCH_SECONDS)
                if fetched.failed:
                    digest, reason = next(iter(fetched.failed.items()))
                    raise Unavailable(f"{other} cannot take over {len(fetched.failed)} artefacts, {digest} for one: {reason}; drain again")
                self._holders.update((one.digest, other) for one in batch)
                done += len(batch)
                self._asking.say(f"{done} of {len(only)} artefacts that only {self._pod.pod} held are copied")

    async def _hand_over(self) -> tuple[int, list[str]]:
        """Passes ownerships on; how many, and the paths that stay because they were edited there."""
        owned = await self._ask(self._pod.pod, AskOwned(), OwnedPaths)
        count, edited = 0, []
        for project, paths in sorted(owned.projects.items()):
            edited += [path.path for path in paths if path.now != path.digest]
            by_pod: dict[str, list[Owned]] = defaultdict(list)
            for path in paths:
                if path.now == path.digest:
                    by_pod[self._taker(path)].append(Owned(path.path, path.epoch + 1, path.digest, path.digest))
            for other, passed in sorted(by_pod.items()):
                for start in range(0, len(passed), PATHS_MAX):
                    await self._pass_on(project, other, tuple(passed[start : start + PATHS_MAX]))
                    count += len(passed[start : start + PATHS_MAX])
                    self._asking.say(f"{count} paths have other owners")
        return count, edited

    def _taker(self, path: Owned) -> str:
        other = self._holders.get(path.digest)
        if other is None:
            raise Unavailable(
                f"{self._pod.pod} owns {path.path} but does not hold its version any more; build its project once, then drain again"
            )
        return other

    async def _pass_on(self, project: str, other: str, paths: tuple[Owned, ...]) -> None:
        """The new owner first, the note next: whatever is cut off in between, nobody's version is lost."""
        await self._ask(other, Own(project, paths), Okay)
        await self._asking.steward(Handover(project, self._pod.pod, other, paths))
        await self._ask(self._pod.pod, Disown(project, {path.path: path.epoch for path in paths}), Okay)

    async def _ask(self, pod: str, question: Wire, kind: type[_Kind], seconds: float = 30.0) -> _Kind:
        answer = await self._asking.pod(pod, question, kind, seconds)
        assert isinstance(answer, kind)
        return answer


def shared_out(artefacts: Mapping[str, int], room: Mapping[str, int]) -> dict[str, list[Artefact]]:
    """Who takes which artefact (digest -> bytes), the largest first to the pod with most room left (bytes by pod).

    Raises UsageError if there is nobody, or not room enough.
    """
    if artefacts and not room:
        raise UsageError(
            f"{len(artefacts)} artefacts are there alone, and no other pod runs that could take them; start one, then drain again"
        )
    left = dict(room)
    taken: dict[str, list[Artefact]] = defaultdict(list)
    for digest, size in sorted(artefacts.items(), key=lambda entry: (-entry[1], entry[0])):
        pod = max(left, key=lambda name: (left[name], name))
        if left[pod] < size:
            raise UsageError(f"no other pod has room for {digest} ({size} bytes); make room on one, then drain again")
        left[pod] -= size
        taken[pod].append(Artefact(digest, size))
    return dict(sorted(taken.items()))


def batches(artefacts: Sequence[Artefact]) -> list[list[Artefact]]:
    """Artefacts in the order given, in lists that one order can fetch in time."""
    found: list[list[Artefact]] = []
    room = 0
    for one in artefacts:
        if not found or len(found[-1]) >= FETCH_MAX or one.size > room:
            found.append([])
            room = FETCH_BYTES_MAX
        found[-1].append(one)
        room -= one.size
    return found
