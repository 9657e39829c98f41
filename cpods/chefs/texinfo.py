"""texindex: when a Texinfo document asks for it, and what it complains about.

Knows no engine: its steps are planned from the index files that one wrote. texinfo.tex writes the raw entries of an index
to ``JOB.cp`` (two or more letters) and reads the sorted ones from ``JOB.cps``; texindex reads the one file and makes the
other, so that a document's indexes are sorted beside each other.
"""

import posixpath
import re
from collections.abc import Sequence

from msgspec.structs import replace

from cpods.chefs.helping import HelperChef, helper_step
from cpods.chefs.texaux import in_folder
from cpods.ids import FilePath
from cpods.model import Step
from cpods.ports import View

#: texinfo.tex says so in the log when it starts.
_LOADED = "Loading texinfo [version "
_INDEX = re.compile(r"\.[a-z]{2,3}")
#: How an index file starts (texi2dvi looks for the same, to tell them from other files of such names).
_ENTRY = re.compile(rb"[\\@]entry\s*\{")


def texinfo_helpers(engine: Step, log: str, view: View, written: Sequence[FilePath]) -> list[Step]:
    """The index steps that a Texinfo document's run asks for; none for others. ``log``: the whole log."""
    if _LOADED not in log or dict(engine.options).get("index") == "none":
        return []
    stem = in_folder(engine.cwd, engine.jobname)
    found = [path for path in written if path.startswith(stem + ".") and _INDEX.fullmatch(path[len(stem) :])]
    return [_helper(engine, path) for path in sorted(found) if _ENTRY.match(view.read(path) or b"")]


def _helper(engine: Step, entries: FilePath) -> Step:
    name = posixpath.relpath(entries, engine.cwd)
    step = helper_step(engine, f"texindex:{name}", ("texindex", "./" + name), (2,))
    return replace(step, inputs=(entries,), outputs=(entries + "s",), open_reads=False, main=entries, jobname=name, parallel=True)


class TexindexChef(HelperChef):
    """Runs texindex, an awk script: it reads the file that it is given, and nothing else."""

    name = "texindex"
    tools = ("texindex", "awk")
    trees = ("/usr/share/texinfo",)
