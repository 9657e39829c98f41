"""Placement as dispatch asks for it: a strategy of the registry, fed with what the fleet and the estate know.

Knows no wire; every decision is in ``log``.
"""

from collections.abc import Callable, Sequence

from cpods.errors import UsageError
from cpods.majordomo.far.dispatch import Job
from cpods.majordomo.far.estate import Estate
from cpods.majordomo.far.fleet import Fleet
from cpods.scheduler.placement import DEFAULT_STRATEGY, STRATEGIES, DecisionLog, PodView, View


class Placer:
    """Chooses pods for the steps of one build. Raises UsageError for a strategy that does not exist."""

    def __init__(self, strategy: str, estate: Estate, fleet: Fleet) -> None:
        name = strategy or DEFAULT_STRATEGY
        if name not in STRATEGIES:
            raise UsageError(f"placement {name!r} is not known; choose one of {', '.join(STRATEGIES)}")
        self.log = DecisionLog(STRATEGIES[name]())
        self._estate = estate
        self._fleet = fleet
        self._preferred: dict[str, str] = {}

    def prefer(self, step_id: str, pod: str) -> None:
        """This pod runs the step already, for a MajorDomo that was there before this one."""
        self._preferred[step_id] = pod

    def choose(self, job: Job, pods: Sequence[str], running: Callable[[str], int]) -> str:
        """One of ``pods``."""
        preferred = self._preferred.pop(job.id, "")
        if preferred in pods:
            return preferred
        views = [self._view(pod, running(pod)) for pod in pods]
        sizes = dict(job.inputs)
        ids = list(zip(self._estate.holdings.add_many(sizes).tolist(), sizes.values(), strict=True))
        return self.log.choose(job.step.name, ids, View(views, self._estate.holdings)).pod or pods[0]

    def _view(self, pod: str, running: int) -> PodView:
        status = self._fleet.statuses[pod]
        return PodView(pod, status.slots, min(running, status.slots), max(0, running - status.slots), status.tags, status.load)
