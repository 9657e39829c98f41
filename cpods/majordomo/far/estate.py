"""Who holds which artefact and who owns which path, as one MajorDomo knows it: the mirror in memory, the catalogue behind it.

Knows no step. The catalogue is the truth of this project; of what a pod holds, the pod is.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from cpods.errors import Unavailable
from cpods.ids import FilePath
from cpods.majordomo.far.fleet import Fleet
from cpods.model import Artefact
from cpods.net.messages import Owned
from cpods.net.questions import AskHeld, Disown, Forget, Held, Okay, Own
from cpods.net.stewardship import Handover
from cpods.ports import Claim, Owner, Ownership, Transfer
from cpods.scheduler.holdings import Holdings

_DIGESTS_MAX = 4000
#: A pod may take so long to read large copies again.
_CHECK_SECONDS = 60.0


class Records(Ownership, Protocol):
    """Ownership with what only a start needs: all of it at once."""

    async def owners(self) -> Mapping[FilePath, Owner]:
        """All owners by path."""

    async def held(self) -> Mapping[str, Mapping[str, int]]:
        """pod -> the artefacts that it holds (digest -> size)."""


class HereObjects(Protocol):
    """What the estate needs of the own store."""

    def has_here(self, digest: str) -> bool:
        """Whether the object is in the own store."""

    def commit(self) -> None:
        """Makes what was pulled durable."""


class Estate:
    """``here`` is this member's name in the catalogue. Call :meth:`load` once; :meth:`settle` tells pods at the end."""

    def __init__(self, here: str, project: str, fleet: Fleet, records: Records, objects: HereObjects, transfer: Transfer) -> None:
        self.here = here
        self._project = project
        self._fleet = fleet
        self._records = records
        self._objects = objects
        self._transfer = transfer
        self.holdings = Holdings()
        self.owners: dict[FilePath, Owner] = {}
        self._before: dict[FilePath, Owner] = {}
        self._told: set[FilePath] = set()
        self._pending: dict[FilePath, tuple[str, str]] = {}
        self._unsaved: dict[str, dict[str, int]] = {}
        self._astray: dict[str, dict[FilePath, int]] = {}
        self._untold: set[FilePath] = set()

    async def load(self) -> None:
        """Takes over what the catalogue knows."""
        self.owners = dict(await self._records.owners())
        self._before = dict(self.owners)
        for pod, artefacts in (await self._records.held()).items():
            self.holdings.hold_digests(pod, artefacts)

    # -- holders ---------------------------------------------------------------------------------------------------

    def hold(self, pod: str, artefacts: Mapping[str, int]) -> None:
        """``pod`` holds these now; written down with the next claim or flush."""
        fresh = {digest: size for digest, size in artefacts.items() if pod not in self.holdings.holders(digest)}
        if fresh:
            self.holdings.hold_digests(pod, fresh)
            self._unsaved.setdefault(pod, {}).update(fresh)

    def holders(self, digest: str) -> list[str]:
        """Pods that can be reached and hold an artefact."""
        return [pod for pod in self.holdings.holders(digest) if pod != self.here and self._fleet.is_there(pod)]

    def held_size(self, digest: str) -> int | None:
        """The artefact's size, if a pod that can be reached holds it."""
        return self.holdings.size(digest) if self.holders(digest) else None

    def is_held(self, digest: str) -> bool:
        """Whether a pod that can be reached holds an artefact."""
        return bool(self.holders(digest))

    def is_here(self, digest: str) -> bool:
        """Whether it is in the own store."""
        return self._objects.has_here(digest)

    async def confirm(self, digests: Sequence[str]) -> None:
        """Asks all pods which of these they hold, and believes them."""
        pages = [digests[start : start + _DIGESTS_MAX] for start in range(0, len(digests), _DIGESTS_MAX)]
        for page in pages:
            await asyncio.gather(*(self._confirm(pod, page) for pod in self._fleet.present()))

    async def _confirm(self, pod: str, digests: Sequence[str]) -> None:
        try:
            held = (await self._fleet.ask(pod, AskHeld(tuple(digests)), Held)).artefacts
        except (Unavailable, TimeoutError):  # it does not help now, but may well have them: the catalogue keeps that
            self._disbelieve(pod, digests)
            return
        gone = self._disbelieve(pod, [digest for digest in digests if digest not in held])
        if gone:
            await self._records.drop(pod, gone)
        self.hold(pod, held)

    def _disbelieve(self, pod: str, digests: Iterable[str]) -> list[str]:
        """In this build the pod does not count as a holder any more, until it says that it is; which it had been."""
        gone = [digest for digest in digests if pod in self.holdings.holders(digest)]
        self.holdings.drop(pod, self.holdings.ids(gone))
        for digest in gone:
            self._unsaved.get(pod, {}).pop(digest, None)
        return gone

    async def doubt(self, missing: Mapping[str, str]) -> None:
        """Somebody could not get these: who really has them? Who is believed to looks at its copies first: they may be bad."""
        suspects = {pod for digest in missing for pod in self.holders(digest)}
        await asyncio.gather(*(self._have_checked(pod, [d for d in missing if pod in self.holders(d)]) for pod in suspects))
        await self.confirm(list(missing))

    async def _have_checked(self, pod: str, digests: Sequence[str]) -> None:
        with suppress(Unavailable, TimeoutError):
            await self._fleet.ask(pod, Forget(tuple(digests)), Okay, _CHECK_SECONDS)

    async def bring(self, artefacts: Iterable[Artefact]) -> Mapping[Artefact, str]:
        """Pulls what is not here yet and makes it durable; what nobody delivers, with the reason."""
        wanted = {artefact: self.holders(artefact.digest) for artefact in artefacts if not self.is_here(artefact.digest)}
        if not wanted:
            return {}
        failed = dict(await self._transfer.pull_many(wanted))
        if failed:  # who has them by now? Those who were asked in vain may have lost them
            await self.doubt({artefact.digest: reason for artefact, reason in failed.items()})
            others = {one: [pod for pod in self.holders(one.digest) if pod not in wanted[one]] for one in failed}
            others = {one: pods for one, pods in others.items() if pods}
            again = await self._transfer.pull_many(others) if others else {}
            failed = {one: again.get(one, reason) for one, reason in failed.items() if one in again or one not in others}
        self._objects.commit()
        self.hold(self.here, {artefact.digest: artefact.size for artefact in wanted if artefact not in failed})
        return failed

    def give_up(self, artefacts: Iterable[Artefact]) -> None:
        """These cannot be had from those who say that they hold them: in this build they count as gone."""
        for artefact in artefacts:
            for pod in self.holders(artefact.digest):
                self._disbelieve(pod, [artefact.digest])

    # -- owners ----------------------------------------------------------------------------------------------------

    async def epochs(self, paths: Iterable[FilePath]) -> dict[FilePath, int]:
        """The epochs of paths, 0 for those that nobody owns."""
        wanted = list(paths)
        if any(path in self._pending for path in wanted):
            await self.flush()
        return {path: self.owners[path].epoch if path in self.owners else 0 for path in wanted}

    async def claim(self, claims: Sequence[Claim]) -> dict[FilePath, Owner]:
        """Compare-and-set of many paths in one transaction, with what pods hold; the owners of these paths now."""
        held, self._unsaved = self._unsaved, {}
        try:
            owners = await self._records.enter(claims, held)
        except BaseException:  # nothing was written: the next one writes it too
            for pod, artefacts in held.items():
                self._unsaved.setdefault(pod, {}).update(artefacts)
            raise
        for owner in owners:
            known = self.owners.get(owner.path)
            if known is not None and known.pod != owner.pod:  # it was told in this build that it owns the path
                self._astray.setdefault(known.pod, {})[owner.path] = owner.epoch
            self._astray.get(owner.pod, {}).pop(owner.path, None)
            self.owners[owner.path] = owner
            self._told.add(owner.path)
        return {path: self.owners[path] for path, *_ in claims}

    def reconcile(self, pod: str, owned: Iterable[Owned]) -> None:
        """``pod`` is back and says what it believes to own: :meth:`settle` tells it where it errs."""
        believed = {row.path: row for row in owned}
        for path, row in believed.items():
            owner = self.owners.get(path)
            if owner is not None and owner.pod != pod and owner.epoch >= row.epoch:
                self._astray.setdefault(pod, {})[path] = owner.epoch
        for path, owner in self.owners.items():
            if owner.pod == pod and (path not in believed or believed[path].epoch < owner.epoch):
                self._untold.add(path)

    async def take_over(self, notes: Iterable[Handover]) -> None:
        """Paths that passed from pod to pod while no MajorDomo was there to say so."""
        claims = []
        for note in notes:
            for row in note.paths:
                owner = self.owners.get(row.path)
                if owner is not None and owner.pod == note.pod and owner.digest == row.digest:
                    claims.append((row.path, owner.epoch, note.to, row.digest))
                    size = self.holdings.size(row.digest)
                    if size is not None:
                        self.hold(note.to, {row.digest: size})
        await self.claim(claims)

    def own(self, path: FilePath, digest: str, is_far: bool) -> None:
        """``path`` stands, here or on a pod; that one is to own it."""
        known = self.owners.get(path)
        if is_far:
            holders = self.holders(digest)
            if known is not None and known.digest == digest and known.pod in holders:
                self._pending.pop(path, None)
            elif holders:
                self._pending[path] = (holders[0], digest)
        elif known is None or (known.pod, known.digest) != (self.here, digest):
            self._pending[path] = (self.here, digest)
        else:
            self._pending.pop(path, None)

    async def flush(self) -> None:
        """Writes down what :meth:`own` noted."""
        pending, self._pending = self._pending, {}
        claims = [(path, self.owners[path].epoch if path in self.owners else 0, pod, digest) for path, (pod, digest) in pending.items()]
        await self.claim(claims)
        self._told.difference_update(pending)

    def tell_later(self, paths: Iterable[FilePath]) -> None:
        """:meth:`settle` tells the owners of these that they own them."""
        self._untold.update(paths)

    def changed(self) -> dict[FilePath, Owner]:
        """Paths that have another owner, or another version, than when this build began."""
        return {path: owner for path, owner in self.owners.items() if self._before.get(path) != owner}

    async def settle(self, restored: Iterable[FilePath] = ()) -> None:
        """Tells pods which paths they own now, own no more, or are to put right."""
        await self.flush()
        owns: dict[str, list[Owned]] = {}
        lost: dict[str, dict[FilePath, int]] = {}
        again = {*restored, *self._untold}
        for path, owner in self.owners.items():
            before = self._before.get(path)
            if path in again or (owner != before and path not in self._told):
                owns.setdefault(owner.pod, []).append(Owned(path, owner.epoch, owner.digest, owner.digest))
            if before is not None and before.pod != owner.pod:
                lost.setdefault(before.pod, {})[path] = owner.epoch
        for pod, paths in self._astray.items():
            if paths:
                lost.setdefault(pod, {}).update(paths)
        asked = [self._tell(pod, Own(self._project, tuple(rows))) for pod, rows in owns.items() if pod != self.here]
        asked += [self._tell(pod, Disown(self._project, paths)) for pod, paths in lost.items() if pod != self.here]
        await asyncio.gather(*asked)

    async def _tell(self, pod: str, message: Own | Disown) -> None:
        if self._fleet.is_there(pod):
            try:
                await self._fleet.ask(pod, message, Okay)
            except (Unavailable, TimeoutError):
                return  # it asks when it is back: Resume tells what it believes to own
