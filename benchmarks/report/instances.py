"""What strategies did on the same simulated builds: ratios of one to another, build by build, and their means.

Knows the ``simulate`` rows of the suite, and no text.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.compare import FLOOR, geometric_mean
from benchmarks.results import Record

BYTES, MAKESPAN = "bytes", "makespan"
BASE = "earliest-finish"
DEFAULT = "locality"
LEAST_LOADED = "least-loaded"
#: In which tables and plots show them; others come behind.
_ORDER = (DEFAULT, BASE, LEAST_LOADED, "dask-like", "max-locality", "round-robin", "random")


class Case(NamedTuple):
    """One kind of build: the seeds are its instances. ``setting`` '': nothing goes wrong."""

    setting: str
    workload: str
    tasks: int
    mbps: float


class Ratios(NamedTuple):
    """One strategy to another over many instances. ``total``: of the sums; ``mean``: geometric, of the instances; ``worst``: highest."""

    mean: float
    worst: float
    total: float


class Instances:
    """Figures by case, strategy and measure: one for each seed."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._figures: dict[tuple[Case, str, str], Sequence[float]] = {}
        self._edge_bytes: dict[Case, float] = {}
        self.cases: list[Case] = []
        self.strategies: list[str] = []
        for record in records:
            extra = record.extra
            if not {"workload", "tasks", "mbps", "strategy", "measure"} <= extra.keys():
                continue  # a summary of several builds
            case = Case(extra.get("setting", ""), extra["workload"], int(extra["tasks"]), float(extra["mbps"]))
            self._add(case, extra["strategy"], extra["measure"], record.values)
            if record.peer == BASE:
                self._add(case, BASE, extra["measure"], record.peer_values)
            self._edge_bytes[case] = float(extra.get("edge_bytes", 0))
        self.strategies.sort(key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))

    def _add(self, case: Case, strategy: str, measure: str, values: Sequence[float]) -> None:
        self._figures[case, strategy, measure] = values
        if case not in self.cases:
            self.cases.append(case)
        if strategy not in self.strategies:
            self.strategies.append(strategy)

    def has(self, case: Case, strategy: str) -> bool:
        """Whether a strategy was simulated on the case."""
        return all((case, strategy, measure) in self._figures for measure in (BYTES, MAKESPAN))

    def middle(self, case: Case, strategy: str, measure: str) -> float:
        """The median over the seeds."""
        return median(self._figures[case, strategy, measure])

    def edge_bytes(self, case: Case) -> float:
        """What all steps read, together."""
        return self._edge_bytes[case]

    def plain(self, tasks: int, mbps: float) -> list[Case]:
        """The cases of one size and speed in which nothing goes wrong."""
        return [case for case in self.cases if case.setting == "" and (case.tasks, case.mbps) == (tasks, mbps)]

    def sizes(self) -> list[tuple[int, float]]:
        """(tasks, MB/s) that most workloads were simulated with, nothing going wrong: smallest first; fastest link first."""
        count = Counter((case.tasks, case.mbps) for case in self.cases if case.setting == "")
        many = [size for size, workloads in count.items() if 2 * workloads > max(count.values())]
        return sorted(many, key=lambda size: (size[0], -size[1]))

    def others(self, mbps: float) -> list[Case]:
        """The plain cases at that speed whose size only few workloads have: kinds of their own, such as real projects."""
        return [case for case in self.cases if case.setting == "" and case.mbps == mbps and (case.tasks, mbps) not in self.sizes()]

    def pairs(self, cases: Iterable[Case], strategy: str, other: str, measure: str) -> list[tuple[float, float]]:
        """(figure of ``strategy``, of ``other``) of every instance that both have. Bytes are at least 0.1% of what is read."""
        found = []
        for case in cases:
            if self.has(case, strategy) and self.has(case, other):
                least = FLOOR * self._edge_bytes[case] if measure == BYTES else 0.0
                ours, theirs = self._figures[case, strategy, measure], self._figures[case, other, measure]
                found += [(max(a, least), max(b, least)) for a, b in zip(ours, theirs, strict=False)]
        return [(a, b) for a, b in found if a > 0 and b > 0]

    def ratios(self, cases: Iterable[Case], strategy: str, other: str, measure: str) -> Ratios | None:
        """None if there is no instance that both have."""
        pairs = self.pairs(cases, strategy, other, measure)
        if not pairs:
            return None
        single = [a / b for a, b in pairs]
        return Ratios(geometric_mean(single), max(single), sum(a for a, _ in pairs) / sum(b for _, b in pairs))

    def fastest(self, case: Case, within: float = 1.005) -> list[str]:
        """The strategies whose median makespan is the least, or so near to it that nobody would notice; fastest first."""
        have = {name: self.middle(case, name, MAKESPAN) for name in self.strategies if self.has(case, name)}
        return [name for name in sorted(have, key=lambda name: have[name]) if have[name] <= within * min(have.values())]

    def thriftiest(self, case: Case, within: float = 1.05) -> str:
        """Of the strategies that are nearly as fast as the fastest: the one that moves the fewest bytes."""
        return min(self.fastest(case, within), key=lambda name: self.middle(case, name, BYTES))
