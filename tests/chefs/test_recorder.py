"""Reads, absent files and writes out of recorder and trace."""

from collections.abc import Sequence

from cpods.chefs.kpathsea import Trace
from cpods.chefs.recorder import Places, Recording, Traffic, is_report, parse_fls, traffic


class FakeView:
    """A view over names alone."""

    def __init__(self, before: str = "", changed: str = "", root: str = "/w") -> None:
        self.root = root
        self._before, self._changed = set(before.split()), set(changed.split())

    def read(self, path: str) -> bytes | None:
        return b"" if self.exists(path) else None

    def exists(self, path: str) -> bool:
        return path in self._before | self._changed

    def before(self, path: str) -> bool:
        return path in self._before

    def changed(self) -> Sequence[str]:
        return sorted(self._changed)


def joined(view: FakeView, *events: str, missed: Sequence[str] = (), traced: Sequence[str] = ()) -> Traffic:
    pairs = [tuple(event.split(" ", 1)) for event in events]
    trace = Trace(tuple((kind, path) for kind, path in (line.split(" ", 1) for line in traced)), tuple(missed))
    return traffic(Recording("/w", tuple((kind, path) for kind, path in pairs)), trace, view, Places("/w", "."))


def test_fls_lines_repeat_but_count_once() -> None:
    recording = parse_fls(b'PWD /w\nINPUT a.tex\nINPUT a.tex\nOUTPUT a.log\nINPUT "my file.tex"\nnoise\n')
    assert recording == Recording("/w", (("INPUT", "a.tex"), ("OUTPUT", "a.log"), ("INPUT", "my file.tex")))


def test_read_before_written_is_a_read_of_the_old_content() -> None:
    assert joined(FakeView("a.aux", "a.aux"), "INPUT a.aux", "OUTPUT a.aux").reads == ("a.aux",)


def test_read_after_written_is_the_own_write() -> None:
    seen = joined(FakeView("a.aux", "a.aux"), "OUTPUT a.aux", "INPUT a.aux")
    assert seen.reads == ()
    assert seen.writes == ("a.aux",)


def test_read_without_having_been_there_is_the_run_s_own() -> None:
    seen = joined(FakeView("a.tex", "fig-converted.pdf"), "INPUT a.tex", "INPUT fig-converted.pdf")
    assert seen == Traffic(("a.tex",), (), ("fig-converted.pdf",))


def test_missed_first_and_written_later_is_absent() -> None:
    seen = joined(FakeView("a.tex", "a.toc"), "INPUT a.tex", "OUTPUT a.toc", missed=["a.toc"])
    assert seen.absent == ("a.toc",)


def test_missed_although_it_is_there_is_no_absence() -> None:
    assert joined(FakeView("a.tex"), missed=["a.tex", "./a.tex"]).absent == ()


def test_reports_are_never_read_but_logs_are_written() -> None:
    view = FakeView("a.log", "a.log a.fls a.synctex.gz pdflatex77.fls texput.log missfont.log a.pdf")
    seen = joined(view, "INPUT a.log", "OUTPUT a.pdf", missed=["b.log", "missfont.log"])
    assert seen == Traffic((), (), ("a.log", "a.pdf", "a.synctex.gz"))


def test_package_trees_and_tool_caches_do_not_count_other_outside_files_do() -> None:
    seen = joined(
        FakeView(),
        "INPUT /usr/share/texmf/x.sty",
        "INPUT /var/lib/texmf/web2c/pdftex/pdflatex.fmt",
        "INPUT /h/.texlive2022/texmf-var/f.pk",
        "INPUT /h/texmf/own.sty",
        "INPUT /usr/local/share/texmf/site.sty",
        "INPUT ../beside.tex",
        "INPUT .cpods/tool-cache/x.lua",
    )
    assert seen.reads == ("/beside.tex", "/h/texmf/own.sty", "/usr/local/share/texmf/site.sty")


def test_absolute_names_inside_the_project_become_project_paths() -> None:
    places = Places("/link/p", "doc", "/real/p/doc")
    assert places.project_path("/real/p/doc/a.tex") == "doc/a.tex"
    assert places.project_path("/link/p/b.tex") == "b.tex"
    assert places.project_path("../b.tex") == "b.tex"


def test_a_file_that_only_the_trace_names_is_read() -> None:
    seen = joined(FakeView("a.tex a.pdf", "a.pdf"), "INPUT a.tex", "OUTPUT a.pdf", traced=["INPUT ./a.pdf", "OUTPUT a.pdf"])
    assert seen.reads == ("a.pdf", "a.tex")


def test_own_font_trees_are_not_missed_file_by_file() -> None:
    assert joined(FakeView(), missed=["/h/texmf/tex/x.sty", "/data/inputs/x.sty"]).absent == ("/data/inputs/x.sty",)


def test_what_counts_as_a_report() -> None:
    assert all(is_report(path) for path in ("a.log", "d/a.fls", "a.synctex.gz", "texput.pdf", "missfont.log", "a.blg"))
    assert not any(is_report(path) for path in ("a.aux", "catalog", "mytexput.pdf"))
