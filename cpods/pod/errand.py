"""One order on its way through a pod: brings what the step wants, runs it in a slot, fetches what its tool then looked for, runs again.

Knows no message bus, no lease and no queue; the kitchen has what all orders share, module cook runs and observes.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from cpods.errors import CpodsError
from cpods.ids import FilePath
from cpods.model import Artefact, Problem, Step
from cpods.net.messages import StepDone, StepRequest, Steps
from cpods.orders import Cooked, Execution, Order
from cpods.pod.bubble import Bubble
from cpods.pod.ear import Ear
from cpods.pod.kitchen import Kitchen, Lacking, Places
from cpods.pod.slot import Aim
from cpods.pod.tree import Visible

#: Larger files are pulled only if the step declares them or its tool looks for them.
UNASKED_BYTES_MAX = 32 << 20

#: So often a step is run again because its tool looked for something more; then everything visible is brought.
DISCOVERIES_MAX = 12

#: More files or bytes than this are put into a slot in a thread, so that the pod goes on answering.
_FILES_IN_LOOP_MAX = 64
_BYTES_IN_LOOP_MAX = 64 << 20
_LOSSES_MAX = 3

Chosen = set[FilePath]


class Errand:
    """:meth:`fetch` needs no slot, :meth:`carry_out` does; each is called once. Who gives it up calls :meth:`give_up`."""

    def __init__(self, kitchen: Kitchen, request: StepRequest, steps: Steps) -> None:
        self._kitchen = kitchen
        self._request = request
        self._steps = steps
        self._fetched: Counter[str] = Counter()
        self._earlier: list[Execution] = []
        self._gathered: tuple[Visible, Chosen] | None = None
        self._places: Places | None = None
        self._ear: Ear | None = None

    async def fetch(self) -> StepDone | None:
        """Brings all that the step is known to want. None; or the order's end already, if that cannot be had."""
        return await self._told(self._nothing_cooked)

    async def carry_out(self, places: Places, heard: Callable[[bytes], None]) -> StepDone:
        """The end of the order, good or bad. Its outputs are put into the store, but not committed. ``heard``: what its tool says."""
        slot, executor = places.slot, self._kitchen.executor(lambda _, block: heard(block))
        ear = self._ear = Ear(executor if slot.shown == slot.root else Bubble(executor, slot.root))
        self._places = places
        done = await self._told(lambda: self._cook(places, ear))
        assert done is not None
        return done

    def give_up(self) -> None:
        """There will be no end; what was pulled for it is told with another order's."""
        self._kitchen.untold.update(self._fetched)
        self._fetched.clear()

    async def _told(self, work: Callable[[], Awaitable[Cooked | None]]) -> StepDone | None:
        """What is told of ``work``; None if it came to no end."""
        try:
            cooked = await self._tried(work)
        except Lacking as error:
            return self._done(_no_run(str(error)), trouble=str(error), missing=error.missing)
        except (CpodsError, OSError, KeyError) as error:
            self._kitchen.doubt()
            text = f"pod {self._kitchen.name}: {_sentence(error)}"
            return self._done(_no_run(text), trouble=text)
        return None if cooked is None else self._done(cooked)

    async def _tried(self, work: Callable[[], Awaitable[Cooked | None]]) -> Cooked | None:
        """Tried again if an object was gone or damaged (then it is in quarantine now): it is brought anew."""
        for _ in range(_LOSSES_MAX):
            try:
                return await work()
            except KeyError:
                self._kitchen.doubt()
                self._gathered = None
        return await work()

    async def _nothing_cooked(self) -> None:
        visible, chosen = await self._gather()
        await self._pull(self._wanted(visible, chosen, self._request.order))

    async def _gather(self) -> tuple[Visible, Chosen]:
        """What the step may see, and which files of it are to be there before it starts."""
        if self._gathered is None:
            visible = Visible(await self._kitchen.tree(self._request.tree, self._pull), self._request.inputs)
            self._gathered = visible, self._chosen(visible)
        return self._gathered

    async def _cook(self, places: Places, ear: Ear) -> Cooked:
        """Runs, and runs again, until nothing more that the project has was looked for in vain."""
        request, slot = self._request, places.slot
        visible, chosen = await self._gather()
        order = self._kitchen.order(request, places)
        pod = self._kitchen.pod(visible, request, places, ear)
        for round in range(DISCOVERIES_MAX + 1):
            aim = Aim(visible, chosen, order.step, frozenset(request.executable), plain=not order.knot)
            await self._set_up(aim, order, places)
            cooked = await pod.cook_apart(order)
            more = slot.missing(cooked.reads)
            if not more and _may_have_looked(order.step, cooked):
                more = slot.absent()
            if not more or cooked.execution is None:
                break
            self._earlier.append(cooked.execution)
            chosen = chosen | set(more) if round < DISCOVERIES_MAX - 1 else {file.path for file in visible}
        return msgspec.structs.replace(cooked, earlier=tuple(self._earlier), pod=self._kitchen.name)

    async def _set_up(self, aim: Aim, order: Order, places: Places) -> None:
        """Everything is in the store and, if it is much, in the slot already."""
        wanted = self._wanted(aim.visible, aim.chosen, order)
        await self._pull(wanted)
        places.slot.aim(aim)
        os.makedirs(places.temporary, exist_ok=True)
        if len(wanted) > _FILES_IN_LOOP_MAX or sum(one.size for one in wanted) > _BYTES_IN_LOOP_MAX:
            await asyncio.to_thread(places.slot.prepare, order.overlay, order.hidden)

    async def _pull(self, artefacts: Iterable[Artefact]) -> None:
        """Brings artefacts, from the holders that the request names. Raises Lacking."""
        named, pods = self._request.holders, self._steps.pods
        wanted = {
            one: tuple(pods[index] for index in named[one.digest]) if one.digest in named else (self._steps.majordomo,) for one in artefacts
        }
        self._fetched.update(await self._kitchen.pull(wanted, has_slot=self._places is not None))

    @staticmethod
    def _wanted(visible: Visible, chosen: Iterable[FilePath], order: Order) -> set[Artefact]:
        """The artefacts behind the chosen files, and those that lie over them."""
        files = (visible.get(path) for path in chosen if path not in order.hidden and path not in order.overlay)
        wanted = {Artefact(file.digest, file.size) for file in files if file is not None}
        return wanted | {Artefact(version.digest, version.size) for version in order.overlay.values() if version is not None}

    def _chosen(self, visible: Visible) -> Chosen:
        step, wanted = self._request.order.step, self._request.wanted
        chosen = {*step.inputs, *step.optional}
        if wanted is None:
            chosen.update(file.path for file in visible if file.size <= UNASKED_BYTES_MAX)
        else:
            chosen.update(wanted)
        return {path for path in chosen if visible.get(path) is not None}

    def _done(self, cooked: Cooked, trouble: str = "", missing: Mapping[str, str] | None = None) -> StepDone:
        """The message of this end."""
        request, places = self._request, self._places
        outputs = cooked.result.outputs if cooked.result is not None and places is not None else ()
        executable = {output.version.digest for output in outputs if places and os.access(places.slot.absolute(output.path), os.X_OK)}
        self._fetched.update(self._kitchen.untold)
        self._kitchen.untold.clear()
        return StepDone(
            id=request.id,
            project=self._steps.project,
            cooked=cooked,
            epochs=request.epochs,
            fetched=dict(self._fetched),
            pulled=self._kitchen.gauge.take(),
            missing=missing or {},
            trouble=trouble,
            executable=tuple(sorted(executable)),
            log=self._ear.log() if self._ear is not None else "",
        )


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
