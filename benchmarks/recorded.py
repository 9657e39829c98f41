"""``python -m benchmarks.recorded FOLDER NAME``: builds a real project with cpods and writes down as a workload what that was.

Knows cpods as a user does, by its command line and its JSON. A knot is built pass by pass, one call each, so that each version of a
file is seen with the size that it had then.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.unrolled import Content, Run, unrolled
from benchmarks.workload import Workload
from benchmarks.workloadfiles import save

#: The cpods of this very Python; -P: not one that lies in the project's folder.
_CPODS = (sys.executable, "-P", "-c", "from cpods.cli import main; main()")

#: More passes than any knot that comes to rest needs.
_PASSES_MAX = 50


class CannotRecord(Exception):
    """The project could not be built, so there is nothing to write down."""


def record(folder: str | Path, name: str) -> Workload:
    """Builds a copy of a project folder from nothing, one step at a time, and says what that was.

    Raises CannotRecord if the build fails or a knot does not come to rest.
    """
    with tempfile.TemporaryDirectory(prefix="cpods-recorded-") as place:
        project = Path(place, "project")
        shutil.copytree(folder, project, ignore=shutil.ignore_patterns(".cpods", ".git"), symlinks=True)
        runs: list[Run] = []
        for turn in range(1, _PASSES_MAX + 1):
            report = _rebuild(project, turn)
            runs += _runs(project, turn, report)
            if report["status"] == "done":
                return unrolled(name, _plain_ones(project, runs), lambda path: _size(project, path))
            if report["status"] != "unstable":
                raise CannotRecord(f"{folder}: the build ended as {report['status']}; make `cpods rebuild` work there first.")
    raise CannotRecord(f"{folder}: a knot still moves after {_PASSES_MAX} passes; only what comes to rest can be recorded.")


def quickest(builds: Sequence[Workload]) -> Workload:
    """The first of several recordings of one project with each step's shortest time: what else the machine does only adds.

    Raises CannotRecord if they did not run the same steps.
    """
    if any(build.names != builds[0].names for build in builds):
        raise CannotRecord(f"{builds[0].name}: two builds ran different steps, so their times do not compare; look at `cpods verify`.")
    return msgspec.structs.replace(builds[0], runtime=[min(times) for times in zip(*(build.runtime for build in builds), strict=True)])


def _rebuild(project: Path, turn: int) -> Any:
    """The report of one pass. One step at a time: a step that shares the machine takes longer than it needs."""
    report = project.parent / "report.json"
    _cpods(project, "rebuild", "--once", "--jobs", "1", "--report", str(report), *(["--seed", "clean"] if turn == 1 else []))
    return json.loads(report.read_bytes())


def _runs(project: Path, turn: int, report: Any) -> list[Run]:
    """What ran in this call, in order; of a knot's steps also what they read and wrote, as it lies in the folder now."""
    knot = {step: each["steps"][0] for each in report["knots"] for step in each["steps"]}
    found = []
    for ran in report["executions"]:
        step = ran["step"]
        if ran["kind"] == "run":
            reads, writes = _last_run(project, step) if step in knot else ([], [])
            found.append(Run(step, ran["seconds"], knot.get(step, ""), turn, reads, _contents(project, writes)))
    return found


def _last_run(project: Path, step: str) -> tuple[list[str], list[str]]:
    """What a step's last run read and wrote. (The graph shows what a knot's steps read in any pass, and only files with a reader.)"""
    tools = json.loads(_cpods(project, "deps", step, "--format", "json"))["tools"]
    tool = next(tool for tool in tools if tool["step"] == step)
    return [read["path"] for read in tool["reads"] if read["there"] and _is_own(read["path"])], tool["writes"]


def _plain_ones(project: Path, runs: list[Run]) -> list[Run]:
    """The runs with what plain steps read and wrote.

    Of those behind a knot only the last: here they run after every call, in a whole build once, when the knot is at rest.
    """
    graph = json.loads(_cpods(project, "graph", "show", "--format", "json"))
    reads = {step["name"]: list(step["sources"]) for step in graph["steps"]}
    writes = {step["name"]: step["outputs"] for step in graph["steps"]}
    for edge in graph["edges"]:
        reads[edge["to"]] += edge["paths"]
    last = {run.step: number for number, run in enumerate(runs)}
    found = []
    for number, run in enumerate(runs):
        if run.knot:
            found.append(run)
        elif last[run.step] == number:
            own = [path for path in reads[run.step] if _is_own(path)]
            found.append(msgspec.structs.replace(run, reads=own, writes=_contents(project, writes[run.step])))
    return found


def _is_own(path: str) -> bool:
    """Whether the file is the project's. Those of packages are on every pod: no build moves them."""
    return not os.path.isabs(path)


def _contents(project: Path, paths: list[str]) -> list[Content]:
    """Of the files that are there."""
    return [
        Content(path, hashlib.sha256((project / path).read_bytes()).hexdigest(), size)
        for path in paths
        if (size := _size(project, path)) is not None
    ]


def _size(project: Path, path: str) -> int | None:
    file = project / path
    return file.stat().st_size if file.is_file() else None


def _cpods(project: Path, *words: str) -> bytes:
    """What cpods printed. The machine's own store is left out of it: everything is to run."""
    environment = {name: value for name, value in os.environ.items() if name != "CPODS_STORE"}
    done = subprocess.run([*_CPODS, *words], cwd=project, env=environment, capture_output=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout)[-2000:].decode(errors="replace").strip()
        raise CannotRecord(f"cpods {words[0]} ended with exit code {done.returncode}, make it work there first; it said:\n{said}")
    return done.stdout


def main(arguments: list[str]) -> int:
    """Records one project; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recorded", description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="a project that cpods builds")
    parser.add_argument("name", help="what the workload is called")
    parser.add_argument("--builds", type=int, default=1, metavar="N", help="build so often and keep each step's shortest time")
    parser.add_argument("--output", default="", metavar="FILE", help="where it is written (default: NAME.json)")
    parser.add_argument("--made", default="", metavar="TEXT", help="what the project is and where it came from, kept with the workload")
    said = parser.parse_args(arguments)
    try:
        found = quickest([record(said.folder, said.name) for _ in range(said.builds)])
    except (CannotRecord, OSError) as error:
        print(f"benchmarks.recorded: {error}", file=sys.stderr)
        return 1
    output = Path(said.output or f"{said.name}.json")
    made = said.made or f"python -m benchmarks.recorded {os.path.basename(os.path.normpath(said.folder))} {said.name}"
    save(found, output, made)
    print(f"{output}: {len(found.runtime)} steps, {len(found.size)} files, {output.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
