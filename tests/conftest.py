"""What all tests share.

Knows no room.
"""

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("any pace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any pace")

_MEMORY = "/dev/shm"
_ROOM_BYTES = 4 << 30
_SHRINKING_SECONDS_MAX = 600


def pytest_configure(config: pytest.Config) -> None:
    """The tests' folders lie in memory if there is room, but for those of the long tests: waiting for a disk is a fifth of the time."""
    if "not soak" in config.getoption("markexpr") and _has_room(_MEMORY):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _MEMORY)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Hypothesis makes a failure small for up to five minutes; cut short in that, it says that the strategies were flaky, and no more."""
    if float(config.getoption("timeout") or config.getini("timeout")) > _SHRINKING_SECONDS_MAX:
        return
    for item in items:
        if item.get_closest_marker("hypothesis") is not None and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_SHRINKING_SECONDS_MAX))


def _has_room(folder: str) -> bool:
    """Whether one may write there, start what was written, and keep what the tests need."""
    if not os.access(folder, os.W_OK):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= _ROOM_BYTES and not found.f_flag & os.ST_NOEXEC


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests of real documents measured, also if they passed."""
    passed = terminalreporter.stats.get("passed", [])
    lines = [line for report in passed if "tests/real/" in report.nodeid for line in report.capstdout.splitlines() if line]
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long texts do not name a test: keys are made anew in each process, and all processes must find the same tests."""
    return argname if isinstance(val, str | bytes) and len(val) > 40 else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "Scheduling | None":
    """With ``--dist loadfile`` all tests of a file share a process, but for those of the longest files."""
    from tests.helpers.spreading import Spreading

    return Spreading(config, log) if config.getvalue("dist") == "loadfile" else None
