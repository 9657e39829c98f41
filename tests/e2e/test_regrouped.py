"""Steps that were one knot and are not any more: what a knot starts from holds nothing that others make now."""

from pathlib import Path

import pytest

from tests.helpers.sandbox import Sandbox

ENGINE = """\
[[step]]
name = "engine"
run = "cat table.txt > paper.txt; wc -c < paper.txt > state.txt"
optional = ["table.txt", "state.txt"]
outputs = ["paper.txt", "state.txt"]
"""
TOGETHER = """
[[step]]
name = "table"
run = "cat source.txt > table.txt; head -c 1 state.txt >> table.txt"
inputs = ["source.txt", "state.txt"]
outputs = ["table.txt"]
"""
APART = """
[[step]]
name = "table"
run = "cat source.txt > table.txt"
inputs = ["source.txt"]
outputs = ["table.txt"]
"""


@pytest.mark.parametrize("slices", [False, True], ids=["whole", "slices"])
def test_what_is_no_member_any_more_is_not_brought_back_by_the_knot(tmp_path: Path, slices: bool) -> None:
    sandbox = Sandbox(tmp_path / "w", slices=slices)
    sandbox.write("cpods.toml", ENGINE + TOGETHER)
    sandbox.write("source.txt", "old, and longer\n")
    assert frozenset({"engine", "table"}) in sandbox.build().verdicts
    sandbox.write("cpods.toml", ENGINE + APART)
    for text in (b"new\n", b"newer\n", b"new\n"):
        sandbox.write("source.txt", text)
        built = sandbox.build()
        assert built.exit_code == 0, built.said
        assert (sandbox.read("table.txt"), sandbox.read("paper.txt"), sandbox.read("state.txt")) == (text, text, b"%d\n" % len(text))
        assert sandbox.build().runs == ()
