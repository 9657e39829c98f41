"""The page as a whole: what a reader must know first, then the chapters.

Knows the chapters' order, not what is in them.
"""

from collections.abc import Iterable
from pathlib import Path

from benchmarks import results
from benchmarks.report import atwork, federation, losses, strategies, tools
from benchmarks.report.markdown import Found
from benchmarks.results import Record

_HEAD = """# Benchmarks

*This page is written by `python -m benchmarks report` from the results in `benchmarks/results`; edits go into `benchmarks/report`.*

cpods builds a project of *steps* (a command with inputs and outputs) on one machine, or on a *federation* of machines, its *pods*.
Three questions decide whether that is any good, and each has a chapter here: does the federation send steps to where their inputs
are without making anybody wait ([strategies](#which-pod-gets-a-step), [real pods](#on-real-pods))? What does cpods itself cost,
beside programs that do less ([overhead](#what-cpods-itself-costs), [transfer and dispatch](#moving-files-and-sending-steps))? And
does it run fewer tools than the usual ones, and keep you waiting less ([watching](#while-you-work-watching),
[documents](#what-a-document-costs), [tool runs](#how-many-tools-run))? What it is worse at is gathered in [where cpods
loses](#where-cpods-loses).

How to read the figures:

- **Simulated or real.** The chapter on strategies is simulated, so it is exact and the same on every machine; everything else was
  measured with real programs on the machine that is named below each table. Never compare times of two machines: compare ratios.
- **Rounds.** cpods and its peer run in turn, A B, B A, ..., so that what disturbs the machine disturbs both. A figure is *minimum /
  median / maximum* of all rounds.
- **Ratio.** The median of cpods by the median of the peer, and in brackets the lowest and the highest ratio within one round. If 1
  lies between them, the two are the same as far as was measured.
- **Do it yourself.** Below each table and plot stands the command that made it. `python -m benchmarks list` explains them all;
  `make bench` runs everything and writes this page, `make bench-quick` is the small form, for trying out a change.
"""


def write(records: Iterable[Record], folder: Path) -> Path:
    """Writes benchmarks.md and its plots (in ``benchmarks``) below ``folder``; the page's path. Raises OSError, CannotMeasure."""
    found = results.by_benchmark(records)
    plots = folder / "benchmarks"
    plots.mkdir(parents=True, exist_ok=True)
    page = folder / "benchmarks.md"
    page.write_text("\n".join(_chapters(found, plots)).rstrip() + "\n", encoding="utf-8")
    return page


def _chapters(found: Found, plots: Path) -> list[str]:
    return [
        _HEAD,
        strategies.chapter(found, plots),
        federation.chapter(found, plots),
        tools.overhead(found, plots),
        atwork.watching(found),
        atwork.documents(found),
        tools.toolruns(found, plots),
        tools.moving(found, plots),
        losses.chapter(found),
    ]
