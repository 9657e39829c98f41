"""The walk over components that tells what would run, and the sentences made of it."""

import pytest

from cpods.graph.explain import before, change, now
from cpods.graph.stale import Change, Finding, Look, stuck, walk
from cpods.model import Step

A, B = "xxh3:" + "a" * 32, "xxh3:" + "b" * 32
PARTS = [("a",), ("b", "c"), ("d",)]
NEEDS = {"a": set(), "b": {"a", "c"}, "c": {"b"}, "d": {"c"}}


def found(**states: str) -> dict[str, Finding]:
    looks = {name: Look(states.get(name, "current"), text=f"text of {name}") for name in "abcd"}  # type: ignore[arg-type]
    return walk(PARTS, NEEDS, lambda part: {name: looks[name] for name in part})


def states(findings: dict[str, Finding]) -> str:
    return " ".join(findings[name].state for name in "abcd")


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ({}, "current current current current"),
        ({"a": "stale"}, "would_run may_run may_run may_run"),
        ({"b": "stale"}, "current would_run may_run may_run"),
        ({"d": "stale"}, "current current current would_run"),
        ({"a": "stale", "c": "stale"}, "would_run may_run would_run may_run"),
        ({"a": "from_store"}, "from_store current current current"),
        ({"a": "failed"}, "failed blocked blocked blocked"),
        ({"a": "lacking", "d": "stale"}, "lacking blocked blocked blocked"),
        ({"b": "failed", "c": "failed"}, "current failed failed blocked"),
    ],
)
def test_what_is_stale_runs_and_what_is_behind_it_may(looks: dict[str, str], expected: str) -> None:
    assert states(found(**looks)) == expected


def test_a_finding_names_what_it_waits_for() -> None:
    findings = found(a="stale", c="stale")
    assert findings["b"].behind == ("a",)
    assert findings["c"].behind == ("a",)
    assert findings["d"].behind == ("c",)
    assert found(c="stale")["b"].behind == ("c",)


def test_helpers_that_a_look_adds_count_as_members() -> None:
    looks = {"e": Look("stale"), "helper": Look("current")}
    assert walk([("e",)], {"e": set()}, lambda part: looks)["helper"].state == "may_run"


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Change("in.txt", A, B), "in.txt changed from xxh3:aaaaaaaaaaaa to xxh3:bbbbbbbbbbbb"),
        (Change("in.txt", "absent", B), "in.txt is there now (xxh3:bbbbbbbbbbbb) and was not at its last run"),
        (Change("in.txt", A, "absent"), "in.txt is gone (it was xxh3:aaaaaaaaaaaa)"),
        (Change("@glob:src/*.c", A, B), "the files that match src/*.c are other ones"),
        (Change("@date", "0", "86400"), "the date changed from 0 to 86400"),
    ],
)
def test_a_change_in_words(difference: Change, words: str) -> None:
    assert change(difference) == words


def step(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...], engine: bool = False) -> Step:
    return Step(name, "shell", "sh", ("sh",), (0,), inputs=inputs, outputs=outputs, open_reads=engine)


def test_a_circle_of_required_inputs_cannot_start_unless_one_of_them_is_there() -> None:
    circle = [step("one", ("b",), ("a",)), step("two", ("a",), ("b",)), step("three", ("a", "s"), ("c",))]
    assert stuck(circle, lambda path: path == "s") == {"one": "b", "two": "a", "three": "a"}
    assert stuck([step("one", ("s",), ("a",)), *circle[1:]], lambda path: path == "s") == {}
    assert stuck([step("doc", ("d.tex",), ("d.pdf",), engine=True), *circle], lambda path: path in ("s", "d.tex")) == {}


def test_many_changes_are_counted_not_listed() -> None:
    many = tuple(Change(f"f{number}", A, B) for number in range(30))
    text = now(Finding("s", "would_run", many))
    assert "f7 changed" in text and "f8 changed" not in text and "and 22 more inputs changed" in text


@pytest.mark.parametrize("state", ["would_run", "may_run", "blocked", "lacking", "failed", "from_store", "current"])
def test_every_state_has_a_sentence(state: str) -> None:
    text = now(Finding("s", state, text="because of it", behind=("p",)))  # type: ignore[arg-type]
    assert text.endswith(".") and "now" in text


def test_insignificant_changes_are_said_in_either_tense() -> None:
    unseen = (Change("b.aux", A, B),)
    assert now(Finding("s", "current", insignificant=unseen)).endswith("has changed, but not in what s reads.")
    assert before("s", "up_to_date", (), unseen, "").endswith("had changed, but not in what s reads.")


@pytest.mark.parametrize("how", ["ran", "failed", "cached", "up_to_date", "blocked", "waiting"])
def test_every_way_to_be_settled_has_a_sentence(how: str) -> None:
    assert before("s", how, (Change("x", A, B),), (), "").startswith("s ")
    assert "not part" in before("s", "new word", (), (), "")
