"""Workloads that are drawn by rule from a seed: as many steps, or as hard a shape, as is asked for.

Knows no pods and no strategies.
"""

import random

from benchmarks.workload import Workload


def layered(steps: int, seed: int = 1) -> Workload:
    """A graph that any number of steps can have: each makes one file and reads up to three, mostly of steps shortly before it.

    Runtimes are exponential (mean 5 s), sizes lognormal (median 60 kB, a few above 1 GB); the first twentieth reads nothing.
    """
    draw = random.Random(seed)
    runtime: list[float] = []
    size: list[int] = []
    inputs: list[list[int]] = []
    followers: list[list[int]] = [[] for _ in range(steps)]
    for step in range(steps):
        runtime.append(draw.expovariate(1 / 5))
        size.append(int(draw.lognormvariate(11, 2)))
        if step < steps // 20 or not step:
            inputs.append([])
            continue
        # Heavy-tailed: most inputs are recent, some are as old as the build.
        reads = sorted({max(0, step - 1 - int(draw.paretovariate(0.6) * 50) % step) for _ in range(3)})
        inputs.append(reads)
        for file in reads:
            followers[file].append(step)
    return Workload(f"layered:{steps}:{seed}", runtime, inputs, [[step] for step in range(steps)], size, followers)


def stress(seed: int = 1, sources: int = 200, steps: int = 2000, links: int = 100) -> Workload:
    """The widest kind of build: sources, many steps that share them, links of many of those, and one image of all links.

    A few sources are read by most steps (as a common header is), the others by few; sizes span four orders of magnitude.
    """
    draw = random.Random(seed)
    plan = _Plan(f"stress:{seed}:{sources}:{steps}:{links}")
    headers = [plan.source(int(draw.lognormvariate(10, 1.5))) for _ in range(max(1, sources // 20))]
    bodies = [plan.source(int(draw.lognormvariate(12, 2.5))) for _ in range(max(1, sources - len(headers)))]
    # The first of each list is the one that most want: the chance falls with the place in the list.
    shares = [1 / (place + 1) for place in range(len(bodies))]
    made = []
    for number in range(steps):
        reads = draw.sample(headers, min(len(headers), draw.randint(1, 6))) + draw.choices(bodies, shares, k=draw.randint(1, 3))
        made.append(plan.step(f"part {number}", draw.lognormvariate(0, 1), reads, int(draw.lognormvariate(12, 2))))
    linked = []
    for number in range(links):
        parts = draw.sample(made, min(len(made), draw.randint(10, 60)))
        linked.append(plan.step(f"link {number}", draw.uniform(2, 8), parts, int(draw.lognormvariate(15, 1))))
    plan.step("image", 10.0, linked, 200_000_000)
    return plan.workload()


def dask_dag(seed: int = 1) -> Workload:
    """The build that was measured on dask.distributed: 60 sources made by steps, 300 parts of 3 sources, 30 links of 12 parts, an image."""
    draw = random.Random(seed)
    plan = _Plan(f"dask-dag:{seed}")
    sources = [plan.step(f"src{number}", 0.0, [], draw.choice([10_000, 100_000, 2_000_000])) for number in range(60)]
    parts = []
    for number in range(300):
        bytes_made = draw.choice([20_000, 200_000, 1_000_000])
        parts.append(plan.step(f"obj{number}", 0.01, draw.sample(sources, 3), bytes_made))
    links = [plan.step(f"lib{number}", 0.03, draw.sample(parts, 12), 3_000_000) for number in range(30)]
    plan.step("image", 0.05, links, 1_000_000)
    return plan.workload()


def shared_database(steps: int = 1000, seed: int = 1, megabytes: int = 2000) -> Workload:
    """Many steps that read one and the same big file of so many megabytes, each a small one of its own besides; then one that merges.

    What WfCommons' recipes do not have: there each step has a copy of the database under a name of its own.
    """
    draw = random.Random(seed)
    plan = _Plan(f"shared-database:{steps}:{seed}:{megabytes}")
    shared = plan.source(megabytes * 1_000_000)
    found = []
    for number in range(steps):
        question = plan.source(int(draw.lognormvariate(11, 1)))
        found.append(plan.step(f"search {number}", draw.lognormvariate(3, 0.7), [shared, question], int(draw.lognormvariate(12, 1.5))))
    plan.step("merge", 30.0, found, 50_000_000)
    return plan.workload()


class _Plan:
    """A workload that grows step by step; a step waits for the makers of what it reads."""

    def __init__(self, name: str) -> None:
        self._made = Workload(name, [], [], [], [], [], [])
        self._maker: list[int | None] = []

    def source(self, size: int) -> int:
        """A file that is there before the build; its number."""
        return self._file(size, None)

    def step(self, name: str, seconds: float, reads: list[int], makes: int) -> int:
        """A step that makes one file of so many bytes; that file's number."""
        made, step = self._made, len(self._made.runtime)
        reads = list(dict.fromkeys(reads))
        file = self._file(makes, step)
        made.names.append(name)
        made.runtime.append(seconds)
        made.inputs.append(reads)
        made.outputs.append([file])
        made.followers.append([])
        for maker in dict.fromkeys(self._maker[read] for read in reads):
            if maker is not None:
                made.followers[maker].append(step)
        return file

    def workload(self) -> Workload:
        return self._made

    def _file(self, size: int, maker: int | None) -> int:
        self._made.size.append(size)
        self._maker.append(maker)
        return len(self._maker) - 1
