"""What a benchmark is, and what a measured row is: all that a module must give to be run, kept, compared and reported.

Knows no benchmark, no file and no table: those are in ``registry``, ``results`` and ``report``.

A benchmark is one module with a small object (a module that answers several questions has several objects)::

    def run(quick: bool, repeats: int, folder: str, progress: Progress) -> Iterator[Row]:
        for number in range(repeats or (3 if quick else 9)): ...
        yield Row("simulate", "montage 1000, 100 MB/s: bytes", "bytes", values, "earliest-finish", peer_values, "less", 0.35, {...})

    BENCHMARK = Benchmark(
        name="simulate",
        question="which strategy moves the fewest bytes?",
        peers="the other strategies",
        unit="bytes; simulated seconds",
        noise="none: simulated time, seeded",
        quick="2 recipes, 1 seed: 40 s",
        full="9 recipes x 2 sizes x 2 speeds x 5 seeds: 20 min",
        run=run,
    )

and one line in ``registry.py``. ``python -m benchmarks NAME --quick`` runs it then. Rules for ``run``:

- It may return a list or, better, be a generator: each row is written down as it comes, so that an interruption loses only the row
  that was under way.
- A row's ``values`` and ``peer_values`` are taken in turn, A and B interleaved, one figure a round: index i of both is of one round
  (or of one seed), so that what disturbs the machine disturbs both. ``measure.in_turn`` and ``measure.interleaved`` do that.
- What must be there and is not, or a run that failed: raise CannotMeasure with one sentence, what, where, what to do.

``extra`` holds what a table or plot sorts rows by. The report reads these keys (numbers as numbers, not as text):

=================  =========================================================================================================
benchmark          keys of ``extra``
=================  =========================================================================================================
simulate           ``strategy``, ``workload`` (name of the recipe or kind), ``tasks``, ``mbps`` (MB/s of a link),
                   ``measure`` ("bytes" or "makespan"), ``setting`` ("" for the plain one; else "deaths", "stragglers",
                   "wrong estimates", ...), ``edge_bytes`` (median). One row for bytes and one for makespan;
                   peer "earliest-finish", values by seed
scale              ``steps``, ``pods``, ``strategy``, ``measure`` ("microseconds a decision", "seconds", "log bytes a step")
rivals             ``strategy``, ``workload``, ``measure``; peer "place_sim"
placement          ``strategy`` ("dask" for dask.distributed), ``workload``, ``measure`` ("bytes", "seconds", "part" of the bytes
                   read, "prediction": how far the simulator was off), ``edge_bytes``, ``predicted`` (its figure, where there is one)
=================  =========================================================================================================
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol

import msgspec

#: Tells whoever waits what is being measured now; one line.
Progress = Callable[[str], None]

Better = Literal["less", "more", ""]


class CannotMeasure(Exception):
    """A program is missing, or what was measured would mean nothing; one sentence."""


class Row(msgspec.Struct, frozen=True):
    """One measured row. ``values``: one figure a round (or seed), in ``unit``; ``peer_values``: the peer's, of the same rounds.

    ``better``: which way is good, '' where neither is. ``aim``: what the ratio of the medians (values to peer_values) is to be,
    at the most for "less", at the least for "more"; without a peer, what the median of ``values`` is to be.
    ``extra``: figures and words that tables and plots sort by; JSON.
    """

    benchmark: str
    row: str
    unit: str
    values: list[float]
    peer: str = ""
    peer_values: list[float] = []
    better: Better = ""
    aim: float | None = None
    extra: dict[str, Any] = {}


class Runner(Protocol):
    """Measures. ``repeats`` 0: as many as the form has. ``folder`` '': temporary files where the system wants them."""

    def __call__(self, quick: bool, repeats: int, folder: str, progress: Progress) -> Iterable[Row]:
        """Rows, as they come. Raises CannotMeasure."""


class Benchmark(msgspec.Struct, frozen=True):
    """One question and who answers it. ``noise``: what disturbs the figures, and how that is kept small.

    ``quick`` and ``full``: what each form measures and about how long it takes. ``programs``: commands that print the versions of
    the programs beside which it measures ("ninja --version"); ``packages``: the Python packages.
    """

    name: str
    question: str
    peers: str
    unit: str
    noise: str
    quick: str
    full: str
    run: Runner
    programs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
