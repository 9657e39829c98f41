"""What is said to be dealt out one by one is there, and everything else stays together."""

from pathlib import Path

import pytest

from tests.helpers.spreading import APART, Spreading


@pytest.fixture
def spreading(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> Spreading:
    """A scheduler for two processes."""
    monkeypatch.setattr(pytestconfig.option, "tx", ["popen", "popen"], raising=False)
    return Spreading(pytestconfig)


def test_walks_are_dealt_out_one_by_one_and_files_as_a_whole(spreading: Spreading) -> None:
    root = Path(__file__).parents[1]
    assert all((root / file).is_file() for file in APART)
    assert spreading._split_scope(f"{APART[0]}::test_documents[0-4]") == f"{APART[0]}::test_documents[0-4]"
    assert spreading._split_scope("tests/e2e/test_federation.py::test_nobody_there") == "tests/e2e/test_federation.py"
