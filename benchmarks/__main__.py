"""``python -m benchmarks``: the command line of the suite.

Knows no benchmark's work.
"""

import argparse
import compileall
import os
import sys
from pathlib import Path

import msgspec

import cpods
from benchmarks import registry, results, running
from benchmarks.results import BadResults
from benchmarks.suite import Benchmark, CannotMeasure

_COMMANDS = ("list", "run", "compare", "report")


def main(arguments: list[str]) -> int:
    """Does what is asked for; the exit code. A benchmark's name alone is short for ``run`` with it."""
    short = bool(arguments) and (arguments[0] in registry.WHERE or arguments[0] == registry.ALL)
    said = _parser().parse_args(["run", *arguments] if short else arguments or ["list"])
    try:
        return int(said.carry_out(said))
    except (CannotMeasure, BadResults, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures cpods beside other programs, and its strategies.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="list | run | compare | report")
    commands.add_parser("list", help="what can be measured, beside what, and what disturbs it").set_defaults(carry_out=_list)

    run = commands.add_parser("run", help="measures; every row is printed and appended to the results")
    run.set_defaults(carry_out=_run)
    run.add_argument("names", nargs="+", metavar="NAME", help="benchmarks by name, or all")
    run.add_argument("--quick", action="store_true", help="few repeats, small projects: for a change; kept in benchmarks/results/quick")
    run.add_argument("--repeats", type=int, default=0, metavar="N", help="rounds of each row (else as many as the form has)")
    run.add_argument("--out", type=Path, metavar="FILE", help="append the rows here instead of to benchmarks/results")
    run.add_argument("--folder", default="", help="where projects and files are made (default: a temporary folder)")
    run.add_argument("--null", default=(), type=_numbers, metavar="N,N", help="overhead: steps of the null builds")
    run.add_argument("--full", type=int, default=0, metavar="N", help="overhead: steps of the full build; dispatch: steps")
    run.add_argument("--no-dask", action="store_true", help="dispatch: without dask.distributed beside it")

    compare = commands.add_parser("compare", help="two results files, two commits in the results, or two placement strategies")
    compare.set_defaults(carry_out=_compare)
    compare.add_argument("a", metavar="A", help="a results file or folder, a commit, or a strategy")
    compare.add_argument("b", metavar="B")
    compare.add_argument(
        "--workload", action="append", default=[], metavar="W", help="strategies: only on this one, such as Montage:1000:1"
    )

    report = commands.add_parser("report", help="writes docs/benchmarks.md and its plots from the newest results")
    report.set_defaults(carry_out=_report)
    report.add_argument("--results", type=Path, default=results.KEPT, metavar="FOLDER", help="default: benchmarks/results")
    report.add_argument("--to", type=Path, default=results.HERE.parent / "docs", metavar="FOLDER", help="default: docs")
    return parser


def _list(said: argparse.Namespace) -> int:
    from benchmarks import tables

    tables.show(tables.benchmarks_table(registry.benchmarks([registry.ALL])), sys.stdout)
    return 0


def _run(said: argparse.Namespace) -> int:
    from benchmarks import tables

    ask = running.Ask(said.quick, said.repeats, said.folder, said.out, _words(said))
    # A first call would else be measured with the compilation of cpods in it.
    compileall.compile_dir(os.path.dirname(cpods.__file__), quiet=2)
    ran = running.run([_tailored(one, said) for one in registry.benchmarks(said.names)], ask, _progress)
    if ran.records:
        print(ran.records[0].stamp.machine)
        tables.show(tables.rows_table(ran.records), sys.stdout)
    for sentence in ran.failed:
        print(f"benchmarks: {sentence}", file=sys.stderr)
    if ran.interrupted:
        print(f"benchmarks: interrupted; {len(ran.records)} rows are complete and written down", file=sys.stderr)
        return 130
    return 1 if ran.failed else 0


def _compare(said: argparse.Namespace) -> int:
    from benchmarks import compare, tables

    tables.show(compare.compared(said.a, said.b, said.workload, _progress), sys.stdout)
    return 0


def _report(said: argparse.Namespace) -> int:
    from benchmarks.report import page

    written = page.write(results.read(said.results), said.to)
    print(f"{written}: written", file=sys.stderr)
    return 0


def _tailored(benchmark: Benchmark, said: argparse.Namespace) -> Benchmark:
    """With the flags that only one benchmark has."""
    if benchmark.name == "overhead" and (said.null or said.full):
        from benchmarks import overhead

        return msgspec.structs.replace(benchmark, run=overhead.runner(said.null, said.full))
    if benchmark.name == "dispatch" and (said.full or said.no_dask):
        from benchmarks import dispatch

        return msgspec.structs.replace(benchmark, run=dispatch.runner(said.full, dask=not said.no_dask))
    return benchmark


def _words(said: argparse.Namespace) -> tuple[str, ...]:
    null = f"--null {','.join(map(str, said.null))}" if said.null else ""
    return tuple(filter(None, (null, f"--full {said.full}" if said.full else "", "--no-dask" if said.no_dask else "")))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
