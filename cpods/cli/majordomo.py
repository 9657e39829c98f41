"""``cpods majordomo start|stop|status``: the resident MajorDomo of a project, in the background.

Knows no watch and no build.
"""

import os
import subprocess
import sys
from contextlib import suppress

from cpods.ids import STATE_FOLDER

_LOG_BYTES_MAX = 1 << 20
_STOP_SECONDS = 60.0


def start(folder: str, idle_hours: float) -> int:
    """Starts it unless it runs; the exit code."""
    from cpods.errors import UsageError
    from cpods.store.lock import make_state_folder

    root, state = _places(folder)
    if not os.path.isdir(root):
        return _failed(f"-C {folder}: there is no such folder", 2)
    running = _ask(state, "status")
    if running is not None:
        print(f"the MajorDomo of {root} runs already, as process {_fact(running, 'pid')}")
        return 0
    try:
        make_state_folder(state)
        log = _log(state)
    except UsageError as error:
        return _failed(str(error), 2)
    except OSError as error:
        return _failed(f"{error.filename or state}: {error.strerror}; the MajorDomo needs a folder that it can write to", 1)
    with open(log, "ab") as file:
        problem = _spawn(root, state, idle_hours * 3600, file.fileno())
    if problem:
        return _failed(f"the MajorDomo did not start: {problem}; {log} has more", 1)
    print(f"the MajorDomo of {root} answers now; it ends after {idle_hours:g} h without a call, or by `cpods majordomo stop`")
    return 0


def stop(folder: str) -> int:
    """Ends it; builds that it has under way come to their end first. The exit code."""
    from cpods.resident import server

    root, state = _places(folder)
    if _ask(state, "stop") is None:
        print(f"no MajorDomo of {root} runs")
        return 0
    if not _gone(os.path.join(state, server.LOCK)):
        return _failed(f"the MajorDomo of {root} still has a build under way and ends with it", 1)
    print(f"the MajorDomo of {root} has ended")
    return 0


def status(folder: str) -> int:
    """Tells of it; exit code 0 if it runs, else 1."""
    root, state = _places(folder)
    found = _ask(state, "status")
    if found is None:
        print(f"no MajorDomo of {root} runs; `cpods majordomo start` starts one")
        return 1
    print(f"the MajorDomo of {root}: process {_fact(found, 'pid')}, cpods {_fact(found, 'version')}")
    print(f"running for {_fact(found, 'seconds')} s, the last call {_fact(found, 'idle_seconds')} s ago")
    answered, built, watched = (_fact(found, key) for key in ("answered", "built", "watches"))
    print(f"{_counted(answered, 'call')} answered at once, {_counted(built, 'build')}")
    print(f"{_counted(watched, 'folder')} watched" + (f"; polling: {_fact(found, 'polling')}" if _fact(found, "polling") else ""))
    return 0


def _places(folder: str) -> tuple[str, str]:
    root = os.path.abspath(folder)
    return root, os.path.abspath(os.environ.get("CPODS_STATE") or os.path.join(root, STATE_FOLDER))


def _ask(state: str, what: str) -> str | None:
    """Its answer, None if none runs."""
    from cpods.cli.client import ask_about

    return ask_about(state, what)


def _fact(found: str, name: str) -> str:
    return next((line.partition(": ")[2] for line in found.splitlines() if line.startswith(f"{name}: ")), "")


def _log(state: str) -> str:
    """The log; what an earlier one said is kept once."""
    folder = os.path.join(state, "log")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "majordomo.log")
    with suppress(FileNotFoundError):
        if os.path.getsize(path) > _LOG_BYTES_MAX:
            os.replace(path, path + ".old")
    return path


def _spawn(root: str, state: str, idle_seconds: float, log: int) -> str:
    """Starts the process in a session of its own and waits until it answers; '' then, else why not."""
    from cpods.cli import serve

    mine, theirs = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", serve.__name__, root, state, str(idle_seconds), str(theirs)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[theirs],
            start_new_session=True,
        )
    finally:
        os.close(theirs)
    with open(mine, "rb") as pipe:
        said = pipe.read()
    if said == b"\n":
        process.returncode = 0  # it goes on without us
        return ""
    return said.decode(errors="replace").strip() or f"exit code {process.wait()}"


def _gone(lock: str) -> bool:
    """Waits for the lock that the process holds as long as it lives."""
    import fcntl
    import time

    deadline = time.monotonic() + _STOP_SECONDS
    with suppress(FileNotFoundError), open(lock, "rb") as file:
        while time.monotonic() < deadline:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            time.sleep(0.02)
        return False
    return True


def _counted(number: object, one: str) -> str:
    return f"{number} {one}{'' if str(number) == '1' else 's'}"


def _failed(text: str, code: int) -> int:
    print(f"cpods: {text}", file=sys.stderr)
    return code
