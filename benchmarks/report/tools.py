"""The chapters on what cpods costs beside other programs: null builds, tool runs, transfers, dispatch.

Knows the rows of ``overhead``, ``toolruns``, ``transfer``, ``dispatch`` and ``locate``.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.report import plots
from benchmarks.report.markdown import Found, made_by, missing, picture, rows_table, table
from benchmarks.results import Record
from benchmarks.tables import span

_OVERHEAD = """## What cpods itself costs

Projects of nothing but independent steps that copy one small file each, so that all time is the build systems' own: cpods beside
[ninja](https://ninja-build.org), which keeps no contents, no results and no store, and is written for speed alone. *Null build*:
nothing has changed since the last one. *One changed source*: one step has to run.
"""

_TOOLRUNS = """## How many tools run

What a user waits for is rarely the build system, mostly the compilers and TeX. The same documents by cpods and by latexmk, the same
C program by cpods and by ninja: cold, with nothing changed, after an edit, after the edit was taken back. A run is one start of a
tool (pdflatex, biber, cc, ...); the number is the same in every round. A cold build of cpods goes on until one more run would
provably change nothing, which latexmk does not promise.
"""

_MOVING = """## Moving files and sending steps

*Transfer*: how fast bytes come from one pod's store to another's, verified by digest, beside the usual programs. *Dispatch*: what a
step costs on its way to a pod and back, through broker, store and catalogue, beside dask.distributed, which records nothing.
*Locate*: how fast it is found who holds a step's inputs. Everything ran on one machine, so that processor time is the bound, not a
network.
"""


def overhead(found: Found, folder: Path) -> str:
    """Null builds against size, and the table of all builds."""
    records = found.get("overhead", ())
    if not records:
        return f"{_OVERHEAD}\n{missing('overhead')}\n"
    made = made_by(records)
    null = [one for one in records if (one.extra["build"], one.extra["measure"]) == ("null build", "wall")]
    parts = [_OVERHEAD]
    if null:
        parts.append(
            picture(_null_plot(null, folder), "A null build against the number of steps: medians, bars from minimum to maximum.", made)
        )
    return "\n".join([*parts, "", rows_table(records, "build"), "", made, ""])


def _null_plot(records: Sequence[Record], folder: Path) -> Path:
    some = sorted(records, key=lambda record: int(record.extra["steps"]))
    steps = [float(record.extra["steps"]) for record in some]
    series = []
    for name, values in (("cpods", [one.values for one in some]), (some[0].peer, [one.peer_values for one in some])):
        series.append(
            plots.Series(name, steps, [median(one) for one in values], [min(one) for one in values], [max(one) for one in values])
        )
    return plots.scatter(folder / "null-build.svg", [plots.Axes("Null build", "steps", "ms", series, "xy", joined=True)])


def toolruns(found: Found, folder: Path) -> str:
    """Runs and wall time by project and situation."""
    records = found.get("toolruns", ())
    if not records:
        return f"{_TOOLRUNS}\n{missing('toolruns')}\n"
    cells: dict[tuple[str, str], dict[str, Record]] = {}
    for record in records:
        cells.setdefault((record.extra["project"], record.extra["situation"]), {})[record.extra["measure"]] = record
    rows = [_toolruns_row(project, situation, measures) for (project, situation), measures in cells.items() if "runs" in measures]
    titles = ["project", "situation", "cpods: runs", "peer", "peer: runs", "wall ms, cpods", "wall ms, peer", "ratio (lowest - highest)"]
    made = made_by(records)
    runs = [measures["runs"] for measures in cells.values() if "runs" in measures]
    says = "Tool runs of documents, cpods and latexmk, by situation (where any tool runs at all). Less is better."
    return "\n".join([_TOOLRUNS, picture(_toolruns_plot(runs, folder), says, made), "", table(titles, rows), "", made, ""])


def _toolruns_row(project: str, situation: str, measures: dict[str, Record]) -> list[str]:
    runs, wall = measures["runs"], measures.get("wall")
    told = [f"{median(runs.values):.0f}{_tools(runs, 'cpods')}", runs.peer, f"{median(runs.peer_values):.0f}{_tools(runs, runs.peer)}"]
    if wall is None or wall.ratio is None:
        return [project, situation, *told, "", "", ""]
    ratio = f"{wall.ratio.medians:.2f} ({wall.ratio.lowest:.2f} - {wall.ratio.highest:.2f})"
    return [project, situation, *told, span(wall.values), span(wall.peer_values), ratio]


def _tools(record: Record, side: str) -> str:
    tools = record.extra.get("tools", {}).get(side, {})
    return f" ({', '.join(f'{count} {tool}' for tool, count in sorted(tools.items()))})" if tools else ""


def _toolruns_plot(records: Sequence[Record], folder: Path) -> Path:
    documents = [record for record in records if record.peer == "latexmk"] or list(records)
    projects = list(dict.fromkeys(record.extra["project"] for record in documents))
    pictures = []
    for situation in dict.fromkeys(record.extra["situation"] for record in documents):
        some = {record.extra["project"]: record for record in documents if record.extra["situation"] == situation}
        here = [some.get(project) for project in projects]
        values = {
            "cpods": [None if one is None else median(one.values) for one in here],
            documents[0].peer: [None if one is None else median(one.peer_values) for one in here],
        }
        if any(any(some_values) for some_values in values.values()):
            pictures.append(plots.Bars(situation, "tool runs", projects, values, whole=True))
    return plots.bars(folder / "toolruns.svg", pictures)


def moving(found: Found, folder: Path) -> str:
    """Transfer, dispatch and locate: ratios to their peers as one plot, tables of each."""
    have = {name: found.get(name, ()) for name in ("transfer", "dispatch", "locate")}
    beside = [record for records in have.values() for record in records if record.ratio is not None and record.better == "more"]
    parts = [_MOVING]
    if beside:
        says = "Rates of cpods to its peers: right of 1 cpods is faster."
        parts += [picture(_moving_plot(beside, folder), says, made_by(beside)), ""]
    for name, records in have.items():
        parts += [f"### {name.capitalize()}", ""]
        parts += [rows_table(records), "", made_by(records), ""] if records else [missing(name), ""]
    return "\n".join(parts)


def _moving_plot(records: Sequence[Record], folder: Path) -> Path:
    ratios = [(record, record.ratio) for record in records if record.ratio is not None]
    picture = plots.Dots(
        "How many times as fast as the peer",
        "ratio",
        [f"{record.row}, to {record.peer}" for record, _ in ratios],
        [ratio.medians for _, ratio in ratios],
        [ratio.lowest for _, ratio in ratios],
        [ratio.highest for _, ratio in ratios],
        [record.aim for record, _ in ratios],
    )
    return plots.dots(folder / "moving.svg", picture)
