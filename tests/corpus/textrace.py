"""What a tool really read, looked for in vain, and wrote below a folder: a run under strace, its trace taken apart.

Knows no tool, no TeX and nothing of cpods: only system calls. (Standard library, and the program strace.)
"""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CALLS = "open,openat,creat,access,faccessat,faccessat2,stat,lstat,newfstatat,statx,readlink,rename,renameat,renameat2,unlink,unlinkat,chdir"
#: The result of a call: ``= 3</path>`` or ``= -1 ENOENT (...)``.
_RESULT = re.compile(r"\)\s+= (-?\d+)(?:<(.*)>)?(?: ([A-Z]+) \(.*\))?$")
_LINE = re.compile(r"(\d+) +(.*)$")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_FOLDER = re.compile(r'(?:AT_FDCWD|\d+)<([^>]*)>, "')


@dataclass
class Trace:
    """Paths relative to the folder of the run.

    ``reads``: opened for reading before any write of this run, in the order of opening; ``looked``: asked for but not opened, with the
    answer (was it there?); ``writes``: opened for writing, renamed to or removed.
    """

    reads: dict[str, None] = field(default_factory=dict)
    looked: dict[str, bool] = field(default_factory=dict)
    writes: set[str] = field(default_factory=set)

    def asked(self, path: str, there: bool) -> None:
        """The first answer counts; what the run itself had written before is no question to the outside."""
        if path not in self.writes:
            self.looked.setdefault(path, there)

    def read(self, path: str) -> None:
        """Opened for reading."""
        if path not in self.writes:
            self.reads[path] = None

    def renamed(self, old: str, new: str) -> None:
        """A file that the run did not write itself was read by moving it."""
        self.read(old)
        self.writes |= {old, new}


def run(command: list[str], folder: Path, environment: dict[str, str], below: Path, timeout_s: float = 120) -> tuple[int, Trace]:
    """Runs ``command`` in ``folder``; its exit code (124: too long) and the trace of it and its children, as seen below ``below``."""
    file = below.parent / "trace"
    strace = ["strace", "-f", "-y", "-s", "4096", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", str(file), *command]
    try:
        quiet = subprocess.DEVNULL
        done = subprocess.run(strace, cwd=folder, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, timeout=timeout_s)
        code = done.returncode
    except subprocess.TimeoutExpired:
        code = 124
    trace = Trace()
    if file.exists():
        _follow(_whole_lines(file.read_text(encoding="ascii", errors="replace")), folder, below, trace)
        file.unlink()
    for path in trace.reads:
        trace.looked.pop(path, None)
    return code, trace


def _whole_lines(text: str) -> Iterator[tuple[str, str]]:
    """(process id, call) with interrupted calls joined."""
    begun: dict[str, str] = {}
    for line in text.splitlines():
        found = _LINE.match(line)
        if not found:
            continue
        pid, call = found.groups()
        if call.endswith("<unfinished ...>"):
            begun[pid] = call.removesuffix("<unfinished ...>").rstrip()
            continue
        resumed = re.match(r"<\.\.\. \w+ resumed>\s?(.*)$", call)
        yield pid, (begun.pop(pid, "") + resumed.group(1)) if resumed else call


def _plain(text: str) -> str:
    """A string as strace prints it, with its escapes undone."""
    raw = re.sub(rb"\\([0-7]{1,3}|.)", lambda m: bytes([int(m[1], 8)]) if m[1].isdigit() else m[1], text.encode("latin-1", "replace"))
    return raw.decode("utf-8", "surrogateescape")


def _follow(calls: Iterator[tuple[str, str]], folder: Path, below: Path, trace: Trace) -> None:
    where: dict[str, str] = {}
    root = os.path.realpath(below)
    for pid, call in calls:
        found = _RESULT.search(call)
        name = call.partition("(")[0]
        texts = [_plain(text) for text in _STRING.findall(call)]
        if not found or not texts:
            continue
        ok = int(found.group(1)) >= 0
        base = _FOLDER.search(call)
        start = _plain(base.group(1)) if base else where.get(pid, str(folder))
        paths = [_below(os.path.join(start, text), root) for text in texts if text]
        if name == "chdir" and ok:
            where[pid] = os.path.join(start, texts[0])
        elif paths and paths[0] is not None:
            _note(name, call, [path for path in paths if path is not None], ok, found.group(3) or "", trace)


def _below(path: str, root: str) -> str | None:
    whole = os.path.normpath(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)))
    return os.path.relpath(whole, root) if whole.startswith(root + os.sep) or whole == root else None


def _note(name: str, call: str, paths: list[str], ok: bool, error: str, trace: Trace) -> None:
    path = paths[0]
    if name.startswith("rename") and ok and len(paths) == 2:
        trace.renamed(path, paths[1])
    elif name.startswith("unlink"):
        if ok:
            trace.writes.add(path)
    elif name in ("open", "openat", "creat"):
        _opened(name, call, path, ok, error, trace)
    elif path != "." and (ok or error in ("ENOENT", "ENOTDIR")):
        trace.asked(path, ok)


def _opened(name: str, call: str, path: str, ok: bool, error: str, trace: Trace) -> None:
    if "O_DIRECTORY" in call:
        return  # every file that kpathsea looks for in a listed folder is asked for by name as well
    if not ok:
        if error in ("ENOENT", "ENOTDIR") and "O_CREAT" not in call:
            trace.asked(path, False)
    elif name == "creat" or "O_WRONLY" in call or "O_RDWR" in call:
        if "O_TRUNC" not in call and name != "creat" and "O_EXCL" not in call:
            trace.read(path)  # appended to, or changed in place
        trace.writes.add(path)
    elif path != ".":
        trace.read(path)
