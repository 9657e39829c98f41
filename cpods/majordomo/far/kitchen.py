"""The kitchen of a federation: an order becomes a request to some pod, its result counts once, its outputs stay there.

Knows no wire and no placement: dispatch has them; what a step sees comes from the landscape.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from cpods.digest import of_parts
from cpods.errors import Unavailable
from cpods.eyes import Eyes
from cpods.ids import GLOB_FACT, FilePath
from cpods.majordomo.context import log_name
from cpods.majordomo.far.dispatch import Dispatcher
from cpods.majordomo.far.estate import Estate
from cpods.majordomo.far.jobs import Job
from cpods.majordomo.far.landscape import Ground, Landscape, Shown
from cpods.majordomo.keys import Keys
from cpods.majordomo.planning import Planned
from cpods.model import Artefact, Problem, Read, Result, Step
from cpods.net.messages import Ack, Input, StepDone, StepRequest
from cpods.orders import Cooked, Execution, Order
from cpods.ports import Memory, Objects, Results

#: Variables that say where things lie on this machine; a pod has its own.
_PLACES = frozenset({"PATH", "HOME", "USER", "TMPDIR"})
#: An output of a pass up to this size is brought here at once: the diagnosis and other readers' views want its bytes.
_SMALL_BYTES = 256 << 10
#: Chefs whose tools may depend on every byte of what they read.
_WHOLE = frozenset({"shell", "compiler"})
_RECOVERIES_MAX = 4
#: So often a step is run again because it looked for products that it was not known to read.
_DISCOVERIES_MAX = 12


class FarGround(Ground, Protocol):
    """What the kitchen needs of the project folder."""

    def place(self, path: FilePath, artefact: Artefact) -> None:
        """A step has made ``path`` on another pod."""


class FarKitchen:
    """Has orders carried out by pods. :meth:`accept` is how results come in; :meth:`cook` is who waits for them."""

    def __init__(
        self,
        project: str,
        folder: FarGround,
        objects: Objects,
        memory: Memory,
        results: Results,
        eyes: Eyes,
        keys: Keys,
        estate: Estate,
    ) -> None:
        self._project = project
        self._folder = folder
        self._objects = objects
        self._memory = memory
        self._results = results
        self._eyes = eyes
        self._keys = keys
        self._estate = estate
        self._lost: set[str] = set()
        self._awaited: Counter[str] = Counter()
        self._accepted: dict[str, str] = {}
        self._counted: set[tuple[object, ...]] = set()
        self._early: dict[str, tuple[str, StepDone]] = {}
        self._recovering: dict[str, asyncio.Task[tuple[Execution, ...]]] = {}
        self._steps: dict[str, Step] = {}
        self.fetched: dict[str, dict[str, int]] = {}
        self.dispatcher: Dispatcher
        self.landscape: Landscape
        self.planned: Planned
        self.logs: dict[str, str] = {}
        self.ready: Callable[[], Awaitable[None]] = _at_once
        self.on_end: Callable[[str, Step | None, StepDone], None] = lambda pod, step, done: None
        self._insignificant: dict[FilePath, tuple[str, ...]] = {}
        self._filtering: list[Step] = []

    def attach(self, dispatcher: Dispatcher, landscape: Landscape, planned: Planned) -> None:
        """The parts that are there only once the build is planned."""
        self.dispatcher = dispatcher
        self.landscape = landscape
        self.planned = planned
        self._insignificant = {path: step.insignificant for step in planned.steps.values() if step.insignificant for path in step.outputs}
        # Steps that may see something through a filter of their chef's own. Of a shell step or a compiler none does.
        helpers = (helper for known in planned.remembered.values() for helper in known.helpers)
        self._filtering = [step for step in (*planned.steps.values(), *helpers) if step.chef not in _WHOLE]

    def step_name(self, step_id: str) -> str:
        """The step behind an id."""
        step = self._steps.get(step_id)
        return step.name if step is not None else step_id

    # -- orders ----------------------------------------------------------------------------------------------------

    async def cook(self, order: Order) -> Cooked:
        """Carries out an order on some pod. Raises KeyError if an object of the overlay is nowhere, Unavailable, OSError."""
        earlier: tuple[Execution, ...] = ()
        recoveries = discoveries = 0
        while True:
            shown = self.landscape.shown(order)
            request = await self._request(order, shown)
            facts = self._facts(order)
            done = await self._run(request, order, shown)
            if done.missing:
                recoveries += 1
                if recoveries == _RECOVERIES_MAX:
                    names = ", ".join(f"{digest}: {reason}" for digest, reason in done.missing.items())
                    raise Unavailable(f"step {order.step.name}: its inputs cannot be brought to a pod ({names}); build again")
                earlier += await self._recover(order, shown, done.missing)
                continue
            cooked = await self._taken(order, shown, done, facts)
            if discoveries < _DISCOVERIES_MAX and not cooked.stale and self.landscape.seek(order, shown, _reads(cooked)):
                discoveries += 1
                earlier = (*earlier, *cooked.earlier, *_executions(cooked))
                continue
            return msgspec.structs.replace(cooked, earlier=(*earlier, *cooked.earlier))

    async def close(self) -> None:
        """Ends what was begun for steps that nobody waits for any more. Idempotent."""
        tasks = [*self._recovering.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _request(self, order: Order, shown: Shown) -> StepRequest:
        tree, inputs = shown.tree, tuple(shown.products.values())
        self._objects.commit()
        epochs = {} if order.knot else await self._estate.epochs(order.step.outputs)
        sent = msgspec.structs.replace(
            order, env=tuple(pair for pair in order.env if pair[0] not in _PLACES), hidden=frozenset(), pass_number=order.pass_number
        )
        fingerprint = self._keys.fingerprint(order.step)
        return StepRequest(
            id=self._id(sent, tree.artefact, inputs, fingerprint),
            order=sent,
            tree=tree.artefact,
            inputs=inputs,
            wanted=self.landscape.wanted(order),
            epochs=epochs,
            fingerprint=fingerprint,
            insignificant=self._insignificant,
        )

    def _id(self, order: Order, tree: Artefact, inputs: Sequence[Input], fingerprint: str) -> str:
        """A function of all that decides the run, so that a MajorDomo that was restarted asks for what already runs."""
        overlay = [f"{path}={version.digest if version else ''}" for path, version in sorted(order.overlay.items())]
        rows = [f"{row.path}={row.digest}" for row in inputs]
        env = [f"{name}={value}" for name, value in order.env]
        kind = "knot" if order.knot else "plain"
        parts = [self._project, order.step.name, order.static_key, kind, str(order.date), fingerprint, tree.digest]
        return of_parts([*parts, "inputs", *rows, "overlay", *overlay, "env", *env]).partition(":")[2]

    async def _run(self, request: StepRequest, order: Order, shown: Shown) -> StepDone:
        await self.ready()
        self._steps[request.id] = order.step
        self.logs[request.id] = order.log
        rows = self._wanted_rows(request, shown)
        sizes = {row.digest: row.size for row in rows}
        sizes.update((version.digest, version.size) for version in order.overlay.values() if version is not None)
        tree = shown.tree if request.wanted is None else None
        job = Job(request, order.step, [*sizes.items()], self._keys.fit_name(order.step), request.inputs if tree else rows, tree)
        self._accepted.pop(request.id, None)
        self._awaited[request.id] += 1
        try:
            return await self._came_early(request.id) or await self.dispatcher.run(job)
        finally:
            self._awaited[request.id] -= 1

    async def _came_early(self, step_id: str) -> StepDone | None:
        """The end of a step that ran for a MajorDomo before this one, if it came before anybody here asked for it."""
        if step_id not in self._early:
            return None
        pod, done = self._early.pop(step_id)
        (ack,) = await self.accept(pod, [done])
        self._estate.tell_later(ack.owned)  # it was acknowledged as nobody's
        return done

    @staticmethod
    def _wanted_rows(request: StepRequest, shown: Shown) -> list[Input]:
        if request.wanted is None:
            return [*shown.tree.files.values(), *request.inputs]
        return [row for path in request.wanted if (row := shown.get(path)) is not None]

    def _facts(self, order: Order) -> dict[str, str]:
        """Listings of patterns as they are here before the run: what counts at the next look-up."""
        facts = [GLOB_FACT + pattern for pattern in order.step.globs]
        return {fact: self._eyes.edge(order.step, fact, order.overlay, order.hidden) for fact in facts}

    # -- results ---------------------------------------------------------------------------------------------------

    async def accept(self, pod: str, steps: Sequence[StepDone]) -> list[Ack]:
        """Makes results count: their artefacts are held by the pod, their paths owned by it where the epoch still is the
        one of the order. Each is kept for whoever looks it up before its pod forgets it: this MajorDomo may not live to use it.
        """
        for one in steps:
            self._estate.hold(pod, one.cooked.artefacts)
            self._count(pod, one)
            result = one.cooked.result
            if result is not None and result.exit_code == 0 and not one.cooked.loosened:
                self._results.add_result(result)
                if not self._awaited[one.id] and one.id not in self._steps:
                    self._early[one.id] = pod, one
        self._results.commit()
        claims = [(one, self._claims(pod, one)) for one in steps]
        owners = await self._estate.claim([claim for _, own in claims for claim in own])
        acks = []
        for one, own in claims:
            owned = {path: owners[path].epoch for path, _, _, digest in own if (owners[path].pod, owners[path].digest) == (pod, digest)}
            if self._awaited[one.id] and one.cooked.result is not None and one.id not in self._accepted:
                self._accepted[one.id] = pod
                if len(owned) < len(own):
                    self._lost.add(one.id)
            acks.append(Ack(one.id, owned))
        return acks

    def _is_expected(self, pod: str, step_id: str) -> bool:
        """Whether it is the first end of a step that somebody waits for, or that one again: a second pod's comes too late."""
        return self._accepted.get(step_id, pod) == pod and (self._awaited[step_id] > 0 or step_id in self._accepted)

    def _count(self, pod: str, done: StepDone) -> None:
        """Notes what moved; an end that comes again is not counted again."""
        fresh = tuple(sorted(done.fetched.items()))
        key = (pod, done.id, done.cooked.execution, fresh)
        if key in self._counted:
            return
        self._counted.add(key)
        self.on_end(pod, self._steps.get(done.id), done)
        by = self.fetched.setdefault(pod, {})
        for holder, moved in fresh:
            by[holder] = by.get(holder, 0) + moved

    def _claims(self, pod: str, done: StepDone) -> list[tuple[FilePath, int, str, str]]:
        result = done.cooked.result
        if result is None or not result.usable or result.exit_code != 0 or not self._is_expected(pod, done.id):
            return []
        return [(o.path, done.epochs[o.path], pod, o.version.digest) for o in result.outputs if o.path in done.epochs]

    async def _taken(self, order: Order, shown: Shown, done: StepDone, facts: Mapping[str, str]) -> Cooked:
        """What came back, made good for here: stale if a source moved meanwhile, with the bytes that others must see."""
        cooked = done.cooked
        if done.trouble and not cooked.problems:
            cooked = msgspec.structs.replace(cooked, problems=(Problem(f"step {order.step.name}: {done.trouble}"),))
        if done.id in self._lost:
            self._lost.discard(done.id)
            return msgspec.structs.replace(cooked, result=None, stale=True)
        result = cooked.result
        moved = self.landscape.moved(shown, [path for path in _reads(cooked) if path not in order.overlay])
        if moved:
            text = f"step {order.step.name} has no stable inputs: {', '.join(moved)} changed each time while it ran; call cpods again"
            return msgspec.structs.replace(cooked, result=None, stale=True, problems=(Problem(text),))
        if result is None:
            return cooked
        result = self._with_facts(result, facts)
        failed = await self._estate.bring(self._wanted_here(order, result))
        if failed:  # the pod was lost right after it: without these bytes nobody can say what readers see
            self._estate.give_up(failed)
            text = f"step {order.step.name}: what it made cannot be brought here ({next(iter(failed.values()))}); call cpods again"
            return msgspec.structs.replace(cooked, result=None, stale=True, problems=(Problem(text),))
        if not order.knot:
            for output in result.outputs:
                self._folder.place(output.path, Artefact(output.version.digest, output.version.size))
        return msgspec.structs.replace(cooked, result=result, pod=self._pod_of(cooked))

    @staticmethod
    def _pod_of(cooked: Cooked) -> str:
        return cooked.execution.pod if cooked.execution is not None else ""

    @staticmethod
    def _with_facts(result: Result, facts: Mapping[str, str]) -> Result:
        if not facts:
            return result
        return msgspec.structs.replace(result, reads=tuple(Read(r.path, facts.get(r.path, r.digest)) for r in result.reads))

    def _wanted_here(self, order: Order, result: Result) -> list[Artefact]:
        """Outputs whose bytes are needed here: what readers see through filters, and small files of a knot."""
        readers = [*self._filtering, *result.helpers]
        wanted = []
        for output in result.outputs:
            small = bool(order.knot) and output.version.size <= _SMALL_BYTES
            marked = bool(order.step.insignificant) and output.path in order.step.outputs
            if small or marked or any(self._eyes.filter_for(reader, output.path) for reader in readers):
                wanted.append(Artefact(output.version.digest, output.version.size))
        return wanted

    # -- what is gone ----------------------------------------------------------------------------------------------

    async def _recover(self, order: Order, shown: Shown, missing: Mapping[str, str]) -> tuple[Execution, ...]:
        """Inputs that no holder delivered: a source is put into the own store again, a product's step runs again.

        Raises KeyError for a part of a knot's state: its knot starts again.
        """
        await self._estate.doubt(missing)
        overlay = {version.digest for version in order.overlay.values() if version is not None}
        executions: tuple[Execution, ...] = ()
        for digest in missing:
            if self._estate.is_here(digest) or self._estate.is_held(digest):
                continue
            path = next((row.path for row in shown.products.values() if row.digest == digest), None)
            if path is not None and self._folder.elsewhere(path) is not None:
                executions += await self._make_again(path)
            elif path is not None:  # it lies here: the next request puts it into the own store again
                continue
            elif digest in overlay:
                raise KeyError(digest)
            else:
                self.landscape.forget()
        return executions

    async def _make_again(self, path: FilePath) -> tuple[Execution, ...]:
        written = self._memory.written.get(path)
        step = self.planned.steps.get(written.step) if written is not None else None
        if step is None or step.open_reads:
            raise Unavailable(f"{path}: nobody holds it any more and no single step makes it; build again, and it will be made again")
        running = self._recovering.get(step.name)
        if running is not None:
            await asyncio.shield(running)
            return ()  # who began it tells of what ran
        task = self._recovering[step.name] = asyncio.ensure_future(self._cook_again(step))
        task.add_done_callback(lambda _: self._recovering.pop(step.name, None))
        return await asyncio.shield(task)

    async def _cook_again(self, step: Step) -> tuple[Execution, ...]:
        last = self._memory.results.get(step.name)
        date = last.date if last is not None else 0
        order = Order(step, self._keys.static(step), self._keys.environment(step, date), date, log_name(step.name))
        cooked = await self.cook(order)
        if cooked.result is None or not cooked.result.usable:
            raise KeyError(step.name)
        self._results.add_result(cooked.result)
        return (*cooked.earlier, *_executions(cooked))


async def _at_once() -> None:
    """Nothing has to be waited for before the first step is sent away."""


def _executions(cooked: Cooked) -> tuple[Execution, ...]:
    return () if cooked.execution is None else (cooked.execution,)


def _reads(cooked: Cooked) -> list[FilePath]:
    """What was read or looked for."""
    return [read.path for read in cooked.result.reads] if cooked.result is not None else [*cooked.reads]
