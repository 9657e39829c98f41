"""Starts a program: in a folder, with an environment, in a session of its own, its input empty and its output in pipes.

Knows no end of it and no event loop.
"""

import os
import subprocess
import sys
from functools import lru_cache
from typing import NamedTuple

try:
    from _posixsubprocess import fork_exec
except ImportError:  # another Python: subprocess does the same, more slowly
    _IS_KNOWN = False
else:
    # What subprocess itself calls (vfork, folder, session, exec). Its parameters differ between versions of Python.
    _IS_KNOWN = sys.version_info[:2] == (3, 11)

_ERROR_BYTES_MAX = 50_000

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


def spawn(argv: tuple[str, ...], cwd: str, env: Variables, stdout: int, stderr: int) -> int:
    """Starts ``argv`` and returns its process id once it runs. Raises OSError, ValueError (a NUL in an argument).

    A session, not only a group: a program that asks the terminal fails at once instead of being stopped for ever.
    """
    if not argv:
        raise ValueError("no program given")
    if not _IS_KNOWN:
        return _popen(argv, cwd, env, stdout, stderr)
    program = os.fsencode(argv[0])
    found = prepared(env)
    candidates = [program] if b"/" in program else [folder + b"/" + program for folder in found.folders]
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    reader = writer = -1
    try:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        if min(null, stdout, stderr, writer) <= 2:  # our own standard streams are closed: subprocess knows what to do
            return _popen(argv, cwd, env, stdout, stderr)
        pid = fork_exec(
            argv, candidates, True, (writer,), cwd, found.variables, null, -1, -1, stdout, -1, stderr, reader, writer,
            True, True, -1, None, None, None, -1, None, True,  # type: ignore[arg-type]
        )  # fmt: skip
        os.close(writer)
        writer = -1
        said = os.read(reader, _ERROR_BYTES_MAX)  # ends when the program runs: exec closes the other end
    finally:
        for descriptor in (null, reader, writer):
            if descriptor >= 0:
                os.close(descriptor)
    if said:
        os.waitpid(pid, 0)
        raise _error(said, argv[0], cwd)
    return pid


def _error(said: bytes, program: str, cwd: str) -> OSError:
    """What the child wrote instead of becoming the program: ``OSError:<number in hex>:<'noexec' if it was the folder>``."""
    _, number, message = said.split(b":", 2)
    code = int(number, 16)
    return OSError(code, os.strerror(code), cwd if message == b"noexec" else program)


def _popen(argv: tuple[str, ...], cwd: str, env: Variables, stdout: int, stderr: int) -> int:
    process = subprocess.Popen(argv, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True)
    process.returncode = 0  # who started it waits for it with wait4: it is none of subprocess's children any more
    return process.pid
