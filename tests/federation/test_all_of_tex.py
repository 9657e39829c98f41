"""Documents of all TeX engines and helpers on a federation of four pods: what the oracle says holds there as well.

Knows no inner part of cpods.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.corpus import EXIT_CODES, NO_INPUTS, Case, file_disagreements
from tests.helpers.lab import Lab
from tests.helpers.texcorpus import WANTED, cases, runs_by_tool

pytestmark = [pytest.mark.federation, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Four pods, two slots each."""
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        lab.pods_at_once([f"pod{number}" for number in range(1, 5)])
        yield lab


#: Where one pod alone needs more runs than the oracle, too: see tests/e2e/test_corpus_tex.py.
UNRESOLVED = {"pdflatex-escape-late"}


@pytest.mark.parametrize("case", [case for case in cases() if case.name not in UNRESOLVED], ids=lambda case: case.name)
def test_agrees_with_the_oracle(lab: Lab, tmp_path: Path, case: Case) -> None:
    project = tmp_path / "p"
    shutil.copytree(case.folder, project, ignore=NO_INPUTS)
    built = lab.rebuild(project)
    assert built.exit_code == EXIT_CODES[WANTED[case.expected["verdict"]]], built.output
    if case.expected["verdict"] != "DIVERGES":
        # Results are shared by all: what an earlier case had done is not done again.
        needed = case.expected["runs"]
        assert all(count <= needed.get(tool, 0) for tool, count in runs_by_tool(built).items()), (runs_by_tool(built), needed)
    if case.expected["verdict"] == "FIXED":
        assert file_disagreements(project, case.expected) == []
        assert not lab.rebuild(project).tools
