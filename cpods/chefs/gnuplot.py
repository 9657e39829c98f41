"""gnuplot: the plots that TikZ, pgfplots and gnuplottex leave as scripts, each a step of its own.

Knows no engine: scripts are what an engine's run wrote under a name that ends in .gnuplot (the package would have started
``gnuplot FILE`` by shell escape). What a script reads is what it names in quotes, and what those scripts name that it loads.
It runs without the user's start-up files (``-d``), since they are no part of the document.
"""

import posixpath
import re

from msgspec.structs import replace

from cpods.chefs.helping import Asked, HelperChef, helper_step, named_files, placed, said, text_of
from cpods.ids import FilePath, is_outside, normalise
from cpods.model import Exit, Problem, Step
from cpods.ports import View

_SETS = re.compile(r"\bset\s+(?:out(?:p(?:u(?:t)?)?)?|tab(?:l(?:e)?)?)\s+(?:\"([^\"]+)\"|'([^']+)')")
_COMPLAINT = re.compile(r'^"(?P<file>[^"\n]+)" line (?P<line>\d+): (?P<message>.+)$', re.MULTILINE)
_ENV = ("GNUPLOT_LIB", "GDFONTPATH", "GNUPLOT_DEFAULT_GDFONT", "GNUTERM")


def gnuplot_helpers(engine: Step, asked: Asked, place: int) -> list[Step]:
    """One step for each gnuplot script that the engine wrote; beside each other, as none reads what another makes.

    TikZ does not write a script again that is as it would be: it reads it, and the table with it.
    """
    if "-shell-escape" in engine.argv or "gnuplot" in engine.tools:  # the engine's run starts it by itself
        return []
    wanted = asked.missed | asked.read
    steps: list[Step] = []
    for path in sorted(path for path in asked.wrote | asked.read if path.endswith(".gnuplot") and not is_outside(path)):
        step = gnuplot_step(engine, path, asked.view, (place, len(steps)))
        if path in asked.wrote or wanted.intersection(step.outputs):
            steps.append(step)
    return steps


def gnuplot_step(engine: Step, script: FilePath, view: View, place: tuple[int, ...]) -> Step:
    """The step that runs one script (project path); its outputs are what the script sets by ``set output`` and ``set table``."""
    named = posixpath.relpath(script, engine.cwd)
    outputs = [normalise(one or two, engine.cwd) for one, two in _SETS.findall(text_of(view.read(script)))]
    step = helper_step(engine, f"gnuplot:{named}", ("gnuplot", "-d", named), place)
    return replace(
        step,
        inputs=(script,),
        outputs=tuple(path for path in dict.fromkeys(outputs) if not is_outside(path)),
        main=script,
        pass_env=step.pass_env + _ENV,
        parallel=True,
    )


class GnuplotChef(HelperChef):
    """Runs gnuplot on one script."""

    name = "gnuplot"
    version = 1
    tools = ("gnuplot",)

    def seen(self, step: Step, view: View, exit: Exit) -> tuple[set[FilePath], set[FilePath]]:
        """Quoted names, those of loaded scripts too."""
        return named_files((step.main,), step.cwd, view)

    def problems(self, step: Step, exit: Exit, view: View) -> tuple[Problem, ...]:
        """``"FILE" line N: message`` on standard error; only a failed run's are errors."""
        return placed(_COMPLAINT, said(exit), step, "error" if exit.code else "warning")
