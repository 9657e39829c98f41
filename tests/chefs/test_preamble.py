"""A preamble kept in a format: the same document byte for byte, whatever stands in it; else it is run as ever, with a reason."""

import gzip
import json
import re
from pathlib import Path

import pytest

from cpods.chefs.preambletex import program
from cpods.chefs.registry import chefs
from cpods.declaration import LatexDeclaration
from cpods.model import Step
from cpods.project import parse
from tests.chefs.realview import run, snapshot
from tests.helpers.sandbox import Sandbox

CHEF = chefs()["preamble"]
TOML = '[[step]]\nchef = "latex"\nmain = "a.tex"\nsynctex = false\n'
TEX = "\\documentclass{article}\nPREAMBLE\n\\begin{document}\n\\section{One}\\label{l} On \\pageref{l} $x^2$ BODY\n\\end{document}\n"

#: What a format keeps, or has said again.
KEPT = {
    "index": "\\usepackage{imakeidx}\\makeindex\\makeindex[name=b]",
    "glossaries": "\\usepackage{glossaries}\\makeglossaries\\newglossaryentry{g}{name=g,description=d}\\AtBeginDocument{\\gls{g}}",
    "file-of-its-own": "\\newwrite\\w\\immediate\\openout\\w=made.txt \\immediate\\write\\w{made}\\immediate\\closeout\\w"
    "\\AtBeginDocument{\\input{made.txt}}",
    "written-with-a-page": "\\newwrite\\w\\openout\\w=late.txt \\write\\w{on page \\thepage}",
    "marks": "\\pagestyle{myheadings}\\markboth{left}{right}",
    "contents-line": "\\addtocontents{toc}{\\protect\\thispagestyle{empty}}\\AtBeginDocument{\\tableofcontents}",
    "pdf-settings": "\\pdfinfo{/Title (abc)}\\pdfnames{/Foo 1}\\pdfmapline{=cmr10 CMR10 <cmr12.pfb}\\pdfglyphtounicode{A}{0042}",
    "unbalanced-comment": "% { \\begin{document}\n\\makeatletter",
    "active-characters": "\\catcode`\\|=13 \\def|{X}\\AtBeginDocument{a|b}",
    "hooks": "\\usepackage{etoolbox}\\BeforeBeginEnvironment{document}{\\def\\y{1}}\\AddToHook{env/document/before}{\\stepcounter{page}}",
    "job-name": "\\edef\\z{\\jobname}\\AtBeginDocument{\\z, \\jobname, \\today, \\csname c_sys_jobname_str\\endcsname}",
    "large-packages": "\\usepackage[T1]{fontenc}\\usepackage{microtype,tikz,listings,siunitx,todonotes}\\usepackage[pdftitle=t]{hyperref}",
}
#: What no format can hold, and how that is told.
RUN = {
    "random-seed": ("\\pdfsetrandomseed 5 \\AtBeginDocument{\\pdfuniformdeviate 100 }", "it seeds the random numbers"),
    "colour-stack": ("\\usepackage{pdfcol}\\pdfcolInitStack{s}", ""),
    "pdf-object": ("\\immediate\\pdfobj{<</A/B>>}\\AtBeginDocument{\\pdfrefobj\\pdflastobj}", "it writes files"),
    "catalogue": ("\\pdfcatalog{/PageMode /UseOutlines}", "it sets pdfcatalog"),
    "box": ("\\hbox{}", "it typesets something"),
    "date": ("\\year=1999 ", "it changes the date"),
    "condition": ("\\iftrue", "the document begins in a condition"),
    "read-stream": ("\\newread\\r\\openin\\r=cpods.toml \\AtBeginDocument{\\read\\r to\\z}", "it leaves a file open for reading"),
    "own-text": ("\\openin0=a.tex \\closein0 \\openin0=a.tex \\closein0 ", "it reads its own main file"),
    "same-line": ("\\def\\x{}%\n\\x\\begin{document}%", "\\begin{document} does not stand at the beginning of a line of its own"),
    "end-of-line": ("\\endlinechar=32 ", "it changes the ends of lines"),
    "turned-links": ("\\usepackage{hyperref}\\usepackage{pdflscape}", "pdflscape turns pages with links"),
}


def planned(**keys: object) -> Step:
    declaration = LatexDeclaration(main="a.tex", **{"preamble": "cache", **keys})  # type: ignore[arg-type]
    return chefs()["latex"].plan(declaration, 0, ("a.tex",), {})[0]


def made(sandbox: Sandbox) -> dict[str, bytes]:
    """All that a build put into the folder, but for logs and the project file."""
    return {path: data for path, data in sandbox.files().items() if not path.endswith((".log", ".toml"))}


def built(root: Path, text: str, more: str = "") -> tuple[Sandbox, tuple[str, ...]]:
    """A project with this document, built; the steps that ran."""
    sandbox = Sandbox(root)
    sandbox.write("a.tex", text)
    sandbox.write("cpods.toml", TOML + more)
    outcome = sandbox.build()
    assert outcome.exit_code == 0, outcome
    return sandbox, outcome.runs


def is_kept(sandbox: Sandbox) -> bool:
    return "a.cpods" in sandbox.read("a.log").decode("latin-1").partition("\n")[0]


# -- plans -------------------------------------------------------------------------------------------------------------


def test_the_engine_has_its_preamble_ahead() -> None:
    engine = planned(jobname="b", cwd=".")
    (ahead,) = engine.ahead
    assert (ahead.name, ahead.outputs, ahead.planner) == ("preamble:a.tex#b", ("b.cpods.fmt",), "latex:a.tex#b")
    assert "-ini" in ahead.argv and ahead.argv[-1].endswith("\\csname @@input\\endcsname a.tex")
    assert engine.argv_after[-2:] == ("-fmt=b.cpods", "a.tex") and "-jobname=b" in engine.argv_after
    assert engine.argv == planned(jobname="b", preamble="run").argv and not planned(preamble="run").ahead


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"engine": "lualatex"}, "lualatex keeps no preamble in a format"),
        ({"shell_escape": True}, "with shell_escape it may start programs"),
        ({"tool_match": "any"}, 'with tool_match = "any" another machine\'s engine may not read the format'),
        ({"jobname": "two words"}, "its file name holds more than letters, digits and + - . _"),
    ],
)
def test_where_it_is_off(keys: dict[str, object], reason: str) -> None:
    step = planned(**keys)
    assert not step.ahead and not step.argv_after and ("preamble", reason) in step.options


def test_the_project_says_it_for_documents_that_can() -> None:
    steps = [f'[[step]]\nchef = "latex"\nmain = "{name}.tex"\n{more}' for name, more in (("a", ""), ("b", 'engine = "xelatex"\n'))]
    project = parse(
        ("[project]\npreamble = 'cache'\n" + "".join(steps) + steps[0].replace("a.tex", "c.tex") + "preamble = 'run'\n").encode()
    )
    assert [getattr(one, "preamble", "") for one in project.declarations] == ["cache", "run", "run"]


def test_the_step_sees_its_main_file_up_to_the_text() -> None:
    (ahead,) = planned().ahead
    name = CHEF.filter_for(ahead, "a.tex")
    one, two = (TEX.replace("BODY", body).encode() for body in ("one", "two"))
    assert CHEF.filter(name, "a.tex", one) == CHEF.filter(name, "a.tex", two) == one[: one.index(b"{document}") + 10]
    assert CHEF.filter(name, "a.tex", one) != CHEF.filter(name, "a.tex", one.replace(b"PREAMBLE", b"x"))
    assert CHEF.filter(name, "a.tex", b"no document") == b"no document"
    assert CHEF.filter_for(ahead, "own.sty") == ""


def test_the_program_is_one_line_that_names_the_job() -> None:
    text = program("paper-1")
    assert "\n" not in text and "%" not in text and "\\detokenize{paper-1}" in text
    assert text.count("{") == text.count("}")
    assert not re.search(r"\b_[A-Z]+\b|JOB", text)


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_format_is_unpacked_and_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "a.tex").write_text(TEX.replace("PREAMBLE", ""))
    (ahead,) = planned().ahead
    formats = []
    for _ in range(2):
        seen, exit = run(CHEF, ahead, tmp_path)
        assert exit.code == 0 and seen.writes == ("a.cpods.fmt",) and seen.problems == ()
        packed = (tmp_path / "a.cpods.fmt").read_bytes()
        formats.append(CHEF.tidied("a.cpods.fmt", packed))  # type: ignore[attr-defined]
        assert formats[-1] == gzip.decompress(packed) and seen.reads == ("a.tex",)
    assert formats[0] == formats[1]
    assert "article.cls" in seen.absent and "a.cpods.fmt" in snapshot(tmp_path)


def test_an_edit_of_the_text_uses_the_format_an_edit_of_the_preamble_makes_it_anew(tmp_path: Path) -> None:
    plain, kept = Sandbox(tmp_path / "plain"), Sandbox(tmp_path / "kept")
    plain.write("cpods.toml", TOML)
    for sandbox in (plain, kept):
        sandbox.write("own.sty", "\\ProvidesPackage{own}\\def\\own{1}")
        sandbox.write("a.tex", TEX.replace("PREAMBLE", "\\usepackage{own}").replace("BODY", "\\own"))
    kept.write("cpods.toml", TOML + 'preamble = "cache"\n')
    engine, preamble = "latex:a.tex", "preamble:a.tex"
    assert kept.build().runs == (preamble, engine, engine)
    assert plain.build().exit_code == 0 and made(kept) == made(plain) and is_kept(kept) and not is_kept(plain)
    assert kept.build().runs == ()
    for path, old, new, runs in (
        ("a.tex", "\\own\n", "\\own{} and more\n", (engine,)),
        ("own.sty", "{1}", "{2}", (preamble, engine)),
        ("a.tex", "\\usepackage{own}", "\\usepackage{own}\n\\def\\x{}", (preamble, engine)),
        ("a.tex", "and more", "and \\x", (engine,)),
    ):
        for sandbox in (plain, kept):
            sandbox.write(path, sandbox.read(path).decode().replace(old, new))
        assert kept.build().runs == runs, path
        assert plain.build().exit_code == 0 and made(kept) == made(plain)
    assert kept.copy(tmp_path / "copy", with_state=True).build().runs == ()


def test_what_forbids_it_is_told_and_the_document_is_made_as_ever(tmp_path: Path) -> None:
    text = TEX.replace("PREAMBLE", RUN["random-seed"][0])
    plain, _ = built(tmp_path / "plain", text)
    kept, ran = built(tmp_path / "kept", text, 'preamble = "cache"\n')
    assert ran == ("preamble:a.tex", "latex:a.tex", "latex:a.tex") and not is_kept(kept)
    assert made(kept) == made(plain)
    assert kept.build().runs == ()


@pytest.mark.tex
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", KEPT)
def test_the_same_bytes(tmp_path: Path, name: str) -> None:
    text = TEX.replace("PREAMBLE", KEPT[name])
    plain, _ = built(tmp_path / "plain", text)
    kept, _ = built(tmp_path / "kept", text, 'preamble = "cache"\n')
    assert is_kept(kept)
    assert made(kept) == made(plain)
    assert kept.build().runs == ()


@pytest.mark.tex
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", RUN)
def test_the_reason_is_told(tmp_path: Path, name: str) -> None:
    preamble, reason = RUN[name]
    text = TEX.replace("PREAMBLE", preamble)
    if name == "condition":
        text = text.replace("\\end{document}", "\\fi\\end{document}")
    if name == "same-line":
        text = text.replace("\n\\begin{document}\n\\section", "\n\\section")
    plain, _ = built(tmp_path / "plain", text)
    kept, _ = built(tmp_path / "kept", text, 'preamble = "cache"\n')
    assert not is_kept(kept)
    assert made(kept) == made(plain)
    said = kept.run("rebuild", "--until-stable").stdout
    assert f"its preamble is run in every pass: {reason}" in said


@pytest.mark.tex
@pytest.mark.timeout(300)
def test_a_format_that_a_later_pass_forbids_is_used_no_more(tmp_path: Path) -> None:
    """The preamble reads, from the second pass on, what the document writes into the file that it leaves open."""
    preamble = "\\newwrite\\w\\def\\seen{nothing}\\InputIfFileExists{a.own}{}{}\\immediate\\openout\\w=a.own "
    body = "Seen: \\seen. \\immediate\\write\\w{\\string\\def\\string\\seen{page \\thepage}}"
    text = TEX.replace("PREAMBLE", preamble).replace("BODY", body)
    plain, _ = built(tmp_path / "plain", text)
    kept, ran = built(tmp_path / "kept", text, 'preamble = "cache"\n')
    assert ran.count("preamble:a.tex") == 2 and not is_kept(kept)
    assert made(kept) == made(plain)
    assert kept.build().runs == ()
    kept.write("a.tex", text.replace("Seen:", "It saw"))
    assert kept.build().runs == ("latex:a.tex",)


@pytest.mark.tex
@pytest.mark.timeout(300)
def test_a_package_that_another_step_makes(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.write("a.tex", TEX.replace("PREAMBLE", "\\usepackage{own}").replace("BODY", "\\own"))
    sandbox.write("value", "1")
    run = "printf '\\\\def\\\\own{%s}' $(cat value) > own.sty"
    shell = f'[[step]]\nname = "own"\nrun = {json.dumps(run)}\ninputs = ["value"]\noutputs = ["own.sty"]\n'
    sandbox.write("cpods.toml", TOML + 'preamble = "cache"\n' + shell)
    assert sandbox.build().exit_code == 0
    assert sandbox.build().runs == ()
    sandbox.write("value", "2")
    assert sandbox.build().runs == ("own", "preamble:a.tex", "latex:a.tex")
    assert b"own{2}" in sandbox.read("own.sty")


@pytest.mark.tex
@pytest.mark.timeout(300)
def test_two_documents_that_feed_each_other(tmp_path: Path) -> None:
    """What a preamble's run tells of its document does not end the presumption that holds the two together."""
    sandbox = Sandbox(tmp_path)
    for one, other in (("a", "b"), ("b", "a")):
        body = f"\\IfFileExists{{{other}.aux}}{{yes}}{{no}}"
        sandbox.write(f"{one}.tex", TEX.replace("PREAMBLE", "").replace("BODY", body))
    both = TOML + TOML.replace("a.tex", "b.tex")
    sandbox.write("cpods.toml", "[project]\npreamble = 'cache'\n\n" + both)
    outcome = sandbox.build()
    assert outcome.exit_code == 0
    assert [run for run in outcome.runs if run.startswith("latex")] == ["latex:a.tex", "latex:b.tex"] * 2
    assert sandbox.build().runs == ()


@pytest.mark.tex
@pytest.mark.timeout(300)
def test_errors_in_a_preamble_are_shown_by_the_document(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.write("a.tex", TEX.replace("PREAMBLE", "\\undefined"))
    sandbox.write("cpods.toml", TOML + 'preamble = "cache"\n')
    outcome = sandbox.build()
    assert outcome.exit_code == 1
    said = sandbox.run("rebuild", "--until-stable").stderr
    assert "a.tex:2: Undefined control sequence" in said and "preamble:" not in said


@pytest.mark.tex
@pytest.mark.timeout(300)
def test_the_preambles_files_count_as_the_documents(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.write("own.sty", "\\ProvidesPackage{own}")
    sandbox.write("a.tex", TEX.replace("PREAMBLE", "\\usepackage{own}\n\\IfFileExists{later.tex}{}{}"))
    sandbox.write("cpods.toml", TOML + 'preamble = "cache"\n')
    assert sandbox.build().exit_code == 0
    told = sandbox.run("deps", "a.tex").stdout
    assert "own.sty" in told and "later.tex" in told
    assert sandbox.run("verify").returncode == 0
    sandbox.write("later.tex", "")
    assert "preamble:a.tex" in sandbox.run("why", "a.pdf").stdout
    assert sandbox.build().runs[0] == "preamble:a.tex"
