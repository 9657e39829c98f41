"""Which steps would run now: one walk over the components, from what each step finds when it looks at its own inputs.

Knows no file: what a step finds is asked of a function. explain.py turns what the walk finds into sentences.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Literal

import msgspec

from cpods.ids import FilePath
from cpods.model import Step

Part = tuple[str, ...]
State = Literal["current", "from_store", "would_run", "may_run", "failed", "lacking", "blocked"]

#: States of steps after which the outputs may be other ones than those that stand there.
_MOVES = ("would_run", "may_run")
#: States of steps that make nothing.
_DEAD = ("failed", "lacking", "blocked")


class Change(msgspec.Struct, frozen=True):
    """One input that is not as it was at the last run: path, edge digest then, edge digest now."""

    path: FilePath
    was: str
    now: str


class Look(msgspec.Struct, frozen=True):
    """What one step finds by itself, whatever stands before it. ``text``: a reason in words.

    ``state``: current; from_store: its outputs come from there; stale: it must run; failed: it failed before with the
    same inputs; lacking: an input is not there and no step makes it. ``insignificant``: changes that it cannot see.
    """

    state: Literal["current", "from_store", "stale", "failed", "lacking"]
    changes: tuple[Change, ...] = ()
    insignificant: tuple[Change, ...] = ()
    text: str = ""


class Finding(msgspec.Struct, frozen=True):
    """A step's state in the whole. ``behind``: the steps for which it waits to know (or, if blocked, that stop it)."""

    step: str
    state: State
    changes: tuple[Change, ...] = ()
    insignificant: tuple[Change, ...] = ()
    text: str = ""
    behind: tuple[str, ...] = ()


def stuck(members: Sequence[Step], is_there: Callable[[FilePath], bool]) -> dict[str, FilePath]:
    """Members of a knot that can never start from nothing, each with an input that only members which cannot start make.

    ``is_there(path)``: whether a path that no member makes is there, or will be. An engine may make more than it declares.
    """
    waiting = {step.name: step for step in members}
    made: set[FilePath] = set()
    own = {path for step in members for path in step.outputs}
    while True:
        lacking = {
            name: path
            for name, step in waiting.items()
            for path in reversed(step.inputs)
            if path not in made and (path in own or not is_there(path))
        }
        ready = [name for name in waiting if name not in lacking]
        if not ready:
            return lacking
        if any(waiting[name].open_reads for name in ready):
            return {}
        for name in ready:
            made.update(waiting.pop(name).outputs)


def walk(parts: Sequence[Part], needs: Mapping[str, Set[str]], look: Callable[[Part], Mapping[str, Look]]) -> dict[str, Finding]:
    """What would happen to every step. ``parts``: components in topological order; ``needs``: by step, those it depends on.

    ``look(part)`` is called once a component, in order; it may name more steps than the part (helpers).
    """
    found: dict[str, Finding] = {}
    for part in parts:
        outside = [name for name in dict.fromkeys(n for member in part for n in sorted(needs.get(member, ()))) if name not in part]
        before = [found[name] for name in outside if name in found]
        looks = look(part)
        stale = [name for name, seen in looks.items() if seen.state == "stale"]
        for name, seen in looks.items():
            found[name] = _judged(name, seen, before, stale)
    return found


def _judged(name: str, seen: Look, before: Sequence[Finding], stale: Sequence[str]) -> Finding:
    dead = tuple(other.step for other in before if other.state in _DEAD)
    moving = tuple(other.step for other in before if other.state in _MOVES)
    state: State
    behind: tuple[str, ...] = ()
    if seen.state == "lacking":
        state = "lacking"
    elif dead:
        state, behind = "blocked", dead
    elif seen.state == "stale":
        state, behind = "would_run", moving
    elif moving or stale:
        state, behind = "may_run", moving or tuple(stale)
    else:
        state = seen.state
    return Finding(name, state, seen.changes, seen.insignificant, seen.text, behind)
