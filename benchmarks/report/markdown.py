"""Pieces of the page: tables, pictures, and the line that says how figures were made.

Knows no benchmark and no plot.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks import registry, results
from benchmarks.results import Record
from benchmarks.suite import CannotMeasure
from benchmarks.tables import aim_text, ratio_text, span

#: By benchmark: the newest rows.
Found = Mapping[str, Sequence[Record]]


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def rows_table(records: Iterable[Record], title: str = "what") -> str:
    """A row each: figures, the peer's, the ratio, the aim if there is one."""
    some = list(records)
    peers, aimed = any(one.peer for one in some), any(one.aim is not None for one in some)
    beside = ["peer", "the peer's", "ratio (lowest - highest)"] if peers else []
    titles = [title, "unit", "min / median / max", *beside, *(["aim"] if aimed else [])]
    rows = []
    for one in some:
        theirs = span(one.peer_values, one.unit) if one.peer_values else ""
        beside = [one.peer, theirs, ratio_text(one.ratio)] if peers else []
        rows.append([one.row, one.unit, span(one.values, one.unit), *beside, *([aim_text(one)] if aimed else [])])
    return table(titles, rows)


def aims_table(records: Iterable[Record]) -> str:
    """The rows that have an aim, and whether it is met; '' if there are none."""
    some = [one for one in records if one.aim is not None]
    if not some:
        return ""
    rows = [[one.row, ratio_text(one.ratio) or span(one.values, one.unit), one.peer or one.unit, aim_text(one)] for one in some]
    return "What was aimed at:\n\n" + table(["what", "ratio or figure", "to, or in", "aim"], rows) + "\n"


def picture(path: Path, says: str, made: str) -> str:
    """A plot with its caption. ``says``: what it shows, also for those who cannot see it."""
    return f"![{says}]({path.parent.name}/{path.name})\n\n*{says}*\n\n{made}"


def made_by(records: Iterable[Record]) -> str:
    """The command, machine, versions, commit and date of the rows that a table or plot was made from; small print."""
    stamps = [record.stamp for record in records]
    differ = results.differing(stamps)
    versions = dict(sorted({item for stamp in stamps for item in stamp.versions.items()}))
    quick = " The quick form: few rounds and small sizes, so a first impression only." if any(stamp.quick for stamp in stamps) else ""
    commits = ", ".join(commit or "outside git" for commit in differ["commit"])
    return (
        f"<sub>Made by {', '.join(f'`{command}`' for command in differ['command'])} at commit {commits} on {', '.join(differ['date'])}; "
        f"{'; '.join(differ['machine'])}; {', '.join(f'{name} {number}' for name, number in versions.items())}.{quick}</sub>"
    )


def missing(name: str) -> str:
    """What is said where a benchmark has no results."""
    try:
        form = f" ({registry.benchmark(name).full})"
    except CannotMeasure:
        form = ""
    return f"Not measured yet: `python -m benchmarks run {name}`{form} does it, then `python -m benchmarks report`."
