"""The chapter on real pods: what strategies and dask.distributed moved, how long they took, and what had been predicted.

Knows the rows of ``placement``.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.report import plots
from benchmarks.report.instances import DEFAULT
from benchmarks.report.markdown import Found, aims_table, made_by, missing, picture, table
from benchmarks.results import Record
from benchmarks.tables import figure, span

_HEAD = """## On real pods

The same strategies in four real pods: processes with a real broker and real transfers, each with a slow link of its own where the
system lets links be shaped, and [dask.distributed](https://distributed.dask.org) on the identical graph. Bytes are counted where
they are served. *moved*: as a part of all bytes that steps read (not known of projects that are no recorded graph); a single
machine would move none. *predicted*: what the simulator said before, by the measured bytes.
"""


def chapter(found: Found, folder: Path) -> str:
    """The whole chapter, with its plot in ``folder``."""
    records = found.get("placement", ())
    if not records:
        return f"{_HEAD}\n{missing('placement')}\n"
    cells: dict[tuple[str, str], dict[str, Record]] = {}
    for record in records:
        cells.setdefault((record.extra["workload"], record.extra["strategy"]), {})[record.extra["measure"]] = record
    made = made_by(records)
    says = "Bytes moved, as a part of all that steps read, and seconds to the end of the build; medians. Less is better."
    rows = [_row(workload, strategy, measures) for (workload, strategy), measures in cells.items()]
    titles = ["workload", "strategy", "moved: min / median / max", "bytes", "seconds: min / median / max", "predicted: bytes", "seconds"]
    return "\n".join([_HEAD, picture(_plot(cells, folder), says, made), "", table(titles, rows), "", aims_table(records), made, ""])


def _row(workload: str, strategy: str, measures: dict[str, Record]) -> list[str]:
    row = [workload, f"**{strategy}**" if strategy == DEFAULT else strategy]
    moved, seconds = measures.get("bytes"), measures.get("seconds")
    parts = _parts(moved) if moved is not None else []
    return [
        *row,
        span(parts) if parts else "",
        figure(median(moved.values), "bytes") if moved is not None else "",
        span(seconds.values) if seconds is not None else "",
        *(_predicted(record) for record in (moved, seconds)),
    ]


def _predicted(record: Record | None) -> str:
    """What the simulator said, by what was measured; '' where it was not asked."""
    said = record.extra.get("predicted") if record is not None else None
    return f"{said / median(record.values):.2f}" if record is not None and said and median(record.values) else ""


def _parts(record: Record) -> list[float]:
    """Bytes as a part of what is read; nothing if that is not known."""
    edge_bytes = record.extra.get("edge_bytes")
    return [value / edge_bytes for value in record.values] if edge_bytes else []


def _plot(cells: dict[tuple[str, str], dict[str, Record]], folder: Path) -> Path:
    workloads = list(dict.fromkeys(workload for workload, _ in cells))
    strategies = list(dict.fromkeys(strategy for _, strategy in cells))

    def values(measure: str, strategy: str) -> Sequence[float | None]:
        found: list[float | None] = []
        for workload in workloads:
            record = cells.get((workload, strategy), {}).get(measure)
            figures = [] if record is None else _parts(record) if measure == "bytes" else record.values
            found.append(median(figures) if figures else None)
        return found

    pictures = [
        plots.Bars("Bytes moved", "part of what is read", workloads, {strategy: values("bytes", strategy) for strategy in strategies}),
        plots.Bars("Makespan", "seconds", workloads, {strategy: values("seconds", strategy) for strategy in strategies}),
    ]
    return plots.bars(folder / "placement.svg", pictures)
