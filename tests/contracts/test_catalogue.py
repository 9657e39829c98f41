"""The Catalogue contract, kept by SQLite in both ways and by their twin in memory.

Knows no table.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cpods.model import Output, Read, Result, Solution, Version
from cpods.ports import Changes, FileState, Fingerprint, KnotMemory, Memory, Written
from cpods.store.catalogue import SqlCatalogue, open_catalogue
from cpods.store.memory import MemoryCatalogue, MemoryOwnership
from cpods.store.ownership import SqlOwnership
from cpods.store.quickcatalogue import QuickCatalogue, open_quickly

AnyCatalogue = SqlCatalogue | QuickCatalogue | MemoryCatalogue
Run = Callable[[Callable[[AnyCatalogue], Awaitable[None]]], None]


@pytest.fixture(params=["sqlite", "quick", "memory"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    def with_catalogue(body: Callable[[AnyCatalogue], Awaitable[None]]) -> None:
        async def whole() -> None:
            catalogue: AnyCatalogue
            path = str(tmp_path / "state" / "catalogue.db")
            if request.param == "sqlite":
                catalogue = open_catalogue(path, "here")
            elif request.param == "quick":
                catalogue = open_quickly(path, "here")
            else:
                catalogue = MemoryCatalogue("here")
            try:
                await body(catalogue)
            finally:
                await catalogue.close()

        asyncio.run(whole())

    return with_catalogue


@asynccontextmanager
async def ownership_of(catalogue: AnyCatalogue) -> AsyncIterator[SqlOwnership | MemoryOwnership]:
    """Ownership on the same file; the quick catalogue only writes it."""
    if isinstance(catalogue, QuickCatalogue):
        full = SqlCatalogue(catalogue.path, catalogue.pod)
        try:
            yield full.ownership
        finally:
            await full.close()
    else:
        yield catalogue.ownership


RESULT = Result("xxh3:" + "1" * 32, "s", (Read("a", "absent"), Read("@date", "d")), (Output("b", Version("x", 1, (("f", "y"),))),), pages=3)
SOLUTION = Solution("k", "warm", "PERIOD", ("s",), (("s", RESULT.reads),), (), (("s", RESULT),), tail=0, period=2)
ALL = Changes(
    files={"a.tex": FileState(1, 2, 3, (1 << 63) - 1, "x", 5), "dir/ü b": FileState(0, 0, 0, 0, "y", 0)},
    written={"b": Written("s", "x")},
    results={"s": RESULT},
    knots={"s": KnotMemory(good=SOLUTION), "t": KnotMemory(unstable=SOLUTION)},
    fingerprints={"pdflatex": Fingerprint("d", (("/bin/x", 1, 2, 3),))},
    facts={"last": "[1]"},
    artefacts={"x": 10, "y": 5},
    owned={"b": "x"},
)


def memory_of(changes: Changes) -> Memory:
    return Memory(**{name: dict(getattr(changes, name)) for name in Memory.__struct_fields__})


def test_a_new_catalogue_knows_nothing(run: Run) -> None:
    async def body(catalogue: AnyCatalogue) -> None:
        assert await catalogue.load() == Memory()

    run(body)


def test_everything_comes_back(run: Run) -> None:
    async def body(catalogue: AnyCatalogue) -> None:
        await catalogue.save(ALL)
        assert await catalogue.load() == memory_of(ALL)
        await catalogue.save(ALL)
        await catalogue.save(Changes())
        assert await catalogue.load() == memory_of(ALL)

    run(body)


def test_none_deletes_and_the_rest_stays(run: Run) -> None:
    async def body(catalogue: AnyCatalogue) -> None:
        await catalogue.save(ALL)
        newer = FileState(9, 9, 9, 9, "z", 9)
        await catalogue.save(
            Changes(files={"a.tex": newer, "dir/ü b": None, "never": None}, results={"s": None}, knots={"t": None}, facts={"last": None})
        )
        memory = await catalogue.load()
        assert memory.files == {"a.tex": newer}
        assert memory.results == {} and memory.facts == {}
        assert list(memory.knots) == ["s"]
        assert memory.written == ALL.written and memory.fingerprints == ALL.fingerprints

    run(body)


def test_a_loaded_memory_is_the_callers_own(run: Run) -> None:
    async def body(catalogue: AnyCatalogue) -> None:
        await catalogue.save(ALL)
        (await catalogue.load()).files.clear()
        assert (await catalogue.load()).files == ALL.files

    run(body)


def test_saving_tells_holders_and_owners(run: Run) -> None:
    async def body(catalogue: AnyCatalogue) -> None:
        await catalogue.save(ALL)
        async with ownership_of(catalogue) as ownership:
            assert await ownership.holders(["x", "y", "z"]) == {"here": 15}
            owner = await ownership.owner("b")
            assert owner is not None and (owner.epoch, owner.pod, owner.digest) == (1, "here", "x")
            await catalogue.save(Changes(owned={"b": "y"}))
            owner = await ownership.owner("b")
            assert owner is not None and (owner.epoch, owner.digest) == (2, "y")

    run(body)


def test_saving_may_name_another_pod_as_owner(run: Run) -> None:
    async def body(catalogue: AnyCatalogue) -> None:
        await catalogue.save(Changes(owned={"near": "x", "far": "y"}, owners={"far": "pod2", "not owned": "pod3"}))
        await catalogue.save(Changes(owned={"near": "z"}, owners={"near": "pod2"}))
        async with ownership_of(catalogue) as ownership:
            owners = await ownership.owners()
        assert {path: (owner.epoch, owner.pod, owner.digest) for path, owner in owners.items()} == {
            "near": (2, "pod2", "z"),
            "far": (1, "pod2", "y"),
        }

    run(body)


def test_what_others_hold_stays_theirs(run: Run) -> None:
    async def body(catalogue: AnyCatalogue) -> None:
        async with ownership_of(catalogue) as ownership:
            await ownership.hold("there", {"x": 10})
            await catalogue.save(Changes(artefacts={"x": 10, "y": 5}))
            await catalogue.save(Changes(artefacts={"x": 10}))
            assert await ownership.held() == {"there": {"x": 10}, "here": {"x": 10, "y": 5}}

    run(body)
