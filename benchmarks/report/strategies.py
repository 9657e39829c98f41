"""The chapter on strategies: what was simulated, bytes against makespan, who wins where, what a decision costs.

Knows the rows of ``simulate``, ``scale`` and ``rivals``.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.compare import geometric_mean
from benchmarks.report import plots
from benchmarks.report.instances import BASE, BYTES, DEFAULT, LEAST_LOADED, MAKESPAN, Case, Instances
from benchmarks.report.markdown import Found, aims_table, made_by, missing, picture, rows_table, table
from benchmarks.results import Record
from benchmarks.workloads import RECIPES

_MEANING = {
    "random": "any pod, each as likely",
    "round-robin": "one pod after the other",
    LEAST_LOADED: "the pod that has a slot free first",
    "max-locality": "the pod that holds most input bytes, however much it has to do",
    BASE: "the pod on which the step ends first, transfers and queue counted (HEFT, list scheduling)",
    "dask-like": "as dask.distributed: of the pods that hold an input, the one on which the step can start first",
    DEFAULT: "the default: up to the projected end of the whole build delay costs nothing and only bytes count; "
    "beyond it, the pod on which the step ends first, with a price for each byte",
}
#: What place_sim calls them.
_PEERS_NAMES = {"rr": "round-robin", "least": LEAST_LOADED, "maxlocal": "max-locality", "dask": "dask-like", "est_all": BASE}
#: What strategies are measured against each other in the table of hard cases.
_HARD_PEERS = (BASE, LEAST_LOADED)

_HEAD = f"""## Which pod gets a step

Whenever a step is ready, a *placement strategy* chooses the pod that runs it. A pod that lacks inputs fetches them over its link,
from pods that hold them. A good strategy moves few bytes, and still has the build end early: sending everything to the pod that
holds the data moves nothing, and takes for ever. A strategy sees which pods hold what, what they have to do, how fast their links
are and how long steps took before. cpods has these (`--placement NAME`, or `[federation] placement`; [placement.md](placement.md)
explains the default):

{table(["strategy", "a step goes to"], _MEANING.items())}
"""

_SIMULATED = """### Simulated builds: bytes moved against makespan

A simulator replays builds event by event on pods that exist only in it, with the very code that decides in a real build. The
workloads are those of scientific workflows, made by the recipes of [WfCommons](https://wfcommons.org), and graphs of real documents
and programs, recorded by cpods. Unless the table says otherwise there are 16 pods with 4 slots each, every pod has a link of its
own with the speed given, and inputs that no step makes lie spread over the pods. A build with the same recipe and another *seed* is
another instance.

- **makespan**: when the last step ends. **bytes moved**: all that pods fetched from each other.
- Both are given relative to *earliest-finish* on the same instance: 0.30 of its bytes, 1.00 times its makespan. *mean*: geometric
  mean over all instances, each counts the same; *total*: all bytes by all bytes, where the few data-heavy recipes decide; *worst*:
  the worst instance. A ratio of bytes counts each strategy as moving at least 0.1% of what its steps read, so that a strategy that
  moves none is no division by 0.
"""


def chapter(found: Found, folder: Path) -> str:
    """The whole chapter, with its plots in ``folder``."""
    return "\n".join([_HEAD, _SIMULATED, _simulated(found.get("simulate", ()), folder), _rivals(found), _scale(found, folder)])


def _simulated(records: Sequence[Record], folder: Path) -> str:
    if not records:
        return missing("simulate") + "\n"
    all_of_them = Instances(records)
    made = made_by(records)
    parts = [
        _tradeoff(all_of_them, folder, made),
        _summary(all_of_them),
        made,
        _by_workload(all_of_them, folder, made),
        _winners(all_of_them),
        made,
    ]
    hard = _hard(all_of_them)
    aims = aims_table(records)
    return "\n\n".join([*parts, *([hard, made] if hard else []), *([aims, made] if aims else [])]) + "\n"


def _tradeoff(instances: Instances, folder: Path, made: str) -> str:
    """One point a strategy: its means over all workloads."""
    pictures = []
    for tasks, mbps in instances.sizes():
        cases = instances.plain(tasks, mbps)
        series = []
        for name in instances.strategies:
            time, moved = (instances.ratios(cases, name, BASE, measure) for measure in (MAKESPAN, BYTES))
            if time and moved:
                series.append(plots.Series(name, [time.mean], [moved.mean]))
        title = f"{len(cases)} workloads of {tasks:,} steps, {mbps:g} MB/s"
        pictures.append(plots.Axes(title, f"makespan / {BASE}", f"bytes moved / {BASE}", series, "xy", (1, 1)))
    path = plots.scatter(folder / "tradeoff.svg", pictures, order=instances.strategies)
    says = f"Bytes moved against makespan, geometric means over all workloads, relative to {BASE} (the dotted cross)."
    return picture(path, f"{says} Further down and to the left is better.", made)


def _summary(instances: Instances) -> str:
    rows = []
    for tasks, mbps in instances.sizes():
        cases = instances.plain(tasks, mbps)
        for name in instances.strategies:
            time, moved = (instances.ratios(cases, name, BASE, measure) for measure in (MAKESPAN, BYTES))
            if name != BASE and time and moved:
                size = f"{tasks:,} steps, {mbps:g} MB/s"
                rows.append([size, _bold(name), f"{time.mean:.3f}", f"{time.worst:.3f}", f"{moved.total:.3f}", f"{moved.mean:.3f}"])
    titles = ["builds", "strategy", "makespan: mean", "worst", "bytes: total", "mean"]
    return f"All relative to {BASE}:\n\n" + table(titles, rows) + _held_out(instances)


def _held_out(instances: Instances) -> str:
    """The default on the recipes that it was tuned on, and on the others; '' if there are not both."""
    rows = []
    for tuned, title in ((True, "tuned on"), (False, "held out")):
        names = {recipe.name for recipe in RECIPES if recipe.tuned == tuned}
        cases = [case for size in instances.sizes() for case in instances.plain(*size) if case.workload in names]
        time, moved = (instances.ratios(cases, DEFAULT, BASE, measure) for measure in (MAKESPAN, BYTES))
        if time and moved:
            which = ", ".join(sorted({case.workload for case in cases}))
            rows.append([title, which, f"{time.mean:.3f}", f"{time.worst:.3f}", f"{moved.total:.3f}", f"{moved.mean:.3f}"])
    if len(rows) < 2:
        return ""
    told = f"The weights of *{DEFAULT}* were chosen on some of the recipes; it must do as well on those that were held out:"
    titles = ["recipes", "which", "makespan: mean", "worst", "bytes: total", "mean"]
    return f"\n\n{told}\n\n{table(titles, rows)}"


def _by_workload(instances: Instances, folder: Path, made: str) -> str:
    """A picture a workload: the strategies as points, at the size of which most workloads were simulated."""
    tasks, mbps = max(instances.sizes(), key=lambda size: (len(instances.plain(*size)), -size[0], size[1]))
    pictures = []
    for case in [*sorted(instances.plain(tasks, mbps), key=lambda case: case.workload.lower()), *instances.others(mbps)]:
        series = []
        for name in instances.strategies:
            time, moved = (instances.ratios([case], name, BASE, measure) for measure in (MAKESPAN, BYTES))
            if time and moved:
                series.append(plots.Series(name, [time.mean], [moved.mean]))
        pictures.append(plots.Axes(case.workload, "makespan", "bytes moved", series, "xy", (1, 1)))
    path = plots.scatter(folder / "workloads.svg", pictures, columns=3, order=instances.strategies)
    says = f"The same for each workload of {tasks:,} steps, and for those of other kinds, at {mbps:g} MB/s, relative to {BASE}."
    return picture(path, says, made)


def _winners(instances: Instances) -> str:
    """Who wins where, by workload and speed."""
    rows = []
    for case in sorted(
        (case for case in instances.cases if not case.setting), key=lambda case: (case.workload.lower(), case.tasks, -case.mbps)
    ):
        if not instances.has(case, DEFAULT):
            continue
        row = [
            f"{case.workload}, {case.tasks:,} steps, {case.mbps:g} MB/s",
            ", ".join(map(_bold, instances.fastest(case))),
            _bold(instances.thriftiest(case)),
        ]
        rows.append([*row, *(_pair(instances, case, other) for other in _peers(instances))])
    titles = [
        "build",
        "fastest (within 0.5%)",
        "fewest bytes (of those within 5% of the fastest)",
        *(f"{DEFAULT} to {other}" for other in _peers(instances)),
    ]
    return (
        "### Which strategy wins where\n\n"
        "The last columns: makespan / bytes of the default strategy relative to another one, means over the seeds.\n\n"
        + table(titles, rows)
    )


def _peers(instances: Instances) -> list[str]:
    return [name for name in (BASE, LEAST_LOADED, "dask-like") if name in instances.strategies]


def _pair(instances: Instances, case: Case, other: str) -> str:
    time, moved = (instances.ratios([case], DEFAULT, other, measure) for measure in (MAKESPAN, BYTES))
    return f"{time.mean:.2f} / {_ratio(moved.mean)}" if time and moved else ""


def _hard(instances: Instances) -> str:
    """What happens when something goes wrong; '' if that was not simulated."""
    rows = []
    for setting in dict.fromkeys(case.setting for case in instances.cases if case.setting):
        cases = [case for case in instances.cases if case.setting == setting]
        for other in _HARD_PEERS:
            time, moved = (instances.ratios(cases, DEFAULT, other, measure) for measure in (MAKESPAN, BYTES))
            if time and moved:
                rows.append([setting, other, f"{time.mean:.3f}", f"{time.worst:.3f}", f"{moved.total:.3f}", f"{moved.mean:.3f}"])
    if not rows:
        return ""
    titles = ["what is hard", f"{DEFAULT} to", "makespan: mean", "worst", "bytes: total", "mean"]
    return (
        "### When things go wrong\n\nThe same builds with pods that die and come back empty, steps that take longer than others of their "
        "kind, wrong estimates, other shapes of the federation. Both strategies meet the same mishaps.\n\n" + table(titles, rows)
    )


def _rivals(found: Found) -> str:
    head = (
        "### Are the rivals as good as they can be?\n\nA comparison with bad rivals proves nothing. The strategies that others know, too, "
        "are held against what an independent simulator of them printed (`benchmarks/peers/place_sim.json`), in its model and with its "
        "rules for ties. It printed two digits, so *off* is the largest difference beyond what rounding explains.\n"
    )
    records = found.get("rivals", ())
    if not records:
        return f"{head}\n{missing('rivals')}\n"
    figures: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.ratio is not None:
            figures.setdefault((record.extra["strategy"], record.extra["measure"]), []).append(record)
    rows = []
    for (strategy, measure), some in figures.items():
        ratios = [record.ratio.medians for record in some if record.ratio is not None]
        off = max(float(record.extra.get("off", 0.0)) for record in some)
        row = [_PEERS_NAMES.get(strategy, strategy), measure, str(len(some)), f"{geometric_mean(ratios):.3f}"]
        rows.append([*row, f"{min(ratios):.3f} - {max(ratios):.3f}", f"{100 * off:.1f}%"])
    titles = ["strategy", "figure", "builds", "ours to theirs: mean", "lowest - highest", "off"]
    return f"{head}\n{table(titles, rows)}\n\n{aims_table(records)}\n{made_by(records)}\n"


def _scale(found: Found, folder: Path) -> str:
    head = "### What a decision costs\n\nProcessor time to choose a pod, as projects and federations grow (synthetic layered graphs).\n"
    records = found.get("scale", ())
    if not records:
        return f"{head}\n{missing('scale')}\n"
    made = made_by(records)
    decisions = [record for record in records if record.extra.get("measure") == "microseconds a decision"]
    parts = [head]
    if decisions:
        parts.append(picture(_scale_plot(decisions, folder), "Microseconds a decision against the number of steps and of pods.", made))
    return "\n".join([*parts, "", rows_table(records), "", made, ""])


def _scale_plot(records: Iterable[Record], folder: Path) -> Path:
    by_pods: dict[int, list[Record]] = {}
    for record in sorted(records, key=lambda record: (record.extra["pods"], record.extra["steps"])):
        if record.extra.get("strategy", DEFAULT) == DEFAULT and not record.extra.get("logged"):
            by_pods.setdefault(int(record.extra["pods"]), []).append(record)
    series = [
        plots.Series(
            f"{pods:,} pods",
            [record.extra["steps"] for record in some],
            [median(record.values) for record in some],
            [min(record.values) for record in some],
            [max(record.values) for record in some],
        )
        for pods, some in by_pods.items()
    ]
    axes = plots.Axes("Time to decide", "steps", "microseconds a decision", series, "x", joined=True)
    return plots.scatter(folder / "scale.svg", [axes])


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.095 else f"{value:.3f}"


def _bold(name: str) -> str:
    return f"**{name}**" if name == DEFAULT else name
