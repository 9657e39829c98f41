"""The pods of a federation as one MajorDomo sees them: who is there, how each is, whose tools fit which step.

Knows no order that runs; dispatch does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import msgspec

from cpods.errors import Unavailable
from cpods.model import Step
from cpods.net import subjects, wire
from cpods.net.questions import AskFits, AskStatus, Fits, Okay, PodStatus
from cpods.ports import Bus, Message

#: A pod that has said nothing for so long is not given new steps: three times the interval of its status.
STALE_SECONDS = 16.0
_ASK_SECONDS = 2.0
#: Computing fingerprints the first time reads package lists and binaries.
_FITS_SECONDS = 60.0
#: Bytes of steps in one question: a message has its limit.
_QUESTION_BYTES_MAX = 256 << 10


class Fleet:
    """``statuses`` by pod, as last heard. ``changed`` is set when a pod comes, goes or has another state."""

    def __init__(self, bus: Bus, federation: str, stale_seconds: float = STALE_SECONDS, ask_seconds: float = _ASK_SECONDS) -> None:
        self.bus = bus
        self.federation = federation
        self.stale_seconds = stale_seconds
        self.ask_seconds = ask_seconds
        self.statuses: dict[str, PodStatus] = {}
        self.changed = asyncio.Event()
        self._heard: dict[str, float] = {}
        self._fits: dict[tuple[str, str], str] = {}
        self._misfits: dict[tuple[str, str], str] = {}
        self._asking: dict[tuple[str, str], asyncio.Future[str]] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._end: Callable[[], Awaitable[None]] | None = None

    async def start(self, names: Sequence[str]) -> None:
        """Listens to statuses and asks the members of these names how they are; those that do not answer are not there."""
        self._end = await self.bus.subscribe(subjects.statuses(self.federation), self._on_status)
        await asyncio.gather(*(self._greet(name) for name in names))

    async def close(self) -> None:
        """Listens no more, and asks no more. Idempotent."""
        if self._end is not None:
            await self._end()
            self._end = None
        asking = [*self._asking.values()]
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def on_gone(self, listener: Callable[[str], None]) -> None:
        """``listener`` is called with each pod that stops or is given up."""
        self._listeners.append(listener)

    @property
    def is_connected(self) -> bool:
        """Whether the bus can be used: tells a broker that is away from a pod that is."""
        return bool(getattr(self.bus, "is_connected", True))

    def is_there(self, pod: str) -> bool:
        """Whether a pod was heard of lately."""
        heard = self._heard.get(pod)
        return heard is not None and asyncio.get_running_loop().time() - heard < self.stale_seconds

    def excuse(self, seconds: float) -> None:
        """For so long, until now, nobody could be heard: that silence does not count."""
        now = asyncio.get_running_loop().time()
        self._heard = {pod: min(now, heard + seconds) for pod, heard in self._heard.items()}

    def ready(self) -> list[str]:
        """Pods that take steps, by name."""
        return sorted(name for name, status in self.statuses.items() if status.state == "ready" and self.is_there(name))

    def present(self) -> list[str]:
        """Pods that can be asked and pulled from, by name: ready ones and draining ones."""
        return sorted(name for name in self.statuses if self.is_there(name))

    def address(self, pod: str) -> tuple[str, int] | None:
        """Where a pod serves its store."""
        status = self.statuses.get(pod)
        return status.sftp if status is not None else None

    def lost(self, pod: str) -> None:
        """Nobody answers for the pod: it is gone until it is heard of again."""
        if self._heard.pop(pod, None) is not None:
            self._gone(pod)

    async def ask(self, pod: str, question: wire.Wire, kind: type[wire.Kind], seconds: float | None = None) -> wire.Kind:
        """A pod's answer. Raises Unavailable (a pod that is not there is noted as lost; a pod may refuse), TimeoutError."""
        payload = wire.encode(question)
        try:
            data = await self.bus.request(subjects.ask(self.federation, pod), payload, seconds or self.ask_seconds)
        except wire.BadMessage:
            raise
        except Unavailable:
            if self.is_connected:
                self.lost(pod)
            raise
        kinds: tuple[type[wire.Wire], ...] = (kind,) if kind is Okay else (kind, Okay)
        answer: wire.Wire = wire.decode(data, *kinds)
        if isinstance(answer, Okay) and (answer.refused or kind is not Okay):
            raise Unavailable(f"{pod}: {answer.refused or 'it gives no answer'}")
        assert isinstance(answer, kind)
        return answer

    async def fingerprint(self, pod: str, key: str, step: Step) -> str:
        """The fingerprint of a step's tools on a pod; ``key`` names what decides it, and is asked for once.

        '' if a program is missing there, or the pod does not answer.
        """
        if (pod, key) in self._fits:
            return self._fits[pod, key]
        if (pod, key) not in self._asking:
            self._asking[pod, key] = asyncio.ensure_future(self._ask_fits(pod, key, step))
        return await asyncio.shield(self._asking[pod, key])

    async def learn(self, steps: Mapping[str, Step]) -> None:
        """Asks all pods for the fingerprints of many steps (by the name of what decides them) at once."""
        await asyncio.gather(*(self._learn(pod, steps) for pod in self.ready()))

    async def _learn(self, pod: str, steps: Mapping[str, Step]) -> None:
        for page in _pages({key: step for key, step in steps.items() if (pod, key) not in self._fits}):
            try:
                fits = await self.ask(pod, AskFits(tuple(page.values())), Fits, _FITS_SECONDS)
            except (Unavailable, TimeoutError):
                return  # each step that needs it asks again
            self._fits.update(zip([(pod, key) for key in page], fits.fingerprints, strict=False))
            self.changed.set()

    def misfit(self, pod: str, key: str) -> str:
        """Why a pod could not tell a fingerprint, '' if it could."""
        return self._misfits.get((pod, key), "")

    def known_fingerprint(self, pod: str, key: str) -> str | None:
        """As :meth:`fingerprint` without asking: None if it is not known yet."""
        return self._fits.get((pod, key))

    async def _ask_fits(self, pod: str, key: str, step: Step) -> str:
        try:
            fits = await self.ask(pod, AskFits((step,)), Fits, _FITS_SECONDS)
            found = self._fits[pod, key] = fits.fingerprints[0] if fits.fingerprints else ""
        except TimeoutError:
            found = ""
        except Unavailable as error:
            found = ""
            if self.is_there(pod) and self.is_connected:  # it will not tell: to ask it again and again would be in vain
                self._fits[pod, key] = ""
                self._misfits[pod, key] = str(error)
        finally:
            self._asking.pop((pod, key), None)
        return found

    async def _greet(self, name: str) -> None:
        try:
            data = await self.bus.request(subjects.ask(self.federation, name), wire.encode(AskStatus()), self.ask_seconds)
            self._take(wire.decode(data, PodStatus))
        except (Unavailable, TimeoutError):
            return

    async def _on_status(self, message: Message) -> None:
        status = wire.decode(message.payload, PodStatus)
        if message.sender in ("", status.pod) and message.subject == subjects.status(self.federation, status.pod):
            self._take(status)

    def _take(self, status: PodStatus) -> None:
        known = self.statuses.get(status.pod)
        was_there = self.is_there(status.pod)
        if status.state == "stopped":
            self.statuses[status.pod] = status
            self.lost(status.pod)
            return
        self.statuses[status.pod] = status
        self._heard[status.pod] = asyncio.get_running_loop().time()
        if known is not None and known.sftp != status.sftp:  # it was started anew
            self._forget_fits(status.pod)
        if known is None or not was_there or known.state != status.state or known.slots != status.slots:
            self.changed.set()

    def _forget_fits(self, pod: str) -> None:
        for known in (self._fits, self._misfits):
            for key in [key for key in known if key[0] == pod]:
                del known[key]

    def _gone(self, pod: str) -> None:
        self._forget_fits(pod)
        self.changed.set()
        for listener in self._listeners:
            listener(pod)


def _pages(steps: Mapping[str, Step]) -> Iterator[dict[str, Step]]:
    """The steps in portions that fit into a message."""
    page: dict[str, Step] = {}
    room = _QUESTION_BYTES_MAX
    for key, step in steps.items():
        size = len(msgspec.json.encode(step))
        if page and size > room:
            yield page
            page, room = {}, _QUESTION_BYTES_MAX
        page[key] = step
        room -= size
    if page:
        yield page
