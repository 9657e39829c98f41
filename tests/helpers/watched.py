"""``cpods watch`` and the resident MajorDomo as real processes, and calls beside them.

Knows no expectation; the tests judge.
"""

import atexit
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from tests.helpers.calls import Said, Zygote, environment

PROGRAM = [sys.executable, "-c", "from cpods.cli import main; main()"]
_SECONDS_MAX = 60.0

Event = dict[str, Any]


def save(path: Path, text: str) -> None:
    """As most editors save: at one stroke. Whoever looks finds the old file or the new one."""
    beside = path.with_name(path.name + "~")
    beside.write_text(text)
    os.rename(beside, path)


def overwrite(path: Path, text: str) -> None:
    """Writes into the file that is there, not shorter than what it holds: at one stroke too."""
    with path.open("r+") as file:
        file.write(text)


@cache
def _zygote() -> Zygote:
    """Forks calls, until the tests end: loading cpods would be most of a call's time."""
    scratch = Path(tempfile.mkdtemp(prefix="cpods-calls-"))
    zygote = Zygote(scratch)
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    atexit.register(zygote.close)
    return zygote


def call(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Said:
    """A call of the real command line."""
    return _zygote().run(folder, *words, env=env, report=False)


class Watch:
    """A ``cpods watch --json`` that runs. ``events``: all that it said so far."""

    def __init__(self, folder: Path, *words: str, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self._data = b""
        self._errors = folder.parent / f"{folder.name}.watch-errors"
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [*PROGRAM, "watch", "--json", *words], cwd=folder, env=environment(**(env or {})), stdout=subprocess.PIPE, stderr=errors
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        """What it printed to stderr."""
        return self._errors.read_text(errors="replace")

    def read(self, seconds: float = _SECONDS_MAX) -> list[Event]:
        """The events that come within so long; returns as soon as there are some."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return []
        self._data += os.read(self.process.stdout.fileno(), 1 << 16)
        *lines, self._data = self._data.split(b"\n")
        new = [json.loads(line) for line in lines]
        self.events += new
        return new

    def place(self, wanted: Callable[[Event], bool], since: int = 0) -> int:
        """The number of the first event from number ``since`` on that is wanted; fails if it does not come."""
        deadline = time.monotonic() + _SECONDS_MAX
        while True:
            for number in range(since, len(self.events)):
                if wanted(self.events[number]):
                    return number
            assert time.monotonic() < deadline, f"never came; last: {self.events[-5:]} {self.said()[-2000:]}"
            assert self.read() or self.process.poll() is None, f"the watch has ended: {self.events[-5:]} {self.said()[-2000:]}"

    def until(self, wanted: Callable[[Event], bool], since: int = 0) -> Event:
        """As :meth:`place`: the event itself."""
        return self.events[self.place(wanted, since)]

    def rests(self, since: int = 0) -> int:
        """Until it rests after event number ``since``; the number of the event that says so."""
        return self.place(lambda event: event["event"] == "watching", since)

    def after(self, change: Callable[[], object]) -> list[Event]:
        """Makes a change that concerns the build; what was said until it rests again.

        A change that takes several system calls may be built in halves, if the machine is busy: see :func:`save`.
        """
        since = len(self.events)
        change()
        self.rests(self.place(lambda event: event["event"] == "changed", since))
        return self.events[since:]

    def end(self, number: int = signal.SIGINT) -> int:
        """Ends it; the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=_SECONDS_MAX)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def drop(self) -> None:
        """Kills it if it still runs, and lets go of it."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def watching(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Iterator[Watch]:
    """A watch that has built and rests; ended at last whatever comes."""
    watch = Watch(folder, *words, env=env)
    try:
        watch.rests()
        yield watch
    finally:
        try:
            if watch.process.poll() is None:
                watch.end()
        finally:
            watch.drop()


@contextmanager
def resident(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Iterator[int]:
    """The process id of a resident MajorDomo of the project; ended at last whatever comes."""
    started = call(folder, "majordomo", "start", *words, env=env)
    assert started.code == 0, started
    pid = resident_pid(folder, env)
    try:
        yield pid
    finally:
        call(folder.parent, "majordomo", "stop", "-C", str(folder), env=env)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def resident_pid(folder: Path, env: Mapping[str, str] | None = None) -> int:
    """The process of the project's resident."""
    said = call(folder, "majordomo", "status", env=env)
    found = re.search(r"process (\d+)", said.out)
    assert found is not None, said
    return int(found[1])


def nurseries(pid: int) -> list[int]:
    """The nurseries of a resident or a watch."""
    return [child for child in children(pid) if b"resident.nursery" in _words(child)]


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def watches(pid: int) -> int:
    """Inotify watches of a process, as the kernel counts them."""
    found = 0
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(OSError):
            found += info.read_text().count("inotify wd:")
    return found


def memory_kib(pid: int) -> int:
    """What a process holds in memory."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


def descriptors(pid: int) -> int:
    """Open files of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def _words(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
