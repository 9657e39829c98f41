"""What cpods itself costs: the same graph of ``cp`` steps built by cpods and by ninja, in turn.

Knows no cpods but its command line.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks.measure import Case, Failed, Run, interleaved
from benchmarks.suite import Benchmark, CannotMeasure, Progress, Row, Runner

_TOOLS = ("cpods", "ninja")
_MIB = 1 << 20


class Plan(NamedTuple):
    """How much is measured. ``folder`` '': a temporary one. ``jobs``: steps at once in the full build."""

    repeats: int = 9
    null_steps: tuple[int, ...] = (100, 1000, 10000)
    full_steps: int = 1000
    jobs: int = 2
    folder: str = ""


QUICK = Plan(repeats=3, null_steps=(100, 1000), full_steps=100)


class Build(NamedTuple):
    """One kind of build of one size: the runs of both programs, round by round."""

    title: str
    steps: int
    ours: list[Run]
    theirs: list[Run]


def runner(null_steps: tuple[int, ...] = (), full_steps: int = 0) -> Runner:
    """What measures, with sizes that are not the form's own."""

    def measure(quick: bool, repeats: int, folder: str, progress: Progress) -> Iterator[Row]:
        usual = QUICK if quick else Plan()
        plan = Plan(
            repeats=repeats or usual.repeats,
            null_steps=null_steps or usual.null_steps,
            full_steps=full_steps or usual.full_steps,
            folder=folder,
        )
        for build in run(plan, progress):
            yield from rows(build)

    return measure


def run(plan: Plan, progress: Progress = lambda text: None) -> Iterator[Build]:
    """Measures every build of the plan. Raises CannotMeasure."""
    commands = {"cpods": [_cpods(), "rebuild", f"-j{plan.jobs}"], "ninja": [_ninja(), f"-j{plan.jobs}"]}
    try:
        with _workplace(plan.folder) as place:
            progress(f"full build, {plan.full_steps} steps")
            yield _full(place, commands, plan)
            for steps in plan.null_steps:
                progress(f"null build and one changed source, {steps} steps")
                yield from _standing(place, commands, steps, plan.repeats)
    except Failed as error:
        raise CannotMeasure(str(error)) from None


def rows(build: Build) -> list[Row]:
    """Wall time, processor time and memory of a kind of build, beside ninja's."""
    figures: dict[str, tuple[str, Callable[[Run], float]]] = {
        "wall": ("ms", lambda one: one.seconds * 1000),
        "CPU": ("ms a step", lambda one: one.cpu_seconds * 1000 / build.steps),
        "memory": ("MiB", lambda one: one.memory_bytes / _MIB),
    }
    return [
        Row(
            "overhead",
            f"{build.title}, {build.steps:,} steps: {measure}",
            unit,
            [figure(one) for one in build.ours],
            "ninja",
            [figure(one) for one in build.theirs],
            "less",
            extra={"build": build.title, "steps": build.steps, "measure": measure},
        )
        for measure, (unit, figure) in figures.items()
    ]


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


def _full(place: str, commands: dict[str, list[str]], plan: Plan) -> Build:
    folders = _projects(place, "full", plan.full_steps)
    cases = [Case(tool, commands[tool], folders[tool], _cleaner(folders[tool], os.path.join(place, "trash"))) for tool in _TOOLS]
    found = interleaved(cases, plan.repeats)
    for folder in folders.values():
        _check_built(folder, plan.full_steps)
    return Build(f"full build, -j{plan.jobs}", plan.full_steps, found["cpods"], found["ninja"])


def _standing(place: str, commands: dict[str, list[str]], steps: int, repeats: int) -> list[Build]:
    """The builds of a project that is built already."""
    folders = _projects(place, f"standing-{steps}", steps)
    for tool in _TOOLS:
        subprocess.run(commands[tool], cwd=folders[tool], check=False, capture_output=True)
        _check_built(folders[tool], steps)
    null = interleaved([Case(tool, commands[tool], folders[tool]) for tool in _TOOLS], repeats)
    changed = interleaved([Case(tool, commands[tool], folders[tool], _toucher(folders[tool])) for tool in _TOOLS], repeats)
    return [
        Build("null build", steps, null["cpods"], null["ninja"]),
        Build("one changed source", steps, changed["cpods"], changed["ninja"]),
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


BENCHMARK = Benchmark(
    name="overhead",
    question="what does cpods itself cost: a null build, one changed source, a full build, where each step only copies a small file?",
    peers="ninja, on the same graph",
    unit="ms, ms of CPU a step, MiB",
    noise="other work on the machine and the disk: both programs in every round, the order turned round; nothing deleted between runs",
    quick="100 and 1,000 steps, 3 rounds: half a minute",
    full="100, 1,000 and 10,000 steps, 9 rounds: ten minutes",
    run=runner(),
    programs=("ninja --version",),
)
