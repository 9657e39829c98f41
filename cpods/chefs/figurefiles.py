"""Which part of a picture's run a file was read in, and what of the main file stands before the text.

Knows no plan: the recorder file of one run (see figures), and the bytes of one document.
"""

import re
from collections.abc import Iterable

import msgspec

from cpods.chefs.leftovers import FEEDBACK
from cpods.chefs.recorder import Places
from cpods.chefs.texaux import in_folder
from cpods.ids import FilePath
from cpods.model import Step

FILTER = "figure-preamble/1"
#: Opened where the document begins, and again where the picture ends.
_MARK = "/null.tex"
_BEGIN = re.compile(rb"^(?:[^%\n\\]|\\[^\n])*?\\begin\s*\{document\}", re.M)
_PASSING = (*FEEDBACK, ".bbl", ".auxlock", ".figlist", ".makefile", ".md5", ".dpth")


class Marked(msgspec.Struct, frozen=True):
    """Project paths that a run read, by when: before the document, in the text before the picture, inside of it.

    ``told``: all that the recorder file names.
    """

    before: frozenset[FilePath]
    text: frozenset[FilePath]
    inside: frozenset[FilePath]
    told: frozenset[FilePath]


def marked(fls: bytes, step: Step, places: Places) -> Marked:
    """Sorts the reads of a picture's run. A run that died before the document began read everything before it."""
    started = in_folder(step.cwd, step.jobname) + ".dpth"
    parts: dict[str, set[FilePath]] = {"before": set(), "text": set(), "inside": set(), "after": set()}
    part = "before"
    for line in fls.decode("utf-8", "surrogateescape").split("\n"):
        kind, _, name = line.partition(" ")
        if kind not in ("INPUT", "OUTPUT"):
            continue
        name = name.strip('"')
        if name.endswith(_MARK):
            part = "text" if part == "before" else "after"
            continue
        path = places.project_path(name)
        if path is None:
            continue
        if kind == "OUTPUT":
            part = "inside" if path == started and part == "text" else part
        else:
            parts[part].add(path)
    told = frozenset().union(*parts.values())
    return Marked(frozenset(parts["before"]), frozenset(parts["text"]), frozenset(parts["inside"]), told)


def is_passing(path: FilePath) -> bool:
    """Whether a file carries what one pass of a document found out to the next: its pictures do not depend on that."""
    return path.endswith(_PASSING)


def preamble(document: bytes) -> bytes:
    r"""All up to the last ``\begin{document}`` outside of comments; everything if there is none."""
    found = [match.end() for match in _begins(document)]
    return document[: found[-1]] if found else document


def _begins(document: bytes) -> Iterable[re.Match[bytes]]:
    return _BEGIN.finditer(document)
