"""WfFormat, as anybody may have it: versions that keep things in different places give the same workload."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.wfformat import from_wfformat
from benchmarks.workload import Workload

FOUND = Workload(
    "two",
    runtime=[1.5, 20.0],
    inputs=[[0], [1, 0]],
    outputs=[[1], [2]],
    size=[700, 30, 5],
    followers=[[1], []],
    names=["split_1", "join_2"],
)


def version_14() -> dict[str, Any]:
    """Tasks hold their files and runtimes; they name their parents, here by name and not by id."""
    return {
        "name": "two",
        "schemaVersion": "1.4",
        "workflow": {
            "makespanInSeconds": 22,
            "machines": [],
            "tasks": [
                {
                    "name": "split",
                    "id": "split_1",
                    "runtimeInSeconds": 1.5,
                    "parents": [],
                    "files": [{"link": "input", "name": "all", "sizeInBytes": 700}, {"link": "output", "name": "part", "sizeInBytes": 30}],
                },
                {
                    "name": "join",
                    "id": "join_2",
                    "runtimeInSeconds": 20,
                    "parents": ["split"],
                    "files": [
                        {"link": "output", "name": "whole", "sizeInBytes": 5},
                        {"link": "input", "name": "part", "sizeInBytes": 30},
                        {"link": "input", "name": "all", "sizeInBytes": 700},
                    ],
                },
            ],
        },
    }


def version_15(version: str = "1.5") -> dict[str, Any]:
    """What was to be run, and how it ran, stand apart."""
    return {
        "name": "two",
        "schemaVersion": version,
        "workflow": {
            "specification": {
                "tasks": [
                    {
                        "name": "split",
                        "id": "split_1",
                        "parents": [],
                        "children": ["join_2"],
                        "inputFiles": ["all"],
                        "outputFiles": ["part"],
                    },
                    {
                        "name": "join",
                        "id": "join_2",
                        "parents": ["split_1"],
                        "children": [],
                        "inputFiles": ["part", "all"],
                        "outputFiles": ["whole"],
                    },
                ],
                "files": [{"id": "whole", "sizeInBytes": 5}, {"id": "part", "sizeInBytes": 30}, {"id": "all", "sizeInBytes": 700}],
            },
            "execution": {
                "makespanInSeconds": 22,
                "executedAt": "2024-01-01T00:00:00Z",
                "tasks": [
                    {"id": "join_2", "runtimeInSeconds": 20, "coreCount": 2},
                    {"id": "split_1", "runtimeInSeconds": 1.5, "command": {"program": "split", "arguments": ["-n", "1"]}},
                ],
            },
        },
    }


def written(folder: Path, instance: object) -> Path:
    path = folder / "instance.json"
    path.write_text(json.dumps(instance))
    return path


@pytest.mark.parametrize("instance", [version_14(), version_15(), version_15("1.6")], ids=["1.4", "1.5", "1.6"])
def test_the_same_workflow_of_every_version(tmp_path: Path, instance: dict[str, Any]) -> None:
    assert from_wfformat(written(tmp_path, instance)) == FOUND


@pytest.mark.parametrize("side", ["parents", "children"])
def test_either_side_states_a_dependency(tmp_path: Path, side: str) -> None:
    instance = version_15()
    for task in instance["workflow"]["specification"]["tasks"]:
        del task[side]
    assert from_wfformat(written(tmp_path, instance)).followers == [[1], []]


def test_without_stated_dependencies_files_say_who_waits(tmp_path: Path) -> None:
    instance = version_15()
    for task in instance["workflow"]["specification"]["tasks"]:
        del task["parents"], task["children"]
    assert from_wfformat(written(tmp_path, instance)).followers == [[1], []]


def test_a_stated_dependency_counts_although_no_file_goes_along_it(tmp_path: Path) -> None:
    instance = version_15()
    instance["workflow"]["specification"]["tasks"][1]["inputFiles"] = ["all"]
    found = from_wfformat(written(tmp_path, instance))
    assert (found.inputs[1], found.followers) == ([0], [[1], []])


def broken(**what: Any) -> dict[str, Any]:
    instance = version_15()
    specification = instance["workflow"]["specification"]
    specification["tasks"][1].update(what.pop("join", {}))
    specification.update(what.pop("specification", {}))
    instance["workflow"].update(what)
    return instance


@pytest.mark.parametrize(
    ("instance", "says"),
    [
        ([], "not WfFormat"),
        ({"workflow": {}}, "holds no tasks"),
        (broken(specification={"tasks": []}), "holds no tasks"),
        (broken(specification={"files": [{"id": "all", "sizeInBytes": 1}]}), "file 'part' has no size"),
        (broken(execution={"tasks": []}), "task 'split_1' has no runtimeInSeconds"),
        (broken(join={"id": "split_1"}), "two tasks are called 'split_1'"),
        (broken(join={"parents": ["nobody"]}), "names 'nobody' as parent or child, which is no task"),
        (broken(join={"children": ["split_1"]}), "waits for itself in a circle"),
        (broken(join={"inputFiles": 3}), "not WfFormat"),
    ],
)
def test_what_contradicts_itself_is_refused_in_one_sentence(tmp_path: Path, instance: object, says: str) -> None:
    with pytest.raises(ValueError, match=rf"^[^\n]*{re.escape(says)}[^\n]*\.$"):
        from_wfformat(written(tmp_path, instance))
