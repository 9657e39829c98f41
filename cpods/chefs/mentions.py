"""Which other documents' files a LaTeX document names: a hint who should be built first.

Knows text only. A wrong hint costs a run, never a result.
"""

import re
from collections.abc import Sequence

from cpods.model import Step

_COMMAND = re.compile(rb"\\([A-Za-z@]+)\*?\s*(?:\[[^\]\n]*\]\s*)*\{([^{}\n]{1,500})\}")
_COMMENT = re.compile(rb"(?<!\\)%[^\n]*")
#: Commands that read sources: a document of its own may also be a part of another one.
_TAKES_SOURCES = frozenset(
    {b"input", b"include", b"subfile", b"subfileinclude", b"InputIfFileExists", b"subimport", b"import", b"label", b"ref"}
)
_PRODUCTS = (b".pdf", b".aux", b".toc", b".bbl")


def mentioned(main: bytes, others: Sequence[Step]) -> frozenset[str]:
    """Names of the steps whose job is a command's argument in a main file: ``{job}``, ``{dir/job.pdf}``, ``{x,job}``.

    Commands that read sources count only with the ending of a product.
    """
    words: set[bytes] = set()
    for command, group in _COMMAND.findall(_COMMENT.sub(b"", main)):
        for part in group.split(b","):
            name = part.strip().rsplit(b"/", 1)[-1]
            if name.endswith(_PRODUCTS):
                words.add(name.rsplit(b".", 1)[0])
            elif command not in _TAKES_SOURCES:
                words.add(name)
    return frozenset(step.name for step in others if step.jobname.encode() in words)
