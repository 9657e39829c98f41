"""A discrete-event simulation of a federation's build: pods with slots and links, and the scheduler's own code deciding.

Knows no real pod and no clock. What is ready is said by ``cpods.scheduler.core`` (or, for a million steps, by counting), where
it goes by ``cpods.scheduler.placement`` and ``allotment``; the rest is the world that they are shown: how long steps really
take, when bytes really arrive, which pods die. Everything drawn comes from the seed.

The model. A pod pulls what a step lacks over its own link, one file after the other, as soon as the step is sent to it, and
keeps the copies. It starts the first step sent whose inputs are in, on a free slot. With ``egress`` a file also takes its
holder's link for as long. Files that no step makes lie on pods from the beginning (``origin``).

``python -m benchmarks.simulate WORKLOAD`` runs it for strategies side by side.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import get_args

from benchmarks.simmodel import Config, Deadlock, Outcome
from benchmarks.simworld import World
from benchmarks.workload import Workload, lower_bound
from benchmarks.workloads import CHOICES, by_name
from cpods.scheduler.placement import STRATEGIES, Strategy

__all__ = ["Config", "Deadlock", "Outcome", "lower_bound", "main", "simulate"]


def simulate(
    workload: Workload,
    strategy: str | Strategy,
    config: Config | None = None,
    keep: Callable[[bytes], None] | None = None,
) -> Outcome:
    """Runs a workload to its end. ``keep``: takes the decision log, as lines. Raises KeyError for an unknown strategy, Deadlock."""
    return World(workload, STRATEGIES[strategy]() if isinstance(strategy, str) else strategy, config or Config(), keep).run()


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    said = _parser().parse_args(arguments)
    try:
        workload = by_name(said.workload)
        strategies = said.strategy or list(STRATEGIES)
        print(f"{workload.name}: {len(workload.runtime)} steps; {said.pods} pods x {said.slots} slots, {said.mbps:g} MB/s a link")
        print(f"{'strategy':16} {'makespan, s':>12} {'/ bound':>8} {'moved, GB':>10} {'of inputs':>10} {'runs':>8} {'us a decision':>14}")
        for strategy in strategies:
            found = simulate(workload, strategy, _config(said))
            print(
                f"{strategy:16} {found.makespan:12.1f} {found.makespan / found.lower_bound:8.3f} {found.moved_bytes / 1e9:10.3f} "
                f"{found.moved_bytes / max(1, found.edge_bytes):10.2%} {found.runs:8} "
                f"{found.decision_seconds / found.decisions * 1e6:14.1f}"
            )
    except (ValueError, OSError, ImportError) as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    usual = Config()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description="Simulates one build under several strategies.")
    parser.add_argument("workload", help=CHOICES.replace("%", "%%"))
    parser.add_argument("--strategy", action="append", choices=list(STRATEGIES), help="default: all")
    parser.add_argument("--pods", type=int, default=usual.pods)
    parser.add_argument("--slots", type=int, default=usual.slots)
    parser.add_argument("--mbps", type=float, default=usual.bandwidth / 1e6, help="megabytes a second of each pod's link")
    parser.add_argument("--latency", type=float, default=usual.latency, help="seconds that each file takes besides")
    parser.add_argument("--speeds", type=float, nargs="+", default=usual.speeds, help="how fast pods run steps, in turn")
    parser.add_argument("--origin", choices=get_args(Config.__annotations__["origin"]), default=usual.origin)
    parser.add_argument("--egress", action="store_true", help="a holder's link is shared by all who pull from it")
    parser.add_argument("--held", action="store_true", help="a slot is held while inputs are awaited")
    parser.add_argument("--sigma", type=float, default=usual.sigma, help="estimates are off by a lognormal factor of this sigma")
    parser.add_argument("--stragglers", type=float, default=usual.stragglers, help="this part of the steps takes four times as long")
    parser.add_argument("--deaths", type=int, default=usual.deaths, help="pods that lose everything during the build")
    parser.add_argument("--seed", type=int, default=usual.seed)
    return parser


def _config(said: argparse.Namespace) -> Config:
    return Config(
        pods=said.pods,
        slots=said.slots,
        bandwidth=said.mbps * 1e6,
        latency=said.latency,
        speeds=tuple(said.speeds),
        origin=said.origin,
        egress=said.egress,
        held=said.held,
        sigma=said.sigma,
        stragglers=said.stragglers,
        deaths=said.deaths,
        seed=said.seed,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
