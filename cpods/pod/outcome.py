"""What came of a run, in records: what was read and made, what is stored, how it ended.

Knows no process and no place but the one that it is told of.
"""

import os
import signal
from collections.abc import Callable, Iterable, Mapping

import msgspec

from cpods.digest import ABSENT
from cpods.eyes import Eyes
from cpods.ids import GLOB_FACT, FilePath
from cpods.model import Artefact, Exit, Observation, Output, Problem, Read, Result, Step, Version
from cpods.orders import Cooked, Execution, Order
from cpods.pod.commands import argv
from cpods.ports import Chef, Objects, Workspace
from cpods.synctex import ENDINGS as SYNCTEX_ENDINGS
from cpods.synctex import portable_synctex

#: Chefs whose logs may hold lines that only look like errors: there the exit code decides.
_BY_EXIT = ("latex", "tex")
#: What a chef that says nothing of it tidies before it is stored.
_TIDIED = (".log",)

#: Signals that a program brings upon itself, so that the same inputs bring them again. Not SIGABRT and SIGBUS: a full disk
#: brings them too (seen: pdfTeX aborts; who writes through a mapping gets SIGBUS).
_OWN_FAULTS = frozenset({signal.SIGSEGV, signal.SIGFPE, signal.SIGILL})


class Outcomes:
    """Makes records of runs on the pod ``name``. ``folder``: the project's."""

    def __init__(self, name: str, folder: Workspace, objects: Objects, chefs: Mapping[str, Chef], eyes: Eyes) -> None:
        self.name = name
        self._folder = folder
        self._objects = objects
        self._chefs = chefs
        self._eyes = eyes

    def refresh(self, path: FilePath) -> str:
        """The digest of a project file, looked at anew."""
        refresh: Callable[[FilePath], str] = getattr(self._folder, "refresh", self._folder.digest)
        return refresh(path)

    def see_matches(self, order: Order) -> None:
        """Before a run in a mirror: what matches patterns is known from here on. A file that comes later is none that was read."""
        for pattern in order.step.globs:
            self._eyes.edge(order.step, GLOB_FACT + pattern, order.overlay, order.hidden)

    def reads(self, order: Order, observed: Observation) -> tuple[Read, ...]:
        """Edge digests of what was read, from before the run; facts (listings of patterns) with them."""
        step = order.step
        found = {path: self._eyes.edge(step, path, order.overlay, order.hidden) for path in observed.reads}
        for path in observed.absent:
            found.setdefault(path, ABSENT)
        for pattern in step.globs:
            fact = GLOB_FACT + pattern
            found[fact] = self._eyes.edge(step, fact, order.overlay, order.hidden)
        return tuple(Read(path, digest) for path, digest in sorted(found.items()))

    @staticmethod
    def is_usable(order: Order, exit: Exit, observed: Observation) -> bool:
        """Whether others may read what a run made: it ended well, or its chef says so of a member of a knot."""
        clean = _code(exit, observed) == 0 and not any(problem.severity == "error" for problem in observed.problems)
        return clean or (observed.usable_outputs and order.knot != "")

    def execution(self, order: Order, exit: Exit) -> Execution:
        """The run as reports tell of it."""
        step, words = order.step, argv(order)
        return Execution(step.name, step.chef, step.tool, words, "run", order.pass_number, self.name, round(exit.seconds, 4), exit.code)

    def failed(self, order: Order, exit: Exit, observed: Observation) -> Cooked:
        """No usable outputs; a pure tool's failure is a result all the same."""
        problems = observed.problems or (Problem(exit.error or f"{order.step.tool} ended with exit code {exit.code}"),)
        code = exit.code or 1
        result = None
        is_own = code > 0 or -code in _OWN_FAULTS
        if order.step.pure and observed.follows and is_own and not exit.timed_out and not exit.error:
            reads = self.reads(order, observed)
            result = Result(
                order.static_key, order.step.name, reads, (), code, problems, usable=False, date=order.date, seconds=exit.seconds
            )
        return Cooked(self.execution(order, exit), result, False, problems, code, (*observed.reads, *observed.absent))

    def store(self, order: Order, exit: Exit, observed: Observation, reads: tuple[Read, ...], place: Workspace) -> Cooked:
        """Stores what a run in ``place`` made, and its result. Raises OSError."""
        outputs = []
        for path in observed.writes:
            artefact = self._take(path, place, self._chefs[order.step.chef])
            outputs.append(Output(path, Version(artefact.digest, artefact.size)))
        erring = any(p.severity == "error" for p in observed.problems) and order.step.chef not in _BY_EXIT
        failing = _code(exit, observed) or (1 if erring else 0)
        result = Result(
            static_key=order.static_key,
            step=order.step.name,
            reads=reads,
            outputs=tuple(outputs),
            exit_code=failing,
            problems=observed.problems,
            helpers=tuple(msgspec.structs.replace(helper, planner=order.step.name) for helper in observed.helpers),
            date=order.date,
            seconds=round(exit.seconds, 4),
            pages=observed.pages,
        )
        artefacts = {output.version.digest: output.version.size for output in outputs}
        reads_seen = (*observed.reads, *observed.absent)
        return Cooked(self.execution(order, exit), result, False, observed.problems, exit.code, reads_seen, artefacts)

    def _take(self, path: FilePath, place: Workspace, chef: Chef) -> Artefact:
        """Stores an output; SyncTeX files without the name of the folder that they were made in, logs without what only the chef reads."""
        tidied: Callable[[FilePath, bytes], bytes] | None = getattr(chef, "tidied", None)
        is_log = tidied is not None and path.endswith(getattr(chef, "tidied_endings", _TIDIED))
        if not is_log and not path.endswith(SYNCTEX_ENDINGS):
            take: Callable[[FilePath], Artefact] | None = getattr(place, "take", None) if place is self._folder else None
            return self._objects.put_file(os.path.join(place.root, path)) if take is None else take(path)
        if place is self._folder:
            self.refresh(path)
        if is_log and tidied is not None:
            return self._objects.put_bytes(tidied(path, place.read(path) or b""))
        shown: str = getattr(place, "shown", place.root)  # where the tool believed to be
        return self._objects.put_bytes(portable_synctex(place.read(path) or b"", shown))


def moved_problems(step: Step, paths: Iterable[FilePath]) -> tuple[Problem, ...]:
    """What to say if inputs change each time a step runs: told only when the build gives up."""
    names = ", ".join(sorted(paths))
    text = f"step {step.name} has no stable inputs: {names} changed each time while it ran"
    return (Problem(f"{text}; if the step itself writes it, name it in both outputs and optional, else call cpods again"),)


def _code(exit: Exit, observed: Observation) -> int:
    """What a run counts as."""
    return exit.code if observed.exit_code is None else observed.exit_code
