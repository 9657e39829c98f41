"""Two series of results side by side, or two placement strategies: what differs, and whether that is more than noise.

Knows no benchmark but, for strategies, the simulator.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from rich import box
from rich.table import Table

from benchmarks import results
from benchmarks.results import Record
from benchmarks.suite import CannotMeasure, Progress
from benchmarks.tables import figure, span

if TYPE_CHECKING:
    from benchmarks.workload import Workload

#: What two strategies are simulated on if nothing else is asked for.
_TASKS = 1000
_SPEEDS_MBPS = (100, 10)
#: A strategy that moves nothing would make every ratio 0 or infinite: bytes count as at least this part of all that steps read.
FLOOR = 0.001


class Difference(NamedTuple):
    """A row in both. ``a``, ``b``: what is compared, round by round: ratios to the peer where both have the same, else figures."""

    a: list[float]
    b: list[float]
    relative: bool
    record: Record

    @property
    def ratio(self) -> float:
        """Of the medians, B to A; nan if A's is 0."""
        before, after = median(self.a), median(self.b)
        return after / before if before else math.nan

    @property
    def verdict(self) -> str:
        """See :func:`verdict`, with who is better."""
        found = verdict(self.a, self.b)
        if found == SAME or not self.record.better or median(self.a) == median(self.b):
            return found
        better = (median(self.b) < median(self.a)) == (self.record.better == "less")
        return f"{found}: B is {'better' if better else 'worse'}"


SAME, PERHAPS, DIFFERENT = "within noise", "perhaps", "beyond noise"


def verdict(a: Sequence[float], b: Sequence[float]) -> str:
    """Whether two series differ by more than they spread.

    "beyond noise": no figure of one lies between figures of the other; "perhaps": they overlap, but each median lies outside the
    other's figures; else "within noise".
    """
    if max(a) < min(b) or max(b) < min(a):
        return DIFFERENT
    if not min(a) <= median(b) <= max(a) and not min(b) <= median(a) <= max(b):
        return PERHAPS
    return SAME


def compared(a: str, b: str, workloads: Sequence[str], progress: Progress) -> Table:
    """A and B are two results files or folders, two commits, or two strategies. Raises CannotMeasure, BadResults."""
    if a in _strategies() and b in _strategies():
        return _strategies_table(a, b, workloads, progress)
    return differences_table(differences(_records(a), _records(b)), a, b)


def differences(a: Iterable[Record], b: Iterable[Record]) -> list[Difference]:
    """The newest records of the same row and peer, quick ones and full ones apart. Raises CannotMeasure if they share no row."""
    before = {(*record.key, record.stamp.quick): record for record in results.newest(a)}
    found = []
    for record in results.newest(b):
        other = before.get((*record.key, record.stamp.quick))
        if other is not None:
            found.append(_difference(other, record))
    if not found:
        raise CannotMeasure("A and B have no row in common: run the same benchmarks, both --quick or both in full, for both")
    return found


def _difference(a: Record, b: Record) -> Difference:
    """Beside a peer it is the ratio within each round that is compared: the machine may have changed between A and B."""
    if a.peer and all(a.peer_values) and all(b.peer_values):
        ours, theirs = ([x / y for x, y in zip(one.values, one.peer_values, strict=True)] for one in (a, b))
        return Difference(ours, theirs, True, b)
    return Difference(a.values, b.values, False, b)


def differences_table(found: Sequence[Difference], a: str, b: str) -> Table:
    """A row each: minimum / median / maximum of both."""
    table = Table("benchmark", "row", "unit", f"A: {a}", f"B: {b}", "B to A", "difference", box=box.SIMPLE, pad_edge=False)
    for one in found:
        unit = f"ratio to {one.record.peer}" if one.relative else one.record.unit
        ratio = "" if math.isnan(one.ratio) else f"{one.ratio:.3g}"
        table.add_row(one.record.benchmark, one.record.row, unit, span(one.a, unit), span(one.b, unit), ratio, one.verdict)
    return table


def _records(name: str) -> list[Record]:
    """Of a file, a folder, or a commit that results were measured at."""
    path = Path(name)
    if path.exists():
        return results.read(path)
    everything = [*results.read(results.KEPT), *results.read(results.QUICK)]
    wanted = name.removesuffix("-dirty")
    found = [
        one for one in everything if one.stamp.commit.startswith(wanted) and one.stamp.commit.endswith("-dirty") >= name.endswith("-dirty")
    ]
    if not found:
        known = ", ".join(sorted({one.stamp.commit for one in everything})) or "none"
        raise CannotMeasure(
            f"{name} is no results file, no strategy ({', '.join(_strategies())}) and no commit with results (there are: {known})"
        )
    return found


# -- strategies --------------------------------------------------------------------------------------------------------


def _strategies() -> Sequence[str]:
    from cpods.scheduler.placement import STRATEGIES

    return list(STRATEGIES)


class _Simulated(NamedTuple):
    workload: str
    mbps: int
    makespans: tuple[float, float]
    bytes: tuple[int, int]
    edge_bytes: int


def _strategies_table(a: str, b: str, workloads: Sequence[str], progress: Progress) -> Table:
    table = Table(
        "workload", "link", f"makespan, s: {a}", b, "B to A", f"bytes moved: {a}", b, "B to A", box=box.SIMPLE, pad_edge=False, title=_MODEL
    )
    found = []
    for workload in workloads or _usual_workloads():
        for mbps in _SPEEDS_MBPS:
            progress(f"{workload}, {mbps} MB/s")
            one = _simulated(workload, mbps, a, b)
            found.append(one)
            time, moved = one.makespans, one.bytes
            ratios = (f"{time[1] / time[0]:.3f}", f"{_bytes_ratio(one):.3f}")
            times, sizes = (f"{time[0]:,.1f}", f"{time[1]:,.1f}"), (figure(moved[0], "bytes"), figure(moved[1], "bytes"))
            table.add_row(workload, f"{mbps} MB/s", *times, ratios[0], *sizes, ratios[1])
    for mbps in _SPEEDS_MBPS:
        some = [one for one in found if one.mbps == mbps]
        makespan = geometric_mean([one.makespans[1] / one.makespans[0] for one in some])
        mean = geometric_mean([_bytes_ratio(one) for one in some])
        total = sum(one.bytes[1] for one in some) / max(1, sum(one.bytes[0] for one in some))
        table.add_row("geometric mean", f"{mbps} MB/s", "", "", f"{makespan:.3f}", "", f"total: {total:.3f}", f"{mean:.3f}")
    return table


_MODEL = "Simulated: 16 pods x 4 slots, external inputs spread by hash, seed 1"


def _bytes_ratio(one: _Simulated) -> float:
    least = FLOOR * one.edge_bytes
    return max(one.bytes[1], least) / max(one.bytes[0], least) if least else 1.0


def _simulated(name: str, mbps: int, a: str, b: str) -> _Simulated:
    from benchmarks.simulate import Config, simulate

    workload = _workload(name)
    first, second = (simulate(workload, strategy, Config(bandwidth=mbps * 1e6)) for strategy in (a, b))
    return _Simulated(name, mbps, (first.makespan, second.makespan), (first.moved_bytes, second.moved_bytes), first.edge_bytes)


def _usual_workloads() -> list[str]:
    from benchmarks.workloads import RECIPES

    return [f"{recipe.name}:{_TASKS}:1" for recipe in RECIPES]


def _workload(name: str) -> "Workload":
    from benchmarks.workloads import by_name

    try:
        return by_name(name)
    except (ValueError, OSError, ImportError) as error:
        raise CannotMeasure(str(error)) from None


def geometric_mean(ratios: Sequence[float]) -> float:
    """Of positive figures; nan if there are none."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan
