"""A project folder with its own state and store, built in this process or by the real CLI, and what came of it.

Knows no project's meaning; walks and reader tests fill the folder.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cpods import __version__
from cpods.majordomo.account import Listener
from cpods.majordomo.context import Request
from cpods.orders import Execution
from cpods.scheduler.core import Options
from cpods.session import Call, rebuild
from cpods.store import glance
from cpods.store.mending import Unmendable, bring_back
from cpods.store.missing import missing
from cpods.store.summary import null_report

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "SOURCE_DATE_EPOCH": "0",
    "FORCE_SOURCE_DATE": "1",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
}
#: What the console script of the package does; it need not be in PATH.
CPODS = (sys.executable, "-c", "import sys; from cpods.cli import main; sys.exit(main())")


@dataclass(frozen=True)
class Outcome:
    """How a build ended. ``done``: declared steps that came to a good end (None: the CLI does not tell).

    ``runs``: names of the steps whose tools started, in order; ``verdicts`` by a knot's steps; ``said``: notes or output.
    """

    exit_code: int
    status: str
    runs: tuple[str, ...]
    tools: tuple[str, ...]
    verdicts: Mapping[frozenset[str], str]
    said: str
    report: Mapping[str, Any] = field(repr=False)
    done: frozenset[str] | None = None
    owners: Mapping[str, str] = field(default_factory=dict, repr=False)


class _Notes(Listener):
    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.lines: list[str] = []
        self._meanwhile = meanwhile

    def started(self, step: str, tool: str, pass_number: int | None) -> None:
        """Something may happen just before a process starts …"""
        self._meanwhile()

    def executed(self, execution: Execution) -> None:
        """… and just after it has ended."""
        self._meanwhile()

    def note(self, text: str) -> None:
        """Kept for the outcome."""
        self.lines.append(text)


class Sandbox:
    """A folder ``root`` with an environment of its own. ``home`` lies beside it, so that no user's files are seen.

    ``cli``: built by the real CLI. ``slices``: as the CLI does it, only what changes reach is looked at, but in this process;
    ``sliced`` counts how often that was enough, ``null`` how often there was nothing to do. ``mends``: products that are gone
    are brought back without a build where that is all there is to do; ``mended`` counts how often. ``meanwhile`` is called at each
    start and end of a process, if it is built in this process.
    """

    def __init__(
        self, root: Path, environment: Mapping[str, str] | None = None, cli: bool = False, slices: bool = False, mends: bool = False
    ) -> None:
        self.root = root
        self.cli = cli
        self.slices = slices
        self.mends = mends
        self.sliced = self.null = self.mended = 0
        self.meanwhile: Callable[[], None] = lambda: None
        root.mkdir(parents=True, exist_ok=True)
        self.environment = {**ENVIRONMENT, "HOME": str(root.parent / "home"), **(environment or {})}

    def write(self, path: str, text: str | bytes, executable: bool = False) -> None:
        """Writes a file of the project."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        if executable:
            file.chmod(0o755)

    def read(self, path: str) -> bytes:
        """The bytes of a file of the project."""
        return (self.root / path).read_bytes()

    def files(self) -> dict[str, bytes]:
        """All files of the folder by path, cpods' own state aside."""
        found = {}
        for base, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name != ".cpods"]
            for name in names:
                file = Path(base, name)
                found[str(file.relative_to(self.root))] = file.read_bytes()
        return found

    def build(self, *goals: str, seed: str = "", force: bool = False) -> Outcome:
        """``cpods rebuild --until-stable -k 0 -j 1``."""
        return self._by_cli(goals, seed, force) if self.cli else self._here(goals, seed, force)

    def _here(self, goals: tuple[str, ...], seed: str, force: bool) -> Outcome:
        notes = _Notes(self.meanwhile)
        options = Options(until_stable=True, seed=seed or "warm", failures_max=0, slots=1)
        key = repr((goals, seed)) if self.slices and not force else ""
        call = Call(str(self.root), goals, Request(options, seed=seed, force=force), until_stable=True, glance=key)
        look = self._look(key) if key else None
        if look is not None and not look.changed:
            self.null += 1
            return _outcome(null_report(look, str(self.root), 0.0), "", None, {})
        if look is not None and look.gone and self.mends and (steps := self._mend(look)):
            self.mended += 1
            return _outcome(null_report(look, str(self.root), 0.0, steps), "", None, {})
        done = asyncio.run(rebuild(call, self.environment, notes, notes.lines.append))
        build = done.build
        said = "\n".join([*notes.lines, *done.ending.errors, *done.ending.notes])
        if key:
            self.sliced += done.project is not None and bool(done.project.positions)
            return _outcome(done.report, said, None, {})
        steps = None if build is None else frozenset(build.core.finished_steps())
        owners = {} if build is None else {path: written.step for path, written in build.parts.memory.written.items()}
        return _outcome(done.report, said, steps, owners)

    def _look(self, key: str) -> glance.Look | None:
        """The null-build check, whose findings the next build takes."""
        state = str(self.root / ".cpods")
        look = glance.look(state, str(self.root), key, glance.environment_digest(self.environment), __version__)
        if look is not None and look.changed:
            glance.keep(look)
        return look

    def _mend(self, look: glance.Look) -> int:
        """How many steps' products were brought back, with nothing else to do; 0 if a build has to look."""
        state = str(self.root / ".cpods")
        lack = missing(look, state)
        if lack is None:
            return 0
        try:
            assert bring_back(state, str(self.root), lack.store, lack.wanted)
        except Unmendable:
            return 0
        return len(lack.steps)

    def _by_cli(self, goals: tuple[str, ...], seed: str, force: bool) -> Outcome:
        report = self.root.parent / (self.root.name + ".report.json")
        report.unlink(missing_ok=True)
        flags = (*(["--seed", seed] if seed else []), *(["--force"] if force else []))
        done = self.run("rebuild", "--until-stable", "-k", "0", "-j", "1", "--report", str(report), *flags, *goals)
        assert report.exists(), done.stderr
        outcome = _outcome(json.loads(report.read_text()), done.stdout + done.stderr, None, {})
        assert outcome.exit_code == done.returncode, done.stderr
        return outcome

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The real CLI with any command."""
        return subprocess.run(
            [*CPODS, *arguments],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )

    def copy(self, root: Path, with_state: bool = False) -> "Sandbox":
        """The same folder elsewhere; without ``with_state`` none of cpods' memory goes along."""
        shutil.copytree(self.root, root, ignore=None if with_state else shutil.ignore_patterns(".cpods"))
        return Sandbox(root, self.environment, self.cli, self.slices, self.mends)


def _outcome(report: Mapping[str, Any], said: str, done: frozenset[str] | None, owners: Mapping[str, str]) -> Outcome:
    runs = [entry for entry in report["executions"] if entry["kind"] == "run"]
    return Outcome(
        exit_code=report["exit_code"],
        status=report["status"],
        runs=tuple(entry["step"] for entry in runs),
        tools=tuple(entry["tool"] for entry in runs),
        verdicts={frozenset(knot["steps"]): knot["verdict"] for knot in report.get("knots", ())},
        said=said,
        report=report,
        done=done,
        owners=owners,
    )
