"""``cpods artefact refresh | move | copy | pin``: brings artefacts here or there, and passes ownership on.

Knows no wire: wares does the asking.
"""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cpods.cli.asking import ask_pod
from cpods.cli.desk import told
from cpods.cli.store import human
from cpods.cli.wares import HERE, Ware, Wares, wares
from cpods.digest import ABSENT
from cpods.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from cpods.ports import Owner


def run_refresh(folder: str, federation: str, path: str, to: str, no_wait: bool) -> int:
    """Brings the owner's version of a file here or to a pod; the exit code."""
    return told(lambda: _refresh(folder, federation, path, to, not no_wait))


def run_move(folder: str, federation: str, path: str, to: str, no_wait: bool) -> int:
    """Passes the ownership of a file on; the exit code."""
    return told(lambda: _move(folder, federation, path, to, not no_wait))


def run_copy(folder: str, federation: str, what: str, to: str, pin: bool) -> int:
    """Copies an artefact to a pod or here, and (``pin``) keeps it there for good; the exit code."""
    return told(lambda: _copy(folder, federation, what, to, pin))


async def _refresh(folder: str, federation: str, path: str, to: str, wait: bool) -> int:
    async with wares(folder, federation, lock=to in ("", HERE), wait=wait) as store:
        ware, owner = await store.owned(path)
        if to not in ("", HERE):
            print(f"{ware.name}: {_moved(await store.bring_to(to, ware), to)}")
            return 0
        if store.site.folder.digest(ware.path) == ware.digest:
            print(f"{ware.name}: 0 bytes: it is there already")
            return 0
        moved = await store.bring_here(ware)
        await _install(store, ware)
        how = _moved(moved, "the project folder") if moved else "0 bytes moved: taken from the store here"
        print(f"{ware.name}: version of {owner.pod} (epoch {owner.epoch}), {how}")
    return 0


async def _install(store: Wares, ware: Ware) -> None:
    """Puts the owner's version into the folder; what somebody wrote there by hand is kept as an artefact."""
    from cpods.ports import Changes

    site = store.site
    before = site.folder.digest(ware.path)
    written = site.memory.written.get(ware.path)
    if before != ABSENT and (written is None or written.digest != before):
        kept = site.objects.put_file(site.folder.absolute(ware.path))
        site.objects.commit()
        print(f"{ware.path}: what was there is kept as {kept.digest}")
    try:
        site.folder.install(ware.path, ware.digest)
    except KeyError as error:
        raise Unavailable(f"{ware.path}: the copy in the store here was damaged; call again, another holder is asked then") from error
    site.folder.refresh(ware.path)
    await store.catalogue.save(Changes(files=site.folder.take_changed_states()))


async def _move(folder: str, federation: str, path: str, to: str, wait: bool) -> int:
    async with wares(folder, federation, lock=True, wait=wait) as store:
        ware, owner = await store.owned(path)
        if owner.pod == to:
            print(f"{ware.name}: {to} owns it already (epoch {owner.epoch})")
            return 0
        if to == HERE:
            moved = await store.bring_here(ware)
            await _install(store, ware)
        else:
            moved = await store.bring_to(to, ware)
        claim = (ware.path, owner.epoch, to, ware.digest)
        now = await store.catalogue.ownership.claim(*claim)
        if not now.won_by(claim):
            raise UsageError(f"{ware.name}: {now.pod} has become its owner meanwhile (epoch {now.epoch}); look again and repeat")
        await _tell_owners(store, owner, now)
        print(f"{ware.name}: {to} owns it now (epoch {now.epoch}, before: {owner.pod}); {_moved(moved, to)}")
    return 0


async def _tell_owners(store: Wares, before: "Owner", now: "Owner") -> None:
    """The catalogue is the truth; the new owner, the mirror and the old owner learn it."""
    from cpods.net.messages import Owned
    from cpods.net.questions import Disown, Okay, Own
    from cpods.net.stewardship import OwnerEntry, mirror_key
    from cpods.net.wire import encode

    if store.links is None:
        return
    home, bus, live = store.links
    if now.pod in live:
        row = Owned(now.path, now.epoch, now.digest, now.digest)
        await ask_pod(home, bus, now.pod, Own(store.project, (row,)), Okay)
    entry = OwnerEntry(store.project, now.path, now.epoch, now.pod, now.digest)
    try:
        await bus.kept.put_owner(mirror_key(store.project, now.path), encode(entry))
    except Unavailable as error:  # a mirror only: what counts is in the catalogue already
        print(f"the broker's copy of the map of owners was not brought up to date: {error}", file=sys.stderr)
    if before.pod in live:
        await ask_pod(home, bus, before.pod, Disown(store.project, {before.path: before.epoch}), Okay)


async def _copy(folder: str, federation: str, what: str, to: str, pin: bool) -> int:
    from cpods.aftercare import PIN_FACT
    from cpods.ports import Changes

    async with wares(folder, federation) as store:
        ware = await store.find(what)
        moved = await store.bring_here(ware) if to == HERE else await store.bring_to(to, ware, pin)
        if pin and to == HERE:
            await store.catalogue.save(Changes(facts={PIN_FACT + ware.digest: ware.path}))
    kept = f"kept for good {'in the store here' if to == HERE else 'on ' + to}; " if pin else ""
    print(f"{ware.name}: {kept}{_moved(moved, 'the store here' if to == HERE else to)}")
    return 0


def _moved(moved: Mapping[str, int], to: str) -> str:
    """What travelled, in words."""
    if not sum(moved.values()):
        return "0 bytes: it is there already"
    return ", ".join(f"{human(count)} from {pod} to {to}" for pod, count in sorted(moved.items()) if count)
