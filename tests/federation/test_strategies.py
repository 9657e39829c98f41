"""Every strategy of placement: the same files come of it, and its decisions can be made again from what it was told."""

import shutil
from pathlib import Path

import pytest

from cpods.scheduler.decisions import decisions, replay
from cpods.scheduler.placement import STRATEGIES
from tests.helpers.lab import Lab, local

pytestmark = [pytest.mark.federation, pytest.mark.timeout(300)]

FAN = (
    """\
[[step]]
name = "root"
run = "cat seed.txt seed.txt > root.txt"
inputs = ["seed.txt"]
outputs = ["root.txt"]

"""
    + "".join(
        f"""\
[[step]]
name = "{name}"
run = "sed s/seed/{name}/ root.txt > {name}.txt"
inputs = ["root.txt"]
outputs = ["{name}.txt"]

"""
        for name in ("one", "two", "three")
    )
    + """\
[[step]]
name = "all"
run = "cat one.txt two.txt three.txt > all.txt"
inputs = ["one.txt", "two.txt", "three.txt"]
outputs = ["all.txt"]
"""
)


def test_every_strategy_makes_the_same_and_its_log_decides_the_same_again(tmp_path: Path) -> None:
    project = tmp_path / "p"
    project.mkdir()
    (project / "cpods.toml").write_text(FAN)
    (project / "seed.txt").write_text("seed\n")
    alone = tmp_path / "alone"
    shutil.copytree(project, alone)
    assert local(alone).exit_code == 0
    with Lab(tmp_path / "lab") as lab:
        lab.pods_at_once(["a", "b"])
        for name in STRATEGIES:
            built = lab.rebuild(project, "--force", "--placement", name)
            assert built.exit_code == 0 and len(built.steps) == 5, built.output
            assert (project / "all.txt").read_bytes() == (alone / "all.txt").read_bytes(), name
            log = (project / ".cpods" / "log" / "placement.jsonl").read_bytes()
            assert log.startswith(f'["begun","{name}"'.encode()) and replay(log) == log
            assert len([*decisions(log)]) >= 5
