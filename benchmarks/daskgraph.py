"""``python -m benchmarks.daskgraph GRAPH ADDRESS``: the graph in a file, run by the Dask cluster at that address; JSON on stdout.

Knows no cpods but the graph's type. A task sleeps for its step's runtime and gives as many incompressible bytes as the step writes;
it starts no process and writes no file, which spares Dask what cpods' steps have to do.
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from benchmarks.workload import Workload

_CONNECT_SECONDS = 60
#: Random bytes that tasks cut their results from; two of one size differ in where they begin.
_POOL_BYTES = 1 << 22
_pool = b""


def produce(step: int, seconds: float, size: int, *inputs: bytes) -> bytes:
    """What stands for a step."""
    if seconds:
        time.sleep(seconds)
    return _some_bytes(step, size)


def _some_bytes(step: int, size: int) -> bytes:
    global _pool
    if not _pool:
        _pool = os.urandom(_POOL_BYTES)
    start = step * 4099 % _POOL_BYTES
    whole = _pool[start:] + _pool * (size // _POOL_BYTES + 1)
    return whole[:size]


def run(graph: Workload, address: str, workers: int, times: int) -> list[dict[str, Any]]:
    """Submits the whole graph at once, waits until every task is done and drops the results; so many times, and ends the cluster."""
    distributed: Any = importlib.import_module("distributed")
    here = importlib.import_module("benchmarks.daskgraph")  # as a module the workers import it; of __main__ each task would bring a copy
    with distributed.Client(address, timeout=_CONNECT_SECONDS) as client:
        client.wait_for_workers(workers, timeout=_CONNECT_SECONDS)
        client.run(here._some_bytes, 0, 1)  # imports and the pool of bytes are not measured
        found = [_once(client, here, graph, f"-{number}") for number in range(times)]
        client.shutdown()
    return found


def _once(client: Any, here: Any, graph: Workload, salt: str) -> dict[str, Any]:
    """One run. A task's key begins with its step's kind, by which Dask learns how long such tasks take."""
    distributed: Any = importlib.import_module("distributed")
    keys = [name + salt for name in graph.names]
    tasks = {
        key: (here.produce, step, graph.runtime[step], graph.size[step], *(keys[made] for made in graph.inputs[step]))
        for step, key in enumerate(keys)
    }
    before = client.run(here._counts)
    began = time.perf_counter()
    futures = client.get(tasks, keys, sync=False)
    distributed.wait(futures)
    seconds = time.perf_counter() - began
    failed = [future.key for future in futures if future.status != "finished"]
    if failed:
        raise RuntimeError(f"{len(failed)} tasks did not finish, such as {failed[0]}")
    after = client.run(here._counts)
    return {
        "version": distributed.__version__,
        "seconds": seconds,
        "moved_bytes": sum(after[worker][0] - before[worker][0] for worker in after),
        "transfers": sum(after[worker][1] - before[worker][1] for worker in after),
    }


def _counts(dask_worker: Any) -> tuple[int, int]:
    """(bytes sent to other workers, requests to others), since the worker began."""
    return dask_worker.transfer_outgoing_bytes_total, dask_worker.state.transfer_incoming_count_total


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.daskgraph")
    parser.add_argument("graph", help="a workload in its real form, msgpack")
    parser.add_argument("address")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--times", type=int, default=1)
    said = parser.parse_args(arguments)
    with open(said.graph, "rb") as file:
        graph = msgspec.msgpack.decode(file.read(), type=Workload)
    json.dump(run(graph, said.address, said.workers, said.times), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
