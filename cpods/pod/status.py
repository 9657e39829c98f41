"""How a pod is: what it tells all every few seconds and when something changes.

Knows no order; counts are asked for when a status is made.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from cpods import __version__
from cpods.errors import Unavailable
from cpods.model import Artefact
from cpods.net import subjects
from cpods.net.questions import PodStatus
from cpods.net.wire import encode
from cpods.pod.tools import versions
from cpods.ports import Bus, Clock, Executor

STATUS_SECONDS = 5.0
#: Between two statuses at most this often, however much changes.
QUIET_SECONDS = 0.5
#: The store is counted anew, since others may put into it or collect it.
COUNT_SECONDS = 600.0


class Held:
    """What the store holds, counted once in a thread and kept up to date; ``listing()`` gives digest -> bytes."""

    def __init__(self, listing: Callable[[], Mapping[str, int]]) -> None:
        self._listing = listing
        self._known: dict[str, int] = {}
        self._lately: dict[str, int] = {}
        self.bytes = 0

    async def count(self) -> None:
        """Looks at the store. What came since the last look counts too: it may not be committed yet."""
        before, self._lately = self._lately, {}
        found = await asyncio.to_thread(self._listing)
        self._known = known = {**found, **before, **self._lately}
        self.bytes = sum(known.values())

    @property
    def objects(self) -> int:
        """How many artefacts."""
        return len(self._known)

    def size(self, digest: str) -> int:
        """Bytes of an artefact, 0 if it was not counted yet."""
        return self._known.get(digest, 0)

    def add(self, artefacts: Iterable[Artefact]) -> None:
        """These are in the store now."""
        for artefact in artefacts:
            if artefact.digest not in self._known:
                self._known[artefact.digest] = self._lately[artefact.digest] = artefact.size
                self.bytes += artefact.size

    def drop(self, digests: Iterable[str]) -> None:
        """These are not there any more."""
        for digest in digests:
            self._lately.pop(digest, None)
            self.bytes -= self._known.pop(digest, 0)

    def page(self, after: str, length: int) -> tuple[dict[str, int], str]:
        """(digest -> bytes of ``length`` artefacts behind ``after`` in the order of digests, where to go on or '')."""
        names = sorted(digest for digest in self._known if digest > after)
        return {digest: self._known[digest] for digest in names[:length]}, names[length - 1] if len(names) > length else ""


class Status:
    """The voice of a pod. ``free()`` slots and ``state()`` are asked when a status is made, as is ``here()``, (host, port)."""

    def __init__(
        self,
        federation: str,
        pod: str,
        bus: Bus,
        clock: Clock,
        held: Held,
        chefs: Iterable[str],
        slots: int,
        tags: Mapping[str, str],
        algorithm: str,
        work: str,
        environment: Mapping[str, str],
        executor: Executor,
        here: Callable[[], tuple[str, int]],
        free: Callable[[], int],
        state: Callable[[], str],
    ) -> None:
        self._subject = subjects.status(federation, pod)
        self._pod = pod
        self._bus = bus
        self._clock = clock
        self._held = held
        self._chefs = tuple(sorted(chefs))
        self._slots = slots
        self._tags = tuple(sorted(tags.items()))
        self._algorithm = algorithm
        self._work = work
        self._environment = environment
        self._executor = executor
        self._here = here
        self._free = free
        self._state = state
        self._tools: tuple[tuple[str, str], ...] = ()
        self._news = asyncio.Event()

    def changed(self) -> None:
        """Something that others may want to know is different: it is told soon."""
        self._news.set()

    def now(self) -> PodStatus:
        """The status at this moment."""
        return PodStatus(
            pod=self._pod,
            sent_ns=self._clock.now_ns(),
            state=self._state(),
            slots=self._slots,
            free_slots=self._free(),
            sftp=self._here(),
            chefs=self._chefs,
            tools=self._tools,
            tags=self._tags,
            load=os.getloadavg()[0],
            disk_free_bytes=shutil.disk_usage(self._work).free,
            held_bytes=self._held.bytes,
            held_objects=self._held.objects,
            algorithm=self._algorithm,
            version=__version__,
        )

    async def look_around(self) -> None:
        """Finds out once what is installed, and every so often what the store holds. Until cancelled."""
        self._tools = await versions(self._environment, self._executor)
        while True:
            await self._held.count()
            self.changed()
            await asyncio.sleep(COUNT_SECONDS)

    async def run(self) -> None:
        """Tells until cancelled."""
        while True:
            self._news.clear()
            await self.tell()
            await asyncio.sleep(QUIET_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(STATUS_SECONDS - QUIET_SECONDS):
                    await self._news.wait()

    async def tell(self) -> None:
        """One status. That nobody can be reached is no error: the next one comes soon."""
        with suppress(Unavailable, OSError):
            await self._bus.publish(self._subject, encode(self.now()))
