"""The pod process on a real broker: real bus, real SFTP, real steps, signals, revocation."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from cpods import podserver
from cpods.errors import Unavailable
from cpods.model import Artefact
from cpods.net import subjects
from cpods.net.bus import NatsBus
from cpods.net.membership import RosterNews
from cpods.net.messages import Ack, Acks, Done, Input, Leases, Listing, StepDone, StepRequest, Steps
from cpods.net.nkeypair import Keypair
from cpods.net.pull import Peer, SftpTransfer
from cpods.net.questions import AskStatus, Okay, PodStatus, Stop
from cpods.net.storeserver import StoreServer
from cpods.net.wire import decode, encode
from cpods.orders import Cooked, Order
from cpods.podserver import PodOptions, serve
from cpods.ports import Message
from cpods.scheduler import groups
from cpods.store.objects import ObjectStore
from cpods.store.outbox import End, Outbox, OwnedPath
from tests.helpers.broker import Running, running
from tests.helpers.podworld import shell_step

NAME = "lab"


class Boss:
    """A MajorDomo's end of the real wires."""

    def __init__(self, federation: Running, bus: NatsBus, folder: Path) -> None:
        self.home = federation.home("md")
        self.bus = bus
        self.objects = ObjectStore(str(folder / "boss-store"))
        self.server = StoreServer(self.objects.root, self.home.identity.host_key)
        self.place = ("", 0)
        self.ends: asyncio.Queue[StepDone] = asyncio.Queue()
        self.deaf = False
        self.heard: list[str] = []
        self.statuses: asyncio.Queue[PodStatus] = asyncio.Queue()

    async def start(self) -> None:
        keys = {name: member.ssh_public for name, member in self.home.roster.active().items()}
        self.place = await self.server.start(keys)
        await self.bus.subscribe(subjects.results(NAME, "md"), self._hear)
        await self.bus.subscribe(subjects.statuses(NAME), self._status)

    async def _hear(self, message: Message) -> bytes | None:
        if not message.subject.endswith(".done"):
            return None
        done = decode(message.payload, Done)
        self.heard += [end.id for end in done.steps]
        if self.deaf:
            return None
        for end in done.steps:
            self.ends.put_nowait(end)
        return encode(Acks(tuple(Ack(end.id) for end in done.steps)))

    async def _status(self, message: Message) -> None:
        self.statuses.put_nowait(decode(message.payload, PodStatus))

    async def order(self, id: str, files: dict[str, bytes], run: str, output: str) -> Leases:
        inputs = []
        for path, data in files.items():
            artefact = self.objects.put_bytes(data)
            inputs.append(Input(path, artefact.digest, artefact.size))
        tree = self.objects.put_bytes(msgspec.msgpack.encode(Listing(tuple(inputs))))
        self.objects.commit()
        step = shell_step(id, run, [output], tuple(files))
        request = StepRequest(id, Order(step, f"key:{id}", (), 0, ""), tree)
        steps = Steps("paper", "md", (request,), (), self.place)
        return decode(await self.bus.request(subjects.step(NAME, "a"), encode(steps), 30), Leases)

    async def close(self) -> None:
        await self.server.stop()
        self.objects.close()


@asynccontextmanager
async def boss_of(federation: Running, folder: Path) -> AsyncIterator[Boss]:
    boss = Boss(federation, await federation.connect("md"), folder)
    await boss.start()
    try:
        yield boss
    finally:
        await boss.close()


def test_an_order_goes_there_and_its_output_comes_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> int:
        async with running(tmp_path, {"md": "majordomo", "a": "pod"}, NAME) as federation, boss_of(federation, tmp_path) as boss:
            ended = asyncio.Event()
            pod = asyncio.create_task(serve(federation.home("a"), PodOptions(slots=2, tags={"room": "7"}), ended))
            async with asyncio.timeout(60):
                status = await boss.statuses.get()
                assert (status.state, status.slots, status.tags) == ("ready", 2, (("room", "7"),))
                leases = await boss.order("s1", {"in": b"hello", "sub/more": b" world"}, "cat in sub/more > out", "out")
                assert [lease.refused for lease in leases.leases] == [""]
                end = await boss.ends.get()
                assert end.cooked.result is not None and not end.trouble
                assert end.fetched.keys() == {"md"}
                (output,) = end.cooked.result.outputs
                back = SftpTransfer(
                    "md",
                    boss.objects,
                    lambda _: Peer(*status.sftp, federation.roster.members["a"].host_public),
                    boss.home.identity.ssh_key,
                )
                await back.pull(Artefact(output.version.digest, output.version.size), ["a"])
                assert boss.objects.read(output.version.digest) == b"hello world"
                await back.close()
                ended.set()
                return await pod

    assert asyncio.run(scenario()) == 0
    said = capfd.readouterr()
    assert said.out.startswith("pod a of lab: ready, 2 slots, sftp 127.0.0.1:")
    assert "pod a of lab: it was ended" in said.err


class Process:
    """A pod as a process of its own, started as a user does."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.ready = ""

    @classmethod
    async def start(cls, federation: Running, member: str, *arguments: str, home: str = "") -> "Process":
        environment = {**os.environ, **federation.environment(home or member)}
        code = "import sys; from cpods.cli import main; sys.argv[0] = 'cpods'; sys.exit(main())"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, "pod", "start", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        return cls(process)

    async def until_ready(self) -> None:
        assert self.process.stdout is not None
        self.ready = (await self.process.stdout.readline()).decode()

    async def end(self) -> tuple[int, str]:
        """(exit code, what it said on standard error)."""
        _, said = await self.process.communicate()
        return self.process.returncode or 0, said.decode()


@asynccontextmanager
async def started(federation: Running, *arguments: str) -> AsyncIterator[Process]:
    pod = await Process.start(federation, "a", *arguments)
    try:
        await pod.until_ready()
        yield pod
    finally:
        if pod.process.returncode is None:
            pod.process.kill()
            await pod.process.wait()


def federated(folder: Path, play: Callable[[Running], Awaitable[None]]) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(100), running(folder, {"md": "majordomo", "a": "pod"}, NAME) as federation:
            await play(federation)

    asyncio.run(scenario())


def test_a_polite_kill_ends_steps_and_says_so(tmp_path: Path) -> None:
    async def play(federation: Running) -> None:
        async with boss_of(federation, tmp_path) as boss, started(federation, "--slots", "1", "--tag", "room=7") as pod:
            assert pod.ready.startswith("pod a of lab: ready, 1 slot, sftp 127.0.0.1:")
            await boss.order("long", {}, f"echo $$ > {tmp_path}/pid; exec sleep 1000", "out")
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
                await asyncio.sleep(0.01)
            pod.process.send_signal(signal.SIGTERM)
            assert await pod.end() == (0, "pod a of lab: ended by SIGTERM; its store has served 0 bytes\n")
            assert groups.members(int((tmp_path / "pid").read_text())) == []
            while (await boss.statuses.get()).state != "stopped":
                pass

    federated(tmp_path, play)


def test_what_a_killed_pod_left_running_is_ended_and_its_results_are_not_lost(tmp_path: Path) -> None:
    async def play(federation: Running) -> None:
        async with boss_of(federation, tmp_path) as boss:
            boss.deaf = True
            async with started(federation, "--slots", "2") as pod:
                await boss.order("long", {}, f"echo $$ > {tmp_path}/pid; exec sleep 1000", "out")
                await boss.order("short", {}, "echo kept > out", "out")
                while not (tmp_path / "pid").exists() or not boss.heard:
                    await asyncio.sleep(0.01)
                pod.process.kill()
                await pod.process.wait()
            left = int((tmp_path / "pid").read_text())
            assert groups.members(left) == [left]
            boss.deaf = False
            async with started(federation, "--slots", "2") as pod:
                assert groups.members(left) == []
                end = await boss.ends.get()
                assert end.id == "short" and end.cooked.result is not None
                pod.process.send_signal(signal.SIGINT)
                assert (await pod.end())[0] == 130

    federated(tmp_path, play)


def test_a_revoked_pod_ends_with_that_word(tmp_path: Path) -> None:
    async def play(federation: Running) -> None:
        async with started(federation) as pod:
            await federation.revoke("a")
            code, said = await pod.end()
            assert code == 5
            assert "this pod was revoked from federation lab:" in said.splitlines()[-1]

    federated(tmp_path, play)


def test_a_stop_from_afar_is_answered_and_obeyed(tmp_path: Path) -> None:
    async def play(federation: Running) -> None:
        bus = await federation.connect("md")
        async with started(federation) as pod:
            status = decode(await bus.request(subjects.ask(NAME, "a"), encode(AskStatus()), 10), PodStatus)
            assert status.pod == "a"
            assert decode(await bus.request(subjects.ask(NAME, "a"), encode(Stop()), 10), Okay) == Okay()
            assert await pod.end() == (0, "pod a of lab: md asked it to stop; its store has served 0 bytes\n")

    federated(tmp_path, play)


def test_a_broker_that_comes_back_finds_its_pods(tmp_path: Path) -> None:
    async def play(federation: Running) -> None:
        async with boss_of(federation, tmp_path) as boss, started(federation):
            await boss.order("before", {}, f"while ! test -e {tmp_path}/go; do sleep 0.05; done; echo > out", "out")
            await federation.broker.kill()
            (tmp_path / "go").touch()
            await federation.broker.start()
            assert (await boss.ends.get()).id == "before"
            while True:
                try:
                    await boss.order("after", {"a": b"1"}, "cat a > out", "out")
                    break
                except (Unavailable, TimeoutError):
                    await asyncio.sleep(0.1)
            assert (await boss.ends.get()).id == "after"

    federated(tmp_path, play)


def test_a_new_member_is_let_in_and_a_revoked_one_is_not_obeyed(tmp_path: Path) -> None:
    async def play(federation: Running) -> None:
        async with started(federation):
            await federation.admit("late", "majordomo")
            founder = await federation.connect("founder")
            await founder.publish(
                subjects.roster(NAME), encode(RosterNews(federation.roster.encode(Keypair(federation.identities["founder"].nkey_seed))))
            )
            bus = await federation.connect("late")
            assert decode(await bus.request(subjects.ask(NAME, "a"), encode(AskStatus()), 10), PodStatus).pod == "a"

    federated(tmp_path, play)


def test_at_its_start_a_pod_makes_room_but_keeps_what_it_must(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def play(federation: Running) -> None:
        home = federation.home("a")
        objects = ObjectStore(str(Path(home.folder) / "store"))
        digests = [objects.put_bytes(bytes([number]) * 1000).digest for number in range(10)]
        objects.commit()
        objects.close()
        (Path(home.folder) / "work").mkdir()
        notes = Outbox(str(Path(home.folder) / "work" / "notes.db"))
        notes.pin([digests[0]])
        notes.own([OwnedPath("paper", "a", 1, digests[1], digests[1], "md")])
        cooked = Cooked(None, None, artefacts={digests[2]: 1000})
        notes.add([End("md", "one", "paper", msgspec.json.encode(StepDone("one", "paper", cooked)))])
        notes.close()
        ended = asyncio.Event()
        ended.set()
        assert await serve(home, PodOptions(max_bytes=4500), ended) == 0
        left = ObjectStore(str(Path(home.folder) / "store"))
        assert sum(map(left.has, digests)) == 4 and all(map(left.has, digests[:3]))

    federated(tmp_path, play)
    assert "6 artefacts (0 MiB), used longest ago, have left the store" in capfd.readouterr().err


def test_what_is_wrong_at_the_start_is_one_sentence(tmp_path: Path) -> None:
    async def play(federation: Running) -> None:
        async def failing(member: str, *arguments: str) -> tuple[int, str]:
            return await (await Process.start(federation, member, *arguments)).end()

        code, said = await failing("md")
        assert code == 2 and "md is a majordomo of lab, not a pod" in said
        code, said = await failing("a", "--tag", "=x")
        assert code == 2 and "expected NAME=VALUE" in said
        code, said = await failing("a", "--sftp-server", "ftp")
        assert code == 2 and "sftp_server" in said
        async with started(federation):
            code, said = await failing("a")
            assert code == 7 and "in use by another process of a pod" in said
        await federation.broker.kill()
        code, said = await failing("a")
        assert code == 5 and len(said.splitlines()) == 1

    federated(tmp_path, play)


def test_the_store_is_served_again_if_its_server_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(podserver, "_SERVER_LOOK_SECONDS", 0.05)
    servers: list[StoreServer] = []

    class Noted(StoreServer):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            servers.append(self)

    monkeypatch.setattr(podserver, "StoreServer", Noted)

    async def play(federation: Running) -> None:
        ended = asyncio.Event()
        ready = asyncio.create_task(serve(federation.home("a"), PodOptions(slots=1), ended))
        bus = await federation.connect("md")
        while True:
            try:
                first = decode(await bus.request(subjects.ask(NAME, "a"), encode(AskStatus()), 10), PodStatus).sftp
                break
            except Unavailable:
                await asyncio.sleep(0.05)
        os.kill(servers[0].pid, signal.SIGKILL)
        while len(servers) < 2 or not servers[1].pid:
            await asyncio.sleep(0.02)
        assert decode(await bus.request(subjects.ask(NAME, "a"), encode(AskStatus()), 10), PodStatus).sftp == first
        ended.set()
        assert await ready == 0

    federated(tmp_path, play)
    assert "the server of this pod's store has ended" in capfd.readouterr().err
