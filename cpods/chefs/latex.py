"""The latex chef: plans a LaTeX document's engine, and what makes its product of the engine's DVI.

Knows no process and no run: those are the engine's and the helpers'.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from cpods.chefs.dvi import chain
from cpods.chefs.engine import engine_step, makes_dvi
from cpods.chefs.enginechef import EngineChef
from cpods.declaration import Declaration, LatexDeclaration
from cpods.ids import UNPACKED_FORMATS, FilePath
from cpods.model import Remembered, Step


class LatexChef(EngineChef):
    """Runs pdflatex, xelatex, lualatex, or latex for DVI."""

    name = "latex"
    version = 2

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]) -> Sequence[Step]:
        """The engine's step, and behind it those that make its DVI into what is wanted; helpers follow from what it writes.

        Raises ProjectFileError for a name that TeX cannot read.
        """
        if not isinstance(declaration, LatexDeclaration):
            return ()
        flags = ("-synctex=1",) if declaration.synctex else ()
        engine = engine_step(self.name, declaration, index, listing, recorded, flags)
        unpacked = f"TEXFORMATS_{engine.tool}"
        engine = replace(engine, env=(*engine.env, (unpacked, UNPACKED_FORMATS)), quiet=(*engine.quiet, unpacked))
        if declaration.preamble == "cache":
            from cpods.chefs.preamble import with_preamble  # only who asks for it pays for it

            engine = with_preamble(engine, declaration)
        return (engine, *chain(engine, declaration.output)) if makes_dvi(declaration) else (engine,)
