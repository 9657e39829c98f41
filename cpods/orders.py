"""What a MajorDomo asks of a pod, and what it gets back: one run of one step.

Knows no transport: the same structs go through memory or over a wire.
"""

from collections.abc import Mapping

import msgspec

from cpods.ids import FilePath
from cpods.model import Problem, Result, Step, Version


class Order(msgspec.Struct, frozen=True):
    """Run this step. ``knot`` empty: in the project folder, else in that knot's mirror.

    ``overlay`` and ``hidden``: what stands over the project's files there. ``env`` is complete. ``date``: SOURCE_DATE_EPOCH.
    ``log``: name of the log file in the state folder's ``log/``.
    """

    step: Step
    static_key: str
    env: tuple[tuple[str, str], ...]
    date: int
    log: str
    knot: str = ""
    overlay: Mapping[FilePath, Version | None] = {}
    hidden: frozenset[FilePath] = frozenset()
    pass_number: int | None = None


class Execution(msgspec.Struct, frozen=True):
    """One process that cpods started, as the report lists it."""

    step: str
    chef: str
    tool: str
    argv: tuple[str, ...]
    kind: str
    pass_number: int | None
    pod: str
    seconds: float
    exit_code: int


class Cooked(msgspec.Struct, frozen=True):
    """The end of an order. ``result`` None: no usable result; ``stale``: because an input changed while it ran.

    ``reads``: what was read or looked for, known also when there is no result. ``artefacts``: what the store got.
    ``earlier``: runs before this one that lacked an input which then was fetched. ``pod``: where the outputs are, '' here.
    ``loosened``: the tools there have another fingerprint, as the step allows.
    """

    execution: Execution | None
    result: Result | None
    stale: bool = False
    problems: tuple[Problem, ...] = ()
    exit_code: int | None = None
    reads: tuple[FilePath, ...] = ()
    artefacts: Mapping[str, int] = {}
    earlier: tuple[Execution, ...] = ()
    pod: str = ""
    loosened: bool = False
