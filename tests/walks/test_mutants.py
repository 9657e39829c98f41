"""The walks notice planted mistakes: each mutant of the product must make a walk diverge within a few walks.

Knows of the product only where each mutant is planted.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cpods.chefs.shell import ShellChef
from cpods.digest import ABSENT
from cpods.majordomo.knots import Knots
from cpods.majordomo.lookup import Lookup
from cpods.model import Solution
from cpods.store import workspace
from tests.helpers.shellactions import ACTIONS
from tests.helpers.walker import Diverged, ShellWalk

_WALKS_MAX = 40

Plant = Callable[[pytest.MonkeyPatch], None]


def _absent_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What was looked for and not found is no dependency."""
    whole = Lookup.differences

    def differences(self: Lookup, step: Any, reads: Any, *rest: Any) -> Any:
        return whole(self, step, [read for read in reads if read.digest != ABSENT], *rest)

    patch.setattr(Lookup, "differences", differences)


def _mtime_alone(patch: pytest.MonkeyPatch) -> None:
    """A file with its old modification time counts as unchanged."""
    patch.setattr(workspace, "proves", lambda state, stamp: state.mtime_ns == stamp[1])


def _warm_as_clean(patch: pytest.MonkeyPatch) -> None:
    """A result from a warm seed is stored as if it came from a clean one."""
    whole = Knots._completed

    def completed(self: Knots, knot: str, solution: Solution) -> Solution:
        return msgspec.structs.replace(whole(self, knot, solution), seed="clean")

    patch.setattr(Knots, "_completed", completed)


def _tools_forgotten(patch: pytest.MonkeyPatch) -> None:
    """The programs' contents are no part of a key."""
    patch.setattr(ShellChef, "fingerprint", lambda self, step, toolbox: "")


def _plan(seed: int, names: tuple[str, ...]) -> list[tuple[str, int]]:
    """Actions of the kinds that lead to the mistake sooner."""
    import random

    rng = random.Random(seed)
    assert set(names) <= ACTIONS.keys()
    return [(rng.choice(names), rng.randrange(1 << 28) * 4 + 1) for _ in range(5)]


def _first(plant: Plant) -> int:
    """The walk to begin with. One in twenty notices a warm result stored as clean: those before it would only take their time."""
    return 16 if plant is _warm_as_clean else 0


def _caught_at(ground: Path, names: tuple[str, ...], walks: range, knots: bool) -> int | None:
    """The first walk that diverges."""
    for seed in walks:
        try:
            ShellWalk(seed * 20, ground / str(seed), knots).go(_plan(seed, names))
        except Diverged:
            return seed
    return None


_MUTANTS = [
    pytest.param(_absent_forgotten, ("appear", "edit"), False, id="absent forgotten"),
    pytest.param(_mtime_alone, ("edit-in-place",), False, id="mtime alone"),
    pytest.param(_warm_as_clean, ("edit", "revert", "appear"), True, id="warm stored as clean"),
    pytest.param(_tools_forgotten, ("tool",), False, id="tool fingerprint forgotten"),
]


@pytest.mark.parametrize(("plant", "names", "knots"), _MUTANTS)
def test_mutant_is_caught(monkeypatch: pytest.MonkeyPatch, ground: Path, plant: Plant, names: tuple[str, ...], knots: bool) -> None:
    plant(monkeypatch)
    first = _first(plant)
    assert _caught_at(ground, names, range(first, first + _WALKS_MAX), knots) is not None


@pytest.mark.parametrize(("plant", "names", "knots"), _MUTANTS)
def test_the_same_walks_pass_without_the_mutant(ground: Path, plant: Plant, names: tuple[str, ...], knots: bool) -> None:
    first = _first(plant)
    assert _caught_at(ground, names, range(first, first + 2), knots) is None
