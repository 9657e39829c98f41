"""The order of steps inside a pass: declared required edges first, then the place in the project file.

Knows nothing of discovered edges: they decide which steps form a knot, never the order.
"""

from collections.abc import Sequence

from cpods.model import Step


def pass_order(members: Sequence[Step]) -> list[Step]:
    """Members in pass order. A circle of required edges is cut at its first step in the project file."""
    by_position = sorted(members, key=lambda step: step.position)
    maker = {path: step.name for step in by_position for path in step.outputs}
    needs = {step.name: {maker[p] for p in step.inputs if p in maker} - {step.name} for step in by_position}
    ordered: list[Step] = []
    left = list(by_position)
    while left:
        waiting = {step.name for step in left}
        chosen = next((step for step in left if not needs[step.name] & waiting), left[0])
        left.remove(chosen)
        ordered.append(chosen)
    return ordered
