"""The steward's small files: JSON, written beside and renamed, readable by their owner only.

Knows not what they say.
"""

from typing import TypeVar

import msgspec

from cpods.errors import StoreDamaged
from cpods.net.privatefiles import read_private, write_private

_T = TypeVar("_T")


def load(path: str, kind: type[_T], absent: _T) -> _T:
    """What the file says, ``absent`` where there is none.

    Raises StoreDamaged if it cannot be read as that, UsageError if others can read it.
    """
    try:
        return msgspec.json.decode(read_private(path), type=kind)
    except FileNotFoundError:
        return absent
    except msgspec.DecodeError as error:
        raise StoreDamaged(f"{path}: the steward cannot read its own note ({error}); put it right or remove it") from error


def save(path: str, content: object) -> None:
    """Replaces the file, durably. Raises OSError."""
    write_private(path, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
