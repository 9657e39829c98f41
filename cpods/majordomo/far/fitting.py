"""Which pods can run a step: those that are there, have its tools, and did not refuse it.

Knows no order and no lease; what a pod's tools are is the fleet's to know.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cpods.chefs import debian
from cpods.errors import Unavailable
from cpods.majordomo.far.fleet import Fleet
from cpods.majordomo.far.jobs import Job


class Fitting:
    """``grace``: seconds for which a step waits for all pods to say whether their tools fit. ``spawn`` has questions asked;
    ``answers``: how many came.
    """

    def __init__(self, fleet: Fleet, grace: float, spawn: Callable[[Awaitable[None]], None]) -> None:
        self._fleet = fleet
        self._grace = grace
        self._spawn = spawn
        self.answers = 0
        self._learning: set[tuple[str, str]] = set()

    def pods(self, job: Job, ready: Sequence[str]) -> list[str] | None:
        """Of the pods that are ``ready`` those that can run a step, without those it was lost on if there are others; None while
        that is not known. Raises Unavailable if none can.
        """
        for pod in [pod for pod in job.refused if pod not in ready]:
            del job.refused[pod]  # gone or draining: if it comes back, it is another matter
        wanted = _wanted(job)
        found, unknown = [], False
        for pod in ready:
            known = self._fleet.known_fingerprint(pod, job.fit) if wanted else wanted
            if known is None:
                unknown = True
                self._ask(pod, job)
            elif known == wanted and not job.why_not(pod):
                found.append(pod)
        is_early = asyncio.get_running_loop().time() - job.since < self._grace
        if unknown and (not found or is_early):
            return None
        if not found:
            if job.refused and is_early:  # a pod that drains or stops says so to all a moment later
                return None
            raise Unavailable(self._why_none(job, ready))
        return [pod for pod in found if pod not in job.avoided] or found

    def is_fit(self, job: Job, pod: str) -> bool:
        """Whether a pod can run it, as far as is known now; what is not known is asked."""
        wanted = _wanted(job)
        known = self._fleet.known_fingerprint(pod, job.fit) if wanted else wanted
        if known is None:
            self._ask(pod, job)
        return known == wanted and not job.why_not(pod)

    def _ask(self, pod: str, job: Job) -> None:
        if (pod, job.fit) not in self._learning:
            self._learning.add((pod, job.fit))
            self._spawn(self._learn(pod, job))

    async def _learn(self, pod: str, job: Job) -> None:
        try:
            await self._fleet.fingerprint(pod, job.fit, job.step)
        finally:
            self._learning.discard((pod, job.fit))
            self.answers += 1
            self._fleet.changed.set()

    def _why_none(self, job: Job, ready: Sequence[str]) -> str:
        reasons = []
        for pod in ready:
            known = self._fleet.known_fingerprint(pod, job.fit)
            why = "has another version of the tools" if known else "lacks a program"
            reasons.append(job.why_not(pod) or self._fleet.misfit(pod, job.fit) or f"{pod} {why}")
        tools = ", ".join(dict.fromkeys((job.step.tool, *job.step.tools)))
        lacking = job.step.argv[:1] if any(not self._fleet.known_fingerprint(pod, job.fit) for pod in ready) else ()
        return (
            f"no pod fits step {job.step.name} (tools: {tools}): {'; '.join(reasons)}; install the same packages there"
            f'{"".join(map(debian.hint, lacking))}, or set tool_match = "any" for this step'
        )


def _wanted(job: Job) -> str:
    """The fingerprint that a pod's tools must have, '' for any."""
    return "" if job.step.tool_match == "any" else job.request.fingerprint
