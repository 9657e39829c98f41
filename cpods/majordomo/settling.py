"""Settles one step: a stored result that fits is used, else a pod runs it.

Knows no graph: the core says which step, and what stands over the project's files.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import msgspec

from cpods.digest import ABSENT
from cpods.events import Event, Settle, Settled, Spoilt
from cpods.ids import FilePath
from cpods.majordomo.account import Reason
from cpods.majordomo.context import Build, log_name
from cpods.majordomo.lookup import Difference, Found
from cpods.model import Result, Step
from cpods.orders import Cooked, Order


class Cancelled(Protocol):
    """A step under way."""

    def cancel(self) -> None:
        """Brings its end about; asked again, at once."""


#: From so many steps on it pays to have launchers at hand.
_CROWD = 64

_Begin = Callable[[Order, Callable[[Cooked | BaseException], None]], Cancelled | None]


class Settling:
    """Settles the steps of one build."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._parts = build.parts
        self._forced: set[str] = set()
        folder = build.parts.folder
        is_alone = build.parts.federation is None  # other pods look past the folder
        self._install: Callable[[FilePath, str], None] = getattr(folder, "install_soon", folder.install) if is_alone else folder.install
        self._settle: Callable[[bool], None] = getattr(folder, "settle", lambda abandon: None)
        kitchen = build.parts.kitchen if is_alone else None
        self._expect: Callable[[int], None] = getattr(kitchen, "expect", lambda slots: None)
        self.ahead: Callable[[], int] = getattr(kitchen, "ahead", lambda: 0)
        self.withdraw: Callable[[], None] = getattr(kitchen, "withdraw", lambda: None)
        self.close: Callable[[], None] = getattr(kitchen, "rest", lambda: None)

    def open(self, steps: int) -> None:
        """Before the first of so many steps."""
        if steps >= _CROWD:
            self._expect(self._build.request.options.slots)

    def at_once(self, order: Settle) -> Event | None:
        """The answer if it needs no run: a stored result, or that the step must be asked again. Raises OSError."""
        step = order.step
        if order.knot:
            self.complete()
        hidden = self._build.scene.hidden() if order.knot else frozenset()
        date = self._build.dates.get(order.knot) if order.knot else None
        forced = self._is_forced(step.name)
        day = None if step.any_date else date
        found = None if forced else self._build.lookup.result(step, order.overlay, hidden, day, self._needed(order))
        if found is not None:
            event = self._use(order, found)
            if event is not None:
                return event
        if date is not None and date != self._parts.calendar.today() and self._build.seeds.get(order.knot) != "clean":
            self._build.dates[order.knot] = self._parts.calendar.today()
            return Spoilt(step.name, stale=True)
        return None

    def complete(self, abandon: bool = False) -> None:
        """All outputs that were taken from the store stand in the folder now. ``abandon``: those that were begun. Raises OSError."""
        self._settle(abandon)

    async def run(self, order: Settle) -> Event:
        """Has the step run, after :meth:`at_once` had no answer, unless others have its result. Raises OSError, Unavailable."""
        shared = await self._shared(order)
        if shared is not None:
            return shared
        hidden = self._build.scene.hidden() if order.knot else frozenset()
        return await self._run(order, hidden, self._build.dates.get(order.knot) if order.knot else None)

    async def _shared(self, order: Settle) -> Event | None:
        """The answer if somebody else in the federation stored a result that fits."""
        federation = self._parts.federation
        if federation is None or self._build.request.force:
            return None
        await federation.recollect(steps=(self._parts.keys.static(order.step),))
        return self.at_once(order)

    def _is_forced(self, name: str) -> bool:
        if self._build.request.force and name not in self._forced:
            self._forced.add(name)
            return True
        return False

    def _needed(self, order: Settle) -> frozenset[FilePath] | None:
        """For a step of a knot, the written files that others read: only those must be in the store."""
        if not order.knot or order.knot in self._build.incomplete:
            return None
        run = self._build.run_of(order.knot)
        remembered = self._build.planned.remembered.get(order.step.name)
        reads = {path for known in run.reads.values() for path in known} if run else set()
        return frozenset(reads | (remembered.reads if remembered else frozenset()))

    def _use(self, order: Settle, found: Found) -> Event | None:
        """Takes a stored result; None if its outputs turn out to be gone."""
        step, result = order.step, found.result
        insignificant = self.insignificant(step, result, order)
        if not result.usable:
            self._build.account.settled(step.name, Reason("failed", text="failed before with the same inputs"))
            return Spoilt(step.name, result.problems, result.exit_code, reads=tuple(read.path for read in result.reads))
        how = "cached"
        if not order.knot:
            if self._build.lookup.stands(result):
                how = "up_to_date"
            else:
                try:
                    for output in result.outputs:
                        self._keep_foreign(step.name, output.path)
                        self._install(output.path, output.version.digest)
                except KeyError:
                    return None
            self._own(step.name, result)
        elif found.last:
            how = "up_to_date"
        is_as_before = how == "up_to_date" or (found.last and step.name not in self._build.before)
        self._build.remember(step.name, result)
        changes = () if is_as_before else self._changes(step, order)
        self._build.account.settled(step.name, Reason(how, changes, insignificant))
        return Settled(step.name, self._with_views(order, result), how, bool(insignificant))

    def _keep_foreign(self, step: str, path: FilePath) -> None:
        """A product changed by hand is kept in the store before it is replaced."""
        written = self._parts.memory.written.get(path)
        if written is None:
            return
        present = self._parts.folder.digest(path)
        if present != ABSENT and written.digest != present:
            with suppress(FileNotFoundError):  # it was changed on the pod that owns it, which keeps it
                self._parts.objects.put_file(os.path.join(self._parts.folder.root, path))
            self._build.account.note(
                f"{path} was changed by hand since {step} made it; it is replaced, its old content stays in the store as {present}"
            )

    def begin(self, order: Settle, arrived: Callable[[Event | BaseException], None]) -> Cancelled | None:
        """As :meth:`run` for a plain step here, without a task: ``arrived`` is called once, later. None: it has to be run.

        What is returned can be cancelled: then ``arrived`` gets a CancelledError. Raises OSError.
        """
        start: _Begin | None = getattr(self._parts.kitchen, "begin", None)
        if order.knot or start is None or self._parts.federation is not None:
            return None
        request, reason = self._ordered(order, frozenset(), None)

        def ended(cooked: Cooked | BaseException) -> None:
            if isinstance(cooked, Cooked):
                try:
                    arrived(self._came(order, cooked, reason))
                except Exception as error:
                    arrived(error)
            else:
                arrived(cooked)

        return start(request, ended)

    async def _run(self, order: Settle, hidden: frozenset[FilePath], date: int | None) -> Event:
        request, reason = self._ordered(order, hidden, date)
        try:
            cooked = await self._parts.kitchen.cook(request)
        except KeyError:  # an object of the knot's state is gone or damaged: make everything again that is not complete
            self._build.incomplete.add(order.knot)
            return Spoilt(order.step.name, stale=True)
        return self._came(order, cooked, reason)

    def _ordered(self, order: Settle, hidden: frozenset[FilePath], date: int | None) -> tuple[Order, Reason]:
        """What a pod is asked, and why."""
        self.complete()
        step = order.step
        date = date if date is not None else self._run_date(order)
        if not order.knot:
            for path in step.outputs:
                self._keep_foreign(step.name, path)
        changes = self._changes(step, order)
        reason = Reason("ran", changes, text="" if changes else self._why_first(step))
        self._build.account.started(step.name, step.tool, order.pass_number)
        request = Order(
            step=step,
            static_key=self._parts.keys.static(step),
            env=self._parts.keys.environment(step, date),
            date=date,
            log=log_name(step.name),
            knot=order.knot,
            overlay=order.overlay,
            hidden=hidden,
            pass_number=order.pass_number,
        )
        return request, reason

    def _came(self, order: Settle, cooked: Cooked, reason: Reason) -> Event:
        """What came of an order."""
        for execution in (*cooked.earlier, *((cooked.execution,) if cooked.execution is not None else ())):
            self._build.account.executed(execution)
        if cooked.loosened:
            name = order.step.name
            self._build.account.note(f"{name} ran on {cooked.pod} with other tools than those here, as its tool_match allows")
        return self._cooked(order, cooked, reason)

    def _run_date(self, order: Settle) -> int:
        today = self._parts.calendar.today()
        if order.knot:
            self._build.dates[order.knot] = today
        return today

    def _cooked(self, order: Settle, cooked: Cooked, reason: Reason) -> Event:
        step, result = order.step, cooked.result
        if not cooked.pod:
            self._build.changes.artefacts.update(cooked.artefacts)
        if cooked.stale:
            return Spoilt(step.name, cooked.problems, stale=True, reads=cooked.reads)
        if result is not None:
            # What other tools made answers for this project only, which allows it.
            if (result.exit_code == 0 or step.pure) and not cooked.loosened:
                self._parts.results.add_result(result)
            self._build.remember(step.name, result)
        self._build.settled += 1
        if result is None or not result.usable:
            self._build.account.settled(step.name, Reason("failed", reason.changes))
            return Spoilt(step.name, cooked.problems, cooked.exit_code, reads=cooked.reads)
        if not order.knot:
            self._own(step.name, result)
            self.insignificant(step, result, order)  # notes what its inputs are now
        if result.exit_code != 0:
            self._build.account.provisional(step.name, order.pass_number, tuple(p for p in result.problems if p.severity == "error"))
        self._build.account.settled(step.name, reason)
        return Settled(step.name, self._with_views(order, result), "ran")

    def _why_first(self, step: Step) -> str:
        last = self._parts.memory.results.get(step.name)
        if self._build.request.force:
            return "--force"
        if last is None:
            return "it had never run here"
        if last.static_key != self._parts.keys.static(step):
            return "its command, tools or environment changed"
        return "its outputs were gone"

    def _changes(self, step: Step, order: Settle) -> tuple[Difference, ...]:
        last = self._build.before.get(step.name) or self._parts.memory.results.get(step.name)
        if last is None:
            return ()
        hidden = self._build.scene.hidden() if order.knot else frozenset()
        return tuple(self._build.lookup.differences(step, last.reads, order.overlay, hidden))

    def insignificant(self, step: Step, result: Result, order: Settle) -> tuple[Difference, ...]:
        """Inputs whose bytes changed since the last build, but not in what the step reads."""
        changed = []
        hidden = self._build.scene.hidden() if order.knot else frozenset()
        for read in result.reads:
            if read.path.startswith("@") or not self._parts.eyes.filter_for(step, read.path):
                continue
            fact = f"raw:{step.name}:{read.path}"
            now = self._parts.eyes.raw(read.path, order.overlay, hidden)
            was = self._parts.memory.facts.get(fact)
            if was is not None and was != now:
                changed.append(Difference(read.path, was, now))
            if was != now:
                self._parts.memory.facts[fact] = self._build.changes.facts[fact] = now
        return tuple(changed)

    def _own(self, step: str, result: Result) -> None:
        """The outputs of a plain step now stand in the folder and are its own; what it made under other names goes."""
        for output in result.outputs:
            self._build.own(output.path, step, output.version.digest)
        last = self._build.before.get(step) or self._parts.memory.results.get(step)
        if last is None or last is result:
            return
        for path in {output.path for output in last.outputs} - {output.path for output in result.outputs}:
            written = self._parts.memory.written.get(path)
            if written is not None and written.step == step:
                if self._parts.folder.digest(path) == written.digest:
                    self._parts.folder.remove(path)
                self._build.disown(path)

    def _with_views(self, order: Settle, result: Result) -> Result:
        """For a knot: outputs with the views of all members that see them through a filter."""
        if not order.knot:
            return result
        run = self._build.run_of(order.knot)
        readers = [*(run.steps.values() if run is not None else ()), *result.helpers, *self._helpers_known()]
        return msgspec.structs.replace(result, outputs=tuple(self._build.viewed(output, readers) for output in result.outputs))

    def _helpers_known(self) -> list[Step]:
        return [helper for remembered in self._build.planned.remembered.values() for helper in remembered.helpers]
