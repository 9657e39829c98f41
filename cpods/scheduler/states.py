"""The states of a unit of the build: a component of the step graph.

Knows no graph and no clock; one enum, with what each state means.
"""

from collections import deque
from enum import Enum

from cpods.graph.fixpoint import KnotRun
from cpods.model import Step


class Status(Enum):
    """Where a unit stands."""

    WAITING = "waiting"  # for units that it depends on, or for an input that may still appear
    RECALLING = "recalling"  # a stored solution is looked for
    RUNNING = "running"  # one of its steps is being settled
    CONCLUDING = "concluding"  # its outcome is being carried out
    DONE = "done"  # its outputs stand in the project folder
    UNSTABLE = "unstable"  # published without being at rest: nothing behind it runs
    FAILED = "failed"  # a step failed, or its knot does not come to rest
    STUCK = "stuck"  # its steps wait for inputs that never came
    BLOCKED = "blocked"  # something that it depends on is not done and will not be

    @property
    def is_open(self) -> bool:
        """Whether the unit may still change."""
        return self in (Status.WAITING, Status.RECALLING, Status.RUNNING, Status.CONCLUDING)

    @property
    def is_dead_end(self) -> bool:
        """Whether nothing that depends on the unit can run."""
        return not self.is_open and self is not Status.DONE

    @property
    def is_busy(self) -> bool:
        """Whether something is under way for the unit."""
        return self in (Status.RECALLING, Status.RUNNING, Status.CONCLUDING)


class Unit:
    """A component of the step graph in one build. ``members``: declared steps in project order.

    ``generation`` grows at each restart, so that late answers to an earlier one are known as such. ``started`` and
    ``finished`` are places in the order of things that happened. ``away``: answers under way; ``pending``: steps of a knot
    that are due and wait for a free slot.
    """

    def __init__(self, members: tuple[str, ...], mirrored: bool) -> None:
        self.members = members
        self.mirrored = mirrored
        self.status = Status.WAITING
        self.generation = 0
        self.started = -1
        self.finished = -1
        self.restarts = 0
        self.run: KnotRun | None = None
        self.away = 0
        self.pending: deque[Step] = deque()

    @property
    def name(self) -> str:
        """The first step in the project file; also names the mirror."""
        return self.members[0]

    def reset(self) -> None:
        """Back to waiting; answers under way will be recognised as late."""
        self.status = Status.WAITING
        self.generation += 1
        self.run = None
        self.away = 0
        self.pending.clear()
