"""What a step costs on its way to a pod and back: real broker, real pods, each step a process whose byte is stored and catalogued.

Drives the parts that a build in a federation has (cpods.federated), without a user's project; beside them dask.distributed.
"""

import asyncio
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, NamedTuple

from benchmarks import suite
from benchmarks.suite import CannotMeasure
from cpods.federated import UNITS_MAX, Far, joined
from cpods.loader import load
from cpods.majordomo.account import Account, Listener
from cpods.majordomo.context import Build, Choice, Parts, Request, log_name
from cpods.majordomo.drive import MajorDomo
from cpods.model import Artefact
from cpods.net.broker import Broker
from cpods.net.identity import Federation, Home, new_identity
from cpods.net.nkeypair import Keypair
from cpods.net.roster import FOUNDER, POD, Roster
from cpods.orders import Order
from cpods.scheduler.core import Options
from cpods.session import make_plan, producers
from cpods.wiring import locked, places

NAME = "bench"
INSTALL = "`pip install -e '.[benchmarks]'` brings it"
_CPODS = (sys.executable, "-c", "from cpods.cli import main; main()")
_READY_SECONDS = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Plan(NamedTuple):
    """How much is measured. ``flying``: steps under way at once; ``alone``: steps one after the other, for their latency."""

    rounds: int = 9
    steps: int = 3000
    flying: int = 64
    alone: int = 200
    pods: int = 2
    slots: int = 4
    folder: str = ""
    dask: bool = True


class Cost(NamedTuple):
    """Microseconds of processor time for one step: of who builds, of the pods, of the steps' processes, of the broker."""

    majordomo: float
    pods: float
    children: float
    broker: float


class Way(NamedTuple):
    """One kind of step in one round. ``p50``, ``p99``: milliseconds, with many under way; 0 where they mean nothing."""

    rate: float
    cost: Cost
    p50: float = 0.0
    p99: float = 0.0


Round = Mapping[str, Way]


def run(plan: Plan, progress: Callable[[str], None]) -> dict[str, Any]:
    """Rounds of cpods and Dask in turn. Raises CannotMeasure."""
    if plan.dask and importlib.util.find_spec("distributed") is None:
        raise CannotMeasure(f"dask.distributed is not installed: {INSTALL}, or leave it out with --no-dask")
    ours: list[Round] = []
    theirs: list[dict[str, Any]] = []
    for number in range(plan.rounds):
        progress(f"round {number + 1} of {plan.rounds}: cpods")
        with tempfile.TemporaryDirectory(dir=plan.folder or None, prefix="cpods-bench-") as folder:
            ours.append(asyncio.run(_round(plan, folder)))
        if plan.dask:
            progress(f"round {number + 1} of {plan.rounds}: Dask")
            theirs.append(_dask(plan))
    return {"plan": plan._asdict(), "cpods": [{name: _data(way) for name, way in one.items()} for one in ours], "dask": theirs}


def _data(way: Way) -> dict[str, Any]:
    return {**way._asdict(), "cost": way.cost._asdict()}


# -- one round of cpods ------------------------------------------------------------------------------------------------


async def _round(plan: Plan, folder: str) -> Round:
    async with _federation(plan, folder) as federation:
        first, second = (write_project(os.path.join(folder, name), plan.steps + plan.alone) for name in ("first", "second"))
        async with _build(federation, first) as (far, build):
            found = {"process": await _with_processes(plan, federation, far, build)}
            found["alone"] = await _one_by_one(plan, federation, far, build)
            await _keep(far, build)
        async with _build(federation, second) as (_, build):
            found["look-up"] = _look_ups(plan, federation, build)
        async with _build(federation, second) as (_, build):
            found["results"] = await _from_results(plan, federation, build)
    return found


async def _with_processes(plan: Plan, federation: "_Members", far: Far, build: Build) -> Way:
    """Every step of the project but those that come one by one, ``flying`` at once."""
    names = list(build.planned.steps)[: plan.steps]
    await _cook(far, build, names[:1])  # the pods learn the project, and their tools' fingerprints are asked for
    names = names[1:]
    times: list[float] = []
    room = asyncio.Semaphore(plan.flying)

    async def one(name: str) -> None:
        async with room:
            began = time.perf_counter()
            await _cook(far, build, [name])
            times.append(time.perf_counter() - began)

    with federation.watch() as watched:
        await asyncio.gather(*map(one, names))
    owners = far.estate.owners
    lost = [name for name in names if output_of(name) not in owners]
    if lost:
        raise CannotMeasure(f"{len(lost)} of {len(names)} steps are not in the catalogue, such as {lost[0]}")
    return watched.way(len(names), times)


async def _one_by_one(plan: Plan, federation: "_Members", far: Far, build: Build) -> Way:
    names = list(build.planned.steps)[plan.steps :]
    times = []
    with federation.watch() as watched:
        for name in names:
            began = time.perf_counter()
            await _cook(far, build, [name])
            times.append(time.perf_counter() - began)
    return watched.way(len(times), times)


async def _cook(far: Far, build: Build, names: Iterable[str]) -> None:
    """Has steps run by pods, as settling does, and keeps their results."""
    for name in names:
        step = build.planned.steps[name]
        keys, date = build.parts.keys, build.parts.calendar.today()
        order = Order(step, keys.static(step), keys.environment(step, date), date, log_name(name))
        cooked = await far.kitchen.cook(order)
        if cooked.result is None or cooked.result.exit_code != 0:
            raise CannotMeasure(f"step {name} failed: {'; '.join(problem.message for problem in cooked.problems)}")
        build.parts.results.add_result(cooked.result)
        build.remember(name, cooked.result)


async def _keep(far: Far, build: Build) -> None:
    """Writes down what ran, and brings what it made into the own store, so that another build finds it without a pod."""
    await build.parts.ledger.save(build.changes)
    made = {output.version.digest: output.version.size for result in build.changes.results.values() if result for output in result.outputs}
    failed = await far.estate.bring(Artefact(digest, size) for digest, size in made.items())
    if failed:
        raise CannotMeasure(f"what the steps made cannot be brought here: {next(iter(failed.values()))}")


def _look_ups(plan: Plan, federation: "_Members", build: Build) -> Way:
    """Only the question: is there a stored result that fits, whose outputs somebody holds?"""
    steps = list(build.planned.steps.values())
    with federation.watch() as watched:
        found = [build.lookup.result(step, {}, frozenset(), None, None) for step in steps]
    if None in found:
        raise CannotMeasure(f"{found.count(None)} of {len(found)} steps have no stored result")
    return watched.way(len(steps))


async def _from_results(plan: Plan, federation: "_Members", build: Build) -> Way:
    """A whole build in which no step runs: planned already, it is looked up, owned, written down."""
    with federation.watch() as watched:
        await MajorDomo(build).rebuild()
    ran = [entry for entry in build.account.executions if entry.kind == "run"]
    if ran:
        raise CannotMeasure(f"{len(ran)} steps ran although their results are stored")
    return watched.way(len(build.planned.steps))


@asynccontextmanager
async def _build(federation: "_Members", project_folder: str) -> AsyncIterator[tuple[Far, Build]]:
    """A build in the federation, planned; as session does it."""
    environment = federation.environment("founder") | {"CPODS_STORE": os.path.join(federation.folder, "store")}
    project, goals = load(project_folder, ())
    where = places(project_folder, project.store, environment)
    async with AsyncExitStack() as stack:
        site, journal = await stack.enter_async_context(locked(where, project.store, environment, False, lambda text: None))
        far = await stack.enter_async_context(joined(NAME, site, Choice(NAME, leave_remote=True), environment))
        await far.prepare()
        planned = make_plan(site, project, goals)
        parts: Parts = await far.start(site.parts(project, producers(planned.steps), journal))
        build = Build(parts, planned, Request(Options(slots=UNITS_MAX)), Account(Listener()))
        far.attach(build)
        yield far, build


def write_project(folder: str, steps: int) -> str:
    """A project of steps without inputs, each of which starts a program that writes one byte; the folder."""
    os.makedirs(folder)
    with open(os.path.join(folder, "cpods.toml"), "w", encoding="utf-8") as file:
        file.write('[project]\nname = "bench"\ndate = "2024-01-01"\n')
        for number in range(steps):
            output = output_of(f"s{number}")
            file.write(f'[[step]]\nname = "s{number}"\nrun = "truncate -s 1 {output}"\noutputs = ["{output}"]\n')
    return folder


def output_of(step: str) -> str:
    """The file that a step makes."""
    return f"out/{step}"


# -- the federation ----------------------------------------------------------------------------------------------------


class _Members:
    """Homes, broker and pods of one round, below ``folder``."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.broker = Broker(os.path.join(folder, "broker"), NAME)
        self.pods: list[asyncio.subprocess.Process] = []

    def environment(self, member: str) -> dict[str, str]:
        """What a member's process finds its home by."""
        return {**os.environ, "CPODS_HOME": os.path.join(self.folder, member)}

    async def found(self, names: Sequence[str]) -> None:
        """Keys, roster, broker."""
        identities = [new_identity("founder", NAME, FOUNDER), *(new_identity(name, NAME, POD) for name in names)]
        roster = Roster(NAME)
        for identity in identities:
            roster = roster.with_member(identity.member())
        await self.broker.reload(roster.active().values())
        url = await self.broker.start()
        founder = identities[0]
        for identity in identities:
            home = Home(os.path.join(self.folder, identity.name, NAME))
            home.save_identity(identity)
            home.save_federation(Federation(NAME, url, founder.nkey, self.broker.ca_pem))
            home.save_roster(roster.encode(Keypair(founder.nkey_seed)))

    async def start_pod(self, name: str, slots: int) -> None:
        """Starts a pod and waits until it is ready. Raises CannotMeasure."""
        command = [*_CPODS, "pod", "start", "-F", NAME, "--slots", str(slots)]
        process = await asyncio.create_subprocess_exec(
            *command, env=self.environment(name), stdout=asyncio.subprocess.PIPE, stderr=None, start_new_session=True
        )
        self.pods.append(process)
        assert process.stdout is not None
        async with asyncio.timeout(_READY_SECONDS):
            said = await process.stdout.readline()
        if b"ready" not in said:
            raise CannotMeasure(f"pod {name} did not come up: {said.decode(errors='replace').strip()}")

    async def end(self) -> None:
        """Ends pods and broker."""
        for process in self.pods:
            if process.returncode is None:
                process.terminate()
        for process in self.pods:
            await process.wait()
        await self.broker.stop()

    @contextmanager
    def watch(self) -> "Iterator[_Watched]":
        """Watches the processor time of all sides while the block runs."""
        watched = _Watched(self)
        yield watched
        watched.end()


class _Watched:
    def __init__(self, members: _Members) -> None:
        self._members = members
        self._before = self._now()
        self._after = self._before

    def end(self) -> None:
        self._after = self._now()

    def way(self, steps: int, times: Sequence[float] = ()) -> Way:
        """The figures for so many steps. ``times`` in seconds."""
        seconds, *cpu = (after - before for after, before in zip(self._after, self._before, strict=True))
        cuts = statistics.quantiles(times, n=100) if len(times) > 1 else [0.0] * 99
        return Way(steps / seconds, Cost(*(used / steps * 1e6 for used in cpu)), cuts[49] * 1e3, cuts[98] * 1e3)

    def _now(self) -> tuple[float, ...]:
        own, children = zip(*(_cpu_seconds(pod.pid) for pod in self._members.pods), strict=True)
        return time.perf_counter(), time.process_time(), sum(own), sum(children), _cpu_seconds(self._members.broker.pid)[0]


def _cpu_seconds(pid: int) -> tuple[float, float]:
    """(of a process, of the children that it has waited for)."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    user, system, children_user, children_system = (int(field) / _TICKS for field in fields[11:15])
    return user + system, children_user + children_system


@asynccontextmanager
async def _federation(plan: Plan, folder: str) -> AsyncIterator[_Members]:
    members = _Members(folder)
    names = [f"pod{number}" for number in range(1, plan.pods + 1)]
    try:
        await members.found(names)
        for name in names:
            await members.start_pod(name, plan.slots)
        yield members
    finally:
        await members.end()


# -- Dask, and the table -------------------------------------------------------------------------------------------------


def _dask(plan: Plan) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.dasktasks", "--count", str(plan.steps), "--workers", str(plan.pods)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise CannotMeasure(f"Dask could not be measured: {ran.stderr.strip()[-1000:]}")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


_TITLES = {
    "process": "a process each, many at once",
    "alone": "a process each, one by one",
    "look-up": "stored results: only looked up",
    "results": "stored results: a whole build, nothing runs",
}
_DASK_TITLES = {"process": "tasks that start a process", "nothing": "tasks without a process"}


def runner(steps: int = 0, dask: bool = True) -> suite.Runner:
    """What measures, with a number of steps that is not the form's own, or without Dask."""

    def measure(quick: bool, repeats: int, folder: str, progress: suite.Progress) -> Iterator[suite.Row]:
        usual = Plan(rounds=1, steps=500, alone=50) if quick else Plan()
        plan = usual._replace(rounds=repeats or usual.rounds, steps=steps or usual.steps, folder=folder, dask=dask)
        return suite_rows(run(plan, progress))

    return measure


def suite_rows(found: Mapping[str, Any]) -> Iterator[suite.Row]:
    """As the suite keeps them: rates beside Dask's, then latency and processor time, round by round."""
    ours, theirs = found["cpods"], found["dask"]
    for way, title in _TITLES.items():
        rates = [one[way]["rate"] for one in ours]
        if way == "process" and theirs:
            for other, name in _DASK_TITLES.items():
                peers = [one[other]["rate"] for one in theirs]
                cpu = {f"dask_{side}": [one[other][side] for one in theirs] for side in ("scheduler_us", "workers_us", "children_us")}
                extra = {"way": way, "measure": "rate", **cpu}
                yield suite.Row("dispatch", title, "steps/s", rates, f"Dask, {name}", peers, "more", extra=extra)
        else:
            yield suite.Row("dispatch", title, "steps/s", rates, better="more", extra={"way": way, "measure": "rate"})
        for side in Cost._fields:
            cost = [one[way]["cost"][side] for one in ours]
            extra = {"way": way, "measure": "cpu", "side": side}
            if any(cost):
                yield suite.Row("dispatch", f"{title}: processor time of the {_SIDES[side]}", "us a step", cost, better="less", extra=extra)
    yield from _latencies(ours, theirs)


#: Who spends the processor time, by field of Cost.
_SIDES = {"majordomo": "MajorDomo", "pods": "pods", "children": "steps' processes", "broker": "broker"}


def _latencies(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> Iterator[suite.Row]:
    """Of one step at a time: half are faster than p50, 99 of 100 than p99."""
    for part in ("p50", "p99"):
        values = [one["alone"][part] for one in ours]
        peers = [one["process"][f"{part}_ms"] for one in theirs]
        peer = f"Dask, {_DASK_TITLES['process']}" if peers else ""
        extra = {"way": "alone", "measure": part}
        yield suite.Row("dispatch", f"{_TITLES['alone']}: latency, {part}", "ms", values, peer, peers, "less", extra=extra)


BENCHMARK = suite.Benchmark(
    name="dispatch",
    question="what does a step cost on its way to a pod and back, with broker, store and catalogue?",
    peers="dask.distributed, which records nothing",
    unit="steps/s, ms, us of CPU a step",
    noise="broker, two pods and MajorDomo share this machine; each round has a federation of its own, Dask's round follows at once",
    quick="500 steps, 1 round: half a minute",
    full="3,000 steps, 9 rounds: ten minutes",
    run=runner(),
    packages=("distributed",),
)
