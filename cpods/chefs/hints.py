"""What to do about complaints of packages that want a program run behind cpods' back.

Knows no log: it takes problems as they were read and adds one sentence to those that it recognises.
"""

import re
from collections.abc import Sequence

from msgspec.structs import replace

from cpods.model import Problem

_ESCAPE = "write shell_escape = true into the document's [[step]] in cpods.toml"
_HINTS = (
    (re.compile(r"Package minted Error: You must invoke LaTeX with"), f"minted runs pygmentize by shell escape: {_ESCAPE}"),
    (
        re.compile(r"Package svg Error: File `[^']*_svg-tex\.pdf' is missing"),
        "only inkscape can part a drawing from its texts: with \\usepackage[inkscapelatex=false]{svg} cpods makes it by rsvg-convert, "
        f"or else {_ESCAPE} and install inkscape",
    ),
    (
        re.compile(r"Package standalone Error: Shell escape needed"),
        f"with \\usepackage[mode=image]{{standalone}} cpods builds the picture as a step of its own, or else {_ESCAPE}",
    ),
    (re.compile(r"(?:runsystem|shell.escape|write18)\b.*\bdisabled", re.IGNORECASE), _ESCAPE),
)


def advised(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """The problems, those that are recognised with what to do."""
    return tuple(_advised(problem) for problem in problems)


def _advised(problem: Problem) -> Problem:
    for pattern, hint in _HINTS:
        if pattern.search(problem.message):
            return replace(problem, message=f"{problem.message.rstrip('.')}; {hint}")
    return problem
