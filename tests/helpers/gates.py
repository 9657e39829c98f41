"""Small projects for faults: steps that stop at a gate until the test lets them go on, on pods that the test chooses.

Knows no pod's inside: a step says where it runs by the folder that it stands in, and a pod is chosen by a program that it alone has.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.helpers.lab import NAME, Lab

_T = TypeVar("_T")

#: ``sh gate.sh FOLDER NAME COMMAND``: says that it has started, waits until it may go on (at most three minutes), then goes on.
_GATE = """\
printf '%s\\n' "$$" "$PPID" "$PWD" > "$1/$2.$$.tmp"
mv "$1/$2.$$.tmp" "$1/$2.$$.started"
left=3600
until [ -e "$1/$2.go" ] || [ -e "$1/$2.$$.go" ] || [ -e "$1/go" ]; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || exit 99
    sleep 0.05
done
eval "$3"
"""


def await_that(condition: Callable[[], _T], what: str, seconds: float = 60) -> _T:
    """Looks until ``condition()`` is true, and returns what it gave. Raises AssertionError if that takes too long."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class Started:
    """One process of a gated step. ``parent``: the pod's process."""

    pod: str
    pid: int
    parent: int


class Gates:
    """The gates of one test: what stands at them, and the way through."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self._folder = folder
        folder.mkdir()

    def run(self, name: str, command: str) -> str:
        """What a step runs (its ``inputs`` must list gate.sh): it waits at the gate ``name`` before ``command``."""
        return f"sh gate.sh {self._folder} {name} '{command}'"

    def started(self, name: str) -> list[Started]:
        """The processes that came to the gate ``name``, in the order of their coming."""
        files = sorted(self._folder.glob(f"{name}.*.started"), key=lambda file: file.stat().st_mtime_ns)
        return [self._read(file) for file in files]

    def on(self, pod: str) -> list[str]:
        """Names of the gates to which processes of a pod came."""
        return [file.name.split(".")[0] for file in sorted(self._folder.glob("*.started")) if self._read(file).pod == pod]

    def await_started(self, name: str, pods: Sequence[str] = (), times: int = 1, seconds: float = 90) -> Started:
        """The ``times``-th process that came to the gate, on one of ``pods`` if they are named."""

        def found() -> Started | None:
            those = [one for one in self.started(name) if not pods or one.pod in pods]
            return those[times - 1] if len(those) >= times else None

        one = await_that(found, f"step {name} has not started on {' or '.join(pods) or 'any pod'}", seconds)
        assert one is not None
        return one

    def open(self, *names: str) -> None:
        """Lets all that come to these gates go on; without names, all of all gates."""
        for name in names or ("",):
            (self._folder / f"{name}.go".removeprefix(".")).touch()

    def let(self, name: str, one: Started) -> None:
        """Lets one process go on."""
        (self._folder / f"{name}.{one.pid}.go").touch()

    def _read(self, file: Path) -> Started:
        pid, parent, folder = file.read_text().splitlines()
        relative = os.path.relpath(folder, self._lab.folder / "homes")
        return Started(relative.split(os.sep)[0], int(pid), int(parent))


def step(name: str, run: str, outputs: Sequence[str], inputs: Sequence[str] = (), on: str = "") -> dict[str, object]:
    """A shell step. ``on``: the only pod that has its tools (see :class:`Tools`)."""
    tools = ["sh", f"on-{on}"] if on else ["sh"]
    return {"name": name, "run": run, "inputs": ["gate.sh", *inputs], "outputs": list(outputs), "tools": tools}


def write_project(folder: Path, steps: Sequence[Mapping[str, object]], goals: Sequence[str]) -> Path:
    """Writes (or changes) a project of shell steps."""
    folder.mkdir(exist_ok=True)
    (folder / "gate.sh").write_text(_GATE)
    lines = ["[project]", 'name = "faults"', f"goals = {json.dumps(list(goals))}"]
    for one in steps:
        lines += ["", "[[step]]", *(f"{key} = {json.dumps(value)}" for key, value in one.items())]
    (folder / "cpods.toml").write_text("\n".join(lines) + "\n")
    return folder


class Tools:
    """A program ``on-POD`` for each pod: steps that name it as a tool fit that pod alone. The user's machine has them all."""

    def __init__(self, folder: Path, pods: Sequence[str]) -> None:
        self._folder = folder
        for pod in pods:
            program = folder / pod / f"on-{pod}"
            program.parent.mkdir(parents=True)
            program.write_text("#!/bin/sh\nexit 0\n")
            program.chmod(0o755)
        self.of_user = {"PATH": os.pathsep.join([*(str(folder / pod) for pod in pods), os.environ["PATH"]])}

    def of(self, pod: str) -> dict[str, str]:
        """The environment of a pod."""
        return {"PATH": f"{self._folder / pod}{os.pathsep}{os.environ['PATH']}"}


def pod_store(lab: Lab, pod: str) -> Path:
    """Where a pod keeps its objects."""
    return lab.home(pod) / NAME / "store"


def find_object(lab: Lab, pod: str, content: bytes) -> Path | None:
    """The object file of a pod that has this content."""
    wanted = hashlib.sha256(content).digest()
    for file in (pod_store(lab, pod) / "objects").glob("*/*/*"):
        if file.stat().st_size == len(content) and hashlib.sha256(file.read_bytes()).digest() == wanted:
            return file
    return None


def flip(file: Path) -> None:
    """Changes one byte in the middle; size and times stay."""
    status = file.stat()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x40
    mode = status.st_mode
    file.chmod(0o644)
    with open(file, "r+b") as opened:
        opened.write(data)
    file.chmod(mode)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def quarantined(lab: Lab, pod: str) -> list[str]:
    """Names of what a pod has taken out of use."""
    folder = pod_store(lab, pod) / "quarantine"
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
