"""A federation's own broker: a real nats-server, started, told of members, killed, started again."""

import asyncio
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cpods.errors import Unavailable, UsageError
from cpods.net import brokerconfig, natsprogram
from cpods.net.broker import Broker
from cpods.net.identity import new_identity
from cpods.net.roster import Member

FOUNDER = new_identity("founder", "fed", "founder").member()
POD = new_identity("a", "fed", "pod").member()

Use = Callable[[Broker], Awaitable[None]]


def play(broker: Broker, use: Use) -> None:
    async def all_of_it() -> None:
        try:
            await use(broker)
        finally:
            await broker.stop()

    asyncio.run(all_of_it())


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_it_starts_keeps_its_port_and_its_authority(tmp_path: Path) -> None:
    async def use(broker: Broker) -> None:
        await broker.reload([FOUNDER, POD])
        url = await broker.start()
        assert url.startswith("tls://127.0.0.1:") and broker.running and broker.pid
        assert await broker.start() == url
        authority = broker.ca_pem
        await broker.stop()
        assert not broker.running and broker.pid == 0
        again = Broker(str(tmp_path), "fed")
        assert await again.start() == url
        assert again.ca_pem == authority
        await again.kill()
        assert await again.start() == url
        await again.stop()

    play(Broker(str(tmp_path), "fed"), use)


def test_its_files_are_its_owners_alone(tmp_path: Path) -> None:
    async def use(broker: Broker) -> None:
        await broker.start()
        for name in ("ca.key", "ca.pem", "server.key", "server.pem", "broker.conf", "port"):
            assert stat.S_IMODE((tmp_path / "b" / name).stat().st_mode) == 0o600, name
        assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o700

    play(Broker(str(tmp_path / "b"), "fed"), use)


def test_before_the_first_start_there_is_no_authority(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="start it first"):
        _ = Broker(str(tmp_path), "fed").ca_pem


def test_a_configuration_that_the_server_does_not_take_changes_nothing(tmp_path: Path) -> None:
    async def use(broker: Broker) -> None:
        await broker.reload([FOUNDER, POD])
        await broker.start()
        before = (tmp_path / "broker.conf").read_bytes()
        with pytest.raises(Unavailable, match="does not take the new configuration"):
            await broker.reload([FOUNDER], ["NOKEY"])
        assert (tmp_path / "broker.conf").read_bytes() == before
        assert broker.running
        await broker.reload([FOUNDER])
        assert POD.nkey not in (tmp_path / "broker.conf").read_text()

    play(Broker(str(tmp_path), "fed"), use)


def test_a_chosen_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]

        async def use(broker: Broker) -> None:
            with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 is taken"):
                await broker.start()
            assert not broker.running

        play(Broker(str(tmp_path), "fed", port=port), use)


def test_an_address_that_this_machine_does_not_have(tmp_path: Path) -> None:
    async def use(broker: Broker) -> None:
        with pytest.raises(UsageError, match=r"no address 192\.0\.2\.1"):
            await broker.start()

    play(Broker(str(tmp_path), "fed", host="192.0.2.1"), use)


def test_on_all_interfaces_it_is_known_by_its_name(tmp_path: Path) -> None:
    async def use(broker: Broker) -> None:
        url = await broker.start()
        assert url.startswith("tls://pods.example:")

    play(Broker(str(tmp_path), "fed", host="0.0.0.0", names=("pods.example",)), use)


def test_its_end_is_noticed(tmp_path: Path) -> None:
    async def use(broker: Broker) -> None:
        await broker.start()
        os.kill(broker.pid, signal.SIGKILL)
        assert await broker.wait() == -signal.SIGKILL
        assert not broker.running

    play(Broker(str(tmp_path), "fed"), use)


STARTER = """
import asyncio, sys
from cpods.net.broker import Broker

async def main():
    broker = Broker(sys.argv[1], "fed")
    await broker.start()
    print(broker.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_if_its_keeper_is_killed_it_ends_too_and_can_be_started_again(tmp_path: Path) -> None:
    async def use(broker: Broker) -> None:
        keeper = await asyncio.create_subprocess_exec(sys.executable, "-c", STARTER, str(tmp_path), stdout=asyncio.subprocess.PIPE)
        assert keeper.stdout is not None
        server = int(await keeper.stdout.readline())
        ended = os.pidfd_open(server)
        keeper.kill()
        await keeper.communicate()
        try:
            await readable(ended)
        finally:
            os.close(ended)
        url = await broker.start()
        assert port_of(url) == int((tmp_path / "port").read_text())

    play(Broker(str(tmp_path), "fed"), use)


async def readable(descriptor: int) -> None:
    """A pidfd is readable when its process has ended."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    loop.add_reader(descriptor, done.set)
    try:
        await done.wait()
    finally:
        loop.remove_reader(descriptor)


def test_a_server_that_was_left_behind_is_ended_by_the_next_start(tmp_path: Path) -> None:
    async def use(broker: Broker) -> None:
        await broker.start()
        left, place = broker.pid, str(tmp_path)
        second = Broker(place, "fed")
        await second.start()
        assert second.pid != left
        assert await broker.wait() == 0 or not broker.running
        await second.stop()

    play(Broker(str(tmp_path), "fed"), use)


def test_configuration() -> None:
    place = brokerconfig.Place("127.0.0.1", 4222, "c.pem", "c.key", "data", "log", "pid")
    gone = Member("b", "pod", new_identity("b", "fed", "pod").nkey, POD.ssh_public, POD.host_public, revoked=True)
    guest = new_identity("c", "fed", "pod").nkey
    text = brokerconfig.render("fed", place, [FOUNDER, POD, gone], [guest])
    said = json.loads(text)
    assert [user["nkey"] for user in said["authorization"]["users"]] == [FOUNDER.nkey, POD.nkey, guest]
    assert said["tls"]["min_version"] == "1.3" and said["tls"]["handshake_first"] is True
    assert (said["ping_interval"], said["ping_max"]) == ("10s", 2)


def test_the_program_is_found_and_new_enough() -> None:
    assert os.path.basename(natsprogram.find_server()) == "nats-server"


@pytest.mark.parametrize("version", ["2.10.0", "v2.15.1", "3.0.1"])
def test_new_enough(version: str) -> None:
    natsprogram.check_version(version, "here")


@pytest.mark.parametrize("version", ["2.9.10", "1.4.0", "", "unknown"])
def test_too_old(version: str) -> None:
    with pytest.raises(UsageError, match=r"here is NATS .*, cpods needs 2\.10 or newer"):
        natsprogram.check_version(version, "here")
