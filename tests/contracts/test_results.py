"""The Results contract, kept by the manifests on disk and by their twin in memory.

Knows no file of a store.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from cpods.digest import ABSENT, of_bytes
from cpods.model import Output, Problem, Read, Result, Solution, Step, Version
from cpods.ports import Changes, KnotMemory, Results, Written
from cpods.store.manifests import ManifestStore
from cpods.store.memory import MemoryResults

KEY, OTHER = of_bytes(b"key"), of_bytes(b"other")


@pytest.fixture(params=["disk", "memory"])
def results(request: pytest.FixtureRequest, tmp_path: Path) -> Results:
    return ManifestStore(str(tmp_path)) if request.param == "disk" else MemoryResults()


def a_result(text: bytes = b"a", key: str = KEY, **fields: object) -> Result:
    helper = Step("bibtex:p", "bibtex", "bibtex", ("bibtex", "p"), (0, 1), planner="latex:p")
    return Result(
        key,
        "latex:p",
        reads=(Read("p.tex", of_bytes(text)), Read("p.cfg", ABSENT)),
        outputs=(Output("p.pdf", Version(of_bytes(text + b"!"), 3, (("pdf/1", of_bytes(b"v")),))),),
        problems=(Problem("Undefined control sequence", "p.tex", 3, "\\foo é"),),
        helpers=(helper,),
        **fields,  # type: ignore[arg-type]
    )


def a_solution(text: bytes = b"a") -> Solution:
    result = a_result(text)
    return Solution(
        KEY, "clean", "FIXED", ("latex:p",), (("latex:p", result.reads),), (("latex:p", result.outputs[0]),), (("latex:p", result),)
    )


def test_an_unknown_key_has_nothing(results: Results) -> None:
    assert list(results.results(KEY)) == []
    assert list(results.solutions(KEY)) == []
    assert results.recorded("nobody").results == {}


def test_results_come_back_newest_last(results: Results) -> None:
    added = [a_result(text) for text in (b"a", b"b", b"c")]
    for result in added[:2]:
        results.add_result(result)
    assert list(results.results(KEY)) == added[:2]
    results.commit()
    results.add_result(added[2])
    assert list(results.results(KEY)) == added
    results.commit()
    assert list(results.results(KEY)) == added
    assert list(results.results(OTHER)) == []


def test_an_equal_result_is_not_added_again(results: Results) -> None:
    results.add_result(a_result(seconds=1.0))
    results.add_result(a_result(seconds=2.0))
    results.commit()
    results.add_result(a_result(seconds=3.0))
    results.commit()
    assert [result.seconds for result in results.results(KEY)] == [1.0]


@pytest.mark.parametrize("change", [{"exit_code": 1}, {"date": 86400}])
def test_another_exit_or_date_is_another_result(results: Results, change: dict[str, object]) -> None:
    results.add_result(a_result())
    results.add_result(a_result(**change))
    assert len(results.results(KEY)) == 2


def test_solutions_are_kept_apart_from_results(results: Results) -> None:
    results.add_result(a_result())
    for _ in range(2):
        results.add_solution(a_solution())
        results.commit()
    results.add_solution(a_solution(b"b"))
    assert list(results.solutions(KEY)) == [a_solution(), a_solution(b"b")]
    assert len(results.results(KEY)) == 1


@pytest.mark.parametrize("commit", [True, False])
def test_records_fold_in_order(results: Results, commit: bool) -> None:
    def settle() -> None:
        if commit:
            results.commit()

    results.record("here", Changes(written={"a": Written("s", "1"), "b": Written("s", "2")}, results={"s": a_result()}))
    settle()
    results.record("here", Changes(written={"a": None, "b": Written("t", "3")}, knots={"k": KnotMemory(good=a_solution())}))
    results.record("elsewhere", Changes(written={"a": Written("x", "9")}))
    settle()
    memory = results.recorded("here")
    assert memory.written == {"b": Written("t", "3")}
    assert memory.results == {"s": a_result()}
    assert memory.knots == {"k": KnotMemory(good=a_solution())}
    assert results.recorded("elsewhere").written == {"a": Written("x", "9")}


def test_file_states_are_not_recorded(results: Results) -> None:
    results.record("here", Changes(facts={"a": "b"}, artefacts={"d": 1}))
    results.commit()
    assert results.recorded("here").facts == {}


def test_keys_may_be_any_text(results: Results) -> None:
    make: Callable[[str], Result] = lambda key: a_result(key=key)  # noqa: E731
    for key in ("plain", "with/slash", "é"):
        results.add_result(make(key))
    results.commit()
    assert [len(results.results(key)) for key in ("plain", "with/slash", "é", "none")] == [1, 1, 1, 0]
