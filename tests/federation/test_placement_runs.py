"""Real runs of placement strategies on a small graph: believed only if bytes and digests agree, and nothing is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from benchmarks.placement import Plan, measure
from benchmarks.synthetic import stress
from benchmarks.workloadfiles import save
from scripts.demo_places import MARK

pytestmark = [pytest.mark.federation, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def graph(tmp_path: Path) -> str:
    """Sources that are shared, steps, links, an image: some 40 steps of a few hundredths of a second each, in a file."""
    path = tmp_path / "small.json"
    save(stress(1, 8, 24, 4), path, "for tests")
    return str(path)


def left_behind(pid: int, top: Path) -> tuple[list[str], list[str]]:
    """(network namespaces, programs) that a run of this process, with its files below ``top``, has left."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout.split()
    marked = []
    for entry in Path("/proc").iterdir():
        try:
            if f"{MARK}={top}".encode() in (entry / "environ").read_bytes():
                marked.append(entry.name)
        except OSError:
            continue
    return [name for name in listed if name.startswith(f"cpods{pid}-")], marked


def test_strategies_run_and_agree(graph: str, tmp_path: Path) -> None:
    plan = Plan([(graph, 1e-3, 1e-3, 1, 0)], dask=False, folder=str(tmp_path), bytes_per_second=50e6)
    rows = {row.row.rpartition("small")[2]: row for row in measure(plan, 0, lambda text: None)}
    for name in ("locality", "least-loaded"):
        for again in ("", ", built before"):
            moved = rows[f"{again}, {name}: bytes moved"]
            assert 0 <= moved.values[0] <= moved.extra["edge_bytes"]
            assert moved.extra["decisions"] >= sum(moved.extra["steps"].values()) > 30
            assert rows[f"{again}, {name}: time"].values[0] > 0
    assert left_behind(os.getpid(), tmp_path) == ([], [])


@pytest.mark.parametrize("way", [(), ("--loopback",)], ids=["namespaces", "loopback"])
def test_an_interruption_leaves_nothing(graph: str, tmp_path: Path, way: Sequence[str]) -> None:
    command = (sys.executable, "-m", "benchmarks.placement", graph, "--bytes", "1e-3", "--seconds", "1e-3", "--no-dask", *way)
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # the tests themselves may run in a shell's background
    command = (*command, "--folder", str(tmp_path))
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heard) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "round 1 of 1: least-loaded" in line:  # it makes places and a federation now
                break
        process.send_signal(signal.SIGTERM if way else signal.SIGINT)
        process.stderr.read()
    assert process.returncode == 130
    assert left_behind(process.pid, tmp_path) == ([], [])
    assert not list(tmp_path.glob("cpods-placement-*"))
