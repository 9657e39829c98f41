"""A note on the last build, if all that it did was to bring products back: which steps' they were. `cpods why` tells it.

Knows no build. Beside the catalogue, where a row a step would take as long as the files themselves.
"""

from __future__ import annotations

import os

from cpods.store.columns import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = "mended"


def note(state: str, steps: Iterable[str], others: Iterable[str]) -> None:
    """``steps``: whose products came back; ``others``: that had nothing to do. Raises OSError; then there is no note."""
    text = "\n".join(["\n".join(steps), "", "\n".join(others), ""])
    try:
        with open(os.path.join(state, _NAME), "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except OSError:
        forget(state)
        raise


def noted(state: str) -> dict[str, str]:
    """Step -> ``cached`` or ``up_to_date``; none if the last build was of another kind."""
    try:
        with open(os.path.join(state, _NAME), encoding="utf-8", errors="surrogateescape") as file:
            steps, _, others = file.read().partition("\n\n")
    except OSError:
        return {}
    return {**dict.fromkeys(others.split("\n"), "up_to_date"), **dict.fromkeys(steps.split("\n"), "cached")}


def forget(state: str) -> None:
    """The last build is another one."""
    try:  # noqa: SIM105  contextlib takes time to load
        os.unlink(os.path.join(state, _NAME))
    except OSError:
        pass
