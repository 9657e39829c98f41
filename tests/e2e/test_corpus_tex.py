"""Small documents of all of TeX's engines and helpers, against an oracle that runs everything and counts afterwards.

Knows no inner part of cpods. A few quick ones run by default, all of them by ``make test-tex`` (marker ``tex``).
"""

from pathlib import Path

import pytest

from tests.helpers.corpus import Case, null_disagreements
from tests.helpers.texcorpus import FOLDER, build_disagreements, cases, edit, run_disagreements, site

#: What ``make test`` affords: no ConTeXt, no LuaLaTeX, nothing that starts Java or Perl.
QUICK = {"plain-contents", "plain-flip", "mpost-from-document", "texinfo-manual"}

#: Where the oracle needs fewer runs than cpods, and why.
UNRESOLVED = {
    "pdflatex-escape-late": "one run more than needed: that a program of the run wrote shown.tex before the run read it cannot be seen",
}


def _marks(name: str) -> list[pytest.MarkDecorator]:
    marks = [] if name in QUICK else [pytest.mark.tex]
    return [*marks, pytest.mark.xfail(strict=True, reason=UNRESOLVED[name])] if name in UNRESOLVED else marks


def _cases() -> list[object]:
    return [pytest.param(case, id=case.name, marks=_marks(case.name)) for case in cases()]


@pytest.mark.parametrize("case", _cases())
def test_agrees_with_the_oracle(case: Case, tmp_path: Path) -> None:
    at = site(case, tmp_path)
    built = at.rebuild("--seed", "clean")
    assert build_disagreements(at, built) == []
    assert null_disagreements(at, built) == []
    if "edit_runs" in case.expected:
        edit(at)
        again = at.rebuild()  # from where it stands (a warm seed)
        assert (again.exit_code, run_disagreements(case.expected["edit_runs"], again)) == (0, [])


def test_every_case_has_been_measured() -> None:
    """A case without the oracle's answer would pass unseen."""
    assert {case.name for case in cases()} == {path.name for path in FOLDER.iterdir() if path.is_dir()}
    assert len(cases()) >= 24
    assert {case.name for case in cases()} >= QUICK


def test_every_verdict_is_met_on_every_engine_family() -> None:
    """Verdicts that the cases hold, by chef: what is said to be covered is there."""
    met = {(name.partition(":")[0], case.expected["verdict"]) for case in cases() for name in case.expected["runs_by_step"]}
    assert {(chef, verdict) for chef in ("latex", "context") for verdict in ("FIXED", "PERIOD", "ERROR")} <= met
    assert {("tex", "FIXED"), ("tex", "PERIOD"), ("tex", "DIVERGES"), ("context", "DIVERGES")} <= met
