"""A federation as its users start it: the real CLI, each member with a home of its own, every pod a process with its own store.

Knows no test; whatever it started it ends, by process id.

    with Lab(tmp_path) as lab:
        lab.pod("a"); lab.pod("b", slots=4)
        built = lab.rebuild(project)            # cpods rebuild --federation lab --until-stable
        lab.kill("a")                           # SIGKILL to the pod's whole session
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

#: The same dates and places for everybody, so that two builds can be compared byte for byte.
ENVIRONMENT = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"}
CPODS = (sys.executable, "-P", "-c", "import sys; from cpods.cli import main; sys.exit(main())")
NAME = "lab"
START_SECONDS = 60


@dataclass(frozen=True)
class Built:
    """One call of ``cpods rebuild``."""

    exit_code: int
    report: dict[str, Any]
    output: str

    @property
    def tools(self) -> Counter[str]:
        """Executions by tool."""
        return Counter(entry["tool"] for entry in self.report.get("executions", ()) if entry["kind"] == "run")

    @property
    def pods(self) -> Counter[str]:
        """Executions by pod."""
        return Counter(entry["pod"] for entry in self.report.get("executions", ()) if entry["kind"] == "run")

    @property
    def steps(self) -> list[str]:
        """Executed steps, in order."""
        return [entry["step"] for entry in self.report.get("executions", ()) if entry["kind"] == "run"]


@dataclass
class Process:
    """A member's process in a session of its own; ``log``: the file that has its output."""

    popen: "subprocess.Popen[bytes]"
    log: Path
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def signal(self, number: int) -> None:
        """To all of its session, so that a killed pod takes its server with it."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)

    def text(self) -> str:
        """What it has printed."""
        return self.log.read_text(errors="replace")


class Lab:
    """A founded federation below ``folder``; ended when the ``with`` block ends. ``wrapped``: words before each pod's command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pods: dict[str, Process] = {}
        self._running: list[Process] = []
        self._steward_pid = 0

    def __enter__(self) -> "Lab":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cpods("federation", "init", NAME)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self._running:
            if process.popen.poll() is None:
                process.signal(signal.SIGCONT)
                process.popen.terminate()
        for process in self._running:
            try:
                process.popen.wait(20)
            except subprocess.TimeoutExpired:
                process.signal(signal.SIGKILL)
                process.popen.wait()
            process.signal(signal.SIGKILL)  # what a killed pod may have left of its session
        self.cpods("federation", "stop", check=False)
        if error is not None:
            for name, process in self.pods.items():
                print(f"--- pod {name}:\n{process.text()[-2000:]}", file=sys.stderr)

    # -- members ---------------------------------------------------------------------------------------------------

    def home(self, member: str) -> Path:
        """The member's CPODS_HOME."""
        return self.folder / "homes" / member

    def environment(self, member: str = "founder") -> dict[str, str]:
        """What a process of this member is started with."""
        kept = {name: value for name, value in os.environ.items() if name not in ("CPODS_FEDERATION", "CPODS_STORE", "CPODS_STATE")}
        return {**kept, **ENVIRONMENT, "CPODS_HOME": str(self.home(member))}

    def cpods(
        self, *arguments: str, member: str = "founder", cwd: Path | None = None, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """One call of the CLI as this member."""
        done = subprocess.run(
            [*CPODS, *arguments], cwd=cwd or self.folder, env=self.environment(member), capture_output=True, text=True, timeout=120
        )
        if check and done.returncode:
            raise AssertionError(f"cpods {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def join(self, name: str, *options: str) -> None:
        """A new member: invited by the founder, joined with its token."""
        token = self.folder / f"{name}.token"
        self.cpods("federation", "invite", name, "--file", str(token), *options)
        self.cpods("federation", "join", "--file", str(token), member=name)

    def pod(
        self, name: str, slots: int = 2, *options: str, before: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> Process:
        """Starts a pod (which joins first, if it is no member yet) and waits until it is ready."""
        return self.pods_at_once([name], slots, *options, before=before, environment=environment)[0]

    def pods_at_once(
        self, names: Sequence[str], slots: int = 2, *options: str, before: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> list[Process]:
        """Starts pods at the same time."""
        started = []
        for name in names:
            if not (self.home(name) / NAME / "identity.json").exists():
                self.join(name)
            arguments = [*before, *CPODS, "pod", "start", "--slots", str(slots), *options]
            started.append(self._start(name, arguments, {**self.environment(name), **(environment or {})}))
        for name, process in zip(names, started, strict=True):
            self.pods[name] = process
            self.await_text(process, "ready")
        return started

    def _start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Process:
        log = self.folder / f"{name}-{len(self._running)}.log"  # what an earlier process of this name printed is not this one's
        with open(log, "wb") as file:
            popen = subprocess.Popen(
                arguments, env=dict(environment), stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        process = Process(popen, log, arguments, environment)
        self._running.append(process)
        return process

    def await_text(self, process: Process, text: str, seconds: float = START_SECONDS) -> None:
        """Waits until a process has printed ``text``. Raises AssertionError if it ends before, or does not in time."""
        end = time.monotonic() + seconds
        while text not in process.text():
            if process.popen.poll() is not None and text not in process.text():
                raise AssertionError(f"the process ended with {process.popen.returncode}: {process.text()}")
            if time.monotonic() > end:
                raise AssertionError(f"{text!r} did not come within {seconds} s: {process.text()}")
            time.sleep(0.02)

    def kill(self, name: str) -> None:
        """SIGKILL to a pod and all that it started."""
        process = self.pods.pop(name)
        process.signal(signal.SIGKILL)
        process.popen.wait()

    def stop(self, name: str) -> None:
        """Ends a pod in good order."""
        process = self.pods.pop(name)
        process.popen.terminate()
        process.popen.wait(30)

    # -- builds ----------------------------------------------------------------------------------------------------

    def rebuild(self, project: Path, *options: str, member: str = "founder", environment: Mapping[str, str] | None = None) -> Built:
        """``cpods rebuild --federation lab --until-stable`` in a project folder."""
        with self.building(project, *options, member=member, environment=environment) as running:
            return running.result()

    @contextmanager
    def building(
        self, project: Path, *options: str, member: str = "founder", environment: Mapping[str, str] | None = None
    ) -> "Iterator[Running]":
        """The same, going on while the block runs; it is ended with the block."""
        report = self.folder / f"report-{time.monotonic_ns()}.json"
        log = report.with_suffix(".log")
        command = [*CPODS, "rebuild", "--federation", NAME, "--until-stable", "--report", str(report), *options]
        with open(log, "wb") as file:
            popen = subprocess.Popen(
                command,
                cwd=project,
                env={**self.environment(member), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        running = Running(Process(popen, log), report, self)
        try:
            yield running
        finally:
            if popen.poll() is None:
                running.process.signal(signal.SIGKILL)
                popen.wait()


def local(project: Path, *options: str) -> Built:
    """``cpods rebuild --until-stable`` on this machine alone, in the same environment."""
    report = project.parent / f"local-{project.name}-{time.monotonic_ns()}.json"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CPODS_")}
    done = subprocess.run(
        [*CPODS, "rebuild", "--until-stable", "--report", str(report), *options],
        cwd=project,
        env={**kept, **ENVIRONMENT},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    return Built(done.returncode, json.loads(report.read_text()) if report.exists() else {}, done.stdout + done.stderr)


@dataclass
class Running:
    """A build under way."""

    process: Process
    report: Path
    lab: Lab

    def await_text(self, text: str, seconds: float = START_SECONDS) -> None:
        """Waits until the build has printed ``text``."""
        self.lab.await_text(self.process, text, seconds)

    def result(self, seconds: float = 300) -> Built:
        """Waits for its end."""
        code = self.process.popen.wait(seconds)
        report = json.loads(self.report.read_text()) if self.report.exists() else {}
        return Built(code, report, self.process.text())

    def kill(self) -> None:
        """SIGKILL to the MajorDomo, its store's server included."""
        self.process.signal(signal.SIGKILL)
        self.process.popen.wait()
