"""What is simulated and what comes out: the federation with its misfortunes, and the figures of one build.

Knows no event and no strategy.
"""

from typing import Literal

import msgspec

from cpods.scheduler.allotment import AHEAD


class Config(msgspec.Struct, frozen=True):
    """The federation and what goes wrong in it. ``bandwidth``: bytes a second of each pod's link.

    ``latency``: seconds that each file takes besides. ``speeds``: how fast pods run steps, in turn (2: in half the time); strategies
    are not told. ``origin``: where external files lie at first: by a hash of their number, or all on the first pod. ``egress``: a
    file takes its holder's link too. ``held``: a slot is held from the decision on, also while inputs are awaited, and a copy counts
    as there when it is asked for (the model of place_sim). ``ahead``, ``steals``: see Allotment. ``sigma``: estimates are off by a
    lognormal factor of this sigma. ``stragglers``: this part of the steps takes ``straggling`` times as long. ``deaths``: so many
    pods lose everything and come back empty, at times spread over the lower bound of the makespan. ``driver``: who says what is
    ready.
    """

    pods: int = 16
    slots: int = 4
    bandwidth: float = 100e6
    latency: float = 0.0
    speeds: tuple[float, ...] = (1.0,)
    origin: Literal["hash", "one"] = "hash"
    egress: bool = False
    held: bool = False
    ahead: int | None = AHEAD
    steals: bool = True
    sigma: float = 0.0
    stragglers: float = 0.0
    straggling: float = 4.0
    deaths: int = 0
    driver: Literal["core", "counting"] = "core"
    seed: int = 1


class Outcome(msgspec.Struct, frozen=True):
    """``makespan`` and ``lower_bound`` (no transfers) in simulated seconds; ``decision_seconds``: what all decisions took here.

    ``handing_seconds``: of saying what goes where when, with stealing. ``edge_bytes``: sizes of all inputs of all steps.
    """

    makespan: float
    moved_bytes: int
    edge_bytes: int
    fetches: int
    steps: int
    runs: int
    decisions: int
    decision_seconds: float
    handing_seconds: float
    lower_bound: float
    stolen: int
    seconds: float
    log_bytes: int = 0


class Deadlock(Exception):
    """Steps are left that nothing will ever start: a mistake of the simulation or of what it runs."""
