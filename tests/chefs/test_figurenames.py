"""Which figures a document's texts name, before anybody has run it."""

import pytest

from cpods.chefs.figurenames import Reader, names, unnamed

FIGURES = ["plot.pdf", "manual.pdf", "figures/page-1.pdf", "two words.PDF", "a.b.pdf"]


def left(texts: dict[str, bytes], main: str = "a.tex") -> set[str]:
    return unnamed(FIGURES, main, [*texts, *FIGURES], lambda path: names(texts[path]))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (rb"\includegraphics{plot}", {"plot.pdf"}),
        (rb"\includegraphics[width=2cm]{ plot.pdf }", {"plot.pdf"}),
        (rb"\own[image=plot, x=manual]{1}", {"plot.pdf", "manual.pdf"}),
        (rb"\foreach\x in {plot,manual}{\includegraphics{\x}}", {"plot.pdf", "manual.pdf"}),
        (rb"\includegraphics{figures/page-\number\i}", {"figures/page-1.pdf"}),
        (b"\\newcommand\\fig[1]{\\includegraphics{figures/page-#1}}", {"figures/page-1.pdf"}),
        (b"\\graphicspath{{figures/}}\\includegraphics\n  {page-1}", {"figures/page-1.pdf"}),
        (rb'\includegraphics{two words}\includegraphics{"a.b"}', {"two words.PDF", "a.b.pdf"}),
        (rb"\includegraphics[page=2]{#1-1}\includegraphics{\jobname ot.pdf}", {"figures/page-1.pdf", "plot.pdf"}),
        (rb"\includegraphics{\folder plot}\includegraphics{\folder/manual}", {"plot.pdf", "manual.pdf"}),
        (rb"\animategraphics{12}{figures/page-}{1}{9}", {"figures/page-1.pdf"}),
        (rb"\newcommand\own[1]{\drawn{page-#1}}\includegraphics{#1}\includegraphics{#1.pdf}", {"figures/page-1.pdf"}),
        (rb"@image{plot,2cm}", {"plot.pdf"}),
        (rb"\epsfbox plot.pdf ", {"plot.pdf"}),
        (b"the plot in the manual % {plot}", set()),
        (rb"\usepackage{manual}\begin{plot}\end{plot}\ref{plot}\texttt{manual}", set()),
        (b"", set()),
    ],
)
def test_what_a_text_names(text: bytes, named: set[str]) -> None:
    assert left({"a.tex": text}) == set(FIGURES) - named


def test_texts_that_are_named_are_looked_into() -> None:
    texts = {
        "a.tex": rb"\documentclass{own}\input{parts/one}\input two",
        "own.cls": rb"\logo{plot}",
        "parts/one.tex": rb"\input{three.tex}\input{a}",
        "two.tex": b"{manual}",
        "three.tex": rb"\input{figures/a.pdf_tex}",
        "figures/a.pdf_tex": rb"\put(0,0){\includegraphics[page=1]{a.b.pdf}}",
        "page-1.tex": rb"\usepackage{own}{page-1}",
    }
    assert left(texts) == {"figures/page-1.pdf", "two words.PDF"}


def test_without_figures_no_text_is_read() -> None:
    assert unnamed([], "a.tex", ["a.tex"], lambda path: pytest.fail("read")) == set()


def test_a_text_is_read_once_for_each_content() -> None:
    reader, asked = Reader(), []

    def read(data: bytes | None) -> bytes | None:
        asked.append(data)
        return data

    assert reader.names("one", lambda: read(b"{plot}")).files == {b"plot"}
    assert reader.names("one", lambda: read(b"{plot}")).files == {b"plot"}
    assert reader.names("two", lambda: read(None)).files == frozenset()
    assert asked == [b"{plot}", None]
