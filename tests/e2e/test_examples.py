"""The examples whose programs are written by the documents that read what they print: LaTeX and Python, ConTeXt and C.

Knows no inner part of cpods. What the way to the end should be is found by running the tools by hand.
"""

import functools
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.examples import CONTEXT, LATEX, Example, by_hand, state
from tests.helpers.lab import Built, local

BOTH = [pytest.param(LATEX, id="latex-python"), pytest.param(CONTEXT, id="context-program", marks=pytest.mark.tex)]


def edited(folder: Path, name: str, *changes: tuple[str, str]) -> None:
    """Each old text must be there exactly once."""
    text = (folder / name).read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / name).write_text(text)


def text_of(pdf: Path) -> str:
    """What a reader sees, without line ends."""
    return " ".join(subprocess.run(["pdftotext", str(pdf), "-"], check=True, capture_output=True, text=True).stdout.split())


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Example], tuple[Path, Built]]:
    """(the folder of an example that has been built from nothing, what that build said); made once and left alone."""

    @functools.cache
    def made(example: Example) -> tuple[Path, Built]:
        folder = example.copied(tmp_path_factory.mktemp("first"))
        return folder, local(folder)

    return made


@pytest.mark.parametrize("example", BOTH)
def test_comes_to_rest_as_by_hand(example: Example, first: Callable[[Example], tuple[Path, Built]], tmp_path: Path) -> None:
    (tmp_path / "hand").mkdir()
    tail, period = by_hand(example, example.copied(tmp_path / "hand"))
    folder, built = first(example)
    assert built.exit_code == 0, built.output
    (knot,) = built.report["knots"]
    assert (knot["verdict"], knot["tail"], knot["period"], knot["passes"]) == ("FIXED", tail, period, tail + period)
    assert (tail, period) == (3, 1)  # the program's output moves the pages, and what it says of them then moves them again
    assert built.steps.count(example.document) == 4 and built.steps.count(example.program) == 3
    goes_round = {entry["path"]: entry["sha256"] for entry in knot["feedback"]}
    shared = {path: sha for path, sha in state(example, tmp_path / "hand" / example.name).items() if path in goes_round}
    own = {path for path in goes_round if path.endswith((".o", ".tuc")) or path == "sim"}  # they hold their command lines, or a seed
    assert shared.keys() | own == goes_round.keys()
    assert {path: sha for path, sha in shared.items() if path not in own} == {p: s for p, s in goes_round.items() if p not in own}
    assert local(folder).steps == []


SWINGS = [
    pytest.param(LATEX, (3, 2), id="latex-python"),
    pytest.param(CONTEXT, (2, 2), id="context-program", marks=pytest.mark.tex),
]


@pytest.mark.parametrize(("example", "way"), SWINGS)
def test_a_program_that_undoes_itself(example: Example, way: tuple[int, int], tmp_path: Path) -> None:
    tail, period = way
    folder = example.copied(tmp_path, swings=True)
    built = local(folder)
    assert built.exit_code == 3, built.output
    (knot,) = built.report["knots"]
    assert (knot["verdict"], knot["tail"], knot["period"], knot["passes"]) == ("PERIOD", tail, period, tail + period)
    assert "places.dat" in {entry["artefact"] for entry in knot["moving"]} and "places.dat" in built.output
    assert sorted(path.name for path in folder.iterdir() if path.name != ".cpods") == sorted(example.sources)


@pytest.mark.tex
@pytest.mark.parametrize(("example", "way"), SWINGS)
def test_it_undoes_itself_by_hand_too(example: Example, way: tuple[int, int], tmp_path: Path) -> None:
    assert by_hand(example, example.copied(tmp_path, swings=True)) == way


def _latex_edits(folder: Path, rebuild: Callable[[], Built]) -> None:
    edited(folder, "evenings.tex", ("a lamp is put out", "a lamp is blown out"))
    assert rebuild().steps == ["latex:evenings.tex"]
    edited(folder, "evenings.tex", ('"""Divides the text that this program was found in."""', '"""Divides the text it was found in."""'))
    assert rebuild().steps == ["latex:evenings.tex", "plan"]
    edited(folder, "evenings.tex", ("{length:.1f}", "{length:.3f}"))
    assert rebuild().steps == ["latex:evenings.tex", "plan", "latex:evenings.tex"]
    first = re.search(r"^1 & .* & (1--\d) & (\d\.\d{3}) ", (folder / "plan.tex").read_text(), re.MULTILINE)
    assert first and first[2] in text_of(folder / "evenings.pdf")


def _context_edits(folder: Path, rebuild: Callable[[], Built]) -> None:
    edited(folder, "reader.tex", ("\nsit still, on", "\nsit down, on"))
    assert rebuild().steps == ["context:reader.tex"]
    edited(folder, "reader.tex", ("the year of Markov's paper on Onegin", "the year of the paper on Onegin"))
    assert rebuild().steps == ["context:reader.tex", "cc:sim:sim.c"]
    edited(folder, "reader.tex", ("LINKS_MAX = 1000 };", "LINKS_MAX = 999 };"))
    assert rebuild().steps == ["context:reader.tex", "cc:sim:sim.c", "cc:sim:main.c", "link:sim", "walk"]
    edited(folder, "reader.tex", ("state = 1913;", "state = 1912;"))
    built = rebuild()
    assert built.steps[:4] == ["context:reader.tex", "cc:sim:sim.c", "link:sim", "walk"]
    assert set(built.steps[4:]) <= {"context:reader.tex", "walk"}
    busiest = (folder / "visits.tex").read_text().split("\\BusiestShare{")[1].split("}")[0]
    assert f"in {busiest} percent" in text_of(folder / "reader.pdf")


EDITS = [
    pytest.param(LATEX, _latex_edits, id="latex-python"),
    pytest.param(CONTEXT, _context_edits, id="context-program", marks=pytest.mark.tex),
]


@pytest.mark.parametrize(("example", "edits"), EDITS)
def test_an_edit_runs_what_it_must(
    example: Example,
    edits: Callable[[Path, Callable[[], Built]], None],
    first: Callable[[Example], tuple[Path, Built]],
    tmp_path: Path,
) -> None:
    folder = tmp_path / example.name
    shutil.copytree(first(example)[0], folder, symlinks=True)

    def rebuild() -> Built:
        built = local(folder)
        assert built.exit_code == 0, built.output
        return built

    edits(folder, rebuild)


def test_steps_of_a_knot_find_the_folders_of_their_outputs(tmp_path: Path) -> None:
    """As steps outside of knots do, and as all do on a pod."""
    step = '[[step]]\nname = "{}"\nrun = "{}"\ninputs = [{}]\noptional = [{}]\noutputs = ["{}"]\n'
    steps = (
        step.format(
            "there",
            "cat note.txt out.txt > made/there/note.txt || true",
            '"note.txt"',
            '"out.txt"',
            "made/there/note.txt",
        ),
        step.format("here", "cp made/there/note.txt made/here/out.txt", '"made/there/note.txt"', "", "made/here/out.txt"),
        step.format("back", "head -n 1 made/here/out.txt > out.txt", '"made/here/out.txt"', "", "out.txt"),
    )
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "note.txt").write_text("a line\n")
    (folder / "cpods.toml").write_text('[project]\ngoals = ["made/here/out.txt"]\n' + "\n".join(steps))
    built = local(folder)
    assert built.exit_code == 0, built.output
    assert built.report["knots"][0]["verdict"] == "FIXED"
    assert (folder / "made/here/out.txt").read_text() == "a line\na line\n"
