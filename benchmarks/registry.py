"""Which benchmarks there are, by name, in the order in which they are listed, run and reported.

Knows no benchmark's work: a module is imported when its benchmark is asked for.
"""

import importlib
from collections.abc import Iterable

from benchmarks.suite import Benchmark, CannotMeasure

#: By name: module and the object in it.
WHERE = {
    "simulate": "benchmarks.strategies:BENCHMARK",
    "rivals": "benchmarks.rivals:BENCHMARK",
    "scale": "benchmarks.scale:BENCHMARK",
    "placement": "benchmarks.placement:BENCHMARK",
    "overhead": "benchmarks.overhead:BENCHMARK",
    "toolruns": "benchmarks.toolruns:BENCHMARK",
    "latex": "benchmarks.latex:BENCHMARK",
    "watch": "benchmarks.watch:BENCHMARK",
    "transfer": "benchmarks.transfer:BENCHMARK",
    "dispatch": "benchmarks.dispatch:BENCHMARK",
    "locate": "benchmarks.locate:BENCHMARK",
}
#: The name that stands for all.
ALL = "all"


def benchmark(name: str) -> Benchmark:
    """Raises CannotMeasure if there is none of that name, or something that it imports is missing."""
    if name not in WHERE:
        raise CannotMeasure(f"there is no benchmark {name}: `python -m benchmarks list` names them")
    module, _, attribute = WHERE[name].partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise CannotMeasure(f"{name} cannot be loaded ({error}): `pip install -e '.[benchmarks]'` brings its packages") from None
    assert isinstance(found, Benchmark)
    return found


def benchmarks(names: Iterable[str]) -> list[Benchmark]:
    """These, in the registry's order, each once; ``all`` is every one. Raises CannotMeasure."""
    asked = set(names)
    unknown = sorted(asked - {*WHERE, ALL})
    if unknown:
        return [benchmark(unknown[0])]
    return [benchmark(name) for name in WHERE if name in asked or ALL in asked]
