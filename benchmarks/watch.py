"""What watching costs and how fast it is: null builds asked of a resident MajorDomo, and the time from a save to the step's start.

Knows no cpods but its command line. Beside ninja's null build of the same graph, and latexmk -pvc on the same document.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Case, Failed, in_turn, run_once, surroundings
from benchmarks.overhead import make_project
from benchmarks.suite import Benchmark, CannotMeasure, Progress, Row

_BESIDE = os.path.join(os.path.dirname(sys.executable), "cpods")
_MIB = 1 << 20
_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE_SECONDS = 5.0
_END_SECONDS_MAX = 5.0
_PAUSE_SECONDS = 1.0
_PDF_SECONDS_MAX = 60.0
_LOOK_SECONDS = 0.005
#: What a null build is to take in the client, whole and inside, and a step from save to start (ms); what a resident holds (MiB).
WHOLE_MS, INSIDE_MS, START_MS, MEMORY_MIB = 25.0, 20.0, 50.0, 150.0

#: A step that writes down when it started.
_CLOCK = '[[step]]\nname = "clock"\nrun = "date +%s%N > out/clock.txt"\ninputs = ["src/clock.txt"]\noutputs = ["out/clock.txt"]\n'

#: What the client does, without the start of the interpreter; prints the seconds.
_INSIDE = """
import sys, time
begun = time.perf_counter()
sys.argv = ["cpods", "rebuild"]
from cpods.cli import call
code = call()
sys.stderr.write(f"{time.perf_counter() - begun}\\n")
sys.exit(code)
"""

_DOCUMENT = """\\documentclass{article}
\\begin{document}
\\tableofcontents
\\section{One}\\label{one}
See page \\pageref{one}. %s
\\end{document}
"""


class Plan(NamedTuple):
    """How much is measured. ``folder`` '': a temporary one."""

    steps: tuple[int, ...] = (1000, 10_000, 100_000)
    repeats: int = 15
    folder: str = ""


QUICK = Plan(steps=(1000,), repeats=5)


def measure(quick: bool, repeats: int, folder: str, progress: Progress) -> Iterator[Row]:
    """Rows by size of the project, then of the document."""
    usual = QUICK if quick else Plan()
    plan = usual._replace(repeats=repeats or usual.repeats, folder=folder)
    for program, package in (("ninja", "ninja-build"), ("latexmk", "latexmk"), ("pdflatex", "texlive-latex-base")):
        if shutil.which(program) is None:
            raise CannotMeasure(f"{program} is not in PATH: install Debian's {package}")
    if folder:
        os.makedirs(folder, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="watch-", dir=folder or None) as place:
            for steps in plan.steps:
                yield from _of_size(Path(place, f"steps-{steps}"), steps, plan.repeats, progress)
            progress("save to new PDF")
            yield from _of_document(Path(place), plan.repeats)
    except Failed as error:
        raise CannotMeasure(str(error)) from None


def _of_size(folder: Path, steps: int, repeats: int, progress: Progress) -> Iterator[Row]:
    progress(f"{steps} steps: full build")
    folder.mkdir()
    make_project(str(folder), steps)
    with open(folder / "cpods.toml", "a") as file:
        file.write(_CLOCK)
    (folder / "src" / "clock.txt").write_text("0\n")
    for argv in ([_cpods(), "rebuild"], ["ninja"]):
        run_once(Case("full build", argv, str(folder)))
    progress(f"{steps} steps: null builds")
    yield from _null(folder, steps, repeats)
    progress(f"{steps} steps: save to start")
    yield from _starts(folder, steps, repeats)


# -- null builds -------------------------------------------------------------------------------------------------------


def _null(folder: Path, steps: int, repeats: int) -> Iterator[Row]:
    where = str(folder)
    with _resident(folder) as pid:
        ours, theirs = Case("cpods", [_cpods(), "rebuild"], where), Case("ninja", ["ninja"], where)
        run_once(ours)
        found = in_turn({"cpods": lambda: run_once(ours), "ninja": lambda: run_once(theirs), "inside": lambda: _inside(folder)}, repeats)
        client, peer = found["cpods"], found["ninja"]
        inside = [1000 * float(figure) for figure in found["inside"]]  # type: ignore[arg-type]
        memory = _memory(pid) / _MIB
    extra = {"steps": steps}
    yield Row(
        "watch",
        f"null build asked of a resident, {steps:,} steps: wall",
        "ms",
        [one.seconds * 1000 for one in client],
        "ninja",
        [one.seconds * 1000 for one in peer],
        "less",
        extra=extra | {"measure": "wall"},
    )
    yield Row(
        "watch",
        f"null build asked of a resident, {steps:,} steps: CPU of the client",
        "ms",
        [one.cpu_seconds * 1000 for one in client],
        better="less",
        aim=WHOLE_MS,
        extra=extra | {"measure": "client CPU"},
    )
    yield Row(
        "watch",
        f"null build asked of a resident, {steps:,} steps: inside",
        "ms",
        inside,
        better="less",
        aim=INSIDE_MS,
        extra=extra | {"measure": "inside"},
    )
    yield Row(
        "watch",
        f"memory of a resident, {steps:,} steps",
        "MiB",
        [memory],
        better="less",
        aim=MEMORY_MIB,
        extra=extra | {"measure": "memory"},
    )


def _inside(folder: Path) -> float:
    """Seconds of a null build in the client from its first line to its last."""
    ran = subprocess.run([sys.executable, "-c", _INSIDE], cwd=folder, capture_output=True, text=True, env=surroundings())
    if ran.returncode or "up to date" not in ran.stdout:
        raise Failed(f"the null build in {folder} ended with exit code {ran.returncode}: {ran.stdout[-500:]}{ran.stderr[-500:]}")
    return float(ran.stderr.split()[-1])


@contextmanager
def _resident(folder: Path) -> Iterator[int]:
    """A resident MajorDomo; its process."""
    steady = surroundings()
    subprocess.run([_cpods(), "majordomo", "start"], cwd=folder, check=True, capture_output=True, env=steady)
    try:
        said = subprocess.run([_cpods(), "majordomo", "status"], cwd=folder, check=True, capture_output=True, text=True, env=steady).stdout
        yield int(said.partition("process ")[2].partition(",")[0])
    finally:
        subprocess.run([_cpods(), "majordomo", "stop"], cwd=folder, check=False, capture_output=True)


# -- watching ----------------------------------------------------------------------------------------------------------


def _starts(folder: Path, steps: int, repeats: int) -> Iterator[Row]:
    starts = []
    stamp = folder / "out" / "clock.txt"
    with _watch(folder, [_cpods(), "watch"], "watching") as process:
        for number in range(-1, repeats):
            time.sleep(_PAUSE_SECONDS)
            before = stamp.read_bytes()
            with open(folder / "src" / "clock.txt", "w") as file:
                file.write(f"{time.time_ns()}\n")  # never seen before: nothing comes from the store
            saved = time.time_ns()
            _until(lambda before=before: stamp.exists() and stamp.read_bytes() not in (before, b""), str(stamp))  # type: ignore[misc]
            if number >= 0:  # the first loads and is not counted
                starts.append((int(stamp.read_text()) - saved) / 1e6)
        memory = _memory(process.pid) / _MIB
        idle = _idle(process.pid)
    extra = {"steps": steps}
    named = f"{steps:,} steps"
    yield Row(
        "watch",
        f"save to start of the step, {named}",
        "ms",
        starts,
        better="less",
        aim=START_MS,
        extra=extra | {"measure": "save to start"},
    )
    yield Row(
        "watch",
        f"memory of a watch that built, {named}",
        "MiB",
        [memory],
        better="less",
        aim=MEMORY_MIB,
        extra=extra | {"measure": "memory"},
    )
    yield Row("watch", f"CPU of an idle watch, {named}", "ms a second", [idle], better="less", extra=extra | {"measure": "idle"})


@contextmanager
def _watch(folder: Path, argv: list[str], sign: str) -> Iterator["subprocess.Popen[str]"]:
    """A watch that has said ``sign`` (a pattern). What it says later is thrown away."""
    process = subprocess.Popen(
        argv,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=surroundings(),
        start_new_session=True,
    )
    assert process.stdout is not None
    lines = process.stdout

    rest = threading.Thread(target=lambda: [None for _ in lines], daemon=True)
    try:
        if not any(re.search(sign, line) for line in lines):
            raise Failed(f"{' '.join(argv)} in {folder} never said {sign!r}")
        rest.start()
        yield process
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(_END_SECONDS_MAX)
        except subprocess.TimeoutExpired:  # latexmk hears an interrupt only at some moments
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if rest.ident is not None:
            rest.join()
        lines.close()


def _of_document(place: Path, repeats: int) -> Iterator[Row]:
    folders = {name: place / f"document-{name}" for name in ("cpods", "latexmk")}
    for folder in folders.values():
        folder.mkdir()
        (folder / "paper.tex").write_text(_DOCUMENT % "first")
    latexmk = ["latexmk", "-pvc", "-view=none", "-pdf", "-interaction=nonstopmode", "paper.tex"]
    with (
        _watch(folders["cpods"], [_cpods(), "watch", "paper.tex"], "^watching"),
        _watch(folders["latexmk"], latexmk, "Latexmk"),
    ):
        _until(lambda: (folders["latexmk"] / "paper.pdf").exists(), "latexmk's first PDF")
        found = in_turn({name: lambda folder=folder: _renewed(folder) for name, folder in folders.items()}, repeats)  # type: ignore[misc]
    yield Row(
        "watch",
        "document: save to new PDF",
        "ms",
        found["cpods"],
        "latexmk -pvc",
        found["latexmk"],
        "less",
        extra={"steps": 1, "measure": "save to PDF"},
    )


def _renewed(folder: Path) -> float:
    """Milliseconds from a save to the new PDF. The pause before it is no part of it: both watch again by then."""
    pdf = folder / "paper.pdf"
    time.sleep(_PAUSE_SECONDS)
    before = _stamp(pdf)
    (folder / "paper.tex").write_text(_DOCUMENT % f"word {time.monotonic_ns()}")
    saved = time.monotonic()
    _until(lambda: pdf.exists() and _stamp(pdf) != before, str(pdf))
    return (time.monotonic() - saved) * 1000


def _stamp(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_ino, status.st_mtime_ns


def _until(condition: Callable[[], bool], what: str) -> None:
    """Looks every few milliseconds. Raises Failed."""
    deadline = time.monotonic() + _PDF_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{what} did not come within {_PDF_SECONDS_MAX:.0f} s")
        time.sleep(_LOOK_SECONDS)


def _memory(pid: int) -> int:
    """Bytes that a process and its children hold: shared ones in parts."""
    total = 0
    for one in (pid, *_children(pid)):
        with suppress(OSError), open(f"/proc/{one}/smaps_rollup") as file:  # a child may just have ended
            total += next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    return total


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def _idle(pid: int) -> float:
    """Milliseconds of processor time a second while nothing happens."""

    def used() -> float:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    time.sleep(_IDLE_SECONDS)  # what a slice changed is written down meanwhile
    before = used()
    time.sleep(_IDLE_SECONDS)
    return (used() - before) * 1000 / _IDLE_SECONDS


def _cpods() -> str:
    path = _BESIDE if os.access(_BESIDE, os.X_OK) else shutil.which("cpods")
    if path is None:
        raise CannotMeasure("cpods is not in PATH: install this project into the Python that runs the benchmark")
    return path


BENCHMARK = Benchmark(
    name="watch",
    question="how fast does a resident MajorDomo answer, and a watch start what a save concerns; what do they hold and use meanwhile?",
    peers="ninja on the same graph; latexmk -pvc on the same document",
    unit="ms, MiB, ms of CPU a second",
    noise="other work on the machine: in turn with the peer in every round; CPU and ratios hold where wall times do not",
    quick="1,000 steps, 5 rounds: a minute",
    full="1,000, 10,000 and 100,000 steps, 15 rounds: half an hour, most of it the full build of 100,000",
    run=measure,
    programs=("ninja --version", "latexmk --version", "pdflatex --version"),
)
