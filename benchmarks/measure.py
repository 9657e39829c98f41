"""Runs programs in turn and says how long, how much processor time and how much memory they took.

Knows no cpods: a case is a command in a folder, with what is to be done before each run.
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

Figure = TypeVar("Figure")

#: Given to every measured program, so that no run differs from another by its environment.
STEADY = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"}
#: Not given to any: a Python program that may not keep its bytecode is compiled anew at each call, which no user's is.
UNWANTED = ("PYTHONDONTWRITEBYTECODE",)

#: Starts a program with both outputs in its own standard error; prints errno, exit code, seconds, processor seconds, KiB.
_STARTER = """
import os, sys, time
begun = time.monotonic()
try:
    process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
except OSError as error:
    print(error.errno, 0, 0, 0, 0)
else:
    _, status, usage = os.wait4(process, 0)
    seconds = time.monotonic() - begun
    print(0, os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


class Failed(Exception):
    """A measured program ended with an error: its figures would mean nothing."""


class Run(NamedTuple):
    """One run. ``cpu_seconds``: user and system time of the program and all it started; ``memory_bytes``: of the largest of them.

    Memory is never below what the process held that started the program, some 9 MiB: Linux counts that too. That is why a small
    process does it, and not the one that measures.
    """

    seconds: float
    cpu_seconds: float
    memory_bytes: int


class Case(NamedTuple):
    """A command to measure. ``before`` is called ahead of each run and not measured."""

    name: str
    argv: Sequence[str]
    folder: str
    before: Callable[[], None] = lambda: None


class Summary(NamedTuple):
    """Minimum, median and maximum of some figures."""

    minimum: float
    median: float
    maximum: float


class Ratio(NamedTuple):
    """How two series compare: the ratio of their medians, and the lowest and highest ratio within one round."""

    medians: float
    lowest: float
    highest: float


def surroundings(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a measured program: this process's own, made steady, with some variables set besides."""
    own = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    return {**own, **STEADY, **(environment or {})}


def run_once(case: Case, environment: Mapping[str, str] | None = None) -> Run:
    """Prepares and runs a case. Raises Failed with what the program said, OSError if it cannot be started."""
    case.before()
    with tempfile.TemporaryFile() as said:
        ran = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _STARTER, *case.argv],
            cwd=case.folder,
            env=surroundings(environment),
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            check=True,
        )
        problem, status, seconds, cpu_seconds, memory = ran.stdout.split()
        if int(problem):
            raise OSError(int(problem), os.strerror(int(problem)), case.argv[0])
        if int(status):
            said.seek(0)
            text = said.read()[-2000:].decode(errors="replace")
            raise Failed(f"{' '.join(case.argv)} in {case.folder} ended with exit code {status}:\n{text}")
    return Run(float(seconds), float(cpu_seconds), int(memory) * 1024)


def interleaved(cases: Sequence[Case], repeats: int, environment: Mapping[str, str] | None = None) -> dict[str, list[Run]]:
    """Each case's runs: in every round each case once, the order turned round from one to the next. Raises as :func:`run_once`.

    A round before the first warms caches and is not counted.
    """
    return in_turn({case.name: lambda case=case: run_once(case, environment) for case in cases}, repeats)  # type: ignore[misc]


def in_turn(ways: Mapping[str, Callable[[], Figure]], repeats: int, warm: bool = True) -> dict[str, list[Figure]]:
    """What each way gives, round by round: in every round each way once, the order turned round from one to the next.

    ``warm``: a round before the first warms caches and is not counted.
    """
    found: dict[str, list[Figure]] = {name: [] for name in ways}
    for number in range(-1 if warm else 0, repeats):
        for name in ways if number % 2 else reversed(list(ways)):
            figures = ways[name]()
            if number >= 0:
                found[name].append(figures)
    return found


def summary(figures: Sequence[float]) -> Summary:
    """Raises ValueError if there are none."""
    if not figures:
        raise ValueError("no figures")
    return Summary(min(figures), statistics.median(figures), max(figures))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Of two interleaved series: figures of one index are of one round. Raises ValueError if they do not pair up."""
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"series of {len(ours)} and {len(theirs)} figures do not pair up")
    rounds = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Ratio(statistics.median(ours) / statistics.median(theirs), min(rounds), max(rounds))


def machine(folder: str = "") -> str:
    """One line on what the figures were taken on."""
    place = folder or tempfile.gettempdir()
    load = os.getloadavg()[0]
    return (
        f"{len(os.sched_getaffinity(0))} cores ({_processor()}), Linux {platform.release()}, Python {platform.python_version()}, "
        f"{_file_system(place)}, load {load:.1f}"
    )


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), platform.machine())


def _file_system(folder: str) -> str:
    """The kind of file system that holds a folder: the longest mount point above it wins."""
    real = os.path.realpath(folder)
    best = ("", "unknown file system")
    with open("/proc/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, point, kind, *_ = line.split()
            if f"{real}/".startswith(f"{point.rstrip('/')}/") and len(point) >= len(best[0]):
                best = (point, kind)
    return best[1]
