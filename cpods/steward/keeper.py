"""Who is a member: takes in who was invited, lets go who leaves or is revoked, and puts every new roster out.

Knows no connection: how a roster is put out, and whom the broker lets in, is for the caller.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from cpods.errors import UsageError
from cpods.net.identity import Home, checked_name
from cpods.net.membership import JoinAnswer, JoinRequest, check_request
from cpods.net.nkeypair import Keypair
from cpods.net.roster import FOUNDER, ROLES, Member, Roster
from cpods.net.tokens import encode, new_token
from cpods.net.wire import BadMessage
from cpods.steward.invites import Invitation, Invites

#: Whoever has joined by a token, or leaves, is let in by the broker for this many seconds more: the answer has to reach it.
LINGER_SECONDS = 10.0


class Admitted(NamedTuple):
    """Whom the broker lets in: members, and by their one-time keys those who were invited."""

    members: Sequence[Member]
    guests: Sequence[str]


class Keeper:
    """The roster of a federation. One change at a time; each is saved before anybody hears of it.

    ``put_out``: makes the broker let in exactly these and tells all members, if the roster is not None. ``now``: seconds that
    never go back.
    """

    def __init__(
        self, home: Home, invites: Invites, put_out: Callable[[Admitted, bytes | None], Awaitable[None]], now: Callable[[], float]
    ) -> None:
        self.invites = invites
        self._home = home
        self._founder = Keypair(home.identity.nkey_seed)
        self._put_out = put_out
        self._now = now
        self._one = asyncio.Lock()
        self._leaving: list[tuple[float, Member]] = []
        self._arrived: list[tuple[float, str]] = []

    @property
    def roster(self) -> Roster:
        """The present one."""
        return self._home.roster

    def encoded(self) -> bytes:
        """The present roster, signed."""
        return self.roster.encode(self._founder)

    def admitted(self) -> Admitted:
        """Whom the broker is to let in now."""
        now = self._now()
        self._leaving = [(until, member) for until, member in self._leaving if until > now]
        self._arrived = [(until, key) for until, key in self._arrived if until > now]
        members = self.roster.active()
        leaving = [member for _, member in self._leaving if member.name not in members]
        guests = [one.invited for one in self.invites.open()] + [key for _, key in self._arrived]
        return Admitted([*members.values(), *leaving], guests)

    def next_change(self) -> float | None:
        """Seconds until somebody is to be let in no longer, so that :meth:`refresh` is due; None: nobody."""
        until = [until - self._now() for until, _ in (*self._leaving, *self._arrived)]
        end = self.invites.next_end()
        return min([*until, *([end] if end is not None else [])], default=None)

    async def refresh(self) -> None:
        """Makes the broker let in whom it is to let in now."""
        async with self._one:
            await self._put_out(self.admitted(), None)

    async def invite(self, name: str, role: str, seconds: float) -> str:
        """A token by which ``name`` can join. Raises UsageError for a name or role that cannot be, or a member's name."""
        checked_name(name)
        if role not in ROLES or role == FOUNDER:
            raise UsageError(f"nobody can be invited as {role!r}; expected pod or majordomo")
        async with self._one:
            if name in self.roster.active():
                raise UsageError(f"{name} is a member already; revoke it first (cpods federation revoke {name}) or choose another name")
            # By the clock of this machine, as is the invitation's end: who joins does not look at it.
            ends_ns = self.invites.end_ns(seconds)
            token = new_token(self._home.federation, name, role, ends_ns // 1_000_000_000)
            self.invites.add(name, role, token.invited, ends_ns)
            await self._put_out(self.admitted(), None)
            return encode(token)

    async def join(self, request: JoinRequest) -> JoinAnswer:
        """Takes in who proves that it was invited; else the answer says why not. The same member may ask again."""
        async with self._one:
            try:
                invitation, member = self._invited(request)
            except BadMessage as error:
                return JoinAnswer(refused=str(error))
            if self.roster.active().get(member.name) == member:
                return JoinAnswer(self.encoded(), self._home.federation)
            fault = self.invites.fault(invitation)
            if fault:
                return JoinAnswer(refused=fault)
            try:
                roster = self.roster.with_member(member)
            except UsageError as error:
                return JoinAnswer(refused=str(error))
            self.invites.use(invitation)
            self._arrived.append((self._now() + LINGER_SECONDS, invitation.invited))
            await self._change(roster)
            return JoinAnswer(self.encoded(), self._home.federation)

    async def revoke(self, name: str) -> Member | None:
        """Cuts a member off at once, or makes an open invitation void (then None). Raises UsageError if there is neither."""
        async with self._one:
            if name not in self.roster.active() and self.invites.withdraw(name):
                await self._put_out(self.admitted(), None)
                return None
            member = self.roster.members.get(name)
            await self._change(self.roster.without(name))
            return member

    async def leave(self, name: str) -> None:
        """A member is one no longer by its own wish; it still hears the answer. Raises UsageError for the founder."""
        async with self._one:
            member = self.roster.members[name]
            roster = self.roster.without(name)
            self._leaving.append((self._now() + LINGER_SECONDS, member))
            await self._change(roster)

    def _invited(self, request: JoinRequest) -> tuple[Invitation, Member]:
        """The invitation that the request proves, and who asks. Raises BadMessage."""
        federation = self._home.federation.name
        reason = BadMessage(f"nobody called {request.name!r} was invited lately; ask for a new token")
        for invitation in self.invites.of(request.name):
            try:
                return invitation, check_request(request, federation, invitation.invited, invitation.role)
            except BadMessage as error:
                reason = error
        raise reason

    async def _change(self, roster: Roster) -> None:
        data = roster.encode(self._founder)
        self._home.save_roster(data)
        await self._put_out(self.admitted(), data)
