"""Whose turn comes first among plain steps that all have a result: for who does a build's work without one, and speaks as it does.

Knows no file and no result. The order is that of scheduler/core.py and scheduler/ready.py, whose answers all come at once.
"""

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Sequence

from cpods.graph.reach import Reach
from cpods.majordomo.slicing import steps_of_slice


def first_of(wanted: Collection[int], reach: Reach, wary: Iterable[int], changed: Sequence[int], slots: int) -> int | None:
    """Which of the ``wanted`` steps a build after these changes settles first; None if that cannot be told (a circle)."""
    steps = steps_of_slice(reach, wary, changed)
    for step in _turns(reach, range(len(reach.names)) if steps is None else steps, slots):
        if step in wanted:
            return step
    return None


def _turns(reach: Reach, steps: Sequence[int], slots: int) -> Iterable[int]:
    """These steps in the order in which they are settled, ``slots`` under way at once."""
    makers = {file: step for step in steps for file in reach.makes(step)}
    waits = {step: {makers[file] for file in reach.reads(step) if file in makers} - {step} for step in steps}
    followers: dict[int, list[int]] = {}
    for step, before in waits.items():
        for other in before:
            followers.setdefault(other, []).append(step)
    ready = [step for step, before in waits.items() if not before]
    under_way: deque[int] = deque()
    while ready or under_way:
        while ready and len(under_way) < slots:
            under_way.append(heapq.heappop(ready))
        step = under_way.popleft()
        yield step
        for follower in followers.get(step, ()):
            waits[follower].discard(step)
            if not waits[follower]:
                heapq.heappush(ready, follower)
