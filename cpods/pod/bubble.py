"""One path for all workspaces: each program is started by bubblewrap, which mounts its slot there.

Knows no step. Off unless asked for: on a quiet machine it costs some milliseconds a program, several times a bare start.
"""

import os
from collections.abc import Callable, Mapping, Sequence

import msgspec

from cpods.ids import FilePath
from cpods.model import Exit
from cpods.ports import Command, Executor, View

#: Where every slot seems to lie. A mount point: what is in it is of no account.
FIXED = "/tmp/cpods-work"
_EXECUTION_FAILED = b"bwrap: execvp "


class Bubble:
    """An executor over another one. A program that a signal ends is told as 128 + its number, as bubblewrap does."""

    def __init__(self, executor: Executor, root: str) -> None:
        self._executor = executor
        self._root = root

    async def run(self, command: Command, started: Callable[[int, int], None] | None = None) -> Exit:
        """As Executor.run. Ending the group ends the program, too: it stays in it."""
        cwd = FIXED + command.cwd.removeprefix(self._root)
        argv = (*_wrapper(self._root, cwd), *command.argv)
        exit = await self._executor.run(msgspec.structs.replace(command, argv=argv), started)
        if exit.code == 1 and exit.stderr.startswith(_EXECUTION_FAILED):
            return Exit(127, error=f"program not found: {command.argv[0]}", seconds=exit.seconds)
        return exit


class BubbleView:
    """The view of a slot whose program saw it at FIXED: names found in what it wrote are understood, bytes come from the slot."""

    def __init__(self, view: View) -> None:
        self.root = FIXED
        self._view = view

    def read(self, path: FilePath) -> bytes | None:
        """As View.read."""
        return self._view.read(_inside(path))

    def exists(self, path: FilePath) -> bool:
        """As View.exists."""
        return self._view.exists(_inside(path))

    def before(self, path: FilePath) -> bool:
        """As View.before."""
        return self._view.before(_inside(path))

    def changed(self) -> Sequence[FilePath]:
        """As View.changed."""
        return self._view.changed()


async def works(executor: Executor, root: str, environment: Mapping[str, str]) -> str:
    """'' if bubblewrap can mount ``root`` at FIXED here, else why not."""
    try:
        os.makedirs(FIXED, mode=0o755, exist_ok=True)
    except OSError as error:
        return f"{FIXED}: {error.strerror}"
    command = Command((*_wrapper(root, FIXED), "true"), root, tuple(sorted(environment.items())), timeout=10)
    exit = await executor.run(command)
    if exit.code == 0:
        return ""
    said = exit.stderr.decode("utf-8", "replace").strip().splitlines()
    return exit.error or (said[-1] if said else f"bwrap ended with exit code {exit.code}")


def _wrapper(root: str, cwd: str) -> tuple[str, ...]:
    return ("bwrap", "--dev-bind", "/", "/", "--bind", root, FIXED, "--chdir", cwd, "--")


def _inside(path: FilePath) -> FilePath:
    return path.removeprefix(FIXED + "/")
