"""Footings under one watch: what changes between a look and the watch that tells of it is seen all the same."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cpods.resident.footing import Footing
from cpods.resident.grounds import Grounds
from cpods.store.filecolumns import FileColumns
from tests.helpers.footings import footing


class Growing(Footing):
    """Stands on more files after a slice than it did before."""

    grown: FileColumns | None = None

    @property
    def files(self) -> FileColumns:
        return self.grown if self.grown is not None else super().files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    for name in ("src/a", "lib/b"):
        (place / name).parent.mkdir(parents=True)
        (place / name).write_text(f"this is {name}")
    return place


def beside(root: Path, scenario: Callable[[Grounds], Awaitable[None]]) -> None:
    async def run() -> None:
        grounds = Grounds(str(root / ".cpods"), lambda: None)
        try:
            async with asyncio.timeout(30):
                await scenario(grounds)
        finally:
            grounds.close()

    asyncio.run(run())


def test_what_changed_before_it_was_held_and_what_changes_later_is_news(root: Path) -> None:
    async def scenario(grounds: Grounds) -> None:
        ground = footing(root, "src/a", "lib/b")
        (root / "src/a").write_text("before")
        grounds.hold("it", ground)
        assert ground.news() == ["src/a"]
        (root / "lib/b").write_text("later")
        assert await grounds.drained()
        assert grounds.check("it") == ["lib/b"]

    beside(root, scenario)


def test_in_a_folder_that_only_a_slice_read_the_files_are_looked_at_again(root: Path) -> None:
    async def scenario(grounds: Grounds) -> None:
        first = footing(root, "src/a")
        ground = Growing(str(root), first.files, (), {})
        grounds.hold("it", ground)
        ground.grown = footing(root, "src/a", "lib/b").files
        (root / "lib/b").write_text("changed when the slice had read it, and nobody listened yet")
        grounds.hold("it", ground)
        assert ground.concerns(grounds.pending("it"))
        assert grounds.check("it") == ["lib/b"]
        grounds.hold("it", ground)
        assert not grounds.pending("it"), "what is watched already is not looked at again"

    beside(root, scenario)


def test_a_file_that_becomes_a_link_or_gets_a_second_name_is_watched_there_too(root: Path, tmp_path: Path) -> None:
    async def scenario(grounds: Grounds) -> None:
        grounds.hold("it", footing(root, "src/a", "lib/b"))
        (root / "src/a").rename(tmp_path / "real")
        (root / "src/a").symlink_to(tmp_path / "hop")
        (tmp_path / "hop").symlink_to("real")
        (tmp_path / "second").hardlink_to(root / "lib/b")
        (root / "lib/b").touch()  # the kernel does not tell a folder of another name elsewhere
        assert await grounds.drained()
        assert grounds.check("it") == [], "they hold what they held"
        (tmp_path / "real").write_text("other")
        (tmp_path / "second").write_text("other")
        assert await grounds.drained()
        assert sorted(grounds.check("it")) == ["lib/b", "src/a"]

    beside(root, scenario)
