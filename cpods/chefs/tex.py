"""The tex chef: plans the engine of a document for plain TeX or Texinfo, and what makes its product of the engine's DVI.

Knows no process and no run: those are the engine's and the helpers'.
"""

import posixpath
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from cpods.chefs.dvi import chain
from cpods.chefs.engine import engine_step, makes_dvi
from cpods.chefs.enginechef import EngineChef
from cpods.declaration import Declaration, TexDeclaration
from cpods.ids import TEX_INPUTS, FilePath
from cpods.model import Remembered, Step

_TEXINFO = (".texi", ".texinfo", ".txi")


class TexChef(EngineChef):
    """Runs tex, etex, pdftex, luatex or xetex, with the plain format or another one."""

    name = "tex"

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]) -> Sequence[Step]:
        """The engine's step, and behind it those that make its DVI into what is wanted; helpers follow from what it writes.

        Raises ProjectFileError for a name that TeX cannot read.
        """
        if not isinstance(declaration, TexDeclaration):
            return ()
        flags = (f"-fmt={declaration.format}",) if declaration.format else ()
        engine = _beside_main(engine_step(self.name, declaration, index, listing, recorded, flags, (".tex", *_TEXINFO)))
        return (engine, *chain(engine, declaration.output, declaration.dvi_driver)) if makes_dvi(declaration) else (engine,)


def _beside_main(engine: Step) -> Step:
    """A Texinfo document finds what lies beside its main file, wherever it is built from (as texi2dvi has it)."""
    folder = posixpath.dirname(posixpath.relpath(engine.main, engine.cwd))
    if not engine.main.endswith(_TEXINFO) or not folder:
        return engine
    return replace(engine, env=(*engine.env, (f"TEXINPUTS_{engine.tool}", f"{folder}:{TEX_INPUTS}")))
