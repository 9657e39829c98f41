"""The corpus that was handed to us: verdict, exit code, runs, pages and feedback files as the oracle found them.

Knows no inner part of cpods: it calls the CLI, counts the tools that start, and looks at the folder.
"""

import hashlib
from pathlib import Path

import pytest

from tests.helpers.corpus import Case, Site, disagreements, null_disagreements, pages, visible


@pytest.mark.parametrize("case", visible(), ids=lambda case: case.name)
def test_agrees_with_the_oracle(case: Case, tmp_path: Path) -> None:
    site = Site(case, tmp_path)
    built = site.rebuild("--seed", "clean")
    assert disagreements(site, built) == []
    assert null_disagreements(site, built) == []


def test_a_seed_leads_to_the_other_fixed_point(tmp_path: Path) -> None:
    case = next(case for case in visible() if case.name == "bistable-long")
    other = case.expected["alternatives_measured"]["alt_seed"]
    site = Site(case, tmp_path)
    built = site.rebuild("--seed", str(case.folder / "alt_seed"))
    assert built.exit_code == 0
    (knot,) = built.report["knots"]
    assert (knot["verdict"], knot["tail"], knot["period"]) == ("FIXED", other["tail"], other["period"])
    assert pages(site.root / "bi.pdf") == other["pages"]["bi.tex"]
    assert hashlib.sha256((site.root / "bi.aux").read_bytes()).hexdigest() == other["final"]["bi.aux"]


def test_a_clean_build_after_a_seeded_one_is_the_clean_one(tmp_path: Path) -> None:
    """A result that came from a seed is never taken for a clean one."""
    case = next(case for case in visible() if case.name == "bistable-long")
    site = Site(case, tmp_path)
    site.rebuild("--seed", str(case.folder / "alt_seed"))
    assert disagreements(site, site.rebuild("--seed", "clean")) == []
