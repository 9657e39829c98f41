"""What is read out of kpathsea's search trace (recorded from TeX Live 2022)."""

from pathlib import Path

from cpods.chefs.kpathsea import read_trace, split_candidates

RECORDED = (Path(__file__).parent / "data" / "search.txt").read_bytes()


def search(name: str, files: str, path: str, found: str = "", *, kind: str = "tex") -> bytes:
    return (
        f"kdebug:kpse_find_file: searching for {name} of type {kind} (from texmf.cnf)\n"
        f"kdebug:start generic search(files=[{files}], must_exist=0, find_all=0, path={path})\n"
        f"kdebug:returning from generic search([{files}]) => {found}\n"
    ).encode()


def test_a_class_found_in_the_system_could_still_appear_in_the_project() -> None:
    assert "article.cls" in read_trace(RECORDED).missed


def test_a_name_without_ending_is_missed_in_both_forms() -> None:
    missed = read_trace(RECORDED).missed
    assert {"tune.tex", "tune"} <= set(missed)


def test_names_with_blanks_and_other_letters_are_kept_whole() -> None:
    missed = read_trace(RECORDED).missed
    assert {"chapter one.tex", "chapter one", "sub/tüne.tex"} <= set(missed)
    assert "one.tex" not in missed


def test_folders_that_packages_own_are_not_named() -> None:
    assert [path for path in read_trace(RECORDED).missed if path.startswith(("/etc/texmf", "/usr/share"))] == []


def test_only_candidates_before_the_found_one_are_missed() -> None:
    trace = read_trace(search("tune", "tune.tex tune", ".:styles//:.:late", "./styles/tune.tex"))
    assert trace.missed == ("tune.tex", "tune")
    assert ("INPUT", "./styles/tune.tex") in trace.events


def test_a_later_form_in_the_same_folder_hides_the_earlier_one() -> None:
    assert read_trace(search("tune", "tune.tex tune", ".", "./tune")).missed == ("tune.tex",)


def test_explicit_names_are_missed_where_they_say() -> None:
    trace = read_trace(b"kdebug: absolute_search(../up.tex) => (nil)\nkdebug:  casefold search(../up.tex) => (nil)\n")
    assert trace.missed == ("../up.tex",)


def test_opened_files_keep_their_order_and_failed_ones_are_missed() -> None:
    trace = read_trace(
        b"kdebug:fopen(a.aux, rb) => 0x55\nkdebug:fopen(a.aux, wb) => 0x56\n"
        b"kdebug:fopen(sub/x.aux, rb) => 0x0\nkdebug:fopen(no.out, wb) => (nil)\n"
    )
    assert trace.events == (("INPUT", "a.aux"), ("OUTPUT", "a.aux"))
    assert trace.missed == ("sub/x.aux",)


def test_chatter_before_the_mark_and_foreign_lines_are_no_hindrance() -> None:
    noise = b"(exbase.mfkdebug:fopen(a.mf, r) => 0x55\nThis is METAFONT\n\xff\xfe\nkdebug:nonsense\nkdebug:start generic search(broken\n"
    assert read_trace(noise).events == (("INPUT", "a.mf"),)


def test_candidates_without_blanks_split_at_blanks() -> None:
    assert split_candidates(b"x.pdf x.png", b"x") == [b"x.pdf", b"x.png"]


def test_a_name_with_two_blanks_inside_keeps_them() -> None:
    assert split_candidates(b"a b c.tex a b c", b"a b c") == [b"a b c.tex", b"a b c"]
