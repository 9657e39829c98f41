"""The order of steps inside a pass: declared required edges first, then the place in the project file; and who runs beside whom.

Knows nothing of discovered edges: they decide which steps form a knot, never the order.
"""

from collections.abc import Mapping, Sequence

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


def rows(order: Sequence[str], steps: Mapping[str, Step]) -> list[list[str]]:
    """Names in pass order, cut into rows: a step alone, or parallel neighbours of one planner of which none requires another."""
    found: list[list[str]] = []
    for name in order:
        if found and _runs_beside(found[-1], name, steps):
            found[-1].append(name)
        else:
            found.append([name])
    return found


def _runs_beside(row: Sequence[str], name: str, steps: Mapping[str, Step]) -> bool:
    step, others = steps.get(name), [steps[other] for other in row if other in steps]
    if step is None or not step.parallel or len(others) < len(row):
        return False
    made = {path for other in others for path in other.outputs}
    return all(other.parallel and other.planner == step.planner for other in others) and made.isdisjoint(step.inputs)
