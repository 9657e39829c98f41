"""What a user is told of a knot that does not come to rest: artefact, label, values, source line."""

from cpods.digest import of_bytes
from cpods.graph.diagnose import diagnose

PAPER = b"\\documentclass{article}\n\\section{One}\\label{sec:one}\n"


def label(number: str, page: str) -> bytes:
    return b"\\relax\n\\newlabel{sec:one}{{%s}{%s}}\n" % (number.encode(), page.encode())


def test_a_label_is_named_with_its_values_and_its_source_line() -> None:
    (moving,) = diagnose([{"p.aux": label("1", "2")}, {"p.aux": label("1", "3")}], lambda: {"p.tex": PAPER})
    assert (moving.artefact, moving.label, moving.values) == ("p.aux", "sec:one", ("1 on page 2", "1 on page 3"))
    assert moving.source == "p.tex:2"


def test_a_line_that_is_no_label_is_shown_as_it_is() -> None:
    (moving,) = diagnose([{"x": b"same\nodd\n"}, {"x": b"same\neven\n"}], dict)
    assert moving.label is None and moving.values == ("odd", "even") and moving.source is None


def test_a_file_that_comes_and_goes() -> None:
    (moving,) = diagnose([{"x": b"1234"}, {}], dict)
    assert moving.values == ("4 bytes", "absent")


def test_what_stands_still_is_not_told() -> None:
    assert diagnose([{"x": b"1", "y": b"a"}, {"x": b"1", "y": b"b"}], dict)[0].artefact == "y"
    assert diagnose([], lambda: 1 / 0) == ()  # type: ignore[arg-type, return-value]


def test_at_most_twenty_entries_and_no_endless_values() -> None:
    long = [{"x": b"\n".join(b"%d%s" % (number, fill * 500) for number in range(50))} for fill in (b"a", b"b")]
    moving = diagnose(long, dict)
    assert len(moving) == 20 and all(len(value) <= 200 for entry in moving for value in entry.values)


def test_bytes_that_are_no_text_are_shown_all_the_same() -> None:
    (moving,) = diagnose([{"x": b"\xff1"}, {"x": b"\xff2"}], dict)
    assert moving.values == ("\ufffd1", "\ufffd2")


def test_a_line_that_comes_and_goes_is_named_as_such_and_inner_files_come_last() -> None:
    short, long = b"top\nrule\nend\n", b"top\nextra\nrule\nend\n"
    cycle = [
        {"plan.tex": short, "paper.aux": b"\\gdef\\@abspage@last{3}\n"},
        {"plan.tex": long, "paper.aux": b"\\gdef\\@abspage@last{4}\n"},
    ]
    found = diagnose(cycle, dict)
    assert [(each.artefact, each.values) for each in found] == [
        ("plan.tex", ("absent", "extra")),
        ("paper.aux", ("\\gdef\\@abspage@last{3}", "\\gdef\\@abspage@last{4}")),
    ]


def test_of_what_is_no_text_size_and_digest_are_shown_last() -> None:
    first, second = b"W2TX\0\0one\ntwo", b"W2TX\0\0one\nsix"
    moving = diagnose([{"a.cpods.fmt": first, "b.txt": b"1"}, {"a.cpods.fmt": second, "b.txt": b"2"}], dict)
    assert [entry.artefact for entry in moving] == ["b.txt", "a.cpods.fmt"]
    assert moving[1].values == tuple(f"13 bytes, {of_bytes(content)}" for content in (first, second))
