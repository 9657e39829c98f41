"""The page: what it says of results; with plots behind the marker ``benchmarks``, since matplotlib is in that extra."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks import results
from benchmarks.__main__ import main
from benchmarks.report import losses, markdown
from benchmarks.report.instances import BASE, BYTES, MAKESPAN, Case, Instances
from benchmarks.results import Record, Stamp
from benchmarks.suite import Row

STAMP = Stamp("python -m benchmarks run simulate", "2 cores (toy), load 0.1", {"Python": "3.11"}, "c0ffee", "2024-01-01T00:00:00Z", False)


def made(row: Row, **stamp: Any) -> Record:
    return results.record(row, msgspec.structs.replace(STAMP, **stamp))


def simulated(strategy: str, measure: str, values: list[float], peers: list[float], workload: str = "Montage", setting: str = "") -> Record:
    extra = {"strategy": strategy, "workload": workload, "tasks": 1000, "mbps": 100, "measure": measure, "setting": setting}
    name = f"{workload}, {setting} {strategy}: {measure}"
    return made(Row("simulate", name, measure, values, BASE, peers, "less", extra={**extra, "edge_bytes": 1000}))


def some_builds() -> list[Record]:
    """``locality`` moves a quarter of earliest-finish's bytes on Montage, and is slower on Blast; max-locality moves nothing."""
    return [
        simulated("locality", BYTES, [100, 400], [400, 1600]),
        simulated("locality", MAKESPAN, [10, 20], [10, 20]),
        simulated("max-locality", BYTES, [0, 0], [400, 1600]),
        simulated("max-locality", MAKESPAN, [40, 20], [10, 20]),
        simulated("least-loaded", BYTES, [500, 1700], [400, 1600]),
        simulated("least-loaded", MAKESPAN, [10, 20], [10, 20]),
        simulated("locality", BYTES, [10, 10], [10, 10], "Blast"),
        simulated("locality", MAKESPAN, [11, 11], [10, 10], "Blast"),
        simulated("locality", BYTES, [9, 9], [10, 10], "Blast", "three deaths"),
        simulated("locality", MAKESPAN, [13, 13], [10, 10], "Blast", "three deaths"),
    ]


MONTAGE = Case("", "Montage", 1000, 100.0)
BLAST = Case("", "Blast", 1000, 100.0)


def test_ratios_are_of_instances_and_bytes_are_at_least_a_thousandth_of_what_is_read() -> None:
    instances = Instances(some_builds())
    assert instances.plain(1000, 100) == [MONTAGE, BLAST]
    assert instances.ratios([MONTAGE], "locality", BASE, BYTES) == pytest.approx((0.25, 0.25, 0.25))
    nothing = instances.ratios([MONTAGE], "max-locality", BASE, BYTES)
    assert nothing is not None and nothing.worst == 1 / 400, "1 byte of the 1,000 that are read"
    assert instances.ratios([MONTAGE], "max-locality", BASE, MAKESPAN) == pytest.approx((2.0, 4.0, 2.0))
    assert instances.ratios([MONTAGE], "locality", "least-loaded", BYTES) == pytest.approx(((0.2 * 4 / 17) ** 0.5, 4 / 17, 5 / 22))
    assert instances.ratios([BLAST], "max-locality", BASE, BYTES) is None


def test_who_wins_where() -> None:
    instances = Instances(some_builds())
    assert instances.strategies == ["locality", BASE, "least-loaded", "max-locality"]
    assert set(instances.fastest(MONTAGE)) == {"locality", BASE, "least-loaded"}
    assert instances.thriftiest(MONTAGE) == "locality", "max-locality moves less, but is too slow"
    assert instances.fastest(BLAST) == [BASE]


def test_losses_are_said_plainly() -> None:
    slower = made(Row("overhead", "null build: wall", "ms", [3, 4], "ninja", [1, 2], "less"))
    perhaps = made(Row("transfer", "large", "MiB/s", [1, 3], "sftp", [2, 2], "more", 0.5))
    missed = made(Row("locate", "1,000 inputs", "ms", [2, 2], better="less", aim=1.5))
    rival = made(Row("placement", "bytes", "bytes", [9], "dask", [1], "less", extra={"strategy": "random"}))
    text = losses.chapter(
        {"overhead": [slower], "transfer": [perhaps], "locate": [missed], "placement": [rival], "simulate": some_builds()}
    )
    assert "| overhead | null build: wall | ninja | 2.33 (2 - 3) |" in text
    assert "| locate | 1,000 inputs |  | 2 | <= 1.5, missed |" in text
    assert "| Blast, 1,000 steps, 100 MB/s |  | 1.100 | 1.000 | earliest-finish |" in text
    assert "| Blast, 1,000 steps, 100 MB/s | three deaths | 1.300 | 0.900 | earliest-finish |" in text
    assert "sftp" not in text and "random" not in text and "Montage" not in text
    assert "Nowhere" in losses.chapter({"transfer": [perhaps]})


def test_small_print_names_every_command_machine_and_commit() -> None:
    records = [made(Row("a", "b", "ms", [1.0])), made(Row("a", "c", "ms", [1.0]), commit="", machine="8 cores, load 3.0", quick=True)]
    text = markdown.made_by([*records, made(Row("a", "d", "ms", [1.0]), machine="8 cores, load 4.0")])
    assert text.count("`python -m benchmarks run simulate`") == 1
    assert "commit c0ffee, outside git" in text
    assert "2 cores (toy); 8 cores;" in text
    assert "quick form" in text and "2024-01-01" in text


def test_what_was_not_measured_says_how_to() -> None:
    assert "`python -m benchmarks run locate` (" in markdown.missing("locate")
    assert "`python -m benchmarks run no-such-one` does it" in markdown.missing("no-such-one")


def everything() -> list[Record]:
    """A row or two of every benchmark."""

    def row(benchmark: str, name: str, unit: str, peer: str = "", better: Any = "less", **extra: Any) -> Record:
        return made(Row(benchmark, name, unit, [2.0, 3.0], peer, [4.0, 5.0] if peer else [], better, extra=extra))

    scale = [
        row("scale", f"{steps} x {pods}", "us", steps=steps, pods=pods, strategy="locality", measure="microseconds a decision")
        for steps in (1000, 100_000)
        for pods in (10, 1000)
    ]
    placement = [
        row("placement", f"{strategy}: {m}", m, workload="Blast", strategy=strategy, measure=m, edge_bytes=10, predicted=2.5)
        for strategy in ("locality", "dask")
        for m in ("bytes", "seconds")
    ]
    toolruns = [
        row("toolruns", f"{s}: {m}", m, "latexmk", project="book", situation=s, measure=m, tools={"cpods": {"pdflatex": 2}})
        for s in ("cold", "one word edited")
        for m in ("runs", "wall")
    ]
    null = [
        row("overhead", f"null {steps}", "ms", "ninja", build="null build", steps=steps, measure="wall") for steps in (100, 1000, 10_000)
    ]
    rest = [
        row("rivals", "Blast", "bytes", "place_sim", "", strategy="least-loaded", workload="Blast", measure="bytes"),
        row("transfer", "large", "MiB/s", "sftp", "more"),
        row("dispatch", "a process each", "steps/s", "Dask", "more"),
        row("locate", "10 inputs", "ms"),
        row("watch", "save to start of the step, 1,000 steps", "ms", steps=1000, measure="save to start"),
        *(
            row("latex", f"thesis: {m}", "ms", "latexmk", document="thesis", situation="cold", way="cpods", measure=m, pass_cpu_ms=1300)
            for m in ("CPU", "wall")
        ),
        row("latex", "mean", "x latexmk", mean="all 1 documents", situation="cold", way="cpods", measure="CPU"),
    ]
    return [*some_builds(), *scale, *placement, *toolruns, *null, *rest]


def written(folder: Path, records: list[Record]) -> str:
    for record in records:
        results.append(folder / "results" / f"{record.benchmark}.jsonl", record)
    assert main(["report", "--results", str(folder / "results"), "--to", str(folder)]) == 0
    return (folder / "benchmarks.md").read_text()


def test_a_page_without_results_says_what_makes_them(tmp_path: Path) -> None:
    page = written(tmp_path, [])
    for name in ("simulate", "scale", "rivals", "placement", "overhead", "watch", "latex", "toolruns", "transfer", "dispatch", "locate"):
        assert f"Not measured yet: `python -m benchmarks run {name}`" in page
    assert "![" not in page
    assert "Nowhere in what was measured." in page


@pytest.mark.benchmarks
def test_the_page_has_a_plot_and_the_command_behind_it_for_every_part(tmp_path: Path) -> None:
    page = written(tmp_path, everything())
    assert "Not measured yet" not in page
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)\n\n\*[^\n]+\*\n\n<sub>Made by `python -m benchmarks run ", page)
    names = ("tradeoff", "workloads", "scale", "placement", "null-build", "toolruns", "moving")
    assert shown == [f"benchmarks/{name}.svg" for name in names]
    for path in shown:
        text = (tmp_path / path).read_text()
        assert text.startswith("<?xml") and "<dc:date>" not in text
        assert len(text) < 200_000
    lines = page.splitlines()
    tables = [number for number, line in enumerate(lines) if line.startswith("| ---")]
    assert len(tables) > 10
    assert "| 1,000 steps, 100 MB/s | **locality** | 1.049 | 1.100 |" in page
    assert "three deaths" in page
    assert "| thesis | 1,300 | cold | cpods | 2 / 2.5 / 3 | 4 / 4.5 / 5 | 0.556 (0.5 - 0.6) |" in page
    assert "| all 1 documents | cold | cpods | 2 / 2.5 / 3 |" in page
    assert "save to start of the step, 1,000 steps" in page


@pytest.mark.benchmarks
def test_the_same_results_make_the_same_files(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert written(first, everything()) == written(second, everything())
    plots = sorted((first / "benchmarks").iterdir())
    assert len(plots) == 7
    for path in plots:
        assert path.read_bytes() == (second / "benchmarks" / path.name).read_bytes()
