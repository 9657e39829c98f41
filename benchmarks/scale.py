"""What a decision costs where there is much to decide: a thousand pods, a million steps, one pod in a hundred lost on the way.

Knows no event: one simulation is ``simulate``'s, in a process of its own, so that none pays for another's memory.
"""

import gc
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from benchmarks.simulate import Config, simulate
from benchmarks.suite import Benchmark, CannotMeasure, Progress, Row
from benchmarks.synthetic import layered

#: A pod in so many dies during the build, and comes back empty.
_CHURN = 100
_SECONDS_AIM, _DECISION_AIM, _LOG_AIM = 60.0, 20.0, 1000.0


class Size(NamedTuple):
    """So many pods of four slots, and so many steps. ``logged``: with the decision log, which costs time of its own."""

    pods: int
    steps: int
    strategy: str = "locality"
    logged: bool = False


_LARGEST = Size(1000, 1_000_000)
_SIZES = (
    Size(16, 10_000),
    Size(16, 100_000),
    Size(100, 100_000),
    Size(1000, 100_000),
    Size(1000, 100_000, "earliest-finish"),
    Size(1000, 100_000, "least-loaded"),
    Size(1000, 100_000, "locality", logged=True),
    _LARGEST,
)


def run(quick: bool, repeats: int, folder: str, progress: Progress) -> Iterator[Row]:
    """Rows of all sizes, smallest first. Raises CannotMeasure if a simulation fails."""
    rounds = repeats or (1 if quick else 3)
    for size in _SIZES[:-1] if quick else _SIZES:
        found = []
        for number in range(rounds):
            progress(f"scale: {size.steps:,} steps on {size.pods:,} pods, {size.strategy}, round {number + 1} of {rounds}")
            found.append(_in_a_process(size))
        yield from _rows(size, found)


def _rows(size: Size, found: list[dict[str, Any]]) -> Iterator[Row]:
    name = f"{size.steps:,} steps on {size.pods:,} pods, {size.strategy}{', logged' if size.logged else ''}"
    extra = {"steps": size.steps, "pods": size.pods, "strategy": size.strategy, "logged": size.logged}
    extra["makespan_to_bound"] = statistics.median(one["makespan"] / one["lower_bound"] for one in found)
    extra["moved_part"] = statistics.median(one["moved_bytes"] / one["edge_bytes"] for one in found)

    def row(measure: str, unit: str, values: list[float], aim: float | None) -> Row:
        return Row("scale", f"{name}: {measure}", unit, values, better="less", aim=aim, extra={**extra, "measure": measure})

    ours = size.strategy == "locality"
    decisions = [one["decision_seconds"] / one["decisions"] * 1e6 for one in found]
    yield row("microseconds a decision", "us", decisions, _DECISION_AIM if ours and not size.logged else None)
    handing = [one["handing_seconds"] / one["decisions"] * 1e6 for one in found]
    yield row("microseconds a step handed out, stealing included", "us", handing, None)
    yield row("seconds", "s", [one["seconds"] for one in found], _SECONDS_AIM if size == _LARGEST else None)
    if size.logged:
        yield row("log bytes a step", "bytes", [one["log_bytes"] / one["steps"] for one in found], _LOG_AIM)


def _in_a_process(size: Size) -> dict[str, Any]:
    ran = subprocess.run([sys.executable, "-m", "benchmarks.scale", json.dumps(size)], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise CannotMeasure(f"the simulation of {size.steps:,} steps failed: {ran.stderr.strip()[-1000:]}")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def main(size: Size) -> None:
    """Simulates one size; the outcome on stdout."""
    workload = layered(size.steps)
    gc.collect()
    gc.freeze()  # nothing here makes circles of objects: looking for them among millions is half of the time
    gc.disable()
    written: list[int] = []
    config = Config(pods=size.pods, deaths=size.pods // _CHURN, driver="counting")
    outcome = simulate(workload, size.strategy, config, (lambda lines: written.append(len(lines))) if size.logged else None)
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


BENCHMARK = Benchmark(
    name="scale",
    question="what does a placement decision cost, and does it stay so with a thousand pods and a million steps?",
    peers="none; earliest-finish and least-loaded at one size",
    unit="microseconds a decision; seconds of a whole simulation",
    noise="processor time of others: each simulation is a process of its own; compare medians",
    quick="up to 1,000 pods x 100,000 steps, once",
    full="up to 1,000 pods x 1,000,000 steps with 1 % of the pods dying, three times",
    run=run,
)

if __name__ == "__main__":
    main(Size(*json.loads(sys.argv[1])))
