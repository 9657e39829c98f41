"""What the simulator says of a real run: the same graph, pods, slots and links, and the same knowledge of earlier builds.

Knows no real pod but what a step really took there on the average.
"""

import random
from statistics import mean, median

import msgspec

from benchmarks.simmodel import Config
from benchmarks.simworld import World
from benchmarks.workload import Workload
from cpods.scheduler.placement import STRATEGIES

#: Simulations of each run: when a step ends by chance decides where others go, and a tenth of the bytes hangs on that.
DRAWS = 7


class Predicted(msgspec.Struct, frozen=True):
    """Bytes that pods pull from each other, and seconds from the first step to the end of the last; medians of all draws."""

    bytes: float
    seconds: float


def predicted(graph: Workload, strategy: str, config: Config, known: bool, overhead: float = 0.0, draws: int = DRAWS) -> Predicted:
    """``overhead``: seconds that a step takes besides its runtime, on the average; how long each one's is, is drawn. ``known``:
    runtimes, that average with them, and sizes are known from a build before. Raises KeyError for an unknown strategy.
    """
    said = []
    for seed in range(draws):
        draw = random.Random(seed)
        real = [seconds + (draw.expovariate(1 / overhead) if overhead else 0.0) for seconds in graph.runtime]
        world = (_LaterBuild if known else _FirstBuild)(
            msgspec.structs.replace(graph, runtime=real), STRATEGIES[strategy](seed), config, None
        )
        world.estimates = [seconds + overhead for seconds in graph.runtime] if known else [mean(real)] * len(real)
        said.append(world.run())
    return Predicted(median(one.moved_bytes for one in said), median(one.makespan for one in said))


class _LaterBuild(World):
    """A build of which everything is known, but not what chance does. ``estimates``: what steps are taken to last."""

    estimates: list[float]

    def _estimates(self) -> list[float]:
        return self.estimates


class _FirstBuild(_LaterBuild):
    """A build of which is known what is learnt from the first steps alone: how fast links are, and how long the steps' one program
    takes on the average. A file's size is known when it has been made.
    """

    def _tell(self) -> None:
        super()._tell()
        for file in range(len(self.load.size)):
            self.chronicle.resize(file, 0)

    def _finish(self, step: int, pod: int) -> list[int]:
        for file in self.load.outputs[step]:
            self.chronicle.resize(file, self.load.size[file])
        return super()._finish(step, pod)
