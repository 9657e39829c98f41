"""Runs benchmarks one after the other and writes each row down as it comes, so that an interruption loses only what was under way.

Knows no benchmark, and shows nothing but progress.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import results
from benchmarks.results import Record
from benchmarks.suite import Benchmark, CannotMeasure, Progress


class Ask(NamedTuple):
    """How benchmarks are run. ``repeats`` 0: as many as the form has. ``out`` None: each benchmark's own file of results.

    ``words``: further words of the command line that change what is measured.
    """

    quick: bool = False
    repeats: int = 0
    folder: str = ""
    out: Path | None = None
    words: tuple[str, ...] = ()


class Ran(NamedTuple):
    """What came of it: the rows that are complete, the sentences about what could not be measured, whether it was interrupted."""

    records: list[Record]
    failed: list[str]
    interrupted: bool


def run(benchmarks: Sequence[Benchmark], ask: Ask, progress: Progress) -> Ran:
    """Each in turn; one that cannot be measured does not keep the next from it. Raises OSError if results cannot be written."""
    ran = Ran([], [], False)
    for benchmark in benchmarks:
        stamp = results.stamp(benchmark, command(benchmark.name, ask), ask.quick, ask.folder)
        path = ask.out or results.file_of(benchmark.name, ask.quick)
        progress(f"{benchmark.name}: {benchmark.question}")
        try:
            for row in benchmark.run(ask.quick, ask.repeats, ask.folder, progress):
                record = results.record(row, stamp)
                results.append(path, record)
                ran.records.append(record)
        except CannotMeasure as error:
            ran.failed.append(str(error))
        except KeyboardInterrupt:
            return ran._replace(interrupted=True)
    return ran


def command(name: str, ask: Ask) -> str:
    """What somebody types to have the same measured again."""
    flags = [*(["--quick"] if ask.quick else []), *([f"--repeats {ask.repeats}"] if ask.repeats else []), *ask.words]
    return " ".join(["python -m benchmarks run", name, *flags])
