"""Which package brings a missing program: the table against this machine's dpkg, and what counts as a missing program."""

import os
import subprocess

import pytest

from cpods.chefs.debian import ELSEWHERE, NOT_FOUND, PACKAGES, hint, named, sentence
from cpods.model import Exit, Observation, Problem


def owners(programs: list[str]) -> dict[str, str]:
    """The packages of those that lie in /usr/bin or /bin, by dpkg; a link that dpkg does not know is followed."""
    paths = {program: path for program in programs for path in (f"/usr/bin/{program}", f"/bin/{program}") if os.path.exists(path)}
    asked = sorted({*paths.values(), *map(os.path.realpath, paths.values())})
    said = subprocess.run(["dpkg", "-S", *asked], capture_output=True, text=True, check=False).stdout
    known = {path: names.split(",")[0].split(":")[0] for names, _, path in (line.partition(": ") for line in said.splitlines())}
    return {program: owner for program, path in paths.items() if (owner := known.get(path) or known.get(os.path.realpath(path)))}


def brings(packages: set[str]) -> dict[str, set[str]]:
    """Each installed package with all that it depends on, by dpkg's status file."""
    needs: dict[str, set[str]] = {}
    with open("/var/lib/dpkg/status", encoding="utf-8") as file:
        for entry in file.read().split("\n\n"):
            fields = dict(line.partition(": ")[::2] for line in entry.splitlines() if not line.startswith(" "))
            text = f"{fields.get('Depends', '')},{fields.get('Pre-Depends', '')}".replace("|", ",")
            names = {part.split()[0].split(":")[0] for part in text.split(",") if part.strip()}
            needs[fields.get("Package", "")] = names
    found = {}
    for package in packages:
        reached, waiting = {package}, [package]
        while waiting:
            new = needs.get(waiting.pop(), set()) - reached
            reached |= new
            waiting += new
        found[package] = reached
    return found


def test_the_table_agrees_with_dpkg_for_every_program_that_is_here() -> None:
    here = owners(list(PACKAGES))
    assert {"pdflatex", "xelatex", "biber", "context", "mpost", "gs", "gnuplot", "asy", "rsvg-convert", "cc", "texindex"} <= here.keys()
    installed = brings({PACKAGES[program] for program in here})
    wrong = {program: owner for program, owner in here.items() if owner not in installed[PACKAGES[program]]}
    assert wrong == {}


def test_what_is_said() -> None:
    assert sentence("biber") == "biber is not installed: on Debian, `apt install biber`"
    assert sentence("luametatex") == f"luametatex is not installed: {ELSEWHERE['luametatex']}"
    assert sentence("nosuchprogram") is None
    assert (hint("asy"), hint("nosuchprogram")) == (" (on Debian, `apt install asymptote` brings asy)", "")


SAID = {
    "it could not be started": (Exit(127, error="program not found: biber"), "biber"),
    "it was named by its path": (Exit(127, error="program not found: /opt/bin/biber"), "biber"),
    "dash": (Exit(127, stderr=b"sh: 1: xdvipdfmx: not found\n"), "xdvipdfmx"),
    "a script of dash": (Exit(127, stderr=b"/usr/bin/ps2pdfwr: 44: exec: gs: not found\n"), "gs"),
    "bash": (Exit(127, stderr=b"bash: line 1: dot: command not found\n"), "dot"),
    "a script of bash": (Exit(127, stderr=b"./draw.sh: line 3: inkscape: command not found\n"), "inkscape"),
    "sh that is bash": (Exit(127, stderr=b"sh: asy: command not found\n"), "asy"),
    "env": (Exit(127, stderr="/usr/bin/env: ‘python3’: No such file or directory\n".encode()), "python3"),
    "Perl": (Exit(2, stdout=b'x\nCan\'t exec "xindy": No such file or directory at /usr/bin/makeglossaries line 9.\n'), "xindy"),
    "epstopdf": (Exit(2, stderr=b"!!! Error: Cannot open Ghostscript for piped input: gs -q -dSAFER\n"), "gs"),
    "Python": (Exit(1, stderr=b"FileNotFoundError: [Errno 2] No such file or directory: 'asy'\n"), "asy"),
    "behind a long trace": (Exit(127, stderr=b"kdebug:x\n" * 90_000 + b"sh: 1: gnuplot: not found\n"), "gnuplot"),
}


@pytest.mark.parametrize("name", SAID)
def test_a_missing_program_is_the_one_problem(name: str) -> None:
    exit, program = SAID[name]
    said = named(Observation(problems=(Problem("failed"), Problem("and so on", "a.tex"))), exit)
    assert [problem.message for problem in said.problems] == [sentence(program)] and said.exit_code == NOT_FOUND


@pytest.mark.parametrize(
    "exit",
    [
        Exit(127, error="program not found: nosuchprogram"),
        Exit(127, error="folder not found: /biber"),
        Exit(1, stderr=b"biber: database not found\n"),
        Exit(1, stdout=b"! LaTeX Error: File `gs' not found.\n"),
        Exit(1, stderr=b"FileNotFoundError: [Errno 2] No such file or directory: 'table.dat'\n"),
        Exit(0, stderr=b"sh: 1: gnuplot: not found\n"),
        Exit(-15, stderr=b"sh: 1: gnuplot: not found\n", timed_out=True),
    ],
)
def test_other_failures_are_left_as_the_chef_words_them(exit: Exit) -> None:
    seen = Observation(problems=(Problem("failed"),) if exit.code else ())
    assert named(seen, exit) is seen


def test_what_an_engine_found_wrong_in_a_source_stays() -> None:
    place = Problem("Package minted Error", "a.tex", 3)
    seen = Observation(problems=(place, Problem("pdflatex failed")), usable_outputs=True)
    said = named(seen, Exit(1, stdout=b"sh: 1: pygmentize: not found\n"))
    assert said.problems[1:] == (place,) and said.usable_outputs
