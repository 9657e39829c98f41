"""`cpods graph show` on real projects: before the first build, after it, narrowed, and with bad names."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

Golden = Callable[[str, str], None]


def test_before_the_first_build_the_declared_edges_are_drawn_and_nothing_is_written(cli: Cli, line: Path, golden: Golden) -> None:
    shown = cli("graph", "show")
    golden("show-line.txt", shown.out)
    assert shown.code == 0 and not (line / ".cpods").exists()


def test_an_engine_that_never_ran_is_presumed_to_read_every_product(cli: Cli, paper: Path, golden: Golden) -> None:
    with (paper / "cpods.toml").open("a") as file:
        file.write('[[step]]\nname = "fig"\nrun = "echo x > fig.tex"\noutputs = ["fig.tex"]\n')
    golden("show-paper-fresh.txt", cli("graph", "show", "paper.pdf").out)


def test_after_a_build_helpers_and_discovered_reads_are_there(cli: Cli, paper: Path) -> None:
    assert cli("rebuild").code == 0
    drawn = json.loads(cli("graph", "show", "--format", "json").out)
    assert [step["name"] for step in drawn["steps"]] == ["latex:paper.tex", "bibtex:paper"]
    (knot,) = drawn["knots"]
    assert (knot["steps"], knot["verdict"], knot["passes"]) == (["latex:paper.tex", "bibtex:paper"], "FIXED", 3)
    assert [[(edge["from"], edge["paths"]) for edge in circle] for circle in knot["circles"]] == [
        [("latex:paper.tex", ["paper.aux", "paper.toc"])],
        [("latex:paper.tex", ["paper.aux"]), ("bibtex:paper", ["paper.bbl"])],
    ]
    feedback = {(edge["from"], tuple(edge["paths"])) for edge in drawn["edges"] if edge["feedback"]}
    assert feedback == {("latex:paper.tex", ("paper.aux", "paper.toc")), ("bibtex:paper", ("paper.bbl",))}
    assert {step["name"]: step["sources"] for step in drawn["steps"]} == {"latex:paper.tex": ["paper.tex"], "bibtex:paper": ["books.bib"]}


def test_a_goal_narrows_the_graph(cli: Cli, line: Path) -> None:
    shown = cli("graph", "show", "mid.txt").out
    assert "upper" in shown and "order" not in shown


def test_stale_steps_only_with_their_state(cli: Cli, line: Path, golden: Golden) -> None:
    cli("rebuild")
    assert cli("graph", "show", "--stale").out == "everything is up to date\n"
    (line / "in.txt").write_text("c\n")
    golden("show-line-stale.txt", cli("graph", "show", "--stale").out)


def test_knots_only(cli: Cli, turning: Callable[..., Path], line: Path) -> None:
    assert cli("graph", "show", "--knots").out == "there is no knot\n"
    turning("(n + 3) / 2")
    shown = cli("graph", "show", "--knots", "--format", "dot").out
    assert '"turn" -> "turn" [label="x.txt", style=dashed, color=red, constraint=false];' in shown


def test_a_missing_input_and_a_circle_are_shown(cli: Cli, project: Path, golden: Golden) -> None:
    step = '[[step]]\nname = "{0}"\nrun = "cp {1} {2}"\ninputs = ["{1}"]\noutputs = ["{2}"]\n'
    (project / "cpods.toml").write_text(step.format("one", "b", "a") + step.format("two", "a", "b") + step.format("three", "gone", "c"))
    golden("show-errors.txt", cli("graph", "show").out)
    assert "It cannot run now: a circle that cannot start: one needs b; two needs a." in cli("why", "two").out


def test_of_a_large_circle_that_cannot_start_a_short_part_is_told(cli: Cli, project: Path) -> None:
    step = '[[step]]\nname = "s{0}"\nrun = "touch f{0}"\ninputs = {1}\noutputs = ["f{0}"]\n'
    needs = [["f5"], ["f0"], ["f1", "f4"], ["f2"], ["f3", "f2"], ["f4"]]
    (project / "cpods.toml").write_text("".join(step.format(number, json.dumps(names)) for number, names in enumerate(needs)))
    for said in (cli("rebuild").err, cli("graph", "show").out):
        assert re.search(r"s2 -\(f2\)-> s4 -\(f4\)-> s2|start: s2 needs f4 from s4; s4 needs f2 from s2; list one", said), said
    assert "It cannot run now: a circle that cannot start: s2 needs f4; s4 needs f2.\n" in cli("why", "f0").out


def test_two_makers_of_one_file_are_an_error(cli: Cli, project: Path) -> None:
    step = '[[step]]\nname = "{0}"\nrun = "echo > a"\noutputs = ["a"]\n'
    (project / "cpods.toml").write_text(step.format("one") + step.format("two"))
    shown = cli("graph", "show")
    assert shown.code == 2 and "one" in shown.err and "two" in shown.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ouut.txt",), "did you mean out.txt?"),
        (("--format", "svg"), "expected one of tree, dot, json"),
        (("-C", "nowhere"), "-C nowhere: there is no such folder"),
    ],
)
def test_bad_calls_are_one_sentence(cli: Cli, line: Path, arguments: tuple[str, ...], words: str) -> None:
    shown = cli("graph", "show", *arguments)
    assert shown.code == 2 and words in shown.err and shown.err.count("\n") == 1
