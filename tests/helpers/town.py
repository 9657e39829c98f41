"""A federation as its users see it: real cpods processes, each member with a CPODS_HOME of its own below one folder.

Knows no internals. Everything that was started is ended by :meth:`Town.close`, which fails if something does not end.
"""

import io
import os
import select
import subprocess
import sys
from contextlib import ExitStack, chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

PROGRAM = [sys.executable, "-c", "from cpods.cli import main; main()"]
SECONDS_MAX = 60.0


class Outcome(NamedTuple):
    """What one call came to."""

    code: int
    out: str
    err: str


class Running(NamedTuple):
    """A process that goes on, and the first line that it printed."""

    process: "subprocess.Popen[str]"
    line: str

    def end(self) -> Outcome:
        """Ends it (SIGTERM)."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> Outcome:
        """Its end, by itself."""
        out, err = self.process.communicate(timeout=SECONDS_MAX)
        return Outcome(self.process.returncode, out, err)


class Town:
    """Members by name, each in ``folder/<name>``. The founder is ``founder``, the federation ``town`` unless said otherwise."""

    def __init__(self, folder: Path, federation: str = "town") -> None:
        self.folder = folder
        self.federation = federation
        self._running: list[Running] = []
        self._founded: list[tuple[str, str]] = []

    def environment(self, member: str) -> dict[str, str]:
        """What a process of this member gets."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CPODS_")}
        return {**kept, "CPODS_HOME": str(self.folder / member), "COLUMNS": "200", "TERM": "dumb", "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def home(self, member: str) -> Path:
        """A member's home."""
        return self.folder / member / self.federation

    def call(self, member: str, *arguments: str, folder: Path | None = None, said: str = "") -> Outcome:
        """One call to its end; ``said`` is its standard input."""
        done = subprocess.run(
            [*PROGRAM, *arguments],
            input=said,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            cwd=folder or self.folder,
            env=self.environment(member),
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def quick(self, member: str, *arguments: str, folder: Path | None = None, said: str = "") -> Outcome:
        """As :meth:`call`, but within this process: what a new one costs is most of a call's time."""
        from cpods.cli.app import _typer
        from cpods.cli.interrupts import heard_again

        out, err = io.StringIO(), io.StringIO()
        with ExitStack() as stack:
            stack.callback(heard_again)
            stack.enter_context(patch.dict(os.environ, self.environment(member), clear=True))
            stack.enter_context(patch.object(sys, "stdin", io.StringIO(said)))
            stack.enter_context(chdir(folder or self.folder))
            stack.enter_context(redirect_stdout(out))
            stack.enter_context(redirect_stderr(err))
            code = 0
            try:
                _typer(list(arguments))
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 1
        return Outcome(code, out.getvalue(), err.getvalue())

    def found(self, *options: str, member: str = "founder") -> Outcome:
        """Founds the federation; its steward is ended by :meth:`close`."""
        self._founded.append((member, self.federation))
        return self.call(member, "federation", "init", self.federation, *options)

    def invite(self, name: str, *options: str) -> str:
        """A token for ``name``."""
        done = self.quick("founder", "federation", "invite", name, *options)
        assert done.code == 0, done
        return done.out.strip()

    def join(self, name: str, *options: str) -> Outcome:
        """Invites ``name`` and lets it join."""
        return self.quick(name, "federation", "join", self.invite(name, *options))

    def start(self, member: str, *arguments: str) -> Running:
        """A process that goes on, once it has printed its first line."""
        process = subprocess.Popen(
            [*PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment(member),
        )
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], SECONDS_MAX)
        line = process.stdout.readline().strip() if ready else ""
        running = Running(process, line)
        self._running.append(running)
        return running

    def pod(self, member: str, *options: str) -> Running:
        """A pod that is ready."""
        running = self.start(member, "pod", "start", *options)
        assert "ready" in running.line, (running.line, running.process.poll())
        return running

    def processes(self) -> list[int]:
        """Ids of all processes that use a file below this town's folder or were told of it."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid() and self._is_ours(name):
                found.append(int(name))
        return found

    def _is_ours(self, name: str) -> bool:
        try:
            with open(f"/proc/{name}/cmdline", "rb") as command, open(f"/proc/{name}/environ", "rb") as environment:
                return os.fsencode(self.folder) in command.read() + environment.read()
        except OSError:
            return False

    def close(self) -> None:
        """Ends everything; whatever is left is an error."""
        for running in self._running:
            if running.process.poll() is None:
                running.process.terminate()
        for running in self._running:
            try:
                running.process.communicate(timeout=SECONDS_MAX)
            except ValueError:  # it was waited for already
                running.process.wait(SECONDS_MAX)
        for member, federation in self._founded:
            if (self.folder / member / federation).exists():
                done = self.quick(member, "federation", "stop", federation)
                assert done.code == 0, done
        assert self.processes() == []
