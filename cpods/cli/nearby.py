"""Whether a resident MajorDomo may run for a call: a look at one name, since most calls have none.

Knows no socket and no build; imports nothing.
"""

import posix

#: With this variable set to "off" no resident is asked.
VARIABLE = b"CPODS_MAJORDOMO"
_STATE_FOLDER = ".cpods"
_SOCKET = "majordomo.sock"


def has_resident(arguments: list[str]) -> bool:
    """Whether there is a socket where this call's project has its state; behind it may be nobody."""
    if posix.environ.get(VARIABLE) == b"off":
        return False
    try:
        posix.stat(f"{state_of(arguments)}/{_SOCKET}")
    except (OSError, ValueError):
        return False
    return True


def state_of(arguments: list[str]) -> str:
    """The state folder that a call means; good enough to find a socket in, which then is asked whether it is the right one."""
    said = posix.environ.get(b"CPODS_STATE")
    if said:
        return said.decode("utf-8", "surrogateescape")
    folder = folder_of(arguments)
    return f"{folder}/{_STATE_FOLDER}" if folder != "." else _STATE_FOLDER


def folder_of(arguments: list[str]) -> str:
    """The value of -C, as typer reads it."""
    folder = "."
    for number, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument == "-C" and number + 1 < len(arguments):
            folder = arguments[number + 1]
        elif argument.startswith("-C") and len(argument) > 2:
            folder = argument[2:].removeprefix("=")
    return folder
