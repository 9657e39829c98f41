"""The figure chef: what a run for one externalised picture read, made and complained about.

Knows not which pictures there are: module figures plans them.

What counts as read is pgf's own contract, made strict:

- PICTURE.md5 (the code of the picture), and the main file up to its last ``\\begin{document}`` outside of comments;
- all that was read before the document began, and inside of the picture, by the order of events in the recorder file;
- of the text before the picture, tables and images (``_DATA``): they may be kept in macros that the picture uses;
- the .aux and .bbl files, if the picture has references. A first run does not read them; if references then are undefined
  inside of the picture, pgf notes it in PICTURE.dpth, and the step is planned anew as one that reads them (and notes that);
- the PDF of the document, if no picture came out: then the cause may be anywhere in the text.

So macros and counters that the text changes on the way to a picture do not count. Where pgf keeps no .md5 (with ``up to date
check=simple``, or ``mode=graphics if exists``) a picture depends on every file that its run read. An error outside of the picture is
the document's, not the picture's. Two calls of ``\\openin`` on null.tex mark where the document begins and the picture ends.
"""

import posixpath
import re
from collections.abc import Iterable, Sequence

from cpods.chefs.figurefiles import FILTER, Marked, is_passing, marked, preamble
from cpods.chefs.gnuplot import gnuplot_helpers
from cpods.chefs.helping import Asked
from cpods.chefs.kpathsea import read_trace
from cpods.chefs.latex import LatexChef
from cpods.chefs.recorder import Places, parse_fls, traffic
from cpods.chefs.rules import rule_helpers
from cpods.chefs.texaux import in_folder
from cpods.chefs.texlog import decode, read_problems
from cpods.chefs.texsystem import ended_by_itself
from cpods.declaration import Declaration
from cpods.ids import FilePath
from cpods.model import Exit, Observation, Problem, Step
from cpods.ports import View

_REFUSED = re.compile(r"^runsystem\((?P<command>.*)\)\.\.\.disabled", re.M)

#: Tables and images.
_DATA = (
    *(".csv", ".tsv", ".dat", ".txt", ".table", ".json", ".xml", ".data"),
    *(".pdf", ".png", ".jpg", ".jpeg", ".jp2", ".eps", ".ps", ".mps", ".svg", ".bmp"),
)


class FigureChef(LatexChef):
    """Runs the engine of a document for one of its pictures."""

    name = "figure"
    version = 1

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: object) -> Sequence[Step]:
        """Nothing: pictures are asked for by the document's run."""
        return ()

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """What counts as read (see the module), the picture with what pgf notes of it, and errors inside of the picture."""
        stem = in_folder(step.cwd, step.jobname)
        data = (view.read(stem + ".fls") or b"") if stem + ".fls" in view.changed() else b""
        places = Places(view.root, step.cwd, parse_fls(data).folder)
        seen = traffic(parse_fls(data), read_trace(exit.stderr), view, places)
        writes = tuple(path for path in seen.writes if path.startswith(stem + ".") or path.endswith(".gnuplot"))
        is_made = stem + ".pdf" in writes and stem + ".pdf" in view.changed()
        reads = {path for path in seen.reads if not path.startswith(stem + ".")} | {path for path in step.inputs if view.before(path)}
        absent = {path for path in seen.absent if not path.startswith(stem + ".")}
        options = dict(step.options)
        if options.get("reads") != "all":
            reads &= {step.main, *step.inputs, *_counted(reads, marked(data, step, places), options.get("reads") == "labels")}
            absent = {path for path in absent if not is_passing(path)}
        asked = Asked(view, frozenset(absent), frozenset(reads), frozenset(writes))
        # The document's next run includes the picture, and asks no more for what is in it.
        helpers = [*gnuplot_helpers(step, asked, 7), *rule_helpers(step, asked, 10)]
        if not is_made:
            document = options["document"] + ".pdf"
            (reads if view.before(document) else absent).add(document)
        problems = self._complaints(step, view, exit, places, is_made)
        served = {helper.main for helper in helpers}
        problems = tuple(problem for problem in problems if not _is_served(problem, served, step.cwd))
        return Observation(
            reads=tuple(sorted(reads)),
            absent=tuple(sorted(absent - reads)),
            writes=writes,
            problems=problems,
            usable_outputs=ended_by_itself(exit),
            helpers=tuple(helpers),
            exit_code=0 if is_made and ended_by_itself(exit) and not problems else None,
        )

    def _complaints(self, step: Step, view: View, exit: Exit, places: Places, is_made: bool) -> tuple[Problem, ...]:
        if not ended_by_itself(exit):
            return super().observe(step, view, exit).problems
        stem = in_folder(step.cwd, step.jobname)
        log = decode(view.read(stem + ".log") or exit.stdout)
        if is_made:
            log = inside(log, step.jobname)
        problems = read_problems(log, step.main, places.project_path, view.read, failed=False)
        problems = (*(problem for problem in problems if problem.severity == "error"), *_refusals(log, stem, step.main))
        return problems if is_made or problems else (Problem(f"the run for the picture {stem} made none", step.main),)

    def filter_for(self, step: Step, path: FilePath) -> str:
        """Of the main file what comes before the document, if pgf keeps the picture's code; an included PDF without dates."""
        if path == step.main and dict(step.options).get("reads") != "all":
            return FILTER
        return super().filter_for(step, path)

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """``figure-preamble``: all before the text."""
        return preamble(data) if name == FILTER else super().filter(name, path, data)


def _refusals(log: str, picture: FilePath, main: FilePath) -> list[Problem]:
    """Programs that the picture wanted to run (gnuplot, say): without them it is not what it says, and pgf only warns."""
    asked = dict.fromkeys(found["command"] for found in _REFUSED.finditer(log))
    text = "the picture {} runs `{}`, which the document may not; name the program in the step's shell_escape"
    return [Problem(text.format(picture, command), main) for command in asked]


def _is_served(problem: Problem, scripts: Iterable[FilePath], cwd: str) -> bool:
    """Whether a program that the picture may not run is run by a helper instead."""
    names = [posixpath.relpath(script, cwd) for script in scripts]
    return "which the document may not" in problem.message and any(name in problem.message for name in names)


def _counted(reads: Iterable[FilePath], events: Marked, labels: bool) -> set[FilePath]:
    """The reads on which a picture depends."""
    counted = {path for path in (*events.before, *events.inside) if not is_passing(path)}
    counted.update(path for path in events.text if path.lower().endswith(_DATA))
    # What only the search trace names has no place in the recorder's order of events.
    untold = (path for path in reads if path not in events.told)
    counted.update(path for path in untold if path.lower().endswith(_DATA))
    if labels:
        counted.update(path for path in reads if path.endswith((".aux", ".bbl")))
    return counted


def inside(log: str, job: str) -> str:
    """The part of a log that was written while the picture was typeset."""
    start = re.search(rf"\\openout\d+ = [`']?{re.escape(job)}\.dpth", log)
    ends = [found.start() for found in re.finditer(r"\[1(?=[\]{<\n])", log)]
    return log[start.end() if start else 0 : ends[-1] if ends else len(log)]
