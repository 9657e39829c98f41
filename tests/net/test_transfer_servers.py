"""How servers start, are refused to start, and end."""

import asyncio
import contextlib
import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cpods.errors import Unavailable, UsageError
from cpods.net import landlock, sshd
from cpods.net.serving import CannotServe, Setup
from cpods.net.sshd import PrivateSshd
from cpods.net.storeserver import StoreServer
from cpods.store.objects import ObjectStore
from tests.helpers.yard import new_key

KINDS = ("embedded", "openssh")
ROOT = str(Path(__file__).parents[2])


def run(script: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """A Python program of its own."""
    words = [sys.executable, "-c", script]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": ROOT, **more})


@pytest.mark.parametrize("kind", KINDS)
def test_the_server_goes_with_who_started_it(tmp_path: Path, kind: str) -> None:
    """Even if that one is killed."""
    host_key = new_key()
    ObjectStore(str(tmp_path / "store"))
    script = f"""
import asyncio, os, signal
from cpods.net.storeserver import StoreServer
async def main():
    server = StoreServer({str(tmp_path / "store")!r}, {host_key.private!r}, {kind!r})
    print(*(await server.start({{}}))[1:], server.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    port, pid = map(int, ended.stdout.split())
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        assert select.select([descriptor], [], [], 30)[0], "the server lives on"
        os.close(descriptor)

    assert list(tmp_path.glob("cpods-serve-*")) == []  # keys lie in there

    async def connect() -> None:
        await asyncio.open_connection("127.0.0.1", port)

    with pytest.raises(ConnectionError):
        asyncio.run(connect())


@pytest.mark.parametrize("kind", KINDS)
def test_a_port_that_is_taken_is_said_in_one_sentence(tmp_path: Path, kind: str) -> None:
    ObjectStore(str(tmp_path / "store"))

    async def start() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            server = StoreServer(str(tmp_path / "store"), new_key().private, kind, port=taken.getsockname()[1])
            with pytest.raises(Unavailable, match="(?i)address already in use"):
                await server.start({})
            await server.stop()
            with pytest.raises(Unavailable, match="has ended"):
                await server.count()

    asyncio.run(start())


def test_an_unknown_kind_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="embedded, openssh"):
        StoreServer(str(tmp_path), new_key().private, "ftp")


def test_without_a_way_to_confine_it_sshd_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    setup = Setup(str(tmp_path), new_key().private, "127.0.0.1", 0, {}, str(tmp_path))
    with pytest.raises(CannotServe, match='cannot be confined.*use sftp_server = "embedded"') as refusal:
        asyncio.run(PrivateSshd(setup).start({}))
    assert refusal.value.usage


def test_without_openssh_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sshd, "_SFTP_SERVERS", ())
    setup = Setup(str(tmp_path), new_key().private, "127.0.0.1", 0, {}, str(tmp_path))
    with pytest.raises(CannotServe, match="install openssh-server"):
        asyncio.run(PrivateSshd(setup).start({}))


def test_landlock_leaves_what_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "file").write_text("shown")
    (tmp_path / "secret").write_text("hidden")
    script = f"""
import os, socket
from cpods.net.landlock import READ_FILE, restrict
restrict([({str(tmp_path / "open")!r}, READ_FILE), ("/no/such/folder", READ_FILE)])
print(open({str(tmp_path / "open/file")!r}).read())
def tried(work):
    try:
        work()
    except OSError as error:
        return error.errno
print(tried(lambda: open({str(tmp_path / "secret")!r})))
print(tried(lambda: open({str(tmp_path / "open/file")!r}, "w")))
print(tried(lambda: os.listdir({str(tmp_path / "open")!r})))
print(tried(lambda: os.execv("/bin/true", ["true"])))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert ended.stdout.split() == ["shown", "13", "13", "13", "13"], ended.stderr
