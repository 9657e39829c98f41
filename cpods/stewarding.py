"""The steward's process: joins broker, bus and the steward's rooms, and runs until it is told to end.

Knows no terminal: ``python -m cpods.stewarding HOME`` is started by the CLI, or by systemd through it.
"""

import argparse
import asyncio
import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial

import msgspec

from cpods.errors import CpodsError, Unavailable
from cpods.net import subjects
from cpods.net.broker import Broker
from cpods.net.bus import NatsBus, connect
from cpods.net.identity import Home
from cpods.net.membership import JoinAnswer, JoinRequest, RosterNews
from cpods.net.questions import Happened, PodStatus
from cpods.net.roster import POD, Member
from cpods.net.stewardship import FederationStatus, Handover, OwnerEntry, mirror_key
from cpods.net.wire import BadMessage, decode, encode
from cpods.ports import Message
from cpods.steward.desk import Desk, Rooms
from cpods.steward.handovers import HandoverBook
from cpods.steward.invites import Invites
from cpods.steward.keeper import Admitted, Keeper
from cpods.steward.process import Post, Starter
from cpods.steward.settings import Settings
from cpods.steward.shared import SharedResults
from cpods.steward.statuses import Statuses
from cpods.store.manifests import ManifestStore

#: How often it looks for pods that have fallen silent.
LOOK_SECONDS = 2.0

#: Each so many looks it tells all members of the roster again.
ROSTER_TURNS = 5

#: A broker that ends this often within a minute is not started again.
BROKER_ENDS_MAX = 5

#: The bus gets this long to send the answer to the order to stop.
FAREWELL_SECONDS = 0.2


class Steward:
    """A federation's steward over its founder's home."""

    def __init__(self, home: Home) -> None:
        folder = home.founder_folder
        self.home = home
        self.settings = Settings.load(folder)
        self.broker: Broker | None = None
        if not self.settings.broker:
            names = self.settings.names
            self.broker = Broker(os.path.join(folder, "broker"), home.federation.name, self.settings.listen, self.settings.port, names)
        self.ended = asyncio.Event()
        self.failure = ""
        self._started = time.monotonic()
        self._bus: NatsBus | None = None
        self._change = asyncio.Event()
        self._keeper = Keeper(home, Invites(os.path.join(folder, "invites.json"), time.time_ns), self._put_out, time.monotonic)
        self._statuses = Statuses(time.monotonic)
        self._handovers = HandoverBook(os.path.join(folder, "handovers.json"))
        shared = SharedResults(ManifestStore(os.path.join(folder, "results")))
        self._desk = Desk(
            Rooms(
                keeper=self._keeper,
                statuses=self._statuses,
                shared=shared,
                handovers=self._handovers,
                status=self._status,
                admission=self._admission,
                advice=self._advice,
                mirror=self._mirror,
                happened=self._happened,
                stop=self._stop_soon,
            )
        )

    async def run(self, starter: Starter) -> int:
        """Serves until :attr:`ended`; the exit code. ``starter`` is told when it does.

        Raises Unavailable, UsageError if it cannot begin.
        """
        async with AsyncExitStack() as stack:
            if self.broker is not None:
                await self._start_broker(self.broker)
                stack.push_async_callback(self.broker.stop)
            bus = await connect(self.home, on_end=self._on_end, on_alarm=log)
            self._bus = bus
            stack.push_async_callback(bus.close)
            await self._open_desk(bus)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(work) for work in (self._look(), self._refresh())]
                if self.broker is not None:
                    tasks.append(group.create_task(self._keep_broker(self.broker)))
                await self._happened("started", "", f"steward on {socket.gethostname()}")
                starter.ready(self.home.federation.broker)
                log(f"ready at {self.home.federation.broker}, roster version {self._keeper.roster.version}")
                await self.ended.wait()
                for task in tasks:
                    task.cancel()
        if self.failure:
            log(f"ended: {self.failure}")
            return Unavailable.exit_code
        log("ended as asked")
        return 0

    async def _start_broker(self, broker: Broker) -> None:
        """Starts it with the members there are, and notes where it is reached."""
        await broker.reload(*self._keeper.admitted())
        url = await broker.start()
        known = self.home.federation
        now = msgspec.structs.replace(known, broker=url, ca_pem=broker.ca_pem)
        if now != known:
            self.home.save_federation(now)

    async def _open_desk(self, bus: NatsBus) -> None:
        federation = self.home.federation.name
        await bus.kept.prepare()
        await bus.subscribe(subjects.statuses(federation), self._on_status)
        await bus.subscribe(subjects.steward(federation), self._on_question)
        await bus.answer_guests(self._on_join)
        await self._publish_roster()

    async def _on_question(self, message: Message) -> bytes:
        answer = encode(await self._desk.answer(message.sender, message.payload))
        self._change.set()
        return answer

    async def _on_join(self, message: Message) -> bytes:
        try:
            request = decode(message.payload, JoinRequest)
        except BadMessage as error:
            return encode(JoinAnswer(refused=str(error)))
        answer = await self._keeper.join(request)
        self._change.set()
        await self._happened("refused" if answer.refused else "joined", request.name if can_be_told(request.name) else "", answer.refused)
        return encode(answer)

    async def _on_status(self, message: Message) -> None:
        pod = message.sender
        try:
            status = decode(message.payload, PodStatus)
        except BadMessage as error:
            log(f"status of {pod}: {error}")
            return
        member = self._keeper.roster.active().get(pod)
        if member is None or member.role != POD or status.pod != pod:
            log(f"{pod} told the status of {status.pod!r}: ignored")
            return
        news = self._statuses.take(status)
        assert self._bus is not None
        kept, payload = self._bus.kept, message.payload
        with suppress(CpodsError, TimeoutError):  # the bucket is a mirror: the next status comes in some seconds
            await self._keep(lambda: kept.put_status(pod, payload))
        if news:
            await self._happened(news, pod, "")

    async def _put_out(self, admitted: Admitted, roster: bytes | None) -> None:
        """The broker first: who is revoked is cut off before anybody else does anything."""
        if self.broker is not None:
            await self.broker.reload(*admitted)
        if roster is not None and self._bus is not None:
            self._bus.update_roster(self._keeper.roster)
            await self._publish_roster()

    async def _publish_roster(self) -> None:
        assert self._bus is not None
        await self._bus.publish(subjects.roster(self.home.federation.name), encode(RosterNews(self._keeper.encoded())))

    async def _mirror(self, note: Handover) -> None:
        assert self._bus is not None
        for path in note.paths:
            entry = OwnerEntry(note.project, path.path, path.epoch, note.to, path.digest)
            await self._keep(partial(self._bus.kept.put_owner, mirror_key(note.project, path.path), encode(entry)))

    async def _keep(self, put: Callable[[], Awaitable[None]]) -> None:
        """Lets the broker remember something; if its memory is gone with its files, it is made again first. Raises Unavailable."""
        assert self._bus is not None
        try:
            await put()
        except Unavailable:
            await self._bus.kept.prepare()
            await put()

    async def _happened(self, what: str, pod: str, text: str) -> None:
        """Tells whoever looks on; that nobody hears it is no reason to stop."""
        log(" ".join(part for part in (what, pod, text) if part))
        if self._bus is not None:
            subject, event = subjects.event(self.home.federation.name, self.home.identity.name), Happened(what, pod=pod, text=text)
            try:
                await self._keep(partial(self._bus.kept.publish_event, subject, encode(event)))
            except (CpodsError, TimeoutError) as error:
                log(f"the event was not kept: {error}")

    def _status(self) -> FederationStatus:
        return FederationStatus(
            version=self._keeper.roster.version,
            broker=self.home.federation.broker,
            external=self.broker is None,
            uptime=time.monotonic() - self._started,
            host=socket.gethostname(),
            pid=os.getpid(),
            invites=self._keeper.invites.told(),
            handovers=len(self._handovers),
        )

    def _admission(self, name: str) -> str:
        if self.broker is not None or self.home.credentials:
            return ""
        keys = [one.invited for one in self._keeper.invites.open() if one.name == name]
        return (
            f"the broker at {self.home.federation.broker} is not ours: before {name} can join, its admin must add a user with "
            f"NKey {' '.join(keys)}, and afterwards one with the NKey that `cpods federation status` shows for {name}"
        )

    def _advice(self, member: Member | None) -> str:
        if self.broker is not None or member is None:
            return ""
        where = f"the broker at {self.home.federation.broker} is not ours, so its connection is not cut (all members refuse it already)"
        if self.home.credentials:
            return f"{where}: ask its admin to revoke the credentials of {member.name}, and to give others who share them new ones"
        return f"{where}: ask its admin to remove the user with NKey {member.nkey} and to reload"

    async def _look(self) -> None:
        """Tells of pods that have fallen silent, and of the roster again: a member may have been away when it changed."""
        for turn in itertools.count(1):
            await asyncio.sleep(LOOK_SECONDS)
            if turn % ROSTER_TURNS == 0:
                with suppress(CpodsError):  # without a broker there is nobody to tell
                    await self._publish_roster()
            for pod in self._statuses.lost():
                await self._happened("lost", pod, "not heard of any more")

    async def _refresh(self) -> None:
        """Lets the broker forget invitations when they end, and who has left when the answer is out."""
        while True:
            seconds = self._keeper.next_change()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._change.wait()
                self._change.clear()
                continue
            try:
                await self._keeper.refresh()
            except CpodsError as error:
                log(str(error))

    async def _keep_broker(self, broker: Broker) -> None:
        """Starts the broker again when it has ended by itself."""
        ends: list[float] = []
        while True:
            code = await broker.wait()
            ends = [when for when in ends if when > time.monotonic() - 60] + [time.monotonic()]
            log(f"the broker has ended (exit code {code})")
            if len(ends) > BROKER_ENDS_MAX:
                return self._fail(f"the broker ends again and again (exit code {code})")
            try:
                await broker.stop()
                await broker.start()
            except CpodsError as error:
                return self._fail(str(error))
            log("the broker runs again")

    def _fail(self, text: str) -> None:
        self.failure = text
        self.ended.set()

    def _on_end(self, reason: str) -> None:
        if not self.ended.is_set():
            self._fail(reason)

    def _stop_soon(self) -> None:
        asyncio.get_running_loop().call_later(FAREWELL_SECONDS, self.ended.set)


def can_be_told(name: str) -> bool:
    """Whether a text that a stranger sent can stand as a name in a log."""
    try:
        subjects.token(name)
        return True
    except ValueError:
        return False


def log(text: str) -> None:
    """One line in the steward's log."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)


async def serve(folder: str, starter: Starter) -> int:
    """Is the steward of the federation whose founder's home ``folder`` is, until it is ended; the exit code."""
    home = Home.open(folder)
    post = Post(home.founder_folder)
    post.take()
    try:
        steward = Steward(home)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, steward.ended.set)
        return await steward.run(starter)
    finally:
        post.leave()


def main(arguments: list[str] | None = None) -> int:
    """``python -m cpods.stewarding HOME [--ready DESCRIPTOR]``; the exit code. An error is one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m cpods.stewarding", description="The steward of a federation.")
    parser.add_argument("home", help="the founder's home")
    parser.add_argument("--ready", type=int, default=-1, help="descriptor to say on that it is ready")
    said = parser.parse_args(arguments)
    starter = Starter(said.ready)
    try:
        return asyncio.run(serve(said.home, starter))
    except (CpodsError, OSError) as error:
        code = error.exit_code if isinstance(error, CpodsError) else 1
        starter.failed(str(error), code)
        print(f"cpods: {error}", file=sys.stderr, flush=True)
        return code


if __name__ == "__main__":
    sys.exit(main())
