"""Watches single folders, wherever they lie, and keeps doing so when they are moved, deleted and made again.

Knows no project and no digest: it tells which paths may have changed, and when it cannot know.
"""

import asyncio
import errno
import itertools
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from cpods.scheduler.inotify import CREATE, ENTRIES, IGNORED, MOVED_TO, NAMES, OVERFLOW, UNMOUNT, Inotify, Told

#: How long the kernel may take to tell of the cookie before nothing can be promised.
COOKIE_SECONDS_MAX = 1.0
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Changes(NamedTuple):
    """What may have changed: these absolute paths, all below these folders, or, with ``everything``, anything."""

    paths: frozenset[str] = frozenset()
    below: frozenset[str] = frozenset()
    everything: bool = False

    def __bool__(self) -> bool:
        return bool(self.paths or self.below or self.everything)


class Lookout:
    """Watches of an event loop. ``on_change`` is called, in the loop, when :meth:`take` has something new.

    Folders above a wanted one are watched for the names on the way to it, so that it is found again when one of them is
    moved or made anew. ``beside``: an existing local folder for the cookies of :meth:`drained`. Where inotify cannot see
    (``is_remote``) or has no watches left, :attr:`why_polling` says so, and every ``poll_seconds`` everything may have changed.
    """

    def __init__(
        self,
        beside: str,
        on_change: Callable[[], None],
        is_remote: Callable[[str], bool] = lambda folder: False,
        poll_seconds: float = 1.0,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_change = on_change
        self._is_remote = is_remote
        self._beside = beside
        self.poll_seconds = poll_seconds
        self.why_polling = ""
        self._folders: set[str] = set()
        self._steps: dict[str, set[str]] = {}  # folder above a wanted one -> names that lead on
        self._watches: dict[int, set[str]] = {}  # watch -> folders (or single files) that it stands for
        self._whole: set[int] = set()  # of these, those that tell of more than names
        self._numbers: dict[str, int] = {}
        self._files: set[str] = set()
        self._paths: set[str] = set()
        self._below: set[str] = set()
        self._everything = False
        self._cookies: dict[str, asyncio.Future[None]] = {}
        self._count = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._inotify: Inotify | None = None
        self._begin()

    def _begin(self) -> None:
        try:
            self._inotify = Inotify()
            self._inotify.add(self._beside, CREATE)
        except OSError as error:
            self._poll(f"no inotify ({error.strerror})")
        if self._inotify is not None:
            self._loop.add_reader(self._inotify.fileno(), self._read)

    @property
    def watches(self) -> int:
        """How many inotify watches are in use."""
        return len(self._watches)

    def want(self, folders: Iterable[str], files: Iterable[str] = ()) -> None:
        """From now on these folders (absolute paths; they need not exist) are watched, and of others only what leads there.

        ``files``: single files that are to be watched under all their names. What was told before stays told. A folder that
        is newly watched counts as changed from top to bottom only if it comes into being later.
        """
        self._folders, self._files = set(folders), set(files)
        self._steps = _ways(self._folders)
        needed = self._folders | self._steps.keys() | self._files
        for path in [path for path in self._numbers if path not in needed]:
            self._drop(path)
        self.why_polling = "" if self._inotify is not None else self.why_polling
        for path in sorted(needed):
            number = self._numbers.get(path)
            if number is None or (path in self._folders and number not in self._whole):
                self._add(path)
        self._keep_polling()

    def take(self) -> Changes:
        """What has come since the last time."""
        found = Changes(frozenset(self._paths), frozenset(self._below), self._everything)
        self._paths, self._below, self._everything = set(), set(), False
        return found

    async def drained(self, seconds: float = COOKIE_SECONDS_MAX) -> bool:
        """Whether everything that happened before this call is in :meth:`take` now.

        A file is made in a watched folder and waited for: the kernel queues in order. False where it polls, or in doubt.
        """
        if self._inotify is None or self.why_polling:
            return False
        name = f".cookie-{os.getpid()}-{next(self._count)}"
        path = os.path.join(self._beside, name)
        seen = self._cookies[name] = self._loop.create_future()
        try:
            self._inotify.add(self._beside, CREATE)  # it may have been deleted and made again
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            os.unlink(path)
            await asyncio.wait_for(seen, seconds)
        except (OSError, TimeoutError):
            return False
        finally:
            del self._cookies[name]
        return not self.why_polling

    def close(self) -> None:
        """Ends all watches. Idempotent."""
        if self._inotify is not None:
            self._loop.remove_reader(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- watches ---------------------------------------------------------------------------------------------------

    def _add(self, path: str) -> bool:
        """Watches a folder or file if it is there; whether it is. Of several, those above come first: a folder that is made
        between the two calls is then either there already, or the one above tells of it.
        """
        if self._inotify is None:
            return os.path.exists(path)
        try:
            if path in self._folders and self._is_remote(path):
                self._poll(f"{path} lies on a file system whose changes the kernel does not tell of")
                return True
            if path in self._files:
                number = self._inotify.add_file(path)
            else:
                number = self._inotify.add(path, ENTRIES if path in self._folders else NAMES)
                if path in self._folders:
                    self._whole.add(number)
        except OSError as error:
            if error.errno in _GONE:
                return False
            if path in self._folders or path in self._files or error.errno == errno.ENOSPC:
                self._poll(_why(path, error))
            return True
        if self._numbers.get(path, number) != number:  # it is another folder by now
            self._drop(path)
        self._watches.setdefault(number, set()).add(path)
        self._numbers[path] = number
        return True

    def _drop(self, path: str) -> None:
        number = self._numbers.pop(path)
        users = self._watches[number]
        users.discard(path)
        if not users:
            del self._watches[number]
            self._whole.discard(number)
            if self._inotify is not None:
                self._inotify.remove(number)

    def _renew(self, folders: set[str]) -> None:
        """Folders on the way to wanted ones have come, gone or been replaced: all from there down is looked up again."""
        affected = [path for path in {*self._folders, *self._steps, *self._files} if not folders.isdisjoint(_upwards(path))]
        for path in affected:
            if path in self._numbers:
                self._drop(path)
        for path in sorted(affected):
            self._add(path)
        self._below |= folders

    def _renew_all(self) -> None:
        for path in list(self._numbers):
            self._drop(path)
        for path in sorted({*self._folders, *self._steps, *self._files}):
            self._add(path)

    # -- events ----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        assert self._inotify is not None
        cookies = []
        replaced: set[str] = set()
        for told in self._inotify.read():
            if told.name in self._cookies:
                cookies.append(told.name)
            else:
                self._hear(told, replaced)
        if replaced:
            self._renew(replaced)
        for name in cookies:
            if not self._cookies[name].done():
                self._cookies[name].set_result(None)
        if self._paths or self._below or self._everything:
            self._on_change()

    def _hear(self, told: Told, replaced: set[str]) -> None:
        """Notes what one entry of the queue says; ``replaced``: gets what must be looked up again."""
        if told.mask & OVERFLOW:
            self._everything = True
            self._renew_all()
            return
        for folder in list(self._watches.get(told.watch, ())):
            self._hear_of(folder, told, replaced)
        if told.mask & IGNORED:
            for folder in self._watches.pop(told.watch, set()):
                self._numbers.pop(folder, None)
            self._whole.discard(told.watch)

    def _hear_of(self, folder: str, told: Told, replaced: set[str]) -> None:
        if folder in self._files:
            self._paths.add(folder)
        elif not told.name:
            if not told.mask & IGNORED:
                replaced.add(folder)
            if told.mask & UNMOUNT:
                self._everything = True
        else:
            path = f"{folder.rstrip('/')}/{told.name}"
            if told.name in self._steps.get(folder, ()) and told.mask & NAMES:
                replaced.add(path)
            if folder in self._folders:
                self._paths.add(path)
                if path in self._files and told.mask & (CREATE | MOVED_TO):
                    replaced.add(path)

    # -- polling ---------------------------------------------------------------------------------------------------

    def _poll(self, why: str) -> None:
        self.why_polling = self.why_polling or why
        self._keep_polling()

    def _keep_polling(self) -> None:
        if self.why_polling and self._timer is None:
            self._timer = self._loop.call_later(self.poll_seconds, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        if self.why_polling:
            self._everything = True
            self._keep_polling()
            self._on_change()


def _upwards(path: str) -> list[str]:
    """A path and all folders above it."""
    found = [path]
    while path != "/":
        path = os.path.dirname(path)
        found.append(path)
    return found


def _ways(folders: Iterable[str]) -> dict[str, set[str]]:
    """For each folder above one of these the names that lead on from there."""
    ways: dict[str, set[str]] = {}
    for folder in folders:
        while folder != "/":
            above, name = os.path.split(folder)
            known = ways.setdefault(above, set())
            if name in known:
                break
            known.add(name)
            folder = above
    return ways


def _why(path: str, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "this user has no inotify watches left (sysctl fs.inotify.max_user_watches=… gives more)"
    return f"{path} cannot be watched ({error.strerror})"
