"""The steward's process: started, found, ended; nothing of it is left behind."""

import asyncio
import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.foreignbroker import accounts, foreign
from tests.helpers.town import Town


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """A federation of this test alone, not founded yet."""
    town = Town(tmp_path)
    try:
        yield town
    finally:
        town.close()


def pids(town: Town) -> tuple[int, int]:
    """Process ids of the steward and of its broker."""
    founder = town.home("founder") / "founder"
    return int((founder / "steward.pid").read_text()), int((founder / "broker" / "broker.pid").read_text())


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_start_and_stop_leave_nothing_behind(town: Town) -> None:
    assert town.found().code == 0
    first = pids(town)
    twice = town.quick("founder", "federation", "start")
    assert twice.code == 0 and f"runs already (process {first[0]})" in twice.out
    stopped = town.call("founder", "federation", "stop")
    assert stopped.code == 0 and "has ended" in stopped.out
    assert all(map(ended, first)) and town.processes() == []
    again = town.quick("founder", "federation", "stop")
    assert again.code == 0 and "does not run here" in again.out
    unreachable = town.quick("founder", "federation", "status")
    assert unreachable.code == 5 and unreachable.err.count("\n") == 1 and "tls://127.0.0.1" in unreachable.err
    started = town.call("founder", "federation", "start")
    assert started.code == 0 and town.join("alpha").code == 0
    assert set(pids(town)).isdisjoint(first)


def test_a_killed_steward_takes_its_broker_along_and_comes_back_with_all_members(town: Town) -> None:
    assert town.found().code == 0 and town.join("alpha").code == 0
    steward, broker = pids(town)
    watched = os.pidfd_open(broker)
    os.kill(steward, signal.SIGKILL)
    try:
        assert select.select([watched], [], [], 20)[0], "the broker outlives its steward"
    finally:
        os.close(watched)
    assert town.quick("alpha", "federation", "status").code == 5
    assert town.quick("founder", "federation", "start").code == 0
    assert "alpha    pod" in town.quick("alpha", "federation", "status").out


def test_in_the_foreground_it_ends_with_a_signal(town: Town) -> None:
    assert town.found().code == 0 and town.quick("founder", "federation", "stop").code == 0
    running = town.start("founder", "federation", "start", "--foreground")
    assert "started" in running.line
    while "ready at" not in running.line:
        assert running.process.stdout is not None
        running = running._replace(line=running.process.stdout.readline())
        assert running.line
    assert town.quick("founder", "federation", "status").code == 0
    done = running.end()
    assert done.code == 0 and "ended as asked" in done.out
    assert town.processes() == []


def test_a_port_that_is_taken_leaves_no_half_a_federation(town: Town) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = town.found("--port", str(port))
        assert done.code == 2 and f"port {port} on 127.0.0.1 is taken" in done.err and done.err.count("\n") == 1
    assert not town.home("founder").exists() and town.processes() == []
    assert town.quick("founder", "federation", "init", "town", "--port", str(port)).code == 0
    assert f"tls://127.0.0.1:{port}" in town.quick("founder", "federation", "status").out


def test_a_broker_elsewhere_that_is_not_there(town: Town) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    done = town.found("--broker", f"nats://127.0.0.1:{port}")
    assert done.code == 5 and str(port) in done.err and done.err.count("\n") == 1
    assert not town.home("founder").exists()


@pytest.mark.parametrize("with_credentials", [True, False])
def test_a_broker_elsewhere_serves_as_well(town: Town, with_credentials: bool) -> None:
    """As hosted NATS is (credentials), and one that lets everybody in."""

    def use(url: str, creds: list[str]) -> None:
        founded = town.found("--broker", url, *creds)
        assert founded.code == 0 and url in founded.out, founded
        invited = town.quick("founder", "federation", "invite", "alpha")
        assert invited.code == 0 and ("its admin must add a user" in invited.err) is not with_credentials
        assert town.quick("alpha", "federation", "join", invited.out.strip(), *creds).code == 0
        pod = town.pod("alpha")
        assert f"broker: {url} (external)" in town.quick("alpha", "federation", "status").out
        revoked = town.quick("founder", "federation", "revoke", "alpha")
        assert revoked.code == 0 and "is not ours" in revoked.out and "ask its admin to" in revoked.out
        ended = pod.wait()
        assert ended.code != 0 and "revoked" in ended.err
        refused = town.quick("alpha", "federation", "status")
        assert refused.code == 5 and refused.err.count("\n") == 1
        assert town.quick("founder", "federation", "stop").code == 0

    async def whole() -> None:
        settings, creds = accounts(town.folder) if with_credentials else ({}, "")
        async with foreign(town.folder, settings) as url:
            await asyncio.to_thread(use, url, ["--creds", creds] if creds else [])

    asyncio.run(whole())
