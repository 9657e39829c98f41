"""What pods tell a build: ends of steps, renewals of leases, what tools say, edits.

Knows no job: what becomes of what is heard is for the listener.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from cpods.errors import Unavailable
from cpods.majordomo.far.jobs import Sender
from cpods.net import wire
from cpods.net.messages import Ack, Acks, Detour, Done, Edited, LogChunk, Renewal, StepDone
from cpods.ports import Bus, Message

_DONE: tuple[type[wire.Wire], ...] = (Done, Detour)
_SAID: tuple[type[wire.Wire], ...] = (Renewal, LogChunk, Edited)


class Listener(Protocol):
    """Who hears it."""

    async def ended(self, pod: str, steps: Sequence[StepDone]) -> list[Ack]:
        """Ends of this project's steps; what to acknowledge. What it raises goes on to the pod, which tells of them again."""

    def renewed(self, pod: str, renewal: Renewal) -> None:
        """These steps still run there."""

    def said(self, step_id: str, text: str) -> None:
        """What a tool said."""

    def edited(self, edited: Edited) -> None:
        """Files of this project were changed on a pod."""

    def troubled(self, text: str, error: BaseException) -> None:
        """Something went wrong that nobody waits for."""


class Hearing:
    """The subscriber to a build's results. ``spawn`` has what takes long done by the way."""

    def __init__(self, bus: Bus, sender: Sender, listener: Listener, spawn: Callable[[Awaitable[None]], None]) -> None:
        self._bus = bus
        self._sender = sender
        self._listener = listener
        self._spawn = spawn
        self._fetching: set[tuple[str, str]] = set()

    async def on_result(self, message: Message) -> bytes | None:
        """A message on the subject of results; the answer to it."""
        *_, pod, kind = message.subject.split(".")
        if message.sender not in ("", pod):
            return None
        if kind == "done":
            ends: wire.Wire = wire.decode(message.payload, *_DONE)
            if isinstance(ends, Detour):  # by the way: it may take long, and leases are renewed behind it
                self._spawn(self._on_detour(pod, ends, message.reply))
                return None
            assert isinstance(ends, Done)
            return await self._on_done(pod, ends)
        said: wire.Wire = wire.decode(message.payload, *_SAID)
        if isinstance(said, Renewal):
            self._listener.renewed(pod, said)
        elif isinstance(said, LogChunk):
            self._listener.said(said.id, said.text)
        elif isinstance(said, Edited) and said.project == self._sender.project:
            self._listener.edited(said)
        return None

    async def _on_detour(self, pod: str, detour: Detour, reply: str) -> None:
        """Ends of steps that were too long for a message. If they cannot be had, the pod tells of them again."""
        key = (pod, detour.artefact.digest)
        if key in self._fetching:
            return
        self._fetching.add(key)
        try:
            answer = await self._on_done(pod, wire.decode(await self._sender.fetched(detour.artefact, pod), Done))
            if answer is not None and reply:
                await self._bus.publish(reply, answer)
        except Unavailable as error:
            self._listener.troubled(f"the results of {pod} cannot be had yet: {error}", error)
        finally:
            self._fetching.discard(key)

    async def _on_done(self, pod: str, done: Done) -> bytes | None:
        own = [one for one in done.steps if one.project == self._sender.project]
        if not own:  # another build of the same member answers
            return None
        return wire.encode(Acks(tuple(await self._listener.ended(pod, own))))
