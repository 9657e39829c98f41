"""The chapter on where cpods loses: every row that is worse than its peer beyond noise, and every aim that is missed.

Knows rows, whatever their benchmark; and which of them are strategies' own.
"""

from collections.abc import Iterable

from benchmarks.report.instances import BASE, BYTES, DEFAULT, MAKESPAN, Case, Instances
from benchmarks.report.markdown import Found, table
from benchmarks.results import Record
from benchmarks.tables import aim_text, meets, ratio_text, span

#: Rows of strategies: a loss of another strategy is none of cpods. Aims are the default's only.
_STRATEGIES = ("simulate", "rivals", "placement")
_HEAD = """## Where cpods loses

Gathered from all rows above by two rules: cpods is worse than its peer in *every* round, or an aim is missed. Of the strategies
only the default counts.
"""


def chapter(found: Found) -> str:
    """The whole chapter."""
    worse = [record for records in found.values() for record in records if _counts(record) and is_worse(record)]
    missed = [record for records in found.values() for record in records if meets(record) is False]
    parts = [_HEAD]
    if worse:
        rows = [[one.benchmark, one.row, one.peer, ratio_text(one.ratio), f"{one.better} is better"] for one in worse]
        parts += ["### Worse than the peer", "", table(["benchmark", "what", "peer", "ratio (lowest - highest)", ""], rows), ""]
    if missed:
        rows = [[one.benchmark, one.row, one.peer, ratio_text(one.ratio) or span(one.values, one.unit), aim_text(one)] for one in missed]
        parts += ["### Aims that are missed", "", table(["benchmark", "what", "peer", "ratio or figure", "aim"], rows), ""]
    slower = _simulated(found.get("simulate", ()))
    if slower:
        titles = ["build", "what is hard", "makespan to earliest-finish", "bytes to earliest-finish", "fastest strategy"]
        parts += [f"### Simulated builds in which {DEFAULT} is slower than {BASE}, or moves more", "", table(titles, slower), ""]
    if not (worse or missed or slower):
        parts.append("Nowhere in what was measured.")
    return "\n".join(parts)


def is_worse(record: Record) -> bool:
    """In every round worse than the peer."""
    if record.ratio is None or not record.better:
        return False
    return record.ratio.lowest > 1.0 if record.better == "less" else record.ratio.highest < 1.0


def _counts(record: Record) -> bool:
    return record.benchmark not in _STRATEGIES or (record.benchmark == "placement" and record.extra.get("strategy") == DEFAULT)


def _simulated(records: Iterable[Record]) -> list[list[str]]:
    """Cases in which the default is slower by more than 1%, or moves more, in the mean over the seeds."""
    instances = Instances(records)
    rows = []
    for case in instances.cases:
        time, moved = (instances.ratios([case], DEFAULT, BASE, measure) for measure in (MAKESPAN, BYTES))
        if time and moved and (time.mean > 1.01 or moved.mean > 1.0):
            rows.append([_name(case), case.setting, f"{time.mean:.3f}", f"{moved.mean:.3f}", instances.fastest(case)[0]])
    return rows


def _name(case: Case) -> str:
    return f"{case.workload}, {case.tasks:,} steps, {case.mbps:g} MB/s"
