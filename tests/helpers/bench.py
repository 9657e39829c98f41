"""A bench to try one knot on: steps are Python functions over contents, and every run is counted.

Knows the KnotRun and the nouns, no scheduler.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from cpods.digest import ABSENT
from cpods.graph.fixpoint import KnotRun, Outcome
from cpods.model import Output, Read, Result, Step, Version

Filter = Callable[[str], str]
Act = Callable[["Look"], Mapping[str, str]]


def step(name: str, position: int = 0, **fields: object) -> Step:
    """A step named by one word, at a place in the project file."""
    return Step(name=name, chef="toy", tool="toy", argv=("toy",), position=(position,), **fields)  # type: ignore[arg-type]


class Look:
    """What a run may do: look at a path (None: not there), fail, ask for helpers."""

    def __init__(self, bench: "Bench", reader: Step, overlay: Mapping[str, Version | None]) -> None:
        self._bench = bench
        self._reader = reader
        self._overlay = overlay
        self.reads: dict[str, str] = {}
        self.exit_code = 0
        self.helpers: tuple[Step, ...] = ()

    def __call__(self, path: str) -> str | None:
        """The content as this reader sees it."""
        version = self._overlay[path] if path in self._overlay else self._bench.source(path)
        name = self._bench.filter_for(self._reader, path)
        self.reads[path] = ABSENT if version is None else version.seen(name)
        if version is None:
            return None
        content = version.digest[1:]
        return self._bench.filters[name](content) if name else content


class Bench:
    """Steps with their functions, and sources. ``blinkers``: (reader, path) -> name of the filter in ``filters``."""

    def __init__(
        self,
        acts: Mapping[str, Act],
        sources: Mapping[str, str] | None = None,
        filters: Mapping[str, Filter] | None = None,
        blinkers: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        self.acts = dict(acts)
        self.sources = dict(sources or {})
        self.filters = dict(filters or {})
        self.blinkers = dict(blinkers or {})
        self.runs: Counter[str] = Counter()
        self.course: list[str] = []

    def filter_for(self, reader: Step, path: str) -> str:
        """The filter of a reader for a path."""
        return self.blinkers.get((reader.name, path), "")

    def version(self, content: str) -> Version:
        """A content with what each filter shows of it."""
        views = tuple((name, f"{name}={show(content)}") for name, show in sorted(self.filters.items()))
        return Version("=" + content, len(content), views)

    def source(self, path: str) -> Version | None:
        """A source file."""
        return self.version(self.sources[path]) if path in self.sources else None

    def seed(self, writer: str, **contents: str) -> list[tuple[str, Output]]:
        """Files as a seed; a path's dot is written as a double underscore."""
        return [(writer, Output(path.replace("__", "."), self.version(content))) for path, content in contents.items()]

    def settle(self, todo: Step, overlay: Mapping[str, Version | None]) -> Result:
        """Runs a step once."""
        self.runs[todo.name] += 1
        self.course.append(todo.name)
        look = Look(self, todo, overlay)
        writes = self.acts[todo.name](look)
        return Result(
            static_key=todo.name,
            step=todo.name,
            reads=tuple(Read(path, digest) for path, digest in sorted(look.reads.items())),
            outputs=tuple(Output(path, self.version(content)) for path, content in sorted(writes.items())),
            exit_code=look.exit_code,
            helpers=look.helpers,
        )

    def knot(self, members: Sequence[Step], **options: object) -> KnotRun:
        """A fresh way over these members."""
        return KnotRun(members, self.filter_for, lambda path: path in self.sources, **options)  # type: ignore[arg-type]

    def iterate(self, run: KnotRun) -> Outcome:
        """Goes the way to its end."""
        while (todo := run.next()) is not None:
            assert run.next() is todo, "the same answer until it is accepted"
            run.accept(todo.name, self.settle(todo, dict(run.overlay)))
        assert run.outcome is not None
        return run.outcome
