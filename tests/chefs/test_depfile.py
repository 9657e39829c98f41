"""Depfiles as compilers write them."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpods.chefs.depfile import Rule, parse, project_path, project_paths


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (b"a.o: a.c a.h\n", [(["a.o"], ["a.c", "a.h"])]),
        (b"a.o: a.c \\\n  a.h \\\n\tb.h\n", [(["a.o"], ["a.c", "a.h", "b.h"])]),
        (b"a.o:\\\n a.c", [(["a.o"], ["a.c"])]),
        (b"a.o b.o : a.c\n\nc.o:\n", [(["a.o", "b.o"], ["a.c"]), (["c.o"], [])]),
        (b"a\\ b.o: c\\ d.h x\\#y.h m$$n.h\n", [(["a b.o"], ["c d.h", "x#y.h", "m$n.h"])]),
        (b"a.o: back\\slash.h c\\\\\\ d\n", [(["a.o"], ["back\\slash.h", "c\\ d"])]),
        (b"a.o: a.c\n\na.h:\n\nb.h:\n", [(["a.o"], ["a.c"]), (["a.h"], []), (["b.h"], [])]),
        (b"a.o: C:/x.h y:z.h\r\n", [(["a.o"], ["C:/x.h", "y:z.h"])]),
        (b"a.o:: a.c | b.h # why\n", [(["a.o"], ["a.c", "b.h"])]),
        (b"# nothing\n\n", []),
        (b"a.o: caf\xe9.h\n", [(["a.o"], ["caf\udce9.h"])]),
    ],
)
def test_parse(text: bytes, rules: list[tuple[list[str], list[str]]]) -> None:
    assert parse(text) == tuple(Rule(tuple(targets), tuple(names)) for targets, names in rules)


@pytest.mark.parametrize(("text", "line"), [(b"a.o a.c\n", 1), (b"a: b\n\n: x\n", 3), (b"a: b \\\n c\nd\n", 3)])
def test_what_is_no_rule_names_its_line(text: bytes, line: int) -> None:
    with pytest.raises(ValueError, match=f"^line {line}: expected targets, a colon and prerequisites$"):
        parse(text)


def test_paths_of_the_project_are_relative_and_those_of_packages_dropped() -> None:
    rules = parse(b"x.o: ../src/a.c /p/roject/src/a.h /usr/include/stdio.h /usr/local/include/own.h ../../other/b.h\n")
    assert project_paths(rules, "build", "/p/roject") == ("src/a.c", "src/a.h", "/usr/local/include/own.h", "/p/other/b.h")
    assert project_path("../roject/x", ".", "/p/roject") == "x"


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters='/\0\n\r\t\\:"|', exclude_categories=("Cc", "Zl", "Zp")), min_size=1, max_size=6
)


def escaped(name: str) -> str:
    return name.replace("$", "$$").replace("#", "\\#").replace(" ", "\\ ")


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_written_names_come_back(names: list[str]) -> None:
    text = "a.o: " + " \\\n ".join(escaped(name) for name in names) + "\n"
    assert parse(text.encode())[0].prerequisites == tuple(names)


def test_the_compiler_itself_on_awkward_names(tmp_path: Path) -> None:
    """What cc escapes, we read back."""
    names = ["a b.h", "x#y.h", "m$n.h", "plain.h", "p%q.h", "ä.h", "two  blanks.h"]
    for name in names:
        (tmp_path / name).write_text("")
    (tmp_path / "t.c").write_text("".join(f'#include "{name}"\n' for name in names))
    compiler = shutil.which("cc")
    assert compiler
    subprocess.run([compiler, "-MD", "-MP", "-MF", "t.d", "-c", "t.c"], cwd=tmp_path, check=True)
    rules = parse((tmp_path / "t.d").read_bytes())
    assert [path for path in project_paths(rules, ".", str(tmp_path)) if path != "t.c"] == names
