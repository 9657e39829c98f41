"""Whether the rivals are honest: the strategies that the prototype place_sim.py has too, simulated in its model, beside what it printed.

Knows no event. The prototype's printed figures are data (``peers/place_sim.json``); its model and its rules for ties are options and
small strategies here.
"""

import random
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.simulate import Config, simulate
from benchmarks.suite import Benchmark, CannotMeasure, Progress, Row
from benchmarks.workloads import by_name
from cpods.scheduler.outlook import Outlook
from cpods.scheduler.placement import DaskLike, Decision, EarliestFinish, Factory, LeastLoaded, MaxLocality, RoundRobin

_PRINTED = Path(__file__).parent / "peers" / "place_sim.json"
#: Figures may differ by this part.
NEAR = 0.03
_GB = 1e9


class _LongestIdle(LeastLoaded):
    """place_sim's rule for equals: not the lowest number, but the slot that has been free the longest."""

    def choose(self, step: int, look: Outlook, now: float, allowed: Collection[int] | None = None) -> Decision:
        """See Strategy."""
        return Decision(step, longest_idle(look, now))


class _Nearest(MaxLocality):
    """Of those who hold most: the longest idle one, of equals the one that is met first. Where nobody holds an input: as above."""

    def choose(self, step: int, look: Outlook, now: float, allowed: Collection[int] | None = None) -> Decision:
        """See Strategy."""
        held = _held(step, look)
        if not held:
            return Decision(step, longest_idle(look, now))
        most = max(held.values())
        return Decision(step, min([pod for pod in held if held[pod] == most], key=lambda pod: look.free(pod, now)))


class _Dask(DaskLike):
    """An idle slot's past counts against the others' work; ties: who was given least, then who is met first."""

    def choose(self, step: int, look: Outlook, now: float, allowed: Collection[int] | None = None) -> Decision:
        """See Strategy."""
        held = _held(step, look)
        if not held:
            return Decision(step, longest_idle(look, now))

        def start(pod: int) -> tuple[float, float]:
            look.free(pod, now)
            missing = sum(look.size[file] for file in look.inputs[step] if pod not in look.where[file])
            return max(0.0, sum(look.ends[pod]) / look.slots[pod] - now) + missing / look.bandwidth[pod], look.given[pod]

        return Decision(step, min(held, key=start))


class _Drawn(RoundRobin):
    """Draws as place_sim does, from Python's own generator in the order of the decisions."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._draws = random.Random(seed)

    def choose(self, step: int, look: Outlook, now: float, allowed: Collection[int] | None = None) -> Decision:
        """See Strategy."""
        return Decision(step, self._draws.randrange(len(look.pods)))


def longest_idle(look: Outlook, now: float) -> int:
    """The pod whose slot is free first, or has been for the longest time; ties: the lowest number."""
    return min(look.alive, key=lambda pod: (look.free(pod, now), pod))


def _held(step: int, look: Outlook) -> dict[int, int]:
    """Bytes by pod, in the order in which place_sim meets the pods: it keeps the holders of a file in a set."""
    held: dict[int, int] = {}
    for file in look.inputs[step]:
        for pod in set(look.where[file]):
            held[pod] = held.get(pod, 0) + look.size[file]
    return held


#: By place_sim's name: ours in its place.
SHARED: dict[str, Factory] = {
    "random": _Drawn,
    "rr": RoundRobin,
    "least": _LongestIdle,
    "maxlocal": _Nearest,
    "dask": _Dask,
    "est_all": EarliestFinish,
}


def run(quick: bool, repeats: int, folder: str, progress: Progress) -> Iterator[Row]:
    """A row for each recipe, speed and strategy: makespan over its bound, and bytes. Raises CannotMeasure without WfCommons."""
    printed: dict[str, Any] = msgspec.json.decode(_PRINTED.read_bytes())
    config = Config(pods=printed["pods"], slots=printed["slots"], held=True, driver="counting")
    rows = [row for row in printed["rows"] if row["policy"] in SHARED and (not quick or row["recipe"] in ("Montage", "Bwa"))]
    worst = dict.fromkeys(("makespan", "bytes"), 0.0)
    recipe, workload = "", None
    for said in rows:
        if workload is None or said["recipe"] != recipe:
            recipe = said["recipe"]
            progress(f"rivals: {recipe}")
            try:
                workload = by_name(f"{recipe}:{printed['tasks']}:{printed['seed']}")
            except ImportError as error:
                raise CannotMeasure(str(error)) from None
        speed = said["bytes_per_second"]
        found = simulate(workload, SHARED[said["policy"]](0), msgspec.structs.replace(config, bandwidth=speed))
        pairs = {
            "makespan": (found.makespan / found.lower_bound, said["mk_over_lb"], "x lower bound", 0.001),
            "bytes": (found.moved_bytes / _GB, said["moved_GB"], "GB", 0.01),
        }
        for measure, (ours, theirs, unit, printed_to) in pairs.items():
            off = max(0.0, abs(ours - theirs) - printed_to / 2) / max(theirs, printed_to)
            worst[measure] = max(worst[measure], off)
            extra = {"strategy": said["policy"], "workload": recipe, "measure": measure, "mbps": round(speed / 1e6), "off": off}
            name = f"{recipe}, {speed / 1e6:.0f} MB/s: {measure}, {said['policy']}"
            yield Row("rivals", name, unit, [ours], "place_sim", [theirs], extra=extra)
    for measure, off in worst.items():
        name = f"largest difference to the printed {measure}, beyond rounding"
        yield Row("rivals", name, "part", [off], better="less", aim=NEAR, extra={"measure": measure, "worst": True})


BENCHMARK = Benchmark(
    name="rivals",
    question="do the simulated rivals do what an independent simulation of them does?",
    peers="the printed figures of the prototype place_sim.py, seed 1",
    unit="makespan over its lower bound; bytes",
    noise="none: simulated time, seeded",
    quick="2 recipes",
    full="9 recipes x 1,000 tasks x {10, 100} MB/s x 6 strategies",
    run=run,
    packages=("wfcommons", "numpy"),
)
