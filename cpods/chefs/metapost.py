"""The metapost chef: plans the run that draws one MetaPost file's figures, and finds out which those are.

Knows no document that shows them.

Labels are set by TeX, which mpost starts on a file of a random name and whose result it keeps in ``JOB.mpx``; whether that is
made anew it decides by file times. So neither counts: a run never sees an .mpx of an earlier one, and none is stored.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence

from cpods.chefs import texsystem
from cpods.chefs.kpathsea import DEBUG_LEVEL, read_trace
from cpods.chefs.recorder import Places, parse_fls, traffic
from cpods.chefs.texaux import in_folder
from cpods.chefs.texlog import decode, read_problems
from cpods.declaration import Declaration, MetapostDeclaration
from cpods.errors import ProjectFileError
from cpods.ids import FilePath, normalise
from cpods.model import Exit, Observation, Problem, Remembered, Step
from cpods.ports import Toolbox, View

_LOG_SHAPE = (("max_print_line", "10000"), ("error_line", "254"), ("half_error_line", "238"))
_QUIET = ("KPATHSEA_DEBUG", "max_print_line", "error_line", "half_error_line")
_PASS_ENV = ("MPMEMS", "MPSUPPORT", "MPXCOMMAND", "MFINPUTS")
#: Made by mpost for TeX (mp and six letters or digits), or left by it when TeX failed.
_RANDOM = re.compile(r"(?:^|/)mp[A-Za-z0-9]{6}\.\w+$")
_PASSING = re.compile(r"\.mpx$|(?:^|/)(?:makempx\.log|mpxerr\.\w+)$")
_LABEL = "Unable to read mpx file"


class MetapostChef:
    """Runs mpost."""

    name = "metapost"
    version = 1

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]) -> Sequence[Step]:
        """One step. What is declared must be made; if nothing is, the log stands for the figures as a goal.

        Raises ProjectFileError for a name that mpost cannot read.
        """
        if not isinstance(declaration, MetapostDeclaration):
            return ()
        name, main = _main_file(declaration, frozenset(listing))
        prefix = in_folder(declaration.cwd, posixpath.splitext(posixpath.basename(main))[0])
        outputs = tuple(normalise(path) for path in declaration.outputs)
        return (
            Step(
                name=f"metapost:{declaration.main}",
                chef=self.name,
                tool="mpost",
                argv=("mpost", "-recorder", "-interaction=nonstopmode", "-file-line-error", f"-tex={declaration.tex}", name),
                position=(index,),
                cwd=posixpath.normpath(declaration.cwd),
                inputs=(main,),
                outputs=outputs or (prefix + ".log",),
                env=(("KPATHSEA_DEBUG", DEBUG_LEVEL), *_LOG_SHAPE),
                quiet=_QUIET,
                pass_env=texsystem.PASS_ENV + _PASS_ENV + declaration.env,
                may_write=(prefix + ".", prefix + "-"),
                always_mirror=True,
                pure=True,
                main=main,
                jobname=posixpath.basename(prefix),
                timeout=declaration.timeout,
                tool_match=declaration.tool_match,
            ),
        )

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """Reads, absent files and writes by .fls and search trace, TeX's for the labels among them; complaints by the logs."""
        stem = in_folder(step.cwd, step.jobname)
        recorded = stem + ".fls"
        recording = parse_fls((view.read(recorded) or b"") if recorded in view.changed() else b"")
        places = Places(view.root, step.cwd, recording.folder)
        trace = read_trace(exit.stderr)
        seen = traffic(recording, trace, view, places)
        random = {path.rpartition(".")[0] for kind, path in trace.events if kind == "OUTPUT" and _RANDOM.search(path)}
        reads = {*(path for path in seen.reads if not _PASSING.search(path)), *(path for path in step.inputs if view.before(path))}
        absent = {path for path in seen.absent if not _PASSING.search(path) and posixpath.basename(path).rpartition(".")[0] not in random}
        return Observation(
            reads=tuple(sorted(reads)),
            absent=tuple(sorted(absent - reads)),
            writes=tuple(path for path in seen.writes if not _PASSING.search(path) and not _RANDOM.search(path)),
            problems=self._problems(step, view, places, exit),
        )

    def _problems(self, step: Step, view: View, places: Places, exit: Exit) -> tuple[Problem, ...]:
        path = in_folder(step.cwd, step.jobname) + ".log"
        log = decode((view.read(path) or b"") if path in view.changed() else exit.stdout)
        failed = texsystem.ended_by_itself(exit) and exit.code != 0
        problems = read_problems(log, step.main, places.project_path, view.read, failed=failed)
        told = (*texsystem.end_problems(step, exit), *(_told(problem, step, view) for problem in problems))
        missing = [path for path in step.outputs if not view.exists(path)] if not told else []
        return (*told, *(Problem(f"step {step.name} ended well but did not make {path}", file=path) for path in missing))

    def filter_for(self, step: Step, path: FilePath) -> str:
        """Identity: no comment of a figure is provably without effect."""
        return ""

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """``data``: there are no filters."""
        return data

    def fingerprint(self, step: Step, toolbox: Toolbox) -> str:
        """mpost, the engines that may set its labels, formats by what decides them, owners of the TeX trees, own trees."""
        return texsystem.engine_fingerprint("mpost", toolbox, ("tex", "etex", "latex"))


def _main_file(declaration: MetapostDeclaration, listing: frozenset[FilePath]) -> tuple[str, FilePath]:
    """(mpost's argument, project path). ``main`` is relative to ``cwd``, or else to the project."""
    if "%" in declaration.main or "\\" in declaration.main or '"' in declaration.main:
        raise ProjectFileError(declaration.main, 'MetaPost cannot read a main file with %, \\ or " in its name; rename the file')
    for ending in ("", ".mp"):
        beside = normalise(declaration.main + ending, declaration.cwd)
        if beside in listing:
            return _argument(declaration.main), beside
    for ending in ("", ".mp"):
        if normalise(declaration.main + ending) in listing:
            return _argument(posixpath.relpath(declaration.main, declaration.cwd)), normalise(declaration.main + ending)
    return _argument(declaration.main), normalise(declaration.main, declaration.cwd)


def _argument(main: str) -> str:
    return "./" + main if main.startswith(("-", "&", "*")) else main


def _told(problem: Problem, step: Step, view: View) -> Problem:
    """A complaint about labels with what TeX said of them."""
    if not problem.message.startswith(_LABEL):
        return problem
    errors = view.read(in_folder(step.cwd, "mpxerr.log"))
    said = read_problems(decode(errors), step.main, lambda name: None, view.read, failed=True) if errors else ()
    reason = said[0].message if said else "see what it printed"
    return Problem(f"TeX cannot set a label: {reason}", problem.file, problem.line, problem.source)
