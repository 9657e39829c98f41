"""What was measured, written down: one JSON line a row, with all that somebody else needs to measure it again.

Knows no benchmark, and shows nothing.
"""

import datetime
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.measure import Ratio, Summary, machine, ratio, summary
from benchmarks.suite import Benchmark, Row

HERE = Path(__file__).resolve().parent
#: Results that are committed, a file for each benchmark; and what quick runs leave, which git ignores.
KEPT = HERE / "results"
QUICK = KEPT / "quick"


class BadResults(Exception):
    """A results file cannot be read; one sentence."""


class Stamp(msgspec.Struct, frozen=True):
    """Under what circumstances rows were measured. ``commit``: of git, with ``-dirty`` if files differed from it, '' outside git."""

    command: str
    machine: str
    versions: dict[str, str]
    commit: str
    date: str
    quick: bool


class Record(Row, frozen=True, kw_only=True):
    """A row as it is kept: with its stamp, and its ratio to the peer (None without one)."""

    stamp: Stamp
    ratio: Ratio | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Records with the same key measured the same thing."""
        return self.benchmark, self.row, self.peer

    @property
    def summary(self) -> Summary:
        """Of the values."""
        return summary(self.values)


def stamp(of: Benchmark, command: str, quick: bool, folder: str = "") -> Stamp:
    """Of a run that begins now, with files below ``folder``."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Stamp(command, machine(folder), versions(of), commit(), now, quick)


def record(row: Row, stamp: Stamp) -> Record:
    """A row with its stamp. Raises ValueError if it has no figures, or its figures and its peer's do not pair up."""
    summary(row.values)
    pair = bool(row.peer)
    found = ratio(row.values, row.peer_values) if pair and all(row.peer_values) else None
    if pair and len(row.values) != len(row.peer_values):
        raise ValueError(f"{row.benchmark}, {row.row}: {len(row.values)} and {len(row.peer_values)} figures do not pair up")
    return Record(**msgspec.structs.asdict(row), stamp=stamp, ratio=found)


def file_of(benchmark: str, quick: bool) -> Path:
    """Where its results are appended unless another file is asked for."""
    return (QUICK if quick else KEPT) / f"{benchmark}.jsonl"


def append(path: Path, record: Record) -> None:
    """One line more, whole or not at all if the machine stays up. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab", buffering=0) as file:
        file.write(msgspec.json.encode(record) + b"\n")


def read(path: Path) -> list[Record]:
    """All records of a file, or of every .jsonl file right in a folder (none if it is not there), oldest first. Raises BadResults."""
    files = [path] if path.suffix == ".jsonl" or path.is_file() else sorted(path.glob("*.jsonl"))
    found = [record for file in files for record in _lines(file)]
    return sorted(found, key=lambda record: record.stamp.date)


def newest(records: Iterable[Record]) -> list[Record]:
    """The newest of each key, in the order in which keys were first measured by the newest run of their benchmark."""
    last: dict[tuple[str, str, str], Record] = {}
    for record in records:
        last.pop(record.key, None)
        last[record.key] = record
    return list(last.values())


def by_benchmark(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The newest rows of each benchmark: of full runs, or of quick ones where no full one is there."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.benchmark, []).append(record)
    return {name: newest([one for one in group if not one.stamp.quick] or group) for name, group in found.items()}


def commit() -> str:
    """Of the files that are measured: twelve digits, ``-dirty`` if they differ from it, '' outside git.

    Results and the page made of them do not count: a run of two benchmarks would make itself dirty.
    """
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return ""
    changed = _git("status", "--porcelain", "--", ".", ":!benchmarks/results", ":!docs/benchmarks", ":!docs/benchmarks.md")
    return f"{head}-dirty" if changed else head


def versions(of: Benchmark) -> dict[str, str]:
    """Of cpods, Python and what the benchmark measures beside; programs that are missing are left out."""
    found = {"Python": platform.python_version()}
    for package in ("cpods", *of.packages):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    for command in of.programs:
        words = shlex.split(command)
        number = _version(words)
        if number:
            found[os.path.basename(words[0])] = number
    return found


def differing(stamps: Sequence[Stamp]) -> Mapping[str, list[str]]:
    """By field of the stamp: its different values, in order."""
    return {
        "command": list(dict.fromkeys(one.command for one in stamps)),
        "machine": list(dict.fromkeys(_without_load(one.machine) for one in stamps)),
        "commit": list(dict.fromkeys(one.commit for one in stamps)),
        "date": list(dict.fromkeys(one.date[:10] for one in stamps)),
    }


def _without_load(machine: str) -> str:
    return re.sub(r", load [\d.]+$", "", machine)


def _version(words: Sequence[str]) -> str:
    """In the first line that a program says: what stands behind the word version, else the first number with a point; '' if none."""
    try:
        ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    said = (ran.stdout + ran.stderr).strip().partition("\n")[0]
    number = re.search(r"version\s+v?(\d[\w.\-]*)", said, re.IGNORECASE) or re.search(r"(\d+\.[\w.\-]*)", said)
    return number[1] if number else ""


def _git(*words: str) -> str:
    try:
        ran = subprocess.run(["git", *words], cwd=HERE.parent, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


def _lines(path: Path) -> Iterator[Record]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadResults(f"{path} cannot be read: {error.strerror}") from None
    for number, line in enumerate(content.splitlines(), 1):
        try:
            yield msgspec.json.decode(line, type=Record)
        except msgspec.MsgspecError as error:
            raise BadResults(f"{path}:{number} is no result: {error}; take the line away or write the file anew") from None
