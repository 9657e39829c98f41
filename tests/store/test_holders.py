"""The fast query for holders: on a file that changes under it, is gone, or is damaged."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cpods.errors import StoreDamaged
from cpods.store import holders as module
from cpods.store.catalogue import SqlCatalogue, open_catalogue
from cpods.store.holders import Holders


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "with % and ?" / "catalogue.db")


def using(path: str, body: Callable[[SqlCatalogue, Holders], Awaitable[None]]) -> None:
    async def whole() -> None:
        catalogue, holders = open_catalogue(path, "here"), Holders(path)
        try:
            await body(catalogue, holders)
        finally:
            await holders.close()
            await holders.close()
            await catalogue.close()

    asyncio.run(whole())


def test_what_others_write_is_seen_at_the_next_question(path: str) -> None:
    async def body(catalogue: SqlCatalogue, holders: Holders) -> None:
        for number in range(20):
            await catalogue.ownership.hold(f"pod{number}", {"x": 5, f"own {number}": number})
            asked = ["x", *(f"own {other}" for other in range(20))]
            assert await holders.bytes_by_pod(asked) == {f"pod{other}": 5 + other for other in range(number + 1)}

    using(path, body)


def test_many_questions_at_once(path: str) -> None:
    async def body(catalogue: SqlCatalogue, holders: Holders) -> None:
        await catalogue.ownership.hold("a", {f"d{number}": 1 << number for number in range(30)})
        answers = await asyncio.gather(*(holders.bytes_by_pod([f"d{number}", f"d{number // 2}"]) for number in range(30)))
        assert answers == [{"a": (1 << number) + (1 << number // 2 if number else 0)} for number in range(30)]

    using(path, body)


def test_what_is_remembered_is_bounded(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED_MAX", 4)

    async def body(catalogue: SqlCatalogue, holders: Holders) -> None:
        await catalogue.ownership.hold("a", {f"d{number}": 1 for number in range(50)})
        for start in range(40):
            assert await holders.bytes_by_pod([f"d{start + number}" for number in range(3)]) == {"a": 3}
        assert len(holders._ids) <= 8

    using(path, body)


def test_after_closing_it_opens_again(path: str) -> None:
    async def body(catalogue: SqlCatalogue, holders: Holders) -> None:
        await catalogue.ownership.hold("a", {"x": 1})
        assert await holders.bytes_by_pod(["x"]) == {"a": 1}
        await holders.close()
        assert await holders.bytes_by_pod(["x"]) == {"a": 1}

    using(path, body)


def test_a_file_that_is_gone_is_an_error_and_no_new_file(tmp_path: Path) -> None:
    path = tmp_path / "gone.db"

    async def body() -> None:
        holders = Holders(str(path))
        with pytest.raises(OSError, match="cannot be opened"):
            await holders.bytes_by_pod(["x"])
        await holders.close()

    asyncio.run(body())
    assert not path.exists()


def test_damage_is_said_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    path.write_bytes(b"no database at all" * 1000)

    async def body() -> None:
        holders = Holders(str(path))
        with pytest.raises(StoreDamaged, match="fsck --rebuild"):
            await holders.bytes_by_pod(["x"])
        await holders.close()

    asyncio.run(body())
