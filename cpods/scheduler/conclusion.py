"""From a knot's outcome to what is done about it: the solution to remember, whether to publish it, and the unit's state.

Knows no file: it builds on the run's snapshots alone.
"""

from collections.abc import Mapping, Sequence

from cpods import digest
from cpods.events import Conclude
from cpods.graph.fixpoint import KnotRun, Outcome
from cpods.model import Output, Solution, Step
from cpods.scheduler.states import Status, Unit

#: Pass limits where nothing else is said: DESIGN.md section 5.
LATEX_PASSES_MAX = 20
PASSES_MAX = 100
#: Snapshots that the diagnosis of a divergence compares.
_LAST_SNAPSHOTS = 3


def pass_limit(members: Sequence[Step], wanted: int | None) -> int:
    """Passes after which a knot counts as diverging: the call's, else the steps' largest, else by kind."""
    if wanted is not None:
        return wanted
    declared = [step.max_passes for step in members if step.max_passes is not None]
    if declared:
        return max(declared)
    return LATEX_PASSES_MAX if any(step.open_reads for step in members) else PASSES_MAX


def solution_of(run: KnotRun, members: tuple[str, ...], seed: str, chosen: int) -> Solution:
    """What a finished run ended in, with the files of snapshot ``chosen``."""
    outcome = run.outcome
    assert outcome is not None
    states = run.states()
    feedback = run.feedback()
    return Solution(
        key="",
        seed=seed,
        verdict=outcome.verdict,
        members=members,
        reads=run.external_reads(),
        outputs=run.outputs(chosen),
        last=tuple(sorted(run.last.items())),
        feedback=feedback,
        passes=outcome.passes,
        tail=outcome.tail,
        period=outcome.period,
        distinct_states=len(set(states)),
        cap=run.limit,
        order=run.order(),
        knot=run.is_knot(),
        failed=outcome.failed,
        cycle=_cycle(run, outcome, feedback),
        settled=tuple((name, tuple(passes)) for name, passes in sorted(run.settled.items())),
    )


def _cycle(run: KnotRun, outcome: Outcome, feedback: tuple[str, ...]) -> tuple[tuple[Output, ...], ...]:
    """Feedback files after each pass of the cycle; of the last passes where there is none."""
    if outcome.verdict == "FIXED":
        return ()
    first = len(run.snapshots) - (_LAST_SNAPSHOTS if outcome.verdict else 2)
    if outcome.verdict == "PERIOD" and outcome.tail is not None:
        first = outcome.tail + 1
    return tuple(
        tuple(Output(path, version) for path in feedback if (version := snapshot.files.get(path)) is not None)
        for snapshot in run.snapshots[max(first, 0) :]
    )


def _smallest(run: KnotRun, outcome: Outcome) -> int:
    """The snapshot in the cycle whose state has the smallest digest."""
    assert outcome.tail is not None
    states = run.states()
    numbers = range(outcome.tail + 1, len(states))
    return min(numbers, key=lambda number: digest.of_parts("\0".join(entry) for entry in states[number]))


def conclude(unit: Unit, recalled: Solution | None, steps: Mapping[str, Step], seed: str, keep_unstable: bool) -> tuple[Conclude, Status]:
    """The instruction that carries the outcome out, and the state that the unit has afterwards."""
    choose = any(steps[name].policy == "choose" for name in unit.members)
    if recalled is not None:
        solution, verdict = recalled, recalled.verdict
    else:
        assert unit.run is not None and unit.run.outcome is not None
        outcome = unit.run.outcome
        chosen = _smallest(unit.run, outcome) if outcome.verdict == "PERIOD" and choose else len(unit.run.snapshots) - 1
        solution = solution_of(unit.run, unit.members, seed, chosen)
        if outcome.verdict is None:
            return Conclude(unit.name, solution, publish=True, stable=False), Status.UNSTABLE
        verdict = outcome.verdict
    is_recalled = recalled is not None
    if verdict == "FIXED":
        return Conclude(unit.name, solution, publish=True, stable=True, recalled=is_recalled), Status.DONE
    if verdict == "NOSTART":
        return Conclude(unit.name, solution, publish=False, stable=False, recalled=is_recalled), Status.STUCK
    if verdict == "PERIOD" and choose:
        return Conclude(unit.name, solution, publish=True, stable=False, recalled=is_recalled), Status.UNSTABLE
    return Conclude(unit.name, solution, publish=keep_unstable, stable=False, recalled=is_recalled), Status.FAILED
