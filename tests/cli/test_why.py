"""`cpods why`: which input changed, from what to what; what a step cannot see; why it did not run."""

from pathlib import Path

import pytest

from cpods.digest import of_bytes
from cpods.graph.explain import short
from tests.cli.conftest import BOOKS, PAPER, Cli


def test_a_changed_input_is_named_with_both_digests_before_and_after_the_build(cli: Cli, line: Path) -> None:
    cli("rebuild")
    (line / "in.txt").write_text("c\n")
    was, now = short(of_bytes(b"b\na\n")), short(of_bytes(b"c\n"))
    said = f"in.txt changed from {was} to {now}"
    assert f"It would run now: {said}." in cli("why", "upper").out
    waiting = cli("why", "out.txt").out
    assert waiting.startswith("order ran in the last build") and "it may run now, depending on what upper will make" in waiting
    cli("rebuild")
    assert cli("why", "upper").out == f"upper ran in the last build: {said}. It would not run now: it is up to date.\n"
    cli("rebuild")
    assert cli("why", "mid.txt").out.startswith("upper did not run in the last build: it was up to date.")


def test_before_any_build_a_step_has_never_run(cli: Cli, line: Path) -> None:
    assert cli("why", "upper").out == "upper was not part of the last build. It would run now: it has no result here yet.\n"
    assert not (line / ".cpods").exists()


def test_bibtex_does_not_see_a_new_paragraph(cli: Cli, paper: Path) -> None:
    assert cli("rebuild").code == 0
    (paper / "paper.tex").write_text(PAPER.replace(r"\section{One}", r"\section{Won}"))
    assert "It would run now: paper.tex changed" in cli("why", "paper.tex").out
    assert cli("rebuild").code == 0
    said = cli("why", "bibtex:paper").out
    assert said.endswith(" It belongs to a knot: bibtex:paper -(paper.bbl)-> latex:paper.tex -(paper.aux)-> bibtex:paper.\n")
    assert "did not run in the last build" in said
    assert "paper.aux (xxh3:" in said and "had changed, but not in what bibtex:paper reads" in said
    (paper / "books.bib").write_text(BOOKS.replace("1984", "1986"))
    assert "books.bib changed from" in cli("why", "paper.bbl").out


def test_a_command_that_changed(cli: Cli, line: Path) -> None:
    cli("rebuild")
    (line / "cpods.toml").write_text((line / "cpods.toml").read_text().replace("sort mid.txt", "sort -r mid.txt"))
    assert "It would run now: its command, tools or environment changed." in cli("why", "order").out


def test_a_deleted_and_an_edited_product_come_from_the_store(cli: Cli, line: Path) -> None:
    cli("rebuild")
    (line / "out.txt").unlink()
    (line / "mid.txt").write_text("by hand\n")
    assert "its outputs come from the store (out.txt is not there)" in cli("why", "order").out
    assert "its outputs come from the store (another mid.txt stands there)" in cli("why", "upper").out


def test_a_failure_and_what_it_blocks(cli: Cli, line: Path) -> None:
    (line / "cpods.toml").write_text((line / "cpods.toml").read_text().replace("tr a-z A-Z < in.txt > mid.txt", "false"))
    assert cli("rebuild").code == 1
    assert "upper failed in the last build" in cli("why", "upper").out
    assert "order did not run in the last build: it needs upper" in cli("why", "order").out


def test_an_input_that_nobody_makes(cli: Cli, line: Path) -> None:
    (line / "in.txt").unlink()
    assert "It cannot run now: upper needs in.txt, which is not there and which no step makes." in cli("why", "upper").out
    assert "It would not run now: it needs upper" in cli("why", "order").out


def test_a_source_is_said_to_be_one(cli: Cli, line: Path) -> None:
    assert cli("why", "in.txt").out == "in.txt is a source: no step makes it. Read by upper.\n"


@pytest.mark.parametrize(("name", "near"), [("uper", "upper"), ("out.tx", "out.txt"), ("ORDER", "order"), ("zzzz", "`cpods graph show`")])
def test_an_unknown_name_gets_the_nearest_one(cli: Cli, line: Path, name: str, near: str) -> None:
    said = cli("why", name)
    assert said.code == 2 and near in said.err and said.err.count("\n") == 1 and not said.out


def test_a_lone_document_is_found_by_its_product_and_its_helpers(cli: Cli, paper: Path) -> None:
    (paper / "cpods.toml").unlink()
    assert cli("rebuild", "paper.tex").code == 0
    for name in ("paper.tex", "paper.pdf", "latex:paper.tex"):
        assert cli("why", name).out.startswith("latex:paper.tex ran in the last build")
    assert cli("why", "bibtex:paper").out.startswith("bibtex:paper ran in the last build")
