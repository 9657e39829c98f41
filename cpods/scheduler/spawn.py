"""Starts a program: in a folder, with an environment, in a session of its own, its input empty and its output in pipes.

Knows no end of it and no event loop.
"""

import os
from functools import lru_cache
from typing import NamedTuple

from cpods.scheduler import forking

Variables = tuple[tuple[str, str], ...]


class Prepared(NamedTuple):
    """An environment as exec takes it, and the folders of its PATH."""

    variables: list[bytes]
    folders: list[bytes]


@lru_cache(maxsize=32)
def prepared(variables: Variables) -> Prepared:
    """The same for all steps of a build, or nearly so: made once. Raises ValueError for a name that no variable may have."""
    entries = []
    for name, value in variables:
        if "=" in name:
            raise ValueError(f"illegal environment variable name: {name}")
        entries.append(os.fsencode(f"{name}={value}"))
    return Prepared(entries, [os.fsencode(folder) for folder in os.get_exec_path(dict(variables))])


def candidates(program: str, env: Variables) -> list[bytes]:
    """Where a program may lie, in the order of the environment's PATH. Raises ValueError."""
    name = os.fsencode(program)
    return [name] if b"/" in name else [folder + b"/" + name for folder in prepared(env).folders]


def spawn(argv: tuple[str, ...], cwd: str, env: Variables, stdout: int, stderr: int) -> int:
    """Starts ``argv`` and returns its process id once it runs. Raises OSError, ValueError (a NUL in an argument).

    A session, not only a group: a program that asks the terminal fails at once instead of being stopped for ever.
    """
    if not argv:
        raise ValueError("no program given")
    if not forking.IS_KNOWN:
        return _popen(argv, cwd, env, stdout, stderr)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if min(null, stdout, stderr) <= 2:  # our own standard streams are closed: subprocess knows what to do
            return _popen(argv, cwd, env, stdout, stderr)
        pid, said = forking.fork(argv, candidates(argv[0], env), cwd, prepared(env).variables, null, stdout, stderr)
    finally:
        os.close(null)
    if said:
        raise forking.error_of(said, argv[0], cwd)
    return pid


def _popen(argv: tuple[str, ...], cwd: str, env: Variables, stdout: int, stderr: int) -> int:
    import subprocess  # an exception's way: its import takes 15 ms

    process = subprocess.Popen(argv, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True)
    process.returncode = 0  # who started it waits for it with wait4: it is none of subprocess's children any more
    return process.pid
