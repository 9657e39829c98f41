"""`cpods why STEP --placement`: the log of decisions in words."""

from pathlib import Path

import msgspec
import pytest

from cpods.cli import app, placed
from cpods.cli.placed import told_of
from cpods.declaration import FederationSettings
from cpods.errors import UsageError
from cpods.scheduler.allotment import Allotment
from cpods.scheduler.decisions import Chronicle
from cpods.scheduler.outlook import Outlook
from cpods.scheduler.placement import DEFAULT_STRATEGY, STRATEGIES
from tests.cli.conftest import Cli

MIB = 1 << 20


def a_build(strategy: str) -> bytes:
    """Two pods of one slot; four steps read 4 MiB that "a" holds, and one of them is wanted twice."""
    log = bytearray()
    told = Chronicle(Allotment(STRATEGIES[strategy](), Outlook()), log.extend)
    told.pod_is("", 0, 0.0, 0.0)
    told.pod_is("a", 1, 8.0 * MIB, 0.0)
    told.pod_is("b", 1, 8.0 * MIB, 0.0)
    told.add_files([4 * MIB])
    told.hold(1, [0])
    names = ["one", "two", "three", "four", "five"]
    told.add_steps([20.0] * 5, [[0]] * 5, [[]] * 5)
    told.name_steps(0, names)
    told.rank_steps([[]] * 5)
    told.ready([0, 1, 2, 3], 0.25)
    told.hand_out(0.25)
    told.came_back(0, 1.0)
    told.ready([0], 1.0, [1])
    told.hand_out(1.0)
    told.finished(0, 21.5)
    told.hand_out(21.5)
    told.close()
    return bytes(log)


def test_each_decision_is_told_with_its_terms() -> None:
    first, decided, sent, back, again, resent, end = told_of(a_build("locality"), "one")
    assert first == "one, placed by locality in the last build that had pods run steps:"
    assert decided == (
        "  0.25 s: a was chosen: delay 0 s (it ends at 20.25 s, within the projected build time of 50.25 s), 0 B to move (price 0 s), "
        "1.01 s more as the earlier end of two is the better one"
    )
    assert sent == "  0.25 s: it was sent to a"
    assert back.startswith("  1.00 s: it left a without a result: refused")
    assert again.startswith("  1.00 s: a was chosen: ")
    assert resent == "  1.00 s: it was sent to a"
    assert end == "  21.50 s: it ended on a"


@pytest.mark.parametrize(
    "strategy, reason",
    [
        ("earliest-finish", "it ends there at 20.25 s, 0 B to move"),
        ("dask-like", "it can start there at 0 s, 0 B to move"),
        ("max-locality", "0 B to move, a slot is free there from 0 s on"),
        ("least-loaded", "a slot is free there from 0 s on"),
        ("random", "drawn: "),
        ("round-robin", "0.25 s: a was chosen"),
    ],
)
def test_every_strategy_has_words_for_its_terms(strategy: str, reason: str) -> None:
    assert reason in "\n".join(told_of(a_build(strategy), "one"))
    for term in STRATEGIES[strategy]().terms:
        assert term in placed._WORDS


def test_what_moves_and_what_comes_too_late_is_said() -> None:
    log = b'["begun","locality",0,true,true,2,true]\n["pod_is","a",1,0,0,0]\n["name_steps",0,["s"]]\n["ready",[0],0.5,null]\n'
    log += msgspec.json.encode(["decided", 0, 0, [1.5 + 0.05 * 12.0, 0.25, 12.0, 3.0 * MIB, 10.0]]) + b"\n"
    (_, decided) = told_of(log, "s")
    assert decided == (
        "  0.50 s: a was chosen: delay 1.50 s (it ends at 12.00 s, which is too late for the projected build time of 10.00 s), "
        "3.0 MiB to move (price 0.25 s), 0.60 s more as the earlier end of two is the better one"
    )


def test_a_step_that_another_pod_took_over_and_one_whose_pod_was_lost() -> None:
    log = b'["begun","locality",0,true,true,2,true]\n["pod_is","a",1,0,0,0]\n["pod_is","b",1,0,0,0]\n["name_steps",4,["s","t"]]\n'
    log += b'["assigned",5,1,1.0]\n["hand_out",2.0]\n["stolen",4,1,3.5,7.25]\n["sent",4,1]\n["pod_gone",1,2.5]\n'
    decided = log.replace(b'["assigned"', b'["ready",[4],0.0,[0]]\n["decided",4,0,[0.5,0.0,10.0,0.0,12.0]]\n["assigned"')
    assert told_of(decided, "s")[2:] == [
        "  2.00 s: b, which had nothing to do, took it over from a: it costs 3.50 s there now, against 7.25 s",
        "  2.00 s: it was sent to b",
        "  2.50 s: b was lost, or stopped",
    ]
    assert told_of(decided, "t")[1:] == ["  1.00 s: b ran it already, for an earlier call of cpods", "  2.50 s: b was lost, or stopped"]


def test_half_a_line_is_passed_over_and_what_is_no_log_is_an_error() -> None:
    log = a_build("locality")
    assert told_of(log + b'["decided",0,', "one") == told_of(log, "one")
    assert told_of(log, "five") == ["five had no need of a pod in the last build that had pods run steps (placement locality)."]
    for damaged in (b"", b"\0\1", b"{}\n", b'["ready"]\n'):
        with pytest.raises(UsageError, match="damaged"):
            told_of(damaged, "one")


def test_a_project_that_was_never_built_in_a_federation_says_what_to_do(cli: Cli, line: Path) -> None:
    asked = cli("why", "upper", "--placement")
    assert asked.code == 2
    assert "cpods rebuild --federation NAME" in asked.err
    assert "in.txt is a source" in cli("why", "in.txt", "--placement").err


def test_the_strategies_are_named_where_one_is_chosen() -> None:
    assert FederationSettings().placement == DEFAULT_STRATEGY
    assert f"{DEFAULT_STRATEGY} (default)" in app._PLACEMENTS
    for name in STRATEGIES:
        assert name in app._PLACEMENTS
