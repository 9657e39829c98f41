"""A synchronous MajorDomo over a tiny world: the real Core and KnotRun, a dict for a store, random order of completion.

Knows no process, no file and no asyncio. What it looks up and when follows cpods.majordomo.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

import msgspec

from cpods.events import Conclude, Concluded, Event, Finish, Instruction, Recall, Settle, Settled, Solved, Spoilt
from cpods.graph.order import pass_order
from cpods.model import Output, Read, Remembered, Result, Solution, Step, Version
from cpods.ports import KnotMemory, Written
from cpods.scheduler.core import Core, Options, Plan
from cpods.scheduler.states import Status
from tests.helpers.world import Program, World, content_of, edge, run

Overlay = Mapping[str, Version | None]
Finisher = Callable[[], Event]

_EVENTS_MAX = 20_000


class Shelf(msgspec.Struct):
    """What lasts from one build to the next: the folder's products, the store, and what is remembered."""

    products: dict[str, str] = {}
    written: dict[str, Written] = {}
    objects: set[str] = set()
    results: dict[str, list[Result]] = {}
    solutions: dict[str, list[Solution]] = {}
    last: dict[str, Result] = {}
    knots: dict[str, KnotMemory] = {}


class Faults(msgspec.Struct, frozen=True):
    """What goes wrong: chances per event, and how often at most. ``edit`` changes a source at an event."""

    stale: float = 0.0
    lose: float = 0.0
    edit: float = 0.0
    most: int = 5
    abandon_after: int | None = None


class Mutant(msgspec.Struct, frozen=True):
    """A planted mistake of the driver, to show that the ladder notices."""

    forgets_absent: bool = False
    stores_warm_as_clean: bool = False


class Ended(msgspec.Struct):
    """How a build ended. ``runs``: executions by step; ``finishes``: how often Finish came; ``log``: events in order."""

    verdicts: dict[str, str]
    products: dict[str, str]
    runs: Counter[str]
    finishes: int
    core: Core
    log: list[Event]
    solutions: dict[str, Solution]


class Driver:
    """One build. ``rng`` chooses which answer comes next; None: in the order of the questions."""

    def __init__(
        self,
        world: World,
        shelf: Shelf,
        seed_of_knots: str = "clean",
        slots: int = 1,
        rng: random.Random | None = None,
        faults: Faults | None = None,
        mutant: Mutant | None = None,
        **options: object,
    ) -> None:
        self.world = world
        self.shelf = shelf
        self.seed = seed_of_knots
        self.rng = rng
        self.faults = faults or Faults()
        self.mutant = mutant or Mutant()
        self.runs: Counter[str] = Counter()
        self.log: list[Event] = []
        self._troubles = 0
        self._incomplete: set[str] = set()
        self._declared = {path: p.name for p in world.programs.values() for path in p.outputs}
        chosen = {"until_stable": True, "seed": seed_of_knots, "failures_max": 0, "slots": slots, **options}
        self.core = Core(
            Plan(
                steps=world.steps(),
                goals=world.goals(),
                remembered=self._remembered(),
                present=self._present,
                filter_for=world.filter_for,
                options=Options(**chosen),  # type: ignore[arg-type]
            )
        )

    # -- the loop --------------------------------------------------------------------------------------------------

    def build(self) -> Ended:
        """Drives the core until it says Finish and nothing is under way."""
        under_way: list[Finisher] = []
        finishes = 0
        pending = self.core.start()
        for number in range(_EVENTS_MAX):
            finishes += sum(isinstance(instruction, Finish) for instruction in pending)
            under_way += [self.begin(instruction) for instruction in pending if not isinstance(instruction, Finish)]
            assert self.core.plan.options.slots >= len(under_way), "more under way than there are slots"
            if not under_way or number == self.faults.abandon_after:
                return self._ended(finishes)
            assert not finishes, "Finish came while something was under way"
            self._mischief()
            event = under_way.pop(0 if self.rng is None else self.rng.randrange(len(under_way)))()
            self.log.append(event)
            pending = self.core.handle(event)
        raise AssertionError("the build does not end")

    def begin(self, instruction: Instruction) -> Finisher:
        """Starts what the core asks for; the finisher carries it through and tells what came of it."""
        if isinstance(instruction, Settle):
            return self._settle(instruction)
        if isinstance(instruction, Recall):
            return lambda: self._recall(instruction)
        assert isinstance(instruction, Conclude)
        return lambda: self._conclude(instruction)

    def _ended(self, finishes: int) -> Ended:
        verdicts: dict[str, str] = {}
        for unit in self.core.units.all():
            solution = self.core.solutions.get(unit.name)
            word = {Status.DONE: "FIXED", Status.STUCK: "NOSTART", Status.BLOCKED: "UNRUN", Status.WAITING: "UNRUN"}.get(unit.status)
            if word is None:
                word = solution.verdict if solution is not None and unit.mirrored and solution.verdict else "FAILED"
            verdicts.update(dict.fromkeys(unit.members, word))
        return Ended(verdicts, dict(self.shelf.products), self.runs, finishes, self.core, self.log, dict(self.core.solutions))

    # -- what stands where -----------------------------------------------------------------------------------------

    def _remembered(self) -> dict[str, Remembered]:
        found = {}
        for name, result in self.shelf.last.items():
            if name in self.world.programs:
                all_of = [result, *(self.shelf.last[h.name] for h in result.helpers if h.name in self.shelf.last)]
                reads = frozenset(read.path for each in all_of for read in each.reads)
                writes = {path for path, written in self.shelf.written.items() if written.step == name}
                found[name] = Remembered(reads, frozenset(writes | {o.path for each in all_of for o in each.outputs}), result.helpers)
        return found

    def _present(self, path: str) -> bool:
        written = self.shelf.written.get(path)
        if path in self._declared or (written is not None and written.step in self.world.programs):
            return False
        return self._folder(path) is not None

    def _folder(self, path: str) -> str | None:
        return self.shelf.products.get(path, self.world.sources.get(path))

    def _hidden(self) -> set[str]:
        done = self.core.finished_steps()
        made = {path for path, written in self.shelf.written.items() if written.step not in done and written.step in self.world.programs}
        return made | {path for path, name in self._declared.items() if name not in done}

    def _see(self, path: str, overlay: Overlay, hidden: AbstractSet[str]) -> str | None:
        if path in overlay:
            there = overlay[path]
            return None if there is None else content_of(there.digest)
        return None if path in hidden else self._folder(path)

    def _fits(self, program: Program, reads: Iterable[Read], overlay: Overlay, hidden: AbstractSet[str]) -> bool:
        return all(edge(program, read.path, self._see(read.path, overlay, hidden)) == read.digest for read in reads)

    def _stored(self, outputs: Iterable[Output]) -> bool:
        return all(output.version.digest in self.shelf.objects for output in outputs)

    # -- settling --------------------------------------------------------------------------------------------------

    def _settle(self, order: Settle) -> Finisher:
        program = self.world.program(order.step.name)
        hidden = self._hidden() if order.knot else set()
        found = self._lookup(program, order, hidden)
        if found is not None:
            return lambda: self._use(order, found)
        if order.knot and not self._stored(Output(p, v) for p, v in order.overlay.items() if v is not None):
            self._incomplete.add(order.knot)
            return lambda: Spoilt(order.step.name, stale=True)
        previous = {} if order.knot else {path: self.shelf.products.pop(path, None) for path in program.outputs}
        self.runs[program.name] += 1
        ran = run(program, lambda path: self._see(path, order.overlay, hidden))
        result = self.world.result(program, ran)
        return lambda: self._ran(order, program, result, previous)

    def _lookup(self, program: Program, order: Settle, hidden: AbstractSet[str]) -> Result | None:
        last = self.shelf.last.get(program.name)
        stored = [last] if last is not None and last.static_key == program.key() else []
        for result in [*stored, *reversed(self.shelf.results.get(program.key(), []))]:
            if self._fits(program, result.reads, order.overlay, hidden) and self._stored(self._needed(order, result)):
                return result
        return None

    def _needed(self, order: Settle, result: Result) -> list[Output]:
        """Of a knot's step only what somebody reads must be stored, unless an object was missed."""
        unit = self.core.units.by_name.get(order.knot)
        if unit is None or unit.run is None or order.knot in self._incomplete:
            return list(result.outputs)
        reads = {read.path for read in result.reads} | {path for seen in unit.run.reads.values() for path in seen}
        return [output for output in result.outputs if output.path in reads]

    def _use(self, order: Settle, result: Result) -> Event:
        name = order.step.name
        if not order.knot:
            if not self._stored(result.outputs) or not self._fits(self.world.program(name), result.reads, {}, set()):
                return Spoilt(name, stale=True)
            self._own(name, result)
        self.shelf.last[name] = result
        return Settled(name, result, "cached")

    def _ran(self, order: Settle, program: Program, result: Result, previous: Mapping[str, str | None]) -> Event:
        seen = tuple(read.path for read in result.reads)
        hidden = self._hidden() if order.knot else set()
        present = [read for read in result.reads if not read.absent and read.path not in previous]
        if not self._fits(program, present, order.overlay, hidden) or self._chance(self.faults.stale):
            self._restore(previous)
            return Spoilt(program.name, stale=True, reads=seen)
        if not result.usable or (result.exit_code and not order.knot):
            self._restore(previous)
            return Spoilt(program.name, exit_code=result.exit_code, reads=seen)
        self.shelf.objects.update(output.version.digest for output in result.outputs)
        if self.mutant.forgets_absent:
            result = msgspec.structs.replace(result, reads=tuple(read for read in result.reads if not read.absent))
        if result.exit_code == 0:
            stored = self.shelf.results.setdefault(result.static_key, [])
            if result not in stored:
                stored.append(result)
        self.shelf.last[program.name] = result
        if not order.knot:
            self._own(program.name, result)
        return Settled(program.name, result, "ran")

    def _restore(self, previous: Mapping[str, str | None]) -> None:
        self.shelf.products.update({path: content for path, content in previous.items() if content is not None})

    def _own(self, step: str, result: Result) -> None:
        for output in result.outputs:
            self.shelf.products[output.path] = content_of(output.version.digest)
            self.shelf.written[output.path] = Written(step, output.version.digest)

    # -- knots -----------------------------------------------------------------------------------------------------

    def _key(self, members: Iterable[Step]) -> str:
        return "|".join(self.world.program(step.name).key() for step in members)

    def _recall(self, order: Recall) -> Event:
        memory = self.shelf.knots.get(order.knot) or KnotMemory()
        solution = self._stored_solution(order, memory)
        if solution is not None:
            self.shelf.last.update(solution.last)
            return Solved(order.knot, solution)
        start = (memory.unstable or memory.good) if self.seed == "warm" else None
        if start is None or not self._stored(output for _, output in start.outputs):
            return Solved(order.knot, None)
        helpers = tuple((name, tuple(helper.name for helper in result.helpers)) for name, result in start.last if result.helpers)
        return Solved(order.knot, None, seed=start.outputs, helpers=helpers)

    def _stored_solution(self, order: Recall, memory: KnotMemory) -> Solution | None:
        key = self._key(order.members)
        hidden = self._hidden()
        known = list(reversed(self.shelf.solutions.get(key, [])))
        clean = [solution for solution in known if solution.seed == "clean"]
        tried = clean
        if self.seed == "warm":
            good = [memory.good] if memory.good is not None and memory.good.key == key else []
            tried = [*good, *clean, *(solution for solution in known if solution.seed != "clean")]
        for solution in tried:
            fits = all(self._fits(self.world.program(name), reads, {}, hidden) for name, reads in solution.reads)
            current = all(self.world.program(name).key() == result.static_key for name, result in solution.last)
            if fits and current and solution.passes <= order.cap and self._stored(output for _, output in solution.outputs):
                return solution
        return None

    def _conclude(self, order: Conclude) -> Event:
        solution = order.solution
        if not order.recalled:
            hidden = self._hidden()
            if not all(self._fits(self.world.program(name), reads, {}, hidden) for name, reads in solution.reads):
                return Concluded(order.knot, moved_on=True)
            key = self._key(pass_order([self.core.plan.steps[name] for name in solution.members]))
            seed = "clean" if self.mutant.stores_warm_as_clean else self.seed
            solution = msgspec.structs.replace(solution, key=key, seed=seed)
            storable = solution.verdict in ("FIXED", "PERIOD", "DIVERGES")
            if storable and (seed == "clean" or solution.verdict == "FIXED"):
                self.shelf.solutions.setdefault(key, []).append(solution)
        self.core.solutions[order.knot] = solution
        if order.publish:
            if not self._stored(output for _, output in solution.outputs):
                self._incomplete.add(order.knot)
                return Concluded(order.knot, moved_on=True)
            self._publish(solution)
        if order.stable:
            self.shelf.knots[order.knot] = KnotMemory(good=solution)
        elif order.publish and solution.verdict is None:
            good = (self.shelf.knots.get(order.knot) or KnotMemory()).good
            self.shelf.knots[order.knot] = KnotMemory(good=good, unstable=solution)
        return Concluded(order.knot)

    def _publish(self, solution: Solution) -> None:
        planner = {helper.name: name for name, result in solution.last for helper in result.helpers}
        wanted = {output.path for _, output in solution.outputs}
        for path in [p for p, w in self.shelf.written.items() if w.step in solution.members and p not in wanted]:
            del self.shelf.written[path]
            self.shelf.products.pop(path, None)
        for writer, output in solution.outputs:
            owner = writer if writer in solution.members else planner.get(writer, solution.members[0])
            self.shelf.products[output.path] = content_of(output.version.digest)
            self.shelf.written[output.path] = Written(owner, output.version.digest)

    # -- what goes wrong -------------------------------------------------------------------------------------------

    def _chance(self, probability: float) -> bool:
        if not probability or self.rng is None or self._troubles >= self.faults.most or self.rng.random() >= probability:
            return False
        self._troubles += 1
        return True

    def _mischief(self) -> None:
        if self.shelf.objects and self._chance(self.faults.lose):
            assert self.rng is not None
            self.shelf.objects.discard(self.rng.choice(sorted(self.shelf.objects)))
        if self.world.sources and self._chance(self.faults.edit):
            assert self.rng is not None
            self.world.sources[self.rng.choice(sorted(self.world.sources))] = str(self.rng.randrange(4))
