"""Ends of orders on their way to the MajorDomos: made durable in batches, then sent again and again until acknowledged.

Knows no step: what an end holds is for the kitchen and the MajorDomo.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import msgspec

from cpods.errors import Unavailable
from cpods.model import Artefact
from cpods.net import subjects
from cpods.net.messages import Ack, Acks, Detour, Done, StepDone
from cpods.net.wire import MESSAGE_BYTES_MAX, decode, encode
from cpods.orders import Cooked
from cpods.ports import Bus, Objects
from cpods.store.outbox import End, Outbox

#: So long ends that come one after the other wait for each other: one sync and one transaction for all.
GATHER_SECONDS = 0.003
REQUEST_SECONDS = 1.0
#: Between two tries, doubling.
BACKOFF_SECONDS = (0.1, 5.0)
_BATCH_MAX = 64
_BATCH_BYTES_MAX = 384 << 10

Taken = Callable[[str, StepDone, Ack], None]
Ends = dict[str, tuple[StepDone, int]]
#: A MajorDomo and a project of it: what one build takes does not wait for another that nobody runs.
Lane = tuple[str, str]


class Delivery:
    """What has ended and is not acknowledged. ``taken(majordomo, done, ack)`` is called for each that was.

    ``here()``: (host, port) at which this pod serves its store.
    """

    def __init__(
        self,
        federation: str,
        pod: str,
        bus: Bus,
        objects: Objects,
        outbox: Outbox,
        here: Callable[[], tuple[str, int]],
        taken: Taken,
        committed: Callable[[Iterable[StepDone]], None] = lambda _: None,
    ) -> None:
        self._federation = federation
        self._pod = pod
        self._bus = bus
        self._objects = objects
        self._outbox = outbox
        self._here = here
        self._taken = taken
        self._committed = committed
        self._fresh: list[tuple[str, StepDone]] = []
        self._settling: set[tuple[str, str]] = set()
        self._arrived = asyncio.Event()
        self._ends: dict[Lane, Ends] = {}
        self._kicks: dict[Lane, asyncio.Event] = {}
        self._group: asyncio.TaskGroup | None = None
        for end in outbox.ends():
            self._ends.setdefault((end.majordomo, end.project), {})[end.id] = (msgspec.json.decode(end.data, type=StepDone), len(end.data))

    def hand_in(self, majordomo: str, done: StepDone) -> None:
        """Takes an end; it is sent once it and its artefacts are durable."""
        self._fresh.append((majordomo, done))
        self._settling.add((majordomo, done.id))
        self._arrived.set()

    def has(self, majordomo: str, id: str) -> bool:
        """Whether an order has ended and its end is still to be acknowledged."""
        lanes = (ends for lane, ends in self._ends.items() if lane[0] == majordomo)
        return (majordomo, id) in self._settling or any(id in ends for ends in lanes)

    def waiting(self, majordomo: str, project: str) -> tuple[str, ...]:
        """Ids of a project's ends that are on their way."""
        return tuple(self._ends.get((majordomo, project), {}))

    def kick(self, majordomo: str) -> None:
        """Somebody is there again: sends now what waits for a later try."""
        for lane in self._ends if self._group is not None else ():
            if lane[0] == majordomo:
                self._kick(lane)

    async def run(self) -> None:
        """Settles and sends until cancelled. Raises OSError, StoreDamaged if the outbox cannot be written."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for lane in self._ends:
                    self._kick(lane)
                while True:
                    await self._arrived.wait()
                    await asyncio.sleep(GATHER_SECONDS)
                    await self.settle()
        finally:
            self._group = None

    async def settle(self) -> None:
        """Makes all that was handed in durable, and has it sent."""
        batch = self._fresh[:]
        count = len(batch)
        self._arrived.clear()
        try:
            if any(done.cooked.artefacts for _, done in batch):
                await asyncio.to_thread(self._objects.commit)
        except OSError as error:
            batch = [(majordomo, _lost(done, f"pod {self._pod} cannot keep what it made: {error}")) for majordomo, done in batch]
        encoded = [(majordomo, done, msgspec.json.encode(done)) for majordomo, done in batch]
        self._outbox.add(End(majordomo, done.id, done.project, data) for majordomo, done, data in encoded)
        del self._fresh[:count]  # only now: a stop in between must not lose them
        self._committed(done for _, done in batch)
        for majordomo, done, data in encoded:
            self._ends.setdefault((majordomo, done.project), {})[done.id] = (done, len(data))
            self._settling.discard((majordomo, done.id))
        if self._group is not None:
            for lane in dict.fromkeys((majordomo, done.project) for majordomo, done in batch):
                self._kick(lane)

    def _kick(self, lane: Lane) -> None:
        if lane not in self._kicks:
            self._kicks[lane] = asyncio.Event()
            assert self._group is not None
            self._group.create_task(self._serve(lane), name=f"results for {lane[0]}")
        self._kicks[lane].set()

    async def _serve(self, lane: Lane) -> None:
        """Sends one lane's ends, as long as there are any."""
        kick = self._kicks[lane]
        backoff = BACKOFF_SECONDS[0]
        while True:
            await kick.wait()
            kick.clear()
            while self._ends.get(lane):
                if await self._send(lane):
                    backoff = BACKOFF_SECONDS[0]
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(backoff):
                        await kick.wait()
                kick.clear()
                backoff = min(2 * backoff, BACKOFF_SECONDS[1])

    async def _send(self, lane: Lane) -> bool:
        """One batch; whether any of it was acknowledged."""
        batch = self._batch(self._ends[lane])
        subject = subjects.result(self._federation, lane[0], self._pod, "done")
        try:
            payload = await self._payload(Done(self._pod, tuple(batch)))
            answer = await self._bus.request(subject, payload, REQUEST_SECONDS)
            acks = decode(answer, Acks).acks
        except (Unavailable, TimeoutError, OSError):  # BadMessage is one: what an answer cannot be read of is sent again
            return False
        return self._acknowledge(lane, {ack.id: ack for ack in acks})

    async def _payload(self, done: Done) -> bytes:
        payload = encode(done)
        if len(payload) <= MESSAGE_BYTES_MAX:
            return payload
        artefact: Artefact = self._objects.put_bytes(payload)
        await asyncio.to_thread(self._objects.commit)
        return encode(Detour(artefact, self._pod, self._here()))

    @staticmethod
    def _batch(ends: Ends) -> list[StepDone]:
        batch: list[StepDone] = []
        size = 0
        for done, length in ends.values():
            if batch and (size + length > _BATCH_BYTES_MAX or len(batch) == _BATCH_MAX):
                break
            batch.append(done)
            size += length
        return batch

    def _acknowledge(self, lane: Lane, acks: Mapping[str, Ack]) -> bool:
        majordomo, ends = lane[0], self._ends[lane]
        taken = {id: ack for id, ack in acks.items() if id in ends}
        if taken:
            self._outbox.remove(majordomo, taken)
        for id, ack in taken.items():
            done, _ = ends.pop(id)
            self._taken(majordomo, done, ack)
        return bool(taken)


def _lost(done: StepDone, why: str) -> StepDone:
    return msgspec.structs.replace(done, cooked=Cooked(None, None), trouble=why, executable=())
