"""What all tests share.

Knows no room.
"""

import pytest


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
