"""Documents with TikZ pictures that pgf externalises, and edits to them.

Knows no build.
"""

from pathlib import Path

_HEAD = r"""\documentclass{article}
\usepackage{tikz}
\usetikzlibrary{external}
\tikzexternalize%s
\begin{document}
\tableofcontents
"""


def write(folder: Path, count: int, options: str = "", extra: str = "") -> Path:
    """``doc.tex`` with ``count`` pictures, each in a section of its own; the main file. ``options``: tikzexternalize's."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        rf"\section{{Part {number}}}\label{{part{number}}}Text {number}." + "\n"
        rf"\begin{{tikzpicture}}\draw (0,0) rectangle (1,{number + 1}mm) node {{P{number}}};\end{{tikzpicture}}" + "\n"
        for number in range(count)
    ]
    document = folder / "doc.tex"
    document.write_text(_HEAD % options + "".join(parts) + extra + "\\end{document}\n")
    return document


def edit(document: Path, old: str, new: str) -> None:
    """One change, which must be possible."""
    text = document.read_text()
    assert old in text
    document.write_text(text.replace(old, new, 1))


def edit_text(document: Path) -> None:
    """Other words, as long as the old ones."""
    edit(document, "Text 1.", "Word 1.")


def edit_picture(document: Path) -> None:
    """Another label in one picture."""
    edit(document, "{P1}", "{Q1}")
