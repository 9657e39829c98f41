"""Which shell steps are pointed out because their headers are not seen."""

import pytest

from cpods.chefs.headers import unseen_headers
from cpods.chefs.shell import ShellChef
from cpods.declaration import ShellDeclaration
from cpods.model import Step


def step(run: str, name: str = "compile", **more: object) -> Step:
    declaration = ShellDeclaration(name=name, run=run, **{"inputs": ("a.c",), "outputs": ("a.o",), **more})  # type: ignore[arg-type]
    return ShellChef().plan(declaration, 0, (), {})[0]


@pytest.mark.parametrize(
    "run",
    [
        "cc -c a.c -o a.o",
        "/usr/bin/g++ -O2 -c a.cc",
        "mkdir -p obj && clang -Iinclude -c a.c -o obj/a.o",
        "ccache gcc -c a.c",
        "sh -c 'gcc -c a.c'",
        "gcc -MMD -c a.c",
    ],
)
def test_pointed_out(run: str) -> None:
    assert unseen_headers([step(run)]) == (
        'compile compiles C, and an edit of a header that it includes is not seen; use chef = "compiler", or declare depfile or the headers'
    )


@pytest.mark.parametrize("run", ["cc a.o b.o -o prog", "echo cc -c a.c", "tar -c a.c > a.tar", "sort -c a.c", "grep -c gcc a.c"])
def test_no_compiles(run: str) -> None:
    assert unseen_headers([step(run)]) == ""


def test_who_declares_headers_or_a_depfile_knows(tmp_path: object) -> None:
    run = "cc -MMD -MF a.d -c a.c -o a.o"
    assert unseen_headers([step(run, depfile="a.d"), step(run, inputs=("a.c", "a.h")), step(run, optional=("gen.hpp",))]) == ""


def test_several_in_one_sentence() -> None:
    said = unseen_headers([step("cc -c a.c", "a"), step("true", "x"), step("cc -c b.c", "b"), step("cc -c c.c", "c")])
    assert said.startswith("a and 2 more compile C, and an edit of a header that they include is not seen;")
