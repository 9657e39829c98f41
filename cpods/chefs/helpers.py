"""Which helpers an engine's run asks for: one list, in the order in which they run behind it.

Knows no helper's files; each kind has a module of its own. A helper whose output the engine's run made itself (by shell
escape) is not asked for.
"""

from collections.abc import Sequence

import msgspec

from cpods.chefs.asymptote import asymptote_helpers
from cpods.chefs.bibliography import bibliography_helpers
from cpods.chefs.figures import figure_helpers
from cpods.chefs.glossaries import bib2gls_helpers
from cpods.chefs.gnuplot import gnuplot_helpers
from cpods.chefs.helping import Asked
from cpods.chefs.index import index_helpers
from cpods.chefs.nomencl import nomencl_helpers
from cpods.chefs.pythontex import pythontex_helpers
from cpods.chefs.recorder import is_report
from cpods.chefs.rules import rule_helpers
from cpods.chefs.standalone import standalone_helpers
from cpods.chefs.texinfo import texinfo_helpers
from cpods.ids import FilePath, is_outside
from cpods.model import Step
from cpods.ports import View


class Ended(msgspec.Struct, frozen=True):
    """An engine's run as the planners of helpers see it: what it wrote, what it looked for in vain, what its log says, what it read."""

    view: View
    writes: tuple[FilePath, ...]
    absent: tuple[FilePath, ...]
    log: str
    reads: tuple[FilePath, ...] = ()


def helpers(engine: Step, ended: Ended) -> list[Step]:
    """The helper steps that this run asks for. What the declaration says about them stands in the engine's options."""
    options = dict(engine.options)
    view = ended.view
    fresh: Sequence[FilePath] = [path for path in ended.writes if not is_outside(path) and not is_report(path)]
    asked = Asked(view, frozenset(ended.absent), frozenset(ended.reads), frozenset(fresh))
    index = options.get("index", "") or "auto"
    found = [
        *bibliography_helpers(engine, options.get("bibliography", "") or "auto", view, fresh),
        *index_helpers(engine, index, view, fresh, ended.log),
        *texinfo_helpers(engine, ended.log, view, fresh),
        *([] if index == "none" else bib2gls_helpers(engine, view, 4)),
        *([] if index == "none" else nomencl_helpers(engine, ended.log, fresh, 5)),
        *pythontex_helpers(engine, view, fresh, 6),
        *gnuplot_helpers(engine, asked, 7),
        *asymptote_helpers(engine, view, fresh, 8),
        *standalone_helpers(engine, asked, ended.log, 9),
        *rule_helpers(engine, asked, 10),
        *figure_helpers(engine, view, ended.absent, ended.log, 11),
    ]
    return [step for step in found if not set(step.outputs) & set(fresh)]
