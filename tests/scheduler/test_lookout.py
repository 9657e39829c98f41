"""The lookout over real folders: moved, deleted, made again, linked, overflowing, and beyond the user's watches."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cpods.scheduler.lookout import Changes, Lookout

_SECONDS_MAX = 30.0


def on_watch(tmp_path: Path, scenario: Callable[["Watched"], Awaitable[None]], remote: bool = False) -> None:
    """Runs a scenario over a lookout with folders of its own below ``tmp_path``."""

    async def run() -> None:
        watched = Watched(tmp_path, remote)
        try:
            async with asyncio.timeout(_SECONDS_MAX):
                await scenario(watched)
        finally:
            watched.lookout.close()

    asyncio.run(run())


class Watched:
    """A lookout, and everything that it told so far."""

    def __init__(self, tmp_path: Path, remote: bool) -> None:
        (tmp_path / "beside").mkdir()
        self.root = tmp_path / "root"
        self.root.mkdir()
        self.told = asyncio.Event()
        self.lookout = Lookout(str(tmp_path / "beside"), self.told.set, lambda folder: remote, poll_seconds=0.01)

    def want(self, *folders: str) -> None:
        self.lookout.want(str(self.root / folder) for folder in folders)

    async def news(self) -> Changes:
        """What happened before this call, by paths below the root."""
        assert await self.lookout.drained()
        found = self.lookout.take()
        return Changes(frozenset(map(self._short, found.paths)), frozenset(map(self._short, found.below)), found.everything)

    def _short(self, path: str) -> str:
        return os.path.relpath(path, self.root)


def test_every_way_to_save_a_file_is_told(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        file = watched.root / "file"
        file.write_text("old")
        watched.want("")
        file.write_text("new")
        assert "file" in (await watched.news()).paths
        (watched.root / "beside").write_text("newer")
        os.rename(watched.root / "beside", file)
        assert "file" in (await watched.news()).paths
        os.utime(file)
        assert "file" in (await watched.news()).paths
        file.unlink()
        assert "file" in (await watched.news()).paths
        with file.open("w") as half:
            half.write("a")
            half.flush()
            assert "file" in (await watched.news()).paths
            half.write("b")
        assert "file" in (await watched.news()).paths
        assert not await watched.news()

    on_watch(tmp_path, scenario)


def test_only_the_folders_that_are_wanted_are_watched(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        for name in ("in", "in/deeper", "other"):
            (watched.root / name).mkdir()
        watched.want("in")
        for name in ("in/deeper/file", "other/file", "file"):
            (watched.root / name).write_text("x")
        assert not await watched.news()
        watched.want("other")
        (watched.root / "in" / "file").write_text("x")
        (watched.root / "other" / "file").write_text("y")
        assert (await watched.news()).paths == {"other/file"}

    on_watch(tmp_path, scenario)


def test_a_folder_that_was_missing_counts_from_top_to_bottom_when_it_comes(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        watched.want("a/b/c")
        (watched.root / "a").mkdir()
        assert "a" in (await watched.news()).below
        os.makedirs(tmp_path / "made" / "c")
        (tmp_path / "made" / "c" / "file").write_text("there before anybody watched")
        os.rename(tmp_path / "made", watched.root / "a" / "b")
        assert "a/b" in (await watched.news()).below
        (watched.root / "a" / "b" / "c" / "file").write_text("x")
        assert "a/b/c/file" in (await watched.news()).paths

    on_watch(tmp_path, scenario)


def test_a_folder_that_only_led_on_tells_of_its_files_once_it_is_wanted_itself(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        os.makedirs(watched.root / "a" / "b")
        file = watched.root / "a" / "file"
        file.write_text("old")
        watched.want("a/b")
        watched.want("a", "a/b")
        with file.open("r+") as written:
            written.write("new")
        assert "a/file" in (await watched.news()).paths

    on_watch(tmp_path, scenario)


def test_folders_that_are_made_while_they_are_looked_for_are_watched(tmp_path: Path) -> None:
    """The one below is asked for while the one above is being made: whichever comes first, none is left out."""

    async def scenario(watched: Watched) -> None:
        for number in range(100):
            names = [f"{number}/" + "/".join("abcdef"[:count]) for count in range(1, 7)]
            (watched.root / f"{number}").mkdir()
            watched.want(*names)
            maker = threading.Thread(target=os.makedirs, args=(watched.root / names[-1],))
            maker.start()
            while maker.is_alive():
                await asyncio.sleep(0)
            await watched.news()
            files = [f"{name}/file" for name in names]
            for file in files:
                (watched.root / file).write_text("")
            assert set(files) <= (await watched.news()).paths

    on_watch(tmp_path, scenario)


def test_a_folder_that_is_moved_away_and_made_again_is_watched_again(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        os.makedirs(watched.root / "a" / "b")
        watched.want("a/b")
        os.rename(watched.root / "a", tmp_path / "elsewhere")
        assert "a" in (await watched.news()).below
        (tmp_path / "elsewhere" / "b" / "file").write_text("not ours any more")
        assert not await watched.news()
        os.makedirs(watched.root / "a" / "b")
        await watched.news()
        (watched.root / "a" / "b" / "file").write_text("x")
        assert "a/b/file" in (await watched.news()).paths

    on_watch(tmp_path, scenario)


def test_the_root_itself_may_be_moved_and_made_again(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        watched.want("")
        os.rename(watched.root, tmp_path / "moved")
        assert "." in (await watched.news()).below
        watched.root.mkdir()
        assert "." in (await watched.news()).below
        (watched.root / "file").write_text("x")
        assert (await watched.news()).paths == {"file"}

    on_watch(tmp_path, scenario)


def test_a_link_on_the_way_may_be_turned_elsewhere(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        (watched.root / "link").symlink_to(tmp_path / "one")
        watched.want("link")
        (tmp_path / "one" / "file").write_text("x")
        assert (await watched.news()).paths == {"link/file"}
        (watched.root / "new").symlink_to(tmp_path / "two")
        os.rename(watched.root / "new", watched.root / "link")
        assert "link" in (await watched.news()).below
        (tmp_path / "two" / "file").write_text("x")
        assert (await watched.news()).paths == {"link/file"}

    on_watch(tmp_path, scenario)


def test_a_single_file_is_told_of_under_its_other_names_too(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        (watched.root / "file").write_text("old")
        os.link(watched.root / "file", tmp_path / "other name")
        watched.lookout.want([str(watched.root)], [str(watched.root / "file")])
        with (tmp_path / "other name").open("a") as file:
            file.write("new")
        assert (await watched.news()).paths == {"file"}

    on_watch(tmp_path, scenario)


def test_an_overflowing_queue_is_seen_and_everything_may_have_changed(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        watched.want("")
        queue_max = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        names = [str(watched.root / "one"), str(watched.root / "two")]
        for number in range(queue_max + 10):  # equal entries one behind the other would be queued once
            os.close(os.open(names[number % 2], os.O_WRONLY | os.O_CREAT))
        await watched.told.wait()
        assert watched.lookout.take().everything
        (watched.root / "three").write_text("x")
        assert "three" in (await watched.news()).paths

    on_watch(tmp_path, scenario)


def test_where_the_kernel_does_not_tell_everything_may_have_changed_again_and_again(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        watched.want("")
        assert "does not tell" in watched.lookout.why_polling
        for _ in range(2):
            watched.told.clear()
            await watched.told.wait()
            assert watched.lookout.take().everything
        assert not await watched.lookout.drained()

    on_watch(tmp_path, scenario, remote=True)


def test_no_watch_stays_behind(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        watched.want("")
        few = watched.lookout.watches
        for name in ("a", "b", "c"):
            (watched.root / name).mkdir()
        watched.want("a", "b", "c")
        assert watched.lookout.watches == few + 3
        for _ in range(5):
            os.rename(watched.root / "a", watched.root / "d")
            os.rename(watched.root / "d", watched.root / "a")
            await watched.news()
        watched.want("")
        assert watched.lookout.watches == few

    on_watch(tmp_path, scenario)


#: In a user namespace of its own a process may lower its limit of watches.
_LIMITED = """
import asyncio, ctypes, sys
from pathlib import Path
from cpods.scheduler.lookout import Lookout

assert ctypes.CDLL(None, use_errno=True).unshare(0x10000000) == 0, "no user namespaces here"
Path("/proc/sys/user/max_inotify_watches").write_text("4")

async def main(folder):
    told = asyncio.Event()
    lookout = Lookout(folder, told.set, poll_seconds=0.01)
    lookout.want(f"{folder}/{name}" for name in "abcdefgh")
    await asyncio.wait_for(told.wait(), 30)
    print(lookout.take().everything, await lookout.drained(), lookout.why_polling)

asyncio.run(main(sys.argv[1]))
"""


def test_when_watches_are_used_up_it_says_so_and_looks_again_and_again(tmp_path: Path) -> None:
    for name in "abcdefgh":
        (tmp_path / name).mkdir()
    said = subprocess.run([sys.executable, "-c", _LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=60)
    if "no user namespaces here" in said.stderr:
        pytest.fail("this machine allows no user namespaces, in which alone the limit of watches can be lowered")
    assert said.stdout.startswith("True False this user has no inotify watches left"), said.stdout + said.stderr
