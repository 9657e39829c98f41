"""The examples whose programs are written by the documents that read what they print, and a count by hand of their rounds.

Knows no part of cpods: it runs the tools themselves, all of them, round after round, until a state comes back.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.lab import ENVIRONMENT

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Written by tools, and by none of them read.
REPORTS = (".log", ".pdf", ".fls", ".gz")


@dataclass(frozen=True)
class Example:
    """One of the examples. ``rounds``: the command lines of one round, in the order of the project file.

    ``swing``: what to write to switch.tex, so that the build never comes to rest.
    """

    name: str
    document: str
    program: str
    sources: tuple[str, ...]
    swing: str
    rounds: tuple[str, ...]

    def copied(self, place: Path, swings: bool = False) -> Path:
        """Its sources in a new folder."""
        folder = place / self.name
        folder.mkdir()
        for name in self.sources:
            shutil.copy(EXAMPLES / self.name / name, folder)
        if swings:
            (folder / "switch.tex").write_text(self.swing)
        return folder


LATEX = Example(
    name="latex-python",
    document="latex:evenings.tex",
    program="plan",
    sources=("cpods.toml", "evenings.tex", "switch.tex"),
    swing="\\newcommand\\detailpages{5}\n",
    rounds=("pdflatex -interaction=batchmode evenings.tex", "python3 plan.py"),
)
CONTEXT = Example(
    name="context-program",
    document="context:reader.tex",
    program="walk",
    sources=("cpods.toml", "reader.tex", "switch.tex"),
    swing="\\def\\LongTable{6}\n",
    rounds=(
        "context --once --nonstopmode reader.tex",
        "cc -std=c99 -O1 -c sim.c",
        "cc -std=c99 -O1 -c main.c",
        "cc -o sim sim.o main.o",
        "./sim places.dat > visits.tex",
    ),
)


def by_hand(example: Example, folder: Path) -> tuple[int, int]:
    """(tail, period): all tools run, one round after the other, until the files that they write are as they were after an earlier round."""
    states: list[Mapping[str, str]] = [state(example, folder)]
    environment = {**os.environ, **ENVIRONMENT}
    while states[-1] not in states[:-1]:
        assert len(states) < 20
        for line in example.rounds:
            subprocess.run(line, shell=True, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        states.append(state(example, folder))
    tail = states.index(states[-1])
    return tail, len(states) - 1 - tail


def state(example: Example, folder: Path) -> dict[str, str]:
    """SHA-256 of the files that the tools have made, but reports, by name."""
    files = (file for file in folder.iterdir() if file.is_file() and file.name not in example.sources and file.suffix not in REPORTS)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
