"""What a document costs: real LaTeX documents built by cpods and by latexmk in turn, cold, after a one-word edit, with nothing changed.

Knows no cpods but its command line. The processor time of a resident MajorDomo is read from /proc beside its client's.
"""

import itertools
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Case, Failed, Run, in_turn, run_once, surroundings
from benchmarks.suite import Benchmark, CannotMeasure, Progress, Row
from benchmarks.toolruns import with_a_word_changed

_REAL = Path(__file__).resolve().parent.parent / "tests" / "real"
#: A document counts for the means from so many CPU seconds a pass.
LONG_PASS_SECONDS = 1.0
_QUICK = ("amsmath/testmath.tex", "aomart/aomsample.tex")
_PEER = "latexmk"
_PLAIN, _CACHED, _RESIDENT = "cpods", "cpods, preamble kept", "cpods, preamble kept, resident"
_NEEDED = {"latexmk": "latexmk", "pdflatex": "texlive-latex-base", "pdftotext": "poppler-utils", "biber": "biber"}
#: By situation and way: what the ratio to latexmk is to be in the mean, and on each document.
_AIMS = {
    ("cold", _PLAIN): (1.0, 1.15),
    ("one word edited", _CACHED): (0.8, None),
    ("nothing changed", _PLAIN): (3.0, None),
    ("nothing changed", _CACHED): (3.0, None),
    ("nothing changed", _RESIDENT): (0.8, None),
}
_TICKS = os.sysconf("SC_CLK_TCK")


class Way(NamedTuple):
    """One builder in a folder of its own. ``keys``: what its project file says besides the main file, None: it needs no such file.

    ``resident``: a MajorDomo is started there first.
    """

    name: str
    argv: Sequence[str]
    keys: str | None = None
    resident: bool = False


class Document(NamedTuple):
    """A document: the folder that it lies in, and its main file there."""

    folder: Path
    main: str

    @property
    def name(self) -> str:
        """The main file's name without its ending."""
        return Path(self.main).stem


class Measured(NamedTuple):
    """All rounds of one document in one situation, by way; ``pass_seconds``: CPU of one run of the engine alone."""

    document: str
    situation: str
    runs: Mapping[str, Sequence[Run]]
    pass_seconds: float


def measure(quick: bool, repeats: int, folder: str, progress: Progress) -> Iterator[Row]:
    """Rows of each document as they come, then the geometric means."""
    for program, package in _NEEDED.items():
        if shutil.which(program) is None:
            raise CannotMeasure(f"{program} is not in PATH: install Debian's {package}")
    found: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="latex-", dir=folder or None) as place:
        for document in documents(progress, _QUICK if quick else ()):
            for one in _document(document, Path(place) / document.name, repeats or (1 if quick else 5), progress):
                found.append(one)
                yield from rows(one)
    yield from means(found)


def documents(progress: Progress, only: Sequence[str] = ()) -> Iterator[Document]:
    """The real documents that can be built. Raises CannotMeasure if they cannot be fetched."""
    library = _REAL / ".documents"
    if not (library / "complete").exists():
        progress("fetching real documents (300 MB of Debian's documentation packages)")
        ran = subprocess.run([str(_REAL / "get_documents.sh"), str(library)], capture_output=True, text=True, check=False)
        if ran.returncode:
            raise CannotMeasure(f"tests/real/get_documents.sh could not fetch the real documents: {ran.stderr.strip()[-300:]}")
        (library / "complete").touch()
    for known in json.loads((_REAL / "documents.json").read_text())["documents"]:
        if known["pages"] is not None and (not only or known["main"] in only):
            main = library / known["main"]
            yield Document(main.parent, main.name)


# -- one document ------------------------------------------------------------------------------------------------------


def _document(document: Document, work: Path, repeats: int, progress: Progress) -> Iterator[Measured]:
    ways = _ways(document.main)
    work.mkdir()
    try:
        progress(f"{document.name}: cold")
        cold = in_turn({way.name: _cold(document, way, work) for way in ways if not way.resident}, repeats, warm=False)
        standing = {way: _made(document, way, work / way.name) for way in ways}
        for way, place in standing.items():
            _start_resident(way, place)
            _run(way, place)
        seconds = statistics.median(_pass(standing[ways[0]], document.main) for _ in range(3))
        yield Measured(document.name, "cold", cold, seconds)
        for title, change in (("one word edited", with_a_word_changed), ("nothing changed", None)):
            progress(f"{document.name}: {title}")
            turns = {way.name: _turn(document, way, place, change) for way, place in standing.items()}
            yield Measured(document.name, title, in_turn(turns, repeats), seconds)
            _same([place / f"{document.name}.pdf" for place in standing.values()])
    except Failed as error:
        raise CannotMeasure(str(error)) from None
    finally:
        _stop_residents(work)


def _ways(main: str) -> list[Way]:
    cpods = str(Path(sys.executable).with_name("cpods"))
    rebuild = (cpods, "rebuild", "--until-stable")
    ways = [
        Way(_PEER, ("latexmk", "-pdf", "-recorder", "-interaction=nonstopmode", main)),
        Way(_PLAIN, rebuild, ""),
        Way(_CACHED, rebuild, 'preamble = "cache"\n'),
    ]
    if subprocess.run([cpods, "majordomo", "--help"], capture_output=True, check=False).returncode == 0:
        ways.append(Way(_RESIDENT, rebuild, 'preamble = "cache"\n', resident=True))
    return ways


def _made(document: Document, way: Way, to: Path) -> Path:
    """A copy of the document with the way's project file."""
    shutil.copytree(document.folder, to)
    if way.keys is not None:
        # SyncTeX is on in cpods and off in latexmk: it is a file more to write in each pass.
        (to / "cpods.toml").write_text(f'[[step]]\nchef = "latex"\nmain = "{document.main}"\nsynctex = false\n{way.keys}')
    return to


def _cold(document: Document, way: Way, work: Path) -> Callable[[], Run]:
    """Nothing of an earlier build is there: each round has a copy of its own. None is deleted between rounds, as that costs later ones."""
    rounds = itertools.count()

    def turn() -> Run:
        return _run(way, _made(document, way, work / f"cold {next(rounds)} {way.name}"))

    return turn


def _turn(document: Document, way: Way, place: Path, change: Callable[[str, int], str] | None) -> Callable[[], Run]:
    rounds = itertools.count(1)
    main = place / document.main
    before = main.read_bytes().decode("latin-1")

    def turn() -> Run:
        if change is not None:
            main.write_bytes(change(before, next(rounds)).encode("latin-1"))
        return _run(way, place)

    return turn


def _run(way: Way, place: Path) -> Run:
    resident = _resident_pid(place) if way.resident else 0
    before = _cpu_of(resident)
    ran = run_once(Case(way.name, way.argv, str(place)))
    return ran._replace(cpu_seconds=ran.cpu_seconds + _cpu_of(resident) - before)


def _pass(place: Path, main: str) -> float:
    """CPU seconds of one run of the engine on a document at rest, in a copy."""
    with tempfile.TemporaryDirectory(dir=place.parent) as copy:
        there = Path(copy) / "document"
        shutil.copytree(place, there)
        return run_once(Case("pdflatex", ("pdflatex", "-interaction=nonstopmode", main), str(there))).cpu_seconds


# -- residents ---------------------------------------------------------------------------------------------------------


def _majordomo(place: Path, command: str) -> subprocess.CompletedProcess[str]:
    cpods = str(Path(sys.executable).with_name("cpods"))
    return subprocess.run([cpods, "majordomo", command], cwd=place, env=surroundings(), capture_output=True, text=True, check=False)


def _start_resident(way: Way, place: Path) -> None:
    if way.resident:
        ran = _majordomo(place, "start")
        if ran.returncode:
            raise CannotMeasure(f"cpods majordomo start in {place} failed: {ran.stderr.strip()[-300:]}")


def _resident_pid(place: Path) -> int:
    said = _majordomo(place, "status").stdout
    found = re.search(r"(?:pid|process) (\d+)", said)
    if found is None:
        raise CannotMeasure(f"cpods majordomo status in {place} names no process: {said.strip()[:200]!r}")
    return int(found[1])


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process, of those that descend from it, and of their children that have ended; 0 for none.

    A resident has its builds done by processes forked ahead: they live on, or have ended and are counted by who waited for them.
    """
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir() if pid else ():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # ended meanwhile
                continue
            parents[int(entry.name)] = int(fields[1])
            ticks[int(entry.name)] = sum(map(int, fields[11:15]))
    family = {pid}
    while more := {one for one, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(ticks.get(one, 0) for one in family) / _TICKS


def _stop_residents(work: Path) -> None:
    for place in work.glob(_RESIDENT):
        _majordomo(place, "stop")


# -- rows --------------------------------------------------------------------------------------------------------------


def rows(one: Measured) -> list[Row]:
    """CPU and wall of each way, beside latexmk's."""
    found = []
    for name, ours in one.runs.items():
        if name != _PEER:
            for title, figure in _FIGURES.items():
                found.append(_row(one, name, title, figure, ours))
    return found


def _row(one: Measured, name: str, title: str, figure: Callable[[Run], float], ours: Sequence[Run]) -> Row:
    is_long = one.pass_seconds >= LONG_PASS_SECONDS
    return Row(
        "latex",
        f"{one.document}, {one.situation}, {name}: {title}",
        "ms",
        [figure(run) for run in ours],
        _PEER,
        [figure(run) for run in one.runs[_PEER]],
        "less",
        _AIMS.get((one.situation, name), (None, None))[1] if is_long else None,
        {
            "document": one.document,
            "situation": one.situation,
            "way": name,
            "measure": title,
            "pass_cpu_ms": round(one.pass_seconds * 1000),
        },
    )


_FIGURES: Mapping[str, Callable[[Run], float]] = {"CPU": lambda run: run.cpu_seconds * 1000, "wall": lambda run: run.seconds * 1000}


def means(found: Sequence[Measured]) -> list[Row]:
    """Geometric means of the ratios to latexmk, round by round: over documents of a long pass, and over all."""
    long = [one for one in found if one.pass_seconds >= LONG_PASS_SECONDS]
    groups = [(f"{len({one.document for one in long})} documents of >= 1 CPU s a pass", long, True)] if long else []
    groups.append((f"all {len({one.document for one in found})} documents", list(found), False))
    made = []
    for title, members, counts in groups:
        for situation, name in dict.fromkeys((one.situation, name) for one in members for name in one.runs if name != _PEER):
            chosen = [one for one in members if one.situation == situation and name in one.runs]
            for measured, figure in _FIGURES.items():
                made.append(
                    Row(
                        "latex",
                        f"mean of {title}, {situation}, {name}: {measured}",
                        "x latexmk",
                        _geometric([_ratios(one, name, figure) for one in chosen]),
                        better="less",
                        aim=_AIMS.get((situation, name), (None, None))[0] if counts else None,
                        extra={"mean": title, "situation": situation, "way": name, "measure": measured},
                    )
                )
    return made


def _ratios(one: Measured, name: str, figure: Callable[[Run], float]) -> list[float]:
    return [figure(ours) / figure(theirs) for ours, theirs in zip(one.runs[name], one.runs[_PEER], strict=True)]


def _geometric(series: Sequence[Sequence[float]]) -> list[float]:
    """The geometric mean over the series, index by index."""
    return [math.exp(sum(map(math.log, figures)) / len(figures)) for figures in zip(*series, strict=True)]


def _same(made: Sequence[Path]) -> None:
    """Builders that end in other pages or another text cannot be compared. Raises CannotMeasure."""
    for command, what in ((("pdfinfo",), "pages"), (("pdftotext", "-layout"), "text")):
        said = {path: _told(command, path) for path in made}
        if what == "pages":
            said = {path: "".join(re.findall(r"^Pages:\s+\d+", text, re.MULTILINE)) for path, text in said.items()}
        other = [path for path in made if said[path] != said[made[0]]]
        if other:
            raise CannotMeasure(f"{other[0]} has another {what} than {made[0]}")


def _told(command: Sequence[str], path: Path) -> str:
    more = ["-"] if command[0] == "pdftotext" else []
    return subprocess.run([*command, str(path), *more], capture_output=True, text=True, errors="replace", check=True).stdout


BENCHMARK = Benchmark(
    name="latex",
    question="what do real documents cost: cold, after a one-word edit, with nothing changed?",
    peers="latexmk, on the same documents",
    unit="ms of CPU and wall, of all processes of a build; ratios in the means",
    noise="other work on the machine: all builders in every round, the order turned round; each cold build in a folder of its own",
    quick="two documents, 1 round: a minute and a half",
    full="eight real documents (300 MB of downloads, once), 5 rounds: twenty minutes",
    run=measure,
    programs=("latexmk --version", "pdflatex --version"),
)
