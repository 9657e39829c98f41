"""Ways through a project that deserve a test of their own: there and back, clones, shared stores, several fixed points.

Knows nothing of how cpods decides.
"""

import shutil
from pathlib import Path

import pytest

from tests.helpers.sandbox import Sandbox
from tests.helpers.texwalker import visible

_LATEX = '[[step]]\nchef = "latex"\nmain = "paper.tex"\n'
_TOC = "\\documentclass{article}\\begin{document}\\tableofcontents\\input{%s}\\section{S}\\label{s}see \\ref{s}\\end{document}\n"
#: Once the label is known to be on page 2 it stays there: two fixed points, and only kick.tex leads from one to the other.
_BISTABLE = (
    "\\documentclass{article}\\usepackage{refcount}\\begin{document}text\\IfFileExists{kick.tex}{\\clearpage}{}"
    "\\ifnum\\getpagerefnumber{far}>1 \\clearpage\\fi far\\label{far}\\end{document}\n"
)
_SHELL = """
[[step]]
name = "count"
run = "x=$(cat a.txt back.txt 2>/dev/null | sort -u); echo \\"$x\\" > count.txt"
inputs = ["a.txt"]
optional = ["back.txt"]
outputs = ["count.txt"]

[[step]]
name = "back"
run = "head -n 3 count.txt > back.txt"
inputs = ["count.txt"]
outputs = ["back.txt"]
"""


def _document(root: Path, **environment: str) -> Sandbox:
    place = Sandbox(root, environment)
    for path, text in {"cpods.toml": _LATEX, "paper.tex": _TOC % "a", "a.tex": "from a", "b.tex": "from b\\newpage"}.items():
        place.write(path, text)
    return place


def _built(place: Sandbox, seed: str = "") -> tuple[str, ...]:
    """A build that ends well; the tools that it started."""
    outcome = place.build(seed=seed)
    assert outcome.exit_code == 0, outcome.said
    return outcome.tools


def test_swapping_an_input_and_back_runs_nothing(ground: Path) -> None:
    place = _document(ground / "walk")
    assert _built(place)
    first = place.files()
    place.write("paper.tex", _TOC % "b")
    assert "pdflatex" in _built(place)
    assert place.read("paper.pdf") != first["paper.pdf"]
    place.write("paper.tex", _TOC % "a")
    assert _built(place) == ()
    assert place.files() == first


@pytest.mark.parametrize("seed", ["", "clean"])
def test_swapping_back_in_an_empty_folder_with_only_the_store_runs_nothing(ground: Path, seed: str) -> None:
    store = str(ground / "store")
    place = _document(ground / "walk", CPODS_STORE=store)
    _built(place)
    first = visible(place)
    place.write("paper.tex", _TOC % "b")
    _built(place, seed)
    second = visible(place)
    again = _document(ground / "anew", CPODS_STORE=store)
    assert _built(again, seed) == ()
    assert visible(again) == first
    again.write("paper.tex", _TOC % "b")
    assert _built(again, seed) == ()
    assert visible(again) == second


def test_fresh_clone_with_a_shared_store_runs_nothing(ground: Path) -> None:
    store = str(ground / "store")
    place = Sandbox(ground / "walk", {"CPODS_STORE": store})
    place.write("cpods.toml", _SHELL)
    place.write("a.txt", "b\na\n")
    assert _built(place)
    clone = Sandbox(ground / "clone", {"CPODS_STORE": store}, cli=True)
    for path in ("cpods.toml", "a.txt"):
        clone.write(path, place.read(path))
    assert _built(clone) == ()
    assert clone.files() == place.files()


def test_two_projects_share_a_store_and_keep_their_own_files(ground: Path) -> None:
    store = str(ground / "store")
    places = [Sandbox(ground / name, {"CPODS_STORE": store}) for name in ("one", "two")]
    for number, place in enumerate(places):
        place.write("cpods.toml", _SHELL)
        place.write("a.txt", f"{number}\n")
        _built(place)
    assert [place.read("back.txt") for place in places] == [b"0\n", b"1\n"]
    places[0].write("a.txt", "1\n")
    assert _built(places[0], "clean") == (), "the other project has been there"
    assert places[0].read("back.txt") == b"1\n"
    assert _built(places[1]) == ()
    shutil.rmtree(places[0].root)
    assert _built(places[1]) == ()


def _kicked(place: Sandbox) -> None:
    """Leads a bistable document to its second fixed point."""
    place.write("cpods.toml", _LATEX)
    place.write("paper.tex", _BISTABLE)
    _built(place)
    place.write("kick.tex", "")
    _built(place)
    (place.root / "kick.tex").unlink()


def test_document_with_two_fixed_points_ends_where_its_seed_leads(ground: Path) -> None:
    place = Sandbox(ground / "walk")
    place.write("cpods.toml", _LATEX)
    place.write("paper.tex", _BISTABLE)
    _built(place)
    low = visible(place)
    place.write("kick.tex", "")
    _built(place)
    place.write("paper.tex", _BISTABLE.replace("text", "next"))
    _built(place)
    (place.root / "kick.tex").unlink()
    _built(place)
    warm = place.read("paper.aux")
    assert warm != low["paper.aux"], "the last good state was the second fixed point"
    assert _built(place) == ()
    _built(place, "clean")
    assert place.read("paper.aux") == low["paper.aux"]
    place.write("paper.tex", _BISTABLE)
    assert _built(place, "clean") == (), "a warm result never answers a clean call, and the clean one is still known"
    assert visible(place) == low


def test_verify_reports_a_document_with_several_fixed_points(ground: Path) -> None:
    place = Sandbox(ground / "walk", cli=True)
    _kicked(place)
    place.write("paper.tex", _BISTABLE.replace("text", "next"))
    place.write("kick.tex", "")
    _built(place)
    (place.root / "kick.tex").unlink()
    _built(place)
    done = place.run("verify")
    assert "paper.aux" in done.stderr and "another" in done.stderr and "--seed clean" in done.stderr
    assert place.run("rebuild", "--until-stable", "--seed", "clean").returncode == 0
    assert "another" not in place.run("verify").stderr


@pytest.mark.parametrize("old", ["count.txt", "back.txt"])
def test_output_under_its_old_name_goes_when_a_knot_names_it_otherwise(ground: Path, old: str) -> None:
    place = Sandbox(ground / "walk")
    place.write("a.txt", "b\na\n")
    place.write("cpods.toml", _SHELL)
    _built(place)
    place.write("cpods.toml", _SHELL.replace(old, "new.txt"))
    _built(place)
    assert "new.txt" in place.files() and old not in place.files()


def test_output_of_a_plain_step_under_its_old_name_goes_unless_changed_by_hand(ground: Path) -> None:
    step = '[[step]]\nname = "copy"\nrun = "cat a.txt > %s"\ninputs = ["a.txt"]\noutputs = ["%s"]\n'
    place = Sandbox(ground / "walk")
    place.write("a.txt", "a\n")
    for name in ("one.txt", "two.txt"):
        place.write("cpods.toml", step % (name, name))
        _built(place)
    assert set(place.files()) == {"a.txt", "cpods.toml", "two.txt"}
    place.write("two.txt", "by hand\n")
    place.write("cpods.toml", step % ("three.txt", "three.txt"))
    _built(place)
    assert place.read("two.txt") == b"by hand\n"


def test_step_is_not_held_up_by_what_it_read_under_an_earlier_command(ground: Path) -> None:
    first = '[[step]]\nname = "first"\nrun = "grep a a.txt > first.txt"\ninputs = ["a.txt"]\noutputs = ["first.txt"]\n'
    second = '[[step]]\nname = "second"\nrun = "cat %s > second.txt"\ninputs = ["%s"]\noutputs = ["second.txt"]\n'
    place = Sandbox(ground / "walk")
    place.write("a.txt", "a\n")
    place.write("b.txt", "b\n")
    place.write("cpods.toml", first + second % ("first.txt", "first.txt"))
    _built(place)
    place.write("a.txt", "nothing\n")
    place.write("cpods.toml", first + second % ("b.txt", "b.txt"))
    outcome = place.build()
    assert outcome.exit_code == 1 and outcome.done == {"second"}
    assert place.read("second.txt") == b"b\n"


def test_an_output_that_its_step_gave_up_is_not_seen_by_steps_before_it(ground: Path) -> None:
    """They are settled first, and from nothing it would not be there."""
    reader = '[[step]]\nname = "reader"\nrun = "cat more.txt > read.txt 2>/dev/null || echo none > read.txt"\noptional = ["more.txt"]\n'
    reader += 'outputs = ["read.txt"]\n'
    maker = '[[step]]\nname = "maker"\nrun = "echo %s | tee %s > made.txt"\noutputs = ["made.txt"%s]\n'
    place = Sandbox(ground / "walk")
    place.write("cpods.toml", reader + maker % ("one", "more.txt", ', "more.txt"'))
    _built(place)
    assert place.read("read.txt") == b"one\n"
    place.write("cpods.toml", reader + maker % ("two", "", ""))
    _built(place)
    assert place.read("read.txt") == b"none\n" and not (place.root / "more.txt").exists()
