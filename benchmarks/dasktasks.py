"""``python -m benchmarks.dasktasks``: what dask.distributed takes for a task, with and without a process; one JSON object on stdout.

Knows no cpods. A process of its own, so that its processor time is its own.
"""

import argparse
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any


def nothing(number: int) -> int:
    """A task without a process."""
    return number


def one_byte(folder: str, number: int) -> int:
    """A task that starts the program that a step of cpods starts, and waits for it."""
    return subprocess.run(["truncate", "-s", "1", os.path.join(folder, str(number))], check=True).returncode


def measure(client: Any, work: Any, count: int, fixed: Sequence[Any] = ()) -> dict[str, float]:
    """Rate of ``count`` tasks submitted at once, and processor time a task: of scheduler and client, of workers, of their children."""
    wait: Any = importlib.import_module("distributed").wait
    before, began = _cpu(client), time.perf_counter()
    futures = client.map(lambda number: work(*fixed, number), range(count), pure=False)
    wait(futures)
    seconds = time.perf_counter() - began
    client.gather(futures)
    spent = [(after - earlier) / count * 1e6 for after, earlier in zip(_cpu(client), before, strict=True)]
    return {"rate": count / seconds, "scheduler_us": spent[0], "workers_us": spent[1], "children_us": spent[2]}


def round_trips(client: Any, work: Any, count: int, fixed: Sequence[Any] = ()) -> dict[str, float]:
    """Milliseconds from submitting one task to having its result, one at a time."""
    times = []
    for number in range(count):
        began = time.perf_counter()
        client.submit(work, *fixed, number, pure=False).result()
        times.append((time.perf_counter() - began) * 1e3)
    cuts = statistics.quantiles(times, n=100)
    return {"p50_ms": cuts[49], "p99_ms": cuts[98]}


def _cpu(client: Any) -> tuple[float, float, float]:
    """Seconds of this process (scheduler and client), of the workers, and of the children that those have waited for."""
    used = client.run(_worker_cpu).values()
    return time.process_time(), sum(own for own, _ in used), sum(children for _, children in used)


def _worker_cpu() -> tuple[float, float]:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time(), children.ru_utime + children.ru_stime


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    said = parser.parse_args(arguments)
    import dask

    distributed: Any = importlib.import_module("distributed")
    dask.config.set({"distributed.worker.memory.terminate": False})
    with (
        tempfile.TemporaryDirectory() as folder,
        distributed.LocalCluster(
            n_workers=said.workers, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1", silence_logs=40
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        measure(client, nothing, 200)  # warm
        found = {
            "version": distributed.__version__,
            "nothing": measure(client, nothing, said.count) | round_trips(client, nothing, 100),
            "process": measure(client, one_byte, said.count, (folder,)) | round_trips(client, one_byte, 100, (folder,)),
        }
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
