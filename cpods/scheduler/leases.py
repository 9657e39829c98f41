"""Who may be running what: one lease a dispatched step, and how often a step's pod died under it.

Knows no clock: times are passed in, in seconds that never go back. Knows no bus either: renewals are told to it.
"""

from collections.abc import Iterable, Mapping

import msgspec

#: A step under which so many pods died is not dispatched any more.
STEP_DEATHS_MAX = 3


class Held(msgspec.Struct, frozen=True):
    """A pod has the step until ``until``, unless renewed. ``id``: of what was asked; ``step``: whose run that is."""

    id: str
    step: str
    pod: str
    until: float


class LeaseTable:
    """At most one pod has a lease on an id: nobody else gets one before it has ended or expired.

    ``slots`` (pod -> steps that it runs at once; may change meanwhile): a pod runs its oldest leases and has the others in
    its queue, and only a step that ran can have killed it. A pod that is not named is taken to run all that it has.
    """

    def __init__(self, slots: Mapping[str, int] | None = None) -> None:
        self._slots: Mapping[str, int] = {} if slots is None else slots
        self._held: dict[str, Held] = {}  # in the order of the grants
        self._deaths: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._held)

    def grant(self, id: str, pod: str, now: float, seconds: float, step: str = "") -> Held:
        """``pod`` has ``id`` until ``now + seconds``; ``step`` '': the id is the step's name too.

        Asked again for the same pod, it counts as a renewal. Raises ValueError if another pod's lease has not expired; one
        that has, and was not asked for by :meth:`expired` yet, counts as expired now.
        """
        held = self._held.get(id)
        if held is not None and held.pod != pod:
            if held.until > now:
                raise ValueError(f"{held.pod} has {id} for another {held.until - now:.1f} s: {pod} cannot get it now")
            self._take([held])
            held = None
        until = now + seconds if held is None else max(held.until, now + seconds)
        self._held[id] = Held(id, step or id, pod, until)
        return self._held[id]

    def renew(self, ids: Iterable[str], pod: str, now: float, seconds: float) -> list[str]:
        """The pod still has these, for ``seconds`` from now. Returns those that it has no lease on (any more), as given.

        They do not count: the lease has ended, has expired (even if nobody noticed yet), or is another pod's by now.
        """
        refused = []
        for id in ids:
            held = self._held.get(id)
            if held is None or held.pod != pod or held.until <= now:
                refused.append(id)
            else:
                self._held[id] = msgspec.structs.replace(held, until=max(held.until, now + seconds))
        return refused

    def expired(self, now: float) -> list[str]:
        """Takes out and returns the ids whose leases ran out, in the order of the grants: each is told once.

        A pod that does not renew is as good as dead: it counts as one death for each of those that it was running.
        """
        return self._take([held for held in self._held.values() if held.until <= now])

    def end(self, id: str) -> None:
        """It is done, refused or given up. An unknown id is no error."""
        self._held.pop(id, None)

    def pod_lost(self, pod: str) -> list[str]:
        """Takes out and returns all ids of a pod that died: one death for each of those that it was running."""
        return self._take([held for held in self._held.values() if held.pod == pod])

    def holder(self, id: str, now: float) -> str | None:
        """The pod whose lease on ``id`` holds now."""
        held = self._held.get(id)
        return held.pod if held is not None and held.until > now else None

    def of_pod(self, pod: str) -> list[Held]:
        """A pod's leases, oldest first, expired ones that were not taken out included."""
        return [held for held in self._held.values() if held.pod == pod]

    def next_end(self) -> float | None:
        """When the first lease runs out if nothing is renewed; None if there is none."""
        return min((held.until for held in self._held.values()), default=None)

    def deaths(self, step: str) -> int:
        """How many pods died under a step."""
        return self._deaths.get(step, 0)

    def is_deadly(self, step: str) -> bool:
        """Whether the step has killed as many pods as it may."""
        return self.deaths(step) >= STEP_DEATHS_MAX

    def _take(self, gone: list[Held]) -> list[str]:
        running = {held.id for pod in {held.pod for held in gone} for held in self._running(pod)}
        for held in gone:
            if held.id in running:
                self._deaths[held.step] = self.deaths(held.step) + 1
            del self._held[held.id]
        return [held.id for held in gone]

    def _running(self, pod: str) -> list[Held]:
        leases = self.of_pod(pod)
        return leases[: self._slots.get(pod, len(leases))]
