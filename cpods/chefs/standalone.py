"""Standalone sub-documents: pictures that are documents of their own, included as images (package standalone).

Knows no engine but the one that asks. A picture is made where the run looked for NAME.pdf, NAME.tex is a document, and the
run did not input it instead (``mode=tex``, ``image|tex``, and the build modes, which without shell escape do that too). Its
step is an engine's run, which the latex chef carries out: it goes on to its own fixed point inside the knot, as it reads its
own .aux. The document's class must be standalone, or the including document must have loaded the package: no other file that
happens to lie beside a missing picture is built.
"""

import posixpath
import re

from msgspec.structs import replace

from cpods.chefs.engine import engine_step
from cpods.chefs.helping import Asked, engine_env, if_missing
from cpods.declaration import LatexDeclaration
from cpods.ids import FilePath
from cpods.model import Step

_CLASS = re.compile(rb"^[^%\n]*\\documentclass\s*(?:\[[^\]]*\])?\s*\{([^}]*)\}", re.MULTILINE)
_ENGINES = ("pdflatex", "xelatex", "lualatex")


def standalone_helpers(engine: Step, asked: Asked, log: str, place: int) -> list[Step]:
    """One engine step for each picture that the run wants as an image."""
    if engine.chef != "latex" or engine.tool not in _ENGINES or engine.planner:
        return []
    loaded = "standalone.sty" in log
    wanted = [path[: -len("pdf")] + "tex" for path in asked.wanted if path.endswith(".pdf") and path not in engine.outputs]
    found = [path for path in wanted if asked.view.exists(path) and _is_picture(path, asked, loaded) and _is_image(path, engine, log)]
    return [_step(engine, path, (place, number)) for number, path in enumerate(found)]


def _is_image(source: FilePath, engine: Step, log: str) -> bool:
    """Whether the run wants the picture's image: by its log it did not input the text, or it used or lacked the image as well.

    The text is looked for in any case, so that to have read it tells nothing.
    """
    named = posixpath.relpath(source, engine.cwd)
    if re.search(r"\((?:\./)?" + re.escape(named) + r"(?=[\s)])", log) is None:
        return True
    stem = re.escape(named[: -len(".tex")])
    return re.search(rf"File: (?:\./)?{stem}\.pdf Graphic file|File [`'](?:\./)?{stem}(?:\.pdf)?' not found", log) is not None


def _is_picture(source: FilePath, asked: Asked, loaded: bool) -> bool:
    found = _CLASS.search(asked.view.read(source) or b"")
    return found is not None and (loaded or found[1].strip() == b"standalone")


def _step(engine: Step, source: FilePath, place: tuple[int, ...]) -> Step:
    """The picture's engine step, in the including document's folder, as the package itself would start it."""
    named = posixpath.relpath(source, engine.cwd)
    declared = LatexDeclaration(
        main=named,
        jobname=posixpath.splitext(named)[0],
        cwd=engine.cwd,
        env=engine_env(engine),
        timeout=engine.timeout,
        tool_match=engine.tool_match,
    )
    step = engine_step("latex", replace(declared, engine=engine.tool), 0, (source,), {}, ())
    return if_missing(
        replace(
            step, name=f"latex:{source}", position=(*engine.position, *place), planner=engine.name, env=_env(engine, step), parallel=True
        )
    )


def _env(engine: Step, step: Step) -> tuple[tuple[str, str], ...]:
    known = {name for name, _ in step.env}
    return (*step.env, *(pair for pair in engine.env if pair[0] not in known))
