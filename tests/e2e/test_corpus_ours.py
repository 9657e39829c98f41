"""Our own circular builds, of the same kind as the corpus that was handed to us, measured by the same oracle.

Knows no inner part of cpods. A few of each kind run by default, all of them by ``make test-real`` (marker ``corpus_all``).
"""

import hashlib
from pathlib import Path

import pytest

from tests.helpers.corpus import Case, Site, disagreements, null_disagreements, ours

#: One or two for each trap, the quick ones: what ``make test`` affords.
QUICK = {
    "cap-too-small",
    "cutoff-constant",
    "error-at-rest",
    "exists-late",
    "fatal-cured",
    "filecontents",
    "formatter-seeded",
    "generated-bib",
    "include-chapters",
    "late-downstream",
    "late-joiner",
    "late-joiner-bistable",
    "mixed-fails",
    "mixed-shell-first",
    "name-blank-umlaut-index",
    "order-decides-back",
    "own-counter-file",
    "page-flip",
    "ring-of-three",
    "shell-behind-period",
    "shell-fails-late",
    "shell-nostart-three",
    "shell-three-ring-back",
    "two-diverge-period",
    "two-failed-fixed",
    "two-knots-in-a-row",
    "two-period-failed",
    "write-only",
    "xr-one-way-in-order",
}


def _cases() -> list[object]:
    return [pytest.param(case, id=case.name, marks=() if case.name in QUICK else pytest.mark.corpus_all) for case in ours()]


@pytest.mark.parametrize("case", _cases())
def test_agrees_with_the_oracle(case: Case, tmp_path: Path) -> None:
    site = Site(case, tmp_path)
    built = site.rebuild("--seed", "clean")
    assert disagreements(site, built) == []
    assert null_disagreements(site, built) == []


def test_a_note_that_keeps_itself_alive(tmp_path: Path) -> None:
    """A second document with two fixed points: from its seed the other one is reached, and stays."""
    case = next(case for case in ours() if case.name == "bistable-toc")
    other = case.expected["alternatives_measured"]["alt_seed"]
    site = Site(case, tmp_path)
    built = site.rebuild("--seed", str(case.folder / "alt_seed"))
    assert (built.exit_code, built.report["knots"][0]["tail"]) == (0, other["tail"])
    assert hashlib.sha256((site.root / "keep.aux").read_bytes()).hexdigest() == other["final"]["keep.aux"]
    again = site.rebuild()
    assert (again.exit_code, sum(again.started.values())) == (0, 0)
    assert "Kept" not in again.output and (site.root / "keep.aux").read_bytes().count(b"old news") == 1


def test_every_case_has_been_measured() -> None:
    """A case without the oracle's answer would pass unseen."""
    folder = Path(ours()[0].folder).parent
    assert {case.name for case in ours()} == {path.name for path in folder.iterdir() if path.is_dir()}
    assert {case.name for case in ours()} >= QUICK
