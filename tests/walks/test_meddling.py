"""Somebody works on the project while it is built: the next build in peace ends as if nothing had been built before.

A failure prints its seed; run it again with that number in place of the range.
"""

import random
from pathlib import Path

import pytest

from tests.helpers.sandbox import Sandbox

SOURCES = 5
STEPS = 9
MATCHES = 4
BUILDS = 6


class World:
    """Sources, a folder of files that patterns match, and steps that concatenate what they read."""

    def __init__(self, sandbox: Sandbox, rng: random.Random) -> None:
        self.sandbox = sandbox
        self.rng = rng
        self.count = 0
        self.reads: list[list[str]] = []
        for number in range(STEPS):
            choices = [f"s{n}" for n in range(SOURCES)] + [f"o{n}" for n in range(number)] + ["g/*.txt"]
            self.reads.append(rng.sample(choices, rng.randint(1, 3)))
        sandbox.write(
            "cpods.toml",
            "\n".join(
                f'[[step]]\nname = "k{n}"\nrun = "cat {" ".join(reads)} > o{n}"\ninputs = {reads!r}\noutputs = ["o{n}"]\n'
                for n, reads in enumerate(self.reads)
            ),
        )
        for number in range(SOURCES):
            self.save(f"s{number}")
        self.save("g/0.txt")

    def save(self, path: str) -> None:
        """New content, as an editor writes it: beside the place, then by rename."""
        self.count += 1
        self.sandbox.write(f"{path}.new", f"{path} {self.count}\n")
        (self.sandbox.root / f"{path}.new").rename(self.sandbox.root / path)

    def meddle(self) -> None:
        """Now and then: a save, a new or a lost match of the pattern, an output edited or deleted."""
        if self.rng.random() > 0.3:
            return
        what = self.rng.random()
        if what < 0.5:
            self.save(f"s{self.rng.randrange(SOURCES)}")
        elif what < 0.75:
            match = f"g/{self.rng.randrange(1, MATCHES)}.txt"
            if (self.sandbox.root / match).exists():
                (self.sandbox.root / match).unlink()
            else:
                self.save(match)
        else:
            output = self.sandbox.root / f"o{self.rng.randrange(STEPS)}"
            if output.exists() and self.rng.random() < 0.5:
                output.unlink()
            elif output.exists():
                output.write_text(f"by hand {self.count}\n")

    def expected(self) -> dict[str, str]:
        """What a clean build makes."""
        root, made = self.sandbox.root, dict[str, str]()
        matches = "".join(path.read_text() for path in sorted((root / "g").glob("*.txt")))
        for number, reads in enumerate(self.reads):
            parts = [matches if "*" in path else made[path] if path in made else (root / path).read_text() for path in reads]
            made[f"o{number}"] = "".join(parts)
        return made


@pytest.mark.parametrize("slices", [False, True], ids=["whole", "slices"])
@pytest.mark.parametrize("seed", range(12))
def test_a_build_in_peace_after_builds_that_were_meddled_with(ground: Path, seed: int, slices: bool) -> None:
    rng = random.Random(seed)
    sandbox = Sandbox(ground / "w", slices=slices, mends=slices)
    world = World(sandbox, rng)
    for _ in range(BUILDS):
        sandbox.meanwhile = world.meddle
        for _ in range(rng.randint(1, 2)):
            world.meddle()
            sandbox.build()  # it may fail: a file that it needs was deleted under its hands
        sandbox.meanwhile = lambda: None
        built = sandbox.build()
        assert built.exit_code == 0, f"seed {seed}: {built.said}"
        assert {path: sandbox.read(path).decode() for path in world.expected()} == world.expected(), f"seed {seed}"
        assert sandbox.build().runs == (), f"seed {seed}"
