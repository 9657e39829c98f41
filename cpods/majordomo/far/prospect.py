"""Which steps may run, who reads what whom makes: as far as the project file and earlier builds tell.

Knows no pod and no number; what really is read shows when a step is asked for.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

from cpods.ids import FilePath, is_fact, is_outside
from cpods.majordomo.planning import Planned
from cpods.model import Step


class Prospect:
    """Over the plan of one build. Nothing is computed before it is asked for: a build in which nothing runs has no need of it."""

    def __init__(self, planned: Planned | None = None) -> None:
        self._planned = planned

    @property
    def steps(self) -> Mapping[str, Step]:
        """The planned steps by name, in project order."""
        return self._planned.steps if self._planned is not None else {}

    def has_run(self, step: Step) -> bool:
        """Whether an earlier build knows it."""
        return self._planned is not None and step.name in self._planned.remembered

    def reads(self, step: Step) -> list[FilePath]:
        """What it names, and what it and its helpers read the last time, each once."""
        known = self._planned.remembered.get(step.name) if self._planned is not None else None
        read = sorted(path for path in known.reads if not is_fact(path) and not is_outside(path)) if known is not None else ()
        return [*dict.fromkeys((*step.inputs, *step.optional, *read))]

    def writes(self, step: Step) -> list[FilePath]:
        """What it declares, and what it wrote the last time, each once."""
        known = self._planned.remembered.get(step.name) if self._planned is not None else None
        return [*dict.fromkeys((*step.outputs, *(sorted(known.writes) if known is not None else ())))]

    @cached_property
    def followers(self) -> Mapping[str, list[str]]:
        """By step, those that read what it makes, in project order; a step is not its own."""
        makers: dict[FilePath, list[str]] = {}
        for name, step in self.steps.items():
            for path in self.writes(step):
                makers.setdefault(path, []).append(name)
        found: dict[str, dict[str, None]] = {name: {} for name in self.steps}
        for name, step in self.steps.items():
            for path in self.reads(step):
                for maker in makers.get(path, ()):
                    if maker != name:
                        found[maker][name] = None
        return {name: list(others) for name, others in found.items()}

    @cached_property
    def _order(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.steps)}

    def behind(self, names: Iterable[str], known: Collection[str]) -> list[str]:
        """These and all that may run because they do, in project order, without those ``known``: what follows them is known too."""
        todo = [name for name in names if name in self.followers and name not in known]
        found = set(todo)
        while todo:
            for name in self.followers[todo.pop()]:
                if name not in found and name not in known:
                    found.add(name)
                    todo.append(name)
        return sorted(found, key=self._order.__getitem__)
