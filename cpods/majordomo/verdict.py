"""How a build ended as a whole: status, exit code, and the sentences that say why.

Knows no terminal: sentences are plain text.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from cpods.graph.build import might_make
from cpods.graph.order import pass_order
from cpods.ids import FilePath
from cpods.majordomo.context import Build
from cpods.model import Problem, Solution
from cpods.scheduler.states import Status, Unit

#: Of several bad knots the first of these counts: DESIGN.md section 9.
_RANK = ("failed", "diverges", "period", "invalid")
_CODES = {"done": 0, "unstable": 0, "failed": 1, "invalid": 2, "period": 3, "diverges": 4}
_OF_VERDICT = {"FAILED": "failed", "DIVERGES": "diverges", "PERIOD": "period", "NOSTART": "invalid"}
_MOVING_SHOWN = 5


class Ending(msgspec.Struct, frozen=True):
    """The build's status as in the report, its exit code, and what to tell: errors first, then notes."""

    status: str
    exit_code: int
    errors: tuple[str, ...]
    notes: tuple[str, ...]


def ending(build: Build) -> Ending:
    """Looks at every unit once the core has finished."""
    statuses: list[str] = []
    errors: list[str] = []
    notes: list[str] = []
    victims = _behind_failures(build)
    for unit in build.core.units.all():
        status, lines = _of_unit(build, unit, victims)
        if status in ("done", "unstable"):
            notes += lines
        else:
            errors += lines
        statuses.append(status)
    worst = next((status for status in _RANK if status in statuses), None)
    if worst is None and build.core.failures and any(unit.status in (Status.WAITING, Status.STUCK) for unit in build.core.units.all()):
        # A step that failed belongs to no unit any more: what waits for it must not pass for done.
        worst = "failed"
        errors += [format_problem(name, one) for name, failure in build.core.failures.items() for one in _errors(failure.problems)]
    status = worst or ("unstable" if "unstable" in statuses else "done")
    return Ending(status, _CODES[status], tuple(errors), tuple(notes))


def _of_unit(build: Build, unit: Unit, victims: Mapping[str, list[str]]) -> tuple[str, list[str]]:
    solution = build.core.solutions.get(unit.name)
    if unit.status is Status.DONE:
        return "done", []
    if unit.status is Status.UNSTABLE and solution is not None:
        return "unstable", [_unstable(unit, solution)]
    if unit.status is Status.FAILED:
        verdict = solution.verdict if solution is not None and solution.verdict else "FAILED"
        return _OF_VERDICT[verdict], _failure(build, unit, solution)
    if unit.status is Status.BLOCKED:
        return "done", [f"{name} was not run: it needs {_first_blocker(build, unit)}" for name in unit.members]
    if any(name in build.core.failures for name in unit.members):
        return "failed", _failure(build, unit, solution)
    if unit.status is Status.STUCK or build.core.lacking(unit):
        if unit.name in victims:
            return "done", victims[unit.name]
        if not _waits_for_more(build, unit):
            return "invalid", _stuck(build, unit)
    return "done", [
        f"{name} was not run: the build stopped after a failure; -k 0 goes on with what does not depend on it" for name in unit.members
    ]


def _waits_for_more(build: Build, unit: Unit) -> bool:
    """Whether the build was stopped before steps that would have made all that the unit lacks."""
    lacking = build.core.lacking(unit)
    return build.core.is_stopping and unit.status is not Status.STUCK and bool(lacking) and all(makers for _, _, makers in lacking)


def _first_blocker(build: Build, unit: Unit) -> str:
    blockers = build.core.units.blockers(unit)
    if not blockers:
        return "a step that did not run"
    words = {Status.UNSTABLE: "is not at rest yet", Status.FAILED: "failed"}
    return f"{blockers[0].name}, which {words.get(blockers[0].status, 'did not run')}"


def _behind_failures(build: Build) -> dict[str, list[str]]:
    """By unit, why its steps were not run, where all that they lack may come from steps that failed, or that wait for such."""
    core = build.core
    if not core.failures:
        return {}
    units = core.units.all()
    lost = {unit.name for unit in units if unit.status is Status.FAILED}
    lacking = {unit.name: core.lacking(unit) for unit in units if unit.status in (Status.WAITING, Status.STUCK)}
    readers: dict[str, list[str]] = {}
    for name, items in lacking.items():
        for maker in {maker for _, _, makers in items for maker in makers}:
            if (other := core.units.of_step(maker)) is not None and other.name != name:
                readers.setdefault(other.name, []).append(name)
    found: dict[str, list[str]] = {}
    todo = [name for name, items in lacking.items() if items]
    while todo:  # each is looked at again when somebody it waits for turns out to be lost: chains may be long
        name = todo.pop()
        culprits = [_maker_in_trouble(build, path, makers, lost) for _, path, makers in lacking[name]] if name not in found else [""]
        if all(culprits):
            pairs = zip(lacking[name], culprits, strict=True)
            found[name] = [f"{step} was not run: it needs {path}{culprit}" for (step, path, _), culprit in pairs]
            lost.add(name)
            todo += readers.get(name, ())
    return found


def _maker_in_trouble(build: Build, path: FilePath, makers: Iterable[str], lost: Collection[str]) -> str:
    """Who would make the path and cannot, as the end of a sentence; '' if nobody is known to. ``lost``: units that made nothing."""
    core, steps = build.core, build.planned.steps
    for maker in makers:
        other = core.units.of_step(maker)
        if other is not None and other.name in lost:
            return f" from {maker}, which {'failed' if other.status is Status.FAILED else 'was not run'}"
    if makers:
        return ""
    # What an engine writes is known only once it has run well.
    engines = (name for name in core.failures if name in steps and steps[name].open_reads and might_make(steps[name], path))
    return next((f", which {name} may make, and that failed" for name in engines), "")


def _unstable(unit: Unit, solution: Solution) -> str:
    if solution.verdict == "PERIOD":
        how = f"oscillates with period {solution.period}; the state with the smallest digest was chosen (policy = choose)"
        return f"{_goal(unit, solution)}: {how}"
    labels = sum(1 for moving in solution.moving if moving.label)
    number, noun = (labels, "label") if labels else (len({moving.artefact for moving in solution.moving}) or 1, "file")
    what = f"1 {noun} still moves" if number == 1 else f"{number} {noun}s still move"
    return f"{_goal(unit, solution)}: pass {solution.passes}, {what}; `cpods rebuild --until-stable` finishes"


def _goal(unit: Unit, solution: Solution) -> str:
    products = [output.path for writer, output in solution.outputs if writer in unit.members and output.path.endswith(".pdf")]
    return products[0] if products else unit.name


def _failure(build: Build, unit: Unit, solution: Solution | None) -> list[str]:
    lines: list[str] = []
    if solution is not None and solution.verdict == "PERIOD":
        lines.append(
            f"{_names(unit)} oscillates: after {solution.tail} passes the same {solution.period} states come again and again, "
            "so no number of passes helps"
        )
        lines += _moving(solution)
    elif solution is not None and solution.verdict == "DIVERGES":
        lines.append(f"{_names(unit)} does not settle: after {solution.passes} passes its state is still new; --max-passes N allows more")
        lines += _moving(solution)
    else:
        lines += _not_cured(build, unit, solution)
        for name, failure in build.core.failures.items():
            if name in unit.members or (solution is not None and name in solution.failed) or _helper_of(build, name) in unit.members:
                lines += [format_problem(name, problem) for problem in _errors(failure.problems)] or [
                    f"{name}: exit code {failure.exit_code}"
                ]
    if build.request.options.keep_unstable and solution is not None and solution.outputs:
        lines.append("what the last pass made is published all the same, as --keep-unstable asks")
    folder = build.last_folders.get(unit.name)
    if folder is not None and solution is not None and solution.outputs:
        lines.append(f"nothing of it was published; what the last pass made lies in {folder} (--keep-unstable publishes it)")
    return lines


def _not_cured(build: Build, unit: Unit, solution: Solution | None) -> list[str]:
    """Errors of a knot's engines that were there when another of its steps stopped it: often the cause."""
    last = dict(solution.last) if solution is not None else {}
    return [
        format_problem(name, problem)
        for name, result in last.items()
        if name in unit.members and result.exit_code and name not in build.core.failures
        for problem in _errors(result.problems)
    ]


def _helper_of(build: Build, name: str) -> str:
    for result in build.parts.memory.results.values():
        if any(helper.name == name for helper in result.helpers):
            return result.step
    return name


def _errors(problems: tuple[Problem, ...]) -> list[Problem]:
    return [problem for problem in problems if problem.severity == "error"] or list(problems[:1])


def format_problem(step: str, problem: Problem) -> str:
    """``file:line: message``, and the source line below it."""
    if not problem.file and problem.message.startswith(f"step {step} "):
        return problem.message
    where = problem.file or step
    text = f"{where}:{problem.line}: {problem.message}" if problem.line and problem.file else f"{where}: {problem.message}"
    return f"{text}\n    {problem.source.strip()}" if problem.source and problem.source.strip() else text


def _names(unit: Unit) -> str:
    return unit.name if len(unit.members) == 1 else f"the knot of {', '.join(unit.members)}"


def _moving(solution: Solution) -> list[str]:
    lines = []
    for moving in solution.moving[:_MOVING_SHOWN]:
        what = f"label {moving.label}" if moving.label else "a line"
        source = f" ({moving.source})" if moving.source else ""
        lines.append(f"  {moving.artefact}: {what}{source}: " + " | ".join(moving.values))
    if len(solution.moving) > _MOVING_SHOWN:
        lines.append(f"  … and {len(solution.moving) - _MOVING_SHOWN} more, see --report")
    return lines


def _stuck(build: Build, unit: Unit) -> list[str]:
    """Why the steps of a unit cannot start: a circle, or an input that nothing makes."""
    lacking = build.core.lacking(unit)
    lines = []
    for step, path, makers in lacking:
        if not makers:
            lines.append(
                f"{step} needs {path}, which is not there and which no step makes; add the file, or a step with it among its outputs"
            )
    if lacking and not lines:
        from cpods.graph.shortest import in_circle

        circle = "; ".join(f"{step} needs {path} from {' or '.join(makers)}" for step, path, makers in in_circle(lacking))
        lines.append(f"a circle that cannot start: {circle}; list one of these inputs as optional, or provide it once")
    steps = pass_order([build.planned.steps[name] for name in unit.members])
    return lines or [f"{steps[0].name} could not start"]
