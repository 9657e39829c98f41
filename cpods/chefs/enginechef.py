"""What all TeX engines have in common as runs: what one read, missed and wrote, what it complained about, whom it asks for.

Knows no format and no plan: which macros an engine runs, and what is planned around it, is a matter of the chefs latex and tex.

LuaTeX's fonts come out of its loader's cache once they were seen, and no tool says then from which file: a font file of the
project counts as read if the cache entry of its name was read, or if the log names it as embedded.
"""

import posixpath
import re

from msgspec.structs import replace

from cpods.chefs import pdfview, texsystem
from cpods.chefs.engine import is_lua, option
from cpods.chefs.figures import without_requests
from cpods.chefs.helpers import Ended, helpers
from cpods.chefs.hints import advised
from cpods.chefs.kpathsea import read_trace
from cpods.chefs.recorder import Places, Recording, Traffic, appeared, is_report, parse_fls, traffic
from cpods.chefs.texaux import in_folder
from cpods.chefs.texlog import decode, embedded_fonts, is_cut_off, is_unexplained, page_count, read_problems
from cpods.chefs.unseen import named
from cpods.ids import FilePath
from cpods.model import Exit, Observation, Problem, Step
from cpods.ports import Toolbox, View

_CACHED_FONT = re.compile(r"/luatex-cache/[^/]+/fonts/\w+/([^/]+)\.lu[abc]$")
_PID_FLS = re.compile(r"(?:^|/)(?:\w*tex\d+|texput)\.fls$")


class EngineChef:
    """One run of an engine, always in a mirror: its reads are known only after a run."""

    name = ""
    version = 1
    #: Seen through these filters, a file is given to the engine as the filter leaves it: pdfTeX copies an included
    #: figure's dates without looking at them.
    substituted = frozenset({pdfview.FILTER})
    substituted_endings = (".pdf", ".PDF")

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """Reads, absent files and writes by .fls and search trace; complaints by the log; helpers by .aux, .bcf, .idx."""
        recording = _recording(step, view)
        places = Places(view.root, step.cwd, recording.folder)
        seen = traffic(recording, read_trace(exit.stderr), view, places)
        log = _log(step, view, exit)
        reads, absent = set(seen.reads), set(seen.absent)
        if is_lua(step.tool):
            reads |= _fonts_read(step, recording, log, view, places)
        told, guessed = _unseen(step, seen, view)
        reads |= told
        for path in (path for ahead in step.ahead for path in ahead.outputs):
            (reads if view.before(path) else absent).add(path)
        if is_lua(step.tool) or option(step, "shell_escape"):
            absent.update(path for path in appeared(view) if path not in step.outputs)
        problems = _problems(log, step, view, places, exit)
        stopped = is_unexplained(problems) and is_cut_off(log)  # by something that is none of its inputs
        ended = texsystem.ended_by_itself(exit) and not stopped
        missed = tuple(sorted(absent - reads))
        return Observation(
            reads=tuple(sorted(reads)),
            absent=tuple(sorted((absent | guessed) - reads)),
            writes=seen.writes,
            problems=(*problems, *_not_kept(step)),
            usable_outputs=ended,
            follows=not stopped,
            helpers=(*step.ahead, *(helpers(step, Ended(view, seen.writes, missed, log, tuple(reads))) if ended else ())),
            pages=page_count(log),
        )

    def filter_for(self, step: Step, path: FilePath) -> str:
        """An included PDF without its dates and /ID, which no engine copies; everything else byte for byte."""
        return pdfview.FILTER if path.endswith((".pdf", ".PDF")) and path not in step.outputs else ""

    def withholds(self, step: Step) -> bool:
        """Whether a run tells of every figure that it looks for: then those that no text names may be left out of the first."""
        return not option(step, "unseen_lookups")

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """``pdf``: the bytes with the dates and /ID blanked."""
        return pdfview.without_dates(data) if name == pdfview.FILTER else data

    def fingerprint(self, step: Step, toolbox: Toolbox) -> str:
        """Engine, format by what decides it, owners of the TeX trees, own trees, and the programs that it may run."""
        return texsystem.engine_fingerprint(step.tool, toolbox, step.tools)


def _unseen(step: Step, seen: Traffic, view: View) -> tuple[set[FilePath], set[FilePath]]:
    """(read, looked for in vain) by what the texts name, where no tool tells: by Lua, or by programs that the run starts."""
    escapes = bool(option(step, "shell_escape"))
    if not (escapes or is_lua(step.tool)):
        return set(), set()
    names = [path for path in named(seen.reads, view.read, step.cwd, step.jobname) if path not in step.outputs and not is_report(path)]
    read = {path for path in names if escapes and view.before(path) and path not in seen.writes}
    return read, {path for path in names if not (view.before(path) or view.exists(path))}


def _recording(step: Step, view: View) -> Recording:
    """The .fls of this run: under the job's name, or (if the engine gave up early) under its process id or texput."""
    regular = in_folder(step.cwd, step.jobname) + ".fls"
    changed = [path for path in view.changed() if path.endswith(".fls")]
    chosen = regular if regular in changed else next((path for path in changed if _PID_FLS.search(path)), None)
    return parse_fls((view.read(chosen) or b"") if chosen else b"")


def _fonts_read(step: Step, recording: Recording, log: str, view: View, places: Places) -> set[FilePath]:
    """Font files that the log names as embedded, and those of the project whose entries in the loader's cache were read."""
    named = {path for name in embedded_fonts(log) if (path := places.project_path(name)) is not None}
    cached = [found[1] for kind, path in recording.events if kind == "INPUT" and (found := _CACHED_FONT.search(path))]
    for font in filter(None, option(step, "fonts").split("\n")):
        stem = _cache_name(posixpath.splitext(posixpath.basename(font))[0])
        if any(name.startswith(stem) for name in cached):
            named.add(font)
    return {path for path in named if view.before(path)}


def _cache_name(stem: str) -> str:
    """The name under which ConTeXt's font loader, which luaotfload uses, keeps a font (containers.cleanname)."""
    return re.sub(r"[^\w\x80-\U0010ffff]+", "-", stem.lower())


def _log(step: Step, view: View, exit: Exit) -> str:
    """The log of this run; what it printed if there is none."""
    path = in_folder(step.cwd, step.jobname) + ".log"
    return decode((view.read(path) or b"") if path in view.changed() else exit.stdout)


def _not_kept(step: Step) -> tuple[Problem, ...]:
    """Why a preamble that is to be kept in a format is not, as the chef that planned it says."""
    reason = option(step, "preamble")
    if reason in ("", "cache"):
        return ()
    return (Problem(f"its preamble is run in every pass: {reason}", step.main, severity="warning"),)


def _problems(log: str, step: Step, view: View, places: Places, exit: Exit) -> tuple[Problem, ...]:
    ended = texsystem.ended_by_itself(exit)
    problems = read_problems(log, step.main, places.project_path, view.read, failed=ended and exit.code != 0)
    if is_unexplained(problems):
        problems = tuple(replace(problem, message=problem.message + texsystem.last_words(exit)) for problem in problems)
    return (*texsystem.end_problems(step, exit), *advised(without_requests(step, problems)))
