"""``cpods store stat | fsck | collect``: the store's size, its health, its quota.

Knows no step; what must be kept is session's to say.
"""

import os
import sys
from typing import TYPE_CHECKING

from cpods.cli.clean import project_or_defaults
from cpods.cli.desk import check_folder, say_error, told
from cpods.errors import StoreDamaged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cpods.declaration import StoreSettings
    from cpods.wiring import Places

_DAMAGED_SHOWN = 10


def run_stat(folder: str) -> int:
    """Prints what the store holds; the exit code."""
    return told(lambda: _stat(folder))


def run_fsck(folder: str, rebuild: bool, no_wait: bool) -> int:
    """Verifies the store, with ``rebuild`` makes the catalogue anew; 6 if something was damaged."""
    return told(lambda: _fsck(folder, rebuild, not no_wait))


def run_collect(folder: str, no_wait: bool) -> int:
    """Evicts what was used longest ago until the store is within its quota; the exit code."""
    return told(lambda: _collect(folder, not no_wait))


def _places(folder: str) -> "tuple[Places, StoreSettings]":
    from cpods.wiring import places

    check_folder(folder)
    settings = project_or_defaults(folder).store
    return places(folder, settings, os.environ), settings


def _on_wait(text: str) -> None:
    print(f"waiting: {text}", file=sys.stderr)


async def _stat(folder: str) -> int:
    from cpods.store.collect import stat

    where, settings = _places(folder)
    usage = stat(where.store)
    print(f"store: {where.store}")
    print(f"objects: {usage.objects}, {human(usage.object_bytes)} of at most {human(settings.max_bytes)}")
    print(f"manifests: {usage.manifests}, {human(usage.manifest_bytes)}")
    if usage.quarantined:
        print(f"quarantined: {usage.quarantined} damaged objects, kept for inspection")
    return 0


async def _fsck(folder: str, rebuild: bool, wait: bool) -> int:
    from cpods.store.collect import fsck

    where, settings = _places(folder)
    if not os.path.isdir(where.store):
        print("nothing to verify: there is no store yet")
        return 0
    checked = fsck(where.store)
    print(f"{checked.objects} objects and {checked.lines} records verified")
    if rebuild:
        await _rebuild(where, settings, wait)
    elif checked.damaged and os.path.exists(where.catalogue):
        await _forget(where, settings, checked.damaged, wait)
    if not checked.damaged and not checked.dropped:
        return 0
    if checked.damaged:
        more = f" and {len(checked.damaged) - _DAMAGED_SHOWN} more" if len(checked.damaged) > _DAMAGED_SHOWN else ""
        say_error(f"damaged and set aside: {', '.join(checked.damaged[:_DAMAGED_SHOWN])}{more}; the next build makes them again")
    if checked.dropped:
        say_error(f"{checked.dropped} unreadable record{'s' if checked.dropped != 1 else ''} dropped; the steps concerned may run again")
    return StoreDamaged.exit_code


async def _rebuild(where: "Places", settings: "StoreSettings", wait: bool) -> None:
    """A new catalogue from the store's records, under the lock; then what an interrupted build left is put right."""
    from cpods.store.lock import ProjectLock, make_state_folder
    from cpods.store.manifests import ManifestStore
    from cpods.store.rebuild import rebuild_catalogue
    from cpods.wiring import POD, locked, project_id

    make_state_folder(where.state)
    lock = ProjectLock(where.state)
    lock.acquire(wait, _on_wait)
    try:
        changes = await rebuild_catalogue(where.catalogue, POD, ManifestStore(where.store), project_id(where.state), where.store)
    finally:
        lock.release()
    async with locked(where, settings, os.environ, wait, _on_wait):
        pass
    print(
        f"catalogue made anew: {len(changes.results)} results, {len(changes.knots)} knots, {len(changes.written)} generated files, "
        f"{len(changes.artefacts)} artefacts"
    )


async def _forget(where: "Places", settings: "StoreSettings", digests: "Iterable[str]", wait: bool) -> None:
    """This pod holds these artefacts no longer: the catalogue must not say so."""
    from cpods.wiring import POD, locked

    async with locked(where, settings, os.environ, wait, _on_wait) as (site, _):
        await (await site.full()).ownership.drop(POD, digests)


async def _collect(folder: str, wait: bool) -> int:
    from cpods.aftercare import needed_objects
    from cpods.store import growth
    from cpods.store.collect import collect
    from cpods.wiring import POD, locked

    where, settings = _places(folder)
    if not os.path.isdir(where.store) or not os.path.isdir(where.state):
        print("nothing to collect: there is no store yet")
        return 0
    async with locked(where, settings, os.environ, wait, _on_wait) as (site, _):
        done = collect(where.store, settings.max_bytes, needed_objects(site.memory))
        growth.measured(where.store, done.left_bytes)
        if done.digests:
            await (await site.full()).ownership.drop(POD, done.digests)
    print(f"{done.evicted} objects ({human(done.evicted_bytes)}) evicted; {done.left} ({human(done.left_bytes)}) are left")
    if done.left_bytes > settings.max_bytes:
        print(f"still above [store] max_bytes ({human(settings.max_bytes)}): what is left belongs to the last build or is in use")
    return 0


def human(size: int) -> str:
    """A size in bytes with a unit, as in 1.5 MiB."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
