"""How ``cpods watch`` has its goals built: a small change here and at once, everything else in a process of its own.

Knows no watch: it is told what changed.
"""

import asyncio
import gc
import os
import posix
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cpods.cli.flags import Flags
from cpods.ids import FilePath
from cpods.resident.attendant import Outcome, Running
from cpods.resident.builds import Forked, Records
from cpods.resident.crew import Crew
from cpods.resident.footing import Footing, of_good_build, read_ground

if TYPE_CHECKING:
    from cpods.session import Done
    from cpods.standing import Standing

_SAVE_SECONDS = 2.0
#: While a build runs elsewhere, what a slice needs is loaded here.
_PRELOAD_SECONDS = 0.05
#: So long after a small build the circles that it left are looked for: what was there before it is frozen, so this is quick.
_COLLECT_SECONDS = 0.02
#: Of more changed files than this the whole is looked at, in a process of its own.
_CHANGED_MAX = 50


class Builds:
    """See :class:`cpods.resident.attendant.Builder`. ``words``: the flags as on a command line."""

    def __init__(self, crew: Crew, flags: Flags, words: list[str], root: str, state: str) -> None:
        self._crew = crew
        self._flags = flags._replace(folder=root)
        self._words = words
        self._root = root
        self._state = state
        self._ground = os.path.join(state, "watch", f"ground-{os.getpid()}")
        _clear(os.path.dirname(self._ground))
        self._records = Records(os.path.join(state, "catalogue.db"))
        self._here: Footing | None = None
        self._last_good = False
        self._timer: asyncio.TimerHandle | None = None

    async def begin(self, footing: Footing | None) -> Running:
        """Begins a build."""
        self._records.close()  # the catalogue may have been made anew
        self._here = None
        with suppress(FileNotFoundError):
            os.unlink(self._ground)
        if self._timer is not None:
            self._timer.cancel()
        if self._last_good and footing is not None and self._can_be_cut(footing):
            from cpods.cli.watchslice import Cut

            return Cut(self._flags, footing, self._cut_ended, self._forked)
        asyncio.get_running_loop().call_later(_PRELOAD_SECONDS, _preload)
        return self._forked()

    def _forked(self) -> Forked:
        """A build of the whole in a process of its own. Raises OSError."""
        return Forked(self._crew, self._request())

    def _cut_ended(self, done: "Done", footing: Footing) -> None:
        if done.ending.status == "done":
            self._here = footing
            self._save_later(footing)
        elif done.ending.status != "interrupted":  # then nobody asks for it, and it may be every file of the project
            from cpods.resident.ground import footing_of

            self._here = footing_of(self._root, done.build, self._flags.goals)

    def _save_later(self, footing: Footing) -> None:
        """What a slice changed is written down when nothing happened for a while: of 100,000 steps that takes 0.1 s."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_SAVE_SECONDS, _tidy, footing)
        asyncio.get_running_loop().call_later(_COLLECT_SECONDS, gc.collect)

    def reads(self, step: str) -> frozenset[FilePath] | None:
        """As the catalogue has it."""
        return self._records.reads(step)

    def is_product(self, path: FilePath) -> bool:
        """As the catalogue has it."""
        return self._records.is_product(path)

    def footing(self, outcome: Outcome) -> Footing | None:
        """What the build looked at."""
        self._records.close()
        self._last_good = outcome.status == "done"
        here, self._here = self._here, None
        if here is not None:
            return here
        found = self._found(outcome)
        if found is not None and found.standing is not None:
            asyncio.get_running_loop().call_later(_PRELOAD_SECONDS, _warm, found.standing)
        return found

    def _found(self, outcome: Outcome) -> Footing | None:
        good = of_good_build(self._state, self._root, outcome.key, os.environ) if outcome.key else None
        return good or read_ground(self._ground, self._root) or self._bare()

    def close(self) -> None:
        """Leaves nothing behind. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        self._records.close()
        with suppress(FileNotFoundError):
            os.unlink(self._ground)

    def _can_be_cut(self, footing: Footing) -> bool:
        standing = footing.standing
        return (
            standing is not None
            and 0 < len(footing.differing) <= _CHANGED_MAX
            and not self._flags.federation
            and not self._flags.report
            and standing.is_current()
            and standing.circumstances_hold(os.environ)
        )

    def _request(self) -> Mapping[str, Any]:
        umask = os.umask(0o077)
        os.umask(umask)
        return {
            "watched": tuple(self._flags),
            "arguments": self._words,
            "ground": self._ground,
            "cwd": os.fsencode(self._root),
            "environment": dict(posix.environ),
            "umask": umask,
            "cores": sorted(os.sched_getaffinity(0)),
            "encodings": [(file.encoding, file.errors) if file is not None else None for file in (sys.stdin, sys.stdout, sys.stderr)],
        }

    def _bare(self) -> Footing | None:
        """What is certain of a build of which nothing is known: the project file and the goals."""
        from cpods.resident.ground import footing_of

        return footing_of(self._root, None, self._flags.goals)


def _clear(folder: str) -> None:
    """What watches that were killed left behind."""
    for name in os.listdir(folder):
        owner = name.removeprefix("ground-").partition(".")[0]
        if owner != name and not os.path.exists(f"/proc/{owner}"):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))


def _tidy(footing: Footing) -> None:
    footing.save()


def _warm(standing: "Standing") -> None:
    """The first slice takes ten times as long as later ones."""
    standing.slice([0])
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _preload() -> None:
    import cpods.cli.watchslice  # noqa: F401
