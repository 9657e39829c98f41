"""The ledger: what is recorded is ended in the journal, and nothing else is."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cpods.ledger import BuildLedger
from cpods.model import Result
from cpods.ports import Changes
from cpods.store.journal import Journal
from cpods.store.memory import MemoryCatalogue, MemoryObjects, MemoryResults


class BusyObjects(MemoryObjects):
    """While it commits, other things happen."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def commit(self) -> None:
        super().commit()
        self.meanwhile()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(str(tmp_path))) as journal:
        yield journal


def ledger_over(journal: Journal) -> tuple[BuildLedger, BusyObjects]:
    objects = BusyObjects()
    return BuildLedger("p", objects, MemoryResults(), MemoryCatalogue(), journal), objects


def recorded(*names: str) -> Changes:
    return Changes(results={name: Result(f"key of {name}", name, (), ()) for name in names})


def under_way(journal: Journal) -> list[str]:
    return [entry.step for entry in journal.unfinished()]


def test_recorded_steps_are_ended_and_others_stay(journal: Journal) -> None:
    ledger, _ = ledger_over(journal)
    for name in "abc":
        ledger.begin(name, {})
    asyncio.run(ledger.save(recorded("a", "c")))
    assert under_way(journal) == ["b"]
    asyncio.run(ledger.save(recorded("b")))
    assert under_way(journal) == [] and Path(journal.path).read_bytes() == b""


def test_a_step_that_runs_again_while_its_first_run_is_saved_stays_noted(journal: Journal) -> None:
    ledger, objects = ledger_over(journal)
    ledger.begin("again", {"out": "absent"})
    ledger.begin("long", {})
    objects.meanwhile = lambda: ledger.begin("again", {"out": "first"})
    asyncio.run(ledger.save(recorded("again")))
    assert [(entry.step, dict(entry.outputs)) for entry in journal.unfinished() if entry.step == "again"] == [("again", {"out": "first"})]
    objects.meanwhile = lambda: None
    asyncio.run(ledger.save(recorded("again", "long")))
    assert under_way(journal) == []
