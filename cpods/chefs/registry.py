"""The chefs by name, each imported when it is first asked for.

Knows no steps: which chef a step needs is written in the step.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module

from cpods.ports import Chef

_CLASSES = {
    "latex": ("cpods.chefs.latex", "LatexChef"),
    "preamble": ("cpods.chefs.preamble", "PreambleChef"),
    "tex": ("cpods.chefs.tex", "TexChef"),
    "context": ("cpods.chefs.context", "ContextChef"),
    "metapost": ("cpods.chefs.metapost", "MetapostChef"),
    "bibtex": ("cpods.chefs.bibliography", "BibtexChef"),
    "biber": ("cpods.chefs.bibliography", "BiberChef"),
    "figure": ("cpods.chefs.figurechef", "FigureChef"),
    "makeindex": ("cpods.chefs.index", "MakeindexChef"),
    "makeglossaries": ("cpods.chefs.index", "MakeglossariesChef"),
    "dvips": ("cpods.chefs.dvi", "DvipsChef"),
    "ps2pdf": ("cpods.chefs.dvi", "Ps2pdfChef"),
    "dvipdfmx": ("cpods.chefs.dvi", "DvipdfmxChef"),
    "texindex": ("cpods.chefs.texinfo", "TexindexChef"),
    "bib2gls": ("cpods.chefs.glossaries", "Bib2glsChef"),
    "splitindex": ("cpods.chefs.splitindex", "SplitindexChef"),
    "pythontex": ("cpods.chefs.pythontex", "PythontexChef"),
    "gnuplot": ("cpods.chefs.gnuplot", "GnuplotChef"),
    "asy": ("cpods.chefs.asymptote", "AsymptoteChef"),
    "rule": ("cpods.chefs.rules", "RuleChef"),
    "shell": ("cpods.chefs.shell", "ShellChef"),
    "compiler": ("cpods.chefs.compiler", "CompilerChef"),
}


@cache
def _load(name: str) -> Chef:
    module, attribute = _CLASSES[name]
    chef: Chef = getattr(import_module(module), attribute)()
    return chef


class _Registry(Mapping[str, Chef]):
    """A read-only mapping that imports a chef's module on first use."""

    def __getitem__(self, name: str) -> Chef:
        return _load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)


def chefs() -> Mapping[str, Chef]:
    """All chefs by name. Raises KeyError for an unknown one."""
    return _Registry()
