"""splitindex: one .idx file with the entries of several indexes (packages splitidx, imakeidx), parted into one file each.

Knows no engine. The program only parts the file (``-m ''``); each part then has a makeindex step of its own, so that an
index whose entries did not change is not made again. It opens files without kpathsea: its only input is declared.
"""

import posixpath
import re
from collections.abc import Sequence

from msgspec.structs import replace

from cpods.chefs.helping import HelperChef, helper_step
from cpods.ids import FilePath
from cpods.model import Step
from cpods.ports import View

#: As splitindex's own default expression: the name of the index stands in brackets.
_ENTRY = re.compile(rb"^\\indexentry\[([^]]*)\]", re.MULTILINE)


def parts(entries: FilePath, view: View) -> tuple[FilePath, ...]:
    """The .idx files (project paths) that splitindex makes of one; none if it holds one index only."""
    names = dict.fromkeys(_ENTRY.findall(view.read(entries) or b""))
    stem = entries[: -len(".idx")]
    return tuple(f"{stem}-{name.decode('utf-8', 'replace')}.idx" for name in names)


def splitindex_helper(engine: Step, entries: FilePath, made: Sequence[FilePath], place: tuple[int, ...]) -> Step:
    """The step that parts an .idx file (project path)."""
    job = posixpath.relpath(entries, engine.cwd)[: -len(".idx")]
    step = helper_step(engine, f"splitindex:{job}", ("splitindex", "-m", "", job + ".idx"), place)
    return replace(step, inputs=(entries,), outputs=tuple(made), main=entries)


class SplitindexChef(HelperChef):
    """Runs splitindex, a Perl script."""

    name = "splitindex"
    version = 1
    tools = ("splitindex", "perl")
