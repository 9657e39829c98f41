"""``python -m benchmarks``: which benchmark, with what flags.

Knows no benchmark's work.
"""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from benchmarks import dispatch, locate, overhead, transfer
from benchmarks.measure import machine


def main(arguments: list[str]) -> int:
    """Runs the benchmark that is asked for; the exit code."""
    said = _parser().parse_args(arguments)
    if said.benchmark == "list":
        print("\n".join(f"{name:11}{question}" for name, (question, _) in BENCHMARKS.items()))
        return 0
    try:
        text, data = BENCHMARKS[said.benchmark][1](said)
    except (overhead.CannotMeasure, locate.Disagreement, transfer.CannotMeasure, dispatch.CannotMeasure) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(machine(said.folder), text, sep="\n\n")
    if said.json:
        with open(said.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine(said.folder), **data}, file, indent=1)
            file.write("\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures cpods beside other programs.")
    parser.add_argument("benchmark", nargs="?", choices=("list", *BENCHMARKS), default="list")
    parser.add_argument("--quick", action="store_true", help="few repeats, small projects, a small catalogue")
    parser.add_argument("--repeats", type=int, default=0, metavar="N", help="repeats of each row (overhead 9, locate 300; --quick: 3, 50)")
    parser.add_argument("--null", default="", metavar="N,N", help="steps of the null builds (default 1000,10000, with --quick 100)")
    parser.add_argument("--full", type=int, default=0, metavar="N", help="steps of the full build (default 1000, with --quick 100)")
    parser.add_argument("--no-dask", action="store_true", help="dispatch without dask.distributed beside it")
    parser.add_argument("--folder", default="", help="where projects and files are made (default: a temporary folder)")
    parser.add_argument("--json", default="", metavar="FILE", help="write all figures")
    return parser


def _overhead(said: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    usual = overhead.Plan(repeats=3, null_steps=(100,), full_steps=100) if said.quick else overhead.Plan()
    plan = overhead.Plan(
        repeats=said.repeats or usual.repeats,
        null_steps=tuple(int(text) for text in said.null.split(",")) if said.null else usual.null_steps,
        full_steps=said.full or usual.full_steps,
        folder=said.folder,
    )
    rows = overhead.run(plan, _progress)
    return overhead.table(rows), {"rows": overhead.as_data(rows)}


def _locate(said: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    usual = locate.Plan(artefacts=50_000, questions=50) if said.quick else locate.Plan()
    found = locate.run(usual._replace(questions=said.repeats or usual.questions, folder=said.folder), _progress)
    return locate.table(found), locate.as_data(found)


def _transfer(said: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    plan = transfer.Plan(repeats=said.repeats or (3 if said.quick else 9), folder=said.folder)
    rows = transfer.run(plan, _progress)
    return transfer.table(rows), transfer.as_data(rows)


def _dispatch(said: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    usual = dispatch.Plan(rounds=1, steps=500, alone=50) if said.quick else dispatch.Plan()
    plan = usual._replace(rounds=said.repeats or usual.rounds, steps=said.full or usual.steps, folder=said.folder, dask=not said.no_dask)
    found = dispatch.run(plan, _progress)
    return dispatch.table(found), found


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


#: By name: the question that it answers, and how it is run (from the flags to a table and the same as data).
BENCHMARKS: dict[str, tuple[str, Callable[[argparse.Namespace], tuple[str, dict[str, Any]]]]] = {
    "overhead": ("what cpods itself costs beside ninja: null builds, one changed source, a full build, memory", _overhead),
    "transfer": ("how fast artefacts move: by SFTP from both servers, beside sftp, scp and rsync from one sshd", _transfer),
    "dispatch": ("what a step costs on its way to a pod and back, beside dask.distributed", _dispatch),
    "locate": ("how fast it is found who holds most bytes of a step's inputs: a million artefacts on a hundred pods", _locate),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
