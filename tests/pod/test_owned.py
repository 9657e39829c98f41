"""Paths that a pod owns: their files are there, and whoever gave them hears of every edit, deletion or damage."""

import asyncio
from pathlib import Path

import pytest

from cpods.digest import ABSENT, of_bytes
from cpods.net import questions as q
from cpods.net.messages import Owned
from cpods.pod.service import Service
from tests.helpers.podworld import Boss, Yard, shell_step

GOOD, OTHER = of_bytes(b"good\n"), of_bytes(b"edited")


async def made(boss: Boss, pod: Service, text: str = "good", epoch: int = 1) -> Path:
    """A pod that has made ``d/out`` and owns it; the file."""
    boss.owning = {"d/out": epoch, "never-made": 1}
    await boss.cook("east", boss.request(f"make {text} {epoch}", shell_step("s", f"echo {text} > d/out", ["d/out"])))
    file = Path(pod.settings.work) / "paper" / "owned" / "d" / "out"
    while pod.owned.all().get("paper", (Owned("", 0, "", ""),))[0].epoch != epoch:
        await asyncio.sleep(0.005)
    return file


async def told(boss: Boss) -> tuple[Owned, ...]:
    """What is told next."""
    async with asyncio.timeout(60):
        edited = await boss.edited.get()
    assert (edited.pod, edited.project) == ("east", "paper")
    return edited.paths


def test_an_edit_a_deletion_and_damage_are_told_once_each(tmp_path: Path) -> None:
    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        async with yard.pod() as pod:
            file = await made(boss, pod)
            assert file.read_bytes() == b"good\n"
            assert pod.owned.all("paper") == {"paper": (Owned("d/out", 1, GOOD, GOOD),)}
            file.write_bytes(b"edited")
            wrong = (Owned("d/out", 1, GOOD, OTHER),)
            assert await told(boss) == wrong
            assert await boss.ask("east", q.AskOwned(), q.OwnedPaths) == q.OwnedPaths({"paper": wrong})
            resumed = await boss.ask("east", q.Resume("paper", boss.name), q.Resumed)
            assert isinstance(resumed, q.Resumed) and resumed.owned == wrong
            # The edit can be pulled.
            assert yard.stores["east"].read(OTHER) == b"edited"  # type: ignore[attr-defined]
            file.unlink()
            assert await told(boss) == (Owned("d/out", 1, GOOD, ABSENT),)
            file.write_bytes(b"good\n")
            while pod.owned.all()["paper"][0].now != GOOD:
                await asyncio.sleep(0.01)
            file.parent.rename(file.parent.parent / "away")
            assert await told(boss) == (Owned("d/out", 1, GOOD, ABSENT),)
            assert boss.edited.empty()

    asyncio.run(scenario())


def test_what_happened_while_the_pod_was_away_is_told_at_its_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        async with yard.pod() as pod:
            file = await made(boss, pod)
        file.write_bytes(b"edited")
        async with yard.pod() as pod:
            assert await told(boss) == (Owned("d/out", 1, GOOD, OTHER),)
        async with yard.pod() as pod:  # told already, and still known
            assert pod.owned.all() == {"paper": (Owned("d/out", 1, GOOD, OTHER),)}
            file.write_bytes(b"again")
            assert await told(boss) == (Owned("d/out", 1, GOOD, of_bytes(b"again")),)

    asyncio.run(scenario())


def test_a_later_owner_wins_and_an_earlier_one_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        async with yard.pod() as pod:
            file = await made(boss, pod, "better", epoch=5)
            late = Owned("d/out", 4, GOOD, "")
            pod.kitchen._objects.put_bytes(b"good\n")
            assert await boss.ask("east", q.Own("paper", (late,)), q.Okay) == q.Okay()
            assert file.read_bytes() == b"better\n"
            assert await boss.ask("east", q.Own("paper", (Owned("d/out", 6, GOOD, ""),)), q.Okay) == q.Okay()
            assert file.read_bytes() == b"good\n"
            assert pod.owned.all()["paper"] == (Owned("d/out", 6, GOOD, GOOD),)
            await boss.ask("east", q.Disown("paper", {"d/out": 5, "unknown": 9}), q.Okay)
            assert file.exists()
            await boss.ask("east", q.Disown("paper", {"d/out": 6}), q.Okay)
            assert not file.exists() and pod.owned.all() == {}
            assert boss.edited.empty()

    asyncio.run(scenario())


def test_what_cannot_be_owned_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        async with yard.pod():
            answer = await boss.ask("east", q.Own("paper", (Owned("x", 1, GOOD, ""),)), q.Okay)
            assert isinstance(answer, q.Okay) and "must be fetched before" in answer.refused
            answer = await boss.ask("east", q.Own("paper", (Owned("../x", 1, GOOD, ""),)), q.Okay)
            assert isinstance(answer, q.Okay) and "outside of the project" in answer.refused
            assert await boss.ask("east", q.AskOwned("paper"), q.OwnedPaths) == q.OwnedPaths({})

    asyncio.run(scenario())


def test_the_pods_own_writing_is_no_edit(tmp_path: Path) -> None:
    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        async with yard.pod() as pod:
            for epoch in range(1, 6):
                await made(boss, pod, f"v{epoch}", epoch)
            await pod.owned.look("paper")
            assert boss.edited.empty()

    asyncio.run(scenario())


@pytest.mark.parametrize("project", ["Ümläute / und Striche", "a" * 200, "..", "plain"])
def test_any_project_name_has_its_folder(project: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        boss.owning = {"out": 1}
        async with yard.pod() as pod:
            lease = await boss.send("east", boss.request("one", shell_step("s", "echo good > out", ["out"])), project=project)
            assert not lease["one"].refused
            await boss.end_of("one")
            while not pod.owned.all(project):
                await asyncio.sleep(0.005)
            (folder,) = [path for path in (tmp_path / "east" / "work").iterdir() if path.is_dir()]
            assert (folder / "owned" / "out").read_bytes() == b"good\n"

    asyncio.run(scenario())
