"""The steward as a process: the note that says which one runs, a start in a session of its own, waiting for its end.

Knows not what a steward does.
"""

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

from cpods.errors import CpodsError, Locked, Unavailable, UsageError

PID_FILE, LOG_FILE = "steward.pid", "steward.log"

#: A steward that is not ready after this many seconds is not waited for: creating keys and JetStream takes about one.
READY_SECONDS = 30.0

#: The log of the process before is kept beside it once it is longer than this.
LOG_BYTES_MAX = 4 << 20

_READY, _FAILED = b"ready ", b"failed "


class Post:
    """The steward's place in a folder: whoever holds the lock on the note is the steward."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, PID_FILE)
        self.log = os.path.join(folder, LOG_FILE)
        self._descriptor = -1

    def take(self) -> None:
        """This process is the steward until it ends or leaves. Raises Locked if another one is."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _locked(descriptor):
            os.close(descriptor)
            raise Locked(f"the steward runs already (process {self.holder()}); `cpods federation stop` ends it")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        self._descriptor = descriptor

    def leave(self) -> None:
        """It is the steward no longer; the note says nothing any more. Idempotent."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1

    def holder(self) -> int | None:
        """The process id of the steward that runs, None if there is none."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).strip()
            return int(text) if text.isdigit() else None
        finally:
            os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Takes the lock. It is asked for twice: who only looks at the note holds it for an instant too."""
    for pause in (0.05, 0.0):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(pause)
    return False


def start_detached(arguments: list[str], post: Post, seconds: float = READY_SECONDS) -> str:
    """Starts ``python -m`` with these arguments in a session of its own and waits until it says that it is ready.

    Returns what it says then. Raises UsageError or Unavailable with its own sentence, or with where its log lies.
    """
    with suppress(FileNotFoundError):
        if os.path.getsize(post.log) > LOG_BYTES_MAX:
            os.replace(post.log, post.log + ".old")
    reading, writing = os.pipe()
    try:
        with open(post.log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
            child = subprocess.Popen(
                [sys.executable, "-m", *arguments, "--ready", str(writing)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(writing,),
                cwd="/",
            )
        os.close(writing)
        writing = -1
        said = _read_all(reading, seconds)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    if said.startswith(_READY):
        child.returncode = 0  # it lives on: nobody waits for it here
        return said[len(_READY) :].decode("utf-8", "replace").strip()
    _give_up(child)
    raise _reason(said, post, seconds)


class Starter:
    """Whoever started this process and waits on ``descriptor`` for one word; -1 for nobody."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def ready(self, text: str) -> None:
        """This process is ready. What is said later is not said."""
        self._say(_READY + text.encode())

    def failed(self, text: str, exit_code: int) -> None:
        """It cannot be, and why. Nothing if it was ready before."""
        self._say(_FAILED + b"%d " % exit_code + text.encode())

    def _say(self, text: bytes) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(BrokenPipeError):  # who started it has gone
                os.write(descriptor, text[:4000] + b"\n")
            os.close(descriptor)


def wait_for_end(pid: int, seconds: float) -> bool:
    """Waits until a process has ended; whether it has."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def end(post: Post, pid: int, seconds: float) -> bool:
    """Ends the steward by a signal, if it is still the one that holds the post; whether it has ended."""
    if post.holder() == pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    return wait_for_end(pid, seconds)


def _read_all(descriptor: int, seconds: float) -> bytes:
    """What is written until the other side closes, or until the time is over."""
    deadline = time.monotonic() + seconds
    said = b""
    while (left := deadline - time.monotonic()) > 0 and select.select([descriptor], [], [], left)[0]:
        data = os.read(descriptor, 4096)
        if not data:
            break
        said += data
    return said


def _give_up(child: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        child.terminate()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _reason(said: bytes, post: Post, seconds: float) -> CpodsError:
    """Why it did not come up, as an error of the same kind as there."""
    if not said.startswith(_FAILED):
        return Unavailable(f"the steward did not come up within {seconds:.0f} s or ended at once; its log is {post.log}")
    code, _, text = said[len(_FAILED) :].decode("utf-8", "replace").strip().partition(" ")
    return UsageError(text) if code == str(UsageError.exit_code) else Unavailable(text)
