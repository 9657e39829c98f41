"""What a row of the real runs holds: bytes and seconds of each participant beside its rival's, and what the simulator says.

Knows no federation: it is given what has run.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from benchmarks.realpredicted import Predicted, predicted
from benchmarks.realproject import Project
from benchmarks.realruns import Outcome, Run
from benchmarks.simmodel import Config
from benchmarks.suite import Row
from benchmarks.workload import Workload, edge_bytes
from cpods.scheduler.placement import DEFAULT_STRATEGY, STRATEGIES

DASK = "dask"
LEAST_LOADED = "least-loaded"
#: What is asked of the default strategy: its bytes to Dask's and to all bytes read, its time to that of least-loaded.
BYTES_AIM, EDGE_AIM, SECONDS_AIM = 0.9, 0.30, 1.0
#: So far may the simulator be off, as a part of the bytes that really moved.
PREDICTION_AIM = 0.10
#: This part of all bytes read is as good as nothing.
NOTHING = 0.001


class Case(msgspec.Struct, frozen=True):
    """One graph, as everybody runs it, or one project. ``rounds``: of the default strategy and its two rivals, and of the others."""

    name: str
    graph: Workload | None
    project: Project
    rounds: int
    others: int = 0

    @property
    def builds(self) -> int:
        """A graph is built twice, the second time with what was learnt; an example once."""
        return 2 if self.graph is not None else 1


def rows(case: Case, config: Config, found: Mapping[str, list[Run]]) -> Iterator[Row]:
    """Bytes and seconds of each participant, first build and (of graphs) the one with what was learnt."""
    for number in range(case.builds):
        workload = case.name if not number else f"{case.name}, built before"
        outcomes = {name: [ran.builds[number] for ran in runs] for name, runs in found.items()}
        for name in outcomes:
            yield from _rows(case, workload, name, outcomes, _said(case, name, config, number, outcomes[name]))


def _said(case: Case, name: str, config: Config, number: int, outcomes: Sequence[Outcome]) -> Predicted | None:
    """The simulator's figures, None for who is not simulated. It is told what a step of these runs took besides its runtime."""
    graph = case.graph
    if graph is None or name not in STRATEGIES:
        return None
    steps = len(graph.runtime)
    took = statistics.median(one.busy_seconds for one in outcomes)
    return predicted(graph, name, config, number > 0, max(0.0, took - sum(graph.runtime)) / steps)


def _rows(case: Case, workload: str, name: str, outcomes: Mapping[str, list[Outcome]], said: Predicted | None) -> Iterator[Row]:
    ours = outcomes[name]
    edge = 0 if case.graph is None else edge_bytes(case.graph)
    extra: dict[str, Any] = {"strategy": name, "workload": workload, "edge_bytes": edge}
    moved = [_bytes(case, one) for one in ours]
    peer = _paired(DASK, name, outcomes)
    if any(one.moved_bytes <= NOTHING * edge for one in peer):
        peer = []  # beside as good as nothing a ratio says nothing
    yield Row(
        "placement",
        f"{workload}, {name}: bytes moved",
        "bytes",
        moved,
        DASK if peer else "",
        [_bytes(case, one) for one in peer],
        "less",
        BYTES_AIM if peer and name == DEFAULT_STRATEGY else None,
        {**extra, "measure": "bytes", **_details(ours), **_ratio(said.bytes if said else 0.0, moved)},
    )
    peer = _paired(LEAST_LOADED, name, outcomes)
    yield Row(
        "placement",
        f"{workload}, {name}: time",
        "seconds",
        [one.seconds for one in ours],
        LEAST_LOADED if peer else "",
        [one.seconds for one in peer],
        "less",
        SECONDS_AIM if peer and name == DEFAULT_STRATEGY else None,
        {**extra, "measure": "seconds", **_ratio(said.seconds if said else 0.0, [one.seconds for one in ours])},
    )
    if edge:
        yield Row(
            "placement",
            f"{workload}, {name}: moved of all bytes read",
            "part",
            [count / edge for count in moved],
            better="less",
            aim=EDGE_AIM if name == DEFAULT_STRATEGY else None,
            extra={**extra, "measure": "part"},
        )
    if said is not None and statistics.median(moved):
        yield Row(
            "placement",
            f"{workload}, {name}: bytes, simulated beside real",
            "part off",
            [abs(said.bytes / statistics.median(moved) - 1.0)],
            better="less",
            aim=PREDICTION_AIM if name == DEFAULT_STRATEGY else None,
            extra={**extra, "measure": "prediction"},
        )


def _ratio(said: float, real: Sequence[float]) -> dict[str, float]:
    """The simulator's figure, and its ratio to the median of the real ones."""
    middle = statistics.median(real)
    return {"predicted": said, "predicted_to_real": round(said / middle, 4)} if said and middle else {}


def _paired(peer: str, name: str, outcomes: Mapping[str, list[Outcome]]) -> list[Outcome]:
    """The peer's runs of the rounds that this participant has."""
    return [] if peer == name else outcomes.get(peer, [])[: len(outcomes[name])]


def _bytes(case: Case, outcome: Outcome) -> float:
    """What the pods pulled. A graph's sources are made by pods; an example's lie at the founder, and count."""
    return float(outcome.moved_bytes + (outcome.founder_bytes if case.graph is None else 0))


def _details(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Of the first round: how often placement decided, how the steps were spread, what went over the links with all protocols."""
    first = outcomes[0]
    links = {"link_bytes": first.link_bytes} if first.link_bytes else {}
    if first.version:
        return {"dask": first.version, **links}
    return {"decisions": first.decisions, "stolen": first.stolen, "steps": first.steps, **links}
