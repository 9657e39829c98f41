"""`cpods clean`: only generated and unmodified files go, and the next build brings them back without a run."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Cli

Files = Callable[[Path], dict[str, bytes]]


def ran(folder: Path) -> list[str]:
    return [entry["step"] for entry in json.loads((folder.parent / "r.json").read_text())["executions"]]


def test_a_document_is_cleaned_and_comes_back_from_the_store(cli: Cli, paper: Path, files: Files) -> None:
    sources = files(paper)
    cli("rebuild")
    built = files(paper)
    assert cli("clean", "--dry-run").out == f"{len(built) - len(sources)} generated files would be removed\n"
    assert files(paper) == built
    cleaned = cli("clean")
    assert cleaned.code == 0 and cleaned.out == f"{len(built) - len(sources)} generated files removed\n"
    assert files(paper) == sources
    assert not list((paper / ".cpods" / "work").iterdir())
    assert cli("clean").out == "0 generated files removed\n"
    assert cli("rebuild", "--report", "../r.json").code == 0
    assert files(paper) == built and ran(paper) == []


def test_what_was_edited_or_is_a_source_stays(cli: Cli, line: Path, files: Files) -> None:
    cli("rebuild")
    (line / "mid.txt").write_text("by hand\n")
    (line / "own.txt").write_text("mine\n")
    cleaned = cli("clean")
    assert cleaned.out == "1 generated file removed\nkept: mid.txt was changed since it was made\n"
    assert sorted(files(line)) == ["cpods.toml", "in.txt", "mid.txt", "own.txt"]
    assert cli("rebuild", "--report", "../r.json").code == 0
    assert (line / "mid.txt").read_text() == "B\nA\n" and ran(line) == []


def test_a_folder_that_is_empty_then_goes_too_but_not_one_that_steps_run_in(cli: Cli, project: Path) -> None:
    step = '[[step]]\nname = "{0}"\nrun = "echo > {1}"\ncwd = "{2}"\noutputs = ["{1}"]\n'
    (project / "cpods.toml").write_text(
        step.format("a", "new/deep/a", ".") + step.format("b", "work/b", "work").replace("> work/", "> ") + step.format("c", "old/c", ".")
    )
    (project / "work").mkdir()
    (project / "old").mkdir()
    (project / "old" / "mine").write_text("")
    assert cli("rebuild").code == 0
    assert cli("clean").code == 0
    assert sorted(path.name for path in project.iterdir()) == [".cpods", "cpods.toml", "old", "work"]
    assert cli("rebuild", "--report", "../r.json").code == 0 and ran(project) == []


def test_products_of_a_lone_document_are_cleaned_without_a_project_file(cli: Cli, paper: Path) -> None:
    (paper / "cpods.toml").unlink()
    cli("rebuild", "paper.tex")
    assert cli("clean").code == 0
    assert sorted(path.name for path in paper.iterdir()) == [".cpods", "books.bib", "paper.tex"]


def test_nothing_to_clean_and_bad_calls(cli: Cli, line: Path) -> None:
    fresh = cli("clean")
    assert fresh.code == 0 and fresh.out == "nothing to clean: cpods has built nothing here\n" and not (line / ".cpods").exists()
    assert cli("clean", "-C", "nowhere").code == 2
    (line / "cpods.toml").write_text("[projekt]\n")
    broken = cli("clean")
    assert broken.code == 2 and "cpods.toml:1" in broken.err
