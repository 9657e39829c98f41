"""Keeps goals built: has them built again whenever something that they stand on has changed, and comes to rest.

Knows no terminal and no chef. How a build is done it is told by a Builder; what is shown, by a View.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from cpods.ids import FilePath, spoken
from cpods.resident.footing import Footing
from cpods.resident.grounds import Grounds
from cpods.resident.quiet import Quiet

#: So many builds in a row may be ended early by the same files, or find them changed at their end; then they change because of the build.
_BUILDS_IN_VAIN_MAX = 3
#: Where everything must be looked at again and again, the pause is so many times as long as the look.
_POLL_SHARE = 20.0
#: How often a project that is gone is looked for.
_GONE_SECONDS = 1.0


class Problem(NamedTuple):
    """What a build complains about."""

    message: str
    file: str | None = None
    line: int | None = None
    source: str | None = None


class Outcome(NamedTuple):
    """How a build ended: exit code, status as in the report, what was wrong.

    ``key``: the name of its null build, '' if it left nothing that a null build may stand on. ``lost``: its process was ended
    from outside; nothing is known of it.
    """

    code: int
    status: str
    problems: tuple[Problem, ...] = ()
    key: str = ""
    lost: bool = False


class Running(Protocol):
    """A build that goes on."""

    def steps(self) -> Sequence[str]:
        """The steps that run now."""

    def restart(self, steps: Sequence[str], changed: Sequence[FilePath]) -> bool:
        """Steps begin again, since these files changed that they read; False if it cannot do so, and is to be ended."""

    def cancel(self) -> None:
        """Ends it in good order: what is finished stays. Asked again, it hastens."""

    async def ended(self) -> Outcome:
        """Its end. May be asked for more than once."""


class Builder(Protocol):
    """Has builds done."""

    async def begin(self, footing: Footing | None) -> Running:
        """Begins one. ``footing``: what the last good one stood on, with what differs now."""

    def reads(self, step: str) -> frozenset[FilePath] | None:
        """What a step read when it last ran; None if that is not known."""

    def is_product(self, path: FilePath) -> bool:
        """Whether a step has made this file, as far as that is written down: what one is making now may be missing."""

    def footing(self, outcome: Outcome) -> Footing | None:
        """What the build that ended like this stood on; None if that cannot be told."""


class View(Protocol):
    """What the user sees of it."""

    def building(self, changed: Sequence[FilePath]) -> None:
        """A build begins; because of these, or the first."""

    def ended(self, outcome: Outcome) -> None:
        """It has ended."""

    def resting(self, watches: int, why_polling: str) -> None:
        """Nothing is to be done until something changes."""

    def note(self, text: str) -> None:
        """One sentence."""


class Attendant:
    """One standing order. Call :meth:`run`; cancelling it ends it in good order."""

    def __init__(self, root: str, grounds: Grounds, builder: Builder, view: View, is_rewritten: Callable[[], bool] = lambda: False) -> None:
        self._root = root
        self._grounds = grounds
        self._builder = builder
        self._view = view
        self._quiet = Quiet(is_rewritten)
        self._good = "good", id(self)
        self._bad = "bad", id(self)
        self._in_vain: tuple[frozenset[FilePath], int] = (frozenset(), 0)
        self._lost = 0
        self._early: tuple[frozenset[FilePath], int] = (frozenset(), 0)
        self._seen: dict[FilePath, Any] = {}

    def stirred(self) -> None:
        """The watch was told something."""
        self._quiet.stir()

    async def run(self) -> None:
        """Builds, rests until something changes, and so on. Ends only by being cancelled; a build that goes on is ended first."""
        changed: Sequence[FilePath] = ()
        while True:
            await self._until_there()
            again = await self._build(changed)
            changed = await self._until_changed() if again is None else again

    # -- building --------------------------------------------------------------------------------------------------

    async def _build(self, changed: Sequence[FilePath]) -> Sequence[FilePath] | None:
        """One build. What is to be built again at once, as it changed meanwhile; None for nothing."""
        self._view.building(changed)
        self._seen = {path: _stamp(self._root, path) for path in {*changed, *self._settled()}}
        for name in (self._good, self._bad):
            self._grounds.recent(name)  # what came until now the build sees from its beginning
        running = await self._builder.begin(self._grounds.get(self._good))
        try:
            late = await self._attend(running)
            outcome = await running.ended()
        except asyncio.CancelledError:
            running.cancel()
            self._view.ended(await running.ended())
            raise
        if late:
            return late
        self._lost = self._lost + 1 if outcome.lost else 0
        if self._lost:
            again = self._lost < _BUILDS_IN_VAIN_MAX
            self._view.note(f"{outcome.problems[0].message}; it is done again{'' if again else ' when something changes'}")
            if again:  # what it would have seen of the files is not known: waiting would miss it
                return changed
        self._early = frozenset(), 0
        self._stand_on(outcome)
        self._view.ended(outcome)
        return self._at_once() or None

    async def _attend(self, running: Running) -> list[FilePath]:
        """Until the build has ended. A step of which something changed that it reads begins again; where that cannot be, the
        build is ended early: what changed.
        """
        over = asyncio.ensure_future(running.ended())
        try:
            while not over.done():
                stirred = asyncio.ensure_future(self._quiet.stirred())
                await asyncio.wait({over, stirred}, return_when=asyncio.FIRST_COMPLETED)
                stirred.cancel()
                if over.done():
                    break
                late, steps = await self._disturbed(running)
                if not steps or over.done():
                    continue
                if not running.restart(steps, late):
                    running.cancel()
                    await asyncio.wait({over})
                    return late
                self._seen.update((path, _stamp(self._root, path)) for path in late)
                self._view.building(late)
            return []
        finally:
            over.cancel()

    async def _disturbed(self, running: Running) -> tuple[list[FilePath], list[str]]:
        """Sources that changed since the build began, and the running steps that read some of them."""
        await self._quiet.settle(lambda: False)
        self._grounds.gather()
        footings = [(name, footing) for name in (self._bad, self._good) if (footing := self._grounds.get(name)) is not None]
        made = frozenset[FilePath]().union(*(footing.products for _, footing in footings))
        late = [
            path
            for name, footing in footings
            for path in footing.suspects(self._grounds.recent(name))
            if path not in made and not self._builder.is_product(path) and self._is_news(footing, path)
        ]
        late = list(dict.fromkeys(late))
        if not late:
            return [], []
        reads = {step: self._builder.reads(step) for step in running.steps()}
        touched = {step: known for step, known in reads.items() if known is None or not known.isdisjoint(late)}
        files = frozenset(path for path in late if any(known is None or path in known for known in touched.values()))
        return late, list(touched) if touched and self._may_end_early(files) else []

    def _may_end_early(self, touched: frozenset[FilePath]) -> bool:
        """Whether it is not always the same files: a step that writes what it reads would be started again for ever."""
        last, count = self._early
        if touched == last and count >= _BUILDS_IN_VAIN_MAX:
            return False
        self._early = touched, count + 1 if touched == last else 1
        return True

    def _is_news(self, footing: Footing, path: FilePath) -> bool:
        """Whether a file is not as it was when the build began."""
        if path in self._seen:
            return bool(self._seen[path] != _stamp(self._root, path))
        return footing.is_changed(path)

    def _stand_on(self, outcome: Outcome) -> None:
        """What the build looked at is watched from now on."""
        footing = self._builder.footing(outcome)
        good = footing is not None and footing.standing is not None
        if footing is None:
            self._view.note("what this build looked at is not known; it is built again when something of the last good build changes")
        elif good:
            self._grounds.hold(self._good, footing)
            self._grounds.drop(self._bad)
        else:
            self._grounds.hold(self._bad, footing)

    def _at_once(self) -> list[FilePath]:
        """What changed while it was built, unless it changes because it is built."""
        found = self._settled()
        last, count = self._in_vain
        count = count + 1 if found and frozenset(found) == last else 0
        self._in_vain = frozenset(found), count
        if found and count >= _BUILDS_IN_VAIN_MAX:
            names = ", ".join(map(spoken, found[:3]))
            self._view.note(f"{names}: changed each time that it was built; it is built again when something else changes")
            self._in_vain = frozenset(), 0
            self._accept()
            return []
        return found

    def _accept(self) -> None:
        for name in (self._good, self._bad):
            footing = self._grounds.get(name)
            if footing is not None:
                footing.accepted |= footing.differing

    # -- resting ---------------------------------------------------------------------------------------------------

    async def _until_changed(self) -> list[FilePath]:
        self._view.resting(self._grounds.lookout.watches, self._grounds.lookout.why_polling)
        while True:
            await self._quiet.stirred()
            self._grounds.gather()
            if not self._concerns():
                self._forget()
                continue
            await self._quiet.settle(self._concerns_now)
            found = self._settled()
            if found:
                self._in_vain = frozenset(), 0
                return found

    def _concerns_now(self) -> bool:
        before = [self._grounds.pending(name) for name in (self._good, self._bad)]
        self._grounds.gather()
        after = [self._grounds.pending(name) for name in (self._good, self._bad)]
        return before != after and self._concerns()

    def _concerns(self) -> bool:
        """Whether something that the last build stood on may have changed."""
        return any(
            footing.concerns(self._grounds.pending(name))
            for name in (self._good, self._bad)
            if (footing := self._grounds.get(name)) is not None
        )

    def _forget(self) -> None:
        for name in (self._good, self._bad):
            self._grounds.taken(name)

    def _settled(self) -> list[FilePath]:
        """What differs from what the last build saw: by the last bad one where it looked, else by the last good one."""
        begun = time.monotonic()
        self._grounds.gather()
        bad, good = self._grounds.get(self._bad), self._grounds.get(self._good)
        found: list[FilePath] = []
        if bad is not None:
            self._grounds.check(self._bad)
            found += bad.news()
        if good is not None:
            self._grounds.check(self._good)
            found += [path for path in good.news() if bad is None or not bad.knows(path)]
        if self._grounds.lookout.why_polling:
            self._grounds.lookout.poll_seconds = max(1.0, _POLL_SHARE * (time.monotonic() - begun))
        return list(dict.fromkeys(found))

    async def _until_there(self) -> None:
        """A project that was moved away may come back."""
        if os.path.isdir(self._root):
            return
        self._view.note(f"{self._root} is gone; it is built again when it is back")
        while not os.path.isdir(self._root):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._quiet.stirred(), _GONE_SECONDS)


def _stamp(root: str, path: FilePath) -> Any:
    try:
        status = os.stat(os.path.join(root, path))
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def git_rewrites(root: str) -> Callable[[], bool]:
    """Tells whether git is in the middle of a checkout of the repository that a folder is in: it holds its index meanwhile."""
    places = list(_repositories(root))

    def asked() -> bool:
        for place in places:
            with suppress(OSError):
                return time.time() - os.stat(f"{place}/index.lock").st_mtime < _LOCK_SECONDS_MAX
        return False

    return asked


#: A lock of git's index that is older than this is a dead git's.
_LOCK_SECONDS_MAX = 30.0


def _repositories(folder: str) -> Iterable[str]:
    while True:
        place = os.path.join(folder, ".git")
        if os.path.isdir(place):
            yield place
        if folder == "/":
            return
        folder = os.path.dirname(folder)
