"""The latex chef: plans an engine's run, reads what it recorded, and asks for the helpers that its outputs need.

Knows no process: it sees the workspace after a run.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence

from cpods.chefs import pdfview, texsystem
from cpods.chefs.bibliography import bibliography_helpers
from cpods.chefs.index import index_helpers
from cpods.chefs.kpathsea import DEBUG_LEVEL, read_trace
from cpods.chefs.recorder import Places, Recording, appeared, is_report, parse_fls, traffic
from cpods.chefs.texaux import in_folder
from cpods.chefs.texlog import decode, page_count, read_problems
from cpods.declaration import Declaration, LatexDeclaration
from cpods.errors import ProjectFileError
from cpods.ids import FilePath, is_outside, normalise
from cpods.model import Exit, Observation, Problem, Remembered, Step
from cpods.ports import Toolbox, View

#: Lines of the log are not wrapped, and source lines in it are cut late; seen to leave .aux and PDF as they are.
_LOG_SHAPE = (("max_print_line", "10000"), ("error_line", "254"), ("half_error_line", "238"))
_QUIET = ("KPATHSEA_DEBUG", "max_print_line", "error_line", "half_error_line")
#: Engines that open files without asking kpathsea.
_UNSEEN_LOOKUPS = ("lualatex", "luatex", "dvilualatex", "context")
#: In a file name on the command line TeX takes these for itself (all seen to fail with pdflatex and lualatex).
_UNUSABLE = re.compile(r"[~%\\#{}]|\^\^|  |\"")
_PID_FLS = re.compile(r"(?:^|/)(?:\w*tex\d+|texput)\.fls$")


class LatexChef:
    """Runs pdflatex, xelatex or lualatex, always in a mirror: its reads are known only after a run."""

    name = "latex"
    version = 1
    #: Seen through these filters, a file is given to the engine as the filter leaves it: pdfTeX copies an included
    #: figure's dates without looking at them.
    substituted = frozenset({pdfview.FILTER})
    substituted_endings = (".pdf", ".PDF")

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]) -> Sequence[Step]:
        """One step for the engine; its helpers follow from what it writes. Raises ProjectFileError for a name TeX cannot read."""
        if not isinstance(declaration, LatexDeclaration):
            return ()
        argument, main = _main_file(declaration, frozenset(listing))
        stem = posixpath.splitext(posixpath.basename(argument))[0]
        job = declaration.jobname or stem
        name = f"latex:{declaration.main}" + (f"#{job}" if declaration.jobname not in ("", stem) else "")
        prefix = in_folder(declaration.cwd, job)
        return (
            Step(
                name=name,
                chef=self.name,
                tool=declaration.engine,
                argv=_command(declaration, argument),
                position=(index,),
                cwd=posixpath.normpath(declaration.cwd),
                inputs=(main,),
                outputs=(prefix + ".pdf",),
                env=(("KPATHSEA_DEBUG", DEBUG_LEVEL), *_LOG_SHAPE),
                quiet=_QUIET,
                pass_env=texsystem.PASS_ENV + declaration.env,
                open_reads=True,
                # Look-ups that nobody sees: any file that appears or goes may have been looked for.
                globs=("**",) if _looks_unseen(declaration) else (),
                may_write=(prefix + ".",),
                always_mirror=True,
                pure=True,
                main=main,
                jobname=job,
                options=_options(declaration, prefix, listing, recorded),
                max_passes=declaration.max_passes,
                policy=declaration.policy,
                timeout=declaration.timeout,
                tool_match=declaration.tool_match,
            ),
        )

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """Reads, absent files and writes by .fls and search trace; complaints by the log; helpers by .aux, .bcf, .idx."""
        recording = _recording(step, view)
        places = Places(view.root, step.cwd, recording.folder)
        seen = traffic(recording, read_trace(exit.stderr), view, places)
        absent = set(seen.absent)
        if step.tool in _UNSEEN_LOOKUPS or _option(step, "shell_escape") == "yes":
            absent.update(path for path in appeared(view) if path not in step.outputs)
        ended = texsystem.ended_by_itself(exit)
        log = _log(step, view, exit)
        return Observation(
            reads=seen.reads,
            absent=tuple(sorted(absent - set(seen.reads))),
            writes=seen.writes,
            problems=_problems(log, step, view, places, exit),
            usable_outputs=ended,
            helpers=tuple(_helpers(step, view, seen.writes)) if ended else (),
            pages=page_count(log),
        )

    def filter_for(self, step: Step, path: FilePath) -> str:
        """An included PDF without its dates and /ID, which no engine copies; everything else byte for byte."""
        return pdfview.FILTER if path.endswith((".pdf", ".PDF")) and path not in step.outputs else ""

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """``pdf``: the bytes with the dates and /ID blanked."""
        return pdfview.without_dates(data) if name == pdfview.FILTER else data

    def fingerprint(self, step: Step, toolbox: Toolbox) -> str:
        """Engine, format by what decides it, owners of the TeX trees, own trees."""
        return texsystem.engine_fingerprint(step.tool, toolbox)


def _main_file(declaration: LatexDeclaration, listing: frozenset[FilePath]) -> tuple[str, FilePath]:
    """(the engine's argument, project path of the main file). ``main`` is relative to ``cwd``, or else to the project."""
    for ending in ("", ".tex"):
        beside = normalise(declaration.main + ending, declaration.cwd)
        if beside in listing:
            return _argument(declaration.main), beside
    for ending in ("", ".tex"):
        if normalise(declaration.main + ending) in listing:
            return _argument(posixpath.relpath(declaration.main, declaration.cwd)), normalise(declaration.main + ending)
    return _argument(declaration.main), normalise(declaration.main, declaration.cwd)


def _argument(main: str) -> str:
    """``main`` so that an engine takes it for a file name: not an option, a format or a home folder."""
    if found := _UNUSABLE.search(main):
        what = "two blanks in a row" if found[0].isspace() else f"'{found[0]}'"
        raise ProjectFileError(main, f"TeX cannot read a main file with {what} in its name; rename the file")
    return "./" + main if main.startswith(("-", "&", "*")) else main


def _command(declaration: LatexDeclaration, argument: str) -> tuple[str, ...]:
    options = ["-recorder", "-interaction=nonstopmode", "-file-line-error"]
    if declaration.synctex:
        options.append("-synctex=1")
    if declaration.shell_escape:
        options.append("-shell-escape")
    if declaration.jobname:
        options.append(f"-jobname={declaration.jobname}")
    return (declaration.engine, *options, argument)


def _looks_unseen(declaration: LatexDeclaration) -> bool:
    return declaration.engine in _UNSEEN_LOOKUPS or declaration.shell_escape


def _options(
    declaration: LatexDeclaration, prefix: str, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]
) -> tuple[tuple[str, str], ...]:
    options: list[tuple[str, str]] = [("bibliography", declaration.bibliography), ("index", declaration.index)]
    if declaration.shell_escape:
        options.append(("shell_escape", "yes"))
    if _looks_unseen(declaration):
        options.append(("unseen_lookups", "yes"))
    bbl = prefix + ".bbl"
    if bbl in listing and not any(bbl in known.writes for known in recorded.values()):
        # A .bbl that came with the project may be its only bibliography: arXiv sources have no .bib.
        options.append(("bbl", "source"))
    return tuple(options)


def _option(step: Step, name: str) -> str:
    return dict(step.options).get(name, "")


def _recording(step: Step, view: View) -> Recording:
    """The .fls of this run: under the job's name, or (if the engine gave up early) under its process id or texput."""
    regular = in_folder(step.cwd, step.jobname) + ".fls"
    changed = [path for path in view.changed() if path.endswith(".fls")]
    chosen = regular if regular in changed else next((path for path in changed if _PID_FLS.search(path)), None)
    return parse_fls((view.read(chosen) or b"") if chosen else b"")


def _log(step: Step, view: View, exit: Exit) -> str:
    """The log of this run; what it printed if there is none."""
    path = in_folder(step.cwd, step.jobname) + ".log"
    return decode((view.read(path) or b"") if path in view.changed() else exit.stdout)


def _problems(log: str, step: Step, view: View, places: Places, exit: Exit) -> tuple[Problem, ...]:
    ended = texsystem.ended_by_itself(exit)
    problems = read_problems(log, step.main, places.project_path, view.read, failed=ended and exit.code != 0)
    if exit.timed_out:
        return (Problem(f"{step.tool} took longer than {step.timeout} s and was ended", step.main), *problems)
    if exit.error:
        return (Problem(f"{step.tool} could not be started: {exit.error}"), *problems)
    if exit.code < 0:
        return (Problem(f"{step.tool} was killed by signal {-exit.code}{_last_words(exit)}", step.main), *problems)
    return problems


def _last_words(exit: Exit) -> str:
    """What a dying engine said last on standard error, search trace aside."""
    lines = [line.strip() for line in decode(exit.stderr).split("\n") if line.strip() and "kdebug:" not in line]
    return f": {lines[-1][:200]}" if lines else ""


def _helpers(step: Step, view: View, writes: Sequence[FilePath]) -> list[Step]:
    fresh = [path for path in writes if not is_outside(path) and not is_report(path)]
    return [
        *bibliography_helpers(step, _option(step, "bibliography") or "auto", view, fresh),
        *index_helpers(step, _option(step, "index") or "auto", view, fresh),
    ]
