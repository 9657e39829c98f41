"""What a user does to a shell project between two builds: each action is a function of a random number and the folder.

Knows no build; see walker for the comparison.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.helpers.sandbox import Sandbox
from tests.helpers.shellworld import (
    KINDS,
    MAYBE,
    PARTS,
    SOURCES,
    Recipe,
    ShellWorld,
    listed,
    recipe_of,
    script,
    some_lines,
    with_feedback,
    with_new_step,
)


@dataclass
class Scene:
    """The project as the user sees it, the folder it lies in, and how it was earlier."""

    world: ShellWorld
    place: Sandbox
    past: list[ShellWorld]


Action = Callable[[random.Random, Scene], str]


def _edit(rng: random.Random, scene: Scene) -> str:
    path = rng.choice([path for path in SOURCES if path in scene.world.sources] or ["note.txt"])
    _set(scene, path, some_lines(rng))
    return path


def _edit_in_place(rng: random.Random, scene: Scene) -> str:
    """Another content of the same size under the old modification time."""
    path = rng.choice([path for path in SOURCES if path in scene.world.sources] or ["note.txt"])
    data = scene.world.sources.get(path, b"n\n")
    file = scene.place.root / path
    times = file.stat() if file.exists() else None
    _set(scene, path, data.translate(bytes.maketrans(b"abcde", b"bcdea")))
    with open(file, "r+b") as opened:
        opened.write(scene.world.sources[path])
    if times is not None:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    return path


def _touch(rng: random.Random, scene: Scene) -> str:
    path = rng.choice(sorted(scene.world.sources))
    if (scene.place.root / path).exists():
        os.utime(scene.place.root / path)
    return path


def _note(rng: random.Random, scene: Scene) -> str:
    """Changes what only stamps show."""
    _set(scene, "note.txt", f"n{rng.randrange(4)}\n".encode())
    return "note.txt"


def _script(rng: random.Random, scene: Scene) -> str:
    _set(scene, "gen.sh", script(rng))
    return "gen.sh"


def _list(rng: random.Random, scene: Scene) -> str:
    """Changes what a step with a depfile reads, products of other steps among it."""
    products = [path for recipe in scene.world.recipes if recipe.kind not in ("dep", "stamped") for path in recipe.outputs]
    _set(scene, "list.txt", listed(rng, [*SOURCES, *MAYBE, *products]))
    return "list.txt"


def _appear(rng: random.Random, scene: Scene) -> str:
    """A file that was looked for, or that a pattern matches, appears or goes."""
    path = rng.choice((*MAYBE, *PARTS))
    if path in scene.world.sources:
        return _drop(scene, path)
    _set(scene, path, some_lines(rng))
    return path


def _delete(rng: random.Random, scene: Scene) -> str:
    present = [path for path in SOURCES if path in scene.world.sources]
    return _drop(scene, rng.choice(present)) if present else "nothing"


def _rename(rng: random.Random, scene: Scene) -> str:
    """A source gets the name of another one, and (mostly) those who read it follow."""
    old, new = rng.choice(SOURCES), rng.choice((*SOURCES, *MAYBE))
    data = scene.world.sources.get(old)
    if data is None or old == new:
        return "nothing"
    _drop(scene, old)
    _set(scene, new, data)
    if rng.random() < 0.7:
        recipes = (replace(r, inputs=tuple(dict.fromkeys(new if p == old else p for p in r.inputs))) for r in scene.world.recipes)
        scene.world = replace(scene.world, recipes=tuple(recipes))
    return f"{old} to {new}"


def _forge(rng: random.Random, scene: Scene) -> str:
    """Edits a product by hand."""
    path = rng.choice(scene.world.outputs())
    if not (scene.place.root / path).exists():
        return "nothing"
    scene.place.write(path, b"forged\n")
    return path


def _lose(rng: random.Random, scene: Scene) -> str:
    """Deletes a product."""
    path = rng.choice(scene.world.outputs())
    (scene.place.root / path).unlink(missing_ok=True)
    return path


def _add_step(rng: random.Random, scene: Scene) -> str:
    scene.world = with_new_step(rng, scene.world)
    return scene.world.recipes[-1].name


def _remove_step(rng: random.Random, scene: Scene) -> str:
    """A step goes, and its products with it."""
    if len(scene.world.recipes) < 3:
        return "nothing"
    gone = rng.choice(scene.world.recipes)
    scene.world = replace(scene.world, recipes=tuple(recipe for recipe in scene.world.recipes if recipe is not gone))
    return gone.name


def _change_step(rng: random.Random, scene: Scene) -> str:
    """A step gets another command line and other inputs under its old name."""
    index = rng.randrange(len(scene.world.recipes))
    old = scene.world.recipes[index]
    if old.kind in ("stamped", "unstamp"):
        return "nothing"
    made = [path for recipe in scene.world.recipes[:index] if recipe.kind != "stamped" for path in recipe.outputs]
    kinds = [kind for kind in KINDS if kind not in ("stamped", old.kind)]
    _put(scene, index, recipe_of(rng, old.name, rng.choice(kinds), [*SOURCES, *made]))
    return old.name


def _rename_output(rng: random.Random, scene: Scene) -> str:
    """A step names its first output otherwise; who reads it follows."""
    index = rng.randrange(len(scene.world.recipes))
    old = scene.world.recipes[index].outputs[0]
    new = f"{scene.world.recipes[index].name}.{rng.choice(('out', 'alt'))}"
    if new in scene.world.outputs():
        return "nothing"
    names = {old: new}
    scene.world = replace(scene.world, recipes=tuple(_renamed(recipe, names) for recipe in scene.world.recipes))
    return f"{old} to {new}"


def _renamed(recipe: Recipe, names: dict[str, str]) -> Recipe:
    inputs, optional, outputs = (tuple(names.get(p, p) for p in paths) for paths in (recipe.inputs, recipe.optional, recipe.outputs))
    return replace(recipe, inputs=inputs, optional=optional, outputs=outputs)


def _reorder(rng: random.Random, scene: Scene) -> str:
    recipes = list(scene.world.recipes)
    index = rng.randrange(len(recipes) - 1) if len(recipes) > 1 else 0
    recipes[index : index + 2] = reversed(recipes[index : index + 2])
    scene.world = replace(scene.world, recipes=tuple(recipes))
    return recipes[index].name


def _feedback(rng: random.Random, scene: Scene) -> str:
    """A circle more, if the walk has circles at all."""
    if not scene.world.knots:
        return "nothing"
    scene.world = with_feedback(rng, scene.world)
    return "edges"


def _tool(rng: random.Random, scene: Scene) -> str:
    """The tool in PATH is replaced by another one of the same size."""
    scene.world = replace(scene.world, tool=rng.choice(("V0", "V1", "V2")))
    return scene.world.tool


def _flavour(rng: random.Random, scene: Scene) -> str:
    scene.world = replace(scene.world, flavour=rng.choice(("sweet", "sour", "salty")))
    return scene.world.flavour


def _revert(rng: random.Random, scene: Scene) -> str:
    """The whole project as it was some builds ago."""
    index = rng.randrange(len(scene.past))
    scene.world = scene.past[index]
    return str(index)


#: By name, with how often each comes up.
ACTIONS: dict[str, tuple[int, Action]] = {
    "edit": (5, _edit),
    "edit-in-place": (3, _edit_in_place),
    "touch": (1, _touch),
    "note": (2, _note),
    "script": (1, _script),
    "list": (2, _list),
    "appear": (3, _appear),
    "delete": (1, _delete),
    "rename": (1, _rename),
    "forge": (2, _forge),
    "lose": (2, _lose),
    "add-step": (2, _add_step),
    "remove-step": (1, _remove_step),
    "change-step": (2, _change_step),
    "rename-output": (1, _rename_output),
    "reorder": (1, _reorder),
    "feedback": (1, _feedback),
    "tool": (2, _tool),
    "flavour": (1, _flavour),
    "revert": (4, _revert),
}


def choose(rng: random.Random) -> tuple[str, int]:
    """An action's name and the number that it is a function of."""
    name = rng.choices(list(ACTIONS), [weight for weight, _ in ACTIONS.values()])[0]
    return name, rng.randrange(1 << 30)


def _set(scene: Scene, path: str, data: bytes) -> None:
    scene.world = replace(scene.world, sources={**scene.world.sources, path: data})


def _drop(scene: Scene, path: str) -> str:
    scene.world = replace(scene.world, sources={name: data for name, data in scene.world.sources.items() if name != path})
    return path


def _put(scene: Scene, index: int, recipe: Recipe) -> None:
    recipes = list(scene.world.recipes)
    recipes[index] = recipe
    scene.world = replace(scene.world, recipes=tuple(recipes))
