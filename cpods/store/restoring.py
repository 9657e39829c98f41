"""Files that are being brought back from the store, while the build goes on: making one costs more than deciding on it.

Knows no digest's meaning and no step; the folder says what goes where, and waits before anybody looks.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from cpods.ids import FilePath
from cpods.store.files import Stamp, stamp_of
from cpods.store.packs import Stored

#: Fewer files than this are made without a thread.
_CROWD = 64
#: With more files than this waiting, who hands over one more makes one: both cores are busy, and a wait for all is short.
_WAITING_MAX = 256


class Wanted(NamedTuple):
    """A file to be made: project path, absolute path, digest, verified bytes."""

    path: FilePath
    absolute: str
    digest: str
    stored: Stored


class Restored(NamedTuple):
    """A file that was made. ``checked_ns``: wall clock before it had its name."""

    path: FilePath
    digest: str
    stamp: Stamp
    checked_ns: int


class Restorer:
    """Makes files in a thread of its own, if there are many. ``place`` makes one whole file and returns its status."""

    def __init__(self, place: Callable[[Stored, str], os.stat_result], now_ns: Callable[[], int]) -> None:
        self._place = place
        self._now_ns = now_ns
        self._waiting: deque[Wanted] = deque()
        self._made: deque[Restored] = deque()
        self._errors: deque[OSError] = deque()
        self._thread: threading.Thread | None = None

    def give(self, wanted: Wanted) -> None:
        """The file is made by the end of :meth:`drain`. Returns at once, or after making one file."""
        self._waiting.append(wanted)
        if len(self._waiting) > _WAITING_MAX:
            self._make_one()
        elif len(self._waiting) >= _CROWD and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._make_all, name="restoring", daemon=True)
            self._thread.start()

    def drain(self) -> list[Restored]:
        """Waits until every file is there or was tried; returns those made since the last call. See :meth:`error`."""
        self._make_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        made = list(self._made)
        self._made.clear()
        return made

    def abandon(self) -> list[Restored]:
        """As :meth:`drain`, but files that nobody has begun are not made; errors are forgotten."""
        self._waiting.clear()
        made = self.drain()
        self._errors.clear()
        return made

    def error(self) -> OSError | None:
        """The first of the errors since the last call."""
        errors = list(self._errors)
        self._errors.clear()
        return errors[0] if errors else None

    def _make_all(self) -> None:
        while self._make_one():
            pass

    def _make_one(self) -> bool:
        """Whether there was one to make."""
        try:
            wanted = self._waiting.popleft()
        except IndexError:
            return False
        checked_ns = self._now_ns()
        try:
            try:
                status = self._place(wanted.stored, wanted.absolute)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(wanted.absolute), exist_ok=True)
                status = self._place(wanted.stored, wanted.absolute)
        except OSError as error:
            error.filename = wanted.absolute  # the user knows nothing of the temporary name
            self._errors.append(error)
        else:
            self._made.append(Restored(wanted.path, wanted.digest, stamp_of(status), checked_ns))
        return True
