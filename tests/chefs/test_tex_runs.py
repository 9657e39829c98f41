"""Small documents for all engines, really built: what runs, what runs again, what is said."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.sandbox import Sandbox

_FONTS = Path("/usr/share/texmf/fonts/opentype/public/lm")
MakeSandbox = Callable[..., Sandbox]


@pytest.fixture
def sandbox(tmp_path: Path) -> MakeSandbox:
    """Makes a project folder from its files."""

    def make(files: dict[str, str], **environment: str) -> Sandbox:
        place = Sandbox(tmp_path / "project", environment)
        for path, text in files.items():
            place.write(path, text)
        return place

    return make


def text_of(place: Sandbox, pdf: str) -> str:
    return subprocess.run(["pdftotext", pdf, "-"], cwd=place.root, capture_output=True, text=True, check=True).stdout


def own_font(place: Sandbox, name: str) -> None:
    (place.root / "fonts").mkdir(exist_ok=True)
    shutil.copy(_FONTS / name, place.root / "fonts" / "Own.otf")


def fonts_of(place: Sandbox, pdf: str) -> str:
    return subprocess.run(["pdffonts", pdf], cwd=place.root, capture_output=True, text=True, check=True).stdout


def draw(place: Sandbox, text: str) -> None:
    """A figure made by hand."""
    place.write("b.tex", f"\\shipout\\hbox{{{text}}}\\end\n")
    subprocess.run(["pdftex", "-interaction=batchmode", "b.tex"], cwd=place.root, stdout=subprocess.DEVNULL, check=True)


def test_xelatex_reads_the_project_s_fonts_and_pictures(sandbox: MakeSandbox) -> None:
    place = sandbox(
        {
            "a.tex": '% !TEX program = xelatex\n\\documentclass{article}\\font\\own="[fonts/Own.otf]"\n'
            '\\begin{document}\\section{One}\\label{x}\\own on page \\pageref{x} \\XeTeXpdffile "b.pdf" scaled 100 \\end{document}'
        }
    )
    own_font(place, "lmroman10-regular.otf")
    draw(place, "figure")
    built = place.build("a.tex")
    assert (built.exit_code, built.tools) == (0, ("xelatex", "xelatex"))
    assert built.report["goals"][0]["pages"] == 1
    assert place.build("a.tex").tools == ()
    own_font(place, "lmsans10-regular.otf")
    assert place.build("a.tex").tools == ("xelatex",)
    assert "LMSans10" in fonts_of(place, "a.pdf")
    draw(place, "another")
    assert place.build("a.tex").tools == ("xelatex",)


def test_luatex_reads_a_font_file_that_its_cache_hides(sandbox: MakeSandbox) -> None:
    """Only its widths are used, so that not even the log names the file."""
    place = sandbox(
        {
            "a.tex": '% !TEX program = luatex\n\\input luaotfload.sty\n\\font\\own="[fonts/Own.otf]"\n'
            "\\setbox0=\\hbox{\\own wide}\\number\\wd0\n\\bye\n"
        }
    )
    own_font(place, "lmroman10-regular.otf")
    assert place.build("a.tex").exit_code == 0
    first = text_of(place, "a.pdf")
    assert place.build("a.tex").tools == ()
    assert place.build("a.tex", force=True).tools == ("luatex",)  # what this run reads comes out of the cache
    own_font(place, "lmsans10-regular.otf")
    assert place.build("a.tex").tools == ("luatex",)
    assert text_of(place, "a.pdf") != first


_NO_FONT = "\\documentclass{article}\n\\usepackage{fontspec}\n\\setmainfont{NoSuchFont}\n\n\\begin{document}x\\end{document}\n"


def test_a_missing_font_is_named_with_the_line_that_asks_for_it(sandbox: MakeSandbox) -> None:
    place = sandbox({"a.tex": "% !TEX program = lualatex\n" + _NO_FONT})
    built = place.build("a.tex")
    assert built.exit_code == 1
    assert 'a.tex:4: Package fontspec Error: The font "NoSuchFont" cannot be found' in built.said
    assert not (place.root / "a.pdf").exists()


_RUNS_PROGRAMS = r"""\immediate\write18{mytool}\immediate\write18{other}\input made \bye
"""


def test_named_programs_run_and_others_do_not(sandbox: MakeSandbox, tmp_path: Path) -> None:
    tools = Sandbox(tmp_path / "bin")
    tools.write("mytool", "#!/bin/sh\necho one > made.tex\n", executable=True)
    tools.write("other", "#!/bin/sh\necho no > other.out\n", executable=True)
    place = sandbox(
        {"a.tex": _RUNS_PROGRAMS, "cpods.toml": '[[step]]\nchef = "tex"\nmain = "a.tex"\nshell_escape = ["mytool"]\n'},
        PATH=f"{tools.root}:/usr/bin:/bin",
    )
    assert place.build().exit_code == 0
    assert "one" in text_of(place, "a.pdf")
    assert not (place.root / "other.out").exists()
    assert place.build().tools == ()
    tools.write("mytool", "#!/bin/sh\necho two > made.tex\n", executable=True)
    assert "pdftex" in place.build().tools  # another program is another tool
    assert "two" in text_of(place, "a.pdf")


_PLAIN = r"""\input pages \newwrite\out
\immediate\openout\out=\jobname.pages
\shipout\hbox{Last page: \last}
\shipout\hbox{end}
\immediate\write\out{\string\def\string\last{2}}
\immediate\closeout\out
\end
"""


@pytest.mark.parametrize("engine", ["tex", "xetex"])
def test_plain_tex_reads_back_what_it_wrote(sandbox: MakeSandbox, engine: str) -> None:
    place = sandbox(
        {
            "a.tex": f"% !TEX program = {engine}\n"
            + _PLAIN.replace(
                "\\input pages", "\\openin0=\\jobname.pages \\ifeof0 \\def\\last{??}\\else\\input\\jobname.pages \\fi\\closein0"
            ),
        }
    )
    built = place.build("a.tex")
    chain = ("dvips", "ps2pdf") if engine == "tex" else ()
    assert (built.exit_code, built.tools) == (0, (engine, engine, *chain))
    assert "Last page: 2" in text_of(place, "a.pdf")
    assert built.report["goals"][0]["pages"] == 2
    assert place.build("a.tex").tools == ()


def test_plain_tex_errors_have_file_and_line(sandbox: MakeSandbox) -> None:
    place = sandbox({"a.tex": "% !TEX program = pdftex\n\\input part \\bye\n", "part.tex": "fine\n\\undefinedthing\n"})
    built = place.build("a.tex")
    assert built.exit_code == 1
    assert "part.tex:2: Undefined control sequence \\undefinedthing" in built.said


_TEXINFO = r"""\input texinfo
@settitle Small
@contents
@node Top
@top Small
@node One
@chapter One
@cindex apple
@findex func
See @ref{Two}.
@include part.texi
@node Two
@chapter Two
@cindex pear
@node Index
@unnumbered Index
@printindex cp
@printindex fn
@bye
"""


def test_texinfo_with_its_indexes(sandbox: MakeSandbox) -> None:
    place = sandbox({"doc/a.texi": _TEXINFO, "doc/part.texi": "part\n@cindex plum\n"})
    built = place.build("doc/a.texi")
    assert built.exit_code == 0
    assert sorted(built.runs) == ["tex:doc/a.texi", "tex:doc/a.texi", "texindex:a.cp", "texindex:a.fn"]
    assert "plum" in text_of(place, "a.pdf").partition("Index")[2]
    assert place.build("doc/a.texi").tools == ()
    place.write("doc/part.texi", "part\n@cindex prune\n")
    assert place.build("doc/a.texi").runs == ("tex:doc/a.texi", "texindex:a.cp", "tex:doc/a.texi")
    assert "prune" in text_of(place, "a.pdf").partition("Index")[2]
