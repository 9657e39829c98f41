"""The context chef: its plan, what it makes of recorded runs, and one real run."""

from pathlib import Path
from typing import Any

import pytest

from cpods.chefs.registry import chefs
from cpods.declaration import ContextDeclaration, ShellDeclaration
from cpods.errors import ProjectFileError
from cpods.model import Exit, Observation, Step
from tests.chefs.realview import run, snapshot

CHEF = chefs()["context"]
LOG = (Path(__file__).parent / "data" / "context.log").read_bytes()
FIRST_TUC = b"return { comment = { version = job.version }, job = { variables = { collected = { randomseed = 0.5 } } } }"


class Folder:
    """A View of files in memory: ``before`` and ``now`` are contents by path."""

    def __init__(self, before: dict[str, bytes], now: dict[str, bytes]) -> None:
        self.root, self._before, self._now = "/mirror", before, now

    def read(self, path: str) -> bytes | None:
        return self._now.get(path)

    def exists(self, path: str) -> bool:
        return path in self._now

    def before(self, path: str) -> bool:
        return path in self._before

    def changed(self) -> list[str]:
        return sorted(path for path, data in self._now.items() if self._before.get(path) != data)


def plan(main: str = "paper.tex", listing: tuple[str, ...] = ("paper.tex",), **keys: Any) -> Step:
    return CHEF.plan(ContextDeclaration(main=main, **keys), 3, listing, {})[0]


def observe(before: dict[str, bytes], made: dict[str, bytes], exit: Exit | None = None, step: Step | None = None) -> Observation:
    return CHEF.observe(step or plan(), Folder(before, {**before, **made}), exit or Exit(0))


# -- planning ------------------------------------------------------------------------------------------------------


def test_one_run_a_pass() -> None:
    step = plan()
    assert step.name == "context:paper.tex"
    assert step.argv[-1] == "paper.tex"
    assert {"--once", "--nonstopmode", "--sandbox=calls"} <= set(step.argv)
    assert (step.outputs, step.inputs, step.jobname, step.main) == (("paper.pdf",), ("paper.tex",), "paper", "paper.tex")
    assert step.open_reads and step.always_mirror and step.pure


@pytest.mark.parametrize(
    ("keys", "flag"),
    [
        ({"mode": ("print", "draft")}, "--mode=print,draft"),
        ({"arguments": ("who=me", "n=2")}, "--arguments=who=me,n=2"),
        ({"path": ("style", "../common")}, "--path=style,../common"),
        ({"jobname": "other"}, "--result=other"),
        ({"synctex": True}, "--synctex"),
        ({"engine": "lmtx"}, "--engine=luametatex"),
    ],
)
def test_options_of_a_declaration(keys: dict[str, Any], flag: str) -> None:
    assert flag in plan(**keys).argv
    assert flag not in plan().argv


def test_a_main_file_in_a_folder_makes_its_product_where_it_runs() -> None:
    step = plan("parts/chap.tex", ("parts/chap.tex",))
    assert (step.argv[-1], step.outputs, step.cwd) == ("parts/chap.tex", ("chap.pdf",), ".")
    step = plan("product", ("book/product.tex",), cwd="book", jobname="out")
    assert (step.argv[-1], step.outputs, step.inputs) == ("product.tex", ("book/out.pdf",), ("book/product.tex",))
    assert step.name == "context:product#out"


def test_a_name_that_the_wrapper_cannot_take_is_refused() -> None:
    with pytest.raises(ProjectFileError, match="rename"):
        plan("a$b.tex", ("a$b.tex",))


def test_other_declarations_are_not_its_business() -> None:
    assert CHEF.plan(ShellDeclaration(name="x", run="true"), 0, (), {}) == ()


# -- observing recorded runs ---------------------------------------------------------------------------------------

SOURCES = {
    "paper.tex": b"\\startluacode context(dofile('sub/value.lua')) \\stopluacode",
    "sub/part.tex": b"Part.",
    "sub/value.lua": b"return 7",
    "refs.bib": b"@book{k}",
    "data.csv": b"a,b",
    "t-mine.mkiv": b"",
    "extra.dat": b"",
    "README": b"",
}


def test_a_first_run_reads_its_sources_and_misses_its_tuc() -> None:
    seen = observe(SOURCES, {"paper.log": LOG, "paper.tuc": b"return {}", "paper.pdf": b"%PDF", "made.txt": b"x"})
    read = {path for path in seen.reads if not path.startswith("@")}
    assert read == SOURCES.keys() - {"README"}  # dofile and the command's argument among them
    assert {"paper.tuc", "maybe.txt", "nofig.pdf"} <= set(seen.absent)
    assert seen.writes == ("made.txt", "paper.log", "paper.pdf", "paper.tuc")
    assert seen.pages == 1


def test_a_later_run_reads_its_tuc_but_not_its_products() -> None:
    before = {**SOURCES, "paper.tuc": b"1", "paper.pdf": b"1", "paper.log": b"1"}
    seen = observe(before, {"paper.log": LOG, "paper.tuc": b"2", "paper.pdf": b"2"})
    assert "paper.tuc" in seen.reads
    assert not {"paper.pdf", "paper.log"} & {*seen.reads, *seen.absent}


def test_programs_that_it_runs_may_look_at_everything() -> None:
    """The recorded run calls a program, whose look-ups nobody sees; a run without does not."""
    made = {"paper.log": LOG, "paper.tuc": b"", "new.txt": b""}
    seen = observe(SOURCES, made)
    assert "@glob:**" in seen.reads
    assert "new.txt" in seen.absent
    quiet = b"\n".join(line for line in LOG.split(b"\n") if b"os.execute" not in line)
    seen = observe({**SOURCES, "paper.tex": b"\\starttext"}, {**made, "paper.log": quiet})
    assert "@glob:**" not in seen.reads
    assert "new.txt" not in seen.absent


def test_databases_of_the_old_bibliography_module_are_read() -> None:
    log = b'sandbox         > call > io.open("paper.tex","r") => true\nsandbox         > call > io.open("paper.bbl","r") => true\n'
    before = {"paper.tex": b"", "refs.bib": b"", "more.bib": b"", "paper.bbl": b"old", "paper.tuc": b""}
    made = {"paper.log": log, "paper.aux": b"\\citation{*}\n\\bibstyle{cont-en}\n\\bibdata{refs,more,none}\n", "paper.bbl": b"new"}
    seen = observe(before, made)
    assert seen.reads == ("more.bib", "paper.tex", "paper.tuc", "refs.bib")
    assert {"paper.aux", "paper.bbl"} <= set(seen.writes)


def test_conversions_are_made_anew_in_each_run() -> None:
    """ConTeXt would use them again by their age, and files that steps made have none."""
    made = {"paper.log": LOG, "m_k_i_v_fig.svg.pdf": b"1", "figs/m_k_i_v_fig.eps.pdf": b"2", "part.tex.prep": b"3", "m_k_i_v.tex": b"4"}
    assert observe(SOURCES, made).writes == ("m_k_i_v.tex", "paper.log")


def test_a_failed_first_run_leaves_no_tuc() -> None:
    log = b'sandbox         > call > io.open("paper.tex","r") => true\n'
    said = b"tex error       > tex error on line 2 in file paper.tex: ! Undefined control sequence\n\nl.2 \\oops\n\n2 >>  \\oops\n"
    made = {"paper.log": log, "paper.tuc": FIRST_TUC, "paper-error.log": b""}
    seen = observe({"paper.tex": b"\n\\oops"}, made, Exit(1, stdout=said))
    assert (seen.writes, seen.absent) == (("paper.log",), ("paper.tuc",))
    assert [(problem.file, problem.line, problem.message) for problem in seen.problems] == [
        ("paper.tex", 2, "Undefined control sequence \\oops")
    ]
    assert seen.usable_outputs


def test_another_jobname_leaves_the_main_files_products_alone() -> None:
    step = plan(jobname="other")
    before = {**SOURCES, "paper.tuc": b"of another step", "paper.pdf": b"of another step"}
    seen = observe(before, {"other.log": LOG, "other.tuc": b"2", "other.pdf": b"2", "paper.pdf": b"moved back"}, step=step)
    assert "other.tuc" in seen.absent
    assert "paper.tuc" not in seen.reads
    assert "paper.pdf" not in seen.writes
    assert {"other.log", "other.pdf", "other.tuc"} <= set(seen.writes)


def test_a_missing_installation_is_one_sentence() -> None:
    seen = observe(SOURCES, {}, Exit(127, stderr=b"context: 1: exec: context: not found\n"))
    message = "context could not be started: context: 1: exec: context: not found"
    assert [problem.message for problem in seen.problems] == [message]
    assert not seen.usable_outputs


# -- a real run ----------------------------------------------------------------------------------------------------


def test_a_real_run(tmp_path: Path) -> None:
    (tmp_path / "paper.tex").write_text(
        "\\starttext\n\\input part\n\\ctxlua{context(io.loaddata('data.csv')) context(tostring(lfs.isfile('maybe.txt')))}\n"
        "\\startMPcode draw (0,0)--(uniformdeviate 9,1); \\stopMPcode\n\\externalfigure[fig.pdf]\n\\stoptext\n"
    )
    (tmp_path / "part.tex").write_text("Part.\n")
    (tmp_path / "data.csv").write_text("a,b")
    step = CHEF.plan(ContextDeclaration(main="paper.tex"), 0, sorted(snapshot(tmp_path)), {})[0]
    first, exit = run(CHEF, step, tmp_path)
    assert (exit.code, first.problems, first.pages) == (0, (), 1)
    assert first.reads == ("data.csv", "paper.tex", "part.tex")
    assert {"paper.tuc", "maybe.txt", "fig.pdf", "part"} <= set(first.absent)
    assert first.writes == ("paper.log", "paper.pdf", "paper.tuc")
    tuc = (tmp_path / "paper.tuc").read_bytes()
    second, _ = run(CHEF, step, tmp_path)
    assert second.reads == ("data.csv", "paper.tex", "paper.tuc", "part.tex")
    assert (tmp_path / "paper.tuc").read_bytes() == tuc, "the random seed of a first run does not come from the clock"


def test_the_log_is_kept_without_what_the_sandbox_reports() -> None:
    log = b'open source > level 1\nsandbox         > call > io.open("a.tex","r") => true\nsystem > total runtime: 1 seconds\n'
    assert CHEF.tidied("a.log", log) == b"open source > level 1\nsystem > total runtime: 1 seconds\n"
