"""``cpods federation status | invite | join | leave | revoke | events``: who is a member, and what happened.

Knows no key and no broker.
"""

import asyncio
import os
import shutil
import sys
from typing import TYPE_CHECKING

import msgspec

from cpods.cli.asking import ask_pods, ask_steward, connected, human_age, is_member, seconds_of, short_duration, show_json, show_table
from cpods.cli.desk import told
from cpods.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from cpods.net.identity import Federation, Home, Identity
    from cpods.net.questions import Happened, Pods
    from cpods.net.roster import Roster
    from cpods.net.stewardship import FederationStatus

#: Revoking waits until the broker has cut the connection.
_REVOKE_SECONDS = 30.0
_JOIN_SECONDS = 30.0


def run_status(name: str, as_json: bool) -> int:
    """Prints how the federation is; the exit code."""
    return told(lambda: _status(name, as_json))


def run_invite(federation: str, name: str, majordomo: bool, expires: str, file: str) -> int:
    """Prints a join token, or writes it into a file; the exit code."""
    return told(lambda: _invite(federation, name, majordomo, expires, file))


def run_join(token: str, file: str, creds: str) -> int:
    """Joins; the exit code."""
    return told(lambda: _join(token, file, creds))


def run_leave(name: str) -> int:
    """Leaves; the exit code."""
    return told(lambda: _leave(name))


def run_revoke(federation: str, name: str) -> int:
    """Revokes a member or an invitation; the exit code."""
    return told(lambda: _revoke(federation, name))


def run_events(name: str, follow: bool, as_json: bool) -> int:
    """Prints what happened; the exit code."""
    return told(lambda: _events(name, follow, as_json))


async def _status(name: str, as_json: bool) -> int:
    from cpods.net.stewardship import AskFederation, FederationStatus

    async with connected(name) as (home, bus):
        status = await ask_steward(home, bus, AskFederation(), FederationStatus)
        pods = await ask_pods(home, bus)
        roster = home.roster
    if as_json:
        show_json(_status_json(home, roster, status, pods))
        return 0
    print(f"federation {home.federation.name}: you are {home.identity.name} ({home.identity.role})")
    print(f"steward: process {status.pid} on {status.host}, for {short_duration(status.uptime)}")
    print(f"broker: {status.broker}{' (external)' if status.external else ''}")
    print(f"roster: version {status.version}")
    show_table(("member", "role", "state"), _member_rows(roster, pods), dim=lambda row: row[2].startswith("revoked"))
    for invite in status.invites:
        print(f"invited: {invite.name} as {invite.role}, for {short_duration(invite.seconds)} more")
    if status.handovers:
        print(f"handovers that no MajorDomo has taken note of yet: {status.handovers}")
    return 0


def _member_rows(roster: "Roster", pods: "Pods") -> list[tuple[str, str, str]]:
    ages = {status.pod: (status.state, age) for status, age in zip(pods.statuses, pods.ages, strict=True)}
    rows = []
    for name, member in sorted(roster.members.items()):
        if member.revoked:
            state = "revoked"
        elif name in ages:
            state = f"{ages[name][0]}, heard of {human_age(ages[name][1])}"
        else:
            state = "not running" if member.role == "pod" else ""
        rows.append((name, member.role, state))
    return rows


def _status_json(home: "Home", roster: "Roster", status: "FederationStatus", pods: "Pods") -> dict[str, object]:
    return {
        "federation": home.federation.name,
        "you": home.identity.name,
        "role": home.identity.role,
        "steward": {"host": status.host, "pid": status.pid, "uptime_seconds": round(status.uptime, 1)},
        "broker": {"url": status.broker, "external": status.external},
        "roster_version": status.version,
        "members": [{"name": name, "role": one.role, "revoked": one.revoked} for name, one in sorted(roster.members.items())],
        "pods": [one.pod for one in pods.statuses],
        "invites": [{"name": one.name, "role": one.role, "seconds": round(one.seconds)} for one in status.invites],
        "handovers": status.handovers,
    }


async def _invite(federation: str, name: str, majordomo: bool, expires: str, file: str) -> int:
    from cpods.net.privatefiles import write_private
    from cpods.net.stewardship import Invite, Invited

    seconds = seconds_of(expires)
    role = "majordomo" if majordomo else "pod"
    async with connected(federation) as (home, bus):
        if home.identity.role != "founder":
            raise UsageError(f"only the founder of {home.federation.name} can invite; you are {home.identity.name} ({home.identity.role})")
        invited = await ask_steward(home, bus, Invite(name, role, seconds), Invited, seconds=_REVOKE_SECONDS)
    token = invited.token
    if file:
        write_private(os.path.abspath(file), token.encode() + b"\n")
        command = f"cpods federation join --file {file}"
    else:
        print(token)
        command = f"cpods federation join {token}"
    then = f", then `cpods pod start -F {home.federation.name}`" if role == "pod" else ""
    print(
        f"The token {'in ' + file if file else 'above'} lets one machine join {home.federation.name} as {role} {name}, once, within "
        f"{short_duration(seconds)}; whoever has it can, so send it as you would a password.\n"
        f"On the other machine type{then}:\n  {command}",
        file=sys.stderr,
    )
    if invited.advice:
        print(invited.advice, file=sys.stderr)
    return 0


async def _join(token: str, file: str, creds: str) -> int:
    from cpods.net.bus import ask_to_join
    from cpods.net.identity import homes_folder, new_identity
    from cpods.net.membership import JoinAnswer, check_answer, new_request
    from cpods.net.tokens import decode
    from cpods.net.wire import decode as read
    from cpods.net.wire import encode

    invitation = decode(_token_text(token, file))
    folder = os.path.join(homes_folder(os.environ), invitation.federation)
    if os.path.exists(folder):
        raise UsageError(f"you are in a federation {invitation.federation} already ({folder}); leave it first, or set another CPODS_HOME")
    if creds and not os.path.isfile(creds):
        raise UsageError(f"--creds {creds}: there is no such file")
    identity = new_identity(invitation.name, invitation.federation, invitation.role)
    request = encode(new_request(invitation, identity))
    try:
        data = await ask_to_join(invitation.to_federation(), invitation.seed, request, _JOIN_SECONDS, creds)
    except TimeoutError as error:
        raise Unavailable(f"the steward of {invitation.federation} did not answer within {_JOIN_SECONDS:.0f} s; call again") from error
    except Unavailable as error:
        raise _about_token(error) from error
    answer = read(data, JoinAnswer)
    check_answer(answer, invitation, identity)
    _make_home(folder, identity, answer.federation or invitation.to_federation(), answer.roster, creds)
    print(f"{identity.name} is now a {identity.role} of federation {identity.federation} (home {folder})")
    if identity.role == "pod":
        print(f"next: `cpods pod start -F {identity.federation}` lets it take steps")
    else:
        print(f"next: `cpods rebuild --federation {identity.federation}` in a project builds with its pods")
    return 0


def _about_token(error: Unavailable) -> Unavailable:
    """The broker lets nobody in by a token that is used up; it cannot say why."""
    if "refuse" in str(error) or "authori" in str(error).lower():
        return Unavailable(f"this token lets nobody in: it was used, has expired, or was withdrawn; ask for a new one ({error})")
    return error


def _make_home(folder: str, identity: "Identity", federation: "Federation", roster: bytes, creds: str) -> None:
    from cpods.net.identity import Home

    try:
        home = Home(folder)
        home.save_identity(identity)
        home.save_federation(federation)
        home.save_roster(roster)
        if creds:
            home.keep_credentials(creds)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _token_text(token: str, file: str) -> str:
    """Raises UsageError unless exactly one way to give a token was used."""
    if bool(token) == bool(file):
        raise UsageError("give a token, or --file FILE with one")
    if not file:
        return token
    if file == "-":
        return sys.stdin.read()
    try:
        with open(file, encoding="utf-8") as source:
            return source.read()
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise UsageError(f"--file {file}: there is no token there") from error


async def _leave(name: str) -> int:
    from cpods.net.identity import home_of
    from cpods.net.questions import Okay
    from cpods.net.stewardship import Leave

    home = home_of(name, os.environ)
    if home.identity.role == "founder":
        raise UsageError(f"you founded {home.federation.name}: revoke its members, `cpods federation stop`, then delete {home.folder}")
    told_steward = True
    try:
        if is_member(home):
            async with connected(home.federation.name) as (_, bus):
                await ask_steward(home, bus, Leave(), Okay)
    except Unavailable as error:
        print(f"cpods: the steward does not know yet that you leave: {error}", file=sys.stderr)
        told_steward = False
    shutil.rmtree(home.folder)
    print(f"{home.identity.name} has left {home.federation.name}; its keys in {home.folder} are deleted")
    if not told_steward:
        print(f"ask the founder to run `cpods federation revoke {home.identity.name}`")
    return 0


async def _revoke(federation: str, name: str) -> int:
    from cpods.net.stewardship import Revoke, Revoked

    async with connected(federation) as (home, bus):
        if home.identity.role != "founder":
            raise UsageError(f"only the founder of {home.federation.name} can revoke; you are {home.identity.name} ({home.identity.role})")
        done = await ask_steward(home, bus, Revoke(name), Revoked, seconds=_REVOKE_SECONDS)
    if done.invitation:
        print(f"the invitation of {name} is void")
        return 0
    print(f"{name} is revoked (roster version {done.version}): no member takes anything from it any more")
    if done.advice:
        print(done.advice)
    return 0


async def _events(name: str, follow: bool, as_json: bool) -> int:
    from cpods.net.questions import Happened
    from cpods.net.wire import BadMessage, decode

    async with connected(name) as (_, bus):
        async for event in bus.kept.events(from_start=True, follow=follow):
            try:
                happened = decode(event.payload, Happened)
            except BadMessage:
                continue
            print(_event_json(event.sender, happened) if as_json else _event_line(event.sender, happened), flush=True)
            await asyncio.sleep(0)
    return 0


def _event_json(sender: str, event: "Happened") -> str:
    fields = {name: value for name, value in msgspec.to_builtins(event).items() if name != "kind"}
    return msgspec.json.encode({"sender": sender, **fields}).decode()


def _event_line(sender: str, event: "Happened") -> str:
    where = " ".join(part for part in (event.pod, event.project and f"[{event.project}]", event.step) if part)
    return f"{sender}: {event.what}{' ' + where if where else ''}{': ' + event.text if event.text else ''}"
