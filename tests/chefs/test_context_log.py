"""What a ConTeXt run reports of itself, out of logs that it wrote: what it opened, and what it complained about."""

from pathlib import Path

import pytest

from cpods.chefs.contextlog import page_count, read_problems
from cpods.chefs.contexttrace import folder_of, has_inner_runs, read_calls
from cpods.model import Problem

LOG = (Path(__file__).parent / "data" / "context.log").read_text()
CALL = "sandbox         > call > "


def problems(log: str, main: bytes = b"", *, failed: bool = True) -> tuple[Problem, ...]:
    return read_problems(log, "a.tex", lambda name: name.removeprefix("/p/"), {"a.tex": main}.get, failed)


# -- what it opened ------------------------------------------------------------------------------------------------


def test_a_recorded_run() -> None:
    calls = read_calls(LOG)
    for read in ("sub/part.tex", "refs.bib", "data.csv", "t-mine.mkiv", "/home/ann/paper/paper.tex"):
        assert {("INPUT", read), ("INPUT", "./" + read)} & set(calls.events), read
    assert ("OUTPUT", "made.txt") in calls.events
    assert ("INPUT", "maybe.txt") not in calls.events
    assert {"maybe.txt", "./nofig.pdf", "./nofig", "cont-loc.mkiv"} <= set(calls.missed)
    assert calls.words == ("cat", "extra.dat", "/dev/null")
    assert folder_of(LOG, "paper.tex") == "/home/ann/paper"
    assert page_count(LOG) == 1


@pytest.mark.parametrize(
    ("call", "events", "missed"),
    [
        ('io.open("a b.tex","rb") => true', (("INPUT", "a b.tex"),), ()),
        ('io.open("a.tex") => false', (), ("a.tex",)),
        ('io.open("a.txt","w") => true', (("OUTPUT", "a.txt"),), ()),
        ('io.open("/no/a.txt","w") => false', (), ()),
        ('io.open("a.txt","a") => true', (("INPUT", "a.txt"), ("OUTPUT", "a.txt")), ()),
        ('io.open("a.txt","r+") => true', (("INPUT", "a.txt"), ("OUTPUT", "a.txt")), ()),
        ('lfs.attributes("a.pdf","mode") => true', (("INPUT", "a.pdf"),), ()),
        ('lfs.attributes("a.pdf") => false', (), ("a.pdf",)),
        ('os.rename("a","b") => true', (("INPUT", "a"), ("OUTPUT", "b")), ()),
        ('os.remove("a") => true', (), ()),
        ('mplib output finder("a.mps","w","mps") => true', (("OUTPUT", "a.mps"),), ()),
        ('loadfile("a.lua") => true', (("INPUT", "a.lua"),), ()),
        ("io.open(7) => false", (), ()),
    ],
)
def test_each_kind_of_call(call: str, events: tuple[tuple[str, str], ...], missed: tuple[str, ...]) -> None:
    calls = read_calls(CALL + call + "\n")
    assert (calls.events, calls.missed) == (events, missed)


def test_what_was_written_first_keeps_its_place() -> None:
    log = f'{CALL}io.open("t.tmp","w") => true\n{CALL}io.open("t.tmp","r") => true\n'
    assert read_calls(log).events == (("OUTPUT", "t.tmp"), ("INPUT", "t.tmp"))


def test_files_that_only_the_final_list_names_come_last() -> None:
    log = (
        f'{CALL}io.open("x.pdf","wb") => true\n'
        "system          >    7: filename=x filetype=tex foundname=x.pdf fullname=/p/x.pdf usedmethod=direct\n"
        "open source     > level 3, order 4, name 'y z.tex'\n"
    )
    assert read_calls(log).events == (("OUTPUT", "x.pdf"), ("INPUT", "y z.tex"), ("INPUT", "x.pdf"))


def test_programs_that_context_starts_itself() -> None:
    log = "buffers         > typeset > executing runner 'run buffer': context --purgeall t-b-1.tmp\n"
    assert read_calls(log).words == ("context", "--purgeall", "t-b-1.tmp")


def test_runs_within_the_run() -> None:
    one = "resolvers       | formats | executing runner 'run luatex format': /usr/bin/luatex --jobname=\"a\"\n"
    assert not has_inner_runs(one)
    assert has_inner_runs(one + "x\n" + one)


def test_listed_folders_and_run_commands() -> None:
    calls = read_calls(f'{CALL}lfs.dir("figs") => true\n{CALL}io.popen("sort <in.txt >out.txt","r") => true\n')
    assert calls.folders == ("figs",)
    assert calls.words == ("sort", "in.txt", "out.txt")


# -- what it complained about --------------------------------------------------------------------------------------


def test_undefined_command() -> None:
    log = (
        "tex error       > tex error on line 2 in file /p/sub/b.tex: ! Undefined control sequence\n\nl.2 Hello \\undefinedcs\n"
        "                     there\n\n1     \\starttext\n2 >>  Hello \\undefinedcs there\n3     \n\n"
        "mtx-context     | fatal error: return code: 256\n"
    )
    assert problems(log) == (Problem("Undefined control sequence \\undefinedcs", "sub/b.tex", 2, "Hello \\undefinedcs there"),)


def test_missing_file() -> None:
    log = "tex error       > tex error on line 2 in file /p/a.tex: ! I can't find file `gone'.\n\nl.2 \\input gone\n\n2 >>  \\input gone\n"
    assert problems(log) == (Problem("I can't find file `gone'", "a.tex", 2, "\\input gone"),)


def test_lua_error_points_at_the_marked_line() -> None:
    log = (
        "lua error       > lua error on line 6 in file /p/a.tex:\n\n[ctxlua]:3: attempt to index a nil value (local 'x')\n"
        "stack traceback:\n\t[ctxlua]:3: in main chunk\n\n4     local x = nil\n5 >>  x.y = 1\n6     \\stopluacode\n"
    )
    assert problems(log) == (Problem("Lua: attempt to index a nil value (local 'x')", "a.tex", 5, "x.y = 1"),)


def test_metapost_error() -> None:
    log = (
        "tex error       > mp error on line 3 in file /p/a.tex:\n\n>> foo.bar\n! Improper `addto'.\n<to be read again>\n\n"
        "3 >>  \\startMPcode\n"
    )
    assert problems(log) == (Problem("MetaPost: Improper `addto'.", "a.tex", 3, "\\startMPcode"),)


def test_an_error_in_a_buffer_is_placed_by_its_text() -> None:
    log = (
        "tex error       > tex error on line 1 in file virtual://buffer.demo.3: ! Undefined control sequence\n\nl.1 \\oops\n\n"
        "1 >>  \\oops\n"
    )
    found = problems(log, b"\\starttext\n\\startbuffer[demo]\n  \\oops\n\\stopbuffer\n")
    assert found == (Problem("Undefined control sequence \\oops (in buffer demo)", "a.tex", 3, "\\oops"),)
    twice = problems(log, b"\\oops\n\\oops\n")
    assert (twice[0].file, twice[0].line) == ("a.tex", None)


def test_mathematics_without_its_font_names_the_font() -> None:
    log = (
        "fonts           > defining > unknown font 'dejavu-math', loading aborted\n"
        "tex error       > tex error on line 2 in file /p/a.tex: ! \\textfont0 is undefined (character 63)\n\n2 >>  $x$\n"
    )
    missing = "font 'dejavu-math' is not found: install it, or put its file beside the document"
    assert problems(log)[0] == Problem(f"\\textfont0 is undefined (character 63) ({missing})", "a.tex", 2, "$x$")


def test_an_empty_first_line() -> None:
    log = "This is LuaTeX\n**\n! End of file on the terminal... why?\nmtx-context     | fatal error: return code: 256\n"
    message = "ConTeXt's wrapper cannot start a document whose first line is empty; remove that line"
    assert problems(log) == (Problem(message, "a.tex", 1),)


def test_a_failure_without_an_error_quotes_the_wrapper() -> None:
    log = "mtx-context     | error, no format found with name: cont-en, aborting\n"
    message = "ConTeXt failed without an error in its log: error, no format found with name: cont-en, aborting"
    assert problems(log) == (Problem(message, "a.tex"),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("references      > unknown reference '[][nowhere]'", "reference 'nowhere' is undefined"),
        ("publications    > cite > non-existent entry 'nokey' in 'default'", "citation 'nokey' is undefined"),
        (
            "modules         > 'nosuch' is not found",
            "module 'nosuch' is not found: install it, or put it beside the document; new in a TeX tree, it needs `mtxrun --generate`",
        ),
        (
            "system          > jobfiles > unknown tex file 'nosuchenv'",
            "file 'nosuchenv' is not found in the project (folders above it are not seen)",
        ),
        ("fonts           > typescripts > unknown library 'dejavu'", "typescript 'dejavu' is not found: install its fonts' package"),
        (
            "fonts           > defining > unknown font 'Nice', loading aborted",
            "font 'Nice' is not found: install it, or put its file beside the document",
        ),
        (
            "selectfont      > the requested font 'No' has no files for the 'tf' alternative, Latin Modern is used instead.",
            "font 'No' is not found, Latin Modern is used instead: install it, or put its files beside the document",
        ),
        ('sandbox         > call > lfs.attributes("./sub/nofig.swf","mode") => false', "figure 'sub/nofig' is not found"),
        ("sh: 1: inkscape: not found", "inkscape, which the document runs, is not installed"),
        ("(\\end occurred inside a group at level 3)", "the document ended inside 3 open group(s)"),
    ],
)
def test_what_is_only_reported_is_a_warning(line: str, message: str) -> None:
    assert problems(f"x\n{line}\n{line}\n", failed=False) == (Problem(message, "a.tex", severity="warning"),)


def test_a_good_run_has_no_errors() -> None:
    found = problems(LOG, failed=False)
    assert {problem.severity for problem in found} == {"warning"}
    assert [problem.message for problem in found] == ["citation 'nokey' is undefined", "figure 'nofig' is not found"]
