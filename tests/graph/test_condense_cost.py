"""A graph without circles is put in order without loading networkx, and in the same order as with it."""

import subprocess
import sys

import pytest

from cpods.graph.condense import components

_ASKS = "import sys; from cpods.graph.condense import components; components({edges!r}, {rank!r}); print('networkx' in sys.modules)"


@pytest.mark.parametrize(
    ("edges", "loads"),
    [
        ({"a": {"b"}, "b": {"c"}}, False),
        ({"a": {"a", "b"}}, False),  # a step that reads what it writes is a component of its own all the same
        ({"a": {"b"}, "b": {"a"}}, True),
    ],
)
def test_networkx_is_loaded_only_for_circles(edges: dict[str, set[str]], loads: bool) -> None:
    code = _ASKS.format(edges=edges, rank={"a": 0, "b": 1, "c": 2})
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == f"{loads}\n"


def test_a_circle_elsewhere_does_not_change_the_order_of_the_rest() -> None:
    rank = {name: index for index, name in enumerate("cbaxy")}
    acyclic = {"a": {"b"}, "b": {"c"}}
    assert components(acyclic, rank) == [("a",), ("b",), ("c",), ("x",), ("y",)]
    assert components({**acyclic, "x": {"y"}, "y": {"x"}}, rank) == [("a",), ("b",), ("c",), ("x", "y")]
