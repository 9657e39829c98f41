"""Projects to kill in the middle: slow, with several outputs a step, with knots; and what clean builds of them hold.

Knows no kill.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.helpers.calls import Zygote, content, write

BOOK = Path(__file__).parents[2] / "examples" / "book"

#: Plain steps that write several outputs in pieces, a knot of five passes behind them, and a step behind the knot.
GRAPH = """\
[[step]]
name = "slow"
run = "for i in 1 2 3 4 5 6; do sed s/$/$i/ seed.txt >> a.txt; echo $i >> b.txt; sleep 0.02; done"
inputs = ["seed.txt"]
outputs = ["a.txt", "b.txt"]

[[step]]
name = "slower"
run = "for i in 1 2 3; do cat a.txt >> c.txt; (sleep 0.03; cat b.txt >> sub/d.txt) & wait; done"
inputs = ["a.txt", "b.txt"]
outputs = ["c.txt", "sub/d.txt"]

[[step]]
name = "there"
run = "n=$(cat back.txt 2>/dev/null || echo 0); sleep 0.03; test $n -ge 4 || n=$((n+1)); echo $n > there.txt; cat c.txt > big.txt"
inputs = ["c.txt"]
optional = ["back.txt"]
outputs = ["there.txt", "big.txt"]

[[step]]
name = "back"
run = "sleep 0.03; cat there.txt > back.txt"
inputs = ["there.txt"]
outputs = ["back.txt"]

[[step]]
name = "final"
run = "cat there.txt > final.txt; sleep 0.05; cat a.txt >> final.txt"
inputs = ["there.txt", "a.txt"]
outputs = ["final.txt"]
"""


def make_graph(folder: Path, state: int) -> None:
    """The shell graph, with one of several sources."""
    (folder / "sub").mkdir(exist_ok=True)
    write(folder, cpods__toml=GRAPH, seed__txt=f"line of state {state}\n")


def make_book(folder: Path, state: int) -> None:
    """The book of the examples, with one of several texts."""
    for name in ("cpods.toml", "book.bib", "coverage.py", "orbit.py"):
        shutil.copy(BOOK / name, folder / name)
    text = (BOOK / "book.tex").read_text()
    (folder / "book.tex").write_text(text.replace("\\end{document}", f"\nThe {'very ' * state}end.\n\\end{{document}}"))


#: So many plain steps that launchers start them, two files each, written in pieces.
CROWD = 96


def make_crowd(folder: Path, state: int) -> None:
    """Many short steps beside each other."""
    (folder / "out").mkdir(exist_ok=True)
    steps = []
    for number in range(CROWD):
        one, other = (f"out/{number}.{name}" for name in "ab")
        run = f"echo {number} > {one}; sleep 0.002; cat seed.txt >> {one}; cat {one} > {other}; echo >> {other}"
        steps.append(f"""\
[[step]]
name = "one {number}"
run = "{run}"
inputs = ["seed.txt"]
outputs = ["{one}", "{other}"]
""")
    write(folder, cpods__toml="\n".join(steps), seed__txt=f"line of state {state}\n")


Make = Callable[[Path, int], None]
MAKES: dict[str, Make] = {"graph": make_graph, "book": make_book, "crowd": make_crowd}
STATES = 2


class References:
    """What clean builds of all states of a project hold, file by file, and how long one took."""

    def __init__(self, zygote: Zygote, make: Make, base: Path) -> None:
        self.built: list[dict[str, bytes]] = []
        for state in range(STATES):
            folder = base / str(state) / "project"
            folder.mkdir(parents=True)
            make(folder, state)
            started = time.monotonic()
            said = zygote.run(folder, "rebuild", "--until-stable", "--seed", "clean")
            self.seconds = time.monotonic() - started
            assert said.code == 0, said.err
            self.built.append(without_paths(content(folder)))

    def complete(self, path: str) -> set[bytes]:
        """All complete contents that a path can have."""
        return {built[path] for built in self.built if path in built}


def without_paths(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Without logs and SyncTeX, which name the folder and the time."""
    return {path: data for path, data in files.items() if not path.endswith((".log", ".synctex.gz"))}
