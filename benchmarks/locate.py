"""Who holds most bytes of a step's inputs: the question that placement asks, put to the catalogue and to the mirror in memory.

Knows the catalogue's tables (it fills them at once instead of by a million calls) and times only what a build calls.
"""

import asyncio
import itertools
import os
import random
import resource
import sqlite3
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import xxhash

from benchmarks import suite
from benchmarks.measure import summary
from cpods.scheduler.holdings import Holdings
from cpods.store.catalogue import SqlCatalogue, open_catalogue
from cpods.store.migrate import prepare_catalogue

#: Milliseconds at the median that the goal is for 1,000 inputs, by where the answer comes from.
AIMS_MS = {"SQLite": 1.5, "mirror by id": 0.2}
AIMED_INPUTS = 1000
#: Questions that one way is asked in a row before the next one's turn: a build asks one way only, again and again.
_TURN = 25
#: Sets of inputs that are asked for again and again in the rows of known inputs.
_KNOWN_SETS = 30
_SEED = 4
_PEER = ("SQLite", "strewn, first time")


class Disagreement(suite.CannotMeasure):
    """Two ways gave different answers: their times would mean nothing."""


class Plan(NamedTuple):
    """How much is measured. ``questions``: of each row. ``folder`` '': a temporary one."""

    artefacts: int = 1_000_000
    pods: int = 100
    inputs: tuple[int, ...] = (10, 100, 1000)
    questions: int = 300
    folder: str = ""


class Row(NamedTuple):
    """One way to ask for one number of inputs: milliseconds of each question. ``aim_ms`` 0: none."""

    source: str
    which: str
    inputs: int
    milliseconds: list[float]
    aim_ms: float = 0.0

    def quantile(self, part: float) -> float:
        """The figure that ``part`` of all are not above."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    def turns(self) -> list[float]:
        """The median of each turn of questions."""
        return [summary(self.milliseconds[first : first + _TURN]).median for first in range(0, len(self.milliseconds), _TURN)]


class Found(NamedTuple):
    """``counts``: one line on what was asked. ``rows`` in the order of the table."""

    counts: str
    rows: list[Row]


class Way(NamedTuple):
    """A row before it is measured. ``sets``: of inputs, by number (0 the first artefact); ``named``: how they are called there;
    ``ask``: what is timed.
    """

    source: str
    which: str
    named: Callable[[Sequence[int]], list[Any]]
    ask: Callable[[list[Any]], Awaitable[Mapping[str, int]]]
    sets: Iterator[Sequence[int]]


def measure(quick: bool, repeats: int, folder: str, progress: suite.Progress) -> Iterator[suite.Row]:
    """A round is a turn of so many questions asked in a row; its figure is their median. ``repeats``: turns."""
    usual = Plan(artefacts=50_000, questions=2 * _TURN) if quick else Plan()
    found = run(usual._replace(questions=repeats * _TURN or usual.questions, folder=folder), progress)
    return suite_rows(found)


def suite_rows(found: Found) -> Iterator[suite.Row]:
    """As the suite keeps them: the mirror's beside those of SQLite for strewn inputs that are asked for the first time."""
    peers = {row.inputs: row for row in found.rows if (row.source, row.which) == _PEER}
    for row in found.rows:
        peer = peers[row.inputs] if row.source.startswith("mirror") else None
        name = f"{row.inputs:,} inputs, {row.which}: {row.source}"
        extra = {"inputs": row.inputs, "source": row.source, "which": row.which, "p99": row.quantile(0.99), "counts": found.counts}
        # The aims are of milliseconds, not of a ratio: such a row stands alone.
        if row.aim_ms or peer is None:
            yield suite.Row("locate", name, "ms", row.turns(), better="less", aim=row.aim_ms or None, extra=extra)
        if peer is not None:
            yield suite.Row("locate", name, "ms", row.turns(), ", ".join(_PEER), peer.turns(), "less", extra=extra)


def run(plan: Plan, progress: Callable[[str], None] = lambda text: None) -> Found:
    """Measures every row of the plan. Raises Disagreement."""
    with tempfile.TemporaryDirectory(prefix="locate-", dir=plan.folder or None) as place:
        path = os.path.join(place, "catalogue.db")
        begun = time.monotonic()
        copies = fill(path, plan)
        progress(f"{plan.artefacts:,} artefacts on {plan.pods} pods written in {time.monotonic() - begun:.1f} s")
        return asyncio.run(_measure(path, plan, copies, progress))


def digest_of(number: int) -> str:
    """The digest of the artefact with this number."""
    return "xxh3:" + xxhash.xxh3_128_hexdigest(number.to_bytes(8, "little"))


def fill(path: str, plan: Plan) -> int:
    """A catalogue in which each artefact has one to three holders, and any size up to 1 MiB; how many copies there are."""
    draw = random.Random(_SEED)
    prepare_catalogue(path)
    groups = [sorted(draw.sample(range(1, plan.pods + 1), draw.randint(1, min(3, plan.pods)))) for _ in range(10_000)]
    blobs = [array("H", group).tobytes() for group in groups]
    chosen = [blobs[draw.randrange(len(blobs))] for _ in range(plan.artefacts)]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA cache_size = -400000")
        connection.execute("PRAGMA synchronous = OFF")
        with connection:
            connection.executemany("INSERT INTO pods VALUES (?, ?)", ((number + 1, f"pod-{number:03}") for number in range(plan.pods)))
            connection.executemany("INSERT INTO artefacts VALUES (?, ?)", ((n + 1, digest_of(n)) for n in range(plan.artefacts)))
            rows = ((number + 1, draw.randrange(1 << 20), blob) for number, blob in enumerate(chosen))
            connection.executemany("INSERT INTO holdings VALUES (?, ?, ?)", rows)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return sum(map(len, chosen)) // 2


async def _measure(path: str, plan: Plan, copies: int, progress: Callable[[str], None]) -> Found:
    begun, before = time.monotonic(), _memory_mib()
    catalogues = [open_catalogue(path, "md") for _ in range(4)]
    try:
        mirror = await _mirror(catalogues[0])
        progress(f"mirror filled from the catalogue in {time.monotonic() - begun:.1f} s, {_memory_mib() - before:.0f} MiB at the most")
        rows = []
        for count in plan.inputs:
            progress(f"{count:,} inputs, {plan.questions} questions")
            ways = _ways(plan, count, catalogues, mirror)
            await _check(count, ways)
            rows += await _questions(plan, count, ways)
    finally:
        for catalogue in catalogues:
            await catalogue.close()
    size = os.path.getsize(path) >> 20
    counts = f"{plan.artefacts:,} artefacts, {copies:,} copies on {plan.pods} pods, catalogue {size} MiB, {plan.questions} questions a row"
    return Found(counts, rows)


async def _mirror(catalogue: SqlCatalogue) -> Holdings:
    mirror = Holdings()
    for pod, artefacts in (await catalogue.ownership.held()).items():
        mirror.hold_digests(pod, artefacts)
    return mirror


def _ways(plan: Plan, count: int, catalogues: Sequence[SqlCatalogue], mirror: Holdings) -> list[Way]:
    """Each way to ask SQLite has a catalogue of its own: what one has learnt would make the next one's questions known."""
    draw = random.Random(_SEED + count)
    starts = [draw.randrange(plan.artefacts - count + 1) for _ in range(_KNOWN_SETS)]
    known: list[tuple[str, Iterator[Sequence[int]]]] = [
        ("made together, known", itertools.cycle([range(start, start + count) for start in starts])),
        ("strewn, known", itertools.cycle([draw.sample(range(plan.artefacts), count) for _ in starts])),
    ]
    new = [("made together, first time", _together(plan, count, draw)), ("strewn, first time", _strewn(plan, count, draw))]
    ids = mirror.ids(map(digest_of, range(plan.artefacts)))

    async def by_id(asked: list[int]) -> Mapping[str, int]:
        return mirror.bytes_by_pod(asked)

    async def by_digest(asked: list[str]) -> Mapping[str, int]:
        return mirror.bytes_by_pod_of(asked)

    sql = [Way("SQLite", which, _digests, on.ownership.holders, sets) for on, (which, sets) in zip(catalogues, known + new, strict=True)]
    return [
        *sql,
        Way("mirror by id", "strewn", lambda numbers: [ids[number] for number in numbers], by_id, _strewn(plan, count, draw)),
        Way("mirror by digest", "strewn", _digests, by_digest, _strewn(plan, count, draw)),
    ]


def _digests(numbers: Sequence[int]) -> list[str]:
    return list(map(digest_of, numbers))


def _together(plan: Plan, count: int, draw: random.Random) -> Iterator[Sequence[int]]:
    """Artefacts of consecutive numbers, none twice before all were drawn."""
    while True:
        starts = list(range(0, plan.artefacts - count + 1, count))
        draw.shuffle(starts)
        yield from (range(start, start + count) for start in starts)


def _strewn(plan: Plan, count: int, draw: random.Random) -> Iterator[Sequence[int]]:
    """Artefacts from all over the catalogue, none twice before all were drawn."""
    while True:
        numbers = list(range(plan.artefacts))
        draw.shuffle(numbers)
        yield from (numbers[start : start + count] for start in range(0, plan.artefacts - count + 1, count))


async def _check(count: int, ways: Sequence[Way]) -> None:
    """All ways answer the same. Asks for every known set once, so that it is known then."""
    *_, truth = ways
    for way in ways:
        for _ in range(_KNOWN_SETS if way.which.endswith(" known") else 1):
            numbers = next(way.sets)
            held = await way.ask(way.named(numbers))
            if {pod: size for pod, size in held.items() if size} != await truth.ask(truth.named(numbers)):
                raise Disagreement(f"{way.source} and {truth.source} disagree about {count} inputs")


async def _questions(plan: Plan, count: int, ways: Sequence[Way]) -> list[Row]:
    """The ways in turn, their order turned round from one time to the next."""
    rows = [Row(way.source, way.which, count, [], AIMS_MS.get(way.source, 0.0) if count == AIMED_INPUTS else 0.0) for way in ways]
    pairs = list(zip(ways, rows, strict=True))
    for first in range(0, plan.questions, _TURN):
        for way, row in pairs if first // _TURN % 2 else reversed(pairs):
            for _ in range(first, min(first + _TURN, plan.questions)):
                asked = way.named(next(way.sets))
                begun = time.perf_counter()
                await way.ask(asked)
                row.milliseconds.append((time.perf_counter() - begun) * 1000)
    return rows


def _memory_mib() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


BENCHMARK = suite.Benchmark(
    name="locate",
    question="how fast is it found which pod holds most bytes of a step's inputs, with a million artefacts on a hundred pods?",
    peers="the SQLite catalogue beside the mirror in memory",
    unit="ms a question",
    noise="caches: sets of inputs that were asked for before and new ones are rows of their own; ways in turns of 25 questions",
    quick="50,000 artefacts, 2 turns: 15 s",
    full="1,000,000 artefacts, 12 turns: two minutes",
    run=measure,
)
