"""The owners of the TeX trees as found by an earlier build of any project of the user: finding them reads each package's list of files.

Knows no key. An entry holds as long as the records that it was made from have the same stamps, as within one project.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from cpods.chefs.packages import PackageList, stamp
from cpods.digest import of_parts


def place(environment: Mapping[str, str], parts: Sequence[str]) -> str:
    """Where the owners are kept that ``parts`` (records, trees) lead to; '' if the user has no cache."""
    home = environment.get("HOME", "")
    cache = environment.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else "")
    return f"{cache}/cpods/owners/{of_parts(parts).rpartition(':')[2]}" if cache.startswith("/") else ""


def recalled(path: str, find: Callable[[], PackageList | None]) -> PackageList | None:
    """The owners that are kept at ``path`` (see :func:`place`), else those that ``find`` finds, kept from now on.

    What stands in the way of keeping them is no error.
    """
    if not path:
        return find()
    with suppress(OSError, msgspec.MsgspecError):
        with open(path, "rb") as file:
            kept = msgspec.json.decode(file.read(), type=PackageList)
        if all(stamp(mark[0]) == mark for mark in kept.stamps):
            return kept
    found = find()
    if found is not None:
        with suppress(OSError):
            _keep(path, found)
    return found


def _keep(path: str, found: PackageList) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(msgspec.json.encode(found))
        os.rename(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise
