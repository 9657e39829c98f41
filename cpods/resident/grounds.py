"""All footings of one project under one watch: what changed since each was last looked at.

Knows no build and no client. Whoever wants to know whether nothing changed first has the watch drained.
"""

import os
from collections.abc import Callable, Hashable

from cpods.ids import FilePath
from cpods.resident.footing import Footing
from cpods.scheduler.lookout import Changes, Lookout
from cpods.store.lock import filesystem_type, is_remote_type

#: So many footings are kept; the one used longest ago gives way.
_HELD_MAX = 8
#: Cookies of the watch lie here, below the state folder.
FOLDER = "watch"


class Grounds:
    """``on_change``: called in the loop when the watch told something. ``is_remote``: whether inotify cannot see into a folder."""

    def __init__(self, state: str, on_change: Callable[[], None], is_remote: Callable[[str], bool] | None = None) -> None:
        beside = os.path.join(state, FOLDER)
        os.makedirs(beside, exist_ok=True)
        self.lookout = Lookout(beside, on_change, is_remote if is_remote is not None else _Remote())
        self._held: dict[Hashable, Footing] = {}
        self._pending: dict[Hashable, Changes] = {}
        self._recent: dict[Hashable, Changes] = {}
        self._watched: set[str] = set()

    def hold(self, name: Hashable, footing: Footing) -> None:
        """Watches what this stands on from now on, then looks at all of it once; one that is held already was looked at."""
        self.gather()
        known = self._held.get(name)
        if known is footing:
            footing.renew()
            fresh = frozenset(self.watch())  # what a slice read there may have changed before anybody listened
            self._pending[name] = _joined(self._pending[name], Changes(below=fresh))
            return
        suspects = footing.follow(known, self._pending[name]) if known is not None else None
        if suspects is None:
            footing.find_linked()
        self.drop(name)
        if len(self._held) >= _HELD_MAX:
            self.drop(next(iter(self._held)))
        self._held[name], self._pending[name], self._recent[name] = footing, Changes(), Changes()
        self.watch()
        footing.look(suspects)

    def watch(self) -> set[str]:
        """Watches the folders of all footings, and no others. Those that were not watched until now."""
        held = self._held.values()
        before, self._watched = self._watched, set[str]().union(*(footing.folders() for footing in held))
        self.lookout.want(self._watched, set[str]().union(*(footing.linked for footing in held)))
        return self._watched - before

    def drop(self, name: Hashable) -> None:
        """Forgets a footing; one that is not held is no error."""
        footing = self._held.pop(name, None)
        if footing is not None:
            del self._pending[name], self._recent[name]
            footing.close()

    def get(self, name: Hashable) -> Footing | None:
        """A footing; its last use is now."""
        footing = self._held.pop(name, None)
        if footing is not None:
            self._held[name] = footing
        return footing

    def gather(self) -> None:
        """Takes over what the watch was told."""
        news = self.lookout.take()
        if news:
            for name, known in self._pending.items():
                self._pending[name] = _joined(known, news)
                self._recent[name] = _joined(self._recent[name], news)

    def pending(self, name: Hashable) -> Changes:
        """What may have changed of a footing since the last :meth:`taken`."""
        return self._pending.get(name, Changes())

    def taken(self, name: Hashable) -> Changes:
        """As :meth:`pending`; from now on it counts as looked at."""
        known = self.pending(name)
        if name in self._pending:
            self._pending[name] = Changes()
        return known

    def check(self, name: Hashable) -> list[FilePath]:
        """Has a footing look at what may have changed; what differs now (see :meth:`Footing.check`). One that is not held: nothing."""
        footing, changes = self._held.get(name), self.taken(name)
        if footing is None:
            return []
        if changes and not self.lookout.why_polling and footing.relink(changes):
            self.watch()  # and only then looks: what comes later is told
        return footing.check(changes)

    def recent(self, name: Hashable) -> Changes:
        """What came since this was last asked; it stays pending."""
        known = self._recent.get(name, Changes())
        if known:
            self._recent[name] = Changes()
        return known

    async def drained(self) -> bool:
        """Whether all that happened before this call has been gathered."""
        seen = await self.lookout.drained()
        self.gather()
        return seen

    def close(self) -> None:
        """Ends the watch. Idempotent."""
        for name in list(self._held):
            self.drop(name)
        self.lookout.close()


class _Remote:
    """Whether a folder lies on a file system that other machines change; asked once a device."""

    def __init__(self) -> None:
        self._known: dict[int, bool] = {}

    def __call__(self, folder: str) -> bool:
        try:
            device = os.stat(folder).st_dev
        except OSError:
            return False
        if device not in self._known:
            self._known[device] = is_remote_type(filesystem_type(folder))
        return self._known[device]


def _joined(one: Changes, other: Changes) -> Changes:
    if one.everything or other.everything:
        return Changes(everything=True)
    return Changes(one.paths | other.paths, one.below | other.below)
