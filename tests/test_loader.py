"""Which project a call means: the folder's own, or a bare document."""

import os
from pathlib import Path

import pytest

from cpods.declaration import LatexDeclaration
from cpods.errors import ProjectFileError, UsageError
from cpods.loader import load

PROJECT = """
[project]
goals = ["./left.pdf", "numbers"]
env = ["LANG"]

[store]
max_bytes = 5

[[step]]
chef = "latex"
main = "left.tex"

[[step]]
chef = "latex"
main = "book"
cwd = "out"

[[step]]
name = "numbers"
run = "x"
outputs = ["made.tex"]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cpods.toml").write_text(PROJECT)
    (tmp_path / "letter.tex").write_text("% !TEX program = xelatex\n")
    return tmp_path


def test_goals_of_the_call_outrank_those_of_the_file(root: Path) -> None:
    project, goals = load(str(root), [])
    assert len(project.declarations) == 3
    assert goals == ("left.pdf", "numbers")
    assert load(str(root), ["./out/../x.txt", "numbers"])[1] == ("x.txt", "numbers")


@pytest.mark.parametrize(("goal", "product"), [("left.tex", "left.pdf"), ("book.tex", "out/book.pdf"), ("made.tex", "made.tex")])
def test_a_declared_main_file_stands_for_its_pdf(root: Path, goal: str, product: str) -> None:
    project, goals = load(str(root), [goal])
    assert len(project.declarations) == 3
    assert goals == (product,)


def test_an_absolute_goal_below_the_folder_is_a_project_path(root: Path) -> None:
    assert load(str(root), [str(root / "left.tex"), "left.pdf"])[1] == ("left.pdf",)


def test_an_undeclared_document_is_a_project_of_its_own(root: Path) -> None:
    project, goals = load(str(root), ["letter.tex"])
    assert goals == ("letter.pdf",)
    assert project.settings.until_stable
    declaration = project.declarations[0]
    assert isinstance(declaration, LatexDeclaration)
    assert declaration.engine == "xelatex"
    assert (project.store.max_bytes, project.settings.env) == (5, ("LANG",))


def test_a_bare_document_needs_no_project_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a b.tex").write_text("x")
    project, goals = load(str(tmp_path), ["sub/a b.tex"])
    assert goals == ("a b.pdf",)
    assert project.file == ""


def test_nothing_there_says_what_could_be_given(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no cpods.toml: write one, or give one document, as in `cpods rebuild paper.tex`"):
        load(str(tmp_path), [])
    with pytest.raises(UsageError, match=r"has no cpods\.toml"):
        load(str(tmp_path), ["a.tex", "b.tex"])
    with pytest.raises(UsageError, match=r"^paper\.tex is not there"):
        load(str(tmp_path), ["paper.tex"])
    with pytest.raises(UsageError, match="is no folder: -C expects the folder of a project"):
        load(str(tmp_path / "nowhere"), [])


def test_a_project_file_without_steps_needs_a_document(tmp_path: Path) -> None:
    (tmp_path / "cpods.toml").write_text("[store]\nmax_bytes = 7\n")
    (tmp_path / "a.tex").write_text("x")
    with pytest.raises(ProjectFileError, match=r"no step is declared; expected at least one \[\[step\]\]"):
        load(str(tmp_path), [])
    assert load(str(tmp_path), ["a.tex"])[0].store.max_bytes == 7


@pytest.mark.parametrize("goal", ["../x.pdf", "/x/y.pdf", "", ".", ".."])
def test_a_goal_outside_is_refused(root: Path, goal: str) -> None:
    with pytest.raises(UsageError, match="is no file of the project"):
        load(str(root), [goal])


def test_a_folder_or_pipe_where_a_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "cpods.toml").mkdir()
    with pytest.raises(ProjectFileError, match=r"^cpods\.toml: this is a folder; expected a file$"):
        load(str(tmp_path), [])
    (tmp_path / "cpods.toml").rmdir()
    os.mkfifo(tmp_path / "cpods.toml")
    with pytest.raises(ProjectFileError, match=r"^cpods\.toml: this is no regular file; expected a file$"):
        load(str(tmp_path), [])


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """A link that leads to itself cannot be read by anyone, root included."""
    (tmp_path / "cpods.toml").symlink_to("cpods.toml")
    with pytest.raises(ProjectFileError, match=r"^cpods\.toml: cannot be read \(.*\); expected a file that you may read$"):
        load(str(tmp_path), [])


def test_a_mistake_in_the_file_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "cpods.toml").write_text("[project]\nnmae = 1\n")
    with pytest.raises(ProjectFileError, match=r"^cpods\.toml:2: unknown key `nmae` in \[project\]; did you mean `name`\?$"):
        load(str(tmp_path), [])
