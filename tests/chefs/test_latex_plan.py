"""What the latex chef plans for a declaration."""

import pytest

from cpods.chefs.registry import chefs
from cpods.declaration import LatexDeclaration, ShellDeclaration
from cpods.errors import ProjectFileError
from cpods.model import Remembered, Step

CHEF = chefs()["latex"]


def plan(main: str = "a.tex", listing: tuple[str, ...] = ("a.tex",), recorded: dict[str, Remembered] | None = None, **keys: object) -> Step:
    declaration = LatexDeclaration(main=main, **keys)  # type: ignore[arg-type]
    (step,) = CHEF.plan(declaration, 3, listing, recorded or {})
    return step


def test_the_command_line() -> None:
    assert plan().argv == ("pdflatex", "-recorder", "-interaction=nonstopmode", "-file-line-error", "-synctex=1", "a.tex")
    step = plan(engine="lualatex", synctex=False, shell_escape=True, jobname="b")
    assert step.argv == ("lualatex", "-recorder", "-interaction=nonstopmode", "-file-line-error", "-shell-escape", "-jobname=b", "a.tex")


def test_names_inputs_and_outputs() -> None:
    step = plan()
    assert (step.name, step.position, step.inputs, step.outputs) == ("latex:a.tex", (3,), ("a.tex",), ("a.pdf",))
    assert plan(jobname="b").name == "latex:a.tex#b"
    assert plan(jobname="b").outputs == ("b.pdf",)


def test_outputs_land_in_the_folder_it_runs_in() -> None:
    step = plan("sub/a.tex", ("sub/a.tex",))
    assert (step.argv[-1], step.inputs, step.outputs) == ("sub/a.tex", ("sub/a.tex",), ("a.pdf",))
    step = plan("a.tex", ("doc/a.tex",), cwd="doc")
    assert (step.argv[-1], step.inputs, step.outputs, step.may_write) == ("a.tex", ("doc/a.tex",), ("doc/a.pdf",), ("doc/a.",))


def test_main_may_be_named_from_the_project_s_folder() -> None:
    step = plan("doc/a.tex", ("doc/a.tex",), cwd="doc")
    assert (step.argv[-1], step.inputs) == ("a.tex", ("doc/a.tex",))


def test_main_without_ending() -> None:
    assert plan("a", ("a.tex",)).inputs == ("a.tex",)


def test_a_missing_main_is_still_a_required_input() -> None:
    assert plan("gone.tex", ()).inputs == ("gone.tex",)


def test_names_that_look_like_options_or_formats_are_made_paths() -> None:
    assert plan("-a.tex", ("-a.tex",)).argv[-1] == "./-a.tex"
    assert plan("&a.tex", ("&a.tex",)).argv[-1] == "./&a.tex"
    assert plan("-a.tex", ("-a.tex",)).outputs == ("-a.pdf",)


@pytest.mark.parametrize("name", ["~a.tex", "a%b.tex", "two  blanks.tex", "a^^b.tex", "a\\b.tex", "a{b.tex"])
def test_names_that_tex_cannot_read_are_refused(name: str) -> None:
    with pytest.raises(ProjectFileError, match="rename"):
        plan(name, (name,))


def test_blanks_and_letters_are_fine() -> None:
    step = plan("mein Büchlein.tex", ("mein Büchlein.tex",))
    assert (step.argv[-1], step.jobname, step.outputs) == ("mein Büchlein.tex", "mein Büchlein", ("mein Büchlein.pdf",))


def test_what_shapes_only_the_log_does_not_count() -> None:
    step = plan(env=("MY_MODE",))
    assert {name for name, _ in step.env} == set(step.quiet)
    assert {"TEXINPUTS", "BIBINPUTS", "MY_MODE"} <= set(step.pass_env)


def test_a_bbl_that_no_step_wrote_came_with_the_project() -> None:
    listing = ("a.tex", "a.bbl")
    assert ("bbl", "source") in plan(listing=listing).options
    known = {"bibtex:a": Remembered(frozenset(), frozenset({"a.bbl"}))}
    assert ("bbl", "source") not in plan(listing=listing, recorded=known).options


def test_engines_that_look_unseen_say_so() -> None:
    assert ("unseen_lookups", "yes") not in plan().options
    assert ("unseen_lookups", "yes") in plan(engine="lualatex").options
    assert ("unseen_lookups", "yes") in plan(shell_escape=True).options


def test_other_declarations_are_not_its_business() -> None:
    assert CHEF.plan(ShellDeclaration(name="x", run="true"), 0, (), {}) == ()


def test_pdf_dates_do_not_count_but_the_own_pdf_does() -> None:
    step = plan()
    assert CHEF.filter_for(step, "fig.pdf") == "pdf-dates/2"
    assert CHEF.filter_for(step, "a.pdf") == ""
    assert CHEF.filter_for(step, "fig.png") == ""
    assert CHEF.filter("", "fig.png", b"x") == b"x"
