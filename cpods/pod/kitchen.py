"""Carries out one order in a slot: pulls what is lacking, runs the step, fetches what the tool then looked for, runs again.

Knows no message bus and no lease; the transfer brings artefacts, module cook runs and observes.
"""

import asyncio
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping

import msgspec

from cpods.digest import algorithm_of
from cpods.errors import CpodsError
from cpods.eyes import Eyes
from cpods.ids import FilePath
from cpods.model import Artefact, Problem, Step
from cpods.net.messages import StepDone, StepRequest, Steps
from cpods.orders import Cooked, Execution, Order
from cpods.pod.bubble import Bubble
from cpods.pod.cook import Diary, Pod
from cpods.pod.ear import Ear
from cpods.pod.slot import Aim, Slot
from cpods.pod.tree import GivenTree, PodEyes, Tree, Visible, decode_tree
from cpods.ports import Chef, Clock, Command, Executor, Objects, Transfer
from cpods.store.views import FolderView

#: Larger files are pulled only if the step declares them or its tool looks for them.
UNASKED_BYTES_MAX = 32 << 20

#: So often a step is run again because its tool looked for something more; then everything visible is brought.
DISCOVERIES_MAX = 12

#: More files or bytes than this are put into a slot in a thread, so that the pod goes on answering.
_FILES_IN_LOOP_MAX = 64
_BYTES_IN_LOOP_MAX = 64 << 20
_TREES_MAX = 16
_LOSSES_MAX = 3
_PRIVATE = ("PATH", "HOME", "USER", "TMPDIR")

Heard = Callable[[Command, bytes], None]


class Lacking(CpodsError):
    """Artefacts that an order needs and that nobody delivers."""

    exit_code = 5

    def __init__(self, failed: Mapping[Artefact, str]) -> None:
        artefact, reason = next(iter(failed.items()))
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        super().__init__(f"an input cannot be brought here: {reason or artefact.digest}{more}")
        self.missing = {artefact.digest: reason for artefact, reason in failed.items()}


class Places(msgspec.Struct, frozen=True):
    """Where one order is carried out: its slot, and (absolute path) the folder for its temporary files."""

    slot: Slot
    temporary: str


class OrderDiary:
    """Notes of one order in a diary that all orders of a pod share: two may run a step of one name."""

    def __init__(self, diary: Diary, prefix: str) -> None:
        self._diary = diary
        self._prefix = prefix

    def begin(self, step: str, outputs: Mapping[FilePath, str]) -> None:
        """As Diary.begin."""
        self._diary.begin(self._prefix + step, outputs)

    def started(self, step: str, pid: int, start_ticks: int) -> None:
        """As Diary.started."""
        self._diary.started(self._prefix + step, pid, start_ticks)

    def end(self, step: str) -> None:
        """As Diary.end."""
        self._diary.end(self._prefix + step)


class Kitchen:
    """What one pod carries out orders with. ``environment``: the pod's own, of which PATH, HOME and USER reach steps."""

    def __init__(
        self,
        name: str,
        objects: Objects,
        transfer: Transfer,
        chefs: Mapping[str, Chef],
        executor: Callable[[Heard], Executor],
        clock: Clock,
        diary: Diary,
        environment: Mapping[str, str],
        on_pulled: Callable[[Iterable[Artefact]], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._objects = objects
        self._transfer = transfer
        self._chefs = chefs
        self._executor = executor
        self._clock = clock
        self._diary = diary
        self._own = {variable: environment[variable] for variable in _PRIVATE[:-1] if variable in environment}
        self._on_pulled = on_pulled
        self._trees: OrderedDict[str, Tree] = OrderedDict()
        self._eyes: Eyes | None = None
        self._here: set[str] = set()
        self._moved: Counter[str] = Counter()

    def forget(self, digests: Iterable[str]) -> None:
        """Objects that may not be in the store any more."""
        self._here.difference_update(digests)

    async def carry_out(self, request: StepRequest, steps: Steps, places: Places, heard: Callable[[bytes], None]) -> StepDone:
        """The end of an order, good or bad. Its outputs are put into the store, but not committed. ``heard``: what its tool says."""
        slot, executor = places.slot, self._executor(lambda _, block: heard(block))
        ear = Ear(executor if slot.shown == slot.root else Bubble(executor, slot.root))
        run = _Run(self, request, steps, places, ear)
        try:
            cooked = await self._cook(run)
        except Lacking as error:
            return run.done(_no_run(str(error)), trouble=str(error), missing=error.missing)
        except (CpodsError, OSError, KeyError) as error:
            self._here.clear()
            text = f"pod {self.name}: {_sentence(error)}"
            return run.done(_no_run(text), trouble=text)
        return run.done(cooked)

    async def _cook(self, run: "_Run") -> Cooked:
        """Tried again if an object was gone or damaged (then it is in quarantine now): it is brought anew."""
        for _ in range(_LOSSES_MAX):
            try:
                return await run.cook()
            except KeyError:
                self._here.clear()
        return await run.cook()

    async def tree(self, artefact: Artefact, bring: "_Run") -> Tree:
        """A listing, pulled and decoded once. Raises Lacking, UsageError."""
        known = self._trees.get(artefact.digest)
        if known is None:
            await bring.pull([artefact])
            known = self._trees[artefact.digest] = decode_tree(self._objects.read(artefact.digest))
            while len(self._trees) > _TREES_MAX:
                self._trees.popitem(last=False)
        self._trees.move_to_end(artefact.digest)
        return known

    async def pull(self, wanted: Mapping[Artefact, tuple[str, ...]]) -> dict[str, int]:
        """Brings what the store lacks; bytes moved by holder. Raises Lacking."""
        lacking = {one: holders for one, holders in wanted.items() if one.digest not in self._here and not self._has(one.digest)}
        if not lacking:
            return {}
        failed = await self._transfer.pull_many(lacking)
        pulled = [one for one in lacking if one not in failed]
        self._here.update(one.digest for one in pulled)
        self._on_pulled(pulled)
        moved = self._moved_since(lacking, pulled)
        if failed:
            raise Lacking(failed)
        return moved

    def pod(self, visible: Visible, request: StepRequest, places: Places, executor: Executor) -> Pod:
        """The worker over one order's files."""
        folder = GivenTree(places.slot.root, visible, self._objects)
        others = {path: lines for path, lines in request.insignificant.items() if path not in request.order.step.outputs}
        eyes = PodEyes(folder, self._objects, self._chefs, others, self._eyes)
        self._eyes = eyes
        return Pod(
            name=self.name,
            folder=folder,
            objects=self._objects,
            chefs=self._chefs,
            executor=executor,
            clock=self._clock,
            eyes=eyes,
            mirror=lambda *_: places.slot,
            plain_view=lambda paths: FolderView(places.slot.root, paths),
            diary=OrderDiary(self._diary, f"{request.id} "),
            state=places.slot.root,
        )

    def order(self, request: StepRequest, places: Places) -> Order:
        """The order with this pod's places instead of the MajorDomo's."""
        environment = {name: value for name, value in request.order.env if name not in _PRIVATE}
        environment |= self._own
        environment["TMPDIR"] = places.temporary
        return msgspec.structs.replace(request.order, env=tuple(sorted(environment.items())))

    def _has(self, digest: str) -> bool:
        if self._objects.has(digest):
            self._here.add(digest)
            return True
        return False

    def _moved_since(self, lacking: Mapping[Artefact, tuple[str, ...]], pulled: Iterable[Artefact]) -> dict[str, int]:
        """Bytes by holder. A transfer that counts is asked: each byte is told once, be it with another order's."""
        counted: Counter[str] | None = getattr(self._transfer, "moved", None)
        if counted is None:
            guessed: Counter[str] = Counter()
            for one in pulled:
                guessed[next(iter(lacking[one]), "")] += one.size
            return dict(guessed)
        news = counted - self._moved
        self._moved = Counter(counted)
        return dict(news)


class _Run:
    """One order on its way."""

    def __init__(self, kitchen: Kitchen, request: StepRequest, steps: Steps, places: Places, ear: Ear) -> None:
        self._ear = ear
        self._kitchen = kitchen
        self._request = request
        self._steps = steps
        self._places = places
        self._fetched: Counter[str] = Counter()
        self._earlier: list[Execution] = []

    async def cook(self) -> Cooked:
        """Runs, and runs again, until nothing more that the project has was looked for in vain."""
        request, slot = self._request, self._places.slot
        visible = Visible(await self._kitchen.tree(request.tree, self), request.inputs)
        order = self._kitchen.order(request, self._places)
        chosen = self._chosen(visible)
        pod = self._kitchen.pod(visible, request, self._places, self._ear)
        for round in range(DISCOVERIES_MAX + 1):
            aim = Aim(visible, chosen, order.step, frozenset(request.executable), plain=not order.knot)
            await self._set_up(aim, order)
            cooked = await pod.cook_apart(order)
            more = slot.missing(cooked.reads)
            if not more and _may_have_looked(order.step, cooked):
                more = slot.absent()
            if not more or cooked.execution is None:
                break
            self._earlier.append(cooked.execution)
            chosen = chosen | set(more) if round < DISCOVERIES_MAX - 1 else {file.path for file in visible}
        return msgspec.structs.replace(cooked, earlier=tuple(self._earlier), pod=self._kitchen.name)

    async def pull(self, artefacts: Iterable[Artefact]) -> None:
        """Brings artefacts, from the holders that the request names. Raises Lacking."""
        named, pods = self._request.holders, self._steps.pods
        wanted = {
            one: tuple(pods[index] for index in named[one.digest]) if one.digest in named else (self._steps.majordomo,) for one in artefacts
        }
        self._fetched.update(await self._kitchen.pull(wanted))

    def done(self, cooked: Cooked, trouble: str = "", missing: Mapping[str, str] | None = None) -> StepDone:
        """The message of this end."""
        request, places = self._request, self._places
        outputs = cooked.result.outputs if cooked.result is not None else ()
        executable = {output.version.digest for output in outputs if os.access(places.slot.absolute(output.path), os.X_OK)}
        return StepDone(
            id=request.id,
            project=self._steps.project,
            cooked=cooked,
            epochs=request.epochs,
            fetched=dict(self._fetched),
            missing=missing or {},
            trouble=trouble,
            executable=tuple(sorted(executable)),
            log=self._ear.log(),
        )

    async def _set_up(self, aim: Aim, order: Order) -> None:
        """Everything is in the store and, if it is much, in the slot already."""
        files = (aim.visible.get(path) for path in aim.chosen if path not in order.hidden and path not in order.overlay)
        wanted = {Artefact(file.digest, file.size) for file in files if file is not None}
        wanted |= {Artefact(version.digest, version.size) for version in order.overlay.values() if version is not None}
        await self.pull(wanted)
        self._places.slot.aim(aim)
        os.makedirs(self._places.temporary, exist_ok=True)
        if len(wanted) > _FILES_IN_LOOP_MAX or sum(one.size for one in wanted) > _BYTES_IN_LOOP_MAX:
            await asyncio.to_thread(self._places.slot.prepare, order.overlay, order.hidden)

    def _chosen(self, visible: Visible) -> set[FilePath]:
        step, wanted = self._request.order.step, self._request.wanted
        chosen = {*step.inputs, *step.optional}
        if wanted is None:
            chosen.update(file.path for file in visible if file.size <= UNASKED_BYTES_MAX)
        else:
            chosen.update(wanted)
        return {path for path in chosen if visible.get(path) is not None}


def _may_have_looked(step: Step, cooked: Cooked) -> bool:
    """Whether a failure may come from a file that is not there. Only shell steps look for files without telling of it."""
    return step.chef == "shell" and cooked.exit_code not in (0, None) and not cooked.stale


def _no_run(text: str) -> Cooked:
    return Cooked(None, None, problems=(Problem(text),))


def _sentence(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"the artefact {error.args[0]} is gone from its store; it will be brought again"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def fits_store(request: StepRequest, algorithm: str) -> str:
    """'' if an order's artefacts can lie in a store of that algorithm, else a sentence."""
    try:
        other = algorithm_of(request.tree.digest)
    except ValueError as error:
        return f"the order names no listing of the project: {error}"
    return "" if other == algorithm else f"its store names artefacts by {algorithm}, the order by {other}"
