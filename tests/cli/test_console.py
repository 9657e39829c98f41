"""What a build prints of many steps that are settled alike, and of many that run beside each other."""

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
