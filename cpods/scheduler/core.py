"""The scheduler's core: an event goes in, instructions come out.

Knows no clock, no I/O, no randomness: what is in a file or a store reaches it as events.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from cpods.errors import UsageError
from cpods.events import Concluded, Event, Finish, Instruction, Recall, Settle, Settled, Solved, Spoilt
from cpods.graph.build import NO_MENTIONS, Mentions
from cpods.graph.fixpoint import FilterFor, KnotRun
from cpods.graph.order import pass_order
from cpods.ids import FilePath
from cpods.model import Problem, Remembered, Result, Solution, Step
from cpods.scheduler.conclusion import conclude, pass_limit
from cpods.scheduler.knowledge import Knowledge
from cpods.scheduler.ready import Units
from cpods.scheduler.states import Status, Unit

#: A unit whose sources change while it is built is started again this often, then given up.
RESTARTS_MAX = 5
_KEEPS_CHANGING = "its inputs kept changing while it was built; save them and call cpods again"


class Options(msgspec.Struct, frozen=True):
    """What the user asked for. ``failures_max`` 0: never stop; ``slots``: steps under way at once."""

    until_stable: bool = False
    seed: str = "warm"
    passes_max: int | None = None
    failures_max: int = 1
    fail_fast: bool = False
    keep_unstable: bool = False
    slots: int = 1


class Plan(msgspec.Struct, frozen=True):
    """What is to be built. ``steps`` in project order; ``present(path)``: whether a source file is there.

    ``mentions``: engines by the engines whose files their main file names.
    """

    steps: Mapping[str, Step]
    goals: Sequence[FilePath]
    remembered: Mapping[str, Remembered]
    present: Callable[[FilePath], bool]
    filter_for: FilterFor
    options: Options
    mentions: Mentions = NO_MENTIONS


class Failure(msgspec.Struct, frozen=True):
    """Why a step did not come to a good end. ``exit_code`` None: it could not be run at all."""

    step: str
    problems: tuple[Problem, ...]
    exit_code: int | None


class Core:
    """Drives one build. Call :meth:`start` once, then :meth:`handle` with each event, until Finish comes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.knowledge = Knowledge(plan.steps, plan.remembered, plan.present, plan.mentions)
        self.units = Units(self.knowledge)
        self.failures: dict[str, Failure] = {}
        self.spoilt_reads: dict[str, tuple[FilePath, ...]] = {}  # of runs that do not count: what they read or looked for
        self.hows: dict[str, str] = {}
        self.solutions: dict[str, Solution] = {}
        self._flight: dict[str, tuple[Unit, int]] = {}
        self._after: dict[str, Status] = {}
        self._crowded: list[Unit] = []
        self._ahead = {ahead.name: step.name for step in plan.steps.values() for ahead in step.ahead}
        self._read_ahead: dict[str, set[FilePath]] = {}
        self._planners: dict[str, str] = dict(self._ahead)
        #: So many plain steps beyond the slots may be given out: they wait where they will be run.
        self.ahead = 0
        self._tick = 0
        self._busy = 0
        self._stop = False
        self._finished = False

    # -- what others may ask ---------------------------------------------------------------------------------------

    def finished_steps(self) -> set[str]:
        """Declared steps whose outputs stand in the project folder now."""
        return {name for unit in self.units.standing() for name in unit.members}

    @property
    def is_stopping(self) -> bool:
        """Whether, after failures, nothing new is started."""
        return self._stop

    def blocked(self) -> list[Unit]:
        """Units that did not run and will not in this build."""
        return [unit for unit in self.units.all() if unit.status in (Status.BLOCKED, Status.WAITING)]

    def lacking(self, unit: Unit) -> list[tuple[str, FilePath, tuple[str, ...]]]:
        """Required inputs that are not there: (step, path, the steps that would make it)."""
        found = []
        for name in unit.members:
            for path in self.plan.steps[name].inputs:
                makers = self.knowledge.graph.maker.get(path, ())
                if not self._is_there(path):
                    found.append((name, path, makers))
        return found

    def _is_there(self, path: FilePath) -> bool:
        """Whether a source, or a finished step's product, stands at ``path``."""
        return self.plan.present(path) or any(self._is_done(maker) for maker in self.knowledge.graph.maker.get(path, ()))

    def _is_done(self, step: str) -> bool:
        unit = self.units.of_step(step)
        return unit is not None and unit.status is Status.DONE

    # -- events ----------------------------------------------------------------------------------------------------

    def start(self) -> list[Instruction]:
        """The first instructions. Raises UsageError for a goal that nothing can make."""
        self._regraph()
        self._check_goals()
        return self._advance()

    def handle(self, event: Event) -> list[Instruction]:
        """Takes what happened, says what to do next."""
        self._tick += 1
        if isinstance(event, Settled):
            return self._on_settled(event)
        if isinstance(event, Spoilt):
            return self._on_spoilt(event)
        unit = self._answered("@" + event.knot)
        if unit is None:
            return self._advance()
        return self._on_solved(unit, event) if isinstance(event, Solved) else self._on_concluded(unit, event)

    def _on_settled(self, event: Settled) -> list[Instruction]:
        flight = self._flight.get(event.step)
        unit = self._answered(event.step)
        owner = self._owner(event.step)
        if event.result.exit_code == 0:
            self.failures.pop(event.step, None)
        self.hows[event.step] = _stronger(self.hows.get(event.step), event.how)
        run = unit.run if unit is not None else None
        taken = run.taken(event.step, event.result) if run is not None else event.result.helpers
        self._note_planners(event.step, taken)
        if owner is not None and self._learn(owner, event.result, taken):
            self._regraph()
        if unit is None or not self._is_current(flight):
            return self._advance()
        if unit.run is None:
            return self._finish(unit, Status.DONE)
        unit.run.accept(event.step, event.result)
        if unit.run.torn:
            return self._on_moved(unit, event.step)
        if self.plan.options.fail_fast and event.result.exit_code != 0:
            unit.run.fail(event.step)
        return self._continue(unit)

    def _on_spoilt(self, event: Spoilt) -> list[Instruction]:
        flight = self._flight.get(event.step)
        unit = self._answered(event.step)
        owner = self._owner(event.step)
        if event.reads:
            self.spoilt_reads[event.step] = event.reads
        if owner is not None and event.reads and self.knowledge.suspect(owner, event.reads):
            self._regraph()
        if unit is None or not self._is_current(flight):
            return self._advance()
        if event.told:
            return self._restart(unit, counts=False)
        if event.stale:
            return self._on_moved(unit, event.step, event.problems)
        return self._fail(unit, Failure(event.step, event.problems, event.exit_code))

    def _on_moved(self, unit: Unit, step: str, problems: tuple[Problem, ...] = ()) -> list[Instruction]:
        """Something that the step reads changed meanwhile: its unit starts again, but not for ever."""
        if unit.restarts < RESTARTS_MAX:
            return self._restart(unit)
        return self._fail(unit, Failure(step, problems or (Problem(_KEEPS_CHANGING),), None))

    def _fail(self, unit: Unit, failure: Failure) -> list[Instruction]:
        self.failures[failure.step] = failure
        if unit.run is None:
            return self._finish(unit, Status.FAILED)
        unit.run.fail(failure.step)
        return self._continue(unit)

    def _on_solved(self, unit: Unit, event: Solved) -> list[Instruction]:
        if event.solution is not None:
            for name, result in event.solution.last:
                self._note_planners(name, result.helpers)
            changed = [self._learn(owner, result) for name, result in event.solution.last if (owner := self._owner(name))]
            if any(changed):
                self._regraph()
                if self.units.by_name.get(unit.name) is not unit or unit.status is not Status.RECALLING:
                    return self._advance()
            for name, _ in event.solution.last:
                self.hows[name] = _stronger(self.hows.get(name), "up_to_date" if event.untouched else "cached")
            return self._conclude(unit, event.solution)
        unit.run = KnotRun(
            pass_order([self.plan.steps[name] for name in unit.members]),
            self.plan.filter_for,
            self._is_there,
            seed=event.seed,
            helpers=dict(event.helpers),
            limit=self._limit(unit),
            once=not self.plan.options.until_stable,
        )
        return self._continue(unit)

    def _on_concluded(self, unit: Unit, event: Concluded) -> list[Instruction]:
        if not event.moved_on:
            return self._finish(unit, self._after[unit.name])
        if unit.restarts < RESTARTS_MAX:
            return self._restart(unit)
        self.solutions.pop(unit.name, None)  # it was not published, so nobody may build on it
        self.failures[unit.members[0]] = Failure(unit.members[0], (Problem(_KEEPS_CHANGING),), None)
        return self._finish(unit, Status.FAILED)

    # -- units -----------------------------------------------------------------------------------------------------

    def _owner(self, step: str) -> str | None:
        """The declared step whose knowledge a step's run adds to: itself, or the engine that planned this helper (or its planner)."""
        owner: str | None = step
        for _ in range(len(self._planners) + 1):
            if owner is None or owner in self.plan.steps:
                return owner
            owner = self._planners.get(owner)
        return None

    def _note_planners(self, engine: str, helpers: Iterable[Step]) -> None:
        self._planners.update((helper.name, helper.planner or engine) for helper in helpers)

    def _learn(self, owner: str, result: Result, helpers: Iterable[Step] = ()) -> bool:
        reads = {read.path for read in result.reads}
        if result.step in self._ahead:
            self._read_ahead[owner] = reads
            if not self.knowledge.ran(owner):  # of the engine behind it, no more is known by that
                return self.knowledge.suspect(owner, reads)
        elif result.step == owner:
            reads |= self._read_ahead.get(owner, set())
        made = [path for helper in helpers for path in helper.outputs]
        if result.exit_code:  # it may have ended before it wrote all that it writes: its readers stay its readers
            made += self.knowledge.traffic[owner].writes
        return self.knowledge.learn(owner, reads, (output.path for output in result.outputs), made)

    def _answered(self, key: str) -> Unit | None:
        """The unit that was waiting for this answer, unless it was restarted or regrouped meanwhile."""
        flight = self._flight.pop(key, None)
        if flight is not None:
            self._busy -= 1
        if flight is None or not self._is_current(flight):
            return None
        flight[0].away -= 1
        return flight[0]

    def _is_current(self, flight: tuple[Unit, int] | None) -> bool:
        return flight is not None and self.units.by_name.get(flight[0].name) is flight[0] and flight[0].generation == flight[1]

    def _depart(self, key: str, unit: Unit, status: Status) -> None:
        self._flight[key] = (unit, unit.generation)
        self._busy += 1
        unit.away += 1
        unit.status = status

    def _restart(self, unit: Unit, counts: bool = True) -> list[Instruction]:
        unit.restarts += counts
        unit.reset()
        self._regraph()
        return self._advance()

    def _continue(self, unit: Unit) -> list[Instruction]:
        """The next steps of a knot, or its conclusion once no step of it is under way."""
        run = unit.run
        assert run is not None
        stops = self._stop and self.plan.options.fail_fast
        if stops or (self.plan.options.fail_fast and run.is_failing):
            unit.pending.clear()
        if not unit.away and not unit.pending:
            if run.is_failing:
                run.stop()
            if stops and run.outcome is None:
                return self._finish(unit, Status.WAITING)
            unit.pending.extend(run.due())
            if not unit.pending:
                return self._conclude(unit, None)
        started = self._fill(unit)
        return [*started, *self._advance()]

    def _fill(self, unit: Unit) -> list[Instruction]:
        """Starts what is due in a knot, as far as there are free slots; the rest comes in as slots become free."""
        run, started = unit.run, list[Instruction]()
        while run is not None and unit.pending and self._busy < self.plan.options.slots:
            step = unit.pending.popleft()
            self._depart(step.name, unit, Status.RUNNING)
            started.append(Settle(step, unit.name, dict(run.overlay), run.pass_number))
        if unit.pending and unit not in self._crowded:
            self._crowded.append(unit)
        return started

    def _fill_crowded(self) -> list[Instruction]:
        """Steps that waited for a slot, before any unit is begun; none of a unit that has become another or is to end."""
        if not self._crowded or (self._stop and self.plan.options.fail_fast):
            return []
        units, self._crowded = self._crowded, []
        return [one for unit in units if self.units.by_name.get(unit.name) is unit for one in self._fill(unit)]

    def _conclude(self, unit: Unit, recalled: Solution | None) -> list[Instruction]:
        options = self.plan.options
        instruction, status = conclude(unit, recalled, self.plan.steps, options.seed, options.keep_unstable)
        self._after[unit.name] = status
        self.solutions[unit.name] = instruction.solution
        for name, result in instruction.solution.last:
            if status is Status.FAILED and name in instruction.solution.failed:
                self.failures.setdefault(name, Failure(name, result.problems, result.exit_code))
        self._depart("@" + unit.name, unit, Status.CONCLUDING)
        return [instruction, *self._advance()]

    def _finish(self, unit: Unit, status: Status) -> list[Instruction]:
        if status.is_dead_end and self._falls_apart(unit):
            return self._advance()
        unit.status = status
        unit.finished = self._tick
        if status is Status.FAILED:
            failed = sum(1 for other in self.units.by_name.values() if other.status is Status.FAILED and self._is_broken(other))
            self._stop = 0 < self.plan.options.failures_max <= failed
        if not status.is_open:
            self.units.release(unit)
        return self._advance()

    def _is_broken(self, unit: Unit) -> bool:
        """Whether a tool failed. A knot without rest stops nobody: a worse verdict may follow (exit code 1 before 4 before 3)."""
        solution = self.solutions.get(unit.name)
        return solution is None or solution.verdict not in ("PERIOD", "DIVERGES")

    def _falls_apart(self, unit: Unit) -> bool:
        """Whether only presumptions held a unit together that comes to a bad end: then its parts are tried on their own."""
        if not self.knowledge.graph.soft:
            return False
        self.units.give_up(unit)
        self._regraph()
        if self.units.by_name.get(unit.name) is unit:
            return False
        self.solutions.pop(unit.name, None)
        return True

    def _advance(self) -> list[Instruction]:
        """Starts ready units while there are free slots; Finish when nothing is left."""
        instructions: list[Instruction] = self._fill_crowded()
        postponed: list[Unit] = []
        slots = self.plan.options.slots
        room = slots if self._crowded else slots + self.ahead
        while not self._stop and self._busy < room:
            unit = self.units.pop_ready()
            if unit is None:
                break
            if unit.mirrored and self._busy >= slots:  # a knot's steps wait for nobody
                postponed.append(unit)
                break
            if self._has_late_answers(unit):
                postponed.append(unit)
            elif unit.mirrored or not self.lacking(unit):  # else some other step may still turn out to make what it lacks
                unit.started = self._tick
                instructions.append(self._begin(unit))
        for unit in postponed:
            self.units.offer_again(unit)
        if not self._busy and not instructions and not self._finished:
            self._finished = True
            instructions.append(Finish())
        return instructions

    def _has_late_answers(self, unit: Unit) -> bool:
        """Whether something that an earlier grouping of these steps started is still under way."""
        names = unit.members if len(unit.members) == 1 else frozenset(unit.members)
        return any(name in names for other, _ in self._flight.values() for name in other.members)

    def _begin(self, unit: Unit) -> Instruction:
        members = [self.plan.steps[name] for name in unit.members]
        if not unit.mirrored:
            self._depart(unit.name, unit, Status.RUNNING)
            return Settle(members[0])
        self._depart("@" + unit.name, unit, Status.RECALLING)
        return Recall(unit.name, tuple(pass_order(members)), self._limit(unit))

    def _limit(self, unit: Unit) -> int:
        return pass_limit([self.plan.steps[name] for name in unit.members], self.plan.options.passes_max)

    def _regraph(self) -> None:
        self.units.regroup(self.knowledge.regraph(self.plan.goals))

    def _check_goals(self) -> None:
        fresh = any(not traffic.known for traffic in self.knowledge.traffic.values())
        for goal in self.plan.goals:
            if not self.knowledge.graph.maker.get(goal) and not self.plan.present(goal) and not fresh:
                raise UsageError(
                    f"{goal}: no step makes this goal and it is no file of the project{self._nearest(goal)}; "
                    "`cpods graph show` tells what can be made"
                )

    def _nearest(self, goal: FilePath) -> str:
        import difflib  # only a mistake pays for the import

        known = [*self.plan.steps, *(path for step in self.plan.steps.values() for path in step.outputs)]
        return "".join(f" (did you mean {name}?)" for name in difflib.get_close_matches(goal, known, n=1))


_STRENGTH = {"up_to_date": 0, "cached": 1, "ran": 2}


def _stronger(old: str | None, new: str) -> str:
    """Of two ways in which a step was settled, the one that did more."""
    return new if old is None or _STRENGTH[new] > _STRENGTH[old] else old
