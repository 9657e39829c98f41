"""Says in sentences why a step would run now or not, and why it did or did not run in the last build.

Knows no file: it words what the walk of stale.py found, and what a build wrote down.
"""

from collections.abc import Sequence

from cpods.digest import ABSENT
from cpods.graph.render import Circle, spelled
from cpods.graph.stale import Change, Finding
from cpods.ids import GLOB_FACT, spoken

_CHANGES_SHOWN = 8
_HEX_SHOWN = 12


def now(finding: Finding) -> str:
    """What would happen to a step in a build now, and why; one or two sentences."""
    causes = _causes(finding.changes, finding.text)
    behind = ", ".join(finding.behind)
    if finding.state == "would_run":
        after = f" (after {behind})" if behind else ""
        text = f"It would run now{after}: {causes or 'it has no result that fits'}."
    elif finding.state == "may_run":
        text = f"Its own inputs are as they were; it may run now, depending on what {behind} will make."
    elif finding.state == "blocked":
        text = f"It would not run now: it needs {behind}, which cannot come to a good end."
    elif finding.state == "lacking":
        text = f"It cannot run now: {finding.text}."
    elif finding.state == "failed":
        text = f"It would not run now: {finding.text}; change one of its inputs, or call `cpods rebuild --force`."
    elif finding.state == "from_store":
        text = f"It would not run now: its outputs come from the store{f' ({finding.text})' if finding.text else ''}."
    else:
        text = "It would not run now: it is up to date."
    return f"{text} {insignificant(finding.insignificant, finding.step)}".rstrip()


def before(step: str, how: str, changes: Sequence[Change], unseen: Sequence[Change], text: str) -> str:
    """What happened to a step in the last build, and why. ``how`` as a build writes it down."""
    causes = _causes(changes, text)
    said = {
        "ran": f"{step} ran in the last build{': ' if causes else ''}{causes}.",
        "failed": f"{step} failed in the last build{f' ({causes})' if causes else ''}; `cpods log {step}` shows what it said.",
        "cached": f"{step} did not run in the last build: a stored result fitted{f' ({causes})' if causes else ''}.",
        "up_to_date": f"{step} did not run in the last build: it was up to date.",
        "blocked": f"{step} did not run in the last build: {text or 'something that it needs was not built'}.",
        "waiting": f"{step} did not run in the last build: {text or 'the build ended before its turn came'}.",
    }
    known = said.get(how, f"{step} was not part of the last build.")
    return f"{known} {insignificant(unseen, step, 'had ')}".rstrip()


def knotted(circle: Circle) -> str:
    """The sentence on why a step belongs to a knot; '' if it lies on no circle."""
    return f"It belongs to a knot: {spelled(circle)}." if circle else ""


def insignificant(changes: Sequence[Change], step: str, tense: str = "") -> str:
    """The sentence on inputs that changed where a step does not look; '' if there are none."""
    if not changes:
        return ""
    names = ", ".join(f"{change.path} ({short(change.was)} -> {short(change.now)})" for change in changes[:_CHANGES_SHOWN])
    return f"{names} {tense or ('has ' if len(changes) == 1 else 'have ')}changed, but not in what {step} reads."


def change(difference: Change) -> str:
    """One changed input, in words."""
    name = spoken(difference.path)
    if difference.path.startswith(GLOB_FACT):
        return f"{name} are other ones"
    if difference.was == ABSENT:
        return f"{name} is there now ({short(difference.now)}) and was not at its last run"
    if difference.now == ABSENT:
        return f"{name} is gone (it was {short(difference.was)})"
    return f"{name} changed from {short(difference.was)} to {short(difference.now)}"


def short(digest: str) -> str:
    """A digest as a user reads it: its algorithm and its first twelve hex digits."""
    algorithm, colon, hexes = digest.partition(":")
    return f"{algorithm}:{hexes[:_HEX_SHOWN]}" if colon else digest


def _causes(changes: Sequence[Change], text: str) -> str:
    named = [change(difference) for difference in changes[:_CHANGES_SHOWN]]
    if len(changes) > _CHANGES_SHOWN:
        named.append(f"and {len(changes) - _CHANGES_SHOWN} more inputs changed")
    return "; ".join([*named, *([text] if text else [])])
