"""The steward's desk: every question that comes to it, who may ask it, and its answer.

Knows no connection: a question comes with the name of the member who signed it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from cpods.errors import CpodsError
from cpods.net import stewardship as ask
from cpods.net.membership import RosterNews
from cpods.net.questions import AskPods, AskResults, Okay, Results
from cpods.net.roster import COMMANDERS, FOUNDER, ROLES, Member
from cpods.net.wire import Wire, decode
from cpods.steward.handovers import HandoverBook
from cpods.steward.keeper import Keeper
from cpods.steward.shared import SharedResults
from cpods.steward.statuses import Statuses

_FOUNDER, _COMMANDERS, _ALL = (FOUNDER,), COMMANDERS, ROLES


class Rooms(NamedTuple):
    """What the desk asks in turn. ``mirror``: writes owners into the mirror; ``status``: how the federation is.

    ``admission`` and ``advice``: what the admin of an external broker must do for one who is invited or revoked; '' on the own broker.
    """

    keeper: Keeper
    statuses: Statuses
    shared: SharedResults
    handovers: HandoverBook
    status: Callable[[], ask.FederationStatus]
    admission: Callable[[str], str]
    advice: Callable[[Member | None], str]
    mirror: Callable[[ask.Handover], Awaitable[None]]
    happened: Callable[[str, str, str], Awaitable[None]]
    stop: Callable[[], None]


class Desk:
    """Answers questions. A question that may not be asked, or cannot be answered, is refused with a sentence."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._ways: Mapping[type[Wire], tuple[tuple[str, ...], Callable[[Any, str], Awaitable[Wire]]]] = {
            AskPods: (_ALL, self._pods),
            AskResults: (_ALL, self._results),
            Results: (_COMMANDERS, self._keep),
            ask.AskFederation: (_ALL, self._federation),
            ask.AskRoster: (_ALL, self._roster),
            ask.Invite: (_FOUNDER, self._invite),
            ask.Revoke: (_FOUNDER, self._revoke),
            ask.Leave: (_ALL, self._leave),
            ask.Handover: (_COMMANDERS, self._handover),
            ask.AskHandovers: (_COMMANDERS, self._handovers),
            ask.TookHandovers: (_COMMANDERS, self._took),
            ask.StopSteward: (_FOUNDER, self._stop),
        }

    async def answer(self, sender: str, data: bytes) -> Wire:
        """The answer to a member's question."""
        try:
            question = decode(data, *self._ways)
            roles, way = self._ways[type(question)]
            role = self._rooms.keeper.roster.active()[sender].role
            if role not in roles:
                return Okay(f"a {role} may not ask this, only a {' or '.join(roles)}")
            return await way(question, sender)
        except (CpodsError, OSError) as error:
            return Okay(str(error) or type(error).__name__)
        except KeyError:
            return Okay(f"{sender} is not a member any more")

    async def _pods(self, question: AskPods, sender: str) -> Wire:
        return self._rooms.statuses.pods()

    async def _results(self, question: AskResults, sender: str) -> Wire:
        return self._rooms.shared.answer(question)

    async def _keep(self, told: Results, sender: str) -> Wire:
        self._rooms.shared.keep(told)
        return Okay()

    async def _federation(self, question: ask.AskFederation, sender: str) -> Wire:
        return self._rooms.status()

    async def _roster(self, question: ask.AskRoster, sender: str) -> Wire:
        return RosterNews(self._rooms.keeper.encoded())

    async def _invite(self, wish: ask.Invite, sender: str) -> Wire:
        token = await self._rooms.keeper.invite(wish.name, wish.role, wish.seconds)
        await self._rooms.happened("invited", wish.name, f"as {wish.role}")
        return ask.Invited(token, self._rooms.admission(wish.name))

    async def _revoke(self, wish: ask.Revoke, sender: str) -> Wire:
        member = await self._rooms.keeper.revoke(wish.name)
        await self._forget(wish.name, "revoked" if member is not None else "invitation withdrawn")
        return ask.Revoked(self._rooms.keeper.roster.version, member is None, self._rooms.advice(member))

    async def _leave(self, wish: ask.Leave, sender: str) -> Wire:
        await self._rooms.keeper.leave(sender)
        await self._forget(sender, "left")
        return Okay()

    async def _forget(self, name: str, what: str) -> None:
        self._rooms.statuses.keep_only(self._rooms.keeper.roster.active())
        await self._rooms.happened(what, name, "")

    async def _handover(self, note: ask.Handover, sender: str) -> Wire:
        self._rooms.handovers.add(note)
        await self._rooms.mirror(note)
        count = f"{len(note.paths)} path{'s' if len(note.paths) != 1 else ''}"
        await self._rooms.happened("handed over", note.pod, f"{count} of project {note.project} to {note.to}")
        return Okay()

    async def _handovers(self, question: ask.AskHandovers, sender: str) -> Wire:
        return self._rooms.handovers.of(question.project)

    async def _took(self, told: ask.TookHandovers, sender: str) -> Wire:
        self._rooms.handovers.took(told.project, told.count)
        return Okay()

    async def _stop(self, wish: ask.StopSteward, sender: str) -> Wire:
        self._rooms.stop()
        return Okay()
