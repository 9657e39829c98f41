"""What is known of reads and writes: declared, remembered, seen; and when the graph has to be made anew."""

import pytest

from cpods.errors import UsageError
from cpods.model import Remembered, Step
from cpods.scheduler.knowledge import Knowledge
from tests.helpers.bench import step

A = step("a", 0, inputs=("src",), outputs=("x",), depfile="a.d")
B = step("b", 1, optional=("x",), outputs=("y",))
ENGINE = step("e", 2, outputs=("pdf",), open_reads=True)


def knowledge(*steps: Step, **remembered: Remembered) -> Knowledge:
    return Knowledge({each.name: each for each in steps}, remembered, lambda path: path == "src")


def test_only_news_that_touch_an_edge_change_the_graph() -> None:
    known = knowledge(A, B)
    assert not known.learn("a", ["src", "other.h"], ["x"]), "nobody makes other.h"
    assert known.learn("b", ["x", "other.h"], ["y", "other.h"]), "b makes what a reads"
    assert not known.learn("b", ["x"], ["y"])


def test_the_first_run_of_an_engine_always_does() -> None:
    known = knowledge(ENGINE)
    assert not known.traffic["e"].known and known.learn("e", [], ["pdf"]) and known.traffic["e"].known


def test_the_first_run_replaces_what_was_remembered_and_later_runs_add() -> None:
    known = knowledge(A, B, a=Remembered(frozenset({"y"}), frozenset({"x"})))
    assert known.traffic["a"].reads == {"src", "y"}
    assert known.learn("a", ["src"], ["x"]) and known.traffic["a"].reads == {"src"}
    known.learn("a", ["late"], [])
    assert known.traffic["a"].reads == {"src", "late"}


def test_a_step_that_reads_what_it_declares_is_held_to_its_declaration() -> None:
    assert knowledge(B, b=Remembered(frozenset({"old"}), frozenset({"y"}))).traffic["b"].reads == {"x"}


def test_an_engine_remembers_its_writes_unless_another_step_declares_them() -> None:
    before = Remembered(frozenset({"aux"}), frozenset({"pdf", "aux", "x"}))
    assert knowledge(A, ENGINE, e=before).traffic["e"].writes == {"pdf", "aux"}


def test_a_run_without_a_result_adds_its_reads_but_the_engine_counts_as_never_run() -> None:
    known = knowledge(A, ENGINE)
    assert known.suspect("e", ["x"]) and not known.traffic["e"].known and "x" in known.traffic["e"].reads
    assert not known.suspect("e", ["x"]), "no news"


def test_a_miss_matters_while_an_engine_may_still_make_the_file() -> None:
    assert knowledge(A, ENGINE).suspect("a", ["list.txt"])
    assert not knowledge(A, B).suspect("a", ["list.txt"])


def test_two_declared_or_seen_makers_are_an_error_and_guesses_are_not() -> None:
    known = knowledge(A, B, ENGINE, e=Remembered(frozenset(), frozenset({"pdf", "log"})))
    known.learn("b", [], ["y", "log"])
    known.regraph(["y", "pdf"])
    known.learn("e", [], ["pdf", "log"])
    with pytest.raises(UsageError, match="log: both b and e write it"):
        known.regraph(["y", "pdf"])


def test_the_graph_is_over_what_goals_need() -> None:
    known = knowledge(A, B)
    assert list(known.regraph(["x"])) == ["a"] and list(known.regraph(["y"])) == ["a", "b"]
    assert known.graph.hard == {"a": {"b"}, "b": set()}


def test_feedback_of_one_step() -> None:
    known = knowledge(A, B)
    assert not known.reads_own_writes("a")
    known.learn("a", ["x"], ["x"])
    assert known.reads_own_writes("a")
