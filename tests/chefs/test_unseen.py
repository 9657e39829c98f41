"""Which files a document may look for or read without telling: the names in its text."""

from cpods.chefs.unseen import named

TEXT = rb"""\documentclass{article} % not.this
\directlua{local f = io.open("heard.txt") or io.open('sub/deep.dat'); dofile(tex.jobname .. "-more.lua")}
\write18{cat other.out > there.tex} See e.g. 3.14 and \macro.name and www.example.com/page.
"""


def test_words_that_look_like_names_of_files() -> None:
    files = {"a.tex": TEXT, "b.bin": b"io.open('no.txt')"}
    found = set(named(files, files.get, ".", "paper"))
    assert {"heard.txt", "sub/deep.dat", "paper-more.lua", "other.out", "there.tex"} <= found
    assert not found & {"not.this", "no.txt", "3.14", "macro.name"}


def test_names_are_relative_to_the_folder_that_the_engine_runs_in_and_stay_inside() -> None:
    files = {"doc/a.tex": b"{near.txt} {../far.txt} {../../outside.txt}"}
    assert named(files, files.get, "doc", "a") == ["doc/near.txt", "far.txt"]


def test_no_more_than_five_hundred_and_no_large_files() -> None:
    files = {"a.tex": b" ".join(b"f%d.txt" % number for number in range(2000)), "b.tex": b"x.txt " * 200_000}
    found = named(files, files.get, ".", "a")
    assert len(found) == 500 and "x.txt" not in found
