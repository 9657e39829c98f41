"""``python -m benchmarks``: which benchmark, with what flags.

Knows no benchmark's work.
"""

import argparse
import json
import sys

from benchmarks import overhead
from benchmarks.measure import machine
from benchmarks.overhead import Plan


def main(arguments: list[str]) -> int:
    """Runs the benchmark that is asked for; the exit code."""
    said = _parser().parse_args(arguments)
    if said.benchmark == "list":
        print("overhead   what cpods itself costs beside ninja: null builds, one changed source, a full build, memory")
        return 0
    plan = _plan(said)
    try:
        rows = overhead.run(plan, progress=lambda text: print(text, file=sys.stderr, flush=True))
    except overhead.CannotMeasure as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(machine(plan.folder), overhead.table(rows), sep="\n\n")
    if said.json:
        with open(said.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine(plan.folder), "rows": overhead.as_data(rows)}, file, indent=1)
            file.write("\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures cpods beside other programs.")
    parser.add_argument("benchmark", nargs="?", choices=("list", "overhead"), default="list")
    parser.add_argument("--quick", action="store_true", help="few repeats, small projects")
    parser.add_argument("--repeats", type=int, default=0, metavar="N", help="repeats of each row (default 9, with --quick 3)")
    parser.add_argument("--null", default="", metavar="N,N", help="steps of the null builds (default 1000,10000, with --quick 100)")
    parser.add_argument("--full", type=int, default=0, metavar="N", help="steps of the full build (default 1000, with --quick 100)")
    parser.add_argument("--folder", default="", help="where the projects are made (default: a temporary folder)")
    parser.add_argument("--json", default="", metavar="FILE", help="write all figures")
    return parser


def _plan(said: argparse.Namespace) -> Plan:
    usual = Plan(repeats=3, null_steps=(100,), full_steps=100) if said.quick else Plan()
    return Plan(
        repeats=said.repeats or usual.repeats,
        null_steps=tuple(int(text) for text in said.null.split(",")) if said.null else usual.null_steps,
        full_steps=said.full or usual.full_steps,
        folder=said.folder,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
