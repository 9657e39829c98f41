"""Files that an earlier TeX run left behind and that no record knows: neither sources nor products.

Knows names only: the endings of TeX's feedback files, and which job they belong to.
"""

import posixpath
from collections.abc import Collection, Sequence

from cpods.ids import FilePath
from cpods.model import Step

_FEEDBACK = (
    *(".aux", ".toc", ".lof", ".lot", ".out", ".idx", ".ind", ".glo", ".gls", ".bcf", ".run.xml", "-blx.bib"),
    # what beamer, minitoc, todonotes, theorem and glossary packages feed back
    *(".nav", ".snm", ".vrb", ".tdo", ".loa", ".lol", ".thm", ".acn", ".acr", ".glsdefs", ".mtc", ".maf", ".brf", ".xdy", ".upa", ".upb"),
)
_REPORTS = (".log", ".fls", ".blg", ".ilg", ".glg", ".synctex.gz", ".fdb_latexmk", ".pdf", ".xdv", ".dvi")


def leftovers(engines: Sequence[Step], listing: Sequence[FilePath], owned: Collection[FilePath]) -> dict[FilePath, str]:
    """Leftover files by the engine's step that they belong to. ``owned``: files that a record knows."""
    there = set(listing)
    has_bib = any(path.endswith(".bib") for path in listing)
    found: dict[FilePath, str] = {}
    for step in engines:
        for prefix in step.may_write:
            job = prefix.removesuffix(".")
            endings = (*_FEEDBACK, *_REPORTS, *((".bbl",) if has_bib else ()))
            found.update((job + ending, step.name) for ending in endings if job + ending in there)
    if engines:
        for path in listing:
            if path.endswith(".aux") and posixpath.splitext(path)[0] + ".tex" in there:
                found.setdefault(path, engines[0].name)
    return {path: name for path, name in found.items() if path not in owned}


def is_feedback(path: FilePath) -> bool:
    """Whether a leftover may serve as a state to start from (reports and products may not)."""
    return not path.endswith(_REPORTS)
