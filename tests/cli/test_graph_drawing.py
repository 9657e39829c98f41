"""Pictures of step graphs: golden files for each format, and edges from reads and writes."""

import json
from collections.abc import Callable

import pytest

from cpods.graph.render import Edge, Group, Node, Picture, as_json, connect, dot, narrowed, tree
from cpods.graph.shortest import circled

Golden = Callable[[str, str], None]
FORMATS = {"tree": tree, "dot": dot, "json": as_json}

KNOT = Group(("latex:book.tex", "bibtex:book", "table"), "FIXED", 2)
BOOK = circled(
    Picture(
        nodes=(
            Node("plot", "shell", "python3", outputs=("plot.pdf",), sources=("plot.py",)),
            Node("latex:book.tex", "latex", "pdflatex", outputs=("book.pdf",), sources=("book.tex",)),
            Node("bibtex:book", "bibtex", "bibtex", sources=("books.bib",), helper_of="latex:book.tex"),
            Node("table", "shell", "sh", outputs=("table.tex",), sources=tuple(f"data{number}.csv" for number in range(9))),
            Node("pack", "shell", "tar", outputs=("book.tar",)),
        ),
        edges=(
            Edge("plot", "latex:book.tex", ("plot.pdf",)),
            Edge("latex:book.tex", "latex:book.tex", ("book.aux",), feedback=True),
            Edge("bibtex:book", "latex:book.tex", ("book.bbl",), feedback=True),
            Edge("table", "latex:book.tex", ("table.tex",), feedback=True),
            Edge("latex:book.tex", "bibtex:book", ("book.aux",)),
            Edge("latex:book.tex", "table", ("pages.dat",)),
            Edge("latex:book.tex", "pack", ("book.pdf",)),
            Edge("plot", "pack", ("plot.pdf",)),
        ),
        knots=(KNOT,),
        goals=(("book.tar", "pack"), ("plot.pdf", "plot")),
    )
)

FRESH = Picture(
    nodes=(
        Node('make "it"', "shell", "sh", outputs=("fig.tex",), missing=("data.csv",)),
        Node("latex:a.tex", "latex", "pdflatex", outputs=("a.pdf",), sources=("a.tex",), state="would run"),
    ),
    edges=(Edge('make "it"', "latex:a.tex", presumed=True),),
    goals=(("a.pdf", "latex:a.tex"), ("notes.txt", None)),
)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("name", "picture"), [("book", BOOK), ("fresh", FRESH), ("empty", Picture(()))])
def test_a_picture_looks_as_it_always_did(golden: Golden, name: str, picture: Picture, form: str) -> None:
    golden(f"graph-{name}.{form}", FORMATS[form](picture))


def test_a_narrowed_picture_keeps_the_edges_among_what_is_left() -> None:
    only = narrowed(BOOK, {"latex:book.tex", "bibtex:book"})
    assert [node.name for node in only.nodes] == ["latex:book.tex", "bibtex:book"]
    assert [(edge.maker, edge.reader) for edge in only.edges] == [
        ("latex:book.tex", "latex:book.tex"),
        ("bibtex:book", "latex:book.tex"),
        ("latex:book.tex", "bibtex:book"),
    ]
    assert "* table" not in tree(only) and "* bibtex:book" in tree(only)


def test_an_edge_is_feedback_only_inside_a_knot_and_against_the_pass_order() -> None:
    reads = {"a": {"y"}, "b": {"x"}, "c": {"x", "z"}}
    writes = {"a": {"x"}, "b": {"y"}, "c": {"z"}}
    edges = connect(["a", "b", "c"], reads, writes, [Group(("a", "b")), Group(("c",))])
    assert [(edge.maker, edge.reader, edge.paths, edge.feedback) for edge in edges] == [
        ("b", "a", ("y",), True),
        ("a", "b", ("x",), False),
        ("a", "c", ("x",), False),
        ("c", "c", ("z",), True),
    ]


def test_a_chain_of_thousands_is_drawn() -> None:
    names = [f"s{number}" for number in range(5000)]
    edges = tuple(Edge(a, b, (a,)) for a, b in zip(names, names[1:], strict=False))
    nodes = tuple(Node(name, "shell", "sh") for name in names)
    lines = tree(Picture(nodes, edges, goals=(("end", names[-1]),))).splitlines()
    assert lines[0] == "end" and lines[-1].endswith("s0 (sh)")
    assert max(map(len, lines)) < 150


def test_the_json_names_each_steps_knot() -> None:
    drawn = json.loads(as_json(BOOK))
    assert {step["name"]: step["knot"] for step in drawn["steps"]} == {
        "plot": None,
        "latex:book.tex": 0,
        "bibtex:book": 0,
        "table": 0,
        "pack": None,
    }
    assert [edge["from"] for edge in drawn["edges"] if edge["feedback"]] == ["latex:book.tex", "bibtex:book", "table"]
