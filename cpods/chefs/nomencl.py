"""nomencl: lists of symbols, sorted by makeindex from the .nlo file that the engine wrote.

Knows no engine. The steps are makeindex's own (its chef reads the search trace); the style is nomencl's, or nomentbl's if
that package was loaded, and the transcript has an ending of its own, so that it does not take the index's.
"""

import posixpath
from collections.abc import Sequence

from msgspec.structs import replace

from cpods.chefs.index import traced_helper
from cpods.ids import FilePath
from cpods.model import Step


def nomencl_helpers(engine: Step, log: str, written: Sequence[FilePath], place: int) -> list[Step]:
    """One step for each .nlo file of the engine's run."""
    style = "nomentbl.ist" if "nomentbl.sty" in log else "nomencl.ist"
    found = sorted(path for path in written if path.endswith(".nlo"))
    return [_step(engine, path, style, (place, number)) for number, path in enumerate(found)]


def _step(engine: Step, entries: FilePath, style: str, place: tuple[int, ...]) -> Step:
    job = posixpath.relpath(entries, engine.cwd)[: -len(".nlo")]
    return replace(
        traced_helper(engine, "makeindex", job, place),
        name=f"makeindex:{job}.nlo",
        argv=("makeindex", "-s", style, "-t", job + ".nlg", "-o", job + ".nls", job + ".nlo"),
        inputs=(entries,),
        outputs=(entries[: -len("nlo")] + "nls",),
        main=entries,
    )
