"""What placement was last told of each pod: slots, link speed, steps of others. Only what changed is told again.

Knows no step and no file but by number.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from cpods.majordomo.far.estimates import Experience
from cpods.majordomo.far.fleet import Fleet
from cpods.scheduler.decisions import Chronicle

#: A link whose speed changes by less than this factor is what it was.
_ALIKE = 1.25


class _Told(msgspec.Struct, frozen=True):
    """``speed``: bytes a second, 0 if it is not known. ``busy``: steps of others."""

    slots: int
    speed: float
    busy: int


class PodNews:
    """Iterates over the pods that placement knows of. ``held_by``: numbers of the files that a pod holds."""

    def __init__(self, fleet: Fleet, history: Experience, held_by: Callable[[str], list[int]]) -> None:
        self._fleet = fleet
        self._history = history
        self._held_by = held_by
        self._told: dict[str, _Told] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._told)

    def tell(self, chronicle: Chronicle, ready: Sequence[str], now: float) -> bool:
        """These pods take steps; others that were told of drain, or are gone. Whether there are more for new steps than before."""
        more = [pod for pod in ready if self._tell(chronicle, pod, self._fleet.statuses[pod].slots, now)]
        for pod in sorted(self._told.keys() - ready):
            if self._fleet.is_there(pod):
                self._tell(chronicle, pod, 0, now)
            else:
                self.gone(chronicle, pod, now)
        return bool(more)

    def gone(self, chronicle: Chronicle, pod: str, now: float) -> None:
        """Nobody hears of the pod any more."""
        number = chronicle.look.number(pod)
        if self._told.pop(pod, None) is not None and number is not None:
            chronicle.pod_gone(number, now)

    def _tell(self, chronicle: Chronicle, pod: str, slots: int, now: float) -> bool:
        before, status = self._told.get(pod), self._fleet.statuses[pod]
        # Later on it cannot be told whose steps a pod runs, only that it runs none.
        busy = max(0, status.slots - status.free_slots) if before is None else before.busy
        news = _Told(slots, self._history.bytes_per_second(pod) or 0.0, busy if status.free_slots < status.slots else 0)
        if before is not None and (before.slots, before.busy) == (news.slots, news.busy) and _alike(before.speed, news.speed):
            return False
        self._told[pod] = news
        number = chronicle.pod_is(pod, slots, round(news.speed), now, min(news.busy, slots))
        held = self._held_by(pod) if before is None else ()
        if held:
            chronicle.hold(number, held)
        return slots > 0 and (before is None or not before.slots)


def _alike(one: float, other: float) -> bool:
    return one == other or (one > 0 < other and 1 / _ALIKE < one / other < _ALIKE)
