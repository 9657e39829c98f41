"""Which strategy moves fewest bytes, and which ends first: all of them simulated on the same workloads.

Knows no event: one simulation is ``simulate``'s. Here is what is simulated, and how instances are summed up.
"""

import math
import os
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import msgspec

from benchmarks.compare import FLOOR, geometric_mean
from benchmarks.simulate import Config, Outcome, simulate
from benchmarks.suite import Benchmark, CannotMeasure, Progress, Row
from benchmarks.workloads import RECIPES, by_name
from cpods.scheduler.placement import STRATEGIES

OURS, PEER, LEAST = "locality", "earliest-finish", "least-loaded"
#: Only these are simulated where there is much to simulate: ours, and the rivals that ever were the best.
_STRONGEST = (OURS, PEER, LEAST, "dask-like")
_SEEDS = (1, 2, 3, 4, 5)
_SPEEDS = (100, 10)
_SIZES = (1000, 10000)
_QUICK = ("Blast", "Montage", "Cycles")
_LN2 = math.log(2.0)


class Setting(NamedTuple):
    """A federation, and what goes wrong in it; '' is the plain one. ``aims``: what ours is to reach, see ``_AIMS``."""

    name: str
    config: Config
    aims: Mapping[str, float] = {}
    speeds: Sequence[int] = _SPEEDS


_PLAIN = Setting(
    "",
    Config(),
    {"total": 0.35, "mean": 0.15, "makespan": 1.0, "makespan worst": 1.05, "least makespan worst": 1.06, "least bytes worst": 1.0},
)
_SETTINGS = (
    _PLAIN,
    Setting("wrong estimates", Config(sigma=_LN2), {"total": 0.35, "makespan": 1.0, "least makespan worst": 1.1}),
    Setting("all inputs on one pod", Config(origin="one"), {"total": 1.0, "least makespan worst": 1.1}),
    Setting("all inputs on one pod, shared egress", Config(origin="one", egress=True)),
    Setting("shared egress", Config(egress=True)),
    Setting("three deaths", Config(deaths=3)),
    Setting("stragglers", Config(stragglers=0.03)),
    Setting("64 pods x 1 slot", Config(pods=64, slots=1)),
    Setting("1 MB/s", Config(), speeds=(1,)),
)
#: Workloads of other kinds, each simulated once a seed that it has.
_OTHERS = ("books:40", "curl", "jansson", "program", "stress:1", "stress:2", "dask-dag:1", "shared-database:1000:1")


class _Task(NamedTuple):
    workload: str
    mbps: int
    strategies: tuple[str, ...]
    config: Config


class Instance(NamedTuple):
    """One workload at one speed: what each strategy made of it."""

    workload: str
    mbps: int
    outcomes: Mapping[str, Outcome]

    def bytes_ratio(self, ours: str, theirs: str) -> float:
        """Of moved bytes, each at least FLOOR of all that steps read."""
        one, two = self.outcomes[ours], self.outcomes[theirs]
        least = FLOOR * one.edge_bytes or 1.0
        return max(one.moved_bytes, least) / max(two.moved_bytes, least)

    def makespan_ratio(self, ours: str, theirs: str) -> float:
        """Of makespans."""
        return self.outcomes[ours].makespan / self.outcomes[theirs].makespan

    def best_rival(self) -> str:
        """The strategy other than ours that ends first; of equals, the one that moves least."""
        rivals = {name: found for name, found in self.outcomes.items() if name != OURS}
        return min(rivals, key=lambda name: (rivals[name].makespan, rivals[name].moved_bytes, name))


def run(quick: bool, repeats: int, folder: str, progress: Progress) -> Iterator[Row]:
    """Rows of all settings. ``repeats``: seeds. Raises CannotMeasure without WfCommons."""
    seeds = _SEEDS[: repeats or (1 if quick else len(_SEEDS))]
    small, large = (
        [f"{recipe.name}:{tasks}:{seed}" for recipe in RECIPES for seed in seeds if recipe.name in _QUICK or not quick] for tasks in _SIZES
    )
    with ProcessPoolExecutor(os.cpu_count() or 1) as pool:
        for setting in _SETTINGS[: 1 if quick else None]:
            strategies = list(STRATEGIES) if setting is _PLAIN else _STRONGEST
            instances = _simulated(pool, setting, small, strategies, progress)
            yield from _by_recipe(setting, instances, _SIZES[0])
            yield from summary(setting, instances, f"{_SIZES[0]:,} tasks")
            if setting is _PLAIN and not quick:
                more = _simulated(pool, setting, large, _STRONGEST, progress)
                yield from _by_recipe(setting, more, _SIZES[1])
                yield from summary(setting, more, f"{_SIZES[1]:,} tasks")
                yield from summary(setting, [*instances, *more], f"{_SIZES[0]:,} and {_SIZES[1]:,} tasks")
        for instance in _simulated(pool, _PLAIN, _OTHERS[: 2 if quick else None], list(STRATEGIES), progress):
            yield from _rows(_PLAIN, instance.workload, [instance], instance.outcomes[OURS].steps)


def _simulated(
    pool: ProcessPoolExecutor, setting: Setting, workloads: Sequence[str], strategies: Sequence[str], progress: Progress
) -> list[Instance]:
    """Each workload at each speed under each strategy. What is simulated does not depend on who else computes."""
    instances = [(workload, mbps) for workload in workloads for mbps in setting.speeds]
    progress(f"simulate {setting.name or 'plain'}: {len(instances)} instances x {len(strategies)} strategies")
    tasks = [_Task(workload, mbps, tuple(strategies), setting.config) for workload, mbps in instances]
    try:
        found = list(pool.map(_simulate, tasks))
    except ImportError as error:
        raise CannotMeasure(str(error)) from None
    return [Instance(workload, mbps, outcomes) for (workload, mbps), outcomes in zip(instances, found, strict=True)]


def _simulate(task: _Task) -> dict[str, Outcome]:
    workload = by_name(task.workload)
    seed = int(task.workload.rpartition(":")[2]) if task.workload[-1].isdigit() else 1
    config = msgspec.structs.replace(task.config, bandwidth=task.mbps * 1e6, seed=seed)
    return {strategy: simulate(workload, strategy, config) for strategy in task.strategies}


def _by_recipe(setting: Setting, instances: Sequence[Instance], tasks: int) -> Iterator[Row]:
    kinds = dict.fromkeys((instance.workload.partition(":")[0], instance.mbps) for instance in instances)
    for kind, mbps in kinds:
        yield from _rows(setting, kind, [one for one in instances if one.workload.startswith(f"{kind}:") and one.mbps == mbps], tasks)


def _rows(setting: Setting, kind: str, instances: Sequence[Instance], tasks: int) -> Iterator[Row]:
    """Bytes and makespan of each strategy beside earliest-finish's, by seed."""
    mbps = instances[0].mbps
    where = f"{kind} {tasks}, {mbps} MB/s" + (f", {setting.name}" if setting.name else "")
    for strategy in instances[0].outcomes:
        mine = [instance.outcomes[strategy] for instance in instances]
        theirs = [instance.outcomes[PEER] for instance in instances]
        extra = {"strategy": strategy, "workload": kind, "tasks": tasks, "mbps": mbps, "setting": setting.name}
        extra |= {
            "edge_bytes": statistics.median(one.edge_bytes for one in mine),
            "lower_bound": statistics.median(one.lower_bound for one in mine),
        }
        yield Row(
            "simulate",
            f"{where}: bytes, {strategy}",
            "bytes",
            [float(one.moved_bytes) for one in mine],
            PEER,
            [float(one.moved_bytes) for one in theirs],
            "less",
            extra={**extra, "measure": "bytes"},
        )
        yield Row(
            "simulate",
            f"{where}: makespan, {strategy}",
            "s",
            [one.makespan for one in mine],
            PEER,
            [one.makespan for one in theirs],
            "less",
            extra={**extra, "measure": "makespan"},
        )


def summary(setting: Setting, instances: Sequence[Instance], what: str) -> Iterator[Row]:
    """Ours beside rivals over all instances: totals by speed, geometric means, worst instances."""
    name = f"all recipes, {what}" + (f", {setting.name}" if setting.name else "")

    def row(text: str, values: Iterable[float], aim: str, measure: str) -> Row:
        return Row(
            "simulate",
            f"{name}: {text}",
            "ratio",
            list(values),
            better="less",
            aim=setting.aims.get(aim),
            extra={"summary": measure, "setting": setting.name, "what": what},
        )

    for mbps in dict.fromkeys(instance.mbps for instance in instances):
        of_speed = [instance for instance in instances if instance.mbps == mbps]
        total = sum(one.outcomes[OURS].moved_bytes for one in of_speed) / sum(one.outcomes[PEER].moved_bytes for one in of_speed)
        yield row(f"total bytes to {PEER}'s, {mbps} MB/s", [total], "total", "bytes total")
    yield row(
        f"bytes to {PEER}'s, geometric mean", [geometric_mean([one.bytes_ratio(OURS, PEER) for one in instances])], "mean", "bytes mean"
    )
    yield row(f"bytes to {PEER}'s, worst", [max(one.bytes_ratio(OURS, PEER) for one in instances)], "bytes worst", "bytes worst")
    yield row(
        f"makespan to {PEER}'s, geometric mean",
        [geometric_mean([one.makespan_ratio(OURS, PEER) for one in instances])],
        "makespan",
        "makespan mean",
    )
    yield row(
        f"makespan to {PEER}'s, worst", [max(one.makespan_ratio(OURS, PEER) for one in instances)], "makespan worst", "makespan worst"
    )
    yield row(
        f"makespan to {LEAST}'s, worst",
        [max(one.makespan_ratio(OURS, LEAST) for one in instances)],
        "least makespan worst",
        "least makespan worst",
    )
    yield row(
        f"bytes to {LEAST}'s, worst", [max(one.bytes_ratio(OURS, LEAST) for one in instances)], "least bytes worst", "least bytes worst"
    )
    best = [one.makespan_ratio(OURS, one.best_rival()) for one in instances]
    yield row("makespan to the best rival's of each instance, geometric mean", [geometric_mean(best)], "", "best mean")
    yield row("makespan to the best rival's of each instance, worst", [max(best)], "", "best worst")


BENCHMARK = Benchmark(
    name="simulate",
    question="which placement strategy moves the fewest bytes, and which ends first?",
    peers="the other strategies, above all earliest-finish and least-loaded",
    unit="bytes; simulated seconds; ratios",
    noise="none: simulated time; what is drawn comes from seeds, and a row's values are those of the seeds",
    quick="3 recipes x 1,000 tasks, 1 seed, 2 other workloads",
    full="9 recipes x {1,000, 10,000} tasks x {10, 100} MB/s x 5 seeds, nine settings, 8 other workloads",
    run=run,
    packages=("wfcommons", "numpy"),
)
