"""A federation from its founding to its end, by the real CLI: a broker, a steward, two pods, a circle and a chain of steps.

The long ones are in tests/federation.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from cpods.scheduler.decisions import replay
from cpods.scheduler.placement import DEFAULT_STRATEGY
from tests.helpers.lab import Lab, local

PROJECT = """\
[project]
goals = ["report.txt", "tool"]
until_stable = true

[[step]]
chef = "compiler"
program = "tool"
sources = ["one.c", "two.c"]

[[step]]
name = "there"
run = "./double < seed.txt > there.txt; test ! -f back.txt || cat back.txt >> there.txt"
inputs = ["seed.txt", "double"]
optional = ["back.txt"]
outputs = ["there.txt"]

[[step]]
name = "back"
run = "tail -n 1 there.txt > back.txt"
inputs = ["there.txt"]
outputs = ["back.txt"]

[[step]]
name = "report"
run = "./tool > report.txt && wc -l < there.txt >> report.txt"
inputs = ["tool", "there.txt"]
outputs = ["report.txt"]
"""
FILES = {
    "cpods.toml": PROJECT,
    "one.c": '#include <stdio.h>\n#include "two.h"\nint main(void) { printf("%d\\n", two()); return 0; }\n',
    "two.c": '#include "two.h"\nint two(void) { return 2; }\n',
    "two.h": "int two(void);\n",
    "seed.txt": "a\nb\n",
    "double": "#!/bin/sh\nwhile read line; do echo $line; echo $line; done\n",
}
SCHEMA = Path(__file__).parents[2] / "docs" / "report.schema.json"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        lab.pods_at_once(["a", "b"])
        yield lab


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "p"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "double").chmod(0o755)
    return folder


def test_from_the_first_build_to_the_null_build(lab: Lab, project: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(project, alone)
    here, built = local(alone), lab.rebuild(project)
    assert built.exit_code == here.exit_code == 0, built.output
    assert built.tools == here.tools
    assert set(built.pods) <= {"a", "b"}
    assert [knot["verdict"] for knot in built.report["knots"]] == ["FIXED"]
    for name in ("report.txt", "tool", "there.txt", "back.txt"):
        assert (project / name).read_bytes() == (alone / name).read_bytes(), name
    assert not list(project.glob("build/**/*.o")), "objects stay on the pods that made them"
    jsonschema.validate(built.report, json.loads(SCHEMA.read_text()))
    assert built.report["bytes_moved"] > 0
    again = lab.rebuild(project)
    assert again.exit_code == 0 and not again.steps, again.output


def test_an_edit_runs_what_reads_it_and_a_second_copy_runs_nothing(lab: Lab, project: Path, tmp_path: Path) -> None:
    assert lab.rebuild(project).exit_code == 0
    (project / "two.c").write_text('#include "two.h"\nint two(void) { return 3; }\n')
    edited = lab.rebuild(project)
    assert sorted(edited.steps) == ["cc:tool:two.c", "link:tool", "report"], edited.output
    assert (project / "report.txt").read_text().startswith("3\n")
    other = tmp_path / "other"
    other.mkdir()
    for name in FILES:
        shutil.copy(project / name, other / name)
    shared = lab.rebuild(other)
    assert shared.exit_code == 0 and not shared.steps, shared.output
    assert (other / "report.txt").read_bytes() == (project / "report.txt").read_bytes()


def test_a_failing_step_is_told_with_what_its_tool_said(lab: Lab, project: Path) -> None:
    (project / "two.c").write_text('#include "two.h"\nint two(void) { return three; }\n')
    built = lab.rebuild(project)
    assert built.exit_code == 1
    assert "two.c:2" in built.output and "three" in built.output
    assert "three" in lab.cpods("log", "cc:tool:two.c", cwd=project).stdout


def test_the_log_of_placement_decides_the_same_again_and_why_tells_of_it(lab: Lab, project: Path) -> None:
    never = lab.cpods("why", "report", "--placement", cwd=project, check=False)
    assert never.returncode == 2 and "cpods rebuild --federation NAME" in never.stderr
    (project / "seed.txt").write_text("a seed that no other project has\n")
    built = lab.rebuild(project)
    assert built.report["federation"]["placement"] == DEFAULT_STRATEGY
    log = (project / ".cpods" / "log" / "placement.jsonl").read_bytes()
    assert replay(log) == log
    pods = {entry["pod"] for entry in built.report["executions"] if entry["step"] == "report"}
    told = lab.cpods("why", "report", "--placement", cwd=project).stdout
    assert told.startswith("report, placed by locality in the last build that had pods run steps:\n")
    assert len(pods) == 1 and f"it ended on {pods.pop()}" in told
    assert not lab.rebuild(project).steps
    assert (project / ".cpods" / "log" / "placement.jsonl").read_bytes() == log, "a build that placed nothing leaves it"


def test_looking_at_a_project_whose_products_are_elsewhere(lab: Lab, project: Path) -> None:
    assert lab.rebuild(project).exit_code == 0
    assert "report.txt: current" in lab.cpods("status", cwd=project).stdout
    assert "a" in lab.cpods("pod", "list").stdout
    assert "roster" in lab.cpods("federation", "status").stdout


def test_nobody_there(tmp_path: Path, project: Path, lab: Lab) -> None:
    """A federation that one is not in, said in one sentence with its exit code."""
    done = lab.cpods("rebuild", "--federation", "other", cwd=project, check=False)
    assert done.returncode == 2 and "you are not in federation other" in done.stderr
