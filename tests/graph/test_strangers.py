"""Documents that have nothing to do with each other are not held together by presumptions: their first passes run side by side."""

import pytest

from cpods.chefs.mentions import touched
from cpods.graph.build import PERHAPS, Traffic, build
from cpods.model import Step


def engine(job: str, index: int) -> Step:
    return Step(
        name=job, chef="latex", tool="pdflatex", argv=("pdflatex", job), position=(index,), outputs=(f"{job}.pdf",),
        open_reads=True, may_write=(f"{job}.",), main=f"{job}.tex", jobname=job,
    )  # fmt: skip


STEPS = {job: engine(job, index) for index, job in enumerate(("one", "two"))}
FRESH = {job: Traffic(frozenset({f"{job}.tex"}), frozenset({f"{job}.pdf"}), known=False) for job in STEPS}


@pytest.mark.parametrize(
    ("mentions", "joined"),
    [
        ({}, {("one", "two"), ("two", "one")}),
        ({"one": frozenset(), "two": frozenset()}, set()),
        ({"one": frozenset({PERHAPS + "two"}), "two": frozenset()}, {("one", "two"), ("two", "one")}),
        ({"one": frozenset({"two"}), "two": frozenset()}, {("two", "one")}),
    ],
)
def test_two_fresh_engines(mentions: dict[str, frozenset[str]], joined: set[tuple[str, str]]) -> None:
    graph = build(STEPS, FRESH, lambda path: path.endswith(".tex"), mentions)
    assert {(maker, reader) for maker, readers in graph.joined().items() for reader in readers} == joined


def test_a_word_of_a_jobs_name_is_enough() -> None:
    others = [engine("two", 1), engine("sub/three-part", 2)]
    assert touched(b"\\IfFileExists{two.dat}{}{}", others) == {"two"}
    assert touched(b"% the part", others) == {"sub/three-part"}
    assert touched(b"\\begin{document}twofold\\end{document}", others) == set()
