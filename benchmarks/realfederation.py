"""A fresh federation on the machines of a real run: a founder with its broker, and pods with slots, by the commands that users have.

Knows no workload: it builds whatever project folder it is given.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Any

import msgspec

from benchmarks.realplaces import FOUNDER, PODS
from benchmarks.suite import CannotMeasure
from scripts.demo_places import Places

FEDERATION = "bench"
CPODS = (sys.executable, "-P", "-c", "import sys; from cpods.cli import main; sys.exit(main())")
#: No call takes longer than this.
CALL_SECONDS = 900.0
#: The same for everybody, so that two builds make the same bytes.
STEADY = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"}
_DROPPED = ("CPODS_HOME", "CPODS_STORE", "CPODS_STATE", "CPODS_FEDERATION", "CPODS_SFTP_HOST", "CPODS_SFTP_PORT")
_READY_SECONDS = 60.0


class Setup(msgspec.Struct, frozen=True):
    """What all runs have in common. ``bytes_per_second``: of each pod's link, both ways, 0: unshaped; ``folder``: for all files."""

    folder: str
    tools: str
    slots: int = 1
    bytes_per_second: float = 25e6
    loopback: bool = False
    say: Callable[[str], None] = lambda text: None


class Built(msgspec.Struct, frozen=True):
    """One build: its report, and seconds from the first step that was asked for to the end of the last that ran."""

    report: dict[str, Any]
    seconds: float


def environment(setup: Setup) -> dict[str, str]:
    """This process's own without what points to a user's federation or store, with the steps' programs in PATH."""
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    return {**kept, **STEADY, "PATH": os.pathsep.join((setup.tools, kept.get("PATH", os.defpath)))}


class Federation:
    """A founder and the pods PODS on these machines, each with a home and a store of its own below ``folder``."""

    def __init__(self, where: Places, folder: str, setup: Setup) -> None:
        self.where = where
        self.folder = folder
        self._setup = setup
        self._pods: dict[str, subprocess.Popen[str]] = {}

    def environment(self, member: str) -> dict[str, str]:
        """What programs of a member get: its own home and address."""
        home = os.path.join(self.folder, member, "home")
        return {**environment(self._setup), "CPODS_HOME": home, "CPODS_SFTP_HOST": self.where.machines[member].address}

    def call(self, member: str, *words: str, good: Iterable[int] = (0,)) -> str:
        """Runs cpods as a member to its end; what it printed. Raises CannotMeasure."""
        process = self.where.start(member, [*CPODS, *words], self.environment(member), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, said = process.communicate(timeout=CALL_SECONDS)
        except subprocess.TimeoutExpired:
            raise CannotMeasure(f"cpods {words[0]} on {member} did not end within {CALL_SECONDS:.0f} s") from None
        if process.returncode not in good:
            raise CannotMeasure(f"cpods {words[0]} on {member} ended with {process.returncode}: {(said + out).strip()[-2000:]}")
        return str(out)

    def found(self) -> None:
        """The federation, its broker and its pods, all ready. Raises CannotMeasure."""
        os.makedirs(os.path.join(self.folder, FOUNDER))
        self.call(FOUNDER, "federation", "init", FEDERATION, "--listen", self.where.machines[FOUNDER].address)
        for pod in PODS:
            token = self.call(FOUNDER, "federation", "invite", pod).split()[0]
            self.call(pod, "federation", "join", token)
            self._start_pod(pod)
        for pod in PODS:
            self._await(pod, "ready")
        self._wait_for_states()

    def _start_pod(self, pod: str) -> None:
        folder = os.path.join(self.folder, pod)
        words = ("pod", "start", "--slots", str(self._setup.slots), "--listen", self.where.machines[pod].address)
        command = [*CPODS, *words, "--store", os.path.join(folder, "store"), "--work", os.path.join(folder, "work")]
        with open(os.path.join(folder, "log"), "w", encoding="utf-8") as log:
            self._pods[pod] = self.where.start(pod, command, self.environment(pod), stdout=log, stderr=log)

    def _await(self, pod: str, text: str) -> None:
        until = time.monotonic() + _READY_SECONDS
        while text not in self._log(pod):
            if self._pods[pod].poll() is not None or time.monotonic() > until:
                raise CannotMeasure(f"pod {pod} did not come up: {self._log(pod).strip()[-1000:]}")
            time.sleep(0.02)

    def _wait_for_states(self) -> None:
        until = time.monotonic() + _READY_SECONDS
        while True:
            states = {pod["pod"]: pod["state"] for pod in json.loads(self.call(FOUNDER, "pod", "list", "--json"))}
            if all(states.get(pod) == "ready" for pod in PODS):
                return
            if time.monotonic() > until:
                raise CannotMeasure(f"not all pods came up within {_READY_SECONDS:.0f} s: {states}")
            time.sleep(0.1)

    def rebuild(self, folder: str, *words: str) -> Built:
        """Builds a project as the founder. Raises CannotMeasure."""
        command = [*CPODS, "rebuild", "-C", folder, "--until-stable", "--json", "--federation", FEDERATION, *words]
        said = folder + ".log"
        with open(said, "w", encoding="utf-8") as log:
            process = self.where.start(FOUNDER, command, self.environment(FOUNDER), stdout=subprocess.PIPE, stderr=log)
            assert process.stdout is not None
            with _ended_after(process, CALL_SECONDS), process.stdout as lines:
                first, last, report = _follow(lines)
                process.wait()
        if process.returncode:
            with open(said, encoding="utf-8", errors="replace") as log:
                text = "; ".join(report.get("errors", ())) or log.read().strip()[-2000:]
            raise CannotMeasure(f"cpods rebuild on {FOUNDER} ended with {process.returncode}: {text}")
        return Built(report, last - first)

    def end_pods(self) -> int:
        """Ends the pods in good order; how many bytes their stores' servers have served. Raises CannotMeasure."""
        for process in self._pods.values():
            process.terminate()
        served = 0
        for pod, process in self._pods.items():
            with suppress(subprocess.TimeoutExpired):
                process.wait(_READY_SECONDS)
            words = self._log(pod).rpartition(" served ")[2].split()
            if not words or not words[0].isdigit():
                raise CannotMeasure(f"pod {pod} did not say how many bytes it has served: {self._log(pod).strip()[-500:]}")
            served += int(words[0])
        return served

    def stop(self) -> None:
        """The steward ends, and the broker with it."""
        self.call(FOUNDER, "federation", "stop", good=(0, 1, 2, 5))

    def _log(self, pod: str) -> str:
        with open(os.path.join(self.folder, pod, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()


def _follow(lines: Iterable[str]) -> tuple[float, float, dict[str, Any]]:
    """(when the first step was asked for, when the last had run, the report), from a build's JSON lines as they come."""
    first = last = 0.0
    report: dict[str, Any] = {}
    for line in lines:
        now = time.monotonic()
        event = json.loads(line)
        if event["event"] == "started":
            first = first or now
        elif event["event"] == "executed":
            last = now
        elif event["event"] == "ended":
            report = event
    return first, last, report


@contextmanager
def _ended_after(process: "subprocess.Popen[str]", seconds: float) -> Iterator[None]:
    """Ends a process that is still there after so long."""
    timer = Timer(seconds, process.terminate)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
