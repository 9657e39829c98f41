"""Recorded projects: a knot unrolled as it ran, and the recorder beside a real build."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.recorded import CannotRecord, main, quickest, record
from benchmarks.unrolled import Content, Run, unrolled
from benchmarks.workload import Workload, check, critical_path, is_external
from benchmarks.workloads import DATA, load, recorded, recorded_names

#: A circle through a program: the engine writes pages, counts them again until nothing changes.
KNOT = [
    Run("prepare", 1.0, "", 1, ["data"], [Content("table", "t", 50)]),
    Run("engine", 5.0, "engine", 1, ["paper", "table"], [Content("pages", "p1", 10), Content("paper.pdf", "o1", 900)]),
    Run("count", 2.0, "engine", 1, ["pages"], [Content("numbers", "n1", 20)]),
    Run("index", 3.0, "engine", 1, ["words"], [Content("register", "r1", 30)]),
    Run("engine", 6.0, "engine", 2, ["paper", "table", "numbers"], [Content("pages", "p2", 11), Content("paper.pdf", "o2", 901)]),
    Run("count", 2.0, "engine", 2, ["pages"], [Content("numbers", "n1", 20)]),
    Run("print", 4.0, "", 3, ["paper.pdf", "numbers", "absent"], [Content("sheet", "s", 70)]),
]
SOURCES = {"data": 1, "paper": 2, "words": 3}


def steps_before(found: Workload, name: str) -> set[str]:
    step = found.names.index(name)
    return {found.names[before] for before, after in enumerate(found.followers) if step in after}


def test_a_knot_is_unrolled_pass_by_pass() -> None:
    found = check(unrolled("knot", KNOT, SOURCES.get))
    assert found.names == ["prepare", "pass 1: engine", "pass 1: count", "pass 1: index", "pass 2: engine", "pass 2: count", "print"]
    assert found.runtime == [run.seconds for run in KNOT]
    assert steps_before(found, "pass 1: engine") == {"prepare"}
    assert steps_before(found, "pass 1: count") == {"pass 1: engine"}
    assert steps_before(found, "pass 1: index") == set()
    # It reads the numbers and the table; it waits for the rest of the pass before because no pass begins before that has ended.
    assert steps_before(found, "pass 2: engine") == {"prepare", "pass 1: engine", "pass 1: count", "pass 1: index"}


def test_each_version_of_a_file_is_a_file_and_the_same_content_is_not_made_twice() -> None:
    found = unrolled("knot", KNOT, SOURCES.get)
    sizes = [[found.size[file] for file in files] for files in found.outputs]
    assert sizes == [[50], [10, 900], [20], [30], [11, 901], [], [70]]
    assert [found.size[file] for file in found.inputs[-1]] == [901, 20]  # what is absent is not read
    # The bytes are those of pass 1; that they still count is known after pass 2.
    assert steps_before(found, "print") == {"pass 2: engine", "pass 1: count", "pass 2: count"}
    assert sorted(found.size[file] for file in range(len(found.size)) if is_external(found, file)) == [1, 2, 3]


def test_content_that_comes_back_is_the_first_makers() -> None:
    runs = [Run("flip", 1.0, "flip", turn, ["state"], [Content("state", digest, 4)]) for turn, digest in ((1, "a"), (2, "b"), (3, "a"))]
    found = check(unrolled("flip", [*runs, Run("show", 1.0, "", 4, ["state"], [])], {"state": 4}.get))
    assert found.outputs == [[1], [2], [], []]
    assert found.inputs == [[0], [1], [2], [1]]
    assert steps_before(found, "show") == {"pass 1: flip", "pass 3: flip"}


def project(folder: Path) -> Path:
    """A counter that a program reads back until it stands at 2, a plain step before it and one behind."""
    folder.mkdir()
    (folder / "cpods.toml").write_text(
        """
[project]
name = "counter"
goals = ["report.txt"]

[[step]]
name = "limit"
run = "printf 2 > limit.txt"
outputs = ["limit.txt"]

[[step]]
name = "count"
run = "sh count.sh"
inputs = ["count.sh", "limit.txt"]
optional = ["count.txt"]
outputs = ["count.txt"]

[[step]]
name = "report"
run = "wc -c count.txt limit.txt > report.txt"
inputs = ["count.txt", "limit.txt"]
outputs = ["report.txt"]
"""
    )
    (folder / "count.sh").write_text(
        'n=$(cat count.txt 2>/dev/null | wc -c); [ "$n" -ge "$(cat limit.txt)" ] || n=$((n + 1)); printf %0${n}d 0 > count.txt\n'
    )
    return folder


def test_a_real_build_is_recorded_pass_by_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = project(tmp_path / "counter")
    output = tmp_path / "found.json"
    assert main([str(folder), "counter", "--output", str(output)]) == 0
    assert "5 steps" in capsys.readouterr().out
    found = load(output)
    assert found.names == ["limit", *(f"pass {number}: count" for number in (1, 2, 3)), "report"]
    # The counter grows by a byte a pass; the third finds what the second made.
    assert [[found.size[file] for file in files] for files in found.outputs[1:4]] == [[1], [2], []]
    assert [found.outputs[step][0] in found.inputs[step + 1] for step in (1, 2)] == [True, True]
    assert steps_before(found, "pass 3: count") == {"limit", "pass 2: count"}
    assert steps_before(found, "report") == {"limit", "pass 2: count", "pass 3: count"}
    assert all(seconds > 0 for seconds in found.runtime)
    assert sorted(path.name for path in folder.iterdir()) == ["count.sh", "cpods.toml"]
    assert str(tmp_path) not in output.read_text()


def test_of_several_builds_each_steps_shortest_time_counts() -> None:
    first, second = ({**parts(), "runtime": times} for times in ([3.0, 1.0], [2.0, 4.0]))
    assert quickest([Workload(**first), Workload(**second)]) == Workload(**{**first, "runtime": [2.0, 1.0]})
    with pytest.raises(CannotRecord, match="ran different steps"):
        quickest([Workload(**first), Workload(**{**second, "names": ["a", "c"]})])


def parts() -> dict[str, Any]:
    return {"name": "x", "inputs": [[], []], "outputs": [[], []], "size": [], "followers": [[1], []], "names": ["a", "b"]}


def test_what_does_not_build_is_not_recorded(tmp_path: Path) -> None:
    (tmp_path / "cpods.toml").write_text('[[step]]\nname = "no"\nrun = "exit 3"\noutputs = ["never.txt"]\n')
    with pytest.raises(CannotRecord, match="exit code 1, make it work there first"):
        record(tmp_path, "no")


def test_what_was_recorded_fits_together_and_names_no_machine() -> None:
    names = recorded_names()
    assert {"book", "program", "jansson", "curl"} <= set(names)
    for name in names:
        found = check(recorded(name))
        assert found.name == name
        assert not any(os.path.isabs(word) for step in found.names for word in re.split(r"[ :]", step))
        assert json.loads((DATA / f"{name}.json").read_bytes())["made"]
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 300_000


def test_the_recorded_book_is_a_knot_of_several_passes() -> None:
    book = recorded("book")
    passes = {name.partition(":")[0] for name in book.names if name.startswith("pass ")}
    assert len(passes) >= 3
    engine = sum(seconds for name, seconds in zip(book.names, book.runtime, strict=True) if "latex:" in name)
    assert critical_path(book) >= engine  # one engine run after the other
