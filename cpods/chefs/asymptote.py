"""Asymptote: the pictures that asymptote.sty writes as JOB-1.asy, JOB-2.asy, ..., each a step of its own.

Knows no engine. What a picture reads: modules that ``asy -vv`` says it loads, and files named in quotes. asy starts
``pdflatex -jobname=JOB`` to measure labels, which reads the document's .aux and then overwrites .aux and .log (seen): what
it leaves there is no product, and the .aux is hidden from it unless the picture names labels or citations.
"""

import posixpath
import re
from collections.abc import Sequence

from msgspec.structs import replace

from cpods.chefs.helping import HelperChef, helper_step, if_missing, named_files, placed, said, text_of
from cpods.chefs.recorder import Places, is_report
from cpods.chefs.texaux import in_folder
from cpods.ids import FilePath, is_outside
from cpods.model import Exit, Problem, Step
from cpods.ports import View

_LABELS = re.compile(r"\\\w*(?:ref|cite)\w*\b")
_LOADED = re.compile(r"^(?:Loading|Including) (?:.* from )?(?P<file>\S.*)$", re.MULTILINE)
_IMPORTS = re.compile(r"\b(?:import|access|from|include)\s+([\w/.]+)")
_COMPLAINT = re.compile(r"^(?P<file>[^\n:]+\.asy): (?P<line>\d+)\.\d+: (?P<message>.+)$", re.MULTILINE)
_ENV = ("ASYMPTOTE_DIR", "ASYMPTOTE_CONFIG")
#: Hides a file from the command that follows.
_HIDE = 'rm -f -- "$1"; shift; exec "$@"'


def asymptote_helpers(engine: Step, view: View, written: Sequence[FilePath], place: int) -> list[Step]:
    """One step for each picture that the engine's run wrote, named JOB-NUMBER.asy."""
    ours = re.compile(re.escape(engine.jobname.replace("*", "-")) + r"-\d+\.asy")
    found = [path for path in written if ours.fullmatch(posixpath.basename(path))]
    found.sort(key=lambda path: int(path.rsplit("-", 1)[1][: -len(".asy")]))
    return [asymptote_step(engine, path, view, (place, number)) for number, path in enumerate(found)]


def asymptote_step(engine: Step, source: FilePath, view: View, place: tuple[int, ...]) -> Step:
    """The step that makes a picture of asymptote.sty (project path), in the picture's own folder."""
    text = text_of(view.read(source))
    ending = ".tex" if "settings.inlinetex=true" in text else ".pdf" if "settings.tex=" in text else ".eps"
    return _step(engine, source, text, source[: -len(".asy")] + ending, (), place)


def asymptote_picture(engine: Step, source: FilePath, made: FilePath, view: View, place: tuple[int, ...]) -> Step:
    """The step that makes the PDF ``made`` of a picture that stands by itself."""
    stem = posixpath.basename(made)[: -len(".pdf")]
    return if_missing(_step(engine, source, text_of(view.read(source)), made, ("-f", "pdf", "-o", stem), place))


def _step(engine: Step, source: FilePath, text: str, made: FilePath, options: Sequence[str], place: tuple[int, ...]) -> Step:
    cwd = posixpath.dirname(source) or "."
    name = posixpath.basename(source)
    stem = name[: -len(".asy")]
    # asy's own measuring run has the picture's name without the number.
    auxiliary = re.sub(r"-\d+$", "", stem) + ".aux"
    command = ["asy", "-vv", *options, name]
    labelled = _LABELS.search(text) is not None
    argv = command if labelled else ["sh", "-c", _HIDE, "sh", auxiliary, *command]
    step = helper_step(engine, f"asy:{source[: -len('.asy')]}", argv, place, cwd)
    return replace(
        step,
        inputs=(source,),
        optional=(in_folder(cwd, auxiliary),) if labelled else (),
        outputs=(made,),
        main=source,
        pass_env=step.pass_env + _ENV,
        parallel=True,
    )


class AsymptoteChef(HelperChef):
    """Runs asy on one picture."""

    name = "asy"
    version = 1
    tools = ("asy", "gs", "dvips")
    trees = ("/usr/share/asymptote", "/usr/lib/x86_64-linux-gnu/asymptote")

    def seen(self, step: Step, view: View, exit: Exit) -> tuple[set[FilePath], set[FilePath]]:
        """Loaded modules, quoted names, and the local names that imported modules could have."""
        places = Places(view.root, step.cwd)
        reads, absent = named_files((step.main,), step.cwd, view, (".asy", ".sty"), _IMPORTS.findall)
        loaded = {path for name in _LOADED.findall(said(exit)) if (path := places.project_path(name)) is not None}
        reads |= {path for path in loaded if (view.exists(path) if is_outside(path) else view.before(path))}
        return reads, absent

    def problems(self, step: Step, exit: Exit, view: View) -> tuple[Problem, ...]:
        """``FILE.asy: LINE.COLUMN: message``; only a failed run's are errors."""
        return placed(_COMPLAINT, said(exit), step, "error" if exit.code else "warning")

    def is_write(self, step: Step, path: FilePath) -> bool:
        """All but reports and what the measuring run leaves."""
        return not path.endswith(".aux") and not is_report(path)
