"""What real runs build: a workload as a project of steps that each start a small program, and the examples of this repository.

Knows no federation. The program is compiled once and found by PATH, so that it is a tool with a fingerprint and no file that moves.
"""

import fnmatch
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol

import msgspec

from benchmarks.suite import CannotMeasure
from benchmarks.workload import Workload

PROGRAM = "cpods-bench-step"
_HERE = os.path.dirname(os.path.abspath(__file__))
_SOURCE = os.path.join(_HERE, "realstep.c")
_EXAMPLES = os.path.join(os.path.dirname(_HERE), "examples")


class Project(Protocol):
    """Something to build."""

    @property
    def brings(self) -> bool:
        """Whether what it makes is brought to the founder, as users have it."""

    def write(self, folder: str, build: int) -> Sequence[str]:
        """Makes or changes the project for the build with this number, from 0: every step has to run; the goals, () for its own."""

    def made(self, folder: str, report: Mapping[str, Any]) -> dict[str, str]:
        """Digests of what that build made, by path: what has to be the same wherever the steps ran."""


class GraphProject(msgspec.Struct, frozen=True):
    """A graph in its real form (see :func:`benchmarks.realgraph.real_form`). All that it makes stays where it was made."""

    graph: Workload
    brings: bool = False

    def write(self, folder: str, build: int) -> Sequence[str]:
        """The number is an argument of every step, so that each makes other bytes than in the build before. Goals: what nobody reads."""
        graph = self.graph
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "cpods.toml"), "w", encoding="utf-8") as file:
            file.write('[project]\nname = "real run"\ndate = "2024-01-01"\n')
            for step, name in enumerate(graph.names):
                inputs = [self._output(made) for made in graph.inputs[step]]
                words = [PROGRAM, str(build), str(round(graph.runtime[step] * 1e6)), str(graph.size[step]), self._output(step), *inputs]
                file.write(f'\n[[step]]\nname = "{name}"\nrun = "{" ".join(words)}"\n')
                file.write(f"inputs = {_list(inputs)}\noutputs = {_list([self._output(step)])}\n")
        return [self._output(step) for step, readers in enumerate(graph.followers) if not readers]

    def made(self, folder: str, report: Mapping[str, Any]) -> dict[str, str]:
        """Everything, as the catalogue has it, wherever it lies."""
        path = os.path.join(folder, ".cpods", "catalogue.db")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as catalogue:
            return dict(catalogue.execute("SELECT path, digest FROM written ORDER BY path"))

    def _output(self, step: int) -> str:
        return f"out/{self.graph.names[step]}"


class Example(msgspec.Struct, frozen=True):
    """One of the repository's examples, built as its users build it: once, from sources that lie at the founder."""

    name: str
    brings: bool = True

    def write(self, folder: str, build: int) -> Sequence[str]:
        """A copy without what an earlier build in the repository has left: what .gitignore names."""
        origin = os.path.join(_EXAMPLES, self.name)
        patterns = [line.removeprefix(f"/examples/{self.name}/") for line in _lines(os.path.join(_EXAMPLES, "..", ".gitignore"))]
        patterns += [line.strip("/") for line in _lines(os.path.join(origin, ".gitignore"))]

        def left_over(place: str, names: list[str]) -> list[str]:
            return [name for name in names if place == origin and any(fnmatch.fnmatch(name, pattern) for pattern in (*patterns, ".cpods"))]

        shutil.copytree(origin, folder, ignore=left_over, dirs_exist_ok=True)
        return ()

    def made(self, folder: str, report: Mapping[str, Any]) -> dict[str, str]:
        """The goals."""
        return {goal["path"]: goal["digest"] for goal in report["goals"]}


def compile_program(folder: str) -> str:
    """Compiles the steps' program into ``folder``, which then belongs in PATH; the folder. Raises CannotMeasure."""
    compiler = next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        raise CannotMeasure("no C compiler is installed, which the steps of a real run need: install gcc")
    os.makedirs(folder, exist_ok=True)
    ran = subprocess.run([compiler, "-O2", "-o", os.path.join(folder, PROGRAM), _SOURCE], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise CannotMeasure(f"{_SOURCE} could not be compiled: {ran.stderr.strip()[-1000:]}")
    return folder


def _list(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _lines(path: str) -> list[str]:
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("#")]
