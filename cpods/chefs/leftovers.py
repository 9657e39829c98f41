"""Files that an earlier TeX run left behind and that no record knows: neither sources nor products.

Knows names only: the endings of TeX's feedback files, and which job they belong to.
"""

import posixpath
from collections.abc import Collection, Sequence

from cpods.ids import FilePath
from cpods.model import Step

#: Endings of files through which one pass tells the next what it found.
FEEDBACK = (
    *(".aux", ".toc", ".lof", ".lot", ".out", ".idx", ".ind", ".glo", ".gls", ".bcf", ".run.xml", "-blx.bib"),
    # what beamer, minitoc, todonotes, theorem and glossary packages feed back
    *(".nav", ".snm", ".vrb", ".tdo", ".loa", ".lol", ".thm", ".acn", ".acr", ".glsdefs", ".mtc", ".maf", ".brf", ".xdy", ".upa", ".upb"),
    ".tuc",  # ConTeXt's, for everything
)
_REPORTS = (".log", ".fls", ".blg", ".ilg", ".glg", ".synctex.gz", ".synctex", ".fdb_latexmk", ".pdf", ".xdv", ".dvi", ".ps")
#: What is there of a picture.
_PICTURE = (".md5", ".dpth", ".pdf", ".log", ".dep")


def leftovers(engines: Sequence[Step], listing: Sequence[FilePath], owned: Collection[FilePath]) -> dict[FilePath, str]:
    """Leftover files by the engine's step that they belong to. ``owned``: files that a record knows."""
    there = set(listing)
    has_bib = any(path.endswith(".bib") for path in listing)
    found: dict[FilePath, str] = {}
    for step in engines:
        for prefix in step.may_write:
            job = prefix.removesuffix(".")
            endings = (*FEEDBACK, *_REPORTS, *((".bbl",) if has_bib else ()))
            found.update((job + ending, step.name) for ending in endings if job + ending in there)
    if engines:
        for path in listing:
            if path.endswith(".aux") and posixpath.splitext(path)[0] + ".tex" in there:
                found.setdefault(path, engines[0].name)
        found.update((path, engines[0].name) for path in _pictures(engines, there))
    return {path: name for path, name in found.items() if path not in owned}


def _pictures(engines: Sequence[Step], there: Collection[FilePath]) -> list[FilePath]:
    """Pictures that pgf externalised, told by the hash of their code together with pgf's own notes or pgf's own name."""
    jobs = tuple(posixpath.basename(step.jobname) + "-figure" for step in engines if step.jobname)
    stems = [path.removesuffix(".md5") for path in there if path.endswith(".md5")]
    known = [stem for stem in stems if stem + ".dpth" in there or (jobs and posixpath.basename(stem).startswith(jobs))]
    return [stem + ending for stem in known for ending in _PICTURE if stem + ending in there]


def is_feedback(path: FilePath) -> bool:
    """Whether a leftover may serve as a state to start from (reports and products may not)."""
    return not path.endswith(_REPORTS)
