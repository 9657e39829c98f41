"""One run on four machines: of a project by a fresh federation of cpods, or of a graph by a fresh cluster of Dask on the same links.

Knows no round and no table; what a run gives is an Outcome.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from benchmarks.realfederation import CALL_SECONDS, CPODS, Built, Federation, Setup, environment
from benchmarks.realplaces import FOUNDER, PODS, machines, sent_bytes
from benchmarks.realproject import Project
from benchmarks.suite import CannotMeasure
from benchmarks.workload import Workload
from cpods.majordomo.far.placing import PLACEMENT_LOG
from cpods.scheduler.allotment import Decided, Stolen
from cpods.scheduler.decisions import decisions
from scripts.demo_places import Places

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_DASK_PORT = 8786


class Outcome(msgspec.Struct, frozen=True):
    """One build. ``seconds``: from the first step that was asked for to the end of the last; ``moved_bytes``: what machines pulled
    from each other, counted where they arrive; ``founder_bytes``: what they pulled from the founder (the project's sources, and
    listings of it); ``brought_bytes``: what the founder pulled from them; ``link_bytes``: what went out on their links, with all
    protocols; ``steps``: how many ran, by pod; ``busy_seconds``: all of them together; ``decisions``: how often placement chose a
    pod, and ``stolen``: how often another one took the step over; ``digests``: of what was made, by path.
    """

    seconds: float
    moved_bytes: int
    founder_bytes: int = 0
    brought_bytes: int = 0
    link_bytes: int = 0
    steps: dict[str, int] = {}
    busy_seconds: float = 0.0
    decisions: int = 0
    stolen: int = 0
    digests: dict[str, str] = {}
    version: str = ""


class Run(msgspec.Struct, frozen=True):
    """The builds of one federation or cluster. ``served_bytes``: counted by the pods' SFTP servers, of all builds together."""

    builds: list[Outcome]
    served_bytes: int = 0


def run_cpods(setup: Setup, project: Project, strategy: str, builds: int) -> Run:
    """So many builds in a fresh federation, each of which has to run all steps anew; from the second on it is known from the one
    before how long they take and how much they make. Raises CannotMeasure.
    """
    top = os.path.join(setup.folder, "run")
    with emptied(top), machines(top, setup.bytes_per_second, setup.say, setup.loopback) as where:
        federation = Federation(where, top, setup)
        try:
            federation.found()
            folder = os.path.join(top, FOUNDER, "project")
            found = []
            for number in range(builds):
                goals = project.write(folder, number)
                before = _sent(where)
                words = () if project.brings else ("--leave-remote",)
                built = federation.rebuild(folder, *goals, "--placement", strategy, *words)
                outcome = _outcome(built, _sent(where) - before, project.made(folder, built.report))
                found.append(msgspec.structs.replace(outcome, **_decided(folder)))
            return Run(found, federation.end_pods())
        finally:
            federation.stop()


def run_alone(setup: Setup, project: Project, builds: int) -> list[dict[str, str]]:
    """The same builds on this machine, without a federation: for each the digests of what it made, by path. Raises CannotMeasure."""
    top = os.path.join(setup.folder, "alone")
    folder, report = os.path.join(top, "project"), os.path.join(top, "report.json")
    found = []
    with emptied(top):
        for number in range(builds):
            command = [*CPODS, "rebuild", "-C", folder, "--until-stable", "--report", report, *project.write(folder, number)]
            ran = subprocess.run(command, env=environment(setup), capture_output=True, text=True, check=False)
            if ran.returncode:
                raise CannotMeasure(f"cpods rebuild on this machine alone ended with {ran.returncode}: {ran.stderr.strip()[-2000:]}")
            with open(report, encoding="utf-8") as file:
                found.append(project.made(folder, json.load(file)))
    return found


def run_dask(setup: Setup, graph: Workload, builds: int) -> Run:
    """The graph, so many times, by a scheduler and four workers on the same machines and links. Raises CannotMeasure."""
    top = os.path.join(setup.folder, "run")
    with emptied(top), machines(top, setup.bytes_per_second, setup.say, setup.loopback) as where:
        address = where.machines[FOUNDER].address
        file = os.path.join(top, "graph")
        with open(file, "wb") as into:
            into.write(msgspec.msgpack.encode(graph))
        place = f"tcp://{address}:{_DASK_PORT}"
        _start_dask(where, FOUNDER, top, "dask_scheduler", "--host", address, "--port", str(_DASK_PORT), "--no-show")
        for pod in PODS:
            words = (place, "--host", where.machines[pod].address, "--nthreads", str(setup.slots), "--local-directory", top)
            _start_dask(where, pod, top, "dask_worker", *words, "--no-nanny", "--memory-limit", "0")
        client = (sys.executable, "-m", "benchmarks.daskgraph", file, place, "--workers", str(len(PODS)), "--times", str(builds))
        process = where.start(FOUNDER, client, dict(os.environ), cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, said = process.communicate(timeout=CALL_SECONDS)
        if process.returncode:
            raise CannotMeasure(f"Dask could not run {graph.name}: {said.strip()[-2000:]}")
        return Run([Outcome(one["seconds"], one["moved_bytes"], version=one["version"]) for one in json.loads(out)])


def _sent(where: Places) -> int:
    return sum(sent_bytes(where, pod) for pod in PODS)


def _start_dask(where: Places, machine: str, top: str, program: str, *words: str) -> None:
    command = [sys.executable, "-m", f"distributed.cli.{program}", *words, "--no-dashboard"]
    with open(os.path.join(top, f"{machine}.log"), "w", encoding="utf-8") as log:
        where.start(machine, command, dict(os.environ), cwd=_ROOT, stdout=log, stderr=log)


def _outcome(built: Built, link_bytes: int, made: dict[str, str]) -> Outcome:
    moved = built.report["federation"]["moved_bytes"]
    runs = [entry for entry in built.report["executions"] if entry["kind"] == "run"]
    between = sum(count for receiver, by in moved.items() for holder, count in by.items() if receiver in PODS and holder in PODS)
    founders = sum(by.get(FOUNDER, 0) for receiver, by in moved.items() if receiver in PODS)
    return Outcome(
        seconds=built.seconds,
        moved_bytes=between,
        founder_bytes=founders,
        brought_bytes=sum(moved.get("here", {}).values()),
        link_bytes=link_bytes,
        steps=dict(sorted(Counter(entry["pod"] for entry in runs).items())),
        busy_seconds=sum(entry["seconds"] for entry in runs),
        digests=made,
    )


def _decided(folder: str) -> dict[str, int]:
    """How often the last build of a project decided, as its log says."""
    with open(os.path.join(folder, ".cpods", "log", PLACEMENT_LOG), "rb") as file:
        kinds = Counter(type(one) for one in decisions(file.read()))
    return {"decisions": kinds[Decided], "stolen": kinds[Stolen]}


@contextmanager
def emptied(folder: str) -> Iterator[None]:
    """An empty folder while the block runs."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
