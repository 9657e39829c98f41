"""One system call's worth: a program in a folder, with an environment, in a session of its own, its input empty.

Knows no search path's rules and no pipes; standard library only, since launchers load it.
"""

import os
import sys

try:
    from _posixsubprocess import fork_exec
except ImportError:  # another Python: subprocess does the same, more slowly
    IS_KNOWN = False
else:
    # What subprocess itself calls (vfork, folder, session, exec). Its parameters differ between versions of Python.
    IS_KNOWN = sys.version_info[:2] == (3, 11)

_ERROR_BYTES_MAX = 50_000


def fork(
    argv: tuple[str, ...],
    candidates: list[bytes],
    cwd: str,
    variables: list[bytes] | None,
    null: int,
    stdout: int,
    stderr: int,
    keep: tuple[int, ...] = (),
) -> tuple[int, bytes]:
    """Starts ``argv`` as the first of ``candidates`` that can be run: its process id, and b"" once it runs.

    Else what the child wrote instead; it has been waited for then. ``variables`` None: our own. ``stdout``, ``stderr`` -1: our
    own too. ``keep``: further descriptors that it gets. Descriptors must be above 2. Raises OSError, ValueError (a NUL).
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = fork_exec(
            argv, candidates, True, tuple(sorted((writer, *keep))), cwd, variables, null, -1, -1, stdout, -1, stderr, reader, writer,
            True, True, -1, None, None, None, -1, None, True,  # type: ignore[arg-type]
        )  # fmt: skip
        os.close(writer)
        writer = -1
        said = os.read(reader, _ERROR_BYTES_MAX)  # ends when the program runs: exec closes the other end
    finally:
        for descriptor in (reader, writer):
            if descriptor >= 0:
                os.close(descriptor)
    if said:
        os.waitpid(pid, 0)
    return pid, said


def error_of(said: bytes, program: str, cwd: str) -> OSError:
    """What the child wrote instead of becoming the program: ``OSError:<number in hex>:<'noexec' if it was the folder>``."""
    _, number, message = said.split(b":", 2)
    code = int(number, 16)
    return OSError(code, os.strerror(code), cwd if message == b"noexec" else program)
