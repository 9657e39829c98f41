"""The naive builder: runs everything in canonical order, knots again and again until a state comes back: the lowest rung.

Knows no cache, no stale check, no scheduler, no digest; shares no code with the graph room.
"""

import msgspec

from tests.helpers.world import Program, Ran, World, half, run

_PASSES_MAX = 2_000

Files = dict[str, str | None]


class Built(msgspec.Struct):
    """How the naive build ended: per declared step a verdict (FIXED, PERIOD, FAILED, NOSTART, UNRUN), and the files.

    ``periods`` by first member of a knot that oscillates; ``parts``: the components in the order in which they were built;
    ``needed``: in how many different surroundings each step was run: no builder with a memory needs more runs, none fewer.
    """

    verdicts: dict[str, str]
    files: Files
    periods: dict[str, int]
    parts: list[tuple[str, ...]]
    needed: dict[str, int] = {}


def build(world: World) -> Built:
    """Builds from nothing over the true graph: this builder knows what every program would read and write."""
    programs = sorted(world.programs.values(), key=lambda program: program.position)
    needs = {p.name: {q.name for q in programs if _reads(world, p) & _writes(world, q)} for p in programs}
    built = Built({}, dict(world.sources), {}, _parts([p.name for p in programs], needs))
    for part in built.parts:
        outside = {other for name in part for other in needs[name]} - set(part)
        if any(built.verdicts[other] != "FIXED" for other in outside):
            verdict = "UNRUN"
        elif len(part) == 1 and part[0] not in needs[part[0]] and not world.programs[part[0]].engine:
            verdict = _plain(world.programs[part[0]], built.files)
        else:
            verdict = _knot(world, part, built)
        built.verdicts.update(dict.fromkeys(part, verdict))
    return built


def _reads(world: World, program: Program) -> set[str]:
    """All that a program, or the helper that it asks for, may look at."""
    helped = _reads(world, world.helpers[program.helper]) if program.helper else set()
    return {*program.inputs, *program.optional, *program.found_reads, *(path for pair in program.gated for path in pair)} | helped


def _writes(world: World, program: Program) -> set[str]:
    helped = _writes(world, world.helpers[program.helper]) if program.helper else set()
    return {*program.outputs, *program.found_writes} | helped


def _parts(names: list[str], needs: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """Components by mutual reachability, each as soon as what it needs is placed, the first in the project file first."""
    reach = {name: set(needs[name]) for name in names}
    for via in names:
        for name in names:
            if via in reach[name]:
                reach[name] |= reach[via]
    parts: list[tuple[str, ...]] = []
    placed: set[str] = set()
    while len(placed) < len(names):
        for name in names:
            part = tuple(other for other in names if other == name or (other in reach[name] and name in reach[other]))
            if name not in placed and all(reach[member] <= placed | set(part) for member in part):
                parts.append(part)
                placed |= set(part)
                break
    return parts


def _plain(program: Program, files: Files) -> str:
    if any(files.get(path) is None for path in program.inputs):
        return "UNRUN"
    ran = run(program, files.get)
    if not ran.is_usable(program) or ran.exit_code:
        return "FAILED"
    files.update(ran.writes)
    return "FIXED"


def _knot(world: World, part: tuple[str, ...], built: Built) -> str:
    """Passes from the empty state, every step in every pass, until a state comes back."""
    outside: Files = dict(built.files)
    inside: Files = {}
    surroundings: dict[str, set[object]] = {}
    plans: dict[str, bool] = {}
    states: list[object] = []
    failing_of: list[set[str]] = []
    for _ in range(_PASSES_MAX):
        failing: set[str] = set()
        before: list[Program] = []
        for program in _order(world, part, plans):
            owner = program.planner or program.name
            before = [*before, program] if _is_beside(before, program) else [program]
            if len(before) == 1:
                merged = {**outside, **inside}
            if (program.planner and not plans.get(owner)) or any(merged.get(path) is None for path in program.inputs):
                continue
            ran = run(program, merged.get)
            surroundings.setdefault(program.name, set()).add(tuple(sorted(view(program, ran).items())))
            if not ran.is_usable(program):
                return "FAILED"
            inside.update(ran.writes)
            if ran.exit_code:
                failing.add(program.name)
            if program.helper:
                plans[program.name] = ran.wants_helper
                if not ran.wants_helper:
                    inside.update(dict.fromkeys((p for p in world.helpers[program.helper].outputs if p in inside), None))
        states.append((sorted((k, v) for k, v in inside.items() if v is not None), sorted(plans.items())))
        failing_of.append(failing)
        first = states.index(states[-1])
        if first < len(states) - 1:
            return _judge(world, part, built, inside, surroundings, len(states) - 1 - first, failing_of[first + 1 :], plans)
    return "DIVERGES"


def _is_beside(before: list[Program], program: Program) -> bool:
    """Whether a program sees what those before it saw: all are parallel, and none of them makes what it requires."""
    made = {path for other in before for path in other.outputs}
    return bool(before) and program.parallel and all(other.parallel for other in before) and made.isdisjoint(program.inputs)


def _judge(
    world: World,
    part: tuple[str, ...],
    built: Built,
    inside: Files,
    surroundings: dict[str, set[object]],
    period: int,
    failing: list[set[str]],
    plans: dict[str, bool],
) -> str:
    if any(failing):
        return "FAILED"
    if period > 1:
        built.periods[part[0]] = period
        return "PERIOD"
    wanted = {*part, *(h for name in part if plans.get(name) and (h := world.programs[name].helper))}
    if not wanted <= surroundings.keys():
        return "NOSTART"
    built.files.update(inside)
    built.needed.update((name, len(seen)) for name, seen in surroundings.items())
    return "FIXED"


def view(program: Program, ran: Ran) -> dict[str, str]:
    """What a run could see, '-' for an absent file."""
    shown = {path: "-" if content is None else content for path, content in ran.reads.items()}
    return {path: half(text) if path in program.halves and text != "-" else text for path, text in shown.items()}


def _order(world: World, part: tuple[str, ...], plans: dict[str, bool]) -> list[Program]:
    """Required declared edges first, then the project file; helpers right behind their engine."""
    left = [world.programs[name] for name in part]
    ordered: list[Program] = []
    while left:
        made = {path: program.name for program in left for path in program.outputs}
        free = [p for p in left if all(made.get(path, p.name) == p.name for path in p.inputs)]
        chosen = (free or left)[0]
        left.remove(chosen)
        ordered.append(chosen)
        if chosen.helper:
            ordered.append(world.helpers[chosen.helper])
    return ordered
