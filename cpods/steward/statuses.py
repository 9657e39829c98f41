"""The last status of each pod, and how long ago it came by the steward's own monotonic clock.

Knows no bus; what a pod says of its own clock is not believed.
"""

from collections.abc import Callable, Collection

from cpods.net.questions import Pods, PodStatus

#: A pod that has not been heard of for this many seconds is told of as lost: it says how it is every few seconds.
LOST_SECONDS = 16.0

_STOPPED = "stopped"


class Statuses:
    """Statuses by pod. ``now``: seconds that never go back."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last: dict[str, tuple[PodStatus, float]] = {}
        self._lost: set[str] = set()

    def take(self, status: PodStatus) -> str:
        """Keeps a status; what is new about the pod: ``appeared``, ``returned``, ``stopped``, or '' for nothing."""
        known = self._last.get(status.pod)
        self._last[status.pod] = (status, self._now())
        was_stopped = known is not None and known[0].state == _STOPPED
        if status.state == _STOPPED:
            self._lost.discard(status.pod)
            return "" if was_stopped else "stopped"
        if status.pod in self._lost:
            self._lost.discard(status.pod)
            return "returned"
        return "appeared" if known is None or was_stopped else ""

    def lost(self) -> list[str]:
        """Pods that have fallen silent since the last call, sorted; one that said that it stops is not lost."""
        new = [
            pod
            for pod, (status, when) in self._last.items()
            if pod not in self._lost and status.state != _STOPPED and self._now() - when > LOST_SECONDS
        ]
        self._lost.update(new)
        return sorted(new)

    def keep_only(self, members: Collection[str]) -> None:
        """Forgets pods that are members no longer."""
        for pod in [pod for pod in self._last if pod not in members]:
            del self._last[pod]
            self._lost.discard(pod)

    def pods(self) -> Pods:
        """All last statuses by pod's name, with their ages in seconds."""
        names = sorted(self._last)
        return Pods(tuple(self._last[name][0] for name in names), tuple(self._now() - self._last[name][1] for name in names))
