"""Random saves, renames, deletes, checkouts and kills against a watched project, and what must hold after every quiet moment.

Knows no framework: a failure is an AssertionError that names the seed and the round.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from tests.helpers.calls import Zygote, content, environment, processes_below
from tests.helpers.killable import without_paths
from tests.helpers.watched import PROGRAM, Event, Watch, descriptors, memory_kib, nurseries, watches

_TICK = '\n[[step]]\nname = "tick"\nrun = "cp tick.txt tock.txt"\ninputs = ["tick.txt"]\noutputs = ["tock.txt"]\n'
_QUIET_SECONDS_MAX = 60.0
_VARIANTS = 4
#: After so many quiet moments a process has loaded what it ever will.
_WARM_ROUNDS = 15
_NOT_COMPARED = ("tick", "tock")
#: What a compiler leaves beside its output lies there only where it ran, not where its result came from the store.
_BY_THE_WAY = ".d"

_PROGRAM = """\
[[step]]
chef = "compiler"
program = "calc"
sources = ["src/main.c", "src/add.c", "src/mul.c"]
include = ["include"]

[[step]]
name = "run"
run = "./calc > result.txt"
inputs = ["calc"]
outputs = ["result.txt"]
"""

_DOCUMENT = """\
[[step]]
chef = "latex"
main = "paper.tex"

[[step]]
name = "table"
run = "sort table.csv > table.tex"
inputs = ["table.csv"]
outputs = ["table.tex"]
"""


def program_sources(variant: Mapping[str, int]) -> dict[str, str]:
    """A C project; ``variant``: which text each of its files has."""
    return {
        "cpods.toml": _PROGRAM + _TICK,
        "include/add.h": f"int add(int, int);\n#define MORE {variant.get('include/add.h', 0)}\n",
        "include/mul.h": f"int mul(int, int);\n/* {variant.get('include/mul.h', 0)} */\n",
        "src/add.c": f'#include "add.h"\nint add(int a, int b) {{ return a + b + {variant.get("src/add.c", 0)}; }}\n',
        "src/mul.c": f'#include "mul.h"\nint mul(int a, int b) {{ return a * b * {variant.get("src/mul.c", 0) + 1}; }}\n',
        "src/main.c": '#include <stdio.h>\n#include "add.h"\n#include "mul.h"\n'
        f'int main(void) {{ printf("%d %d {variant.get("src/main.c", 0)}\\n", add(1, MORE), mul(2, 3)); return 0; }}\n',
    }


def document_sources(variant: Mapping[str, int]) -> dict[str, str]:
    """A document with references across two parts, and a table that a step makes."""
    return {
        "cpods.toml": _DOCUMENT + _TICK,
        "paper.tex": "\\documentclass{article}\n\\begin{document}\n\\tableofcontents\n\\input{parts/one}\n\\input{parts/two}\n"
        f"\\input{{table}}\nEdition {variant.get('paper.tex', 0)}.\n\\end{{document}}\n",
        "parts/one.tex": f"\\section{{One {variant.get('parts/one.tex', 0)}}}\\label{{one}}\nSee \\ref{{two}} on page \\pageref{{two}}.\n",
        "parts/two.tex": "\\newpage\n" * variant.get("parts/two.tex", 0) + "\\section{Two}\\label{two}\nAfter \\ref{one}.\n",
        "table.csv": "".join(f"row {number} \\\\\n" for number in range(variant.get("table.csv", 0), -1, -1)),
    }


Sources = Callable[[Mapping[str, int]], dict[str, str]]
PROJECTS: dict[str, tuple[Sources, tuple[str, ...]]] = {
    "program": (program_sources, ("calc", "result.txt")),
    "document": (document_sources, ("paper.pdf", "table.tex")),
}


class Soak:
    """One run. ``products``: what may be spoilt by hand. Everything random comes from the seed."""

    def __init__(self, name: str, seed: int, base: Path, zygote: Zygote) -> None:
        self._name = name
        self._seed = seed
        self._sources, self._products = PROJECTS[name]
        self._random = random.Random(f"{seed} {name}")
        self._zygote = zygote
        self._base = base
        self.folder = base / "watched"
        self._variant: dict[str, int] = {}
        self._clean: dict[str, dict[str, bytes]] = {}
        self._rounds = 0
        self._words = ["--until-stable", "-k0", "-j2"]
        self._said: list[str] = []
        self._seen_figures: dict[int, list[tuple[int, int, int]]] = {}
        self.builds = 0
        for path, text in self._sources({}).items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)
        (self.folder / "tick.txt").write_text("0")
        self._watch = Watch(self.folder, *self._words)

    def run(self, seconds: float) -> None:
        """Rounds of changes and checks for about so long."""
        deadline = time.monotonic() + seconds
        try:
            self._until_quiet()
            while time.monotonic() < deadline or self._rounds < 2:
                self._rounds += 1
                self._said = []
                for _ in range(self._random.randint(1, 6)):
                    self._change()
                    self._watch.read(self._random.choice((0.0, 0.0, 0.02, 0.2)))
                self._mend()
                self._until_quiet()
                self._check()
            assert self._watch.end() == 0
        except AssertionError as error:
            raise AssertionError(f"seed {self._seed}, {self._name}, round {self._rounds}: {self._said}\n{error}") from error
        finally:
            self._watch.drop()
            for pid in processes_below(self.folder):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    # -- changes ---------------------------------------------------------------------------------------------------

    def _change(self) -> None:
        ways = {
            self._save: 12,
            self._save_two: 3,
            self._checkout: 3,
            self._touch: 2,
            self._rename: 2,
            self._delete: 2,
            self._move_folder: 1,
            self._spoil: 4,
            self._rebuild: 2,
            self._kill_watch: 1,
            self._kill_nursery: 1,
            self._kill_step: 2,
        }
        way = self._random.choices(list(ways), list(ways.values()))[0]
        self._said.append(way.__name__.strip("_"))
        way()

    def _paths(self) -> list[str]:
        return [path for path in self._sources({}) if path != "cpods.toml"]

    def _save(self) -> None:
        path = self._random.choice(self._paths())
        self._variant[path] = self._random.randrange(_VARIANTS)
        self._write(path)

    def _save_two(self) -> None:
        """Two editors at once: bytes of both are on their way before either is done."""
        paths = self._random.sample(self._paths(), 2)
        for path in paths:
            self._variant[path] = self._random.randrange(_VARIANTS)
        texts = self._sources(self._variant)
        for path in paths:
            (self.folder / path).parent.mkdir(exist_ok=True)
        with (self.folder / paths[0]).open("w") as one, (self.folder / paths[1]).open("w") as two:
            for file, path in ((one, paths[0]), (two, paths[1])):
                file.write(texts[path][:10])
                file.flush()
            for file, path in ((two, paths[1]), (one, paths[0])):
                file.write(texts[path][10:])

    def _write(self, path: str) -> None:
        """As one editor or another saves."""
        place, text = self.folder / path, self._sources(self._variant)[path]
        place.parent.mkdir(exist_ok=True)
        way = self._random.randrange(4)
        if way == 0:
            place.write_text(text)
        elif way == 1:
            beside = place.with_name(f".{place.name}.swp")
            beside.write_text(text)
            os.rename(beside, place)
        elif way == 2:
            with place.open("w") as file:
                file.write(text[: len(text) // 2])
                file.flush()
                self._watch.read(self._random.choice((0.0, 0.015)))
                file.write(text[len(text) // 2 :])
        else:
            place.unlink(missing_ok=True)
            place.write_text(text)
        if self._random.random() < 0.2:  # a clock that jumps
            then = time.time() + self._random.choice((-1e6, 1e6))
            os.utime(place, (then, then))

    def _checkout(self) -> None:
        number = self._random.randrange(_VARIANTS)
        self._variant = dict.fromkeys(self._paths(), number)
        for path in self._paths():
            self._write(path)

    def _touch(self) -> None:
        with suppress(FileNotFoundError):
            os.utime(self.folder / self._random.choice(self._paths()))

    def _rename(self) -> None:
        place = self.folder / self._random.choice(self._paths())
        with suppress(FileNotFoundError):
            os.rename(place, place.with_name("moved"))
            if self._random.random() < 0.5:
                self._watch.read(0.05)
                os.rename(place.with_name("moved"), place)

    def _delete(self) -> None:
        (self.folder / self._random.choice(self._paths())).unlink(missing_ok=True)

    def _move_folder(self) -> None:
        folder = self.folder / self._random.choice([path for path in self._paths() if "/" in path]).split("/")[0]
        if folder.exists():
            os.rename(folder, self._base / "aside")
            self._watch.read(self._random.choice((0.0, 0.1)))
            if self._random.random() < 0.5:
                os.rename(self._base / "aside", folder)
            else:
                shutil.copytree(self._base / "aside", folder)
                shutil.rmtree(self._base / "aside")

    def _spoil(self) -> None:
        product = self.folder / self._random.choice(self._products)
        if self._random.random() < 0.5:
            product.unlink(missing_ok=True)
        elif product.exists():
            product.write_text(f"by hand {self._random.random()}")

    def _rebuild(self) -> None:
        """Somebody else builds at the same time, and may be gone before the end."""
        pid = os.posix_spawnp(
            PROGRAM[0],
            [*PROGRAM, "rebuild", "-C", str(self.folder), "--until-stable"],
            environment(),
            file_actions=[(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)],
        )
        self._watch.read(self._random.choice((0.05, 0.3)))
        if self._random.random() < 0.3:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def _kill_watch(self) -> None:
        family = nurseries(self._watch.pid)
        self._watch.drop()
        self.builds += sum(event["event"] == "ended" for event in self._watch.events)
        deadline = time.monotonic() + _QUIET_SECONDS_MAX
        while any(Path(f"/proc/{pid}/fd").exists() and _lives(pid) for pid in family):
            assert time.monotonic() < deadline, f"the nursery {family} outlives its watch"
            os.sched_yield()
        self._watch = Watch(self.folder, *self._words)

    def _kill_nursery(self) -> None:
        for pid in nurseries(self._watch.pid):
            os.kill(pid, signal.SIGKILL)

    def _kill_step(self) -> None:
        for pid in processes_below(self.folder):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"cpods" not in words and b"python" not in words:
                    os.kill(pid, signal.SIGKILL)

    # -- quiet -----------------------------------------------------------------------------------------------------

    def _mend(self) -> None:
        """All sources are there again."""
        for path in self._paths():
            place = self.folder / path
            place.parent.mkdir(exist_ok=True)
            if not place.exists() or place.read_text() != self._sources(self._variant)[path]:
                self._write(path)
        for folder in {(self.folder / path).parent for path in self._paths()}:
            (folder / "moved").unlink(missing_ok=True)

    def _until_quiet(self) -> None:
        """A last change whose effect shows that everything before it has been seen."""
        (self.folder / "tick.txt").write_text(f"{self._rounds}")
        deadline = time.monotonic() + _QUIET_SECONDS_MAX
        while not self._is_quiet():
            assert time.monotonic() < deadline, (
                f"never quiet; last: {[_short(event) for event in self._watch.events[-12:]]} {self._watch.said()[-1500:]}"
            )
            self._watch.read(0.05)
            assert self._watch.process.poll() is None, f"the watch has ended: {self._watch.said()[-3000:]}"

    def _is_quiet(self) -> bool:
        try:
            if (self.folder / "tock.txt").read_text() != f"{self._rounds}":
                return False
        except FileNotFoundError:  # not made yet, or being made again
            return False
        while self._watch.read(0.0):
            pass
        # Made by a build that is over, or by somebody else's, which saw all that came before the tick too.
        return bool(self._watch.events) and self._watch.events[-1]["event"] == "watching"

    def _check(self) -> None:
        now = {
            path: data
            for path, data in without_paths(content(self.folder)).items()
            if not path.startswith(_NOT_COMPARED) and not path.endswith(_BY_THE_WAY)
        }
        clean = self._clean_build()
        wrong = sorted(path for path in now.keys() | clean.keys() if now.get(path) != clean.get(path))
        unlike = {path: (now.get(path, b"absent")[:300], clean.get(path, b"absent")[:300]) for path in wrong}
        assert wrong == [], f"not as a clean build: {unlike}; {[_short(event) for event in self._watch.events[-16:]]}"
        figures = watches(self._watch.pid), descriptors(self._watch.pid), memory_kib(self._watch.pid)
        known = self._grown(figures)
        assert figures[0] <= known[0] + 8 and figures[1] <= known[1] + 8, f"watches, files: {known} -> {figures}"
        assert figures[2] <= known[2] + (16 << 10), f"memory: {known} -> {figures}"

    def _grown(self, figures: tuple[int, int, int]) -> tuple[int, int, int]:
        """The figures of this watch when it had done everything a few times, the present ones until then."""
        seen = self._seen_figures.setdefault(self._watch.pid, [])
        seen.append(figures)
        return seen[_WARM_ROUNDS] if len(seen) > _WARM_ROUNDS else figures

    def _clean_build(self) -> dict[str, bytes]:
        key = repr(sorted(self._variant.items()))
        if key not in self._clean:
            folder = self._base / "clean" / str(len(self._clean)) / "watched"
            for path, text in {**self._sources(self._variant), "tick.txt": "0"}.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
            store = {"CPODS_STORE": str(self._base / "store"), "CPODS_MAJORDOMO": "off"}
            said = self._zygote.run(folder, "rebuild", "--until-stable", "--seed", "clean", env=store)
            assert said.code == 0, said.err
            found = without_paths(content(folder))
            self._clean[key] = {
                path: data for path, data in found.items() if not path.startswith(_NOT_COMPARED) and not path.endswith(_BY_THE_WAY)
            }
        return self._clean[key]


def _lives(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    return False


def _short(event: Event) -> object:
    return {name: value for name, value in event.items() if name in ("event", "step", "paths", "status", "errors", "text", "exit_code")}
