"""What every Watcher does, the real one over inotify and its in-memory twin."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from cpods.ports import Watcher
from cpods.scheduler.watcher import FolderWatcher, MemoryWatcher

Change = Callable[[Watcher, Path, str], None]


def write(_: Watcher, folder: Path, path: str) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text("new")


def replace(_: Watcher, folder: Path, path: str) -> None:
    (folder / ".beside").write_text("new")
    os.rename(folder / ".beside", folder / path)


def delete(_: Watcher, folder: Path, path: str) -> None:
    (folder / path).unlink()


def tell(watcher: Watcher, _: Path, path: str) -> None:
    assert isinstance(watcher, MemoryWatcher)
    watcher.tell([path])


KINDS: dict[str, tuple[Callable[[Path], Watcher], Change]] = {
    "real, written": (lambda folder: FolderWatcher(str(folder)), write),
    "real, replaced": (lambda folder: FolderWatcher(str(folder)), replace),
    "real, deleted": (lambda folder: FolderWatcher(str(folder)), delete),
    "twin": (lambda _: MemoryWatcher(), tell),
}


@pytest.mark.parametrize("kind", KINDS)
def test_first_everything_may_have_changed_then_what_did(kind: str, tmp_path: Path) -> None:
    make, change = KINDS[kind]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("old")

    async def scenario() -> None:
        watcher = make(tmp_path)
        async with asyncio.timeout(60), aclosing(_generator(watcher)) as changes:
            assert await anext(changes) == frozenset()
            change(watcher, tmp_path, "in/file")
            seen: set[str] = set()
            while "in/file" not in seen:
                seen |= await anext(changes)

    asyncio.run(scenario())


@pytest.mark.parametrize("make", [lambda folder: FolderWatcher(str(folder)), lambda _: MemoryWatcher()])
def test_whoever_stops_listening_leaves_nothing_behind(make: Callable[[Path], Watcher], tmp_path: Path) -> None:
    async def scenario() -> None:
        async def listen() -> None:
            async for _ in make(tmp_path).changes():
                heard.set()

        heard = asyncio.Event()
        task = asyncio.create_task(listen())
        await heard.wait()
        task.cancel()
        assert await asyncio.gather(task, return_exceptions=True) != [None]

    asyncio.run(scenario())


def test_new_folders_are_watched_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(60), aclosing(_generator(FolderWatcher(str(tmp_path)))) as changes:
            await anext(changes)
            (tmp_path / "new").mkdir()
            while "new" not in await anext(changes):
                pass
            write(MemoryWatcher(), tmp_path, "new/file")
            while "new/file" not in await anext(changes):
                pass

    asyncio.run(scenario())


def _generator(watcher: Watcher) -> "AsyncIterator[frozenset[str]]":
    return watcher.changes()
