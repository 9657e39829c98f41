"""Graphs in the form that cpods and Dask can both run: nothing is lost or added on the way, and the projects made of them build."""

import json
import os
import subprocess
import sys
import zlib
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.daskgraph import _some_bytes
from benchmarks.realgraph import LEAST_SECONDS, real_form, scaled
from benchmarks.realproject import Example, GraphProject, compile_program
from benchmarks.workload import Workload, edge_bytes, order
from benchmarks.workloads import dask_dag

#: Files 0, 1 and 2 are external (0 and 1 have the same reader); step 0 makes 3 and 4, step 1 reads 3 only; step 2 makes 5, which
#: step 1 reads too, but no edge says that it waits for it; step 3 waits for step 1 without reading of it.
SMALL = Workload(
    "small",
    [1.0, 2.0, 3.0, 0.0],
    [[0, 1], [3, 2, 5], [2], []],
    [[3, 4], [6], [5], []],
    [10, 20, 30, 40, 50, 60, 70],
    [[1], [3], [], []],
    ["make_1", "join_2", "side_3", "last_4"],
)


def test_externals_become_steps_and_outputs_become_one_file() -> None:
    form = real_form(SMALL)
    named = {name: step for step, name in enumerate(form.names)}
    reads = {name: {form.names[made] for made in form.inputs[step]} for name, step in named.items()}
    assert reads == {
        "source-0": set(),
        "source-1": set(),
        "source-2": set(),
        "make-0": {"source-0"},
        "join-1": {"make-0", "source-1", "source-2"},
        "side-2": {"source-1"},
        "last-3": {"join-1"},
    }
    sizes = {name: form.size[step] for name, step in named.items()}
    assert sizes == {"source-0": 30, "source-1": 30, "source-2": 60, "make-0": 90, "join-1": 70, "side-2": 60, "last-3": 1}
    assert [form.runtime[named[name]] for name in ("source-0", "make-0", "last-3")] == [LEAST_SECONDS, 1.0, LEAST_SECONDS]


def test_step_i_makes_file_i_behind_all_that_it_reads() -> None:
    for graph in (SMALL, dask_dag(2)):
        form = real_form(graph)
        assert form.outputs == [[step] for step in range(len(form.runtime))] and len(form.names) == len(form.runtime)
        assert all(made < step for step, files in enumerate(form.inputs) for made in files)
        assert all(step in form.followers[made] for step, files in enumerate(form.inputs) for made in files)
        assert sum(map(len, form.followers)) == sum(map(len, form.inputs))
        assert len(order(form)) == len(form.runtime)


def test_a_graph_without_externals_keeps_its_bytes_and_reads() -> None:
    graph = dask_dag(1)
    form = real_form(graph)
    assert edge_bytes(form) == edge_bytes(graph)
    assert sorted(form.size) == sorted(graph.size) and len(form.runtime) == len(graph.runtime)


def test_scaling_leaves_the_graph_and_at_least_a_byte() -> None:
    small = scaled(SMALL, 0.01, 0.5)
    assert small.size == [1, 1, 1, 1, 1, 1, 1] and small.runtime == [0.5, 1.0, 1.5, 0.0]
    assert (small.inputs, small.outputs, small.followers, small.names) == (SMALL.inputs, SMALL.outputs, SMALL.followers, SMALL.names)


def test_a_circle_is_no_graph() -> None:
    with pytest.raises(ValueError, match="circle"):
        real_form(Workload("ring", [1.0, 1.0], [[1], [0]], [[0], [1]], [1, 1], [[1], [0]]))


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compile_program(str(tmp_path_factory.mktemp("tools")))


def test_a_project_of_a_graph_builds_and_each_build_makes_other_bytes(tmp_path: Path, tools: str) -> None:
    project = GraphProject(real_form(scaled(SMALL, 1000, 0.001)))
    folder, report = tmp_path / "project", tmp_path / "report.json"
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    made = []
    for build in (0, 1, 0):
        goals = project.write(str(folder), build)
        assert sorted(goals) == ["out/last-3", "out/side-2"]
        command = [str(Path(sys.executable).with_name("cpods")), "rebuild", "-C", str(folder), "--report", str(report), *goals]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
        made.append(project.made(str(folder), json.loads(report.read_text())))
    assert made[0] == made[2] and len(made[0]) == 7
    assert all(made[0][path] != made[1][path] for path in made[0] if path != "out/last-3")  # of one byte
    data = (folder / "out" / "make-0").read_bytes()
    assert len(data) == 90_000 and len(zlib.compress(data)) > 89_000


def test_a_step_that_reads_other_bytes_makes_other_bytes(tmp_path: Path, tools: str) -> None:
    program = os.path.join(tools, "cpods-bench-step")
    made = []
    for text in (b"a" * 1000, b"a" * 999 + b"b", b"b" + b"a" * 999, b"a" * 999):
        (tmp_path / "in").write_bytes(text)
        subprocess.run([program, "0", "0", "64", "out", "in"], cwd=tmp_path, check=True)
        made.append((tmp_path / "out").read_bytes())
    assert len(set(made)) == 4 and {len(data) for data in made} == {64}
    failed = subprocess.run([program, "0", "0", "64", "out", "nothing"], cwd=tmp_path, capture_output=True, text=True)
    assert failed.returncode == 1 and "cannot read nothing" in failed.stderr


def test_an_example_is_copied_without_what_a_build_has_left(tmp_path: Path) -> None:
    assert Example("book").write(str(tmp_path / "book"), 0) == ()
    left = {path.name for path in (tmp_path / "book").iterdir()}
    assert {"cpods.toml", "book.tex", "book.bib", "orbit.py", "coverage.py"} <= left
    assert not left & {"book.pdf", "book.aux", "book.log", ".cpods", "pages.dat"}


def test_a_task_of_dask_gives_as_many_bytes_as_its_step_and_no_two_the_same() -> None:
    lengths = [0, 1, 1000, (1 << 22) + 5]
    assert [len(_some_bytes(7, length)) for length in lengths] == lengths
    assert all(one != other for one, other in pairwise(_some_bytes(step, 1000) for step in range(20)))
