"""The benchmark of real documents: its rows and means; behind the marker ``tex`` one small document built by all builders."""

from pathlib import Path

import pytest

from benchmarks import latex
from benchmarks.latex import Document, Measured
from benchmarks.measure import Run
from benchmarks.registry import benchmark

TEXT = "\\documentclass{article}\n\\usepackage{tikz}\n\\begin{document}\n\\section{One}\\label{a}\nSomething \\ref{a}\n\\end{document}\n"


def runs(*seconds: float) -> list[Run]:
    return [Run(one, one / 2, 1 << 20) for one in seconds]


def measured(document: str, situation: str, ours: list[Run], pass_seconds: float) -> Measured:
    return Measured(document, situation, {"latexmk": runs(1.0, 2.0), "cpods, preamble kept": ours}, pass_seconds)


def test_a_row_for_each_way_and_measure() -> None:
    cpu, wall = latex.rows(measured("book", "one word edited", runs(0.5, 1.5), 1.2))
    assert cpu.row == "book, one word edited, cpods, preamble kept: CPU" and wall.row.endswith(": wall")
    assert (wall.values, wall.peer_values, cpu.values, cpu.peer_values) == ([500, 1500], [1000, 2000], [250, 750], [500, 1000])
    assert (wall.peer, wall.better, wall.extra["pass_cpu_ms"]) == ("latexmk", "less", 1200)


def test_means_are_geometric_and_only_long_passes_have_an_aim() -> None:
    found = [measured("a", "one word edited", runs(0.5, 1.0), 1.2), measured("b", "one word edited", runs(2.0, 2.0), 0.3)]
    rows = {row.row: row for row in latex.means(found)}
    one = rows["mean of 1 documents of >= 1 CPU s a pass, one word edited, cpods, preamble kept: wall"]
    assert one.values == pytest.approx([0.5, 0.5]) and one.aim == 0.8
    both = rows["mean of all 2 documents, one word edited, cpods, preamble kept: wall"]
    assert both.values == pytest.approx([1.0, (0.5 * 1.0) ** 0.5]) and both.aim is None


def test_it_is_registered() -> None:
    assert benchmark("latex") is latex.BENCHMARK


@pytest.mark.tex
@pytest.mark.timeout(600)
def test_all_builders_make_the_same_of_a_small_document(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.tex").write_text(TEXT)
    found = list(latex._document(Document(source, "a.tex"), tmp_path / "work", 1, lambda text: None))
    assert [one.situation for one in found] == ["cold", "one word edited", "nothing changed"]
    for one in found:
        assert {"latexmk", "cpods", "cpods, preamble kept"} <= set(one.runs)
        assert all(run.cpu_seconds > 0 for each in one.runs.values() for run in each)
