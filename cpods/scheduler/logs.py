"""What is kept of a run for people: its log, and why a program could not be started, in words.

Knows no process.
"""

import errno
import os
import shlex
from collections.abc import Sequence
from contextlib import suppress

from cpods.model import Exit
from cpods.ports import Command

#: So much of each word of a command line is shown in a log.
_WORD_MAX = 1000


class Logs:
    """Writes the logs of runs, into folders of which nobody else makes or removes logs meanwhile.

    There is one only of a run that said something or did not end well.
    """

    def __init__(self) -> None:
        self._there: dict[str, set[str]] = {}

    def note(self, command: Command, exit: Exit) -> None:
        """Writes the log of a run, or removes what an earlier one left. Raises OSError."""
        if not command.log:
            return
        folder, _, name = command.log.rpartition("/")
        there = self._there.get(folder)
        if there is None:
            there = self._there[folder] = _names(folder or ".")
        if exit.stdout or exit.stderr or exit.error or exit.code:
            with open(command.log, "wb") as log:
                log.write(_text(command, exit))
            there.add(name)
        elif name in there:
            there.discard(name)
            with suppress(FileNotFoundError):
                os.unlink(command.log)


def _names(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()


def not_started(command: Command, error: OSError | ValueError) -> Exit:
    """The exit of a program that could not be started: 127 if it (or its folder) is not there, else 126."""
    program = command.argv[0] if command.argv else ""
    number = error.errno if isinstance(error, OSError) else None
    reason = error.strerror if isinstance(error, OSError) else error
    if not os.path.isdir(command.cwd):
        return Exit(code=127, error=f"folder not found: {command.cwd}")
    if number in (errno.ENOENT, errno.ENOTDIR, errno.EACCES) and not _is_there(command):
        return Exit(code=127, error=f"program not found: {program}")
    if number == errno.ENOENT:
        return Exit(code=126, error=f"the interpreter named in the first line of {program} was not found")
    if number in (errno.EACCES, errno.ENOEXEC):
        return Exit(code=126, error=f"not executable: {program}")
    return Exit(code=126, error=f"cannot start {program or 'a program'}: {reason}")


def _is_there(command: Command) -> bool:
    """Whether a file that the program's name could mean is there at all (whatever its permissions)."""
    program = command.argv[0]
    folders = [""] if "/" in program else os.get_exec_path(dict(command.env))
    return any(os.path.exists(os.path.join(command.cwd, folder, program)) for folder in folders)


def shown(argv: Sequence[str]) -> str:
    """A command line for people: a word that is a whole program (a preamble's) is cut."""
    return shlex.join(word if len(word) <= _WORD_MAX else f"{word[:_WORD_MAX]}…" for word in argv)


def _text(command: Command, exit: Exit) -> bytes:
    """stdout, then stderr, each under a header line; an error that kept the program from starting comes first."""
    name = os.fsencode(shown(command.argv))
    parts = [os.fsencode(f"{exit.error}\n")] if exit.error else []
    for title, data in ((b"stdout", exit.stdout), (b"stderr", exit.stderr)):
        parts += (b"== %s of %s ==\n" % (title, name), data)
        if data and not data.endswith(b"\n"):
            parts.append(b"\n")
    return b"".join(parts)
