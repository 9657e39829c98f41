"""Error reports: file, line, message and source line out of logs."""

from pathlib import Path

import pytest

from cpods.chefs.texlog import decode, embedded_fonts, is_cut_off, is_unexplained, page_count, read_problems
from cpods.model import Problem

DATA = Path(__file__).parent / "data"


def problems(log: str, *, failed: bool = True, **files: str) -> tuple[Problem, ...]:
    """``files``: content by name, dots written as underscores."""
    contents = {name.replace("_", "."): text.encode() for name, text in files.items()}
    return read_problems(log, "a.tex", lambda name: name.removeprefix("./"), contents.get, failed)


def first(log: str, **files: str) -> Problem:
    return problems(log, **files)[0]


def test_a_log_that_breaks_off_without_an_error_explains_nothing() -> None:
    begun = "This is pdfTeX, Version 3.14\n(./a.tex\n"
    errors = "! Undefined control sequence.\nl.1 \\foo\n"
    fatal = "!  ==> Fatal error occurred, no output PDF file produced!\n"
    ends = [begun + "Output written on a.pdf (1 page, 9 bytes).\n", begun + "No pages of output.\n", begun + fatal]
    assert is_cut_off(begun) and not any(map(is_cut_off, ends))
    assert is_unexplained(problems(begun)) and not is_unexplained(problems(begun + errors)) and not is_unexplained(())


def test_undefined_command_is_named() -> None:
    log = "./a.tex:4: Undefined control sequence.\nl.4 text \\foo\n              here\n"
    assert first(log, a_tex="\n\n\ntext \\foo here") == Problem("Undefined control sequence \\foo", "a.tex", 4, "text \\foo here")


def test_missing_font_points_at_the_line_that_asks_for_it() -> None:
    log = '! Package fontspec Error: The font "Own Font" cannot be found.\n\nl.4 \\begin{document}\n\n'
    found = first(log, a_tex="x\n\\setmainfont{Own Font}\n\n\\begin{document}")
    assert (found.line, found.source) == (2, "\\setmainfont{Own Font}")


def test_lua_s_errors_have_a_line() -> None:
    log = (
        "[\\directlua]:1: oops\nstack traceback:\n\t[C]: in function 'error'\n\t[\\directlua]:1: in main chunk.\n"
        'l.4 x \\directlua{error("oops")}\n                              y\nThe lua interpreter ran into a problem, so the\n'
        "[\\directlua]:1: <name> expected near '='.\nl.5 \\directlua{local = 3}\n"
    )
    found = problems(log, a_tex="1\n2\n3\nx\ny\n")
    assert [(problem.message, problem.line) for problem in found] == [("Lua: oops", 4), ("Lua: <name> expected near '='.", 5)]


def test_a_runaway_to_the_end_of_the_file_has_the_line_where_it_starts() -> None:
    log = "Runaway argument?\n{open and never closed\\par \\end {document} \n! File ended while scanning use of \\textbf .\n"
    found = first(log, a_tex="one\n\ntext \\textbf{open and never closed\n\n\\end{document}\n")
    assert (found.line, found.source) == (3, "text \\textbf{open and never closed")


def test_metapost_s_own_mark_is_no_part_of_the_message() -> None:
    assert first("./a.tex:3: ! Unable to read mpx file.\nl.3 btex\n", a_tex="\n\nbtex").message == "Unable to read mpx file."


def test_fonts_that_luatex_embedded() -> None:
    log = "[1{/var/lib/texmf/pdftex.map}<./pic.png><./fonts/My Own.otf>]<</usr/share/x.pfb></home/x/y.ttf></home/x/y.ttf>\n"
    assert embedded_fonts(log) == ["./fonts/My Own.otf", "/usr/share/x.pfb", "/home/x/y.ttf"]


def test_undefined_command_inside_a_macro_is_the_inner_one() -> None:
    log = "./a.tex:4: Undefined control sequence.\n\\m ->\\inner \n            \nl.4 \\m\n       {}\n"
    assert first(log).message == "Undefined control sequence \\inner"


def test_missing_file_points_at_the_line_that_asks_for_it() -> None:
    log = (
        "! LaTeX Error: File `nice.sty' not found.\n\nType X to quit or <RETURN> to proceed,\n\nEnter file name: \n"
        "./a.tex:4: Emergency stop.\n<read *> \n         \nl.4 \\begin\n          {document}^^M\n"
        "./a.tex:4:  ==> Fatal error occurred, no output PDF file produced!\n"
    )
    found = problems(log, a_tex="x\n\\usepackage{nice}\n\n\\begin{document}")
    assert found == (Problem("LaTeX Error: File `nice.sty' not found.", "a.tex", 2, "\\usepackage{nice}"),)


def test_missing_file_is_not_sought_in_comments() -> None:
    log = "! LaTeX Error: File `nice.sty' not found.\n\n./a.tex:4: Emergency stop.\n<read *> \nl.4 x\n"
    found = problems(log, a_tex="\\usepackage{nice}\n50\\% nicer % nice has no figures\n% nice\n\\foo")
    assert (found[0].line, found[0].source) == (2, "50\\% nicer % nice has no figures")
    found = problems(log, a_tex="\\usepackage{nice}\n50\\\\% nicer\n% nice\n\\foo")
    assert (found[0].line, found[0].source) == (1, "\\usepackage{nice}")


def test_missing_file_in_an_included_file_is_reported_there() -> None:
    log = "! LaTeX Error: File `x.tex' not found.\n\n./sub.tex:2: Emergency stop.\n<read *> \nl.2 \\input{x}\n"
    assert first(log, sub_tex="one\n\\input{x}") == Problem("LaTeX Error: File `x.tex' not found.", "sub.tex", 2, "\\input{x}")


def test_kluwer_names_the_font_and_the_line() -> None:
    found = problems(decode((DATA / "kluwer.log").read_bytes()))
    assert found[0].message == "Font \\klutch=phvl8t not loadable: Metric (TFM) file not found."
    assert (found[0].file or "").endswith("klups.sty")
    assert found[0].line == 125
    assert found[-1] == Problem("There were undefined references", "a.tex", severity="warning")


def test_runaway_argument_shows_what_ran_away() -> None:
    log = (
        "Runaway argument?\n{a \n./a.tex:13: Paragraph ended before \\foo was complete.\n"
        "<to be read again> \n                   \\par \nl.13 \n"
    )
    assert first(log).message == "Paragraph ended before \\foo was complete. (runaway: {a)"


def test_continued_package_error_is_one_message() -> None:
    log = "./a.tex:3: Package pk Error: First\n(pk)                second line.\n\nSee the pk package documentation.\nl.3 x\n"
    assert first(log).message == "Package pk Error: First second line."


def test_latex_error_with_environment() -> None:
    log = (
        "./a.tex:9: LaTeX Error: \\begin{itemize} on input line 8 ended by \\end{enumerate}.\n\n"
        "See the LaTeX manual.\nl.9 \\end{enumerate}\n"
    )
    assert first(log).line == 9
    assert "ended by \\end{enumerate}" in first(log).message


def test_capacity_exceeded_is_the_cause_not_the_fatal_line() -> None:
    log = (
        "./a.tex:2: TeX capacity exceeded, sorry [input stack size=10000].\n\\x ->\\x \nl.2 \\x\n"
        "./a.tex:2:  ==> Fatal error occurred, no output PDF file produced!\n"
    )
    assert [problem.message for problem in problems(log)] == ["TeX capacity exceeded, sorry [input stack size=10000]."]


def test_no_end_document() -> None:
    log = (
        "! Emergency stop.\n<*> a.tex\n         \n*** (job aborted, no legal \\end found)\n\n"
        "!  ==> Fatal error occurred, no output PDF file produced!\n"
    )
    assert [problem.message for problem in problems(log)] == ["Emergency stop: job aborted, no legal \\end found"]


def test_no_main_file() -> None:
    log = (
        "! I can't find file `gone.tex'.\n<*> gone.tex\n            \nPlease type another input file name\n"
        "! Emergency stop.\n<*> gone.tex\n"
    )
    assert problems(log)[0].message == "I can't find file `gone.tex'."


def test_pdftex_error_without_its_own_name() -> None:
    log = "!pdfTeX error: pdflatex (file x.pfb): cannot open Type 1 font file for reading\n"
    assert first(log).message == "pdflatex (file x.pfb): cannot open Type 1 font file for reading"


def test_the_log_cuts_the_line_the_file_does_not() -> None:
    log = "./a.tex:1: Missing $ inserted.\n<inserted text> \n                $\nl.1 ...g line with a_\n                     b\n"
    assert first(log, a_tex="a very long line with a_b").source == "a very long line with a_b"


def test_duplicates_count_once_and_fifty_are_enough() -> None:
    same = "./a.tex:1: Double subscript.\nl.1 x\n" * 3
    assert len(problems(same)) == 1
    assert len(problems("".join(f"./a.tex:{line}: Double subscript.\nl.{line} x\n" for line in range(1, 80)))) == 50


def test_errors_come_before_warnings() -> None:
    log = "LaTeX Warning: Reference `r' on page 1 undefined on input line 6.\n\n./a.tex:7: Double subscript.\nl.7 x\n"
    assert [problem.severity for problem in problems(log)] == ["error", "warning"]


def test_undefined_labels_are_named() -> None:
    log = (
        "LaTeX Warning: Reference `r' on page 1 undefined on input line 6.\n\n"
        "LaTeX Warning: Citation `c' on page 2 undefined on input line 7.\n"
    )
    found = problems(log, failed=False)
    assert [(problem.message, problem.line) for problem in found] == [("Reference 'r' is undefined", 6), ("Citation 'c' is undefined", 7)]


@pytest.mark.parametrize(
    "line", ["Overfull \\hbox (20.0pt too wide) in paragraph at lines 1--274", "LaTeX Font Info: x on input line 3.", "l.3 x"]
)
def test_these_are_no_problems(line: str) -> None:
    assert problems(line + "\n", failed=False) == ()


def test_lines_that_look_like_an_error_of_no_file() -> None:
    assert problems("Package x Info: foo.bar:12: loaded\n", failed=False) == ()


def test_a_failure_without_an_error_still_says_something() -> None:
    assert "failed" in problems("This is pdfTeX\nfine\n")[0].message


def test_a_log_in_another_encoding() -> None:
    text = decode("./a.tex:2: Undefined control sequence.\nl.2 \\nopé\n".encode("latin-1"))
    assert first(text).line == 2


@pytest.mark.parametrize(
    ("log", "pages"),
    [
        ("Output written on a.pdf (1 page, 21109 bytes).", 1),
        ('Output written on "my doc.pdf" (12 pages, 2 bytes).', 12),
        ("Output written on my doc (1).pdf (3 pages, 2 bytes).", 3),
        ("Output written on a.pdf (4 pages).", 4),
        ("No pages of output.", 0),
        ("", None),
    ],
)
def test_pages(log: str, pages: int | None) -> None:
    assert page_count(f"x\n{log}\ny") == pages
