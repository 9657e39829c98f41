"""What is kept after a build: why each step ran or did not, what the build stood on, a store below its quota.

Knows no call and no terminal.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress

import msgspec

from cpods import __version__
from cpods.declaration import Project
from cpods.majordomo.account import Reason
from cpods.majordomo.context import Build
from cpods.majordomo.ground import columns_of, ground_of, stands_as_made
from cpods.majordomo.planning import planned_fact
from cpods.ports import Changes, Memory
from cpods.project import PROJECT_FILE
from cpods.store import glance, growth, mended
from cpods.store.collect import collect
from cpods.wiring import POD, Places, Site

#: Under this name and a step's, why it ran or did not is remembered for `cpods why`.
WHY_FACT = "why:"

#: Under this name stand the steps that the last build looked at, if those were not all; the others were up to date.
SLICE_FACT = "slice"

#: Under this name and a digest it is remembered that the own store is to keep an artefact for good (`cpods artefact pin`).
PIN_FACT = "pin:"


async def keep_reasons(build: Build, project: Project, only: Collection[str] = ()) -> None:
    """Writes down why each step ran or did not, and which steps there are; ``only``: the build looked at no other steps."""
    mended.forget(build.parts.state)
    changes = Changes()
    for name, reason in _reasons(build).items():
        changes.facts[WHY_FACT + name] = msgspec.json.encode(reason).decode()
    changes.facts[SLICE_FACT] = "\n".join(sorted(only))
    if not only:
        changes.facts[planned_fact(project)] = "\n".join(build.planned.steps)
    known = build.parts.memory.facts
    changes.facts = {name: value for name, value in changes.facts.items() if known.get(name) != value}
    changes.files.update(getattr(build.parts.folder, "take_changed_states", dict)())  # of goals that were brought here
    if changes.facts or changes.files:
        await build.parts.ledger.save(changes)
        known.update({name: value for name, value in changes.facts.items() if value is not None})


def _reasons(build: Build) -> dict[str, Reason]:
    found = dict(build.account.reasons)
    for unit in build.core.blocked():
        blockers = build.core.units.blockers(unit)
        text = f"it needs {blockers[0].name}, which did not come to a good end" if blockers else "its inputs never came"
        found.update((name, Reason("blocked", text=text)) for name in unit.members)
    return found


async def collect_garbage(site: Site, max_bytes: int, added_bytes: int, slice_only: bool = False) -> None:
    """Keeps the store below its quota, if it may have grown beyond. ``slice_only``: the site knows only a part of what is needed."""
    if not added_bytes or site.catalogue is None or not growth.is_due(site.where.store, max_bytes, added_bytes):
        return
    memory = await site.catalogue.load() if slice_only else site.memory
    done = collect(site.where.store, max_bytes, needed_objects(memory), int(max_bytes * growth.KEPT_SHARE))
    growth.measured(site.where.store, done.left_bytes)
    if done.digests:
        await (await site.full()).ownership.drop(POD, done.digests)
    await site.close()


def remember(key: str, where: Places, build: Build, project: Project, environment: Mapping[str, str], said: Mapping[str, bytes]) -> bool:
    """Notes what the build stood on, so that the next call with the same goals and flags need not load it all.

    False if nothing was noted: something changed while it was built, or it cannot be written.
    """
    ground = ground_of(build, [PROJECT_FILE])
    columns = columns_of(build, project, ground) if ground is not None else None
    if ground is not None and columns is not None:
        with suppress(OSError):
            digest = glance.environment_digest(environment)
            store = where.store if stands_as_made(build, ground.rows) else ""
            glance.remember(where.state, where.root, key, digest, __version__, ground, columns[0], {**said, **columns[1]}, store)
            return True
    return False


def needed_objects(memory: Memory) -> set[str]:
    """Digests that are never evicted: outputs of the last build, the states of knots, and what is pinned."""
    keep = {written.digest for written in memory.written.values()}
    keep.update(name.removeprefix(PIN_FACT) for name in memory.facts if name.startswith(PIN_FACT))
    for knot in memory.knots.values():
        for solution in (knot.good, knot.unstable):
            keep.update(output.version.digest for _, output in (solution.outputs if solution is not None else ()))
    return keep
