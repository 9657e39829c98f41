"""The chef of shell steps: one command line with the inputs and outputs that its declaration names.

Knows nothing of what the command means; what it reads beyond its inputs comes from its depfile alone.
"""

import json
import posixpath
import re
import signal
from collections.abc import Mapping, Sequence
from functools import lru_cache

from cpods import digest
from cpods.chefs import depfile as depfiles
from cpods.chefs import shellwords
from cpods.declaration import Declaration, ShellDeclaration
from cpods.globs import expand, is_pattern
from cpods.ids import FilePath, normalise
from cpods.model import Exit, Observation, Problem, Remembered, Step
from cpods.ports import Toolbox, View

FILTER = "drop-lines/1:"
_LINES_MAX = 20
_NOT_FOUND = re.compile(r"([^\s:]+): (?:command )?not found")
_NOT_EXECUTABLE = re.compile(r"([^\s:]+): (?:Permission denied|cannot execute|Exec format error|Is a directory)")


class ShellChef:
    """Plans one step a declaration and believes what it declares. All paths are relative to the project folder."""

    name = "shell"
    version = 1

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]) -> Sequence[Step]:
        """One step. It is started without a shell if its command line needs none. Raises TypeError for a foreign declaration."""
        if not isinstance(declaration, ShellDeclaration):
            raise TypeError(f"the shell chef cannot plan a {type(declaration).__name__}")
        outputs = tuple(normalise(path) for path in declaration.outputs)
        inputs, globs = resolve(declaration.inputs, listing, outputs)
        optional, more_globs = resolve(declaration.optional, listing, ())
        argv = shellwords.direct(declaration.run) or ("sh", "-c", declaration.run)
        scripts = _scripts(declaration, (*inputs, *optional, *outputs))
        return (
            Step(
                name=declaration.name,
                chef=self.name,
                tool=posixpath.basename(argv[0]),
                argv=argv,
                position=(index,),
                cwd=normalise(declaration.cwd),
                inputs=inputs,
                optional=(*(path for path in optional if path not in inputs), *scripts),
                outputs=outputs,
                globs=(*globs, *more_globs),
                pass_env=declaration.env,
                tools=_tools(declaration, argv),
                depfile=normalise(declaration.depfile) if declaration.depfile else "",
                insignificant=declaration.insignificant,
                max_passes=declaration.max_passes,
                policy=declaration.policy,
                timeout=declaration.timeout,
                tool_match=declaration.tool_match,
            ),
        )

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """Declared names that were there, and what the depfile adds. Outputs of a failed run are not usable."""
        reads = [path for path in (*step.inputs, *step.optional) if view.before(path)]
        absent = [path for path in (*step.inputs, *step.optional) if not view.before(path)]
        writes = tuple(path for path in step.outputs if view.exists(path))
        problems = failure(step.name, exit)
        if step.depfile:
            more_reads, more_absent, complaint = _from_depfile(step, view, ended_well=not problems)
            reads += more_reads
            absent += more_absent
            problems += complaint
        if not problems:
            problems = tuple(_not_made(step.name, path, view) for path in step.outputs if path not in writes)
        return Observation(reads=tuple(dict.fromkeys(reads)), absent=tuple(dict.fromkeys(absent)), writes=writes, problems=problems)

    def filter_for(self, step: Step, path: FilePath) -> str:
        """A command may depend on every byte of what it reads. What its *outputs* may vary in: :meth:`insignificant_filter`."""
        return ""

    def insignificant_filter(self, step: Step, path: FilePath) -> str:
        """The filter through which every reader sees ``path``, an output of ``step``; '' if each byte of it counts."""
        if path not in step.outputs or not step.insignificant:
            return ""
        return FILTER + json.dumps(list(step.insignificant), ensure_ascii=True, separators=(",", ":"))

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """``data`` without the lines that match one of the filter's regular expressions."""
        if not name.startswith(FILTER):
            return data
        patterns = _patterns(name)
        lines = data.split(b"\n")
        return b"\n".join(line for line in lines if not _matches(line, patterns))

    def fingerprint(self, step: Step, toolbox: Toolbox) -> str:
        """Digest of the names and the binaries of the step's programs, ABSENT for one that is not found."""
        parts = [f"{self.name}/{self.version}"]
        for tool in sorted(set(step.tools)):
            parts += (tool, toolbox.binary(tool))
        return digest.of_parts(parts)


def resolve(paths: Sequence[str], listing: Sequence[FilePath], own: Sequence[FilePath]) -> tuple[tuple[FilePath, ...], tuple[str, ...]]:
    """(project paths, patterns among ``paths``). A pattern stands for what it matches now, save files in ``own``.

    A step's own outputs are left out of its patterns: ``*.txt`` -> ``all.txt`` is no feedback edge unless it says so.
    """
    found: dict[FilePath, None] = {}
    globs: list[str] = []
    for path in map(normalise, paths):
        if is_pattern(path):
            globs.append(path)
            found |= dict.fromkeys(match for match in expand(path, listing) if match not in own)
        else:
            found[path] = None
    return tuple(found), tuple(globs)


def failure(name: str, exit: Exit) -> tuple[Problem, ...]:
    """What to say of a process that did not end with 0: one problem, with the last lines that it printed."""
    if exit.code == 0 and not exit.timed_out and not exit.error:
        return ()
    said = last_lines(exit.stderr) or last_lines(exit.stdout)
    return (Problem("\n".join([f"step {name} {_ending(exit, said)}", *said])),)


def last_lines(data: bytes, count: int = _LINES_MAX) -> list[str]:
    """The last ``count`` lines that are not blank, as text; bytes that are no UTF-8 are replaced."""
    lines = data[-(1 << 16) :].decode("utf-8", "replace").splitlines()
    return [line.rstrip() for line in lines if line.strip()][-count:]


def _ending(exit: Exit, said: Sequence[str]) -> str:
    if exit.timed_out:
        return f"was ended: it ran longer than its timeout ({exit.seconds:.1f} s)"
    if exit.error:
        return f"could not be run: {exit.error}"
    if exit.code < 0:
        return f"was ended by {_signal_name(-exit.code)}"
    if exit.code - 128 in signal.valid_signals():  # a shell's word for it, but programs may end so by themselves
        return f"failed with exit code {exit.code} (as after {_signal_name(exit.code - 128)})"
    pattern, sentence = {127: (_NOT_FOUND, "program not found"), 126: (_NOT_EXECUTABLE, "not executable")}.get(exit.code, (None, ""))
    if pattern is None:
        return f"failed with exit code {exit.code}"
    named = next((match.group(1) for line in reversed(said) if (match := pattern.search(line))), "")
    return f"failed: {sentence}" + (f": {named}" if named else f" (exit code {exit.code})")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _not_made(name: str, path: FilePath, view: View) -> Problem:
    instead = " (a folder is there now; outputs are files)" if posixpath.isdir(posixpath.join(view.root, path)) else ""
    return Problem(f"step {name} ended well but did not make {path}{instead}", file=path)


def _tools(declaration: ShellDeclaration, argv: tuple[str, ...]) -> tuple[str, ...]:
    """The programs whose binaries count: as declared, else what starts the step and every program of its command line."""
    if declaration.tools is not None:
        return declaration.tools
    found = shellwords.programs(declaration.run)
    return tuple(dict.fromkeys((argv[0], *(program for program in found if "/" not in program or program.startswith("/")))))


def _scripts(declaration: ShellDeclaration, named: Sequence[FilePath]) -> tuple[FilePath, ...]:
    """Programs of the project itself (``./gen``): read if there, so that an edit of one counts."""
    if declaration.tools is not None:
        return ()
    paths = (normalise(program, declaration.cwd) for program in shellwords.local_programs(declaration.run))
    return tuple(path for path in dict.fromkeys(paths) if path not in named)


def _from_depfile(step: Step, view: View, ended_well: bool) -> tuple[list[FilePath], list[FilePath], tuple[Problem, ...]]:
    """(reads, absent, problems) of a depfile. After a failure an old one that this run did not write tells nothing."""
    if not ended_well and step.depfile not in view.changed():
        return [], [], ()
    data = view.read(step.depfile)
    if data is None:
        return [], [], (_not_made(step.name, step.depfile, view),) if ended_well else ()
    try:
        rules = depfiles.parse(data)
    except ValueError as error:
        return [], [], (Problem(f"step {step.name} made a depfile that cannot be read: {error}", file=step.depfile),)
    paths = depfiles.project_paths(rules, step.cwd, view.root)
    reads = [path for path in paths if view.before(path) and path not in step.outputs]
    return reads, [path for path in paths if not view.before(path) and not view.exists(path)], ()


@lru_cache(maxsize=256)
def _patterns(name: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in json.loads(name.removeprefix(FILTER)))


def _matches(line: bytes, patterns: Sequence[re.Pattern[str]]) -> bool:
    text = line.decode("utf-8", "surrogateescape")
    return any(pattern.search(text) for pattern in patterns)
