"""Which other documents' files a LaTeX or ConTeXt document names: a hint who should be built first.

Knows text only. A wrong hint costs a run, never a result.
"""

import re
from collections.abc import Sequence

from cpods.model import Step

_COMMAND = re.compile(rb"\\([A-Za-z@]+)\*?\s*(?:\[[^\]\n]*\]\s*)*\{([^{}\n]{1,500})\}")
_COMMENT = re.compile(rb"%(?<!\\%)[^\n]*")
#: Commands that read sources: a document of its own may also be a part of another one.
_TAKES_SOURCES = frozenset(
    {b"input", b"include", b"subfile", b"subfileinclude", b"InputIfFileExists", b"subimport", b"import", b"label", b"ref"}
)
_PRODUCTS = (b".pdf", b".aux", b".toc", b".bbl", b".tuc")
#: ConTeXt's commands that name other documents: their arguments stand in brackets.
_BRACKETED = re.compile(rb"\\(?:use)?external(?:document|figure)s?((?:\s*\[[^\]\n]{0,500}\])+)")
_WORD = re.compile(rb"[A-Za-z0-9\x80-\xff]+")
_BRACKETS = re.compile(rb"[\[\],]+")


def mentioned(main: bytes, others: Sequence[Step]) -> frozenset[str]:
    """Names of the steps whose job is a command's argument in a main file: ``{job}``, ``{dir/job.pdf}``, ``{x,job}``; in
    ConTeXt's commands for other documents and figures also ``[job]``.

    Commands that read sources count only with the ending of a product.
    """
    text = _COMMENT.sub(b"", main)
    words = {_job(part) for groups in _BRACKETED.findall(text) for part in _BRACKETS.split(groups)}
    for command, group in _COMMAND.findall(text):
        for part in group.split(b","):
            if command not in _TAKES_SOURCES or part.strip().endswith(_PRODUCTS):
                words.add(_job(part))
    return frozenset(step.name for step in others if step.jobname.encode() in words)


def touched(main: bytes, others: Sequence[Step]) -> frozenset[str]:
    """Names of the steps of whose job's name a word stands anywhere in a main file: it may have to do with them in other ways."""
    words = set(_WORD.findall(main))
    return frozenset(step.name for step in others if not words.isdisjoint(_WORD.findall(step.jobname.rpartition("/")[2].encode())))


def _job(name: bytes) -> bytes:
    """The job that a file belongs to: its name without folder and without the ending of a product."""
    base = name.strip().rsplit(b"/", 1)[-1]
    return base.rsplit(b".", 1)[0] if base.endswith(_PRODUCTS) else base
