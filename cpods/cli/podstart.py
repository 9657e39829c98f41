"""``cpods pod start``: runs a pod in this process until it is ended.

Knows no part of a pod: podserver joins them.
"""

import asyncio
import os
import sys
from collections.abc import Iterable

from cpods.errors import CpodsError, UsageError


def run(
    federation: str = "",
    store: str = "",
    work: str = "",
    slots: int = 0,
    tags: Iterable[str] = (),
    sftp: str = "embedded",
    listen: str = "",
    port: int = 0,
    fixed_path: bool = False,
) -> int:
    """Runs the pod whose home is here. ``listen``: HOST or HOST:PORT. ``fixed_path``: see podserver.PodOptions.

    Returns the exit code; errors are printed, one sentence each.
    """
    from cpods.net.identity import home_of
    from cpods.podserver import PodOptions, serve

    try:
        host, said_port = _address(listen)
        options = PodOptions(store, work, slots, _tags(tags), sftp, host, port or said_port, fixed_path=fixed_path)
        home = home_of(federation or os.environ.get("CPODS_FEDERATION", ""), os.environ)
        if home.identity.role != "pod":
            raise UsageError(
                f"{home.identity.name} is a {home.identity.role} of {home.federation.name}, not a pod: "
                f"`cpods federation invite NAME` on the founder's machine lets a pod join"
            )
        return asyncio.run(serve(home, options))
    except CpodsError as error:
        print(f"cpods: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"cpods: {error.filename or 'the pod'}: {error.strerror or error}", file=sys.stderr)
        return 1


def _tags(said: Iterable[str]) -> dict[str, str]:
    """``k=v`` as a mapping; a word alone is a tag with the value ''. Raises UsageError."""
    found = {}
    for text in said:
        name, _, value = text.partition("=")
        if not name:
            raise UsageError(f"--tag {text!r}: expected NAME=VALUE")
        found[name] = value
    return found


def _address(text: str) -> tuple[str, int]:
    """HOST:PORT, HOST, or '' for any free port of the loopback address. Raises UsageError."""
    if not text:
        return "127.0.0.1", 0
    host, separator, port = text.rpartition(":")
    if not separator:
        return text, 0
    if not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise UsageError(f"--listen {text}: expected HOST or HOST:PORT, with a port from 0 to 65535")
    return host.strip("[]") or "0.0.0.0", int(port)
