"""A small project of shell steps as data: sources, recipes, an own tool, a variable; made at random, with knots and failures.

Knows nothing of cpods but the format of its project file; :func:`naive_pass` runs the recipes by ``sh`` itself.
"""

import json
import random
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

KINDS = ("copy", "first", "digit", "sorted", "picky", "moody", "stamped", "two", "glob", "looked", "dep", "flavour", "tool", "script")
#: Kinds that use optional files, and so can be part of a knot.
LOOPING = ("digit", "sorted", "moody")
_LINES = ("a", "b", "c", "d 1", "d 2", "BAD", "e")
SOURCES = ("s0.txt", "s1.txt", "s2.txt", "s3.txt")
MAYBE = ("maybe0.txt", "maybe1.txt")
PARTS = ("parts/p0.txt", "parts/p1.txt", "parts/p2.txt")
_SMALL = "cksum | cut -c 1 | tr 1-9 012301230"


@dataclass(frozen=True)
class Recipe:
    """One shell step. ``inputs`` must be there, ``optional`` may be."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    optional: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def run(self) -> str:
        """The command line."""
        first, out, last = self.inputs[0] if self.inputs else "", self.outputs[0], self.outputs[-1]
        all_of = " ".join((*self.inputs, *self.optional))
        return {
            "copy": f"cat {all_of} > {out}",
            "first": f"head -n 1 {first} > {out}",
            "digit": f"x=$(cat {all_of} 2>/dev/null | {_SMALL}); echo {self.name} $x > {out}",
            "sorted": f'x=$(cat {all_of} 2>/dev/null | sort -u | head -n 6); echo "$x" > {out}',
            "picky": f"if grep -q BAD {first}; then echo BAD in {first} >&2; exit 1; fi; cat {all_of} > {out}",
            "moody": f'x=$(cat {all_of} 2>/dev/null | {_SMALL}); if [ "$x" = 3 ]; then exit 4; fi; echo $x > {out}',
            "stamped": f'x=$(cat note.txt); (echo "# stamp $x"; cat {first}) > {out}',
            "unstamp": f"grep -v '^# stamp' {first} > {out} || true",
            "two": f"head -n 1 {first} > {out}; tail -n 1 {first} > {last}",
            "glob": f"cat parts/*.txt 2>/dev/null > {out}; true",
            "looked": f"cat {all_of} 2>/dev/null > {out}; true",
            "dep": f"cat {first} $(cat list.txt) 2>/dev/null > {out}; echo {out}: list.txt $(cat list.txt) > {out}.d",
            "flavour": f"printf '%s\\n' \"$FLAVOUR\" > {out}",
            "tool": f"mytool {first} > {out}",
            "script": f"./gen.sh {first} > {out}",
        }[self.kind]

    def toml(self) -> str:
        """The step's table in cpods.toml."""
        fields: dict[str, object] = {"name": self.name, "run": self.run, "outputs": list(self.outputs)}
        fields["inputs"] = ["parts/*.txt"] if self.kind == "glob" else list(self.inputs)
        if self.optional:
            fields["optional"] = list(self.optional)
        if self.kind == "stamped":
            fields["insignificant"] = ["^# stamp "]
        if self.kind == "dep":
            fields["depfile"] = self.outputs[0] + ".d"
        if self.kind == "flavour":
            fields["env"] = ["FLAVOUR"]
        return "[[step]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())


@dataclass(frozen=True)
class ShellWorld:
    """A whole project: what a user edits. Sources by path."""

    sources: Mapping[str, bytes]
    recipes: tuple[Recipe, ...]
    tool: str = "V0"
    flavour: str = "sweet"
    knots: bool = False

    def files(self) -> dict[str, bytes]:
        """All files that stand in the folder before the first build."""
        return {**self.sources, "cpods.toml": "\n".join(recipe.toml() for recipe in self.recipes).encode()}

    def tool_script(self) -> bytes:
        """The content of ``mytool``, which lies in PATH outside of the project."""
        return f'#!/bin/sh\ncat "$@"; echo {self.tool}\n'.encode()

    def outputs(self) -> list[str]:
        """All declared outputs, in order."""
        return [path for recipe in self.recipes for path in recipe.outputs]

    def without_products(self) -> "ShellWorld":
        """Sources that a recipe makes are no sources."""
        made = set(self.outputs())
        return replace(self, sources={path: data for path, data in self.sources.items() if path not in made})


def some_lines(rng: random.Random) -> bytes:
    """The content of a source: few lines of a small alphabet, so that contents come back."""
    count = rng.randint(1, 3)
    return "".join(rng.choice(_LINES[:5] if rng.random() < 0.9 else _LINES) + "\n" for _ in range(count)).encode()


def listed(rng: random.Random, world_paths: list[str]) -> bytes:
    """The content of list.txt: what a depfile step reads besides what it declares."""
    return (" ".join(rng.sample(world_paths, k=min(len(world_paths), rng.randint(0, 2)))) + "\n").encode()


def make(rng: random.Random, knots: bool = True) -> ShellWorld:
    """A random project of 3 to 8 steps."""
    sources = {path: some_lines(rng) for path in SOURCES}
    sources |= {"note.txt": b"n0\n", "list.txt": listed(rng, [*SOURCES, *MAYBE]), "gen.sh": script(rng)}
    sources |= {path: some_lines(rng) for path in (*PARTS[:2], *MAYBE[:1]) if rng.random() < 0.5}
    world = ShellWorld(sources, (), knots=knots)
    for _ in range(rng.randint(3, 8)):
        world = with_new_step(rng, world)
    return replace(world, recipes=_with_feedback(rng, world.recipes) if knots else world.recipes)


def script(rng: random.Random) -> bytes:
    """A program that lies in the project."""
    return f'#!/bin/sh\ncat "$@"; echo {rng.choice("xyz")}\n'.encode()


def with_new_step(rng: random.Random, world: ShellWorld) -> ShellWorld:
    """One more step at the end, over sources and what earlier steps make."""
    number = next(n for n in range(1000) if all(recipe.name not in (f"t{n}", f"u{n}") for recipe in world.recipes))
    kinds = (*KINDS, *LOOPING, *LOOPING) if world.knots else tuple(kind for kind in KINDS)
    recipe = recipe_of(rng, f"t{number}", rng.choice(kinds), _readable(world))
    more: tuple[Recipe, ...] = (recipe,)
    if recipe.kind == "stamped":
        more = (recipe, Recipe(f"u{number}", "unstamp", recipe.outputs, (), (f"u{number}.out",)))
    return replace(world, recipes=world.recipes + more)


def _readable(world: ShellWorld) -> list[str]:
    """What any step may read: not the stamped files, whose readers must not look at the stamp."""
    return [*SOURCES, *(path for recipe in world.recipes if recipe.kind != "stamped" for path in recipe.outputs)]


def recipe_of(rng: random.Random, name: str, kind: str, readable: list[str]) -> Recipe:
    """A recipe of a kind with random inputs, later files more likely."""
    recent = readable[-3:] if rng.random() < 0.6 else readable
    inputs = tuple(dict.fromkeys(rng.choice(recent) for _ in range(rng.randint(1, 2))))
    optional: tuple[str, ...] = ()
    if kind in ("first", "two", "tool", "picky", "stamped"):
        inputs = inputs[:1]
    if kind == "stamped":
        inputs = (*inputs, "note.txt")
    if kind in ("glob", "flavour"):
        inputs = ()
    if kind == "dep":
        inputs = (inputs[0], "list.txt")
    if kind == "script":
        inputs = (*inputs[:1],)
    if kind in ("looked", *LOOPING) and rng.random() < 0.7:
        optional = (rng.choice(MAYBE),)
    outputs = (f"{name}.out", f"{name}.more") if kind == "two" else (f"{name}.out",)
    return Recipe(name, kind, inputs, optional, outputs)


def _with_feedback(rng: random.Random, recipes: tuple[Recipe, ...]) -> tuple[Recipe, ...]:
    """Optional reads of what later steps (or the step itself) make."""
    looped = []
    for index, recipe in enumerate(recipes):
        later = [path for other in recipes[index:] if other.kind != "stamped" for path in other.outputs]
        if recipe.kind in LOOPING and later and rng.random() < 0.6:
            recipe = replace(recipe, optional=tuple(dict.fromkeys((*recipe.optional, rng.choice(later)))))
        looped.append(recipe)
    return tuple(looped)


def with_feedback(rng: random.Random, world: ShellWorld) -> ShellWorld:
    """Some more feedback edges."""
    return replace(world, recipes=_with_feedback(rng, world.recipes))


def naive_pass(world: ShellWorld, folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Runs every recipe once by ``sh`` in a folder; the outputs that are not as they were before (empty at a fixed point)."""
    moved = []
    for recipe in world.recipes:
        before = {path: _bytes(folder / path) for path in recipe.outputs}
        own = {**environment, "FLAVOUR": world.flavour}
        done = subprocess.run(["sh", "-c", recipe.run], cwd=folder, env=own, capture_output=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            moved.append(f"{recipe.name}: exit code {done.returncode}")
        moved += [path for path, data in before.items() if _bytes(folder / path) != data]
    return moved


def _bytes(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None
