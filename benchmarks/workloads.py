"""All workloads that can be simulated or run, by name.

Knows what each is called and which module makes it, not how.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.library import library
from benchmarks.recipes import RECIPES, Recipe, recipe
from benchmarks.synthetic import dask_dag, layered, shared_database, stress
from benchmarks.wfformat import from_wfformat
from benchmarks.workload import Workload
from benchmarks.workloadfiles import load, save

__all__ = [
    "CHOICES",
    "DATA",
    "RECIPES",
    "Recipe",
    "Workload",
    "books",
    "by_name",
    "dask_dag",
    "from_wfformat",
    "layered",
    "load",
    "recipe",
    "recorded",
    "recorded_names",
    "save",
    "shared_database",
    "stress",
]

#: Where the recorded workloads lie.
DATA = Path(__file__).parent / "data"


def recorded(name: str) -> Workload:
    """A real project as it was built once. Raises ValueError for an unknown one."""
    if name not in recorded_names():
        raise ValueError(f"No project {name!r} was recorded; choose one of {', '.join(recorded_names())}.")
    return load(DATA / f"{name}.json")


def recorded_names() -> list[str]:
    """All that :func:`recorded` knows, in alphabetical order."""
    return sorted(path.stem for path in DATA.glob("*.json"))


def books(copies: int = 40, seed: int = 1) -> Workload:
    """A library of so many books, each like the recorded one."""
    return library(recorded("book"), copies, seed)


class _Family(NamedTuple):
    """Workloads that differ in numbers. ``usual``: what each number is if it is not given; ``least``: the smallest that makes sense."""

    form: str
    make: Callable[..., Workload]
    usual: tuple[int, ...]
    least: tuple[int, ...]


_FAMILIES = {
    "layered": _Family("layered:STEPS:SEED", layered, (1_000_000, 1), (1, 0)),
    "stress": _Family("stress:SEED:SOURCES:STEPS:LINKS", stress, (1, 200, 2000, 100), (0, 2, 1, 1)),
    "dask-dag": _Family("dask-dag:SEED", dask_dag, (1,), (0,)),
    "shared-database": _Family("shared-database:STEPS:SEED:MEGABYTES", shared_database, (1000, 1, 2000), (1, 0, 0)),
    "books": _Family("books:COPIES:SEED", books, (40, 1), (1, 0)),
}

#: What :func:`by_name` takes, for help texts.
CHOICES = (
    f"RECIPE:TASKS:SEED (recipes: {', '.join(each.name for each in RECIPES)}); "
    f"{', '.join(family.form for family in _FAMILIES.values())}; recorded projects: {', '.join(recorded_names())}; a .json file"
)


def by_name(text: str) -> Workload:
    """The workload that a command line means: ``Montage:1000:1``, ``layered:1000000:1``, ``stress:3``, ``books:40``, ``curl``, ``my.json``.

    Numbers at the end may be left out. Raises ValueError with one sentence that names the choices; OSError if a file cannot be read,
    ImportError if a recipe is asked for and WfCommons is missing.
    """
    if text.endswith(".json"):
        if not Path(text).is_file():
            raise ValueError(f"Workload {text!r} is unknown: there is no such file; choose from: {CHOICES}.")
        return load(text)
    name, *numbers = text.split(":")
    if name in recorded_names() and not numbers:
        return recorded(name)
    family = _family(name)
    if family is None:
        raise ValueError(f"Workload {text!r} is unknown; choose from: {CHOICES}.")
    if len(numbers) > len(family.usual) or not all(re.fullmatch(r"[0-9]{1,9}", number) for number in numbers):
        raise ValueError(f"Workload {text!r} is not of the form {family.form}.")
    given = [int(number) for number in numbers]
    if any(number < least for number, least in zip(given, family.least, strict=False)):
        raise ValueError(f"Workload {text!r} is too small: {family.form} begins at {':'.join(map(str, family.least))}.")
    return family.make(*given, *family.usual[len(given) :])


def _family(name: str) -> _Family | None:
    known = {each.name.lower(): each.name for each in RECIPES}.get(name.lower())
    if known is not None:
        return _Family(f"{known}:TASKS:SEED", partial(recipe, known), (1000, 1), (1, 0))
    return _FAMILIES.get(name.lower())
