"""Rows and benchmarks as tables for a terminal, and figures as text that people read.

Knows no benchmark.
"""

from collections.abc import Iterable, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Ratio, summary
from benchmarks.results import Record
from benchmarks.suite import Benchmark

#: Columns where the output is no terminal: nobody cuts lines there.
_PIPED_COLUMNS = 190
_BYTES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def benchmarks_table(benchmarks: Iterable[Benchmark]) -> Table:
    """What each asks, beside what, in which unit, what disturbs it, how large its forms are."""
    table = Table("benchmark", "question", "peers", "unit", "noise", "--quick", "in full", box=box.SIMPLE, show_lines=True)
    for one in benchmarks:
        table.add_row(one.name, one.question, one.peers, one.unit, one.noise, one.quick, one.full)
    return table


def rows_table(records: Sequence[Record]) -> Table:
    """Minimum, median and maximum of each row and of its peer, and the ratio of the medians with its spread."""
    titles = ("benchmark", "row", "unit", "min / median / max", "peer", "peer's", "ratio (lowest - highest)", "aim")
    table = Table(*titles, box=box.SIMPLE, pad_edge=False)
    for one in records:
        theirs = span(one.peer_values, one.unit) if one.peer_values else ""
        table.add_row(one.benchmark, one.row, one.unit, span(one.values, one.unit), one.peer, theirs, ratio_text(one.ratio), aim_text(one))
    return table


def show(table: Table | str, to: TextIO) -> None:
    """Prints it, as wide as the terminal; wide enough for everything where there is none."""
    console = Console(file=to, highlight=False, markup=False, width=None if to.isatty() else _PIPED_COLUMNS)
    console.print(table)


def figure(value: float, unit: str = "") -> str:
    """Three digits that count; bytes in the prefix that fits."""
    if unit == "bytes":
        for prefix, size in _BYTES:
            if abs(value) >= size:
                return f"{value / size:.3g} {prefix}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def span(values: Sequence[float], unit: str = "") -> str:
    """Minimum / median / maximum; one figure if all are the same."""
    found = summary(values)
    if found.minimum == found.maximum:
        return figure(found.median, unit)
    return " / ".join(figure(value, unit) for value in found)


def ratio_text(ratio: Ratio | None) -> str:
    """Of the medians, with the lowest and the highest within one round."""
    if ratio is None:
        return ""
    if ratio.lowest == ratio.highest:
        return f"{ratio.medians:.3g}"
    return f"{ratio.medians:.3g} ({ratio.lowest:.3g} - {ratio.highest:.3g})"


def aim_text(record: Record) -> str:
    """The bound, and whether the median holds it."""
    met = meets(record)
    if met is None or record.aim is None:
        return ""
    bound = figure(record.aim, "" if record.peer else record.unit)
    return f"{'<=' if record.better == 'less' else '>='} {bound}, {'met' if met else 'missed'}"


def meets(record: Record) -> bool | None:
    """Whether the aim is met: by the ratio of the medians, or by the median if there is no peer. None: no aim."""
    if record.aim is None or not record.better or (record.peer and record.ratio is None):
        return None
    found = record.ratio.medians if record.ratio is not None else record.summary.median
    return found <= record.aim if record.better == "less" else found >= record.aim
