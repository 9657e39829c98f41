"""Real runs of the placement strategies: four pods as processes, a real broker, real SFTP, links with a speed; beside dask.distributed.

Knows which graphs and strategies are compared, in which order, and what must be true of a run; how one is made is ``realruns``'.
"""

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from benchmarks.placementrows import DASK, LEAST_LOADED, Case, rows
from benchmarks.realfederation import Setup
from benchmarks.realgraph import real_form, scaled
from benchmarks.realplaces import PODS, speed_of_links
from benchmarks.realproject import Example, GraphProject, compile_program
from benchmarks.realruns import Run, run_alone, run_cpods, run_dask
from benchmarks.simmodel import Config
from benchmarks.suite import Benchmark, CannotMeasure, Progress, Row
from benchmarks.workloads import CHOICES, by_name
from cpods.scheduler.placement import DEFAULT_STRATEGY, STRATEGIES

#: Servers and receivers must agree about the bytes up to this part: packs have headers, and a transfer may be asked for again.
_COUNT_TOLERANCE = 0.02
#: Links of a hundred megabits a second: two cores can keep four of them busy.
_BYTES_PER_SECOND = 12.5e6
#: Where links are not shaped, the simulator is told this.
_UNSHAPED = 200e6
#: Where files lie, if there is room: the pods of this machine share one disk, those of a federation do not.
_MEMORY, _ROOM_BYTES = "/dev/shm", 6 << 30


class Plan(msgspec.Struct, frozen=True):
    """What is compared. ``workloads``: (name, factor of bytes, factor of seconds, rounds, rounds of the other strategies)."""

    workloads: Sequence[tuple[str, float, float, int, int]]
    examples: Sequence[tuple[str, int]] = ()
    slots: int = 1
    bytes_per_second: float = _BYTES_PER_SECOND
    loopback: bool = False
    folder: str = ""
    strategies: Sequence[str] = ()
    dask: bool = True

    @property
    def rivals(self) -> tuple[str, ...]:
        """Those that every round has."""
        return (DEFAULT_STRATEGY, LEAST_LOADED, DASK) if self.dask else (DEFAULT_STRATEGY, LEAST_LOADED)

    @property
    def config(self) -> Config:
        """The same federation for the simulator; a holder's link is taken as well, as it really is."""
        return Config(pods=len(PODS), slots=self.slots, bandwidth=self.bytes_per_second or _UNSHAPED, egress=True)


QUICK = Plan((("dask-dag:1", 1.0, 1.0, 1, 0),))
FULL = Plan(
    (
        ("dask-dag:1", 1.0, 1.0, 9, 3),
        ("Montage:250:1", 1e-2, 1e-3, 3, 0),
        ("Epigenomics:250:1", 1e-2, 1e-3, 3, 0),
        ("Genome:250:1", 1e-3, 1e-3, 3, 0),
    ),
    (("program", 3), ("book", 3)),
)


def run(quick: bool, repeats: int, folder: str, progress: Progress) -> Iterator[Row]:
    """See :class:`benchmarks.suite.Runner`. ``repeats``: rounds of every case."""
    plan = msgspec.structs.replace(QUICK if quick else FULL, folder=folder)
    return measure(plan, repeats, progress)


def measure(plan: Plan, repeats: int, progress: Progress) -> Iterator[Row]:
    """Rows of each case in turn. Raises CannotMeasure."""
    if plan.dask and importlib.util.find_spec("distributed") is None:
        raise CannotMeasure("dask.distributed is not installed: `pip install -e '.[benchmarks]'` brings it")
    with terminable(), tempfile.TemporaryDirectory(prefix="cpods-placement-", dir=plan.folder or _room()) as folder:
        speed = speed_of_links(os.path.join(folder, "trial"), plan.bytes_per_second, progress, plan.loopback)
        plan = msgspec.structs.replace(plan, bytes_per_second=speed)
        setup = Setup(folder, compile_program(os.path.join(folder, "tools")), plan.slots, speed, plan.loopback, progress)
        for case in cases(plan):
            rounds, others = (repeats, repeats if case.others else 0) if repeats else (case.rounds, case.others)
            yield from rows(case, plan.config, rounds_of(case, plan, setup, (rounds, others), progress))


def cases(plan: Plan) -> Iterator[Case]:
    """Made one by one: some recipes take seconds to generate. Raises CannotMeasure."""
    for name, bytes_factor, seconds_factor, rounds, others in plan.workloads:
        try:
            graph = real_form(scaled(by_name(name), bytes_factor, seconds_factor))
        except (ImportError, ValueError) as error:
            raise CannotMeasure(f"workload {name} cannot be made: {error}") from error
        yield Case(os.path.basename(name.partition(":")[0]).removesuffix(".json"), graph, GraphProject(graph), rounds, others)
    for name, rounds in plan.examples:
        yield Case(name, None, Example(name), rounds)


def rounds_of(case: Case, plan: Plan, setup: Setup, counts: tuple[int, int], progress: Progress) -> Mapping[str, list[Run]]:
    """The runs of each participant, by round; every round has each once, in an order that is turned round from one to the next.

    Raises CannotMeasure if a build made other bytes than one machine does, or if those who send and those who receive disagree
    about how many bytes have moved.
    """
    rounds, others = counts
    progress(f"{case.name}: on this machine alone")
    alone = run_alone(setup, case.project, case.builds)
    rivals = [name for name in plan.rivals if name != DASK or case.graph is not None]
    rest = [name for name in plan.strategies or STRATEGIES if name not in rivals]
    found: dict[str, list[Run]] = {}
    for number in range(max(rounds, others)):
        names = [*(rivals if number < rounds else ()), *(rest if number < others else ())]
        for name in names if number % 2 else reversed(names):
            progress(f"{case.name}, round {number + 1} of {rounds}: {name}")
            if name == DASK:
                assert case.graph is not None
                ran = run_dask(setup, case.graph, case.builds)
            else:
                ran = run_cpods(setup, case.project, name, case.builds)
                check(f"{case.name}, {name}", ran, alone)
            found.setdefault(name, []).append(ran)
            for build in ran.builds:
                progress(f"    {build.moved_bytes / 1e6:,.1f} MB moved in {build.seconds:.1f} s")
    return found


def check(what: str, ran: Run, alone: Sequence[Mapping[str, str]]) -> None:
    """Raises CannotMeasure if a run cannot be believed."""
    for build, expected in zip(ran.builds, alone, strict=True):
        different = sorted(path for path, digest in expected.items() if build.digests.get(path) != digest)
        if different:
            raise CannotMeasure(f"{what}: {len(different)} files came out otherwise than on one machine, such as {different[0]}")
    received = sum(build.moved_bytes + build.brought_bytes for build in ran.builds)
    if abs(ran.served_bytes - received) > _COUNT_TOLERANCE * received + (64 << 10):
        raise CannotMeasure(f"{what}: the pods' servers count {ran.served_bytes:,} bytes sent, those who asked for them {received:,}")


# -- where, and the end --------------------------------------------------------------------------------------------------


def _room() -> str | None:
    with suppress(OSError):
        free = os.statvfs(_MEMORY)
        if free.f_bavail * free.f_frsize >= _ROOM_BYTES:
            return _MEMORY
    return None


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM is like Ctrl-C while the block runs: what was started is ended, and the namespaces are removed."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before: Callable[..., Any] | int | None = None
    with suppress(ValueError):  # not in the main thread: whoever runs it there sees to its end
        before = signal.signal(signal.SIGTERM, interrupted)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


BENCHMARK = Benchmark(
    name="placement",
    question="how many bytes and how much time does each placement strategy take on four real pods, and is it as simulated?",
    peers="dask.distributed on the identical graph and links; least-loaded; the simulator",
    unit="bytes moved between pods, seconds from the first step to the end of the last, part of all bytes that steps read",
    noise=(
        "five machines on one: two cores carry all pods, so time is coarse; bytes hang on when steps end, a few per cent. Rounds are "
        "interleaved, each with a fresh federation; files lie in memory; links are shaped in network namespaces (root)"
    ),
    quick="one build-like graph, locality, least-loaded and Dask, 1 round: 3 min",
    full="that graph with all strategies, three WfCommons recipes, a C program, a book: 1.5 h",
    run=run,
)


def main(arguments: Sequence[str]) -> int:
    """Real runs of workloads of one's own choice; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.placement", description="Real runs on four pods, of any workload.")
    parser.add_argument("workloads", nargs="+", metavar="WORKLOAD", help=CHOICES)
    parser.add_argument("--bytes", type=float, default=1.0, metavar="FACTOR", help="of all sizes")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="FACTOR", help="of all runtimes")
    parser.add_argument("--rounds", type=int, default=1, metavar="N")
    parser.add_argument("--strategies", default="", metavar="NAME,NAME", help="beside locality and least-loaded")
    parser.add_argument("--slots", type=int, default=1, metavar="N", help="of each pod")
    parser.add_argument("--rate", type=float, default=_BYTES_PER_SECOND, metavar="BYTES", help="a second on each link; 0: unshaped")
    parser.add_argument("--loopback", action="store_true", help="no namespaces, no shaped links: needs no root")
    parser.add_argument("--no-dask", action="store_true")
    parser.add_argument("--folder", default="", help="where all files are made (default: /dev/shm if there is room)")
    said = parser.parse_args(arguments)
    strategies = tuple(filter(None, said.strategies.split(",")))
    rounds = (said.rounds, said.rounds if strategies else 0)
    plan = Plan(
        [(name, said.bytes, said.seconds, *rounds) for name in said.workloads],
        slots=said.slots,
        bytes_per_second=said.rate,
        loopback=said.loopback,
        folder=said.folder,
        strategies=strategies,
        dask=not said.no_dask,
    )
    try:
        for row in measure(plan, 0, lambda text: print(text, file=sys.stderr, flush=True)):
            print(_line(row), flush=True)
    except CannotMeasure as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _line(row: Row) -> str:
    values = " ".join(f"{value:,.3f}" if row.unit != "bytes" else f"{value:,.0f}" for value in row.values)
    said = row.extra.get("predicted_to_real")
    return f"{row.row}: {values} {row.unit}" + (f"; predicted / real {said:.3f}" if said else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
