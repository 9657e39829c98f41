"""Steps of one knot that run beside each other: each in a mirror of its own, kept and used again."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cpods.chefs.registry import chefs
from cpods.eyes import Eyes
from cpods.model import Exit
from cpods.orders import Order
from cpods.pod.cook import Pod
from cpods.ports import Command
from cpods.store.journal import Journal
from cpods.store.mirror import Mirror
from cpods.store.objects import ObjectStore
from cpods.store.views import folder_view
from cpods.store.workspace import Folder
from cpods.wiring import WallClock
from tests.helpers.podworld import DATE, shell_step


class Gate:
    """An executor whose programs write their name to ``out`` and end when they are told to."""

    def __init__(self) -> None:
        self.running: dict[str, tuple[str, asyncio.Event]] = {}
        self.started = asyncio.Event()

    async def run(self, command: Command, started: Callable[[int, int], None] | None = None) -> Exit:
        event = asyncio.Event()
        name = Path(command.log).name
        self.running[name] = (command.cwd, event)
        self.started.set()
        Path(command.cwd, "out").write_text(name)
        await event.wait()
        return Exit(0)

    async def until(self, *names: str) -> None:
        """Returns when these have started."""
        while not set(names) <= self.running.keys():
            self.started.clear()
            await self.started.wait()


def test_each_has_a_folder_of_its_own_and_the_first_that_is_free_is_taken(tmp_path: Path) -> None:
    for name in ("project", "state/log"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "project" / "in").write_text("1")

    async def scenario() -> None:
        with closing(ObjectStore(str(tmp_path / "store"))) as objects, closing(Journal(str(tmp_path / "state"))) as journal:
            project = Folder(str(tmp_path / "project"), objects, {}, WallClock())
            project.digest("in")
            gate = Gate()
            mirrors: dict[tuple[str, int], Mirror] = {}
            pod = Pod(
                name="here",
                folder=project,
                objects=objects,
                chefs=chefs(),
                executor=gate,
                clock=WallClock(),
                eyes=Eyes(project, objects, chefs(), {}),
                mirror=lambda knot, lane: mirrors.setdefault((knot, lane), Mirror(str(tmp_path / "work" / f"{lane}"), project, objects)),
                plain_view=lambda paths: folder_view(project, paths),
                diary=journal,
                state=str(tmp_path / "state"),
            )

            def begin(name: str) -> "asyncio.Task[str]":
                order = Order(shell_step(name, "true", ["out"], ["in"]), name, (), DATE, name, knot="k")

                async def cook() -> str:
                    result = (await pod.cook(order)).result
                    assert result is not None
                    return objects.read(result.outputs[0].version.digest).decode()

                return asyncio.create_task(cook())

            one, two = begin("one"), begin("two")
            await gate.until("one", "two")
            assert sorted(mirrors) == [("k", 0), ("k", 1)] and gate.running["one"][0] != gate.running["two"][0]
            gate.running["one"][1].set()
            assert await one == "one"
            three = begin("three")
            await gate.until("three")
            assert gate.running["three"][0] == gate.running["one"][0] and len(mirrors) == 2
            gate.running["two"][1].set()
            gate.running["three"][1].set()
            assert [await two, await three] == ["two", "three"]

    asyncio.run(asyncio.wait_for(scenario(), 30))
