"""What is installed on this machine: fingerprints of steps' tools, and the versions that a pod tells of itself.

Knows no order; the chefs say what decides a tool.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from cpods.chefs.toolbox import MachineToolbox, still_valid
from cpods.model import Step
from cpods.ports import Chef, Command, Executor, Fingerprint

#: So long a fingerprint is believed without looking at the files behind it.
CHECK_SECONDS = 30.0

#: Programs whose versions are told, if they are there.
TOLD = ("pdflatex", "xelatex", "lualatex", "bibtex", "biber", "makeindex", "makeglossaries", "gcc", "g++", "clang", "make", "python3", "sh")
_VERSION_SECONDS_MAX = 10.0
_LINE_CHARACTERS_MAX = 120

Deciding = tuple[object, ...]


class Tools:
    """Fingerprints, kept as long as the files behind them stay as they are. One look at a time, in a thread."""

    def __init__(self, chefs: Mapping[str, Chef], environment: Mapping[str, str], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._chefs = chefs
        self._environment = dict(environment)
        self._monotonic = monotonic
        self._known: dict[Deciding, tuple[Fingerprint, float]] = {}
        self._looking = asyncio.Lock()

    async def fingerprints(self, steps: Sequence[Step]) -> list[str]:
        """In the order of the steps; '' where the program that starts a step is missing, or nobody knows its chef."""
        found = [self._remembered(step) for step in steps]
        if None in found:
            async with self._looking:
                found = list(await asyncio.to_thread(lambda: [self._look(step) for step in steps]))
        return [value or "" for value in found]

    def missing(self, step: Step) -> list[str]:
        """The step's programs that are not in this pod's PATH."""
        toolbox = MachineToolbox(self._environment)
        named = dict.fromkeys((*step.argv[:1], *step.tools))
        return [program for program in named if not _is_local(program) and toolbox.which(program) is None]

    def _remembered(self, step: Step) -> str | None:
        known = self._known.get(_deciding(step))
        if known is None or self._monotonic() - known[1] > CHECK_SECONDS:
            return None
        return known[0].digest

    def _look(self, step: Step) -> str:
        remembered = self._remembered(step)
        if remembered is not None:
            return remembered
        deciding = _deciding(step)
        known = self._known.get(deciding)
        fingerprint = known[0] if known is not None and still_valid(known[0].stamps) else self._compute(step)
        self._known[deciding] = (fingerprint, self._monotonic())
        return fingerprint.digest

    def _compute(self, step: Step) -> Fingerprint:
        toolbox = MachineToolbox(self._environment)
        starts = step.argv[0] if step.argv else ""
        present = _is_local(starts) or toolbox.which(starts) is not None
        known_chef = step.chef in self._chefs
        value = self._chefs[step.chef].fingerprint(step, toolbox) if present and known_chef else ""
        return Fingerprint(value, toolbox.stamps())


def _is_local(program: str) -> bool:
    """Whether a program is a file of the project itself (``./gen``)."""
    return "/" in program and not program.startswith("/")


def _deciding(step: Step) -> Deciding:
    return (step.chef, step.tool, step.argv[:1], step.tools, step.pass_env, step.env, step.quiet)


async def versions(environment: Mapping[str, str], executor: Executor) -> tuple[tuple[str, str], ...]:
    """(program, first line of what it says of its version) for those of TOLD that are there."""
    toolbox = MachineToolbox(environment)
    env = tuple(sorted({**environment, "LC_ALL": "C"}.items()))
    found = []
    for program in TOLD:
        path = toolbox.which(program)
        if path is not None:
            # Some (Perl) take a second of work: steps that come meanwhile go first.
            exit = await executor.run(Command(("nice", "-n", "19", path, "--version"), "/", env, timeout=_VERSION_SECONDS_MAX))
            line = _first_line(exit.stdout) if exit.code == 0 else ""
            found += [(program, line)] if line else []
    return tuple(found)


def _first_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").splitlines()
    return next((line.strip()[:_LINE_CHARACTERS_MAX] for line in lines if line.strip()), "")
