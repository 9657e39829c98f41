"""Where the parts of the demonstration run: each machine a network namespace if root allows it, else a port of the loopback address.

Knows no cpods: a place is an address, a way to start a program there, and its end.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

#: Set for every program that is started here, so that what is left over can be told from all else on this machine.
MARK = "CPODS_DEMO"

#: Addresses for tests of networks (RFC 2544), which are in nobody's use.
_NETWORK = "198.18.7"
_END_SECONDS = 20.0
#: Where ``ip`` keeps the names of namespaces.
_SPACES = "/run/netns"


class Machine:
    """One machine: ``address`` to listen at; ``prefix``: what stands before a command that is to run there."""

    def __init__(self, name: str, address: str, prefix: Sequence[str] = ()) -> None:
        self.name = name
        self.address = address
        self.prefix = tuple(prefix)


class Places:
    """All machines, and the programs that were started on them. Made by :func:`places`; :meth:`close` ends all."""

    def __init__(self, machines: dict[str, Machine], mark: str, what: str, namespaces: Sequence[str] = ()) -> None:
        self.machines = machines
        self.what = what
        self._mark = mark
        self._namespaces = tuple(namespaces)
        self._started: list[subprocess.Popen[str]] = []

    def start(self, machine: str, command: Sequence[str], environment: dict[str, str], **options: object) -> "subprocess.Popen[str]":
        """A program on a machine, in a session of its own, so that a terminal's Ctrl-C comes here only."""
        place = self.machines[machine]
        process: subprocess.Popen[str] = subprocess.Popen(  # type: ignore[call-overload]
            [*place.prefix, *command],
            env={**environment, MARK: self._mark},
            start_new_session=True,
            text=True,
            **options,
        )
        self._started.append(process)
        return process

    def close(self) -> list[int]:
        """Ends every program that was started here, and all that those have started; ids of those that had to be killed."""
        for process in reversed(self._started):
            if process.poll() is None:
                process.terminate()
        until = time.monotonic() + _END_SECONDS
        for process in self._started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
        killed = list(self._kill_leftovers())
        for process in self._started:
            process.wait()
        _remove(self._namespaces)
        return killed

    def _kill_leftovers(self) -> Iterator[int]:
        """A process that ends by itself within a second is none. Only those that carry our mark are touched, each by its id."""
        until = time.monotonic() + 1.0
        while (left := marked(self._mark)) and time.monotonic() < until:
            time.sleep(0.05)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                yield pid


def places(names: Sequence[str], mark: str, wish: str, say: Callable[[str], None]) -> Places:
    """The machines ``names``, the first of which is the founder's. ``wish``: namespaces, loopback, or '' for the best there is.

    Raises RuntimeError if namespaces are wished for and cannot be made.
    """
    if wish != "loopback":
        try:
            return _namespaces(names, mark)
        except (OSError, subprocess.SubprocessError) as error:
            reason = (getattr(error, "stderr", "") or str(error)).strip()
            if wish == "namespaces":
                raise RuntimeError(f"network namespaces cannot be made: {reason}") from error
            say(f"no network namespaces here ({reason}): all run on loopback ports")
    return Places({name: Machine(name, "127.0.0.1") for name in names}, mark, "loopback ports of this machine")


def marked(mark: str) -> list[int]:
    """The processes whose environment carries a mark, zombies apart."""
    found = []
    wanted = f"{MARK}={mark}".encode()
    for entry in os.listdir("/proc"):
        with suppress(OSError):
            if entry.isdigit() and int(entry) != os.getpid():
                with open(f"/proc/{entry}/environ", "rb") as file:
                    if wanted in file.read().split(b"\0"):
                        found.append(int(entry))
    return found


def _namespaces(names: Sequence[str], mark: str) -> Places:
    """A namespace each. The bridge between them lies in the founder's, so that nothing of this machine's own network changes."""
    if os.geteuid() != 0:
        raise OSError("only root can")
    if shutil.which("ip") is None:
        raise OSError("the program ip is missing (Debian: iproute2)")
    spaces = {name: f"cpods{os.getpid()}-{name}" for name in names}
    made: list[str] = []
    try:
        for space in spaces.values():
            made.append(space)  # first: an interrupt may come when it is there and we do not know yet
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
        home, *others = spaces.values()
        _ip("-n", home, "link", "add", "br0", "type", "bridge")
        _ip("-n", home, "link", "set", "br0", "up")
        _ip("-n", home, "addr", "add", f"{_NETWORK}.1/24", "dev", "br0")
        for number, space in enumerate(others, start=2):
            _ip("link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", f"to{number}", "netns", home)
            _ip("-n", home, "link", "set", f"to{number}", "master", "br0")
            _ip("-n", home, "link", "set", f"to{number}", "up")
            _ip("-n", space, "addr", "add", f"{_NETWORK}.{number}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
    except BaseException:
        _remove(space for space in made if os.path.exists(f"{_SPACES}/{space}"))
        raise
    machines = {
        name: Machine(name, f"{_NETWORK}.{number}", ("ip", "netns", "exec", space))
        for number, (name, space) in enumerate(spaces.items(), start=1)
    }
    return Places(machines, mark, f"{len(names)} network namespaces joined by a bridge, {_NETWORK}.0/24", made)


def _remove(spaces: Iterable[str]) -> None:
    for space in spaces:
        if subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False).returncode:
            print(f"the network namespace {space} could not be removed", file=sys.stderr)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
