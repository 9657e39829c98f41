"""Answers to what others ask a pod besides steps: how it is, what it holds and owns; and what it is told to do.

Knows no order's way; the parts that know are handed in.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from cpods.errors import CpodsError
from cpods.model import Artefact
from cpods.net import questions as q
from cpods.net.messages import Owned
from cpods.net.wire import Wire, decode, encode
from cpods.pod.board import Board
from cpods.pod.delivery import Delivery
from cpods.pod.owned import OwnedPaths
from cpods.pod.status import Held, Status
from cpods.pod.tools import Tools
from cpods.ports import Message, Objects, Transfer

#: Artefacts on one page of AskHeld's answer.
PAGE = 5_000

#: Roles that may command; the others may only ask.
COMMANDING = frozenset({"majordomo", "founder"})

_Handler = Callable[..., Awaitable[Wire]]


class Parts(msgspec.Struct):
    """What answers are made of. ``address(member, host_port)`` notes where a member serves its store.

    ``verify(digest)`` looks at the store's copy and takes a damaged one out of use: whether a good one is there.
    ``drain(on)``, ``stop(who)`` and ``pin(artefacts)`` do what they say.
    """

    board: Board
    delivery: Delivery
    owned: OwnedPaths
    held: Held
    status: Status
    tools: Tools
    objects: Objects
    transfer: Transfer
    role_of: Callable[[str], str]
    address: Callable[[str, tuple[str, int]], None]
    verify: Callable[[str], bool]
    forget: Callable[[tuple[str, ...]], None]
    drain: Callable[[bool], None]
    stop: Callable[[str], None]
    pin: Callable[[tuple[Artefact, ...]], None]


class Answers:
    """One handler for each question of :mod:`cpods.net.questions` that may be put to a pod."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._asked: dict[type[Wire], _Handler] = {
            q.AskStatus: self._status,
            q.AskFits: self._fits,
            q.AskHeld: self._which_held,
            q.AskOwned: self._which_owned,
            q.Forget: self._forget,
        }
        self._told: dict[type[Wire], _Handler] = {
            q.Fetch: self._fetch,
            q.Own: self._own,
            q.Disown: self._disown,
            q.Resume: self._resume,
            q.Drain: self._drain,
            q.Stop: self._stop,
        }

    async def answer(self, message: Message) -> bytes:
        """The answer to a question. Commands are taken only from who may command. Raises BadMessage."""
        question: Wire = decode(message.payload, *self._asked, *self._told)
        kind = type(question)
        if kind in self._told and self._parts.role_of(message.sender) not in COMMANDING:
            return encode(q.Okay(f"{message.sender or 'somebody unknown'} may not command this pod: only MajorDomos and the founder may"))
        handler = self._told.get(kind) or self._asked[kind]
        try:
            return encode(await handler(question, message.sender))
        except (CpodsError, OSError) as error:
            return encode(q.Okay(str(error)))

    async def _status(self, _: q.AskStatus, __: str) -> Wire:
        return self._parts.status.now()

    async def _fits(self, question: q.AskFits, _: str) -> Wire:
        return q.Fits(tuple(await self._parts.tools.fingerprints(question.steps)))

    async def _which_held(self, question: q.AskHeld, _: str) -> Wire:
        held = self._parts.held
        if question.digests is None:
            return q.Held(*held.page(question.after, PAGE))
        return q.Held({digest: held.size(digest) for digest in question.digests if self._parts.objects.has(digest)})

    async def _which_owned(self, question: q.AskOwned, _: str) -> Wire:
        return q.OwnedPaths(self._parts.owned.all(question.project))

    async def _forget(self, question: q.Forget, _: str) -> Wire:
        """Whoever got bad bytes may say so: the copies are only looked at."""
        for digest in question.digests:
            if not await asyncio.to_thread(self._parts.verify, digest):
                self._parts.held.drop((digest,))
        self._parts.forget(question.digests)
        return q.Okay()

    async def _fetch(self, question: q.Fetch, _: str) -> Wire:
        for member, place in question.sftp.items():
            self._parts.address(member, place)
        wanted = {one: question.holders.get(one.digest, ()) for one in question.artefacts if not self._parts.objects.has(one.digest)}
        moved: Counter[str] = Counter(getattr(self._parts.transfer, "moved", {}))
        failed = await self._parts.transfer.pull_many(wanted) if wanted else {}
        await asyncio.to_thread(self._parts.objects.commit)
        pulled = [one for one in wanted if one not in failed]
        self._parts.held.add(pulled)
        if question.pin:
            self._parts.pin(tuple(one for one in question.artefacts if one not in failed))
        news = Counter(getattr(self._parts.transfer, "moved", {})) - moved
        if not news and pulled:
            for one in pulled:
                news[next(iter(wanted[one]), "")] += one.size
        return q.Fetched(dict(news), {one.digest: reason for one, reason in failed.items()})

    async def _own(self, question: q.Own, sender: str) -> Wire:
        try:
            paths = {one.path: (one.epoch, one.digest) for one in question.paths}
            await self._parts.owned.own(question.project, sender, paths)
        except KeyError as error:
            return q.Okay(f"{error.args[0]} is not in this pod's store: it must be fetched before its path is owned")
        return q.Okay()

    async def _disown(self, question: q.Disown, _: str) -> Wire:
        await self._parts.owned.disown(question.project, question.paths)
        return q.Okay()

    async def _resume(self, question: q.Resume, sender: str) -> Wire:
        if question.majordomo != sender:
            return q.Okay(f"{sender} cannot resume for {question.majordomo}")
        mine = (ticket for ticket in self._parts.board if ticket.steps.majordomo == sender and ticket.steps.project == question.project)
        running = [ticket.request.id for ticket in mine]
        self._parts.delivery.kick(sender)
        owned: Mapping[str, tuple[Owned, ...]] = self._parts.owned.all(question.project)
        return q.Resumed(tuple(running), self._parts.delivery.waiting(sender, question.project), owned.get(question.project, ()))

    async def _drain(self, question: q.Drain, _: str) -> Wire:
        self._parts.drain(not question.off)
        await self._parts.status.tell()  # who asks next how the pods are shall hear of it
        return q.Okay()

    async def _stop(self, _: q.Stop, sender: str) -> Wire:
        self._parts.stop(sender)
        return q.Okay()
