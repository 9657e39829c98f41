"""What happened (Event) and what to do (Instruction): the only language between the scheduler's core and the shells.

Knows no clock and no I/O.
"""

from collections.abc import Mapping

import msgspec

from cpods.ids import FilePath
from cpods.model import Output, Problem, Result, Solution, Step, Version


class Settled(msgspec.Struct, frozen=True):
    """A step has a result for what it reads now. ``how``: up_to_date (nothing touched), cached (from the store), ran.

    ``insignificant``: an input changed, but not in what the step reads.
    """

    step: str
    result: Result
    how: str
    insignificant: bool = False


class Spoilt(msgspec.Struct, frozen=True):
    """A step gave no result: it failed with unusable outputs, or an input changed while it ran (``stale``).

    ``reads``: what it read or looked for all the same, so that a late maker of a missing input can be found. ``told``: stale
    since somebody who watches said so; that may be said as often as a file is saved.
    """

    step: str
    problems: tuple[Problem, ...] = ()
    exit_code: int | None = None
    stale: bool = False
    reads: tuple[FilePath, ...] = ()
    told: bool = False


class Solved(msgspec.Struct, frozen=True):
    """The answer to Recall: a stored solution that fits (else None), and the seed to start from if there is none.

    ``helpers``: by engine, the helpers that belong to the seed. ``untouched``: its files stand in the folder already.
    """

    knot: str
    solution: Solution | None
    seed: tuple[tuple[str, Output], ...] = ()
    helpers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    untouched: bool = False


class Concluded(msgspec.Struct, frozen=True):
    """A conclusion is carried out; or, if ``moved_on``, the knot's sources changed meanwhile and it must start again."""

    knot: str
    moved_on: bool = False


Event = Settled | Spoilt | Solved | Concluded


class Settle(msgspec.Struct, frozen=True):
    """Get a result for a step: look it up, else run it. ``knot`` empty: in the project folder.

    ``overlay``: what stands at paths written by members (None: absent), over the project's own files.
    """

    step: Step
    knot: str = ""
    overlay: Mapping[FilePath, Version | None] = {}
    pass_number: int | None = None


class Recall(msgspec.Struct, frozen=True):
    """Look for a stored solution of a knot with these members, in pass order; else find its seed. ``cap``: pass limit."""

    knot: str
    members: tuple[Step, ...]
    cap: int


class Conclude(msgspec.Struct, frozen=True):
    """A knot has an outcome: remember it; bring its files into the project folder if ``publish``.

    ``stable``: it is at a proven fixed point and becomes the last good state. ``recalled``: nothing was iterated.
    """

    knot: str
    solution: Solution
    publish: bool
    stable: bool
    recalled: bool = False


class Finish(msgspec.Struct, frozen=True):
    """Nothing is left to do."""


Instruction = Settle | Recall | Conclude | Finish
