"""The paths that this pod owns: their files below the work folder, watched, and told of when somebody edits or damages one.

Knows no order and no bus; who is to be told gets it by a callable.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress

from cpods.digest import ABSENT, of_file
from cpods.ids import FilePath
from cpods.net.messages import Owned
from cpods.pod.slots import owned_folder
from cpods.pod.tree import check_paths
from cpods.ports import Objects, Watcher
from cpods.store.files import stat_regular
from cpods.store.outbox import Outbox, OwnedPath

Tell = Callable[[str, str, tuple[Owned, ...]], Awaitable[None]]


class OwnedPaths:
    """Owned files in ``<work>/<project>/owned/``, remembered in the outbox's file.

    ``watch(folder)`` gives a watcher. ``tell(majordomo, project, paths)`` says what is not as it should be.
    """

    def __init__(self, work: str, objects: Objects, notes: Outbox, watch: Callable[[str], Watcher], tell: Tell) -> None:
        self._work = work
        self._objects = objects
        self._notes = notes
        self._watch = watch
        self._tell = tell
        self._owned = {project: dict(paths) for project, paths in notes.owned().items()}
        self._changing = asyncio.Lock()
        self._watched: set[str] = set()
        self._given: asyncio.Queue[tuple[str, str, Mapping[FilePath, tuple[int, str]]]] = asyncio.Queue()
        self._group: asyncio.TaskGroup | None = None

    def all(self, project: str = "") -> dict[str, tuple[Owned, ...]]:
        """Owned paths by project; of one project, if it is named."""
        chosen = {project: self._owned.get(project, {})} if project else self._owned
        return {name: tuple(_message(one) for one in paths.values()) for name, paths in chosen.items() if paths}

    def give(self, project: str, majordomo: str, paths: Mapping[FilePath, tuple[int, str]]) -> None:
        """As :meth:`own`, later: what results became is put into place by and by."""
        self._given.put_nowait((project, majordomo, paths))

    async def own(self, project: str, majordomo: str, paths: Mapping[FilePath, tuple[int, str]]) -> None:
        """Takes paths, each with (epoch, digest), and puts their artefacts into place. An older epoch changes nothing.

        Raises KeyError for an artefact that is not in the store, UsageError for a path outside of the project, OSError.
        """
        check_paths(tuple(paths))
        async with self._changing:
            known = self._owned.setdefault(project, {})
            fresh = [
                OwnedPath(project, path, epoch, digest, digest, majordomo)
                for path, (epoch, digest) in paths.items()
                if path not in known or known[path].epoch <= epoch
            ]
            await asyncio.to_thread(self._put, project, fresh)
            self._notes.own(fresh)
            known.update((one.path, one) for one in fresh)
        self._watch_over(project)

    async def disown(self, project: str, paths: Mapping[FilePath, int]) -> None:
        """Gives paths up, unless this pod has a higher epoch than the one given; their files go."""
        async with self._changing:
            known = self._owned.get(project, {})
            gone = [path for path, epoch in paths.items() if path in known and known[path].epoch <= epoch]
            self._notes.disown(project, gone)
            for path in gone:
                del known[path]
                with suppress(OSError):
                    os.unlink(self._absolute(project, path))

    async def look(self, project: str, paths: Iterable[FilePath] = ()) -> None:
        """Compares files (all of the project, if none are named) with what should be there, and tells of each new difference."""
        async with self._changing:
            known = self._owned.get(project, {})
            named = [known[path] for path in (paths or known) if path in known]
            changed = await asyncio.to_thread(self._compare, named)
            if not changed:
                return
            self._notes.own(changed)
            known.update((one.path, one) for one in changed)
        for majordomo in dict.fromkeys(one.majordomo for one in changed):
            wrong = tuple(_message(one) for one in changed if one.majordomo == majordomo and one.now != one.digest)
            if wrong:
                await self._tell(majordomo, project, wrong)

    async def run(self) -> None:
        """Watches until cancelled; what changed while the pod was away is told first."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for project in tuple(self._owned):
                self._watch_over(project)
            while True:
                given = [await self._given.get()]
                while not self._given.empty():
                    given.append(self._given.get_nowait())
                await self._take_in(given)

    async def _take_in(self, given: Sequence[tuple[str, str, Mapping[FilePath, tuple[int, str]]]]) -> None:
        """What was given meanwhile, in one go; if some of it cannot be had, one by one, so that the rest can."""
        together: dict[tuple[str, str], dict[FilePath, tuple[int, str]]] = {}
        for project, majordomo, paths in given:
            together.setdefault((project, majordomo), {}).update(paths)
        for (project, majordomo), paths in together.items():
            try:
                await self.own(project, majordomo, paths)
            except (KeyError, OSError):
                for path, entry in paths.items():
                    with suppress(KeyError, OSError):  # evicted, or no room: it is told of when asked for
                        await self.own(project, majordomo, {path: entry})

    def _watch_over(self, project: str) -> None:
        if self._group is not None and project not in self._watched:
            self._watched.add(project)
            self._group.create_task(self._follow(project), name=f"watch over {project}")

    async def _follow(self, project: str) -> None:
        folder = owned_folder(self._work, project)
        os.makedirs(folder, exist_ok=True)
        async with aclosing(self._watch(folder).changes()) as changes:  # type: ignore[type-var]
            async for paths in changes:
                if paths and not any(path in self._owned.get(project, {}) for path in paths):
                    paths = self._below(project, paths)
                    if not paths:
                        continue
                await self.look(project, paths)

    def _below(self, project: str, folders: Iterable[FilePath]) -> frozenset[FilePath]:
        """Owned paths below these folders, of which a watcher may tell instead of their files."""
        prefixes = tuple(f"{folder}/" for folder in folders)
        return frozenset(path for path in self._owned.get(project, {}) if path.startswith(prefixes))

    def _put(self, project: str, paths: Iterable[OwnedPath]) -> None:
        for one in paths:
            absolute = self._absolute(project, one.path)
            if _digest(absolute, self._objects.algorithm) != one.digest:
                os.makedirs(os.path.dirname(absolute), exist_ok=True)
                self._objects.export(one.digest, absolute)

    def _compare(self, paths: Iterable[OwnedPath]) -> list[OwnedPath]:
        """Entries whose file is another one now than when it was last looked at. Edited bytes are kept in the store."""
        changed = []
        for one in paths:
            absolute = self._absolute(one.project, one.path)
            now = _digest(absolute, self._objects.algorithm)
            if now != one.now:
                changed.append(one._replace(now=now))
                if now not in (ABSENT, one.digest):
                    with suppress(OSError):
                        self._objects.put_file(absolute)
        if changed:
            self._objects.commit()
        return changed

    def _absolute(self, project: str, path: FilePath) -> str:
        return os.path.join(owned_folder(self._work, project), path)


def _digest(path: str, algorithm: str) -> str:
    return ABSENT if stat_regular(path) is None else of_file(path, algorithm)[0]


def _message(one: OwnedPath) -> Owned:
    return Owned(one.path, one.epoch, one.digest, one.now)
