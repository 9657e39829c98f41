"""The state folder and the project's lock."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cpods.errors import Locked, UsageError
from cpods.store.lock import ProjectLock, filesystem_type, make_state_folder

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / /net/home rw,relatime shared:2 - nfs4 server:/home rw
31 22 0:27 / /net/home/local rw shared:3 - ext4 /dev/sdb1 rw
32 22 0:28 / /mnt/with\\040blank rw - fuse.sshfs host: rw
33 22 0:29 / /twice rw - ext4 /dev/sdc1 rw
34 33 0:30 / /twice rw master:1 - cifs //server/share rw
"""


@pytest.fixture
def mounts(tmp_path: Path) -> str:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    return str(tmp_path / "mountinfo")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/project/.cpods", "ext4"),
        ("/net/home/me/.cpods", "nfs4"),
        ("/net/homestead", "ext4"),
        ("/net/home/local/.cpods", "ext4"),
        ("/mnt/with blank/p", "fuse.sshfs"),
        ("/twice", "cifs"),
    ],
)
def test_the_mount_table_tells_the_file_system(mounts: str, path: str, kind: str) -> None:
    assert filesystem_type(path, mounts) == kind


@pytest.mark.parametrize("path", ["/net/home/me/.cpods", "/mnt/with blank/.cpods", "/twice/.cpods"])
def test_a_network_mount_is_told_where_to_put_its_state(mounts: str, path: str) -> None:
    with pytest.raises(UsageError, match=r"CPODS_STATE"):
        make_state_folder(path, mounts)


def test_the_state_folder_is_ignored_by_git(tmp_path: Path) -> None:
    for _ in range(2):
        make_state_folder(str(tmp_path / "p" / ".cpods"))
    assert (tmp_path / "p" / ".cpods" / ".gitignore").read_text() == "*\n"


def test_no_mount_table_is_no_obstacle(tmp_path: Path) -> None:
    make_state_folder(str(tmp_path / ".cpods"), str(tmp_path / "nothing"))
    assert (tmp_path / ".cpods").is_dir()


def test_the_second_build_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    first, second = ProjectLock(str(tmp_path)), ProjectLock(str(tmp_path))
    first.acquire()
    with pytest.raises(Locked, match=rf"process {os.getpid()} on .* since \d{{4}}-"):
        second.acquire(wait=False)
    assert set(json.loads((tmp_path / "lock").read_text())) == {"pid", "host", "start"}
    first.release()
    first.release()
    second.acquire(wait=False)
    second.release()


def test_waiting_says_so_once_and_ends_with_the_lock(tmp_path: Path) -> None:
    first, second = ProjectLock(str(tmp_path)), ProjectLock(str(tmp_path))
    told: list[str] = []
    waits, done = threading.Event(), threading.Event()

    def tell(sentence: str) -> None:
        told.append(sentence)
        waits.set()

    def wait_for_it() -> None:
        second.acquire(wait=True, on_wait=tell)
        done.set()

    first.acquire()
    thread = threading.Thread(target=wait_for_it)
    thread.start()
    assert waits.wait(30) and not done.is_set()
    first.release()
    assert done.wait(30)
    thread.join()
    second.release()
    assert len(told) == 1 and str(os.getpid()) in told[0]


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = "import os, sys; from cpods.store.lock import ProjectLock as L; L(sys.argv[1]).acquire(); os._exit(9)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env={**os.environ, "PYTHONPATH": os.getcwd()})
    with ProjectLock(str(tmp_path)):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_an_unreadable_holder_is_still_a_holder(tmp_path: Path, content: str) -> None:
    first, second = ProjectLock(str(tmp_path)), ProjectLock(str(tmp_path))
    first.acquire()
    (tmp_path / "lock").write_text(content)
    with pytest.raises(Locked, match="another process"):
        second.acquire(wait=False)
    first.release()
