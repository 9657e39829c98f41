"""Products that are gone while all else is as a good build left it: what bytes are to stand where, and whose they are.

Knows no build: of anything but plain steps it says nothing. Standard library only.
"""

from __future__ import annotations

from cpods.store.columns import TYPE_CHECKING
from cpods.store.glance import catalogue_stamp
from cpods.store.mending import OBJECT_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpods.store.glance import Look
    from cpods.store.mending import Wanted

_ALGORITHM = "xxh3"


class Missing:
    """``steps``: numbers of those whose products are gone, in order; ``names`` of all; ``store``: the folder that has the bytes.

    ``is_first_ready``: whether the first of the steps waits for no other.
    """

    def __init__(self, steps: list[int], names: list[str], store: str, wanted: list[Wanted], is_first_ready: bool) -> None:
        self.steps = steps
        self.names = names
        self.store = store
        self.wanted = wanted
        self.is_first_ready = is_first_ready


def missing(found: Look, state: str) -> Missing | None:
    """What is missing; None if more than that is to be said of it. Raises ValueError, KeyError, OSError, TypeError, EOFError.

    Nothing more is to be said if nothing else differs, each of the files was made by one plain step that does not read it, and
    the catalogue was not written to since, so that it knows the files as the columns do.
    """
    header = found.load("header")
    if not header["store"] or header["catalogue"] != catalogue_stamp(state):
        return None
    if len(found.gone) != len(found.changed) or found.files.algorithm != _ALGORITHM:
        return None
    (names, declarations, reads, makes, _), _ = found.load("reach")
    makers = _makers(found.gone, _numbers(makes[0]), _numbers(makes[1]))
    if makers is None:
        return None
    plain = found.columns.raw("plain")
    places = memoryview(declarations).cast("I")
    knotted = {name for knot in found.load("summary")["report"]["knots"] for name in knot["steps"]}
    starts, read = _numbers(reads[0]), _numbers(reads[1])
    steps = sorted(set(makers.values()))
    for step in steps:
        if not plain[places[step]] or names[step] in knotted:
            return None
        for file in read[starts[step] : starts[step + 1]]:
            if makers.get(file) == step:
                return None
    wanted = found.files.listed(found.gone)
    if max([size for _, _, size in wanted]) > OBJECT_BYTES_MAX:
        return None
    made = set(_numbers(makes[1]))
    is_ready = len(steps) == 1 or made.isdisjoint(read[starts[steps[0]] : starts[steps[0] + 1]])
    return Missing(steps, names, header["store"], wanted, is_ready)


def _makers(files: Sequence[int], starts: list[int], made: list[int]) -> dict[int, int] | None:
    """The step that makes each of these files; None if one has none, or several."""
    wanted = set(files)
    found: dict[int, int] = {}
    step = 0
    for place, file in enumerate(made):
        if file in wanted:
            while starts[step + 1] <= place:
                step += 1
            if file in found:
                return None
            found[file] = step
    return found if len(found) == len(wanted) else None


def _numbers(data: bytes) -> list[int]:
    return memoryview(data).cast("I").tolist()
