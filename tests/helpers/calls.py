"""Calls of the real CLI on a project in a temporary folder, and what each said.

Knows no expectation; the tests judge.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

_ZYGOTE = Path(__file__).with_name("zygote.py")
_ANSWER_SECONDS_MAX = 90.0
#: Same bytes out of TeX wherever and whenever it runs.
STEADY = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"}


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would steer cpods and what differs from fixture to test, plus ``more``."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(("CPODS_", "PYTEST_"))}
    return {**found, **STEADY, **more}


class Said(NamedTuple):
    """What a call came to. ``code`` is negative for a signal; ``report`` is None if none was asked for or written."""

    code: int
    out: str
    err: str
    report: dict[str, Any] | None

    @property
    def messages(self) -> list[str]:
        """The error messages, each with the lines that go on with it."""
        found: list[str] = []
        for line in self.err.splitlines():
            if line.startswith("cpods: "):
                found.append(line)
            elif found:
                found[-1] += "\n" + line
        return found

    @property
    def tools(self) -> list[str]:
        """Tools that were run, in order."""
        assert self.report is not None
        return [entry["tool"] for entry in self.report["executions"] if entry["kind"] == "run"]


class Call:
    """A call that goes on. End it with :meth:`wait`."""

    def __init__(self, zygote: "Zygote", pid: int, out: Path, err: Path, report: Path) -> None:
        self.pid = pid
        self._zygote = zygote
        self._files = (out, err, report)

    def signal(self, number: int) -> None:
        """Sends a signal to the cpods process alone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def until_said(self, text: str) -> None:
        """Returns as soon as the call has printed this to stderr; fails if it ends without."""
        while text not in self.said():
            assert not self.ended(0.01) or text in self.said(), f"{text!r} never came: {self.said()}"

    def said(self) -> str:
        """What it has printed to stderr so far."""
        return self._files[1].read_text(errors="replace")

    def ended(self, seconds: float) -> bool:
        """Whether it has ended after so long at most."""
        return self._zygote.readable(seconds)

    def wait(self) -> Said:
        """Its end."""
        code = self._zygote.answer()["code"]
        out, err, report = self._files
        found = json.loads(report.read_text()) if report.exists() else None
        return Said(code, out.read_text(errors="replace"), err.read_text(errors="replace"), found)


class Zygote:
    """The forking process; one call at a time. ``scratch``: a folder for what calls print."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, str(_ZYGOTE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(PYTHONPATH=str(root)),
            start_new_session=True,
        )

    def start(self, folder: Path, *argv: str, env: Mapping[str, str] | None = None, report: bool = True, **limits: object) -> Call:
        """Starts ``cpods ARGV`` in ``folder``; with ``report``, ``--report`` is added behind ``rebuild``.

        ``limits``: see ``_restrict`` in zygote.py.
        """
        out, err, said = (self._scratch / name for name in ("out", "err", "report.json"))
        said.unlink(missing_ok=True)
        out.unlink(missing_ok=True)
        err.unlink(missing_ok=True)
        err.touch()
        err.chmod(0o666)  # what the last call printed is not this one's
        words = [*argv, "--report", str(said)] if report and argv[0] == "rebuild" and "--report" not in argv else list(argv)
        full = environment(**(env or {}))
        request = {"argv": words, "cwd": str(folder), "env": full, "out": str(out), "err": str(err), **limits}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        while "pid" not in (answer := self.answer()):  # a test that failed has not waited for its call
            continue
        return Call(self, answer["pid"], out, err, said)

    def run(self, folder: Path, *argv: str, env: Mapping[str, str] | None = None, report: bool = True, **limits: object) -> Said:
        """As :meth:`start`, to the end."""
        return self.start(folder, *argv, env=env, report=report, **limits).wait()

    def readable(self, seconds: float) -> bool:
        """Whether an answer comes within so long."""
        return bool(select.select([self._process.stdout], [], [], seconds)[0])

    def answer(self) -> dict[str, int]:
        """The next answer of the process."""
        assert self.readable(_ANSWER_SECONDS_MAX), "cpods does not come to an end"
        assert self._process.stdout is not None
        line = bytearray()
        while not line.endswith(b"\n"):
            block = os.read(self._process.stdout.fileno(), 1)
            assert block, "the forking process has died"
            line += block
        answer: dict[str, int] = json.loads(line)
        return answer

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def cpods() -> Iterator[Zygote]:
    """The CLI, loaded once for a module of tests; what it says lies where every user may write."""
    with tempfile.TemporaryDirectory(prefix="cpods-calls-") as scratch:
        os.chmod(scratch, 0o777)
        zygote = Zygote(Path(scratch))
        yield zygote
        zygote.close()


def write(folder: Path, **files: str) -> None:
    """Writes text files; ``a__b`` as a name stands for ``a.b``."""
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def content(folder: Path) -> dict[str, bytes]:
    """Every regular file of a project by its path, cpods' own state left out."""
    found = {}
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ".cpods"]
        for name in names:
            path = Path(base, name)
            if path.is_file():
                with suppress(PermissionError):
                    found[os.fsencode(path.relative_to(folder)).decode(errors="surrogateescape")] = path.read_bytes()
    return found


def processes_below(folder: Path) -> list[int]:
    """Process ids of all that run with a working folder in ``folder``."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                where = os.readlink(f"/proc/{name}/cwd")
                if f"{where}/".startswith(f"{folder}/") and _runs(int(name)):
                    found.append(int(name))
    return found


def _runs(pid: int) -> bool:
    text = Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2] not in "ZX"


def end_stragglers(folder: Path) -> None:
    """Kills what a failed test left running in its folder."""
    for pid in processes_below(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
