"""What the tex chef plans, and what it has in common with the latex chef: programs that a document may run, DVI, fonts."""

import pytest

from cpods.chefs.registry import chefs
from cpods.declaration import LatexDeclaration, TexDeclaration
from cpods.errors import ProjectFileError
from cpods.ids import TEX_INPUTS, TOOL_CACHE
from cpods.model import Step


def steps(main: str = "a.tex", listing: tuple[str, ...] = ("a.tex",), **keys: object) -> list[Step]:
    declaration = TexDeclaration(main=main, **keys)  # type: ignore[arg-type]
    return list(chefs()["tex"].plan(declaration, 3, listing, {}))


def latex(main: str = "a.tex", listing: tuple[str, ...] = ("a.tex",), **keys: object) -> list[Step]:
    declaration = LatexDeclaration(main=main, **keys)  # type: ignore[arg-type]
    return list(chefs()["latex"].plan(declaration, 3, listing, {}))


@pytest.mark.parametrize("engine", ["pdftex", "luatex", "xetex"])
def test_the_command_line(engine: str) -> None:
    (step,) = steps(engine=engine)
    assert step.argv == (engine, "-recorder", "-interaction=nonstopmode", "-file-line-error", "a.tex")
    assert (step.name, step.chef, step.outputs) == ("tex:a.tex", "tex", ("a.pdf",))


def test_another_format_is_named_to_the_engine() -> None:
    (step,) = steps(format="eplain")
    assert "-fmt=eplain" in step.argv


@pytest.mark.parametrize("ending", [".texi", ".texinfo", ".txi"])
def test_a_texinfo_main_file_without_its_ending(ending: str) -> None:
    (step,) = steps("manual", ("manual" + ending,))
    assert (step.argv[-1], step.inputs, step.outputs) == ("manual" + ending, ("manual" + ending,), ("manual.pdf",))


def test_a_texinfo_document_looks_beside_its_main_file() -> None:
    (step,) = steps("doc/manual.texi", ("doc/manual.texi",))
    assert dict(step.env)["TEXINPUTS_pdftex"] == "doc:" + TEX_INPUTS
    (step,) = steps("manual.texi", ("doc/manual.texi",), cwd="doc")
    assert "TEXINPUTS_pdftex" not in dict(step.env)


def test_dvi_is_made_into_pdf_behind_the_engine() -> None:
    engine, dvips, ps2pdf = latex(engine="latex")
    assert engine.outputs == dvips.inputs == ("a.dvi",)
    assert (dvips.name, dvips.argv) == ("dvips:a", ("dvips", "-P", "pdf", "-o", "a.ps", "a.dvi"))
    assert dvips.outputs == ps2pdf.inputs == ("a.ps",)
    assert (ps2pdf.name, ps2pdf.argv, ps2pdf.outputs) == ("ps2pdf:a", ("ps2pdf", "a.ps", "a.pdf"), ("a.pdf",))
    assert engine.position < dvips.position < ps2pdf.position
    assert dvips.planner == ps2pdf.planner == engine.name


def test_only_what_is_wanted_is_made_of_dvi() -> None:
    assert [step.tool for step in steps(engine="tex", output="dvi")] == ["tex"]
    assert [step.tool for step in steps(engine="etex", output="ps")] == ["etex", "dvips"]
    assert steps(engine="etex", output="ps")[1].argv == ("dvips", "-o", "a.ps", "a.dvi")
    assert [step.tool for step in steps(engine="tex", dvi_driver="dvipdfmx")] == ["tex", "dvipdfmx"]
    assert [step.tool for step in steps(engine="tex", output="ps", dvi_driver="dvipdfmx")] == ["tex", "dvips"]
    assert steps(engine="tex", dvi_driver="dvipdfmx")[1].argv == ("dvipdfmx", "-o", "a.pdf", "a.dvi")


def test_dvi_drivers_run_where_the_engine_runs() -> None:
    engine, dvips, ps2pdf = latex("-a.tex", ("doc/-a.tex",), engine="latex", cwd="doc", jobname="-b")
    assert engine.outputs == dvips.inputs == ("doc/-b.dvi",)
    assert (dvips.name, dvips.argv) == ("dvips:doc/-b", ("dvips", "-P", "pdf", "-o", "./-b.ps", "./-b.dvi"))
    assert (ps2pdf.argv, ps2pdf.outputs, ps2pdf.cwd) == (("ps2pdf", "./-b.ps", "./-b.pdf"), ("doc/-b.pdf",), "doc")


def test_only_named_programs_may_run() -> None:
    (step,) = latex(shell_escape=("gnuplot", "inkscape"))
    assert "-shell-restricted" in step.argv
    assert "-shell-escape" not in step.argv
    environment = dict(step.env)
    assert environment["shell_escape"] == "p"
    assert {"gnuplot", "inkscape", "repstopdf", "makeindex"} <= set(environment["shell_escape_commands"].split(","))
    assert step.tools == ("gnuplot", "inkscape")
    assert {"shell_escape", "shell_escape_commands"}.isdisjoint(step.quiet)
    assert ("unseen_lookups", "yes") in step.options


@pytest.mark.parametrize("allowed", [False, ()])
def test_without_named_programs_the_installation_decides(allowed: object) -> None:
    (step,) = latex(shell_escape=allowed)
    assert not {"-shell-restricted", "-shell-escape"} & set(step.argv)
    assert not {"shell_escape", "shell_escape_commands"} & set(dict(step.env))
    assert step.globs == ()


@pytest.mark.parametrize("engine", ["lualatex", "luatex"])
def test_a_font_cache_outside_of_every_key(engine: str) -> None:
    (step,) = latex(engine=engine) if engine == "lualatex" else steps(engine=engine)
    assert dict(step.env)["TEXMFCACHE"].endswith(":" + TOOL_CACHE)
    assert "TEXMFCACHE" in step.quiet
    assert "TEXMFCACHE" not in dict(latex(engine="xelatex")[0].env)


def test_font_files_of_the_project_are_known_to_who_must_ask_for_them() -> None:
    listing = ("a.tex", "fonts/Own.otf", "fonts/Own.txt", "x.ttf")
    (step,) = latex(listing=listing, engine="lualatex")
    assert ("fonts", "fonts/Own.otf\nx.ttf") in step.options
    (step,) = latex(listing=listing, engine="xelatex")
    assert not [value for name, value in step.options if name == "fonts"]


def test_names_that_tex_cannot_read_are_refused() -> None:
    with pytest.raises(ProjectFileError, match="rename"):
        steps("a%b.tex", ("a%b.tex",))
