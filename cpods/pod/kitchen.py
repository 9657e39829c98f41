"""What all orders of a pod share: its store and transfer, listings that were decoded, the worker, and what was pulled.

Knows no order's way through the pod; that is an errand.
"""

import asyncio
import itertools
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import nullcontext

import msgspec

from cpods.digest import algorithm_of
from cpods.errors import CpodsError
from cpods.eyes import Eyes
from cpods.ids import FilePath
from cpods.model import Artefact
from cpods.net.messages import StepRequest
from cpods.orders import Order
from cpods.pod.cook import Diary, Pod
from cpods.pod.gauge import Gauge
from cpods.pod.slot import Slot
from cpods.pod.tree import GivenTree, PodEyes, Tree, Visible, decode_tree
from cpods.ports import Chef, Clock, Command, Executor, Objects, Transfer
from cpods.store.views import FolderView

_TREES_MAX = 16
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
    """Notes of one order's run in a diary that all share: two may run a step of one name, or one that is being given up again."""

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
    """What one pod carries out orders with. ``environment``: the pod's own, of which PATH, HOME and USER reach steps.

    ``fetches``: so many orders without a slot may pull at once, in the order in which they came to it: the first are to have
    the link for themselves rather than all a little of it. ``gauge`` measures what the link gives. ``untold``: bytes, by
    holder, that no order's end has told of yet.
    """

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
        fetches: int = 8,
    ) -> None:
        self.name = name
        self._objects = objects
        self._transfer = transfer
        self._chefs = chefs
        self.executor = executor
        self._clock = clock
        self._diary = diary
        self._own = {variable: environment[variable] for variable in _PRIVATE[:-1] if variable in environment}
        self._on_pulled = on_pulled
        self._trees: OrderedDict[str, Tree] = OrderedDict()
        self._eyes: Eyes | None = None
        self._here: set[str] = set()
        self._moved: Counter[str] = Counter()
        self._fetching = asyncio.Semaphore(fetches)
        self._runs = itertools.count(1)
        self.untold: Counter[str] = Counter()
        self.gauge = Gauge(lambda: sum(getattr(transfer, "moved", {}).values()), clock.monotonic)

    def doubt(self) -> None:
        """Something that was in the store is not: each object is looked for again."""
        self._here.clear()

    def forget(self, digests: Iterable[str]) -> None:
        """Objects that may not be in the store any more."""
        self._here.difference_update(digests)

    async def tree(self, artefact: Artefact, bring: Callable[[Iterable[Artefact]], Awaitable[None]]) -> Tree:
        """A listing, brought by ``bring`` and decoded once. Raises Lacking, UsageError."""
        if artefact.digest not in self._trees:
            await bring([artefact])
        known = self._trees.get(artefact.digest)  # another order may have waited for it too
        if known is None:
            known = self._trees[artefact.digest] = decode_tree(self._objects.read(artefact.digest))
            while len(self._trees) > _TREES_MAX:
                self._trees.popitem(last=False)
        self._trees.move_to_end(artefact.digest)
        return known

    async def pull(self, wanted: Mapping[Artefact, tuple[str, ...]], has_slot: bool) -> dict[str, int]:
        """Brings what the store lacks; bytes moved by holder. Who has a slot waits for nobody. Raises Lacking."""
        lacking = {one: holders for one, holders in wanted.items() if one.digest not in self._here and not self._has(one.digest)}
        if not lacking:
            return {}
        async with nullcontext() if has_slot else self._fetching:
            with self.gauge.pulling():
                failed = await self._transfer.pull_many(lacking)
        pulled = [one for one in lacking if one not in failed]
        self._here.update(one.digest for one in pulled)
        self._on_pulled(pulled)
        moved = self._moved_since(lacking, pulled)
        if failed:
            self.untold.update(moved)
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
            diary=OrderDiary(self._diary, f"{request.id} {next(self._runs)} "),
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


def fits_store(request: StepRequest, algorithm: str) -> str:
    """'' if an order's artefacts can lie in a store of that algorithm, else a sentence."""
    try:
        other = algorithm_of(request.tree.digest)
    except ValueError as error:
        return f"the order names no listing of the project: {error}"
    return "" if other == algorithm else f"its store names artefacts by {algorithm}, the order by {other}"
