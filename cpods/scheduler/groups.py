"""Process groups: their members, and ending the one that a crashed build left behind.

Knows no event loop and no build; reads /proc.
"""

import os
import select
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

#: How long a group may tidy up between SIGTERM and SIGKILL.
GRACE_SECONDS = 2.0
_GONE_SECONDS_MAX = 5.0
_LOOK_SECONDS = 0.005
_LAUNCHER = b"cpods.scheduler.launcher"


def _stat_fields(pid: int) -> list[bytes] | None:
    """Fields 3 and up of /proc/<pid>/stat (``[0]`` is the state); None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, field 2, may itself hold blanks and brackets: only the last bracket ends it.
    return text[text.rindex(b")") + 2 :].split()


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (field 22 of its stat, see proc(5)); None if it is not there.

    With the process id it names a process for good: ids are used again, the pair is not.
    """
    fields = _stat_fields(pid)
    return None if fields is None else int(fields[19])


class StartTicks:
    """Start times of processes that were started just now, without asking /proc where the clock says enough.

    A process starts between two looks at the clock; if both show the same tick, that is the tick. Whether the clock is the
    one of /proc here (time namespaces, emulated kernels) is found out with the first process.
    """

    def __init__(self) -> None:
        self._is_same: bool | None = None
        self._ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")

    def now(self) -> int:
        """Clock ticks since boot."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // self._ns

    def of(self, pid: int, before: int) -> int | None:
        """As :func:`start_ticks` for a process started since :meth:`now` said ``before``."""
        after = self.now()
        if self._is_same and before == after:
            return after
        ticks = start_ticks(pid)
        if self._is_same is None and ticks is not None:
            self._is_same = before <= ticks <= after
        return ticks


def members(group: int) -> Sequence[int]:
    """Process ids of the group's members that still run (the dead that nobody has waited for do not count), ascending."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat_fields(int(name))
            if fields is not None and int(fields[2]) == group and fields[0] not in (b"Z", b"X"):
                found.append(int(name))
    return sorted(found)


def send(group: int, number: int) -> bool:
    """Sends a signal to all of a group; False if there is nobody (whom we may signal)."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end_group(pid: int, ticks: int, grace_seconds: float = GRACE_SECONDS) -> bool:
    """Ends the process group led by ``pid``, but only if that process started at ``ticks`` and does lead a group.

    SIGTERM, after at most ``grace_seconds`` SIGKILL; returns when the group is gone. False, and nothing is touched, if the
    process is not there any more or another has its number. Blocks: for the time before a build, not for one that runs.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return _end_leaderless(pid, ticks)
    try:
        # Asked only now: the descriptor holds on to the process whose start time we read.
        if start_ticks(pid) != ticks or not _leads(pid):
            return False
        send(pid, signal.SIGTERM)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll(grace_seconds * 1000)
    finally:
        os.close(descriptor)
    _kill_rest(pid)
    return True


def end_strays(folder: str) -> list[int]:
    """Ends steps below ``folder`` that were started but never noted, as their cpods was killed in between; their group ids.

    Told by all marks of such a process at once: it leads a session, its parent is gone, it reads nothing, one of its
    outputs at least is a pipe, and its environment is a step's. A user's shell or editor in the folder has none of them but the first.
    """
    real = os.path.realpath(folder)
    _end_launchers()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        if _is_stray(int(name), real):
            found.append(int(name))
            end_group(int(name), start_ticks(int(name)) or 0)
        elif (group := _left_group(int(name), real)) is not None:
            found.append(group)
            _kill_rest(group)
    return sorted(found)


def _is_stray(pid: int, folder: str) -> bool:
    fields = _stat_fields(pid)
    if fields is None or int(fields[3]) != pid or _is_cpods_child(int(fields[1])):
        return False
    try:
        links = [os.readlink(f"/proc/{pid}/{name}") for name in ("cwd", "fd/0", "fd/1", "fd/2")]
    except OSError:
        return False
    inside = f"{links[0]}/".startswith(f"{folder}/")
    said = any(link.startswith("pipe:") for link in links[2:])  # a shell that carries out a redirection has moved one of them
    return inside and links[1] == os.devnull and said and _has_step_environment(pid)


def _left_group(pid: int, folder: str) -> int | None:
    """The group of a process that a step started and left in its session when it ended; None for any other process."""
    fields = _stat_fields(pid)
    if fields is None or int(fields[2]) != int(fields[3]) or os.path.exists(f"/proc/{int(fields[3])}"):
        return None
    try:
        inside = f"{os.readlink(f'/proc/{pid}/cwd')}/".startswith(f"{folder}/")
    except OSError:
        return None
    return int(fields[2]) if inside and _has_step_environment(pid) else None


def _is_cpods_child(parent: int) -> bool:
    """Whether a living cpods is the parent: an orphan's is init, or whoever adopts orphans here."""
    return b"cpods" in _command_line(parent)


def _end_launchers() -> None:
    """Kills launchers whose cpods is gone, and waits for that: until then what they started has a parent.

    They notice it themselves, but perhaps a moment late. Bounded, as :func:`_kill_rest` is.
    """
    deadline = time.monotonic() + _GONE_SECONDS_MAX
    while (
        left := [int(name) for name in os.listdir("/proc") if name.isdigit() and _is_left_launcher(int(name))]
    ) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        while any(_runs(pid) for pid in left) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)


def _is_left_launcher(pid: int) -> bool:
    """Whether a process is a launcher, or was just forked by one, and whoever started it is gone."""
    words = _command_line(pid).rstrip(b"\0").split(b"\0")
    if not any(_LAUNCHER in word for word in words):
        return False
    fields = _stat_fields(pid)
    if fields is None or fields[0] in (b"Z", b"X") or fields[1] == words[-1]:  # the last word is the process that started it
        return False
    return _LAUNCHER not in _command_line(int(fields[1]))  # until exec, what a launcher starts looks like the launcher


def _runs(pid: int) -> bool:
    fields = _stat_fields(pid)
    return fields is not None and fields[0] not in (b"Z", b"X")


def _command_line(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _has_step_environment(pid: int) -> bool:
    """Whether a process was given what every step is given, and hardly anything else is."""
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        names = {entry.partition(b"=")[0] for entry in file.read().split(b"\0")}
        return {b"SOURCE_DATE_EPOCH", b"FORCE_SOURCE_DATE"} <= names
    return False


def _end_leaderless(group: int, ticks: int) -> bool:
    """Ends what a leader that has ended left in its session. The environment tells it from another session of that number."""
    left = [pid for pid in members(group) if (start_ticks(pid) or 0) >= ticks and _has_step_environment(pid)]
    if left:
        _kill_rest(group)
    return bool(left)


def _leads(pid: int) -> bool:
    with suppress(ProcessLookupError):
        return os.getpgid(pid) == pid and pid != os.getpgrp()
    return False


def _kill_rest(group: int) -> None:
    """SIGKILL until nobody is left. Bounded: a process stuck in the kernel (dead network mount) ends when it can."""
    deadline = time.monotonic() + _GONE_SECONDS_MAX
    while members(group) and time.monotonic() < deadline:
        send(group, signal.SIGKILL)
        time.sleep(_LOOK_SECONDS)
