r"""The preamble chef: a LaTeX document's preamble as a format, made by a step of its own in front of the engine's.

Knows no text of a preamble but where it ends, and not what the document does. The step dumps a format at \begin{document}; the engine
loads it if it is there, and runs the preamble as ever if it is not: whatever forbids a format is a warning, never a failure. Of the
main file the step sees what stands before the document's text, so that an edit behind it makes no new format.
"""

import gzip
import posixpath
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from cpods.chefs import texsystem
from cpods.chefs.enginechef import EngineChef
from cpods.chefs.kpathsea import read_trace
from cpods.chefs.preambletex import SUFFIX, program
from cpods.chefs.recorder import Places, Recording, Traffic, parse_fls, traffic
from cpods.chefs.texaux import in_folder
from cpods.chefs.texlog import decode, read_problems
from cpods.declaration import Declaration, LatexDeclaration
from cpods.ids import FilePath
from cpods.model import Exit, Observation, Problem, Remembered, Step
from cpods.ports import View

_FILTER = "preamble"
#: Engines whose formats keep all that a preamble does.
_ENGINES = ("pdflatex", "latex")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+_.-]*")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9+_./-]+")
#: Files of the job's name with these endings are sources, not what a pass leaves for the next.
_SOURCES = (".tex", ".ltx", ".sty", ".cls", ".clo", ".cfg", ".def", ".bib", ".bst", ".ist")
_BEGIN = re.compile(rb"^[ \t]*\\begin[ \t]*\{document\}", re.MULTILINE)
_SAID = re.compile(r"^cpods: (?P<what>begins at line|no:|opened|closed) (?P<text>.*)$", re.MULTILINE)


def with_preamble(engine: Step, declaration: LatexDeclaration) -> Step:
    """The engine's step with that of its preamble ahead of it, if the declaration asks for it and nothing forbids it."""
    if declaration.preamble != "cache":
        return engine
    hindrance = _hindrance(engine, declaration)
    if hindrance:
        return replace(engine, options=(*engine.options, ("preamble", hindrance)))
    job = engine.jobname + SUFFIX
    *flags, argument = engine.argv[1:]
    kept = [flag for flag in flags if not flag.startswith(("-synctex", "-jobname"))]
    dumped = rf"{program(engine.jobname)}\csname @@input\endcsname {argument}"
    ahead = Step(
        name=f"{PreambleChef.name}:{engine.name.partition(':')[2]}",
        chef=PreambleChef.name,
        tool=engine.tool,
        argv=(engine.tool, "-ini", *kept, f"-jobname={job}", f"&{engine.tool}", dumped),
        position=(*engine.position, 0),
        cwd=engine.cwd,
        inputs=engine.inputs,
        outputs=(in_folder(engine.cwd, job) + ".fmt",),
        env=engine.env,
        quiet=engine.quiet,
        pass_env=engine.pass_env,
        open_reads=True,
        always_mirror=True,
        pure=True,
        planner=engine.name,
        main=engine.main,
        jobname=engine.jobname,
        timeout=engine.timeout,
    )
    loaded = (engine.tool, *flags, f"-progname={engine.tool}", f"-fmt={job}", argument)
    return replace(engine, ahead=(ahead,), argv_after=loaded, options=(*engine.options, ("preamble", "cache")))


def _hindrance(engine: Step, declaration: LatexDeclaration) -> str:
    """Why a document's preamble cannot be kept, whatever it says; '' if it may."""
    if engine.tool not in _ENGINES:
        return f"{engine.tool} keeps no preamble in a format"
    if declaration.shell_escape:
        return "with shell_escape it may start programs"
    if declaration.tool_match == "any":
        return 'with tool_match = "any" another machine\'s engine may not read the format'
    argument = engine.argv[-1]
    if not _PLAIN_NAME.fullmatch(engine.jobname) or not _PLAIN_PATH.fullmatch(argument):
        return "its file name holds more than letters, digits and + - . _"
    return ""


class PreambleChef(EngineChef):
    """One run of an initial engine on a main file, up to its \\begin{document}."""

    name = "preamble"
    version = 1
    #: What of its outputs is stored other than it is written.
    tidied_endings = (".fmt",)

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]) -> Sequence[Step]:
        """Nothing: the chef latex plans this step with the engine's."""
        return ()

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """Reads and absent files as of any run; the format only if the run told of no hindrance. It never counts as failed."""
        changed = frozenset(view.changed())
        report = in_folder(step.cwd, step.jobname + SUFFIX)
        recording = parse_fls((view.read(report + ".fls") or b"") if report + ".fls" in changed else b"")
        places = Places(view.root, step.cwd, recording.folder)
        seen = traffic(recording, read_trace(exit.stderr), view, places)
        log = decode((view.read(report + ".log") or b"") if report + ".log" in changed else b"")
        said = [(found["what"], found["text"].strip()) for found in _SAID.finditer(exit.stdout.decode("latin-1"))]
        written = _written(step, recording, said)
        reason = _reason(step, view, exit, said) or _clash(step, view, seen, written)
        if not reason and step.outputs[0] not in changed:
            reason = "no format came of it"
        problems = () if reason else read_problems(log, step.main, places.project_path, view.read, failed=False)
        told = (Problem(f"its preamble is run in every pass: {reason}", step.main, severity="warning"),) if reason else ()
        aside = {step.outputs[0], *written.left}
        return Observation(
            reads=tuple(path for path in seen.reads if path not in aside),
            absent=tuple(path for path in seen.absent if path != step.outputs[0]),
            writes=() if reason else tuple(sorted(written.closed | {step.outputs[0]})),
            problems=(*told, *(problem for problem in problems if problem.severity == "warning")),
            usable_outputs=True,
            exit_code=0,
        )

    def filter_for(self, step: Step, path: FilePath) -> str:
        """The main file up to the line that begins the document; everything else as an engine sees it."""
        return _FILTER if path == step.main else super().filter_for(step, path)

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """``preamble``: the bytes up to and including \\begin{document}, all of them where there is none."""
        if name != _FILTER:
            return super().filter(name, path, data)
        found = _BEGIN.search(data)
        return data if found is None else data[: found.end()]

    def tidied(self, path: FilePath, data: bytes) -> bytes:
        """A format unpacked: an engine loads it in half the time (60 ms of CPU less, seen), and reads both."""
        try:
            return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
        except (OSError, EOFError, zlib.error):
            return data


class _Written(NamedTuple):
    """Files that a preamble wrote: those that it closed, those that it left open; whether there are others, of which it told nothing."""

    closed: frozenset[FilePath]
    left: frozenset[FilePath]
    others: bool


def _written(step: Step, recording: Recording, said: Sequence[tuple[str, str]]) -> _Written:
    open_now: dict[str, FilePath] = {}
    closed: set[FilePath] = set()
    for what, text in said:
        number, _, name = text.partition(" ")
        if what == "opened":
            open_now[number] = _named(step, name)
        elif what == "closed" and number in open_now:
            closed.add(open_now.pop(number))
    left = frozenset(open_now.values())
    outputs = {in_folder(step.cwd, path) for kind, path in recording.events if kind == "OUTPUT"}
    own = {in_folder(step.cwd, step.jobname + SUFFIX) + ending for ending in (".fmt", ".log")}
    return _Written(frozenset(closed - left), left, outputs - own != closed | left)


def _clash(step: Step, view: View, seen: Traffic, written: _Written) -> str:
    """Why what the preamble wrote forbids the format: the files that it left open are opened again, empty, when it is loaded."""
    if written.others or any(view.read(path) for path in written.left):
        return "it writes files"
    if written.left.intersection(seen.reads):
        return "it reads a file that it leaves open for writing"
    job = in_folder(step.cwd, step.jobname + ".")
    fed = [path for path in seen.reads if path.startswith(job) and not path.endswith(_SOURCES) and path != step.outputs[0]]
    # A new format in each pass would cost more than it saves.
    return f"it reads {fed[0]}, which the document may write" if fed else ""


def _named(step: Step, name: str) -> FilePath:
    """The project path of a file that TeX opened for writing: without an ending it gets one."""
    name = name.strip('"')
    return in_folder(step.cwd, name if "." in posixpath.basename(name) else name + ".tex")


def _reason(step: Step, view: View, exit: Exit, said: Sequence[tuple[str, str]]) -> str:
    """Why the format is no use; '' if it is."""
    told = dict(said)
    if not texsystem.ended_by_itself(exit):
        return f"{step.tool} did not come to an end"
    if "no:" in told:
        return told["no:"]
    if "begins at line" not in told:
        return r"no \begin{document} was reached"
    if exit.code != 0:
        return "there are errors in it"
    text = view.read(step.main) or b""
    first = _BEGIN.search(text)
    if first is None or str(text.count(b"\n", 0, first.start()) + 1) != told["begins at line"]:
        return r"\begin{document} does not stand at the beginning of a line of its own"
    if text.startswith(b"%&"):
        return "its first line names a format"
    name = re.escape(step.argv[-1].rpartition(" ")[2].removeprefix("./").encode())
    opened = re.findall(rb"fopen\((?:\./)?" + name + rb"(?:\.tex)?, r", exit.stderr)
    return "it reads its own main file" if len(opened) > 1 else ""
