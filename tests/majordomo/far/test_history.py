"""What placement is told of earlier builds: by name, by tool, by path, by pod; and what of it outlives the build."""

import asyncio
from pathlib import Path

import pytest

from cpods.majordomo.far.history import LINK_FACT, History
from cpods.model import Output, Result, Step, Version
from cpods.net.messages import StepDone
from cpods.orders import Cooked
from cpods.ports import Changes, Memory, Written
from cpods.store.catalogue import open_catalogue
from cpods.store.memory import MemoryCatalogue


def compile_step(name: str, tool: str = "gcc") -> Step:
    """A step of some tool."""
    return Step(name, "compiler", tool, (tool,), (0,), outputs=(f"{name}.o",))


def result(name: str, seconds: float, size: int = 1, usable: bool = True, path: str = "") -> Result:
    """A last result with one output."""
    return Result("key", name, (), (Output(path or f"{name}.o", Version("d", size)),), seconds=seconds, usable=usable)


def history(memory: Memory, *steps: Step) -> History:
    """Of a planned build."""
    made = History(memory, MemoryCatalogue().save)
    made.attach(steps)
    return made


A, B, C, NEW, LONELY = (*map(compile_step, "abc"), compile_step("new"), compile_step("lonely", "sort"))


def test_a_step_takes_what_it_took_else_what_its_tool_takes_else_nobody_knows() -> None:
    known = Memory(results={"a": result("a", 2.0), "b": result("b", 4.0), "c": result("c", 0.1, usable=False), "gone": result("gone", 99)})
    told = history(known, A, B, C, NEW, LONELY)
    assert told.seconds(A) == 2.0
    assert told.seconds(C) == told.seconds(NEW) == 3.0, "a run that failed may have ended early"
    assert told.seconds(LONELY) is None


def test_runs_of_this_build_count_half_and_teach_their_tool() -> None:
    known = Memory(results={"a": result("a", 2.0)})
    told = history(known, A, B, LONELY)
    told.note_run(A, 4.0, ())
    assert told.seconds(A) == 3.0 == told.seconds(NEW)
    told.note_run(B, 5.0, ())
    assert told.seconds(B) == 5.0
    assert told.seconds(NEW) == 4.0
    told.note_run(LONELY, 7.0, ())
    assert told.seconds(compile_step("another", "sort")) == 7.0
    known.results["c"] = result("c", 1.5)  # looked up meanwhile
    assert told.seconds(C) == 1.5


def test_sizes_are_those_of_the_last_versions() -> None:
    known = Memory(
        results={"a": result("a", 1, 10), "b": result("b", 1, 20, path="both"), "c": result("c", 1, 30, path="both")},
        written={"both": Written("b", "d"), "a.o": Written("a", "d")},
    )
    told = history(known)
    assert (told.size("a.o"), told.size("both"), told.size("source.c")) == (10, 20, None)
    told.note_run(A, 1.0, result("a", 1, 11).outputs)
    told.note_run(NEW, 1.0, result("new", 1, 12).outputs)
    assert (told.size("a.o"), told.size("new.o")) == (11, 12)


def test_what_an_end_tells_is_noted_and_a_bad_end_says_nothing_of_the_step() -> None:
    told = history(Memory(), A, B)
    good = StepDone("1", "p", Cooked(None, result("a", 2.0, 5)), pulled=(1_000_000, 2.0))
    told.note_end("east", A, good)
    told.note_end("east", B, StepDone("2", "p", Cooked(None, None), trouble="lost"))
    told.note_end("west", None, good)
    assert told.seconds(A) == 2.0 == told.seconds(B) and told.size("b.o") is None
    assert told.bytes_per_second("east") == told.bytes_per_second("west") == 500_000
    assert told.bytes_per_second("north") is None


def test_a_link_is_what_it_gave_lately_weighed_by_bytes() -> None:
    told = history(Memory())
    told.note_link("east", 300_000, 3.0)
    told.note_link("east", 0, 0.0)
    told.note_link("east", 100_000_000, 1.0)
    assert told.bytes_per_second("east") == pytest.approx(100_225_000 / 3.25)
    for _ in range(30):
        told.note_link("east", 1_000_000, 1.0)
    assert told.bytes_per_second("east") == pytest.approx(1_000_000, rel=0.02)


def test_links_are_known_to_the_next_build_and_nothing_is_written_for_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "catalogue.db")
    written: list[Changes] = []

    async def build(*links: tuple[str, int, float]) -> History:
        catalogue = open_catalogue(path, "here")

        async def write(changes: Changes) -> None:
            written.append(changes)
            await catalogue.save(changes)

        try:
            memory = await catalogue.load()
            told = History(memory, write)
            for link in links:
                told.note_link(*link)
            await told.save()
            await told.save()
            assert History(memory, write).bytes_per_second("east") == told.bytes_per_second("east")
            return told
        finally:
            await catalogue.close()

    asyncio.run(build(("east", 1_000_000, 0.5), ("west", 3_000_000, 1.0)))
    again = asyncio.run(build())
    assert (again.bytes_per_second("east"), again.bytes_per_second("west")) == (2_000_000, 3_000_000)
    assert len(written) == 1


def test_a_fact_that_cannot_be_read_is_measured_anew() -> None:
    told = history(Memory(facts={f"{LINK_FACT}east": "no numbers", f"{LINK_FACT}west": "[5,2]", "why:a": "[1,1]"}))
    assert (told.bytes_per_second("east"), told.bytes_per_second("west")) == (None, 2.5)
    told.note_link("east", 8, 2.0)
    assert told.bytes_per_second("east") == 4
