"""Verifies built knots: a replay from the clean seed must end in what is published, and one more pass must change nothing.

Knows no terminal; it publishes nothing and leaves no record but stored results.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from cpods.digest import algorithm_of, of_bytes
from cpods.graph.explain import short
from cpods.graph.stale import Finding
from cpods.ids import FilePath
from cpods.majordomo.context import Build, Ledger, log_name
from cpods.majordomo.drive import MajorDomo
from cpods.majordomo.publish import is_published
from cpods.majordomo.scene import Scene
from cpods.model import Artefact, Solution, Step
from cpods.orders import Order
from cpods.ports import Changes

#: Reports of tools for people: they hold times and memory use, and no step's result depends on them.
_REPORTS = (".log", ".fls", ".blg", ".ilg", ".glg")
_NAMED_MAX = 5


class Doubt(msgspec.Struct, frozen=True):
    """One thing that is not as it should be, in a sentence.

    ``kind``: other (a clean build ends in another state), random (a tool gives other bytes for the same inputs), failed
    (a step fails at the fixed point), moved (its inputs changed meanwhile).
    """

    kind: Literal["other", "random", "failed", "moved"]
    knot: str
    text: str


class SilentLedger:
    """A ledger that keeps stored objects and results, but no record of what stands in the project."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def added_bytes(self) -> int:
        """Sizes of the artefacts that were saved."""
        return self._ledger.added_bytes

    async def save(self, changes: Changes) -> None:
        """Keeps file states, fingerprints and artefacts; drops what would change what the project's last build was."""
        await self._ledger.save(Changes(files=changes.files, fingerprints=changes.fingerprints, artefacts=changes.artefacts))

    def intend(self, knot: str, files: dict[FilePath, str]) -> None:
        """Nothing is published."""


def hindrance(findings: Mapping[str, Finding]) -> str:
    """Why nothing can be verified: what is published must be what the sources ask for. '' if it is."""
    others = [finding.step for finding in findings.values() if finding.state != "current"]
    if not others:
        return ""
    dead = next((finding for finding in findings.values() if finding.state in ("failed", "lacking")), None)
    if dead is not None:
        return f"there is no good state of {dead.step} to verify: {dead.text}"
    more = f" and {len(others) - _NAMED_MAX} more" if len(others) > _NAMED_MAX else ""
    return f"not up to date: {', '.join(others[:_NAMED_MAX])}{more}; call `cpods rebuild --until-stable` first, then verify"


async def verify(build: Build) -> list[Doubt]:
    """Drives ``build`` (seed clean, publish False, iterating), then runs one real pass of each knot at its published state.

    Raises as MajorDomo.rebuild does.
    """
    build.parts.ledger = SilentLedger(build.parts.ledger)
    published = {name: memory.good for name, memory in build.parts.memory.knots.items() if memory.good is not None}
    await MajorDomo(build).rebuild()
    doubts = []
    for unit in build.core.units.all():
        good = published.get(unit.name)
        if good is None or good.members != unit.members:
            continue
        doubts += _compared(build, good, build.core.solutions.get(unit.name))
        doubts += await _passed_again(build, good)
    await build.parts.ledger.save(build.changes)
    return doubts


# -- the clean build ---------------------------------------------------------------------------------------------------


def _compared(build: Build, good: Solution, clean: Solution | None) -> list[Doubt]:
    """Whether the replay from the clean seed ended in the published state."""
    if clean is None:
        return [Doubt("moved", good.members[0], f"{_title(build, good)}: the clean build did not reach it")]
    if clean.verdict != "FIXED":
        what = {"PERIOD": f"oscillates with period {clean.period}", "DIVERGES": f"does not settle within {clean.passes} passes"}
        text = f"{_title(build, good)}: the published state is a fixed point, but a clean build {what.get(clean.verdict or '', 'fails')}"
        return [Doubt("other", good.members[0], text)]
    here, there = _files(build, good), _files(build, clean)
    differ = sorted(path for path in {*here, *there} if here.get(path) != there.get(path))
    if not differ:
        return []
    more = f" and {len(differ) - _NAMED_MAX} more" if len(differ) > _NAMED_MAX else ""
    text = (
        f"{_title(build, good)}: the published state is a fixed point, but a clean build ends in another one; "
        f"{len(differ)} file{' differs' if len(differ) == 1 else 's differ'}: {', '.join(differ[:_NAMED_MAX])}{more}; "
        "`cpods rebuild --seed clean` takes that one"
    )
    return [Doubt("other", good.members[0], text)]


def _files(build: Build, solution: Solution) -> dict[FilePath, str]:
    """What counts of a solution's files: digests by path, through what the step itself declares insignificant."""
    return {
        output.path: _counted(build, writer, output.path, Artefact(output.version.digest, output.version.size))
        for writer, output in solution.outputs
        if is_published(output.path) and not output.path.endswith(_REPORTS)
    }


def _counted(build: Build, writer: str, path: FilePath, artefact: Artefact) -> str:
    """The digest of a file without what its tool takes from the clock, or as its readers see it, if the step that makes it
    declares lines insignificant; else of all bytes.
    """
    if (timeless := _timeless(build, writer, path, artefact.digest)) is not None:
        return timeless
    maker = next((name for name, step in build.planned.steps.items() if step.insignificant and path in step.outputs), None)
    if maker is None:
        return artefact.digest
    reader = msgspec.structs.replace(build.planned.steps[maker], name=f"reader of {path}")
    version = build.parts.eyes.version(path, artefact, [reader])
    return version.seen(build.parts.eyes.filter_for(reader, path))


def _timeless(build: Build, writer: str, path: FilePath, raw: str) -> str | None:
    """The digest of a file through the filter that its writer's chef names for outputs that hold the time of the run."""
    step = build.planned.steps.get(writer)
    chef = None if step is None else build.parts.chefs[step.chef]
    clocked: Mapping[str, str] = getattr(chef, "clocked", {})
    name = next((name for ending, name in clocked.items() if path.endswith(ending)), "")
    if chef is None or not name:
        return None
    try:
        return of_bytes(chef.filter(name, path, build.parts.objects.read(raw)), algorithm_of(raw))
    except KeyError:  # gone from the store: what is left to compare is its name
        return None


def _title(build: Build, solution: Solution) -> str:
    """The document that a knot makes, else its first step's name."""
    for name in solution.members:
        for path in build.planned.steps[name].outputs:
            if path.endswith(".pdf"):
                return path
    wanted = [path for path in build.planned.goals for name in solution.members if path in build.planned.steps[name].outputs]
    return wanted[0] if wanted else solution.members[0]


# -- one real pass -----------------------------------------------------------------------------------------------------


async def _passed_again(build: Build, good: Solution) -> list[Doubt]:
    """Runs every member once, in pass order, each at the published state."""
    steps = {name: build.planned.steps[name] for name in good.members}
    for _, result in good.last:
        steps.update((helper.name, helper) for helper in result.helpers)
    members = set(good.members)
    finished = build.core.finished_steps() - members
    hidden = Scene(build.parts.folder, build.parts.memory, build.planned, lambda: finished).hidden()
    doubts: list[Doubt] = []
    for name in good.order or good.members:
        if name in steps:
            doubts += await _run_again(build, good, steps[name], hidden)
    return doubts


async def _run_again(build: Build, good: Solution, step: Step, hidden: frozenset[FilePath]) -> list[Doubt]:
    overlay = {output.path: output.version for _, output in good.outputs}
    knot = good.members[0]
    build.account.started(step.name, step.tool, None)
    order = Order(
        step=step,
        static_key=build.parts.keys.static(step),
        env=build.parts.keys.environment(step, good.date),
        date=good.date,
        log=log_name(f"verify {step.name}"),
        knot=knot,
        overlay=overlay,
        hidden=hidden,
    )
    try:
        cooked = await build.parts.kitchen.cook(order)
    except KeyError as error:
        text = f"{step.name}: {error.args[0]} is gone from the store or damaged; call `cpods rebuild`, then verify again"
        return [Doubt("moved", knot, text)]
    if cooked.execution is not None:
        build.account.executed(cooked.execution)
    build.changes.artefacts.update(cooked.artefacts)
    if cooked.stale:
        return [Doubt("moved", knot, f"{step.name}: its inputs changed while it was verified; verify again")]
    if cooked.result is None or not cooked.result.usable or (cooked.result.exit_code and not _failed_before(good, step.name)):
        return [Doubt("failed", knot, f"{step.name}: it fails at the published fixed point, where it went well before")]
    made = ((output.path, Artefact(output.version.digest, output.version.size)) for output in cooked.result.outputs)
    return _other_bytes(build, good, step, made)


def _failed_before(good: Solution, step: str) -> bool:
    return any(name == step and result.exit_code != 0 for name, result in good.last)


def _other_bytes(build: Build, good: Solution, step: Step, made: Iterable[tuple[FilePath, Artefact]]) -> list[Doubt]:
    """Files that came out other than they stand in the fixed point, one doubt each."""
    known = _files(build, good)
    doubts = []
    for path, artefact in made:
        now = _counted(build, step.name, path, artefact)
        if path in known and known[path] != now:
            text = (
                f"{step.name}: {step.tool} is not deterministic: for the same inputs it made another {path} "
                f"({short(known[path])}, now {short(now)}); results from the store hide that"
            )
            doubts.append(Doubt("random", good.members[0], text))
    return doubts


__all__ = ["Doubt", "SilentLedger", "hindrance", "verify"]
