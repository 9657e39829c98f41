"""How many tool runs a build takes: documents by cpods and by latexmk, a C program by cpods and by ninja, in turn.

Knows no cpods but its command line and its JSON report.
"""

import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import in_turn, surroundings
from benchmarks.suite import Benchmark, CannotMeasure, Progress, Row

_ROOT = Path(__file__).resolve().parent.parent
_REAL = _ROOT / "tests" / "real"
#: One kind of tool is counted as engine runs, in ``extra``; all tools are counted in the row.
_ENGINES = ("pdflatex", "latex", "xelatex", "lualatex", "cc")


class Built(NamedTuple):
    """One call of a builder: wall seconds, and how often each tool was started."""

    seconds: float
    runs: Counter[str]


class Project(NamedTuple):
    """Something to build. ``make``: writes the sources into a folder that is not there yet; ``edited``: the file that edits go to;
    ``peer``: the other builder's name; ``builders``: by name, from a folder to what a call did; ``made``: what all builders make alike.
    """

    name: str
    make: Callable[[Path], None]
    edited: str
    peer: str
    builders: Mapping[str, Callable[[Path], Built]]
    situations: Sequence["Situation"]
    made: str


class Situation(NamedTuple):
    """What happened before the build: ``change`` gets the text of the file that edits go to, as it was before the situation, and the
    number of the round, and gives the text to write (None: leave the file). ``cold``: a new folder for each build; ``touch``: the
    file gets a new time; ``edited_before``: an edit is made and built ahead of each round.
    """

    title: str
    change: Callable[[str, int], str | None] = lambda text, number: None
    cold: bool = False
    touch: bool = False
    edited_before: bool = False


def measure(quick: bool, repeats: int, folder: str, progress: Progress) -> Iterator[Row]:
    """Two rows a project and situation: tool runs, wall time."""
    _check_programs()
    with tempfile.TemporaryDirectory(prefix="toolruns-", dir=folder or None) as place:
        for project in itertools.chain([_program()], _documents(quick, progress)):
            work = Path(place) / re.sub(r"\W+", "-", project.name)
            work.mkdir()
            yield from _project(project, work, repeats or (1 if quick else 9), progress)


def _project(project: Project, work: Path, repeats: int, progress: Progress) -> Iterator[Row]:
    for name, build in project.builders.items():
        project.make(work / name)
        build(work / name)
    _same_pages([work / name / project.made for name in project.builders])
    for situation in project.situations:
        progress(f"{project.name}: {situation.title}")
        ways = {name: _turns(project, situation, work / name, build) for name, build in project.builders.items()}
        yield from _rows(project, situation, in_turn(ways, repeats, warm=not situation.cold))


def _turns(project: Project, situation: Situation, folder: Path, build: Callable[[Path], Built]) -> Callable[[], Built]:
    """What does one more round each time it is called."""
    rounds = itertools.count(1)
    before = _text(folder / project.edited)

    def turn() -> Built:
        number = next(rounds)
        place = folder
        if situation.cold:
            place = folder.with_name(f"{folder.name}-{number}")
            project.make(place)
        if situation.edited_before:
            _write(place / project.edited, with_a_word_changed(before, 0))
            build(place)
        text = situation.change(before, number)
        if text is not None:
            _write(place / project.edited, text)
        elif situation.touch:
            os.utime(place / project.edited)
        return build(place)

    return turn


def _rows(project: Project, situation: Situation, found: Mapping[str, list[Built]]) -> Iterator[Row]:
    ours, theirs = found["cpods"], found[project.peer]
    extra = {"project": project.name, "situation": situation.title}
    tools = {"cpods": dict(ours[-1].runs), project.peer: dict(theirs[-1].runs)}
    engines = {name: sum(runs.get(engine, 0) for engine in _ENGINES) for name, runs in tools.items()}
    yield Row(
        "toolruns",
        f"{project.name}, {situation.title}: runs",
        "tool runs",
        [float(one.runs.total()) for one in ours],
        project.peer,
        [float(one.runs.total()) for one in theirs],
        "less",
        extra={**extra, "measure": "runs", "tools": tools, "engine_runs": engines},
    )
    yield Row(
        "toolruns",
        f"{project.name}, {situation.title}: wall",
        "ms",
        [one.seconds * 1000 for one in ours],
        project.peer,
        [one.seconds * 1000 for one in theirs],
        "less",
        extra={**extra, "measure": "wall"},
    )


# -- documents ---------------------------------------------------------------------------------------------------------


def _documents(quick: bool, progress: Progress) -> Iterator[Project]:
    yield _document("book", _book, "book.tex")
    yield _document("toc-lof-lot", _copier(_ROOT / "tests/corpus/visible/toc-lof-lot", "cpods.toml"), "lists.tex")
    if quick:
        return
    yield _document("biber-sections", _copier(_ROOT / "tests/corpus/tex/biber-sections", "cpods.toml"), "sections.tex")
    library = _library(progress)
    for document in json.loads((_REAL / "documents.json").read_text())["documents"]:
        main = Path(document["main"])
        if document["latexmk_word_edit"] is not None:
            yield _document(main.stem, _copier((library / main).parent), main.name)


def _document(name: str, make: Callable[[Path], None], main: str) -> Project:
    situations = [
        Situation("cold", cold=True),
        Situation("nothing changed"),
        Situation("one word edited", with_a_word_changed),
        Situation("that edit taken back", lambda text, number: text, edited_before=True),
    ]
    builders = {"cpods": lambda folder: _cpods(folder, main), "latexmk": lambda folder: _latexmk(folder, main)}
    return Project(name, make, main, "latexmk", builders, situations, f"{Path(main).stem}.pdf")


def with_a_word_changed(text: str, number: int) -> str:
    """The source with the letters of its first prose word of six or more in another order: another one for each number."""
    start = text.index("\\begin{document}") + len("\\begin{document}")
    blanked = re.sub(r"(?<!\\)%[^\n]*|\\[A-Za-z@]+\*?(?:\s*(?:\[[^\]]*\]|\{[^{}]*\}))*", lambda m: " " * len(m[0]), text[start:])
    word = re.search(r"(?<![\w\\{\[=@.:/-])[A-Za-z]{6,}(?=[ ,.;\n])", blanked)
    if word is None:
        return f"{text[:start]}\nAnother word, {_shuffled('sentence', number)}.\n{text[start:]}"
    at = start + word.start()
    return text[:at] + _shuffled(word[0], number) + text[at + len(word[0]) :]


def _shuffled(word: str, number: int) -> str:
    letters = list(word)
    while "".join(letters) == word:
        random.Random(number).shuffle(letters)
        number += 1000
    return "".join(letters)


def _book(to: Path) -> None:
    """examples/book as a document alone: what its two programs make is there already, so latexmk can build it."""
    source = _ROOT / "examples/book"
    to.mkdir()
    for name in ("book.tex", "book.bib", "orbit.py"):
        shutil.copy(source / name, to)
    subprocess.run([sys.executable, "orbit.py"], cwd=to, check=True, capture_output=True)
    (to / "orbit.py").unlink()


def _copier(source: Path, *without: str) -> Callable[[Path], None]:
    def make(to: Path) -> None:
        shutil.copytree(source, to, ignore=shutil.ignore_patterns(*without))

    return make


def _library(progress: Progress) -> Path:
    """The real documents that the tests use, too; fetched once. Raises CannotMeasure."""
    folder = _REAL / ".documents"
    if not (folder / "complete").exists():
        progress("fetching real documents (300 MB of Debian's documentation packages)")
        ran = subprocess.run([str(_REAL / "get_documents.sh"), str(folder)], capture_output=True, text=True, check=False)
        if ran.returncode:
            raise CannotMeasure(f"tests/real/get_documents.sh could not fetch the real documents: {ran.stderr.strip()[-300:]}")
        (folder / "complete").touch()
    return folder


# -- the program -------------------------------------------------------------------------------------------------------

_HEADER = "include/core/buffer.h"


def _program() -> Project:
    situations = [
        Situation("cold", cold=True),
        Situation("nothing changed"),
        Situation("one header touched", touch=True),
        Situation("a comment in one header changed", lambda text, number: f"/* {number} */\n{text}"),
        Situation("a declaration in one header added", _declared),
    ]
    builders = {"cpods": _cpods, "ninja": _ninja}
    return Project("program (39 C files)", _program_sources, _HEADER, "ninja", builders, situations, "summary.txt")


def _declared(text: str, number: int) -> str:
    at = text.rindex("#endif")
    return f"{text[:at]}extern int added_{number};\n\n{text[at:]}"


def _program_sources(to: Path) -> None:
    """examples/program, and a build.ninja with the same steps."""
    shutil.copytree(_ROOT / "examples/program", to)
    sources = sorted(path.relative_to(to).as_posix() for path in (to / "src").rglob("*.c"))
    objects = [f"obj/{source[:-2]}.o" for source in sources]
    lines = [
        "rule cc\n  command = cc -std=c11 -Wall -Wextra -O1 -Iinclude -MMD -MF $out.d -c $in -o $out\n  depfile = $out.d\n  deps = gcc\n",
        "rule link\n  command = cc $in -o $out -lm\n",
        "rule report\n  command = bin/figures $words --output $out\n",
        *(f"build {made}: cc {source}\n" for source, made in zip(sources, objects, strict=True)),
        f"build bin/figures: link {' '.join(objects)}\n",
        *(f"build {out}: report | bin/figures data/stations.csv\n  words = {words}\n" for out, words in _reports(to)),
    ]
    (to / "build.ninja").write_text("".join(lines))


def _reports(folder: Path) -> list[tuple[str, str]]:
    """(output, arguments) of each report in the example's project file."""
    said = re.findall(r'^run = "bin/figures (.*) --output (\S+)"$', (folder / "cpods.toml").read_text(), re.MULTILINE)
    return [(out, words) for words, out in said]


# -- the builders ------------------------------------------------------------------------------------------------------


def _cpods(folder: Path, *goals: str) -> Built:
    report = folder.parent / "report.json"
    report.unlink(missing_ok=True)
    program = Path(sys.executable).with_name("cpods")
    words = [str(program if program.exists() else "cpods"), "rebuild", *goals, "--until-stable", "-j2", "--report", str(report)]
    seconds, _ = _call(folder, words)
    executions = json.loads(report.read_text())["executions"]
    return Built(seconds, Counter(one["tool"] for one in executions if one["kind"] == "run"))


def _latexmk(folder: Path, main: str) -> Built:
    """Runs by its own words."""
    seconds, said = _call(folder, ["latexmk", "-pdf", "-recorder", "-interaction=nonstopmode", main])
    return Built(seconds, Counter(re.findall(r"^Run number \d+ of rule '(\w+)", said, re.MULTILINE)))


def _ninja(folder: Path) -> Built:
    """Runs by the lines that it prints, one each; the program's reports are ``sh`` runs, as in cpods' report."""
    seconds, said = _call(folder, ["ninja", "-v", "-j2"], {"NINJA_STATUS": "run: "})
    return Built(seconds, Counter("cc" if words.startswith("cc ") else "sh" for words in re.findall(r"^run: (.*)$", said, re.MULTILINE)))


def _call(folder: Path, words: Sequence[str], more: Mapping[str, str] | None = None) -> tuple[float, str]:
    """(wall seconds, what it said). Raises CannotMeasure if it fails."""
    begun = time.monotonic()
    ran = subprocess.run(words, cwd=folder, env=surroundings(more), capture_output=True, check=False)
    seconds = time.monotonic() - begun
    said = (ran.stdout + ran.stderr).decode("utf-8", "replace")
    if ran.returncode:
        raise CannotMeasure(f"{' '.join(words)} in {folder} ended with exit code {ran.returncode}: {said.strip()[-500:]}")
    return seconds, said


def _check_programs() -> None:
    needed = {"latexmk": "latexmk", "ninja": "ninja-build", "cc": "gcc", "pdfinfo": "poppler-utils", "biber": "biber"}
    for program, package in needed.items():
        if shutil.which(program) is None:
            raise CannotMeasure(f"{program} is not in PATH: install Debian's {package}")


def _same_pages(made: Sequence[Path]) -> None:
    """Builders that end in different documents cannot be compared. Raises CannotMeasure."""
    found = {str(path): _content(path) for path in made}
    if len(set(found.values())) > 1:
        raise CannotMeasure(f"the builders made different things: {found}")


def _content(path: Path) -> str:
    if path.suffix != ".pdf":
        return path.read_text()
    shown = subprocess.run(["pdfinfo", str(path)], capture_output=True, text=True, check=True).stdout
    pages = re.search(r"^Pages:\s+(\d+)", shown, re.MULTILINE)
    return pages[1] if pages else "no pages"


def _text(path: Path) -> str:
    return path.read_bytes().decode("latin-1")


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("latin-1"))


BENCHMARK = Benchmark(
    name="toolruns",
    question="how many tool runs does a build take: cold, with nothing changed, after one word or one header was edited?",
    peers="latexmk (documents), ninja (a C program)",
    unit="tool runs (the same in every round); ms",
    noise="runs have none; wall time has the machine's: both builders in every round, the order turned round",
    quick="two documents and a C program, 1 round: a minute",
    full="those and seven real documents (300 MB of downloads, once), 9 rounds: an hour",
    run=measure,
    programs=("latexmk --version", "ninja --version", "pdflatex --version", "cc --version"),
)
