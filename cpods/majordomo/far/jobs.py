"""A step on its way to a pod, and what dispatch needs of others: who puts orders, who chooses pods.

Knows no pod and no wire.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import msgspec

from cpods.majordomo.far.landscape import Tree
from cpods.model import Artefact, Step
from cpods.net.messages import Input, StepDone, StepRequest

#: How long an order may take to be answered with a lease; then it is sent again, by the same id.
LEASE_ANSWER_SECONDS = 1.0
#: A step waits so long for all pods to say whether their tools fit; then those that did must do.
ANSWER_GRACE_SECONDS = 2.0
PATIENCE_SECONDS = 20.0
OUTAGE_SECONDS = 120.0
#: Rounds of unanswered orders after which a pod that is there all the same is not given this step again.
_SILENCES_MAX = 3


class Limits(msgspec.Struct, frozen=True):
    """The durations of dispatch, in seconds. ``patience``: how long a build waits for a pod before it gives up, ``outage``: for
    the broker. ``stall``: if the loop itself stood still for so long, renewals may lie in it unread.
    """

    answer: float = LEASE_ANSWER_SECONDS
    grace: float = ANSWER_GRACE_SECONDS
    patience: float = PATIENCE_SECONDS
    outage: float = OUTAGE_SECONDS
    tick: float = 0.5
    stall: float = 3.0


LIMITS = Limits()


class Job:
    """One step on its way: waiting here, or leased to ``pod``. ``inputs``: (digest, size) of all that its pod has to bring.

    ``rows``: of these, the files that it is known to want; ``tree``: all sources, if it wants those as a whole. ``is_picky``: it
    was given to placement for some of the pods only.
    """

    def __init__(
        self,
        request: StepRequest,
        step: Step,
        inputs: Sequence[tuple[str, int]],
        fit: str,
        rows: Sequence[Input] = (),
        tree: Tree | None = None,
    ) -> None:
        self.request = request
        self.step = step
        self.inputs = inputs
        self.fit = fit
        self.rows = rows
        self.tree = tree
        self.is_picky = False
        self.pod = ""
        self.refused: dict[str, str] = {}
        self.lost: list[str] = []
        self.avoided: set[str] = set()
        self.troubles = 0
        self.silences: Counter[str] = Counter()
        self.unanswered = 0
        self.asked = 0
        self.since = asyncio.get_running_loop().time()
        self.done: asyncio.Future[StepDone] = asyncio.get_running_loop().create_future()

    @property
    def id(self) -> str:
        """The id of the request."""
        return self.request.id

    def why_not(self, pod: str) -> str:
        """Why a pod does not get it, as far as it is the pod that says so; ''."""
        if self.silences[pod] >= _SILENCES_MAX:
            return f"{pod} does not answer this order, although it says that it is ready"
        return self.refused.get(pod, "")


class Placement(Protocol):
    """Which pod gets a step, and when: the placer as dispatch asks it."""

    def ready(self, jobs: Sequence[Job], pods: Sequence[str] | None) -> None:
        """These may go to any of ``pods``; None: to any pod there is."""

    def look_at(self, ready: Sequence[str]) -> None:
        """These pods take steps now."""

    def hand_out(self) -> list[tuple[Job, str]]:
        """The jobs that go to their pods now."""

    def came_back(self, job: Job) -> None:
        """The job is not where it was put, or not wanted any more; unknown ones are no error."""

    def finished(self, job: Job, pod: str, end: StepDone) -> None:
        """The job has an end, which ``pod`` told."""

    def gone(self, pod: str) -> None:
        """Nobody hears of the pod any more."""


class Sender(Protocol):
    """How orders are put: who asks, for which project, where the own store is served, and which pods hold what."""

    project: str
    majordomo: str
    sftp: tuple[str, int]

    def prepared(self, job: Job, pods: list[str]) -> StepRequest:
        """The request with its holders as indexes into ``pods``, which grows."""

    def keep(self, data: bytes) -> Artefact:
        """Puts a long message into the own store, durable."""

    async def fetched(self, artefact: Artefact, pod: str) -> bytes:
        """A long message that a pod keeps in its store. Raises Unavailable."""
