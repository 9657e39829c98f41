"""What a build prints of many steps that are settled alike, and of many that run beside each other."""

import os
import subprocess
import sys

import pytest

from cpods.cli.console import Console
from cpods.cli.live import LiveConsole
from cpods.majordomo.account import Reason
from cpods.orders import Execution


def ran(step: str) -> Execution:
    return Execution(step, "toy", "toy", ("toy",), "run", 1, "here", 1.0, 0)


def test_what_is_the_same_of_many_steps_is_said_once_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    for name in ("a", "b", "c"):
        console.settled(name, Reason("cached"))
    console.executed(ran("d"))
    console.settled("e", Reason("cached"))
    assert capsys.readouterr().err.splitlines() == [
        "a: from the store",
        "2 more steps: from the store",
        "pass 1: d (toy, 1.00 s)",
        "e: from the store",
    ]


def test_the_live_line_names_some_of_the_running_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    console = LiveConsole()
    for number in range(6):
        console.started(f"figure:{number}", "pdflatex", 1)
    assert console.running_text() == "pass 1: figure:0, pass 1: figure:1, pass 1: figure:2, pass 1: figure:3 and 2 more"
    for number in range(6):
        console.executed(ran(f"figure:{number}"))
    assert console.running_text() == ""


_TALKS = """
import asyncio, sys
from cpods.cli.live import LiveConsole
from tests.cli.test_console import ran

async def talk(console, turns):
    console.started("a", "toy", None)
    for _ in range(turns):
        await asyncio.sleep(0)
    print("rich" in sys.modules, console.running_text())
    console.executed(ran("a"))
    console.failed("broken")

asyncio.run(talk(LiveConsole(), 3))
asyncio.run(talk(LiveConsole(0.0), 3))
"""


def test_only_what_takes_long_is_drawn_and_loads_rich() -> None:
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "TERM": "xterm", "NO_COLOR": ""}
    done = subprocess.run([sys.executable, "-c", _TALKS], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False a", "True a"]
    quick = ["\x1b[2mpass 1: a (toy, 1.00 s)\x1b[0m", "\x1b[31mcpods: broken\x1b[0m"]
    assert done.stderr.splitlines()[:2] == quick and "cpods: broken" in done.stderr.splitlines()[-1]
    plain = subprocess.run([sys.executable, "-c", _TALKS], env={**environment, "TERM": "dumb"}, capture_output=True, text=True, check=True)
    assert plain.stderr.splitlines()[:2] == ["pass 1: a (toy, 1.00 s)", "cpods: broken"]
