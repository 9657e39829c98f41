"""Small random worlds for strategies: an outlook and its plain twin that were told the same.

Knows no strategy.
"""

import random
from typing import NamedTuple

from cpods.scheduler.outlook import Outlook
from tests.helpers.plainoutlook import PlainOutlook


class Graph(NamedTuple):
    """Steps and files by number; files up to ``external`` are made by nobody."""

    seconds: list[float]
    inputs: list[list[int]]
    outputs: list[list[int]]
    followers: list[list[int]]
    size: list[int]
    external: int


class Known(NamedTuple):
    """``todo``: steps without a pod."""

    look: Outlook
    plain: PlainOutlook
    graph: Graph
    now: float
    todo: list[int]


def graph(draw: random.Random, steps: int, external: int = 3) -> Graph:
    """Each step makes one file and reads some of those that steps before it make, and external ones."""
    size = [draw.choice([0, 8, 64, 64, 512]) for _ in range(external + steps)]
    inputs, followers = [], [[] for _ in range(steps)]
    for step in range(steps):
        before = draw.sample(range(step), min(step, draw.randrange(4)))
        for other in before:
            followers[other].append(step)
        inputs.append(draw.sample(range(external), draw.randrange(external + 1)) + [external + other for other in before])
    seconds = [draw.choice([0.0, 0.5, 1.0, 4.0, 4.0, 16.0]) for _ in range(steps)]
    return Graph(seconds, inputs, [[external + step] for step in range(steps)], followers, size, external)


def world(seed: int, pods: int = 4) -> Known:
    """Some pods, some of them gone or drained; some steps done, running and waiting; ties are likely."""
    draw = random.Random(seed)
    look, plain = Outlook(draw.random() < 0.5, draw.random() < 0.8), PlainOutlook()
    plain.egress, plain.arrivals = look.egress, look.arrivals
    made = graph(draw, draw.randrange(1, 12))
    count = draw.randrange(1, pods + 1)
    speeds = [draw.choice([8.0, 8.0, 64.0]) for _ in range(count)]
    for told in (look, plain):
        for pod in range(count):
            told.pod_is(f"p{pod}", 1 + (seed + pod) % 3, speeds[pod], 0.0)
        told.add_files(made.size)
        told.add_steps(made.seconds, made.inputs, made.outputs)
    look.rank_steps(made.followers)
    for file in range(made.external):
        _tell(look, plain, "hold", draw.randrange(count), [file])
    now = 0.0
    todo = list(range(len(made.seconds)))
    for step in todo[: draw.randrange(len(todo) + 1)]:
        now += draw.choice([0.0, 0.0, 0.25, 2.0])
        _tell(look, plain, "give", step, draw.randrange(count), now)
        todo = todo[1:]
        for told in ("started", "finished")[: draw.randrange(3)]:
            _tell(look, plain, told, step, now)
    if count > 1 and draw.random() < 0.5:
        gone = draw.randrange(count)
        if draw.random() < 0.5:
            _tell(look, plain, "pod_gone", gone, now)
        else:
            _tell(look, plain, "pod_is", f"p{gone}", 0, 0.0, now)
    return Known(look, plain, made, now, [step for step, known in enumerate(plain.steps) if not known.state and not known.done])


def _tell(look: Outlook, plain: PlainOutlook, what: str, *arguments: object) -> None:
    getattr(look, what)(*arguments)
    getattr(plain, what)(*arguments)
