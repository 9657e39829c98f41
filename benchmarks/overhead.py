"""What cpods itself costs: the same graph of ``cp`` steps built by cpods and by ninja, in turn.

Knows no cpods but its command line.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from benchmarks.measure import Case, Failed, Run, interleaved, ratio, summary

_TOOLS = ("cpods", "ninja")
_MIB = 1 << 20


class CannotMeasure(Exception):
    """A program is missing, or one of the runs failed; one sentence."""


class Plan(NamedTuple):
    """How much is measured. ``folder`` '': a temporary one. ``jobs``: steps at once in the full build."""

    repeats: int = 9
    null_steps: tuple[int, ...] = (1000, 10000)
    full_steps: int = 1000
    jobs: int = 2
    folder: str = ""


class Row(NamedTuple):
    """One kind of build of one size: the runs of both programs, round by round."""

    title: str
    steps: int
    ours: list[Run]
    theirs: list[Run]


def run(plan: Plan, progress: Callable[[str], None] = lambda text: None) -> list[Row]:
    """Measures every row of the plan. Raises CannotMeasure."""
    commands = {"cpods": [_cpods(), "rebuild", f"-j{plan.jobs}"], "ninja": [_ninja(), f"-j{plan.jobs}"]}
    rows = []
    try:
        with _workplace(plan.folder) as place:
            progress(f"full build, {plan.full_steps} steps")
            rows.append(_full(place, commands, plan))
            for steps in plan.null_steps:
                progress(f"null build and one changed source, {steps} steps")
                rows += _standing(place, commands, steps, plan.repeats)
    except Failed as error:
        raise CannotMeasure(str(error)) from None
    return rows


def make_project(folder: str, steps: int) -> None:
    """A project of so many independent ``cp`` steps of one input each, as a cpods.toml and as a build.ninja."""
    for name in ("src", "out"):
        os.makedirs(os.path.join(folder, name))
    for number in range(steps):
        with open(os.path.join(folder, "src", f"{number}.txt"), "w") as file:
            file.write(f"source {number}\n")
    with open(os.path.join(folder, "cpods.toml"), "w") as file:
        file.writelines(
            f'[[step]]\nname = "copy {n}"\nrun = "cp src/{n}.txt out/{n}.txt"\ninputs = ["src/{n}.txt"]\noutputs = ["out/{n}.txt"]\n\n'
            for n in range(steps)
        )
    with open(os.path.join(folder, "build.ninja"), "w") as file:
        file.write("rule copy\n  command = cp $in $out\n")
        file.writelines(f"build out/{n}.txt: copy src/{n}.txt\n" for n in range(steps))


def clean(folder: str, trash: str) -> None:
    """Moves all that a build of :func:`make_project` made into a new folder below ``trash``.

    Nothing is deleted between runs: for some seconds ext4 steps over the inodes of deleted files one by one when a file is
    made (measured: a third of cpods' processor time in a full build), which is no property of either program.
    """
    os.makedirs(trash, exist_ok=True)
    aside = tempfile.mkdtemp(dir=trash)
    for name in ("out", ".cpods", ".ninja_log", ".ninja_deps"):
        if os.path.exists(os.path.join(folder, name)):
            os.rename(os.path.join(folder, name), os.path.join(aside, name))
    os.mkdir(os.path.join(folder, "out"))


def table(rows: Iterable[Row]) -> str:
    """Plain text: times in milliseconds, processor time per step, memory; ratios are cpods to ninja."""
    lines = [f"{'':34}{'':7}{'wall ms: min / median / max':>33}{'CPU ms a step':>15}{'memory MiB':>12}   cpods to ninja (lowest - highest)"]
    for row in rows:
        wall = ratio([one.seconds for one in row.ours], [one.seconds for one in row.theirs])
        cpu = ratio([one.cpu_seconds for one in row.ours], [one.cpu_seconds for one in row.theirs])
        told = f"   wall {wall.medians:.2f} ({wall.lowest:.2f} - {wall.highest:.2f}), CPU {cpu.medians:.2f}"
        lines.append(_line(f"{row.title}, {row.steps} steps", "cpods", row.ours, row.steps) + told)
        lines.append(_line("", "ninja", row.theirs, row.steps))
    return "\n".join(lines)


def as_data(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The same for programs: every run's figures, in the order in which they were taken."""
    return [
        {
            "title": row.title,
            "steps": row.steps,
            "cpods": [one._asdict() for one in row.ours],
            "ninja": [one._asdict() for one in row.theirs],
            "wall": ratio([one.seconds for one in row.ours], [one.seconds for one in row.theirs])._asdict(),
            "cpu": ratio([one.cpu_seconds for one in row.ours], [one.cpu_seconds for one in row.theirs])._asdict(),
        }
        for row in rows
    ]


def _line(title: str, tool: str, runs: Sequence[Run], steps: int) -> str:
    wall = summary([one.seconds * 1000 for one in runs])
    cpu = summary([one.cpu_seconds * 1000 for one in runs]).median / steps
    memory = max(one.memory_bytes for one in runs) / _MIB
    times = f"{wall.minimum:.0f} / {wall.median:.0f} / {wall.maximum:.0f}"
    return f"{title:34}{tool:7}{times:>33}{cpu:>15.3f}{memory:>12.1f}"


def _full(place: str, commands: dict[str, list[str]], plan: Plan) -> Row:
    folders = _projects(place, "full", plan.full_steps)
    cases = [Case(tool, commands[tool], folders[tool], _cleaner(folders[tool], os.path.join(place, "trash"))) for tool in _TOOLS]
    found = interleaved(cases, plan.repeats)
    for folder in folders.values():
        _check_built(folder, plan.full_steps)
    return Row(f"full build, -j{plan.jobs}", plan.full_steps, found["cpods"], found["ninja"])


def _standing(place: str, commands: dict[str, list[str]], steps: int, repeats: int) -> list[Row]:
    """The rows of a project that is built already."""
    folders = _projects(place, f"standing-{steps}", steps)
    for tool in _TOOLS:
        subprocess.run(commands[tool], cwd=folders[tool], check=False, capture_output=True)
        _check_built(folders[tool], steps)
    null = interleaved([Case(tool, commands[tool], folders[tool]) for tool in _TOOLS], repeats)
    changed = interleaved([Case(tool, commands[tool], folders[tool], _toucher(folders[tool])) for tool in _TOOLS], repeats)
    return [
        Row("null build", steps, null["cpods"], null["ninja"]),
        Row("one changed source", steps, changed["cpods"], changed["ninja"]),
    ]


def _projects(place: str, name: str, steps: int) -> dict[str, str]:
    folders = {tool: os.path.join(place, f"{name}-{tool}") for tool in _TOOLS}
    for folder in folders.values():
        make_project(folder, steps)
    return folders


def _cleaner(folder: str, trash: str) -> Callable[[], None]:
    return lambda: clean(folder, trash)


def _toucher(folder: str) -> Callable[[], None]:
    """Appends a line to a source, so that exactly one step has to run."""

    def touch() -> None:
        with open(os.path.join(folder, "src", "0.txt"), "a") as file:
            file.write("changed\n")

    return touch


def _check_built(folder: str, steps: int) -> None:
    for number in range(steps):
        with open(f"{folder}/src/{number}.txt", "rb") as source, open(f"{folder}/out/{number}.txt", "rb") as output:
            if source.read() != output.read():
                raise CannotMeasure(f"{folder}/out/{number}.txt is not what its step makes")


@contextmanager
def _workplace(folder: str) -> Iterator[str]:
    if folder:
        os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="overhead-", dir=folder or None) as place:
        yield place


def _cpods() -> str:
    """The cpods of the Python that runs this, else the first in PATH."""
    beside = os.path.join(os.path.dirname(sys.executable), "cpods")
    return beside if os.access(beside, os.X_OK) else _found("cpods", "install this project into the Python that runs the benchmark")


def _ninja() -> str:
    return _found("ninja", "install Debian's ninja-build")


def _found(program: str, what_to_do: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise CannotMeasure(f"{program} is not in PATH: {what_to_do}")
    return path
