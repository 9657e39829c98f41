"""Which other documents a main file names."""

from cpods.chefs.mentions import mentioned
from cpods.model import Step


def engine(job: str) -> Step:
    return Step(name=f"latex:{job}.tex", chef="latex", tool="pdflatex", argv=(), position=(0,), jobname=job)


def names(text: str, *jobs: str) -> set[str]:
    return {name.removeprefix("latex:").removesuffix(".tex") for name in mentioned(text.encode(), [engine(job) for job in jobs])}


def test_a_job_that_stands_alone_in_a_group_is_named() -> None:
    assert names(r"\externaldocument{left}", "left", "right") == {"left"}
    assert names(r"\includegraphics[page=2]{build/left.pdf}", "left") == {"left"}
    assert names(r"\externaldocuments{left, right}", "left", "right") == {"left", "right"}
    assert names(r"\externaldocument{grün}", "grün") == {"grün"}


def test_prose_comments_and_longer_names_name_nothing() -> None:
    assert names("the left hand, {left hand}", "left") == set()
    assert names("% \\externaldocument{left}\n", "left") == set()
    assert names(r"\externaldocument{leftover}", "left") == set()
    assert names(r"100\% \externaldocument{left}", "left") == {"left"}


def test_parts_that_are_documents_of_their_own_are_sources() -> None:
    assert names(r"\subfile{chapters/one}\include{two}\input{three}", "one", "two", "three") == set()
    assert names(r"\InputIfFileExists{one.aux}{}{}", "one") == {"one"}


def test_context_names_documents_in_brackets() -> None:
    assert names(r"\useexternaldocument[other][left][The other one]", "left", "right") == {"left"}
    assert names(r"\externalfigure[build/left.pdf][width=3cm]", "left") == {"left"}
    assert names(r"\in[left] \section[left]{x} \component left", "left") == set()
