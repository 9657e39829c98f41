"""How much a store has grown since it was last measured, so that a build need not look at every object for its quota.

Knows no object. The file is a hint: whoever finds it missing, odd or old measures again.
"""

import os
from contextlib import suppress

_FILE = "growth"
#: After so many builds the store is measured in any case.
_BUILDS_MAX = 200
#: When a store is beyond its quota, it is emptied down to this share of it.
KEPT_SHARE = 0.9


def is_due(root: str, max_bytes: int, added_bytes: int) -> bool:
    """Whether a store that just grew by so much is to be measured; if not, the growth is noted."""
    measured = _noted(root)
    if measured is None or measured + added_bytes > max_bytes:
        return True
    if added_bytes:
        with suppress(OSError), open(os.path.join(root, _FILE), "a", encoding="ascii") as file:
            file.write(f"{added_bytes}\n")
    return False


def measured(root: str, total_bytes: int) -> None:
    """Notes what was measured."""
    path = os.path.join(root, _FILE)
    with suppress(OSError):
        with open(f"{path}.{os.getpid()}", "w", encoding="ascii") as file:
            file.write(f"{total_bytes}\n")
        os.replace(f"{path}.{os.getpid()}", path)


def _noted(root: str) -> int | None:
    try:
        with open(os.path.join(root, _FILE), encoding="ascii") as file:
            lines = file.read().splitlines()
        return None if not 0 < len(lines) <= _BUILDS_MAX else sum(map(int, lines))
    except (OSError, ValueError):
        return None
