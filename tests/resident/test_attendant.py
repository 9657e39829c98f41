"""When a standing order is built, ended early and built again: a played builder over real files and a real watch."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cpods.resident.attendant import Attendant, Outcome, Problem, git_rewrites
from cpods.resident.footing import Footing
from cpods.resident.grounds import Grounds
from tests.helpers.footings import footing

GOOD = Outcome(0, "done")


class PlayedBuild:
    """A build that goes on until the test ends it. ``restarts``: it can have steps begin again."""

    def __init__(self, steps: Sequence[str], restarts: bool) -> None:
        self._steps = steps
        self._restarts = restarts
        self.restarted: asyncio.Queue[tuple[Sequence[str], Sequence[str]]] = asyncio.Queue()
        self.over: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.cancelled = asyncio.Event()

    def steps(self) -> Sequence[str]:
        return self._steps

    def restart(self, steps: Sequence[str], changed: Sequence[str]) -> bool:
        if self._restarts:
            self.restarted.put_nowait((steps, changed))
        return self._restarts

    def cancel(self) -> None:
        self.cancelled.set()
        if not self.over.done():
            self.over.set_result(Outcome(130, "interrupted"))

    async def ended(self) -> Outcome:
        return await asyncio.shield(self.over)


class Play:
    """Builder and view in one. A good build stands on ``files``; step ``a`` reads ``src/a``, and so on."""

    def __init__(self, root: Path, *files: str) -> None:
        self.root = root
        self.files = files
        self.builds: asyncio.Queue[PlayedBuild] = asyncio.Queue()
        self.said: list[str] = []
        self.rested = asyncio.Event()
        self.asked = asyncio.Event()
        self.products: set[str] = set()
        self.planned: Sequence[str] = ()
        self.running: Sequence[str] = ("a",)
        self.restarts = False

    async def begin(self, ground: Footing | None) -> PlayedBuild:
        build = PlayedBuild(self.running, self.restarts)
        self.builds.put_nowait(build)
        return build

    def reads(self, step: str) -> frozenset[str] | None:
        self.asked.set()
        return frozenset({f"src/{step}", step})

    def is_product(self, path: str) -> bool:
        return path in self.products

    def footing(self, outcome: Outcome) -> Footing | None:
        return self._ground

    def building(self, changed: Sequence[str]) -> None:
        self.rested.clear()
        self.said.append("builds " + " ".join(changed))

    def ended(self, outcome: Outcome) -> None:
        self.said.append(outcome.status)

    def resting(self, watches: int, why_polling: str) -> None:
        self.rested.set()

    def note(self, text: str) -> None:
        self.said.append(text)

    async def end(self, outcome: Outcome = GOOD, late: Callable[[], object] = lambda: None) -> None:
        """The build that goes on ends; ``late`` happens after it looked at its files."""
        build = await self.builds.get()
        self._ground = footing(self.root, *self.files, products=self.planned)
        late()
        build.over.set_result(outcome)

    async def next(self) -> PlayedBuild:
        """The build that begins, left going on."""
        build = await self.builds.get()
        self.builds.put_nowait(build)
        return build


def played(tmp_path: Path, scenario: Callable[[Play], Awaitable[None]], *files: str) -> None:
    """Runs a scenario beside an attendant that keeps three files built."""
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True, exist_ok=True)
    for name in "abc":
        (root / "src" / name).write_text(name)

    async def run() -> None:
        heard: list[Callable[[], None]] = []
        grounds = Grounds(str(root / ".cpods"), lambda: [one() for one in heard])  # type: ignore[func-returns-value]
        play = Play(root, *(files or ("src/a", "src/b", "src/c", "out")))
        attendant = Attendant(str(root), grounds, play, play, git_rewrites(str(root)))
        heard.append(attendant.stirred)
        task = asyncio.ensure_future(attendant.run())
        try:
            async with asyncio.timeout(30):
                await scenario(play)
        finally:
            task.cancel()
            await asyncio.wait({task})
            grounds.close()

    asyncio.run(run())


def test_a_change_is_built_and_what_is_no_change_is_not(tmp_path: Path) -> None:
    async def scenario(play: Play) -> None:
        await play.end()
        await play.rested.wait()
        (play.root / "unknown").write_text("noise")
        os.utime(play.root / "src" / "a")
        (play.root / "src" / "b").write_text("B")
        await play.end()
        await play.rested.wait()
        assert play.said == ["builds ", "done", "builds src/b", "done"]

    played(tmp_path, scenario)


def test_what_a_running_step_reads_ends_the_build_and_both_changes_are_built(tmp_path: Path) -> None:
    async def scenario(play: Play) -> None:
        await play.end()
        await play.rested.wait()
        (play.root / "src" / "a").write_text("A")
        build = await play.builds.get()
        (play.root / "src" / "a").write_text("AA")
        await build.cancelled.wait()
        await play.end()
        await play.rested.wait()
        assert play.said == ["builds ", "done", "builds src/a", "builds src/a", "done"]

    played(tmp_path, scenario)


def test_a_build_that_can_goes_on_and_has_the_step_begin_again_for_each_save(tmp_path: Path) -> None:
    async def scenario(play: Play) -> None:
        play.restarts = True
        play.running = ("a", "b")
        await play.end()
        await play.rested.wait()
        (play.root / "src" / "a").write_text("A")
        build = await play.next()
        (play.root / "src" / "a").write_text("AA")
        assert await build.restarted.get() == (["a"], ["src/a"])
        (play.root / "src" / "b").write_text("B")
        assert await build.restarted.get() == (["b"], ["src/b"])
        (play.root / "src" / "c").write_text("C")  # nobody reads it
        (play.root / "src" / "a").write_text("AAA")
        steps, changed = await build.restarted.get()
        assert (steps, set(changed)) == (["a"], {"src/a", "src/c"}) or changed == ["src/a"]
        assert not build.cancelled.is_set()
        await play.end()
        await play.rested.wait()
        assert play.said[:3] == ["builds ", "done", "builds src/a"] and play.said[-1] == "done"

    played(tmp_path, scenario)


def test_a_step_that_writes_what_it_reads_is_not_started_for_ever(tmp_path: Path) -> None:
    async def scenario(play: Play) -> None:
        await play.end()
        await play.rested.wait()
        (play.root / "src" / "a").write_text("A")
        for number in range(3):
            build = await play.builds.get()
            (play.root / "src" / "a").write_text(f"A{number}")
            await build.cancelled.wait()
        build = await play.next()
        play.asked.clear()
        (play.root / "src" / "a").write_text("by the step")
        await play.asked.wait()
        assert not build.cancelled.is_set()
        await play.end()
        await play.rested.wait()
        assert play.said[2:] == ["builds src/a"] * 4 + ["done"]

    played(tmp_path, scenario)


def test_what_no_running_step_reads_is_built_afterwards(tmp_path: Path) -> None:
    async def scenario(play: Play) -> None:
        await play.end()
        await play.rested.wait()
        (play.root / "src" / "a").write_text("A")
        build = await play.next()
        await play.end(late=lambda: (play.root / "src" / "b").write_text("B"))
        await play.end()
        await play.rested.wait()
        assert not build.cancelled.is_set()
        assert play.said == ["builds ", "done", "builds src/a", "done", "builds src/b", "done"]

    played(tmp_path, scenario)


def test_products_that_a_build_writes_do_not_end_it(tmp_path: Path) -> None:
    async def scenario(play: Play) -> None:
        play.products = {"out"}
        play.running = ("a", "out")
        await play.end()
        await play.rested.wait()
        (play.root / "src" / "c").write_text("C")
        build = await play.next()
        (play.root / "out").write_text("made by the build")
        await play.end()
        await play.rested.wait()
        assert not build.cancelled.is_set()
        (play.root / "out").write_text("by hand")
        await play.end(late=lambda: None)
        await play.rested.wait()
        assert play.said[-2:] == ["builds out", "done"]

    played(tmp_path, scenario)


def test_what_a_step_that_never_came_to_a_good_end_is_to_make_does_not_end_it(tmp_path: Path) -> None:
    """Nothing tells what it reads, and nothing but the plan that its output is one: the first thing that it does is to make that."""

    async def scenario(play: Play) -> None:
        play.planned = ("out",)
        play.running = ("a", "out")
        await play.end(Outcome(1, "failed", (Problem("no"),)))
        await play.rested.wait()
        (play.root / "src" / "a").write_text("mended")
        build = await play.next()
        play.asked.clear()
        (play.root / "out").write_text("half")
        (play.root / "src" / "c").write_text("C")  # it is looked after which of the running steps read this
        await play.asked.wait()
        assert not build.cancelled.is_set()
        await play.end()
        await play.rested.wait()
        assert play.said == ["builds ", "failed", "builds src/a", "done"]

    played(tmp_path, scenario)


def test_what_changes_because_it_is_built_is_not_built_for_ever(tmp_path: Path) -> None:
    async def scenario(play: Play) -> None:
        count = 0

        def spoil() -> None:
            nonlocal count
            count += 1
            (play.root / "src" / "c").write_text(f"{count}")

        while not play.rested.is_set():
            ended = asyncio.ensure_future(play.end(late=spoil))
            rested = asyncio.ensure_future(play.rested.wait())
            await asyncio.wait({ended, rested}, return_when=asyncio.FIRST_COMPLETED)
            rested.cancel()
            ended.cancel()
        assert count == 4  # the first, and three in vain
        assert play.said[-1].startswith("src/c: changed each time that it was built")
        (play.root / "src" / "a").write_text("A")
        await play.end()
        await play.rested.wait()
        assert play.said[-2].startswith("builds src/a")

    played(tmp_path, scenario)


def test_a_build_whose_process_was_killed_is_done_again_but_not_for_ever(tmp_path: Path) -> None:
    lost = Outcome(1, "failed", (Problem("gone"),), lost=True)

    async def scenario(play: Play) -> None:
        await play.end(lost)
        await play.end()
        await play.rested.wait()
        again = "gone; it is done again"
        assert play.said == ["builds ", again, "builds ", "done"]
        (play.root / "src" / "a").write_text("A")
        for _ in range(3):
            await play.end(lost)
        await play.rested.wait()
        assert play.said[4:] == ["builds src/a", again] * 2 + ["builds src/a", f"{again} when something changes", "failed"]

    played(tmp_path, scenario)


def test_a_failed_build_waits_for_a_change_of_what_it_looked_at(tmp_path: Path) -> None:
    async def scenario(play: Play) -> None:
        await play.end(Outcome(1, "failed", (Problem("no"),)))
        await play.rested.wait()
        (play.root / "src" / "a").write_text("mended")
        await play.end()
        await play.rested.wait()
        assert play.said == ["builds ", "failed", "builds src/a", "done"]

    played(tmp_path, scenario)


def test_in_the_middle_of_a_checkout_it_waits(tmp_path: Path) -> None:
    async def scenario(play: Play) -> None:
        await play.end()
        await play.rested.wait()
        lock = play.root / ".git" / "index.lock"
        lock.write_text("")
        (play.root / "src" / "a").write_text("A")
        await asyncio.wait({asyncio.ensure_future(asyncio.wait_for(play.next(), 0.1))})
        assert play.said == ["builds ", "done"]
        (play.root / "src" / "b").write_text("B")
        lock.unlink()
        await play.end()
        await play.rested.wait()
        assert play.said[2:] == ["builds src/a src/b", "done"]

    (tmp_path / "project" / ".git").mkdir(parents=True)
    played(tmp_path, scenario)


def test_a_project_that_was_moved_away_is_built_when_it_is_back(tmp_path: Path) -> None:
    async def scenario(play: Play) -> None:
        await play.end()
        await play.rested.wait()
        os.rename(play.root, tmp_path / "away")
        while not any("is gone" in text for text in play.said):
            await asyncio.sleep(0)
        os.rename(tmp_path / "away", play.root)
        await play.end()
        await play.rested.wait()
        assert play.said[-1] == "done"

    played(tmp_path, scenario)
