"""Reports of every kind of ending, held against docs/report.schema.json."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.cli.conftest import Cli

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)


def checked(path: Path, status: str, code: int) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    assert [error.message for error in VALIDATOR.iter_errors(report)] == []
    assert (report["status"], report["exit_code"]) == (status, code)
    return report


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert list(VALIDATOR.iter_errors({"version": 1}))


def test_done(cli: Cli, paper: Path) -> None:
    assert cli("rebuild", "--report", "r.json").code == 0
    report = checked(paper / "r.json", "done", 0)
    assert report["goals"][0]["pages"] == 1 and report["knots"][0]["verdict"] == "FIXED"
    assert {entry["tool"] for entry in report["executions"]} == {"pdflatex", "bibtex"}


@pytest.mark.parametrize(
    ("expression", "start", "extra", "options", "status", "code", "verdict"),
    [
        ("(n + 3) / 2", 10, "", (), "unstable", 0, None),
        ("n * n % 7", 2, "", ("--until-stable",), "period", 3, "PERIOD"),
        ("n + 1", 1, "max_passes = 4", ("--until-stable",), "diverges", 4, "DIVERGES"),
        ("n / 0", 1, "", ("--until-stable",), "failed", 1, "FAILED"),
        ("n * n % 7", 2, 'policy = "choose"', ("--until-stable",), "unstable", 0, "PERIOD"),
    ],
)
def test_knots(
    cli: Cli,
    turning: Callable[..., Path],
    expression: str,
    start: int,
    extra: str,
    options: tuple[str, ...],
    status: str,
    code: int,
    verdict: str,
) -> None:
    folder = turning(expression, start, extra)
    assert cli("rebuild", "--report", "r.json", *options).code == code
    assert checked(folder / "r.json", status, code)["knots"][0]["verdict"] == verdict


@pytest.mark.parametrize("text", ["[project\n", '[[step]]\nname = "a"\nrun = "cp b a"\ninputs = ["b"]\noutputs = ["a"]\n'])
def test_invalid(cli: Cli, project: Path, text: str) -> None:
    (project / "cpods.toml").write_text(text)
    assert cli("rebuild", "--report", "r.json").code == 2
    assert checked(project / "r.json", "invalid", 2)["errors"]


def test_a_circle_that_cannot_start(cli: Cli, project: Path) -> None:
    step = '[[step]]\nname = "{0}"\nrun = "cp {1} {2}"\ninputs = ["{1}"]\noutputs = ["{2}"]\n'
    (project / "cpods.toml").write_text(step.format("one", "b", "a") + step.format("two", "a", "b"))
    cli("rebuild", "--report", "r.json")
    assert checked(project / "r.json", "invalid", 2)["knots"][0]["verdict"] == "NOSTART"


def test_a_plan_and_a_verification(cli: Cli, line: Path) -> None:
    cli("rebuild", "-n", "--report", "r.json")
    assert checked(line / "r.json", "done", 0)["plan"]["would_run"] == ["upper", "order"]
    cli("verify", "--report", "r.json")
    checked(line / "r.json", "invalid", 2)
    cli("rebuild", "--seed", str(line), "--report", "r.json")
    assert checked(line / "r.json", "done", 0)["seed"] == str(line)


def test_damaged_and_locked(cli: Cli, line: Path) -> None:
    cli("rebuild")
    (line / ".cpods" / "catalogue.db").write_bytes(b"no database at all" * 99)
    assert cli("rebuild", "--report", "r.json").code == 6
    checked(line / "r.json", "damaged", 6)


def test_interrupted(project: Path) -> None:
    (project / "cpods.toml").write_text('[[step]]\nname = "long"\nrun = "echo > a; sleep 60"\noutputs = ["a"]\n')
    call = [sys.executable, "-c", "from cpods.cli import main; main()", "rebuild", "--json", "--report", "r.json"]
    with subprocess.Popen(call, cwd=project, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for text in process.stdout:
            if json.loads(text)["event"] == "started":
                process.send_signal(signal.SIGTERM)
                break
        process.stdout.read()
        assert process.wait(30) == 130
    checked(project / "r.json", "interrupted", 130)
    assert not (project / "a").exists()
