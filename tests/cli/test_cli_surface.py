"""The command line from outside: help without heavy imports, exit codes of wrong calls, the documented commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = ["rebuild", "graph show", "why", "deps", "log", "status", "verify", "clean", "store stat", "store fsck", "store collect"]
HEAVY = ("networkx", "sqlalchemy", "asyncssh", "nats", "alembic", "numpy", "cryptography", "nacl")
PROBE = "import sys; from cpods.cli.app import app; code = app(); print(code, *sys.modules, file=sys.stderr)"


@pytest.mark.parametrize("arguments", [["--help"], ["graph", "show", "--help"], ["--version"]])
def test_help_loads_none_of_the_heavy_libraries(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True)
    code, *modules = done.stderr.split()
    assert code == "0" and done.stdout and not set(HEAVY).intersection(modules)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_a_folder_option_and_a_line_in_the_docs(cli: Cli, command: str) -> None:
    shown = cli(*command.split(), "--help")
    assert shown.code == 0 and "-C" in shown.out
    assert f"`cpods {command}" in (DOCS / "cli.md").read_text()


@pytest.mark.parametrize("command", [*COMMANDS, "rebuild -n"])
def test_a_folder_that_is_not_there_is_exit_code_2(cli: Cli, command: str) -> None:
    name = ["upper"] if command in ("why", "deps", "log") else []
    shown = cli(*command.split(), "-C", "nowhere", *name)
    assert shown.code == 2 and shown.err == "cpods: -C nowhere: there is no such folder\n"


@pytest.mark.parametrize(
    "command", ["graph show", "why upper", "deps upper", "log upper", "status", "verify", "clean", "store stat", "store fsck"]
)
def test_a_broken_project_file_is_exit_code_2(cli: Cli, line: Path, command: str) -> None:
    (line / "cpods.toml").write_text('[[step]]\nname = "upper"\nrun = 3\n')
    shown = cli(*command.split())
    assert shown.code == 2 and "cpods.toml:3" in shown.err and shown.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["frobnicate"], ["why"], ["deps"], ["log"], ["graph"], ["import"], ["store", "stat", "--nonsense"]])
def test_wrong_calls_are_exit_code_2(cli: Cli, arguments: list[str]) -> None:
    assert cli(*arguments).code == 2
