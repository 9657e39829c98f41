"""Launchers: who starts, in which order, what is withdrawn, and what happens when one side is gone. Real processes throughout.

What a program's run is in itself is tested in test_executor, in both ways.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cpods.model import Exit
from cpods.ports import Command
from cpods.scheduler.executor import Ended, ProcessExecutor
from cpods.scheduler.groups import end_strays
from tests.helpers.offspring import children

#: What tells a step's process from a user's.
ENVIRONMENT = (("PATH", os.environ["PATH"]), ("SOURCE_DATE_EPOCH", "0"), ("FORCE_SOURCE_DATE", "1"))


def shell(text: str, cwd: Path) -> Command:
    return Command(("sh", "-c", text), str(cwd), ENVIRONMENT)


def launchers() -> list[int]:
    """Process ids of the launchers that are children of this process."""
    return [pid for pid in children() if b"cpods.scheduler.launcher" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


async def until(path: Path) -> str:
    """The text of a file as soon as it is there with a whole line."""
    while not path.exists() or not path.read_text().endswith("\n"):
        await asyncio.sleep(0.002)
    return path.read_text()


class Crowd:
    """Programs begun one after the other, and how they ended."""

    def __init__(self, executor: ProcessExecutor) -> None:
        self.executor = executor
        self.ended: dict[str, Ended] = {}
        self.runs: dict[str, Any] = {}
        self._one: asyncio.Event = asyncio.Event()

    def begin(self, name: str, command: Command) -> None:
        def over(how: Ended) -> None:
            self.ended[name] = how
            self._one.set()

        self.runs[name] = self.executor.begin(command, None, over)

    async def wait(self, *names: str) -> list[int | str]:
        """Until these have ended: their exit codes, or the name of an exception."""
        while not all(name in self.ended for name in names):
            self._one.clear()
            await self._one.wait()
        return [how.code if isinstance(how, Exit) else type(how).__name__ for how in (self.ended[name] for name in names)]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No test may leave a descriptor open or a child unburied."""
    before = sorted(os.listdir("/proc/self/fd")), children()
    yield
    assert (sorted(os.listdir("/proc/self/fd")), children()) == before


def crowd(slots: int = 2, grace_seconds: float = 0.3) -> Crowd:
    executor = ProcessExecutor(grace_seconds=grace_seconds, alone=0)
    executor.expect(slots)
    return Crowd(executor)


def test_a_launcher_for_each_slot_after_a_few_programs_and_none_for_one_slot(tmp_path: Path) -> None:
    async def scenario(slots: int) -> list[int]:
        executor = ProcessExecutor(alone=3)
        executor.expect(slots)
        all = Crowd(executor)
        counts = []
        for number in range(5):
            all.begin(str(number), shell("exit 0", tmp_path))
            await all.wait(str(number))
            counts.append(len(launchers()))
        executor.rest()
        return counts

    assert asyncio.run(scenario(3)) == [0, 0, 0, 3, 3]
    assert asyncio.run(scenario(1)) == [0, 0, 0, 0, 0]
    assert launchers() == []


def test_what_waits_starts_only_when_what_runs_has_ended(tmp_path: Path) -> None:
    async def scenario() -> None:
        all = crowd()
        for number in range(4):
            all.begin(str(number), shell(f"echo > {number}.begun; while ! test -e go; do sleep 0.01; done; echo > {number}.over", tmp_path))
        await until(tmp_path / "0.begun")
        await until(tmp_path / "1.begun")
        assert all.executor.ahead() == 2
        assert not (tmp_path / "2.begun").exists() and not (tmp_path / "3.begun").exists()
        (tmp_path / "go").touch()
        assert await all.wait("0", "1", "2", "3") == [0, 0, 0, 0]
        all.executor.rest()

    asyncio.run(scenario())
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    first_end = min(times["0.over"], times["1.over"])
    assert first_end <= times["2.begun"] and first_end <= times["3.begun"]


def test_never_more_at_once_than_slots(tmp_path: Path) -> None:
    """A program that finds both of two places taken says so; there is a place for each that may run."""
    text = "mkdir 1 2>/dev/null && p=1 || { mkdir 2 2>/dev/null && p=2; } || exit 9; sleep 0.00$(($$ % 4)); rmdir $p"

    async def scenario() -> list[int | str]:
        all = crowd()
        names = [str(number) for number in range(200)]
        ended: list[int | str] = []
        for place, name in enumerate(names):
            all.begin(name, shell(text, tmp_path))
            if place >= 3:
                ended += await all.wait(names[place - 3])
        ended += await all.wait(*names[-3:])
        all.executor.rest()
        return ended

    assert asyncio.run(scenario()) == [0] * 200


def test_after_a_failure_nothing_starts_before_somebody_has_looked(tmp_path: Path) -> None:
    async def scenario() -> None:
        all = crowd()

        def over(how: Ended) -> None:
            all.executor.withdraw()
            all.ended["bad"] = how

        all.begin("long", shell("while ! test -e go; do sleep 0.01; done", tmp_path))
        all.runs["bad"] = all.executor.begin(shell("exit 3", tmp_path), None, over)
        all.begin("behind long", shell("echo > wrong", tmp_path))
        all.begin("behind bad", shell("echo > wrong", tmp_path))
        assert await all.wait("behind long", "behind bad") == ["Withdrawn", "Withdrawn"]
        (tmp_path / "go").touch()
        assert await all.wait("long", "bad") == [0, 3]
        all.begin("later", shell("exit 0", tmp_path))
        assert await all.wait("later") == [0]
        all.executor.rest()

    asyncio.run(scenario())
    assert not (tmp_path / "wrong").exists()


def test_after_a_failure_that_is_no_matter_it_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        all = crowd()
        names = [str(number) for number in range(8)]
        for name in names[:4]:
            all.begin(name, shell("exit 1", tmp_path))
        for done, name in zip(names, names[4:], strict=False):
            await all.wait(done)
            all.begin(name, shell("exit 2", tmp_path))
        assert await all.wait(*names) == [1, 1, 1, 1, 2, 2, 2, 2]
        all.executor.rest()

    asyncio.run(scenario())


def test_cancelled_before_it_started(tmp_path: Path) -> None:
    async def scenario() -> None:
        all = crowd()
        for number in range(2):
            all.begin(f"long {number}", shell(f"echo > {number}; exec sleep 600", tmp_path))
        all.begin("waiting", shell("echo > wrong", tmp_path))
        for number in range(2):
            await until(tmp_path / str(number))
        all.runs["waiting"].cancel()
        assert await all.wait("waiting") == ["Withdrawn"]
        for number in range(2):
            all.runs[f"long {number}"].cancel()
        assert await all.wait("long 0", "long 1") == [-signal.SIGTERM, -signal.SIGTERM]
        all.executor.rest()

    asyncio.run(scenario())
    assert not (tmp_path / "wrong").exists()


def test_behind_a_long_program_nobody_waits_while_a_launcher_is_free(tmp_path: Path) -> None:
    async def scenario() -> None:
        all = crowd()
        all.begin("long", shell("while ! test -e go; do sleep 0.01; done", tmp_path))
        for number in range(5):
            all.begin(str(number), shell("exit 0", tmp_path))
        assert await all.wait("0", "1", "2", "3", "4") == [0] * 5
        assert "long" not in all.ended
        (tmp_path / "go").touch()
        assert await all.wait("long") == [0]
        all.executor.rest()

    asyncio.run(scenario())


def test_each_order_comes_with_its_own_environment_and_outputs(tmp_path: Path) -> None:
    async def scenario() -> None:
        all = crowd()
        names = [str(number) for number in range(40)]
        for name in names:
            environment = ENVIRONMENT if int(name) % 3 else (*ENVIRONMENT, ("OWN", name))
            all.begin(name, Command(("sh", "-c", f"echo {name} ${{OWN-none}}; echo e{name} >&2"), str(tmp_path), environment))
        await all.wait(*names)
        for name in names:
            exit = all.ended[name]
            assert isinstance(exit, Exit)
            own = "none" if int(name) % 3 else name
            assert (exit.stdout.decode(), exit.stderr.decode()) == (f"{name} {own}\n", f"e{name}\n")
        all.executor.rest()

    asyncio.run(scenario())


def test_more_than_the_queue_holds_waits_too(tmp_path: Path) -> None:
    """Some 240 KiB are more than a socket takes: what is cancelled and what is withdrawn is found in either place."""
    ballast = "x" * 30_000

    async def scenario() -> None:
        all = crowd()
        for number in range(2):
            all.begin(f"long {number}", shell(f"echo > {number}; while ! test -e go; do sleep 0.01; done", tmp_path))
            await until(tmp_path / str(number))
        names = [f"name {number:02}" for number in range(20)]
        for name in names:
            all.begin(name, Command(("sh", "-c", 'echo "$0" >> told', name, ballast), str(tmp_path), ENVIRONMENT))
        for name in (names[1], names[17]):
            all.runs[name].cancel()
        assert await all.wait(names[1], names[17]) == ["Withdrawn"] * 2
        (tmp_path / "go").touch()
        await all.wait(*names)
        (tmp_path / "go").unlink()
        for number in (2, 3):
            all.begin(f"long {number}", shell(f"echo > {number}; while ! test -e go; do sleep 0.01; done", tmp_path))
            await until(tmp_path / str(number))
        more = [f"more {number:02}" for number in range(20)]
        for name in more:
            all.begin(name, Command(("sh", "-c", "exit 0", name, ballast), str(tmp_path), ENVIRONMENT))
        all.executor.withdraw()
        assert await all.wait(*more) == ["Withdrawn"] * 20
        (tmp_path / "go").touch()
        assert await all.wait("long 2", "long 3") == [0, 0]
        all.executor.rest()

    asyncio.run(scenario())
    told = (tmp_path / "told").read_text().splitlines()
    assert sorted(told) == [f"name {number:02}" for number in range(20) if number not in (1, 17)]


def test_who_waits_for_the_end_hears_of_no_withdrawal(tmp_path: Path) -> None:
    """It is begun again; unless whoever waits is cancelled."""

    async def scenario() -> None:
        all = crowd()
        for number in range(2):
            all.begin(str(number), shell(f"echo > {number}; while ! test -e go; do sleep 0.01; done", tmp_path))
            await until(tmp_path / str(number))
        waiting = asyncio.create_task(all.executor.run(shell("exit 4", tmp_path)))
        doomed = asyncio.create_task(all.executor.run(shell("echo > wrong", tmp_path)))
        await asyncio.sleep(0)
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doomed
        all.executor.withdraw()
        await asyncio.sleep(0)
        (tmp_path / "go").touch()
        assert (await waiting).code == 4
        assert await all.wait("0", "1") == [0, 0]
        all.executor.rest()

    asyncio.run(scenario())
    assert not (tmp_path / "wrong").exists()


def test_with_a_launcher_that_is_killed_all_of_them_end_and_programs_are_started_here(tmp_path: Path) -> None:
    async def scenario() -> list[int]:
        all = crowd(slots=3)
        for number in range(3):
            all.begin(str(number), shell(f"echo $$ $PPID > {number}; exec sleep 600", tmp_path))
        told = [(await until(tmp_path / str(number))).split() for number in range(3)]
        all.begin("waiting", shell("exit 0", tmp_path))
        os.kill(int(told[0][1]), signal.SIGKILL)
        assert await all.wait("0", "1", "2", "waiting") == ["Withdrawn"] * 4
        assert all.executor.ahead() == 0
        all.begin("here", shell("echo $PPID", tmp_path))
        assert await all.wait("here") == [0]
        here = all.ended["here"]
        assert isinstance(here, Exit) and int(here.stdout) == os.getpid()
        all.executor.rest()
        return [int(pid) for words in told for pid in words]

    assert not any(map(is_running, asyncio.run(scenario())))


#: A cpods that has two programs running and two waiting, and then waits for ever.
DOOMED = f"""
import asyncio, sys
from cpods.ports import Command
from cpods.scheduler.executor import ProcessExecutor
async def main():
    executor = ProcessExecutor(alone=0)
    executor.expect(2)
    for number in range(4):
        text = f"echo $$ $PPID > {{number}}; exec sleep 600"
        executor.begin(Command(("sh", "-c", text), sys.argv[1], {ENVIRONMENT!r}), None, lambda how: None)
    await asyncio.get_running_loop().create_future()
asyncio.run(main())
"""


@pytest.mark.parametrize("stopped", [False, True], ids=["launchers notice", "launchers cannot notice"])
def test_nothing_of_a_killed_cpods_runs_on_after_the_next_call(tmp_path: Path, stopped: bool) -> None:
    doomed = subprocess.Popen([sys.executable, "-c", DOOMED, str(tmp_path)])
    told = [asyncio.run(until(tmp_path / str(number))).split() for number in range(2)]
    pids = [int(pid) for words in told for pid in words]
    if stopped:
        for words in told:
            os.kill(int(words[1]), signal.SIGSTOP)
    doomed.kill()
    doomed.wait()
    end_strays(str(tmp_path))
    while any(is_running(pid) for pid in pids):  # a launcher that noticed is on its way out
        assert not stopped
    assert not (tmp_path / "2").exists() and not (tmp_path / "3").exists()


@pytest.mark.parametrize("long", [True, False], ids=["long first", "long later"])
def test_an_environment_that_is_too_long_for_a_message(tmp_path: Path, long: bool) -> None:
    async def scenario() -> None:
        all = crowd()
        for name, is_long in (("one", long), ("two", not long), ("three", long)):
            environment = (*ENVIRONMENT, ("BALLAST", "x" * 70_000)) if is_long else ENVIRONMENT
            all.begin(name, Command(("sh", "-c", "echo ${#BALLAST}"), str(tmp_path), environment))
            assert await all.wait(name) == [0]
            exit = all.ended[name]
            assert isinstance(exit, Exit) and int(exit.stdout) == 70_000 * is_long
        assert all.executor.ahead() == 2
        all.executor.rest()

    asyncio.run(scenario())


def test_what_is_too_long_for_a_message_is_started_here(tmp_path: Path) -> None:
    async def scenario() -> None:
        all = crowd()
        all.begin("long", Command(("echo", "x" * 100_000), str(tmp_path), ENVIRONMENT))
        assert all.executor.ahead() == 0
        assert await all.wait("long") == [0]
        assert all.executor.ahead() == 2
        all.executor.rest()

    asyncio.run(scenario())
