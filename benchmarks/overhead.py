"""What cpods itself costs: the same graph of tiny steps built by cpods and by ninja, in turn; and outputs brought back.

Knows no cpods but its command line.
"""

import json
import marshal
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

#: What the steps run: the command line of step ``n`` for cpods, and ninja's rule.
_KINDS = {
    "cp": ("cp src/{n}.txt out/{n}.txt", "cp $in $out"),
    "true": ("true > out/{n}.txt", "true > $out"),
}

#: How much longer than its peer each kind of build may take: 0.8 times ninja's rate, 0.7 times that of the bare loop.
_AIMS = {"full build": 1 / 0.8, "restored": 1 / 0.7}

#: The least that anybody can do: makes each file and writes its bytes. Reads what goes where from a file of marshal's first.
_BARE_LOOP = """
import marshal, os, sys
with open(sys.argv[1], "rb") as file:
    wanted = marshal.load(file)
for path, data in wanted:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    os.write(descriptor, data)
    os.close(descriptor)
"""


class Plan(NamedTuple):
    """How much is measured. ``folder`` '': a temporary one. ``jobs``: steps at once in the full build."""

    repeats: int = 9
    null_steps: tuple[int, ...] = (100, 1000, 10000, 100000)
    full_steps: tuple[int, ...] = (1000, 10000)
    jobs: int = 2
    folder: str = ""


QUICK = Plan(repeats=3, null_steps=(100, 1000), full_steps=(100,))


class Build(NamedTuple):
    """One kind of build of one size: the runs of both programs, round by round. ``kind``: the key of its aim, if it has one."""

    title: str
    steps: int
    ours: list[Run]
    theirs: list[Run]
    kind: str = ""
    peer: str = "ninja"


def runner(null_steps: tuple[int, ...] = (), full_steps: int = 0) -> Runner:
    """What measures, with sizes that are not the form's own."""

    def measure(quick: bool, repeats: int, folder: str, progress: Progress) -> Iterator[Row]:
        usual = QUICK if quick else Plan()
        plan = Plan(
            repeats=repeats or usual.repeats,
            null_steps=null_steps or usual.null_steps,
            full_steps=(full_steps,) if full_steps else usual.full_steps,
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
            for steps in plan.full_steps:
                for kind in _KINDS:
                    progress(f"full build, {steps} steps of {kind}")
                    yield _full(place, commands, plan, steps, kind)
                progress(f"outputs of {steps} steps deleted and brought back from the store")
                yield _restored(place, commands["cpods"], plan, steps)
            for steps in plan.null_steps:
                progress(f"null build and one changed source, {steps} steps")
                yield from _standing(place, commands, steps, plan.repeats)
    except Failed as error:
        raise CannotMeasure(str(error)) from None


def rows(build: Build) -> list[Row]:
    """Wall time, processor time and memory of a kind of build, beside its peer's."""
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
            build.peer,
            [figure(one) for one in build.theirs],
            "less",
            _AIMS.get(build.kind) if measure == "wall" else None,
            extra={"build": build.title, "steps": build.steps, "measure": measure},
        )
        for measure, (unit, figure) in figures.items()
    ]


def make_project(folder: str, steps: int, kind: str = "cp") -> None:
    """A project of so many independent steps of one input and one output each, as a cpods.toml and as a build.ninja."""
    ours, theirs = _KINDS[kind]
    for name in ("src", "out"):
        os.makedirs(os.path.join(folder, name))
    for number in range(steps):
        with open(os.path.join(folder, "src", f"{number}.txt"), "w") as file:
            file.write(f"source {number}\n")
    with open(os.path.join(folder, "cpods.toml"), "w") as file:
        file.writelines(
            f'[[step]]\nname = "copy {n}"\nrun = "{ours.format(n=n)}"\ninputs = ["src/{n}.txt"]\noutputs = ["out/{n}.txt"]\n\n'
            for n in range(steps)
        )
    with open(os.path.join(folder, "build.ninja"), "w") as file:
        file.write(f"rule copy\n  command = {theirs}\n")
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


def _full(place: str, commands: dict[str, list[str]], plan: Plan, steps: int, kind: str) -> Build:
    folders = _projects(place, f"full-{kind}-{steps}", steps, kind)
    cases = [Case(tool, commands[tool], folders[tool], _cleaner(folders[tool], os.path.join(place, "trash"))) for tool in _TOOLS]
    found = interleaved(cases, plan.repeats)
    for folder in folders.values():
        _check_built(folder, steps, kind)
    return Build(f"full build of {kind}, -j{plan.jobs}", steps, found["cpods"], found["ninja"], "full build")


def _restored(place: str, command: list[str], plan: Plan, steps: int) -> Build:
    """All outputs deleted, then brought back: by cpods from its store, and by the bare loop, in the same folder.

    What making a file costs depends on what was deleted nearby a moment ago: two folders of one file system differed by a factor of 3.
    """
    folder = os.path.join(place, f"restored-{steps}")
    make_project(folder, steps)
    report = os.path.join(place, "restored.json")
    subprocess.run(command, cwd=folder, check=False, capture_output=True)
    _check_built(folder, steps)
    wanted = os.path.join(place, f"restored-{steps}.marshal")
    with open(wanted, "wb") as file:
        marshal.dump([(f"out/{number}.txt", f"source {number}\n".encode()) for number in range(steps)], file)
    bare = [sys.executable, "-I", "-S", "-c", _BARE_LOOP, wanted]
    cases = [
        Case("cpods", command, folder, lambda: delete_outputs(folder)),
        Case("bare", bare, folder, lambda: delete_outputs(folder)),
    ]
    found = interleaved(cases, plan.repeats)
    _check_built(folder, steps)
    delete_outputs(folder)  # once more, to be told of it: for a report every goal is hashed
    subprocess.run([*command, "--report", report], cwd=folder, check=False, capture_output=True)
    with open(report, encoding="utf-8") as file:
        told = json.load(file)
    if told["executions"] or told["steps"]["cached"] != steps:
        raise CannotMeasure(f"{folder}: outputs were to come from the store, but {len(told['executions'])} tools ran")
    return Build("restored from the store", steps, found["cpods"], found["bare"], "restored", "bare loop")


def delete_outputs(folder: str) -> None:
    """Deletes all that the steps of :func:`make_project` made, one file after the other."""
    out = os.path.join(folder, "out")
    for name in os.listdir(out):
        os.unlink(os.path.join(out, name))


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


def _projects(place: str, name: str, steps: int, kind: str = "cp") -> dict[str, str]:
    folders = {tool: os.path.join(place, f"{name}-{tool}") for tool in _TOOLS}
    for folder in folders.values():
        make_project(folder, steps, kind)
    return folders


def _cleaner(folder: str, trash: str) -> Callable[[], None]:
    return lambda: clean(folder, trash)


def _toucher(folder: str) -> Callable[[], None]:
    """Appends a line to a source, so that exactly one step has to run."""

    def touch() -> None:
        with open(os.path.join(folder, "src", "0.txt"), "a") as file:
            file.write("changed\n")

    return touch


def _check_built(folder: str, steps: int, kind: str = "cp") -> None:
    for number in range(steps):
        with open(f"{folder}/src/{number}.txt", "rb") as source, open(f"{folder}/out/{number}.txt", "rb") as output:
            if output.read() != (source.read() if kind == "cp" else b""):
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
    question="what does cpods itself cost: a null build, one changed source, a full build of tiny steps, outputs brought back?",
    peers="ninja, on the same graph; a bare create-and-write loop over the same tree",
    unit="ms, ms of CPU a step, MiB",
    noise="other work on the machine and the disk: both programs in every round, the order turned round; nothing deleted between runs",
    quick="100 and 1,000 steps, 3 rounds: half a minute",
    full="100, 1,000 and 10,000 steps, null builds of 100,000 too, 9 rounds: three quarters of an hour",
    run=runner(),
    programs=("ninja --version",),
)
